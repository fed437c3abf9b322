"""To the end: SAC with and without entropy, and PPO, over all published steps; `control` makes a few per cent."""

from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import outcome, published, yardsticks
from experiments.captions import comparison
from maxent_jax import api, plots, stats, tables
from maxent_jax.result import Result

TASKS = ("vehicle", "quadrotor")
ALPHAS = (0.2, 0.0)
"""The published temperature, and none; both are one program."""
SEEDS = {"quick": 2, "cpu": 5, "paper": 10}
QUICK_STEPS = 2_000
EVALUATIONS = {"quick": 8, "cpu": 40, "paper": 40}


def run(task: str, path: Path, preset: str, console: Console | None) -> list[Result]:
    """Train the agents on one task and draw where they end; everything goes below `path`."""
    shared: dict[str, Any] = {
        "seeds": SEEDS[preset],
        "evaluations": EVALUATIONS[preset],
        "preset": preset,
        "resume": True,
        "console": console,
    }
    sac = api.sweep("sac", task, {"alpha": ALPHAS}, steps=steps("sac", task, preset), out=path / "sac", **shared)
    ppo = api.train("ppo", task, steps=steps("ppo", task, preset), out=path / "ppo", **shared)
    results = [sac, ppo]
    rows = outcome.table(tables.entries(results), yardsticks.recorded(task))
    outcome.record(path / "outcome.json", preset, results, rows)
    (path / "figures").mkdir(exist_ok=True)
    draw(results, task, path / "figures" / "curves.png", comparison(preset, results, rows))
    outcome.show(console, rows, f"{task}, preset {preset}")
    return results


def steps(agent: str, task: str, preset: str) -> int:
    """Environment steps a run: all that are published, whatever a preset would make of them."""
    return QUICK_STEPS if preset == "quick" else published.row(agent, task).steps


def draw(results: list[Result], task: str, path: Path, words: str) -> None:
    """Learning curves and final returns, beside the yardsticks."""
    drawn, axes = plots.figure(1, 2, width=5.5, height=4.4)
    plots.draw_curves(axes[0, 0], results, statistic=stats.iqm)
    plots.draw_finals(axes[0, 1], results)
    for ax in axes[0]:
        plots.draw_lines(ax, yardsticks.lines(task))
    plots.same_heights(list(axes[0]))
    note = (
        "Thin: every seed; bold: interquartile mean of the mean action's returns; band: its 95 % interval, seeds "
        "resampled. Dots: final returns by seed, beside their interquartile mean and its interval."
    )
    plots.finish(drawn, f"{task}. {words} {note}", path, axes[0, 0].get_legend_handles_labels())
