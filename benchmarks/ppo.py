"""Does PPO, given millions of steps, beat those who know nothing, and how far is it from those who know the task?

`python -m benchmarks.ppo [--only TASK ...]` writes `benchmarks/results/ppo.json` and prints its table. PPO has its
published settings, but 64-64 nets, and the steps named here: at most an hour a task on two cores. A task counts as
learned where the lower end of the interval over seeds is above what zero and random actions return.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.timing import kept, save
from experiments import control, yardsticks
from maxent_jax import api, runs

STEPS = {
    "vehicle": 2_000_000,
    "quadrotor": 2_000_000,
    "quadruped": 500_000,
    "acrobot": 2_000_000,
    "obstacle2d": 1_000_000,
    "hopper": 500_000,
}
RESULT = Path(__file__).parent / "results" / "ppo.json"


def measure(task: str, seeds: int, console: Console) -> dict[str, Any]:
    """Train on one task: final returns beside the yardsticks', and how they came about."""
    known = {name: row["mean"] for name, row in yardsticks.recorded(task).items()}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = api.train(
            "ppo",
            task,
            seeds=seeds,
            steps=STEPS[task],
            agent_fields={"hidden": (64, 64)},
            out=Path(folder) / task,
            console=console,
        )
    summary = result.summary["configurations"][0]
    returns = {acting: summary[f"return_{acting}"] for acting in ("deterministic", "stochastic")}
    blind = max(known[name] for name in yardsticks.BLIND)
    return {
        "steps": int(np.nanmax(result.metrics["env_steps"])),
        "seeds": result.config["seeds"],
        "agent_fields": result.config["agent_fields"],
        "seconds": round(time.perf_counter() - began),
        **returns,
        "beats_zero_and_random": {acting: row["low"] > blind for acting, row in returns.items()},
        "known": known,
        "curve": {
            "env_steps": [int(steps) for steps in result.metrics["env_steps"][0]],
            "deterministic": [runs.number(mean) for mean in result.metrics["return_deterministic"].mean(axis=0)],
            "stochastic": [runs.number(mean) for mean in result.metrics["return_stochastic"].mean(axis=0)],
        },
    }


def table(rows: dict[str, Any]) -> Table:
    """One line a task."""
    shown = Table("task", "steps", "PPO's mean action", "PPO's draws", "zero", "random", "yardstick", "learned")
    for task, row in rows.items():
        ends = (row[acting] for acting in ("deterministic", "stochastic"))
        best = max(value for name, value in row["known"].items() if name not in yardsticks.BLIND)
        shown.add_row(
            task,
            f"{row['steps']:,}",
            *(f"{end['mean']:,.4g}  [{end['low']:,.4g}, {end['high']:,.4g}]" for end in ends),
            *(f"{row['known'][name]:,.4g}" for name in yardsticks.BLIND),
            f"{best:,.4g}",
            " / ".join("yes" if beats else "no" for beats in row["beats_zero_and_random"].values()),
        )
    return shown


def main(only: tuple[str, ...] = (), seeds: int = 3, out: Path = RESULT) -> None:
    """Train, write the JSON after each task, print the table.

    Args:
      only: tasks; none: all.
      seeds: how many.
      out: the JSON to write; tasks that it holds and that are not trained now stay in it.
    """
    console = Console(width=150)
    rows = kept(out).get("rows", {})
    for task in only or control.TASKS:
        rows[task] = measure(task, seeds, console)
        about = "PPO, published settings but 64-64 nets; final returns over seeds with 95 % bootstrap intervals"
        save(out, about, rows=rows)
    console.print(table(rows))


if __name__ == "__main__":
    tyro.cli(main)
