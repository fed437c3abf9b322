"""Figures of any run: learning curves with intervals, and the landscapes where they disagree."""

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from maxent_jax import rollout, stats
from maxent_jax.result import Result
from maxent_jax.runs import write_whole
from maxent_jax.tables import Entry

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Okabe and Ito's colours, told apart with any eyes."""
Q_COLOURS = {"soft": COLOURS[0], "plain": COLOURS[1]}
ORDERS = 10.0
"""Yardsticks that differ by more than this factor are drawn on a logarithmic axis."""
SHOWN_STATES = 3
SHOWN_ACTIONS = 4


def figure(rows: int, columns: int, width: float = 5.0, height: float = 3.4) -> tuple[Figure, np.ndarray]:
    """A figure without pyplot's global state, and its (rows, columns) axes."""
    drawn = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = drawn.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return drawn, axes


def finish(
    drawn: Figure,
    words: str,
    path: Path,
    legend: tuple[Iterable[Any], Iterable[str]] = ((), ()),
    columns: int = 4,
) -> None:
    """Put words below a figure and the legend of all its panels above, and save it.

    Args:
      drawn: the figure.
      words: the caption.
      path: the PNG to write.
      legend: handles and names; none: no legend.
      columns: of the legend.
    """
    handles, names = list(legend[0]), list(legend[1])
    if handles:
        drawn.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
    drawn.supxlabel(words, fontsize=8, wrap=True)
    save(drawn, path)


def save(drawn: Figure, path: Path) -> None:
    """As PNG, small enough to commit; as `runs.write_whole`."""
    picture = io.BytesIO()
    with matplotlib.rc_context({"savefig.dpi": 110}):
        drawn.savefig(picture, format="png")
    write_whole(path, picture.getvalue())


def label(result: Result, configuration: int) -> str:
    """An agent and what is special about it."""
    entry = result.config["configurations"][configuration]
    values = ", ".join(f"{name} {value}" for name, value in (entry["grid"] or entry["overrides"]).items())
    return result.config["agent"] + (f" ({values})" if values else "")


def draw_curves(
    ax: Axes,
    results: Sequence[Result],
    column: str = "return_deterministic",
    statistic: stats.Statistic = stats.mean,
    minutes: bool = False,
    behind: bool = True,
    colours: Sequence[str] = COLOURS,
) -> None:
    """A statistic over seeds with its 95 % interval, every seed thin behind; the legend counts failed runs, left out.

    Args:
      ax: where.
      results: runs on one task.
      column: which metric.
      statistic: `stats.mean` or `stats.iqm`.
      minutes: along the minutes that a run took among the others of its program, instead of environment steps.
      behind: draw seeds and interval, too.
      colours: of the configurations, in turn.
    """
    each_colour = itertools.cycle(colours)
    for entry in (Entry(result, index) for result in results for index in range(len(result.agents))):
        colour, lost = next(each_colour), len(entry.rows) - len(entry.sound)
        name = f"{label(entry.result, entry.index)}, {len(entry.rows)} seeds"
        name += f", failed and left out: {lost} of {len(entry.rows)}" if lost else ""
        x, values = entry.curve(column, "minutes" if minutes else "env_steps")
        if len(x) == 0:
            if lost:
                ax.plot([], [], color=colour, label=name)
            continue
        middle, low, high = stats.bands(values, statistic=statistic)
        if behind:
            ax.plot(x, values.T, color=colour, linewidth=0.6, alpha=0.25)
        ax.plot(x, middle, color=colour, linewidth=1.8, label=name)
        seen = ax.dataLim.frozen()
        if behind:
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.dataLim.set(seen)  # the band of two seeds is so wide that it would flatten the curves
    ax.set_xlabel("minutes" if minutes else "environment steps")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_ylabel("return, " + ("mean action" if column == "return_deterministic" else "sampled actions"))


def draw_finals(ax: Axes, results: Sequence[Result], column: str = "return_deterministic") -> None:
    """Final returns side by side: every seed a dot, the interquartile mean and its 95 % interval in front."""
    configurations = [each[column] for result in results for each in result.summary["configurations"]]
    for place, (final, colour) in enumerate(zip(configurations, itertools.cycle(COLOURS), strict=False)):
        seeds = [value for value in final["per_seed"] if value is not None]
        if final["iqm"] is None:
            continue
        ax.plot(np.full(len(seeds), place + 0.25), seeds, "o", color=colour, markersize=3, alpha=0.5)
        seen = ax.dataLim.frozen()
        ax.plot([place, place], [final["iqm_low"], final["iqm_high"]], color=colour, linewidth=2)
        ax.dataLim.set(seen)  # as in `draw_curves`
        ax.plot(place, final["iqm"], "o", color=colour, markersize=7)
    ax.set_xticks([])
    ax.set_xlabel("agents as in the legend")
    ax.set_ylabel("final return, " + ("mean action" if column == "return_deterministic" else "sampled actions"))


def draw_lines(ax: Axes, lines: Mapping[str, float]) -> None:
    """Horizontal yardsticks."""
    for (name, value), style in zip(lines.items(), (":", "--", "-.", "-") * 5, strict=False):
        digits = 0 if abs(value) >= 1000 else 1
        ax.axhline(value, color="#555555", linestyle=style, linewidth=1, label=f"{name}: {value:,.{digits}f}")
    _spread_out(ax, list(lines.values()))


