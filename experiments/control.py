"""The control tasks: entropy in every amount, and agents without, beside those who know the task or nothing."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import agreeing, published, yardsticks
from experiments.captions import budget, record
from experiments.landscape import FAST
from maxent_jax import api, plots, stats
from maxent_jax.runs import Result

TASKS = ("vehicle", "quadrotor", "quadruped", "acrobot", "obstacle2d", "hopper")
SEEDS = {"quick": 3, "cpu": 5, "paper": 10}
EVALUATIONS = {("quick", "hopper"): 8, ("quick", "quadruped"): 8}
"""Where evaluating 20 times would take longer than training."""
STEPS = {("cpu", "ppo"): 300_000, "cpu": 60_000}
"""Environment steps by preset, or by preset and agent: those of the preset's table would take longer than an hour."""
MUJOCO_STEPS = {("cpu", "ppo"): 100_000, "cpu": 25_000}
"""Likewise where a step has contacts and costs a hundred times as much."""
CONTACTS = ("quadruped", "hopper")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the comparison.

    Attributes:
      folder: its run directory.
      agent: a registered agent.
      fields: what is not as published for the task.
    """

    folder: str
    agent: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


ENTRIES = (
    Entry("sac", "sac"),
    Entry("sac-auto", "sac", {"auto_alpha": True}),
    Entry("sac-plain", "sac", {"alpha": 0.0}),
    Entry("sac_adaent", "sac_adaent"),
    Entry("ppo", "ppo"),
    Entry("td3", "td3"),
    Entry("ddpg", "ddpg"),
    Entry("sql", "sql"),
)
SMOKE = ("sac", "sac_adaent", "ppo")
"""Those of the preset `quick`."""


def run(task: str, path: Path, preset: str, console: Console | None) -> list[Result]:
    """Train all agents on one task, draw their curves, print who ends where; everything goes below `path`."""
    known = yardsticks.recorded(task)
    results = [train(entry, task, path / entry.folder, preset, console) for entry in entries(preset)]
    (path / "figures").mkdir(exist_ok=True)
    draw(results, task, path / "figures" / "curves.png", f"Preset {preset}: {budget(results)} {limits(preset, task)}")
    rows = table(results, known)
    agreed = {"agreement_of_fast_comparison": agreeing.of_runs(results)} if preset != "paper" else {}
    record(path / "outcome.json", preset, results, rows, **agreed)
    if console is not None:
        shown = Table(
            *("agent", "mean action: IQM, 95 % interval", "sampled", "better than sac, probability", "minutes"),
            title=f"{task}, preset {preset}",
        )
        for row in rows:
            returns = (stats.shown(row[key]) for key in ("deterministic", "stochastic"))
            better, minutes = row["better_than_sac"], row["minutes"]
            shown.add_row(
                row["agent"],
                *returns,
                "" if better is None else f"{better['value']:.2f} [{better['low']:.2f}, {better['high']:.2f}]",
                "" if minutes is None else f"{minutes:.1f}",
            )
        console.print(shown)
    return results


def entries(preset: str) -> tuple[Entry, ...]:
    """Who is trained."""
    return tuple(entry for entry in ENTRIES if preset != "quick" or entry.folder in SMOKE)


def train(
    entry: Entry,
    task: str,
    out: Path,
    preset: str,
    console: Console | None,
    env_fields: Mapping[str, Any] | None = None,
) -> Result:
    """One line of the comparison on one task, or on a variant of it; it goes on where it was stopped."""
    fast = FAST if entry.agent == "sac_adaent" and preset != "paper" else {}
    limits = MUJOCO_STEPS if task in CONTACTS else STEPS
    return api.train(
        entry.agent,
        task,
        seeds=SEEDS[preset],
        steps=limits.get((preset, entry.agent), limits.get(preset)),
        evaluations=EVALUATIONS.get((preset, task), 20),
        preset=preset,
        agent_fields={**fast, **entry.fields},
        env_fields=env_fields,
        out=out,
        resume=True,
        console=console,
    )


def limits(preset: str, task: str) -> str:
    """What a budget does not show."""
    if preset == "paper":
        return "Published budget."
    most = max(published.row(entry.agent, task).steps for entry in ENTRIES)
    amount = f"{most / 1e6:g} M" if most >= 1e6 else f"{most / 1e3:g} k"
    return f"Below the published {amount} steps, smaller nets: it shows how the agents begin, not who wins in the end."


def draw(results: list[Result], task: str, path: Path, caption: str) -> None:
    """Interquartile means by steps, by minutes, and of sampled actions by steps, beside the yardsticks."""
    drawn, axes = plots.figure(1, 3, width=5.4, height=4.6)
    views: tuple[dict[str, Any], ...] = ({}, {"minutes": True}, {"column": "return_stochastic"})
    for ax, view in zip(axes[0], views, strict=True):
        plots.draw_curves(ax, results, statistic=stats.iqm, **view)
        plots.draw_lines(ax, yardsticks.lines(task))
    handles, names = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    note = (
        "Thin: every seed; bold: interquartile mean; band: its 95 % interval, seeds resampled. Minutes are those of "
        "all seeds of an agent together, on the device that outcome.json names."
    )
    drawn.supxlabel(f"{task}. {caption} {note}", fontsize=8, wrap=True)
    plots.save(drawn, path)


def table(results: list[Result], known: Any) -> list[dict[str, Any]]:
    """Final returns, agents and yardsticks alike.

    Args:
      results: the runs, SAC first.
      known: rows of `yardsticks.recorded`.

    Returns:
      One row each; what the controllers that were not trained return has no second way of acting, no minutes, and no
      seeds that could be better than SAC's.
    """
    ways = {"deterministic": "return_deterministic", "stochastic": "return_stochastic"}
    finals = [result.summary["configurations"][0] for result in results]
    rows = []
    for result, final in zip(results, finals, strict=True):
        seeds = [one[ways["deterministic"]]["per_seed"] for one in (final, finals[0])]
        better = None if result is results[0] else stats.probability_of_improvement([(seeds[0], seeds[1])])
        rows.append(
            {
                "agent": plots.label(result, 0),
                **{way: final[column] for way, column in ways.items()},
                "better_than_sac": None if better is None else dataclasses.asdict(better),
                "switched_share": final["switched_share"],
                "steps": result.summary["env_steps"],
                "minutes": result.summary["elapsed_seconds"] / 60,
            }
        )
    nothing = dict.fromkeys(("stochastic", "better_than_sac", "switched_share", "steps", "minutes"))
    for name, row in known.items():
        numbers = {key: row[key] for key in ("mean", "low", "high", "std")}
        rows.append({"agent": name, "deterministic": numbers, **nothing})
    return rows
