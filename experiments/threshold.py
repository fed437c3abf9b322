"""How much does the threshold matter, and at which temperature? SAC-AdaEnt over both, beside SAC with and without.

All values of one task are one program: threshold and temperature are numbers that it is given.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

from envs.fields import InvalidSetting
from experiments import agreeing, published
from experiments.captions import budget, limits
from experiments.outcome import record
from maxent_jax import api, plots, stats
from maxent_jax.result import Result

GRIDS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "toy": ((0.0, 0.5, 0.8, 0.9, 0.95, 1.01), (0.2, 0.5, 1.0, 2.0)),
    "vehicle": ((0.0, 0.8, 0.9, 1.01), (0.2, 2.0)),
    "quadrotor": ((0.0, 0.8, 0.9, 1.01), (0.2, 2.0)),
}
"""Thresholds and temperatures by task: 0 never switches, 1.01 always does."""
SEEDS = {"quick": 2, "cpu": 5, "paper": 10}
STEPS = {
    ("quick", "toy"): 2_000,
    ("quick", "vehicle"): 2_000,
    ("quick", "quadrotor"): 2_000,
    ("cpu", "vehicle"): 60_000,
    ("cpu", "quadrotor"): 60_000,
}
"""Where a preset's own steps would take longer than an hour: its grid has 40 runs and more."""
CHUNKS = 5


def run(task: str, path: Path, preset: str, console: Console | None) -> list[Result]:
    """Train the grid and SAC on one task and draw the heat maps; everything goes below `path`."""
    thresholds, alphas = GRIDS[task]
    options: dict[str, Any] = {
        "seeds": SEEDS[preset],
        "steps": STEPS.get((preset, task)),
        "evaluations": CHUNKS if preset != "paper" else 20,
        "preset": preset,
        "resume": True,
        "console": console,
    }
    grid = api.sweep(
        "sac_adaent",
        task,
        {"threshold": thresholds, "alpha": alphas},
        agent_fields={} if preset == "paper" else published.FAST,
        out=path / "sac_adaent",
        **options,
    )
    sac = api.sweep("sac", task, {"alpha": (0.0, *alphas)}, out=path / "sac", **options)
    results = [grid, sac]
    found = rows(results)
    record(path / "outcome.json", preset, results, found)
    (path / "figures").mkdir(exist_ok=True)
    draw(task, grid, sac, path / "figures" / "threshold.png", caption(task, preset, results, found))
    if console is not None:
        table = Table(
            "agent", "threshold", "alpha", "mean return, 95 % interval", "switched", title=f"{task}, {preset}"
        )
        for row in found:
            final = row["return_deterministic"]
            shares = "" if row["switched_share"] is None else f"{row['switched_share']:.0%}"
            value = str(stats.Estimate(final["mean"], final["low"], final["high"]))
            table.add_row(row["agent"], *(str(row.get(name, "")) for name in ("threshold", "alpha")), value, shares)
        console.print(table)
    return results


def rows(results: list[Result]) -> list[dict[str, Any]]:
    """One row a configuration: what it is, its final returns, the share of states switched, how comparisons agree."""
    return [
        {"agent": result.config["agent"]}
        | dict(entry["grid"])
        | {name: summary[name] for name in ("return_deterministic", "return_stochastic", "switched_share")}
        | agreeing.of_configuration(result, index)
        for result in results
        for index, (entry, summary) in enumerate(
            zip(result.config["configurations"], result.summary["configurations"], strict=True)
        )
    ]


