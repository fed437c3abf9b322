"""The command that looks at training while it runs."""

import time
from collections.abc import Callable
from pathlib import Path

from maxent_jax import runs, status
from maxent_jax.commands import common
from maxent_jax.merging import shards_in
from maxent_jax.options import WATCH, parse

SECONDS_BETWEEN_LOOKS = 5.0


def status_command(words: list[str]) -> None:
    """Say how a run fares: progress, speed, failed runs, last checkpoint, estimated end."""
    given = parse(f"{common.PROGRAM} status", words, (WATCH,), positional=(common.RUN_DIR,))
    directory = Path(given.positional[0])
    while "training" in show(directory) and given.options["watch"]:
        time.sleep(SECONDS_BETWEEN_LOOKS)


def show(directory: Path) -> set[str]:
    """Print how a run directory, or all shards in a folder, fare; the states that were found."""
    parts = [] if runs.is_directory_of_run(directory) else shards_in(directory)  # shards may lie in it still
    found = {part: status.read(part) for part in parts or [directory]}
    lines = status.of_shards(directory, found) if parts else status.lines(directory, found[directory])
    for line in lines:
        common.CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)
    return {one.state for one in found.values()}


def follow(directory: Path, done: Callable[[], bool]) -> None:
    """Print how the shards in a folder fare, from the first that begins until `done` says so, and once more then."""
    last = False
    while not last:
        last = done()
        if shards_in(directory):
            show(directory)
        if not last:
            time.sleep(SECONDS_BETWEEN_LOOKS)
