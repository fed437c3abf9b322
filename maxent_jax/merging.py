"""Shards of a sweep made one run directory: the one that a single host would have written, but for clocks and rounding.

It is built in a folder inside it, `.merging`, and put in place when it is whole; config.json, which makes a folder a
run directory, comes last. So a merge that was killed left none, and can be repeated.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import api, checkpoints, jobs, locks, resuming, runs
from maxent_jax.faults import Fault
from maxent_jax.jobs import Job
from maxent_jax.programs import Program, Shard, Sweep
from maxent_jax.progress import Reporter
from maxent_jax.result import Result, load

DRAFT = ".merging"
MADE = (checkpoints.FOLDER, "metrics.jsonl", "summary.json", "figures", "config.json")
"""What a merge makes, in the order in which it is put in place."""
SHOWN = 5


def merge(paths: Sequence[str | Path], out: str | Path | None = None, console: Console | None = None) -> Result:
    """Put finished shards together.

    Args:
      paths: the shards' run directories, or folders in which they lie.
      out: the run directory to make; None: the one folder in which they lie.
      console: where it is said what was made, and what shards differ in that may change numbers; None: nowhere.

    Returns:
      The whole sweep. It is finished: without the shards' replay nothing can be prolonged.

    Raises:
      InvalidSetting: a shard is missing, not finished, given twice or of another sweep, or `out` cannot be used.
      Fault: a shard is damaged, the disk is full, or another process merges into the same folder; nothing is made.
    """
    parts = _parts([Path(path) for path in paths])
    target = _target([Path(path) for path in paths], out)
    reporter = Reporter(console, 0)
    try:
        for line in _mixed(parts):
            reporter.say(f"{target}: warning: {line}")
        with _draft_in(target) as draft:
            result = _build(draft, parts)
        reporter.say(f"{target}: {len(result.runs)} runs of {len(parts)} shards")
    finally:
        reporter.close()
    return dataclasses.replace(result, path=target)


def shards_in(folder: Path) -> list[Path]:
    """The shards' run directories in a folder, by number."""
    try:
        found = [path for path in folder.glob("shard-*-of-*") if runs.is_directory_of_run(path)]
    except (OSError, ValueError):  # no name of a folder
        return []
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else 0 for part in path.name.split("-")])


def _parts(paths: Sequence[Path]) -> dict[int, Result]:
    """All shards of one sweep by their index, finished and whole."""
    found: dict[int, Result] = {}
    folders = [one for path in paths for one in ([path] if runs.is_directory_of_run(path) else shards_in(path))]
    if not folders:
        raise InvalidSetting(f"{str(paths[0])!r}: holds no shard; must be run directories that --shard made")
    of = 0
    for folder in folders:
        part = load(folder)
        where = f"run directory {str(folder)!r}"
        if part.config.get("shard") is None:
            raise InvalidSetting(f"{where}: is no shard; must have been made with --shard")
        shard = Shard.parse(part.config["shard"])
        if shard.index in found:
            raise InvalidSetting(f"{where}: shard {shard} is there twice; must be there once")
        if found:
            _check_same(where, next(iter(found.values())).config, part.config, of, shard)
        if not resuming.is_finished(folder):
            raise InvalidSetting(f"{where}: is not finished; must be, `maxent-jax resume {folder}` goes on with it")
        found[shard.index], of = part, shard.of
    total = len(found[min(found)].config["seeds"]) * len(found[min(found)].config["configurations"])
    missing = [str(Shard(index, of)) for index in range(1, min(of, total) + 1) if index not in found]
    if missing:
        raise InvalidSetting(f"shard {', '.join(missing[:SHOWN])}: is missing; must be there to merge them")
    return dict(sorted(found.items()))


def _check_same(where: str, one: Mapping[str, Any], other: Mapping[str, Any], of: int, shard: Shard) -> None:
    for name in (*resuming.SAME, "steps", "prolonged_from"):
        if name != "shard" and one.get(name) != other.get(name):
            theirs = fields.show(one.get(name))
            raise InvalidSetting(f"{where}: {name} = {fields.show(other.get(name))}: must be {theirs}, as others have")
    if shard.of != of:
        raise InvalidSetting(f"{where}: shard {shard}: must be one of {of}, as the others are")


def _target(paths: Sequence[Path], out: str | Path | None) -> Path:
    """Where the run directory is to be: a folder in which nothing is in its way but what a killed merge left."""
    if out is None and len(paths) != 1:
        raise InvalidSetting("out = none: must be a new or an empty folder where several are merged")
    target = paths[0] if out is None else Path(out)
    if out is None and runs.is_directory_of_run(target):
        raise InvalidSetting(f"out = {str(target)!r}: is a run directory already; must be a new or an empty folder")
    found: set[str] = set()
    with contextlib.suppress(OSError, ValueError):  # what is no folder is told below
        found = set(os.listdir(target))
    more = found - {locks.NAME, DRAFT, *_put(target)}
    if out is not None and (more or not found):
        runs.check_out(target, 0)
    if taken := [name for name in MADE if name in more]:
        raise InvalidSetting(f"out = {str(target)!r}: holds {taken[0]!r}; must hold nothing but shards, or be new")
    return target


@contextlib.contextmanager
def _draft_in(target: Path) -> Iterator[Path]:
    """A new folder whose content is put in place in the end; or else nothing stays of it.

    Raises:
      Fault: it cannot be made, or another process merges here.
    """
    new = not target.exists()
    draft = target / DRAFT
    try:
        target.mkdir(parents=True, exist_ok=True)
        with locks.hold(target):
            _clear(target)
            try:
                draft.mkdir()
                yield draft
                for name in MADE:
                    (draft / name).replace(target / name)
            finally:
                _clear(target)
    except OSError as error:
        reason = error.strerror or error
        raise Fault(f"run directory {str(target)!r}: cannot be made ({reason}); nothing of it was kept") from error
    finally:
        if new:
            with contextlib.suppress(OSError):  # what was made stays
                target.rmdir()


