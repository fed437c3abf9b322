"""Is it the dynamics, or what is hidden? SAC, SAC-AdaEnt and PPO on variants of quadrotor, vehicle and quadruped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import agreeing, control
from experiments.captions import budget, record
from experiments.control import Entry
from maxent_jax import plots, stats
from maxent_jax.runs import Result

AGENTS = ("sac", "sac_adaent", "ppo")
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "quadrotor": {
        "full": {},
        "simplified": {"dynamics": "simplified"},
        "full, rates": {"observe_rates": True},
        "full, time": {"observe_time": True},
        "full, rates and time": {"observe_rates": True, "observe_time": True},
    },
    "vehicle": {"published tyres": {}, "road tyres": {"tyres": "road"}},
    "quadruped": {"from measured angles": {}, "from commanded angles": {"target_from": "commanded"}},
}
"""Fields of each variant by its name, by task."""


def run(task: str, path: Path, preset: str, console: Console | None) -> None:
    """Train the three agents on all variants of a task and draw them beside each other; all of it goes below `path`."""
    runs = {
        variant: [
            control.train(Entry(agent, agent), task, path / folder(variant) / agent, preset, console, fields)
            for agent in AGENTS
        ]
        for variant, fields in VARIANTS[task].items()
    }
    results = [result for trained in runs.values() for result in trained]
    (path / "figures").mkdir(exist_ok=True)
    draw(runs, task, path / "figures" / "dynamics.png", preset)
    rows = [
        {"variant": variant, **row} for variant, trained in runs.items() for row in control.table(trained, known={})
    ]
    agreed = {"agreement_of_fast_comparison": agreeing.of_runs(results)} if preset != "paper" else {}
    record(path / "outcome.json", preset, runs[next(iter(runs))], rows, **agreed)
    if console is not None:
        shown = Table("variant", "agent", "mean action: IQM, 95 % interval", title=f"{task}, preset {preset}")
        for row in rows:
            shown.add_row(row["variant"], row["agent"].partition(" (")[0], stats.shown(row["deterministic"]))
        console.print(shown)


def folder(variant: str) -> str:
    """Where a variant's runs are."""
    return variant.replace(", ", "-").replace(" ", "-")


def draw(runs: Mapping[str, list[Result]], task: str, path: Path, preset: str) -> None:
    """Learning curves, a panel a variant, all on the same axis."""
    drawn, axes = plots.figure(1, len(runs), width=4.2, height=4.2)
    for ax, (variant, results) in zip(axes[0], runs.items(), strict=True):
        plots.draw_curves(ax, results, statistic=stats.iqm)
        ax.set_title(variant, fontsize=10)
        ax.sharey(axes[0, 0])
    agents = [result.config["agent"] for result in runs[next(iter(runs))]]
    handles, _ = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, agents, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    first = runs[next(iter(runs))]
    drawn.supxlabel(
        f"{task}, preset {preset}: {budget(first)} {control.limits(preset, task)} {control.SEEDS[preset]} seeds; thin: "
        "every seed; bold: interquartile mean of the mean action's returns; band: its 95 % interval.",
        fontsize=8,
        wrap=True,
    )
    plots.save(drawn, path)
