"""The control tasks: SAC, SAC-AdaEnt and PPO on each, beside those who know the task and those who know nothing."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import published, yardsticks
from experiments.captions import budget, record
from maxent_jax import api, plots
from maxent_jax.runs import Result

TASKS = ("vehicle", "quadrotor", "quadruped", "acrobot", "obstacle2d", "hopper")
AGENTS = ("sac", "sac_adaent", "ppo")
SEEDS = {"quick": 3, "cpu": 5, "paper": 10}
EVALUATIONS = {("quick", "hopper"): 8, ("quick", "quadruped"): 8}
"""Where evaluating 20 times would take longer than training."""


def run(task: str, path: Path, preset: str, console: Console | None) -> list[Result]:
    """Train the three agents on one task, draw their curves, print who ends where; everything goes below `path`."""
    known = yardsticks.recorded(task)
    options: dict[str, Any] = {
        "seeds": SEEDS[preset],
        "evaluations": EVALUATIONS.get((preset, task), 20),
        "preset": preset,
        "resume": True,
        "console": console,
    }
    results = [api.train(name, task, out=path / name, **options) for name in AGENTS]
    (path / "figures").mkdir(exist_ok=True)
    plots.curves(
        results,
        path / "figures" / "curves.png",
        lines=yardsticks.lines(task),
        caption=f"Preset {preset}: {budget(results)} {limits(preset, task)}",
    )
    rows = table(results, known)
    record(path / "outcome.json", preset, results, rows)
    if console is not None:
        shown = Table("agent", "mean action: return, 95 % interval", "sampled", title=f"{task}, preset {preset}")
        for row in rows:
            shown.add_row(row["agent"], *(_with_interval(row[key]) for key in ("deterministic", "stochastic")))
        console.print(shown)
    return results


def limits(preset: str, task: str) -> str:
    """What a budget does not show."""
    if preset == "paper":
        return "Published budget."
    most = max(published.row(agent, task).steps for agent in AGENTS)
    amount = f"{most / 1e6:g} M" if most >= 1e6 else f"{most / 1e3:g} k"
    return f"Below the published {amount} steps, smaller nets: it shows how the agents begin, not who wins in the end."


def table(results: list[Result], known: Any) -> list[dict[str, Any]]:
    """Final returns, agents and yardsticks alike.

    Args:
      results: the runs.
      known: rows of `yardsticks.recorded`.

    Returns:
      One row each; what the controllers that were not trained return has no second way of acting.
    """
    rows = []
    for result in results:
        summary = result.summary["configurations"][0]
        both = {"deterministic": summary["return_deterministic"], "stochastic": summary["return_stochastic"]}
        rows.append({"agent": result.config["agent"], **both, "switched_share": summary["switched_share"]})
    for name, row in known.items():
        numbers = {key: row[key] for key in ("mean", "low", "high", "std")}
        rows.append({"agent": name, "deterministic": numbers, "stochastic": None, "switched_share": None})
    return rows


def _with_interval(numbers: dict[str, Any] | None) -> str:
    if numbers is None:
        return ""
    digits = 1 if abs(numbers["mean"]) < 1000 else 0
    ends = "" if numbers["low"] is None else f"  [{numbers['low']:,.{digits}f}, {numbers['high']:,.{digits}f}]"
    return f"{numbers['mean']:,.{digits}f}{ends}"
