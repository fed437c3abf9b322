"""The control tasks: entropy in every amount, and agents without, beside those who know the task or nothing."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import agreeing, published, yardsticks
from experiments.captions import budget, judged, limits, record
from experiments.landscape import FAST
from maxent_jax import api, compare, plots, stats, tables
from maxent_jax.runs import Result

TASKS = ("vehicle", "quadrotor", "quadruped", "acrobot", "obstacle2d", "hopper")
SEEDS = {"quick": 3, "cpu": 5, "paper": 10}
CONTACTS = ("quadruped", "hopper")
"""Tasks whose steps cost a hundred times as much."""
EVALUATIONS = {"quick": 8, "cpu": 10}
"""How often a preset evaluates on these: with the usual 20 times it would take longer than training."""
STEPS = {("cpu", "ppo"): 500_000, "cpu": 120_000}
"""Environment steps by preset, or by preset and agent, at most the published ones: about half an hour a task on two
cores, in which PPO makes as many more steps as it needs to take about as long as SAC."""
CONTACT_STEPS = {("cpu", "ppo"): 150_000, "cpu": 50_000}
"""Likewise on tasks with contacts."""


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
    rows = table(tables.entries(results), known)
    record(path / "outcome.json", preset, results, rows)
    (path / "figures").mkdir(exist_ok=True)
    draw(results, task, path / "figures" / "curves.png", caption(preset, results, rows))
    show(console, rows, f"{task}, preset {preset}")
    return results


def show(console: Console | None, rows: list[dict[str, Any]], title: str) -> None:
    """Print who ends where."""
    if console is None:
        return
    shown = Table(
        *("agent", "mean action: IQM, 95 % interval", "sampled", "better than sac, probability", "minutes"),
        title=title,
    )
    for row in rows:
        returns = (stats.shown(row[key]) for key in ("deterministic", "stochastic", "better_than_sac"))
        shown.add_row(row["agent"], *returns, stats.digits(row["minutes"]))
    console.print(shown)


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
    return api.train(**asked(entry, task, preset, env_fields), out=out, resume=True, console=console)


def asked(entry: Entry, task: str, preset: str, env_fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arguments of `maxent_jax.train`, and of `api.prepare`, that make one line of the comparison."""
    fast = FAST if entry.agent == "sac_adaent" and preset != "paper" else {}
    return {
        "agent": entry.agent,
        "env": task,
        "seeds": SEEDS[preset],
        "steps": steps(entry.agent, task, preset),
        "evaluations": EVALUATIONS.get(preset, 20) if task in CONTACTS else 20,
        "preset": preset,
        "agent_fields": {**fast, **entry.fields},
        "env_fields": env_fields,
    }


def steps(agent: str, task: str, preset: str) -> int | None:
    """Environment steps a run, never more than published; None: the preset's own."""
    most = CONTACT_STEPS if task in CONTACTS else STEPS
    asked = most.get((preset, agent), most.get(preset))
    return None if asked is None else min(asked, published.row(agent, task).steps)


def caption(preset: str, results: list[Result], rows: list[dict[str, Any]]) -> str:
    """Budget and nets, who ends highest, the verdicts, and what all that does not show."""
    known = [row for row in rows if row["deterministic"].get("iqm") is not None]  # no yardstick has one
    best = max(known, key=lambda row: row["deterministic"]["iqm"], default=None)
    found = "All seeds of all agents failed." if best is None else _highest(best)
    return f"Preset {preset}: {budget(results)} {found} {judged(results)} {limits(results)}"


def _highest(row: dict[str, Any]) -> str:
    final = stats.shown(row["deterministic"])
    return f"Highest final interquartile mean: {row['agent']}, {final}, after {row['steps']:,} steps."


def draw(results: list[Result], task: str, path: Path, caption: str) -> None:
    """A panel an agent, by steps; all of them by minutes, and their final returns; beside the yardsticks."""
    columns = -(-len(results) // 2)
    drawn, axes = plots.figure(2, columns + 1, width=3.6, height=3.8)
    panels, (minutes, finals) = list(axes[:, :-1].flat), axes[:, -1]
    lines = yardsticks.lines(task)
    for ax, result, colour in zip(panels, results, plots.COLOURS, strict=False):
        if result is not results[0]:
            plots.draw_curves(ax, results[:1], statistic=stats.iqm, behind=False)
        plots.draw_curves(ax, [result], statistic=stats.iqm, colours=(colour,))
        ax.set_title(plots.label(result, 0), fontsize=9)
    for ax in panels[len(results) :]:
        ax.set_axis_off()
    plots.draw_curves(minutes, results, statistic=stats.iqm, minutes=True, behind=False)
    plots.draw_finals(finals, results)
    shown = [*panels[: len(results)], minutes, finals]
    for ax in shown:
        plots.draw_lines(ax, lines)
    plots.same_heights(shown)
    for ax in axes[:, 1:-1].flat:
        ax.set_ylabel("")
    handles, names = minutes.get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    note = (
        "Thin: every seed; bold: interquartile mean; band: its 95 % interval, seeds resampled; blue, behind: sac. "
        "Minutes are those of all seeds of an agent together, on the device that outcome.json names. Dots: final "
        "returns of the mean action by seed, beside their interquartile mean and its interval."
    )
    drawn.supxlabel(f"{task}. {caption} {note}", fontsize=8, wrap=True)
    plots.save(drawn, path)


def table(found: Sequence[tables.Entry], known: Any) -> list[dict[str, Any]]:
    """Final returns, agents and yardsticks alike.

    Args:
      found: the configurations, SAC first.
      known: rows of `yardsticks.recorded`.

    Returns:
      One row each; whether an agent's seeds are better than SAC's is asked at the steps that both have. Minutes are
      those of the whole run directory. What the controllers that were not trained return has no second way of acting,
      no minutes, and no seeds.
    """
    ways = {"deterministic": "return_deterministic", "stochastic": "return_stochastic"}
    rows = []
    for entry in found:
        result, final = entry.result, entry.result.summary["configurations"][entry.index]
        better = None if entry is found[0] else compare.improvement(found[0], entry)
        rows.append(
            {
                "agent": plots.label(result, entry.index),
                **{way: final[column] for way, column in ways.items()},
                "better_than_sac": None if better is None else dataclasses.asdict(better),
                "switched_share": final["switched_share"],
                "steps": result.summary["env_steps"],
                "minutes": result.summary["elapsed_seconds"] / 60,
                **agreeing.of_configuration(result, entry.index),
            }
        )
    nothing = dict.fromkeys(("stochastic", "better_than_sac", "switched_share", "steps", "minutes"))
    for name, row in known.items():
        numbers = {key: row[key] for key in ("mean", "low", "high", "std")}
        rows.append({"agent": name, "deterministic": numbers, **nothing})
    return rows
