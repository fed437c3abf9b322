"""The command line: parse, call, print. The same functions are one import away in Python.

The first pass over the words finds AGENT, `--env` and `--preset`; the second knows their fields, so that `--help` shows
them and a mistake is one line that names what is allowed.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import envs
import experiments
from envs import external, fields
from envs.fields import InvalidSetting, Setting
from experiments import grids, misleading, published
from maxent_jax import api, cache, cards, interrupts, plan, plots, runs, status, submit, trackers, video
from maxent_jax.agents import AGENTS, agent_class
from maxent_jax.faults import Fault
from maxent_jax.merging import merge, shards_in
from maxent_jax.options import (
    FORCE,
    GRID,
    NO_CACHE,
    RESUME,
    TENSORBOARD,
    WANDB,
    WATCH,
    Given,
    option,
    parse,
    required,
    take_apart,
)
from maxent_jax.sweep import free_bytes

PROGRAM = "maxent-jax"
CONSOLE = Console()
AGENT = required("AGENT", "the agent", AGENTS)
ENV = required("env", "the task", (*envs.names(), *external.FORMS))
TASK = dataclasses.replace(ENV, name="TASK")
NAME = required("NAME", "the experiment", experiments.names())
SHARDS = required("DIR", "a run directory that --shard made, or a folder of them; repeatable")
RUN_DIR = required("RUN_DIR", "a folder that train or sweep made")
RUNS = (
    ENV,
    option("seeds", str, "how many (8: 0 to 7), or which, with a comma (7, or 101,102)", "1"),
    api.STEPS,
    api.ENVS,
    option("preset", str, "settings to start from", "paper", choices=published.PRESETS),
)
TRAINING = (
    *RUNS,
    api.EVALUATIONS,
    option("out", str, "run directory to make; none: runs/AGENT-ENV-NUMBER"),
    RESUME,
    api.CHECKPOINT_EVERY,
    api.KEEP,
    option("shard", str, "I/N: train every N-th run only, in a folder of its own in --out; see merge"),
    NO_CACHE,
    TENSORBOARD,
    WANDB,
)
COMMAND = required("COMMAND", "what is trained in shards", ("train", "sweep"))
SUBMIT = (
    required("out", "folder of the shards' run directories; all machines must see it"),
    option("cluster", str, "the engine", "local", choices=submit.CLUSTERS),
    option("shards", int, "how many shards", 2, low=1),
    option("at_once", int, "local: processes side by side", 1, low=1),
    option("retries", int, "local, ray: how often a shard that was killed or lost is started again", 3, low=0),
    option("minutes", int, "slurm: most minutes of a shard's turn; it is queued again and goes on", 60, low=1),
    option("slurm", str, "slurm: NAME=VALUE,... for sbatch, like partition=gpu,gres=gpu:1"),
    option("address", str, "ray: a running cluster's; none: one that is started here"),
    option("gpus", float, "ray: GPUs of a shard, may be a part of one", 0.0, low=0),
)
SECONDS_BETWEEN_LOOKS = 5.0
MEMORY = option("memory", float, "gigabytes (1e9 bytes) that the device has; none: what is free here", above=0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: the words after the program's name; None: from the shell.

    Returns:
      The exit code: 0; 2 for a user's mistake; 1 for damage, a full disk and the like; 130 after Ctrl-C, 143 after
      SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help"):
            _print_commands()
            return 0
        if words[0] not in COMMANDS:
            raise fields.unknown(f"command {words[0]!r}", words[0], COMMANDS)
        COMMANDS[words[0]](words[1:])
    except InvalidSetting as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except Fault as fault:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        return 1
    except interrupts.Interrupted as stop:
        return stop.code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return interrupts.EXIT_CODE
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's own last flush complains
    except SystemExit as stop:  # tyro's: --help
        return int(stop.code or 0)
    return 0


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
        api.train(agent, env, **options, console=CONSOLE)


def _training(command: str, words: list[str], more: tuple[Setting, ...]) -> tuple[str, str, dict[str, Any]] | None:
    """What `api.train` is asked for by a command line of `train` or `sweep`; None after help."""
    request = _request(command, words, (*TRAINING, *more))
    if request is None:
        return None
    agent, env, given, own = request
    grid = _grid(given.grid, *own)
    if command == "sweep" and not grid:
        raise InvalidSetting("--grid is missing; must be FIELD=a,b,... at least once")
    options = given.options
    cache.use(not options["no_cache"])
    names = ("evaluations", "out", "resume", "checkpoint_every", "keep", "shard")
    asked = {name: options[name] for name in names} | {"trackers": _trackers(options), "grid": grid}
    return agent, env, _asked(given) | asked


def _trackers(options: Mapping[str, Any]) -> list[str]:
    return [name for name in trackers.TRACKERS if options[name]]


def resume_command(words: list[str]) -> None:
    """Go on with a run that was cut off, from its newest whole checkpoint, as if it had not been."""
    steps = option("steps", int, "more steps a run than it has, to prolong it; none: those it has", low=1)
    every = dataclasses.replace(api.CHECKPOINT_EVERY, help="chunks between checkpoints; none: as it was started")
    keep = option("keep", int, "checkpoints that stay; none: as it was started", low=1)
    given = parse(f"{PROGRAM} resume", words, (steps, every, keep, NO_CACHE, TENSORBOARD, WANDB), positional=(RUN_DIR,))
    options = {name: given.options[name] for name in ("steps", "checkpoint_every", "keep")}
    cache.use(not given.options["no_cache"])
    api.resume(given.positional[0], **options, trackers=_trackers(given.options), console=CONSOLE)


def submit_command(words: list[str]) -> None:
    """Train the shards of a sweep on Slurm, on Ray, or in processes of this machine."""
    taken = take_apart(words)
    names = {f"--{field.name}" for field in SUBMIT}
    mine = [word for name, value in taken.options if name in names for word in _words(name, value)]
    rest = [word for name, value in taken.options if name not in names for word in _words(name, value)]
    command, asks = taken.positional[:1], ["--help"] if taken.help else []
    about = "COMMAND: train or sweep; what follows it, as there, is trained in shards, each in a folder of its own."
    options = parse(f"{PROGRAM} submit", [*command, *mine, *asks], SUBMIT, about, (COMMAND,)).options
    inner = (*taken.positional[1:], *rest)
    out, count = Path(options["out"]), options["shards"]
    shards = submit.Shards((*command, *inner), out, count)
    for words in (shards.of(1), shards.of(count)):  # a mistake is told here, not in every shard's log
        request = _training(words[0], words[1:], (GRID,) if words[0] == "sweep" else ())
        if request is not None:
            agent, env, asked = request
            api.prepare(agent, env, **asked)
    out.mkdir(parents=True, exist_ok=True)
    if options["cluster"] == "local":
        submit.local(shards, options["at_once"], options["retries"])
    elif options["cluster"] == "ray":
        submit.ray(shards, options["address"], options["gpus"], options["retries"])
    else:
        jobs = submit.slurm(shards, options["minutes"], _pairs(options["slurm"]))
        CONSOLE.print(f"{len(jobs)} shards submitted: {', '.join(str(job.job_id) for job in jobs[:8])} ...")
        CONSOLE.print(f"`{PROGRAM} status {out} --watch` follows them, `{PROGRAM} merge {out}` puts them together")
        return
    CONSOLE.print(f"{out}: {count} shards finished; `{PROGRAM} merge {out}` puts them together", soft_wrap=True)


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
    taken = take_apart(words)
    more = tuple(dataclasses.replace(SHARDS, name=f"DIR_{i}") for i in range(2, len(taken.positional) + 1))
    out = option("out", str, "run directory to make; none: the folder DIR in which the shards lie")
    given = parse(f"{PROGRAM} merge", words, (out,), positional=(SHARDS, *more))
    merge(given.positional, given.options["out"], CONSOLE)


def status_command(words: list[str]) -> None:
    """Say how a run fares: progress, speed, failed runs, last checkpoint, estimated end."""
    given = parse(f"{PROGRAM} status", words, (WATCH,), positional=(RUN_DIR,))
    directory = Path(given.positional[0])
    while True:
        whole = (directory / "config.json").exists()  # shards may lie in it still
        parts = [] if whole else shards_in(directory)
        found = {part: status.read(part) for part in parts or [directory]}
        for part, one in found.items():
            for line in status.lines(part, one):
                CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)
        if not given.options["watch"] or not any(one.state == "training" for one in found.values()):
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _request(
    command: str, words: list[str], known: tuple[Setting, ...]
) -> tuple[str, str, Given, tuple[type, type]] | None:
    """A command line of AGENT, `--env` and their fields: names, all that was given, classes; None after help."""
    taken = take_apart(words)
    chosen = dict(taken.options)
    agent = next((word for word in taken.positional if not word.startswith("-")), None)
    env, preset = chosen.get("--env"), chosen.get("--preset") or "paper"
    if agent is not None:
        agent_class(agent)
    if env is not None:
        envs.task(env)  # knows more names than can be listed
        known = (dataclasses.replace(ENV, choices=(*envs.names(), env)), *known[1:])
    command = f"{PROGRAM} {command}"
    if agent is None or env is None:  # prints help, or says what is missing
        about = f"AGENT: {', '.join(AGENTS)}. Name AGENT and --env to see their fields, too."
        parse(command, words, known, about, (AGENT,))
        return None
    row = published.row(agent, env, preset)
    given = parse(
        command,
        words,
        known,
        about=f"Defaults of {agent} on {env}, preset {preset}: {row.steps:,} steps, {row.envs} environments a run.",
        positional=(AGENT,),
        agent=_with_defaults(type(row.agent), fields.plain_values(row.agent)),
        env=_with_defaults(envs.task(env), {}),
    )
    return agent, env, given, (type(row.agent), envs.task(env))


def _asked(given: Given) -> dict[str, Any]:
    """The part of a request that `api.train` and `api.prepare` share."""
    options = {name: given.options[name] for name in ("steps", "envs", "preset")}
    return options | {"seeds": _seeds(given.options["seeds"]), "agent_fields": given.agent, "env_fields": given.env}


def plan_command(words: list[str]) -> None:
    """Say what training would need: bytes, arithmetic, how many runs fit; on a CPU also how long it takes."""
    request = _request("plan", words, (*RUNS, MEMORY))
    if request is None:
        return
    agent, env, given, _ = request
    gigabytes = given.options["memory"]
    memory = 0.9 * free_bytes() if gigabytes is None else 1e9 * gigabytes
    job = api.prepare(agent, env, **_asked(given), memory=float("inf"))
    CONSOLE.print(plan.table(plan.estimate(job.sweep.programs[0], memory), memory))


def bench_command(words: list[str]) -> None:
    """Measure speed and memory here; without NAME the quick benchmarks, in about ten minutes."""
    from benchmarks import registry, timing

    known = (
        option("preset", str, "how much; none: quick without NAME, full with it", choices=registry.PRESETS),
        option("out", str, "folder for the JSON files", "bench"),
    )
    names = take_apart(words).positional
    named = (required("NAME", "the benchmark", registry.BENCHMARKS),) if names else ()
    about = "NAME: " + "; ".join(f"{name}: {entry.about}" for name, entry in registry.BENCHMARKS.items()) + "."
    given = parse(f"{PROGRAM} bench", words, known, about, named)
    preset = given.options["preset"] or ("full" if names else "quick")
    within = [name for name, entry in registry.BENCHMARKS.items() if entry.arguments(preset) is not None]
    if names and names[0] not in registry.BENCHMARKS:
        raise fields.unknown(f"NAME {names[0]!r}", names[0], registry.BENCHMARKS)
    if names and names[0] not in within:
        raise InvalidSetting(f"NAME = {names[0]!r}: must be {', '.join(within)} with --preset {preset}")
    folder = _folder(given.options["out"])
    chosen = names or within
    for number, name in enumerate(chosen, 1):
        CONSOLE.print(f"{number} of {len(chosen)}: {name}: {registry.BENCHMARKS[name].about}", highlight=False)
        began = time.perf_counter()
        path = registry.run(name, preset, folder)
        spread = timing.spread(json.loads(path.read_text()))
        trust = f"; too noisy to trust: a spread of {spread:.0%}, see its min and max" if spread > timing.NOISY else ""
        CONSOLE.print(f"{path}: {time.perf_counter() - began:.0f} s{trust}", highlight=False, soft_wrap=True)


def reproduce_command(words: list[str]) -> None:
    """Repeat an experiment of the paper: runs, figures, captions."""
    known = (
        option("preset", str, "budget; none: cpu", choices=published.PRESETS),
        option("env", str, "which task, of an experiment on several; none: all of them"),
        option("out", str, "folder to make; none: reproduced/NAME-PRESET"),
        FORCE,
        NO_CACHE,
    )
    about = f"NAME: {', '.join(experiments.names())}."
    given = parse(f"{PROGRAM} reproduce", words, known, about, (NAME,))
    cache.use(not given.options["no_cache"])
    experiments.reproduce(
        given.positional[0],
        preset=given.options["preset"],
        env=given.options["env"],
        out=given.options["out"],
        force=given.options["force"],
        console=CONSOLE,
    )


def landscape_command(words: list[str]) -> None:
    """Draw the soft and the plain landscape where a trained agent finds them most unlike."""
    known = (
        option("run", int, "which run of the directory", 0, low=0),
        option("out", str, "PNG to write; none: RUN_DIR/figures/landscape.png"),
        NO_CACHE,
    )
    given = parse(f"{PROGRAM} landscape", words, known, positional=(RUN_DIR,))
    cache.use(not given.options["no_cache"])
    directory = Path(given.positional[0])
    result = runs.load(directory)
    result.check_run(given.options["run"])
    path = _writable(given.options["out"] or directory / "figures" / "landscape.png", ".png")
    plots.landscape(result, path, given.options["run"])
    CONSOLE.print(str(path), markup=False, highlight=False, soft_wrap=True)


def film_command(words: list[str]) -> None:
    """Film an episode of a trained policy, with its reward, entropy and similarity."""
    known = (
        option("run", int, "which run of the directory", 0, low=0),
        option("beside", str, "another run directory, filmed beside it"),
        option("out", str, "file to write, .mp4 or .gif; none: RUN_DIR/figures/film.mp4"),
        NO_CACHE,
    )
    given = parse(f"{PROGRAM} film", words, known, positional=(RUN_DIR,))
    cache.use(not given.options["no_cache"])
    directory, run = Path(given.positional[0]), given.options["run"]
    beside = given.options["beside"]
    results = [runs.load(folder) for folder in (directory, beside) if folder is not None]
    path = _writable(given.options["out"] or directory / "figures" / "film.mp4", ".mp4", ".gif")
    CONSOLE.print(str(video.film(results, path, run)), markup=False, highlight=False, soft_wrap=True)


def envs_command(words: list[str]) -> None:
    """List the tasks; with a task's name, all that is known of it."""
    taken = take_apart(words)
    named = (TASK,) if taken.positional or taken.options else ()
    known = (option("still", str, "PNG to write: the task where an episode begins"),) if named else ()
    about = "TASK: shows one in full: its numbers and units, its reward, its fields."
    given = parse(f"{PROGRAM} envs", words, known, about, named)
    if not named:
        CONSOLE.print(cards.listing())
    elif (still := given.options["still"]) is not None:
        video.still(envs.make(given.positional[0]), _writable(still, ".png"))
    else:
        CONSOLE.print(cards.card(given.positional[0]))


