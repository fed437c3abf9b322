"""The command that looks at training while it runs."""

import time
from collections.abc import Callable
from pathlib import Path

from maxent_jax import resuming, runs, status
from maxent_jax.commands import common
from maxent_jax.merging import shards_in
from maxent_jax.options import WATCH, parse
from maxent_jax.programs import Shard

SECONDS_BETWEEN_LOOKS = 5.0


def status_command(words: list[str]) -> None:
    """Say how a run fares: progress, speed, failed runs, last checkpoint, estimated end."""
    given = parse(f"{common.PROGRAM} status", words, (WATCH,), positional=(common.RUN_DIR,))
    directory, watch = Path(given.positional[0]), given.options["watch"]
    if watch and _awaits_shards(directory):
        common.CONSOLE.print(f"{directory}: no shard has begun yet", markup=False, highlight=False, soft_wrap=True)
        while _awaits_shards(directory):
            time.sleep(SECONDS_BETWEEN_LOOKS)
    states = show(directory)
    while watch and _goes_on(directory, states):
        time.sleep(SECONDS_BETWEEN_LOOKS)
        states = show(directory)


def show(directory: Path) -> list[str]:
    """Print how a run directory, or all shards in a folder, fare; the states that were found."""
    parts = _parts(directory)
    found = {part: status.read(part) for part in parts or [directory]}
    lines = status.of_shards(directory, found) if parts else status.lines(directory, found[directory])
    for line in lines:
        common.CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)
    return [one.state for one in found.values()]


def _parts(directory: Path) -> list[Path]:
    """The shards in a folder; none where it is a run directory itself, in which shards may lie still."""
    return [] if runs.is_directory_of_run(directory) else shards_in(directory)


def _goes_on(directory: Path, states: list[str]) -> bool:
    """Whether more is to come: a run trains, or a shard is not finished, for what stopped may be queued again."""
    parts = _parts(directory)
    if not parts:
        return "training" in states
    started = resuming.started_with(parts[0]) or {}
    return states.count("finished") < Shard.parse(started.get("shard")).of


def _awaits_shards(directory: Path) -> bool:
    """Whether a folder is one of shards, of which none has begun: all that it may hold is the engine's."""
    try:
        names = {path.name for path in directory.iterdir()}
    except OSError:  # there is none
        return False
    return not shards_in(directory) and all(name == "slurm" or name.startswith("shard-") for name in names)


def follow(directory: Path, done: Callable[[], bool]) -> None:
    """Print how the shards in a folder fare, from the first that begins until `done` says so, and once more then."""
    last = False
    while not last:
        last = done()
        if shards_in(directory):
            show(directory)
        if not last:
            time.sleep(SECONDS_BETWEEN_LOOKS)
