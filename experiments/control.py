"""The control tasks: entropy in every amount, and agents without, beside those who know the task or nothing."""

from pathlib import Path

from rich.console import Console

from experiments import contestants, outcome, yardsticks
from experiments.captions import comparison
from maxent_jax import plots, stats, tables
from maxent_jax.result import Result

TASKS = ("vehicle", "quadrotor", "quadruped", "acrobot", "obstacle2d", "hopper")


def run(task: str, path: Path, preset: str, console: Console | None) -> list[Result]:
    """Train all agents on one task, draw their curves, print who ends where; everything goes below `path`."""
    known = yardsticks.recorded(task)
    results = [
        contestants.train(each, task, path / each.folder, preset, console) for each in contestants.of_preset(preset)
    ]
    rows = outcome.table(tables.entries(results), known)
    outcome.record(path / "outcome.json", preset, results, rows)
    (path / "figures").mkdir(exist_ok=True)
    draw(results, task, path / "figures" / "curves.png", comparison(preset, results, rows))
    outcome.show(console, rows, f"{task}, preset {preset}")
    return results


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
    note = (
        "Thin: every seed; bold: interquartile mean; band: its 95 % interval, seeds resampled; blue, behind: sac. "
        "Minutes are those of all seeds of an agent together, on the device that outcome.json names. Dots: final "
        "returns of the mean action by seed, beside their interquartile mean and its interval."
    )
    plots.finish(drawn, f"{task}. {caption} {note}", path, minutes.get_legend_handles_labels())