def theory_command(words: list[str]) -> None:
    """Solve a small task exactly: what maximum entropy costs there, by temperature and by state."""
    known = (
        option("alpha", str, "temperatures: a number, or LOW:HIGH:COUNT, equal factors apart", "0.01:10:40"),
        option(
            "bins",
            int,
            "grid points a coordinate (11: seconds, 21: minutes); toy has its own states",
            11,
            low=3,
            high=41,
        ),
        option("gamma", float, "discount of a control step", 0.99, low=0, high=1),
        option("out", str, "folder for TASK.png and TASK.json", "theory"),
    )
    task = next((word for word in take_apart(words).positional if not word.startswith("-")), None)
    if task is not None and task not in grids.GRIDS:
        raise fields.unknown(f"grid of TASK {task!r}", task, grids.GRIDS)
    own = () if task is None else _with_defaults(envs.task(task), {})
    named = (dataclasses.replace(TASK, choices=tuple(grids.GRIDS)),)
    given = parse(f"{PROGRAM} theory", words, known, f"TASK: {', '.join(grids.GRIDS)}.", named, env=own)
    options, task = given.options, given.positional[0]
    alpha = misleading.alphas(options["alpha"])
    at = grids.model(task, envs.make(task, **given.env), options["bins"], options["gamma"])
    found = misleading.Found(task, at, alpha)
    folder = _folder(options["out"])
    for table in misleading.tables(found):
        CONSOLE.print(table)
    runs.write_json(folder / f"{task}.json", found.rows())
    misleading.draw(found, folder / f"{task}.png")
    for suffix in ("png", "json"):
        CONSOLE.print(str(folder / f"{task}.{suffix}"), markup=False, highlight=False, soft_wrap=True)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train_command,
    "sweep": sweep_command,
    "resume": resume_command,
    "submit": submit_command,
    "merge": merge_command,
    "status": status_command,
    "reproduce": reproduce_command,
    "landscape": landscape_command,
    "film": film_command,
    "envs": envs_command,
    "plan": plan_command,
    "bench": bench_command,
    "theory": theory_command,
}