def same_heights(axes: Sequence[Axes]) -> None:
    """Give panels of one kind the same vertical axis, on which all that any of them shows has room."""
    ends = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _spread_out(ax: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where yardsticks are losses of different orders: all but the worst would lie on its edge."""
    if values and max(values) < 0 and min(values) < ORDERS * max(values):
        best = ax.dataLim.y1  # of lines and curves
        ax.set_yscale("symlog", linthresh=-max(values))
        ax.set_ylim(top=min(0.0, best / 2))
        ax.set_ylabel(f"{ax.get_ylabel()} (logarithmic)")


def curves(results: Sequence[Result], path: Path, lines: Mapping[str, float] | None = None, caption: str = "") -> None:
    """Learning curves by the mean action and by draws, beside each other.

    Args:
      results: runs on one task.
      path: the PNG to write.
      lines: yardsticks by name.
      caption: what the reader must know: budget, what it does not show.
    """
    drawn, axes = figure(1, 2, width=6.0, height=4.2)
    for ax, column in zip(axes[0], ("return_deterministic", "return_stochastic"), strict=True):
        draw_curves(ax, results, column)
        draw_lines(ax, lines or {})
    note = "Thin: every seed; bold: mean; band: 95 % bootstrap interval of the mean"
    words = f"{results[0].config['env']}. {caption + ' ' if caption else ''}{note}."
    finish(drawn, words, path, axes[0, 0].get_legend_handles_labels(), columns=2)


def draw_slice(ax: Axes, cut: rollout.Slice) -> None:
    """Learned landscapes over one action dimension, the policy's density behind them."""
    for name, values in cut.q.items():
        ax.plot(cut.action, values, color=Q_COLOURS[name], label=f"learned {name} Q")
    shade = ax.twinx()
    shade.fill_between(cut.action, cut.density, color="#999999", alpha=0.3, linewidth=0, label="policy density")
    shade.set_ylim(0, 1.6 * float(np.max(cut.density, where=np.isfinite(cut.density), initial=1e-6)))
    shade.set_yticks([])
    shade.spines[["top", "right"]].set_visible(False)
    ax.set_zorder(shade.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.axvline(cut.mean, color="#555555", linestyle=":", linewidth=1, label="policy mean")


def landscape(result: Result, path: Path, run: int = 0) -> None:
    """The landscapes along one episode of a run: where they disagree most, or, with one landscape, at even times.

    Args:
      result: the run directory.
      path: the PNG to write.
      run: whose policy.
    """
    info = result.check_run(run)
    agent, env = result.agents[info.configuration], result.envs[info.configuration]
    state = result.agent_state(run)
    seen = rollout.episode(agent, env, state, jax.random.key(info.seed))
    states = _worth_showing(seen)
    dimensions = min(env.action_size, SHOWN_ACTIONS)
    drawn, axes = figure(1 + len(states), dimensions, width=max(4.0, 7.0 / dimensions), height=2.6)
    _draw_episode(axes[0, 0], seen, getattr(agent, "threshold", None), states)
    for ax in axes[0, 1:]:
        ax.axis("off")
    cuts = [[rollout.action_slice(agent, state, seen.obs[step], i) for i in range(dimensions)] for step in states]
    for row, cut, step in zip(axes[1:], cuts, states, strict=True):
        for dimension, ax in enumerate(row):
            draw_slice(ax, cut[dimension])
            about = "" if seen.similarity is None else f", similarity {seen.similarity[step]:.2f}"
            ax.set_title(f"step {step}{about}", fontsize=9)
            ax.set_xlabel(f"action {dimension}")
    missing = {
        (): " The agent learns no Q: only its policy is drawn.",
        ("soft",): " The agent has no plain critics: no comparison is drawn.",
        ("plain",): " The agent has no soft critics: no comparison is drawn.",
    }.get(tuple(cuts[0][0].q), "")
    lost = [entry for entry in result.failures() if entry["run"] == run]
    failure = f" The run has failed at step {lost[0]['step']:,} ({lost[0]['cause']}), and is frozen." if lost else ""
    words = (
        f"{label(result, info.configuration)} on {result.config['env']}, seed {info.seed}: "
        f"one episode by the mean action, return {seen.reward.sum():,.4g}.{missing}{failure}"
    )
    finish(drawn, words, path, axes[1, 0].get_legend_handles_labels(), columns=3)


def _worth_showing(seen: rollout.Episode) -> list[int]:
    count = min(SHOWN_STATES, len(seen.obs))
    if seen.similarity is not None:
        return sorted(int(step) for step in np.argsort(seen.similarity, kind="stable")[:count])
    return [int(step) for step in np.linspace(0, len(seen.obs) - 1, count).round()]


def _draw_episode(ax: Axes, seen: rollout.Episode, threshold: Any, states: Sequence[int]) -> None:
    steps = np.arange(len(seen.reward))
    ax.set_xlabel("step of the episode")
    for step in states:
        ax.axvline(step, color="#bbbbbb", linewidth=0.8, zorder=0)
    if seen.similarity is None:
        ax.plot(steps, seen.reward, color=COLOURS[2], marker="." if len(steps) < 5 else None)
        ax.set_ylabel("reward")
        return
    ax.plot(steps, seen.similarity, color=COLOURS[2], marker="." if len(steps) < 5 else None)
    ax.set_ylabel("similarity")
    lowest = np.min(seen.similarity, where=np.isfinite(seen.similarity), initial=0.0)  # some measures go below 0
    ax.set_ylim(float(lowest) - 0.02, 1.05)
    if threshold is not None:
        ax.axhline(float(threshold), color="#555555", linestyle="--", linewidth=1)
        switched = seen.similarity < float(threshold)
        ax.set_title(f"switched below {float(threshold):g}: {switched.mean():.0%} of this episode", fontsize=9)
