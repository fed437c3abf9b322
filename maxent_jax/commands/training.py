"""The commands that train: here, in shards elsewhere, and on from where training stopped."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from envs import fields
from envs.fields import InvalidSetting, Setting
from maxent_jax import api, cache, hosts, interrupts, submit, trackers
from maxent_jax.commands import common, watching
from maxent_jax.merging import merge
from maxent_jax.options import GRID, NO_CACHE, RESUME, TENSORBOARD, WANDB, WATCH, option, parse, required, take_apart

DISTRIBUTED = option(
    "distributed",
    str,
    "train over several processes, all started with this command: auto where Slurm, a TPU or MPI starts them, else "
    "I/N@HOST:PORT: the I-th of N, the first of which listens there",
)
TRAINING = (
    *common.RUNS,
    api.EVALUATIONS,
    option("out", str, "run directory to make; none: runs/AGENT-ENV-NUMBER"),
    RESUME,
    api.CHECKPOINT_EVERY,
    api.KEEP,
    option("shard", str, "I/N: train every N-th run only, in a folder of its own in --out; see merge"),
    DISTRIBUTED,
    NO_CACHE,
    TENSORBOARD,
    WANDB,
)
SHARDS = required("DIR", "a run directory that --shard made, or a folder of them; repeatable")
COMMAND = required("COMMAND", "what is trained in shards", ("train", "sweep"))
SUBMIT = (
    required("out", "folder of the shards' run directories; all machines must see it"),
    option("cluster", str, "the engine", "local", choices=submit.CLUSTERS),
    option("shards", int, "how many shards", 2, low=1),
    option("at_once", int, "local: processes side by side", 1, low=1),
    option("retries", int, "local, ray: how often a shard that was stopped, killed or lost is started again", 3, low=0),
    option("minutes", int, "slurm: most minutes of a shard's turn; it is queued again and goes on", 60, low=1),
    option(
        "notice",
        int,
        f"slurm: seconds before a turn's end at which a shard saves; none: {submit.NOTICE}, at most a quarter of it",
        low=10,
    ),
    option("slurm", str, "slurm: NAME=VALUE,... for sbatch, like partition=gpu,gres=gpu:1"),
    option("address", str, "ray: a running cluster's; none: one that is started here"),
    option("gpus", float, "ray: GPUs of a shard, may be a part of one", 0.0, low=0),
    dataclasses.replace(WATCH, help="show how all shards fare until they are finished"),
)


def train_command(words: list[str]) -> None:
    """Train an agent on a task with many seeds at once."""
    _train("train", words, ())


def sweep_command(words: list[str]) -> None:
    """The same over a grid of fields: one program for all seeds and values."""
    _train("sweep", words, (GRID,))


def _train(command: str, words: list[str], more: tuple[Setting, ...]) -> None:
    request = _training(command, words, more)
    if request is not None:
        agent, env, options = request
        hosts.join(options.pop("distributed"))
        api.train(agent, env, **options, console=common.CONSOLE)


def _training(command: str, words: list[str], more: tuple[Setting, ...]) -> tuple[str, str, dict[str, Any]] | None:
    """What `api.train` is asked for by a command line of `train` or `sweep`; None after help."""
    request = common.read_request(command, words, (*TRAINING, *more))
    if request is None:
        return None
    agent, env, given, own = request
    grid = common.parse_grid(given.grid, *own)
    if command == "sweep" and not grid:
        raise InvalidSetting("--grid is missing; must be FIELD=a,b,... at least once")
    options = given.options
    cache.use(not options["no_cache"])
    names = ("evaluations", "out", "resume", "checkpoint_every", "keep", "shard", "distributed")
    asked = {name: options[name] for name in names} | {"trackers": _trackers(options), "grid": grid}
    return agent, env, common.asked_of_training(given) | asked


def _trackers(options: Mapping[str, Any]) -> list[str]:
    return [name for name in trackers.TRACKERS if options[name]]


def resume_command(words: list[str]) -> None:
    """Go on with a run that was cut off, from its newest whole checkpoint, as if it had not been."""
    steps = option("steps", int, "more steps a run than it has, to prolong it; none: those it has", low=1)
    every = dataclasses.replace(api.CHECKPOINT_EVERY, help="chunks between checkpoints; none: as it was started")
    keep = option("keep", int, "checkpoints that stay; none: as it was started", low=1)
    given = parse(
        f"{common.PROGRAM} resume",
        words,
        (steps, every, keep, DISTRIBUTED, NO_CACHE, TENSORBOARD, WANDB),
        positional=(common.RUN_DIR,),
    )
    options = {name: given.options[name] for name in ("steps", "checkpoint_every", "keep")}
    cache.use(not given.options["no_cache"])
    hosts.join(given.options["distributed"])
    api.resume(given.positional[0], **options, trackers=_trackers(given.options), console=common.CONSOLE)


def submit_command(words: list[str]) -> None:
    """Train the shards of a sweep on Slurm, on Ray, or in processes of this machine."""
    taken = take_apart(words)
    names = {f"--{field.name}" for field in SUBMIT}
    mine = [word for name, value in taken.options if name in names for word in _words(name, value)]
    rest = [word for name, value in taken.options if name not in names for word in _words(name, value)]
    command, asks = taken.positional[:1], ["--help"] if taken.help else []
    about = "COMMAND: train or sweep; what follows it, as there, is trained in shards, each in a folder of its own."
    options = parse(f"{common.PROGRAM} submit", [*command, *mine, *asks], SUBMIT, about, (COMMAND,)).options
    if command[0] not in COMMAND.choices:
        raise fields.unknown(f"COMMAND {command[0]!r}", command[0], COMMAND.choices)
    inner = (*taken.positional[1:], *rest)
    out, count = Path(options["out"]).absolute(), options["shards"]
    shards = submit.Shards((*command, *inner), out, count)
    jax.config.update("jax_platforms", "cpu")  # an accelerator of this machine is the shards'
    for words in (shards.of(1), shards.of(count)):  # a mistake is told here, not in every shard's log
        request = _training(words[0], words[1:], (GRID,) if words[0] == "sweep" else ())
        if request is not None:
            agent, env, asked = request
            if (told := asked.pop("distributed")) is not None:
                raise InvalidSetting(f"distributed = {told!r}: must be left out here; a shard is one process")
            api.prepare(agent, env, **asked, memory=math.inf)  # they may train on larger machines
    out.mkdir(parents=True, exist_ok=True)
    if options["cluster"] == "slurm":
        _queue(shards, options)
    else:
        _train_shards(shards, options)


def _queue(shards: submit.Shards, options: Mapping[str, Any]) -> None:
    """Hand the shards to Slurm."""
    jobs = submit.slurm(shards, options["minutes"], _pairs(options["slurm"]), options["notice"])
    ids = ", ".join(str(job.job_id) for job in jobs[:8])
    common.CONSOLE.print(f"{shards.count} shards submitted: {ids}{' ...' * (len(jobs) > 8)}", soft_wrap=True)
    if options["watch"]:
        watching.follow(shards.out, lambda: all(job.done() for job in jobs))
        submit.check_queued(shards, jobs)
    else:
        common.CONSOLE.print(f"`{common.PROGRAM} status {shards.out} --watch` follows them", soft_wrap=True)
    common.CONSOLE.print(f"`{common.PROGRAM} merge {shards.out}` puts them together", soft_wrap=True)


def _train_shards(shards: submit.Shards, options: Mapping[str, Any]) -> None:
    """Train the shards with an engine that needs this process; returns when they are finished."""
    if options["cluster"] == "ray":
        engine = submit.Ray(shards, options["address"], options["gpus"], options["retries"])
    else:
        engine = submit.Local(shards, options["at_once"], options["retries"], options["watch"])
    try:
        submit.attend(engine, functools.partial(watching.follow, shards.out) if options["watch"] else None)
    except interrupts.Interrupted:
        common.CONSOLE.print(f"{shards.out}: interrupted; the same command goes on", soft_wrap=True)
        raise
    told = f"{shards.out}: {shards.count} shards finished"
    common.CONSOLE.print(f"{told}; `{common.PROGRAM} merge {shards.out}` puts them together", soft_wrap=True)


def _words(name: str, value: str | None) -> list[str]:
    return [name if value is None else f"{name}={value}"]


def _pairs(text: str | None) -> dict[str, str]:
    """`NAME=VALUE,...` by name."""
    pairs = [part.partition("=") for part in (text or "").split(",") if part]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise InvalidSetting(
                f"slurm = {text!r}: must be NAME=VALUE, with commas between, like partition=gpu,gres=gpu:1"
            )
    return {name: value for name, _, value in pairs}


def merge_command(words: list[str]) -> None:
    """Put the finished shards of a sweep together: the run directory that one host would have written."""
    shards = common.repeated(SHARDS, take_apart(words).positional)
    out = option("out", str, "run directory to make; none: the folder DIR in which the shards lie")
    given = parse(f"{common.PROGRAM} merge", words, (out,), positional=shards)
    merge(given.positional, given.options["out"], common.CONSOLE)
