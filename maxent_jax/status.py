"""How a run directory fares, seen from outside: what another process writes is read, never locked, never changed."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.fields import InvalidSetting
from maxent_jax import checkpoints, locks, resuming
from maxent_jax.faults import Fault
from maxent_jax.wholes import SPOILT


@dataclass(frozen=True)
class Status:
    """What is known from the files of a run directory.

    Attributes:
      state: `finished`, `training`, or `stopped`.
      who: the process that trains, in words; "" where none does.
      share: of all steps of all runs, in [0, 1].
      steps: of all runs, prefill included.
      steps_per_second: of all runs of the program in flight, in its last chunk; None: nothing ran yet.
      seconds_left: until the end at that speed; None where that is not known.
      runs: how many there are.
      failed: why and when each run failed, in words, by its number.
      checkpoint: where the newest one stands, None where there is none.
      checkpoint_age: seconds since it was written.
    """

    state: str
    who: str
    share: float
    steps: int
    steps_per_second: float | None
    seconds_left: float | None
    runs: int
    failed: Mapping[int, str]
    checkpoint: checkpoints.Place | None
    checkpoint_age: float | None


def read(directory: Path, now: float | None = None) -> Status:
    """The status of a run directory.

    Args:
      directory: the run directory.
      now: seconds since the epoch; None: the clock.

    Returns:
      It.

    Raises:
      InvalidSetting: the directory has no config.json.
      Fault: something in it cannot be read.
    """
    config = resuming.started_with(directory)
    if config is None:
        raise InvalidSetting(f"run directory {str(directory)!r}: has no config.json; must hold a run")
    try:
        return _read(directory, config, time.time() if now is None else now)
    except SPOILT as error:
        reason = " ".join(str(error).split())[:200]
        raise Fault(f"run directory {str(directory)!r}: cannot be read ({reason})") from error


def _read(directory: Path, config: Mapping[str, Any], now: float) -> Status:
    first, last, failed = _ends(directory)
    runs = len(config["runs"])
    trained = sum(min(last[run]["env_steps"] - first[run]["env_steps"], config["steps"]) for run in last)
    finished = resuming.is_finished(directory)
    share = 1.0 if finished else trained / max(1, config["steps"] * runs)
    newest = list(last.values())[-1:]
    speed = None
    if newest:
        flying = {entry["run"] for entry in config["runs"] if entry["program"] == _program(config, newest[0]["run"])}
        speed = sum(line.get("env_steps_per_second") or 0.0 for run, line in last.items() if run in flying)
    who = locks.holder(directory)
    left = None
    if speed and who and not finished and trained:
        since = now - (directory / "metrics.jsonl").stat().st_mtime
        left = max(0.0, (config["steps"] * runs - trained) / speed - since)
    place = checkpoints.peek(directory)
    return Status(
        state="finished" if finished else "training" if who else "stopped",
        who=who,
        share=share,
        steps=sum(line["env_steps"] for line in last.values()),
        steps_per_second=speed,
        seconds_left=left,
        runs=runs,
        failed=failed,
        checkpoint=place,
        checkpoint_age=None if place is None else now - _written(directory, place),
    )


def _program(config: Mapping[str, Any], run: int) -> Any:
    return next((entry["program"] for entry in config["runs"] if entry["run"] == run), None)


def _ends(directory: Path) -> tuple[dict[int, Any], dict[int, Any], dict[int, str]]:
    """The first and the last line of every run, the run with the newest line last; and which runs failed, and why."""
    first: dict[int, Any] = {}
    last: dict[int, Any] = {}
    failed: dict[int, str] = {}
    try:
        text = (directory / "metrics.jsonl").read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    for raw in text.splitlines():
        try:
            line = json.loads(raw)
            run = int(line["run"])
            lost = line.get("failed")
            why = f"{lost['cause']} at step {lost['step']:,}" if lost else ""
            if not isinstance(line["env_steps"], int):
                continue
        except SPOILT:  # a line that is being written right now, or a damaged one
            continue
        first.setdefault(run, line)
        last.pop(run, None)
        last[run] = line
        if why:
            failed[run] = why
    return first, last, failed


def _written(directory: Path, place: checkpoints.Place) -> float:
    try:
        return (directory / checkpoints.FOLDER / place.name / "manifest.json").stat().st_mtime
    except OSError:  # removed just now, for a newer one
        return time.time()


def lines(directory: Path, status: Status) -> list[str]:
    """A status for people."""
    told = {
        "finished": "finished",
        "training": f"training, {status.who}",
        "stopped": f"stopped; `maxent-jax resume {directory}` goes on",
    }[status.state]
    shown = [f"{directory}: {told}", f"  progress    {status.share:.1%}, {status.steps:,} steps of {status.runs} runs"]
    if status.steps_per_second is not None:
        shown.append(f"  speed       {status.steps_per_second:,.0f} steps/s, all runs in flight together")
    if status.seconds_left is not None:
        shown.append(f"  end         {_end(status.seconds_left)}")
    which = f": {', '.join(f'run {run} ({why})' for run, why in sorted(status.failed.items())[:5])}"
    shown.append(f"  failed      {len(status.failed)} of {status.runs}{which if status.failed else ''}")
    return [*shown, f"  checkpoint  {_checkpoint(status)}"]


def _end(seconds: float) -> str:
    return f"in about {seconds:,.0f} s, {time.strftime('%Y-%m-%d %H:%M', time.localtime(time.time() + seconds))}"


def _checkpoint(status: Status) -> str:
    place, age = status.checkpoint, status.checkpoint_age
    return "none yet" if place is None else f"program {place.program}, chunk {place.chunk}, {age:,.0f} s ago"


def of_shards(folder: Path, shards: Mapping[Path, Status]) -> list[str]:
    """The status of all shards of a sweep for people: a line each, and what is known of all together.

    Args:
      folder: in which they lie.
      shards: what was read of those that have begun, by their run directory.
    """
    total = max((_of(path) for path in shards), default=0)
    states = [status.state for status in shards.values()]
    counts = [f"{states.count(state)} {state}" for state in ("finished", "training", "stopped") if state in states]
    waiting = total - len(shards)
    counts += [f"{waiting} not begun"] if waiting else []
    rows = [("shard", "state", "progress", "steps/s", "failed", "checkpoint", "end")]
    rows += [(path.name.removeprefix("shard-").replace("-of-", "/"), *_cells(one)) for path, one in shards.items()]
    runs, failed = sum(one.runs for one in shards.values()), sum(len(one.failed) for one in shards.values())
    speed = sum(one.steps_per_second or 0.0 for one in shards.values() if one.state == "training")
    left = [one.seconds_left for one in shards.values() if one.state == "training"]
    known = [seconds for seconds in left if seconds is not None]
    sure = len(known) == len(left) and "stopped" not in states and not waiting
    end = f"{'' if sure else 'not before: '}{_end(max(known))}" if known else ""
    share = sum(one.share * one.runs for one in shards.values()) / max(1, runs)
    if waiting:  # about as many runs as the others have
        share *= len(shards) / total
    rows.append(("all", "", f"{share:.1%}", f"{speed:,.0f}", f"{failed} of {runs}", "", end))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = [f"{folder}: {total} shards, {', '.join(counts)}"]
    shown += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    for path, one in shards.items():
        shown += [f"  failed: run {run} of {path.name} ({why})" for run, why in sorted(one.failed.items())[:5]]
    stopped = [path for path, one in shards.items() if one.state == "stopped"]
    return shown + [f"  `maxent-jax resume {path}` goes on" for path in stopped[:5]]


def _cells(one: Status) -> tuple[str, ...]:
    speed = "" if one.steps_per_second is None or one.state != "training" else f"{one.steps_per_second:,.0f}"
    end = "" if one.seconds_left is None else _end(one.seconds_left)
    return one.state, f"{one.share:.1%}", speed, f"{len(one.failed)} of {one.runs}", _checkpoint(one), end


def _of(path: Path) -> int:
    """How many shards there are, as a shard's folder is called."""
    last = path.name.rsplit("-", 1)[-1]
    return int(last) if last.isdigit() else 0