def _print_commands() -> None:
    print(f"usage: {PROGRAM} COMMAND ...   ({PROGRAM} COMMAND --help tells more)\n")
    for name, command in COMMANDS.items():
        print(f"  {name:10} {(command.__doc__ or '').splitlines()[0]}")


def _writable(text: str | Path, *suffixes: str) -> Path:
    """The path of a file that is to be written."""
    path = Path(text)
    if path.suffix not in suffixes or path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        allowed = " or ".join(suffixes)
        raise InvalidSetting(f"out = {str(path)!r}: must be a {allowed} in an existing folder that can be written")
    return path


def _folder(text: str) -> Path:
    """A folder to write into, made where it is missing."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSetting(f"out = {text!r}: must be a folder that can be written") from error
    return path


def _with_defaults(cls: type, defaults: Mapping[str, Any]) -> tuple[Setting, ...]:
    return tuple(
        dataclasses.replace(field, default=defaults.get(name, field.default))
        for name, field in fields.settings(cls).items()
    )


def _seeds(text: str) -> Any:
    """A number, or a list where there is a comma; what is neither is left for `train` to refuse."""
    try:
        return [int(part) for part in text.split(",") if part.strip()] or text if "," in text else int(text)
    except ValueError:
        return text


def _grid(texts: Sequence[str], agent: type, env: type) -> dict[str, list[Any]]:
    """`FIELD=a,b` texts as values by field; a field whose own values have commas separates its values by semicolons."""
    known = {**fields.settings(agent)} | {f"env.{name}": field for name, field in fields.settings(env).items()}
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in known:
            raise fields.unknown(f"grid field {name!r}", name, known)
        if name in grid:
            raise InvalidSetting(f"grid {name} = {listed!r}: is given twice; must be given once")
        values = [part for part in listed.split(";" if known[name].type is tuple else ",") if part.strip()]
        if not equals or not values:
            raise InvalidSetting(f"grid {name} = {listed!r}: must be values separated by commas, at least one")
        where = "grid env." if name.startswith("env.") else "grid "
        grid[name] = [known[name].parse(value, where) for value in values]
    return grid


if __name__ == "__main__":
    sys.exit(main())
