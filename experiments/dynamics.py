"""Is it the dynamics, or what is hidden? SAC, SAC-AdaEnt and PPO on variants of quadrotor, vehicle and quadruped."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import contestants, outcome, yardsticks
from experiments.captions import budget, judged, limits
from experiments.contestants import Contestant
from maxent_jax import compare, plots, stats, tables, verdict
from maxent_jax.result import Result

AGENTS = ("sac", "ppo", "sac_adaent")
"""The one that is not on every variant is the last, so that all have the same colour on each."""
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
OBSERVING = frozenset(("observe_rates", "observe_time"))
"""Those that change what is seen, and nothing else."""


def run(task: str, path: Path, preset: str, console: Console | None) -> None:
    """Train the agents on all variants of a task and draw them beside each other; all of it goes below `path`."""
    runs = {
        variant: [
            contestants.train(Contestant(agent, agent), task, path / folder(variant) / agent, preset, console, fields)
            for agent in agents(fields)
        ]
        for variant, fields in VARIANTS[task].items()
    }
    results = [result for trained in runs.values() for result in trained]
    first = {result.config["agent"]: result for result in results[: len(AGENTS)]}
    rows = [
        {"variant": variant, **row, "gain": gain(first[result.config["agent"]], result)}
        for variant, trained in runs.items()
        for result, row in zip(trained, outcome.table(tables.entries(trained), known={}), strict=True)
    ]
    outcome.record(path / "outcome.json", preset, results, rows)
    (path / "figures").mkdir(exist_ok=True)
    draw(runs, task, path / "figures" / "dynamics.png", f"{task}, preset {preset}: {caption(results, rows)}")
    if console is not None:
        shown = Table("variant", "agent", "mean action: IQM, 95 % interval", title=f"{task}, preset {preset}")
        for row in rows:
            shown.add_row(row["variant"], row["agent"].partition(" (")[0], stats.shown(row["deterministic"]))
        console.print(shown)


def agents(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Who is trained on a variant; what is hidden is asked of SAC and PPO, for SAC-AdaEnt costs as much as three."""
    return tuple(agent for agent in AGENTS if agent != "sac_adaent" or not OBSERVING & fields.keys())


def gain(first: Result, result: Result) -> dict[str, Any] | None:
    """What an agent's final interquartile mean gains over that on the first variant, with its interval.

    None for the first variant itself, and where returns do not mean the same.
    """
    one, other = tables.Entry(first, 0), tables.Entry(result, 0)
    if first is result or not verdict.comparable(one, other):
        return None
    return dataclasses.asdict(compare.compare(one, other).difference)


def caption(results: list[Result], rows: list[dict[str, Any]]) -> str:
    """Budget and nets, what is gained, the verdicts, and what all that does not show."""
    told = [f"{row['agent']} on {row['variant']} {stats.shown(row['gain'])}" for row in rows if row["gain"]]
    gained = f"Gain over {rows[0]['variant']}: {'; '.join(told)}." if told else ""
    parts = (budget(results), gained, judged(results), limits(results))
    return " ".join(part for part in parts if part)


def folder(variant: str) -> str:
    """Where a variant's runs are."""
    return variant.replace(", ", "-").replace(" ", "-")


def draw(runs: Mapping[str, list[Result]], task: str, path: Path, words: str) -> None:
    """Learning curves, a panel a variant, all on the same axis, beside yardsticks of the same physics."""
    drawn, axes = plots.figure(1, len(runs), width=4.2, height=4.2)
    trained = tables.entries([result for results in runs.values() for result in results])
    known = yardsticks.for_verdicts(trained).get(task)
    seen: dict[str, Any] = {}
    for ax, (variant, results) in zip(axes[0], runs.items(), strict=True):
        plots.draw_curves(ax, results, statistic=stats.iqm)
        if known is not None and all(known.fit(entry) for entry in tables.entries(results)):
            plots.draw_lines(ax, yardsticks.lines(task))
        ax.set_title(variant, fontsize=10)
        ax.sharey(axes[0, 0])
        handles, names = ax.get_legend_handles_labels()
        seen |= {name.partition(" (")[0].partition(", ")[0]: line for line, name in zip(handles, names, strict=True)}
    first, limits = axes[0, 0], [ax.dataLim for ax in axes[0]]
    if first.get_yscale() == "symlog":  # `sharey` takes the name of a scale alone, and the first panel's limits
        first.set_yscale("symlog", linthresh=first.yaxis.get_transform().linthresh)
        first.set_ylim(min(each.y0 for each in limits), min(0.0, max(each.y1 for each in limits) / 2))
    note = (
        "Thin: every seed; bold: interquartile mean of the mean action's returns; band: its 95 % interval; "
        "grey: controllers that were not trained, where the physics are theirs."
    )
    plots.finish(drawn, f"{words} {note}", path, (seen.values(), seen.keys()))
