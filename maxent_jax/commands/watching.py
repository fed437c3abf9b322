"""The command that looks at training while it runs."""

import time
from pathlib import Path

from maxent_jax import status
from maxent_jax.commands import common
from maxent_jax.merging import shards_in
from maxent_jax.options import WATCH, parse

SECONDS_BETWEEN_LOOKS = 5.0


def status_command(words: list[str]) -> None:
    """Say how a run fares: progress, speed, failed runs, last checkpoint, estimated end."""
    given = parse(f"{common.PROGRAM} status", words, (WATCH,), positional=(common.RUN_DIR,))
    directory = Path(given.positional[0])
    while True:
        whole = (directory / "config.json").exists()  # shards may lie in it still
        parts = [] if whole else shards_in(directory)
        found = {part: status.read(part) for part in parts or [directory]}
        for part, one in found.items():
            for line in status.lines(part, one):
                common.CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)
        if not given.options["watch"] or not any(one.state == "training" for one in found.values()):
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
