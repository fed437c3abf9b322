"""What planners and scripted controllers return on our tasks, beside zero and random actions.

`python -m benchmarks.yardsticks [TASK ...]` measures all tasks, or those named, prints their table and writes them into
`docs/yardsticks.json`, which the figures of `maxent-jax reproduce control` read.
"""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from envs.fields import InvalidSetting
from experiments import yardsticks
from maxent_jax import runs


def main(names: Sequence[str]) -> int:
    """Measure the tasks named, or all; each is written as soon as it is known."""
    console = Console()
    try:
        for name in names:
            yardsticks.controllers(name)
    except InvalidSetting as error:
        print(f"benchmarks.yardsticks: {error}", file=sys.stderr)
        return 2
    for name in names or list(yardsticks.KNOWING):
        found = yardsticks.measure(name)
        known = yardsticks.record() | {name: found}
        runs.write_json(yardsticks.PLACES[0], {task: known[task] for task in yardsticks.KNOWING if task in known})
        console.print(table(name, found["rows"]))
    return 0


def table(task: str, rows: dict[str, Any]) -> Table:
    """Returns of one task."""
    shown = Table("controller", "mean return", "95 % interval", "seconds", title=task)
    for name, row in rows.items():
        shown.add_row(name, f"{row['mean']:,.5g}", f"{row['low']:,.5g} to {row['high']:,.5g}", f"{row['seconds']:g}")
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
