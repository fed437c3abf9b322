"""How long the published budgets take on this device, and how well a few seconds of training tell.

`python -m benchmarks.budgets` writes `benchmarks/results/budgets.json` and prints its tables.

* Told beforehand and measured: whole trainings of a minute or less, compilation included, beside what
  `maxent_jax.plan.seconds` said of them.
* The published budgets of vehicle and quadrotor with 10 seeds as one program: what it says of them.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.timing import save
from maxent_jax import api, plan

SHORT = (
    ("sac", "toy", {"steps": 4_000, "seeds": 4}),
    ("sac", "vehicle", {"preset": "quick", "steps": 6_000, "seeds": 2}),
    ("sac_adaent", "quadrotor", {"preset": "quick", "steps": 2_000, "seeds": 1}),
    ("ppo", "pendulum", {"steps": 60_000, "seeds": 2, "envs": 4}),
)
AGENTS = {
    "sac": ("sac", {}),
    "sac_adaent, exact": ("sac_adaent", {}),
    "sac_adaent, fast": ("sac_adaent", {"comparison": "fast"}),
    "ppo": ("ppo", {}),
}
SEEDS = 10
GOAL = 2.0
RESULT = Path(__file__).parent / "results" / "budgets.json"


def told_and_measured(agent: str, task: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds of a training by the plan, and by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        job = api.prepare(agent, task, out=Path(folder) / "run", **options)
        (program,) = job.sweep.programs
        told = plan.seconds(program)
        jax.clear_caches()  # what was compiled to tell would not be compiled again
        began = time.perf_counter()
        api.execute(job)
        took = time.perf_counter() - began
    return {"told": told, "measured": took, "measured_over_told": took / told}


def minutes(agent: str, task: str, values: dict[str, Any]) -> float:
    """Minutes of the published budget with `SEEDS` seeds, as the plan tells them."""
    job = api.prepare(agent, task, seeds=SEEDS, agent_fields=values, memory=float("inf"))
    return plan.seconds(job.sweep.programs[0]) / 60


def main(out: Path = RESULT) -> None:
    """Measure, write the JSON after each row, print the tables.

    Args:
      out: the JSON to write.
    """
    about = f"seconds of whole trainings; minutes of the published budgets with {SEEDS} seeds, told from a few seconds"
    short, long = {}, {}
    for agent, task, options in SHORT:
        short[f"{agent} on {task}"] = {"options": options} | told_and_measured(agent, task, options)
        save(out, about, goal=GOAL, told_and_measured=short, minutes=long)
    for task in ("vehicle", "quadrotor"):
        for name, (agent, values) in AGENTS.items():
            long.setdefault(task, {})[name] = minutes(agent, task, values)
            save(out, about, goal=GOAL, told_and_measured=short, minutes=long)
    first = Table("training", "told, s", "measured, s", "measured / told")
    for name, row in short.items():
        first.add_row(name, *(f"{row[key]:.1f}" for key in ("told", "measured")), f"{row['measured_over_told']:.2f}")
    second = Table("published budget, 10 seeds", *AGENTS, title="minutes")
    for task, row in long.items():
        second.add_row(task, *(f"{value:,.0f}" for value in row.values()))
    for table in (first, second):
        Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