def cells(result: Result, value: Any) -> tuple[tuple[str, str], tuple[list[Any], list[Any]], np.ndarray]:
    """A grid of two fields as a table.

    Args:
      result: a sweep.
      value: from a configuration's summary to a number, or None.

    Returns:
      The fields' names, their values, and (first, second) numbers; NaN for None.

    Raises:
      InvalidSetting: the grid has not two fields.
    """
    grid = {name: values for name, values in result.config["grid"].items() if len(values) > 1}
    if len(grid) != 2:
        fields = ", ".join(grid) or "none"
        raise InvalidSetting(f"grid of {str(result.path)!r} = {fields}: must be two fields for a heat map")
    (one, first), (other, second) = grid.items()
    found = np.full((len(first), len(second)), np.nan)
    for entry, summary in zip(result.config["configurations"], result.summary["configurations"], strict=True):
        at = entry["grid"]
        number = value(summary)
        found[first.index(at[one]), second.index(at[other])] = np.nan if number is None else number
    return (one, other), (list(first), list(second)), found


def draw(task: str, grid: Result, sac: Result, path: Path, words: str) -> None:
    """Heat maps of the final return and of the share of states switched.

    Args:
      task: for the titles.
      grid: SAC-AdaEnt over thresholds and temperatures.
      sac: SAC over temperatures, 0 first.
      path: the PNG to write.
      words: the caption.

    Raises:
      InvalidSetting: `grid` has not two fields.
    """
    _, (thresholds, alphas), returns = cells(grid, lambda summary: summary["return_deterministic"]["mean"])
    _, _, shares = cells(grid, lambda summary: summary["switched_share"])
    without, *plain = (summary["return_deterministic"]["mean"] for summary in sac.summary["configurations"])
    beside = np.array([plain, [without] * len(alphas)], float)  # None becomes NaN
    drawn, axes = plots.figure(1, 2, width=6.0, height=0.45 * len(thresholds) + 2.4)
    names = [f"threshold {threshold:g}" for threshold in thresholds]
    _heat(axes[0, 0], np.concatenate([returns, beside]), [*names, "SAC", "SAC, alpha 0"], alphas, "{:,.4g}")
    axes[0, 0].axhline(len(thresholds) - 0.5, color="white", linewidth=3)
    axes[0, 0].set_title(f"{task}: final return of the mean action, mean over seeds", fontsize=9)
    _heat(axes[0, 1], shares, names, alphas, "{:.0%}")
    axes[0, 1].set_title(f"{task}: share of states switched at the end of training", fontsize=9)
    plots.finish(drawn, words, path)


def _heat(ax: Axes, values: np.ndarray, rows: list[str], alphas: list[float], form: str) -> None:
    seen = ax.imshow(values, cmap="viridis", aspect="auto")
    finite = values[np.isfinite(values)]
    middle = (finite.min() + finite.max()) / 2 if len(finite) else 0.0
    for (i, j), value in np.ndenumerate(values):
        text = form.format(value) if np.isfinite(value) else "failed"
        colour = "white" if value < middle else "black"  # on no colour where a cell failed
        ax.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    ax.set_yticks(range(len(rows)), rows, fontsize=8)
    ax.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
    ax.set_xlabel("alpha")
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(seen, ax=ax, fraction=0.05)


def caption(task: str, preset: str, results: list[Result], found: list[dict[str, Any]]) -> str:
    """Budget, nets, the best and the worst, and what this does not show.

    Args:
      task: its name.
      preset: by which the runs were made.
      results: the runs.
      found: their `rows`.
    """
    named = [(row, row["return_deterministic"]["mean"]) for row in found]
    known = [(row, value) for row, value in named if value is not None]
    (best, high), (worst, low) = (choose(known, key=lambda one: one[1], default=({}, None)) for choose in (max, min))
    if high == low:
        said = f"All means are {stats.digits(high) or 'unknown'}: this budget tells no cell from another."
    else:
        said = (
            f"Highest mean: {_words(best)} {stats.digits(high)}; lowest: {_words(worst)} {stats.digits(low)}; with so "
            "few seeds neighbouring cells may differ by chance (intervals in the JSON)."
        )
    return f"{task}, preset {preset}. {budget(results)} {SEEDS[preset]} seeds a cell. {said} {limits(results)}"


def _words(row: dict[str, Any]) -> str:
    threshold = f", threshold {row['threshold']:g}" if "threshold" in row else ""
    return f"{row['agent']} (alpha {row['alpha']:g}{threshold})"
