"""What the published budgets need of a device's memory, before anything is trained.

    python -m experiments.forecast [TASK...]

Every run of `control` with the preset `paper`, planned as `maxent-jax plan` does it: by the compiled program; nothing
of the real size is allocated. Without a task all of them, which compiles for half an hour. What is found, with device
and versions, replaces what is known of those tasks in `docs/forecast.json`, of which `python -m experiments.results`
makes a table.
"""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from envs import fields
from envs.fields import InvalidSetting
from experiments import control, results
from experiments.contestants import CONTESTANTS, Contestant, asked
from maxent_jax import api, runs
from maxent_jax.compiled import lower
from maxent_jax.memory import footprint, held_bytes


def of_task(task: str) -> dict[str, Any]:
    """What all agents' runs on a task need, of which device and by which versions."""
    rows = [row(contestant, task) for contestant in CONTESTANTS]
    return {"device": runs.device(), "versions": runs.versions(), "rows": rows}


def row(contestant: Contestant, task: str) -> dict[str, Any]:
    """What the runs of an agent on a task hold all along, and need while they are trained, in bytes."""
    job = api.prepare(**asked(contestant, task, "paper"), memory=math.inf)
    (program,) = job.sweep.programs
    return {
        "agent": contestant.folder,
        "runs": len(program.runs),
        "steps": job.config["steps"],
        "held": held_bytes(program),
        "needed": footprint(lower(program, "train").compile(), len(program.runs)).needed,
    }


def update(tasks: Sequence[str]) -> None:
    """Plan all runs on some tasks, and keep what others have."""
    for task in tasks:
        if task not in control.TASKS:
            raise fields.unknown(f"task {task!r}", task, control.TASKS)
    path = results.DOCS / results.FORECAST
    for task in tasks:
        found = (json.loads(path.read_text()) if path.exists() else {}) | {task: of_task(task)}
        runs.write_json(path, {name: found[name] for name in control.TASKS if name in found})
        print(f"{task}: {max(one['needed'] for one in found[task]['rows']) / 1e9:.3g} GB at most")


def main(words: Sequence[str]) -> int:
    """Plan, and say a mistake in a line; the exit status."""
    try:
        update(words or control.TASKS)
    except InvalidSetting as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
