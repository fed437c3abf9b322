"""Shards of a sweep made one run directory: the one that a single host would have written, but for its clocks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import api, jobs, resuming, runs
from maxent_jax.progress import Reporter
from maxent_jax.runs import Result
from maxent_jax.sweep import Program, Shard


def merge(paths: Sequence[str | Path], out: str | Path | None = None, console: Console | None = None) -> Result:
    """Put finished shards together.

    Args:
      paths: the shards' run directories, or folders in which they lie.
      out: the run directory to make; None: the one folder in which they lie.
      console: where it is said what was made; None: nowhere.

    Returns:
      The whole sweep. It is finished: without the shards' replay nothing can be prolonged.

    Raises:
      InvalidSetting: a shard is missing, not finished, given twice or of another sweep, or `out` cannot be used.
    """
    parts = _parts([Path(path) for path in paths])
    if out is None and len(paths) != 1:
        raise InvalidSetting("out = none: must be a new or an empty folder where several are merged")
    target = Path(paths[0]) if out is None else Path(out)
    if out is None and runs.is_directory_of_run(target):
        raise InvalidSetting(f"out = {str(target)!r}: is a run directory already; must be a new or an empty folder")
    first = next(iter(parts.values()))
    whole = {name: first.config[name] for name in resuming.SAME if name != "shard"}
    agent, task = whole.pop("agent"), whole.pop("env")
    job = api.prepare(
        agent,
        task,
        **whole,
        steps=first.config["steps"],
        preset=first.config["preset"] or "paper",
        checkpoint_every=first.config["checkpoint_every"],
        keep=first.config["keep"],
        memory=float("inf"),
        out=target if out is not None else target / ".merging",
    )
    target.mkdir(parents=True, exist_ok=True)
    of_run = {info.run: part for part in parts.values() for info in part.runs}
    lines = {run: own for part in parts.values() for run, own in _lines(part).items()}
    for index, program in enumerate(job.sweep.programs):
        states = [of_run[info.run].agent_row(info.run) for info in program.runs]
        runs.save_agents(target, index, jax.tree.map(lambda *leaves: np.stack(leaves), *states))
    text = "".join(line for program in job.sweep.programs for line in _in_turn(program, lines))
    (target / "metrics.jsonl").write_text(text)
    config = dict(first.config) | {"shard": None, "runs": job.config["runs"]}
    runs.write_json(target / "config.json", config)  # last: without it the folder is none
    reporter = Reporter(console, 0)
    result = jobs.conclude(target, job.agent, job.env, finished=True)
    reporter.say(f"{target}: {len(result.runs)} runs of {len(parts)} shards")
    reporter.close()
    return result


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
        part = runs.load(folder)
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
        raise InvalidSetting(f"shard {', '.join(missing[:5])}: is missing; must be there to merge them")
    return dict(sorted(found.items()))


def _check_same(where: str, one: Mapping[str, Any], other: Mapping[str, Any], of: int, shard: Shard) -> None:
    for name in (*resuming.SAME, "steps"):
        if name != "shard" and one[name] != other[name]:
            theirs = fields.show(one[name])
            raise InvalidSetting(f"{where}: {name} = {fields.show(other[name])}: must be {theirs}, as others have")
    if shard.of != of:
        raise InvalidSetting(f"{where}: shard {shard}: must be one of {of}, as the others are")


def _lines(part: Result) -> dict[int, list[str]]:
    """The lines of metrics.jsonl as they are, by run."""
    found: dict[int, list[str]] = {info.run: [] for info in part.runs}
    for line in (part.path / "metrics.jsonl").read_text().splitlines(keepends=True):
        found[json.loads(line)["run"]].append(line)
    return found


def _in_turn(program: Program, lines: Mapping[int, Sequence[str]]) -> list[str]:
    """The lines of a program's runs as training writes them: all runs of a chunk, then the next chunk."""
    return [line for chunk in zip(*(lines[info.run] for info in program.runs), strict=True) for line in chunk]