def _put(target: Path) -> list[str]:
    """What a merge that was killed in the very end has put in place already."""
    draft = target / DRAFT
    whole = (draft / MADE[-1]).exists()
    return [*itertools.takewhile(lambda name: not (draft / name).exists(), MADE)] if whole else []


def _clear(target: Path) -> None:
    """Remove all that a merge left which did not come to its end."""
    for path in (*(target / name for name in _put(target)), target / DRAFT):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _build(draft: Path, parts: Mapping[int, Result]) -> Result:
    """Write the run directory of all shards.

    Raises:
      Fault: one is damaged, or the disk is full.
    """
    first = next(iter(parts.values())).config
    job = _whole(first, draft)
    for part in parts.values():
        resuming.check_runs(part.path, part.config, job.config | {"runs": _runs_of(job, part)})
    of_run = {info.run: part for part in parts.values() for info in part.runs}
    lines = {run: own for part in parts.values() for run, own in _lines(part, job.sweep).items()}
    (draft / "metrics.jsonl").write_text(
        "".join(itertools.chain(*(_in_turn(one, lines) for one in job.sweep.programs)))
    )
    for index, program in enumerate(job.sweep.programs):
        states = [of_run[info.run].agent_row(info.run) for info in program.runs]
        _save_agents(draft, index, jax.tree.map(lambda *leaves: np.stack(leaves), *states))
    runs.write_json(draft / "config.json", dict(first) | {"shard": None, "runs": job.config["runs"]})
    return jobs.conclude(draft, job.agent, job.env, finished=True)


def _whole(config: Mapping[str, Any], out: Path) -> Job:
    """The sweep of which this is the config.json of a shard, as one host would train it."""
    asked = {name: config[name] for name in resuming.SAME if name != "shard"}
    agent, env, steps = asked.pop("agent"), asked.pop("env"), resuming.first_steps(config)
    job = api.prepare(agent, env, **asked, steps=steps, memory=float("inf"), out=out)
    return dataclasses.replace(job, sweep=resuming.longer(job.sweep, config["steps"]))


def _runs_of(job: Job, part: Result) -> list[dict[str, Any]]:
    """What a shard's config.json must say of its runs; programs without a run of it are none there."""
    shard = Shard.parse(part.config["shard"])
    members = ([info for info in program.runs if shard.has(info.run)] for program in job.sweep.programs)
    own = [
        dataclasses.asdict(info) | {"program": index}
        for index, program in enumerate(filter(None, members))
        for info in program
    ]
    return sorted(own, key=lambda entry: entry["run"])


def _save_agents(directory: Path, index: int, state: Any) -> None:
    try:
        runs.save_agents(directory, index, state)
    except (ValueError, RuntimeError) as error:  # TensorStore's for a full disk
        raise OSError(" ".join(str(error).split())[:160]) from error


def _lines(part: Result, sweep: Sweep) -> dict[int, list[str]]:
    """The lines of metrics.jsonl as they are, by run.

    Raises:
      Fault: one is missing, there twice, or of no run of this shard.
    """
    damaged = f"run directory {str(part.path)!r}: metrics.jsonl is damaged"
    found: dict[int, dict[Any, str]] = {info.run: {} for info in part.runs}
    for number, line in enumerate((part.path / "metrics.jsonl").read_text().splitlines(), 1):
        told = json.loads(line)
        own = found.get(told["run"])
        if own is None or told["env_steps"] in own:
            raise Fault(f"{damaged}: line {number}, of run {fields.show(told['run'])}, does not belong there")
        own[told["env_steps"]] = f"{line}\n"
    lines = {}
    for program in sweep.programs:
        steps = _steps(program)
        for own, run in ((found[info.run], info.run) for info in program.runs if info.run in found):
            if missing := [step for step in steps if step not in own]:
                raise Fault(f"{damaged}: it lacks the line of run {run} at step {missing[0]}")
            if len(own) > len(steps):
                raise Fault(f"{damaged}: it has {len(own)} lines of run {run}; must be {len(steps)}")
            lines[run] = [own[step] for step in steps]
    return lines


def _steps(program: Program) -> list[int]:
    """Of a run, so far, after the prefill and after each chunk."""
    plan = program.schedule
    return [plan.envs * plan.prefill + chunk * plan.chunk_steps for chunk in range(plan.chunks + 1)]


def _in_turn(program: Program, lines: Mapping[int, Sequence[str]]) -> list[str]:
    """The lines of a program's runs as training writes them: all runs of a chunk, then the next chunk."""
    return [line for chunk in zip(*(lines[info.run] for info in program.runs), strict=True) for line in chunk]


def _mixed(parts: Mapping[int, Result]) -> list[str]:
    """With what else than the first other shards were trained that may change numbers, a line for all alike."""
    first = next(iter(parts))
    alike: dict[str, list[int]] = defaultdict(list)
    for index, part in parts.items():
        used = (part.config, *part.config.get("continued_with", ()))
        changed = [change for one in used for change in resuming.changes(parts[first].config, one)]
        alike[", ".join(dict.fromkeys(changed))].append(index)
    return [
        f"shard {', '.join(map(str, which[:SHOWN]))}{' ...' * (len(which) > SHOWN)}: "
        f"not as shard {first} began: {changed}; numbers may differ from those of one host"
        for changed, which in alike.items()
        if changed
    ]
