"""The figure of a study: where the landscapes disagree, what each would choose there, and what that truly earns."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from maxent_jax import plots
from maxent_jax.rule import scores
from maxent_jax.rule.study import ACTING, POLICY, REACHES, Study

MARKS = {"soft": ("o", plots.COLOURS[0], 9), "plain": ("*", plots.COLOURS[1], 14)}
"""Each landscape's arg-max over all candidates: shape, colour, size."""
ACTING_COLOURS = dict(zip(ACTING, (plots.COLOURS[2], plots.COLOURS[3]), strict=True))
SHOWN_DRAWS = 100
DRAWN = {"color": "white", "markersize": 3, "markeredgecolor": "#666666", "markeredgewidth": 0.3}
FOLLOWED = {"mean": "then the mean action", "draws": "then draws"}


def draw(study: Study, threshold: float, path: Path, caption: str) -> None:
    """Three overviews, then a row for each state to show: its landscapes, and the true returns of their choices.

    Args:
      study: what was found.
      threshold: below this the rule switches.
      path: the PNG to write.
      caption: what the reader must know of the run.
    """
    columns = max(3 if study.compared else 1, len(study.landscapes) + 1)
    drawn, axes = plots.figure(1 + len(study.shown), columns, width=4.4, height=3.0)
    draw_time(axes[0, 0], study, threshold)
    if study.compared:
        draw_scatter(axes[0, 1], study.tested("anywhere", "mean", "undiscounted"), threshold)
        for reach, colour in zip(REACHES, (plots.COLOURS[2], plots.COLOURS[4]), strict=True):
            draw_roc(axes[0, 2], study.tested(reach, "mean", "undiscounted"), threshold, f"choice {reach}", colour)
        finish_roc(axes[0, 2])
    else:
        for ax in axes[0, 1:]:
            ax.axis("off")
    for row, own in zip(study.shown, axes[1:], strict=True):
        for name, ax in zip(study.landscapes, own, strict=False):
            (_draw_line if len(study.views.dims) == 1 else _draw_map)(ax, study, name, row)
            ax.set_title(f"learned {name} Q\n{_where(study, row)}", fontsize=8)
        _draw_returns(own[-1], study, row)
    plots.finish(drawn, caption, path, axes[1, 0].get_legend_handles_labels(), columns=5)


def _where(study: Study, row: int) -> str:
    alike = study.similarity
    about = "" if alike is None else f", similarity {alike[row]:.2f}"
    worst = ", start of the worst" if row == study.visits.worst_start else ""
    return f"step {study.visits.time[row]} of episode {study.visits.episode[row]}{about}{worst}"


def draw_time(ax: Axes, study: Study, threshold: float) -> None:
    """Similarity along the episodes."""
    ax.set_xlabel("step of the episode")
    time, episodes = study.visits.time[study.evenly], study.visits.episode[study.evenly]
    if study.similarity is None:
        only = study.landscapes[0]
        highest = study.views.q[only][study.evenly].max(axis=1)
        ax.plot(time, highest, ".", color=plots.Q_COLOURS[only], markersize=4)
        ax.set_ylabel(f"highest {only} Q")
        return
    similarity = study.similarity[study.evenly]
    for episode in np.unique(episodes):
        own = episodes == episode
        colour = plots.COLOURS[episode % len(plots.COLOURS)]
        ax.plot(time[own], similarity[own], ".-", color=colour, linewidth=0.6, markersize=3)
    ax.axhline(threshold, color="#555555", linestyle="--", linewidth=1)
    ax.set_ylabel("similarity")
    ax.set_title(f"below {threshold:g}: {np.mean(similarity < threshold):.0%} of the states", fontsize=9)


def draw_scatter(ax: Axes, tested: scores.Tested, threshold: float, colour: str = plots.COLOURS[2]) -> None:
    """Similarity against the true advantage of the plain choice; hollow where both choose the same action."""
    for chosen, face in ((~tested.same, colour), (tested.same, "none")):
        ax.scatter(
            tested.similarity[chosen], tested.advantage[chosen], s=9, facecolors=face, edgecolors=colour, linewidths=0.5
        )
    ax.axvline(threshold, color="#555555", linestyle="--", linewidth=1)
    ax.axhline(0.0, color="#999999", linewidth=0.8)
    spread = np.abs(tested.advantage[np.isfinite(tested.advantage)])
    if len(spread) and spread.max() > 20 * max(np.quantile(spread, 0.75), 1e-9):
        typical = max(float(np.median(spread[spread > 0])), 1e-6)
        ax.set_yscale("symlog", linthresh=10.0 ** np.ceil(np.log10(typical)))  # a power, or its ticks crowd around 0
    ax.set_xlabel("similarity")
    ax.set_ylabel("return, plain minus soft choice")
    ax.set_title("true advantage of the plain choice", fontsize=9)


def draw_roc(ax: Axes, tested: scores.Tested, threshold: float, label: str, colour: str) -> None:
    """The curve of the rule, over the states where the choices differ, with the agent's own point on it."""
    differ = ~tested.same & np.isfinite(tested.advantage) & np.isfinite(tested.similarity)
    alike, loses = tested.similarity[differ], tested.loses[differ]
    found = scores.area(alike, loses)
    if not np.isfinite(found):
        kinds = "loses nowhere" if not loses.any() else "loses everywhere"
        ax.plot([], [], color=colour, label=f"{label}: soft {kinds}")
        return
    _, false, true = scores.roc(alike, loses)
    ax.plot(false, true, color=colour, label=f"{label}: AUC {found:.2f}")
    at = np.mean(alike[~loses] < threshold), np.mean(alike[loses] < threshold)
    ax.plot(*at, "o", color=colour, markersize=6)


def finish_roc(ax: Axes) -> None:
    """What all curves share."""
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_xlabel("switched, where soft does not lose")
    ax.set_ylabel("switched, where soft loses")
    ax.set_title("the rule over all thresholds; dot: the agent's", fontsize=9)
    ax.legend(fontsize=7, frameon=False, loc="lower right")


def _marked(study: Study, row: int) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    """The actions to mark: name, (a,) action, look."""
    found = []
    for name in study.landscapes:
        marker, colour, size = MARKS[name]
        look = {"marker": marker, "color": colour, "markersize": size}
        found.append((f"highest {name} Q", study.actions[f"{name} anywhere"][row], look))
    mean = {"marker": "P", "color": "#000000", "markersize": 7}
    return [*found, ("policy mean", study.actions[POLICY][row], mean)]


def _draw_line(ax: Axes, study: Study, name: str, row: int) -> None:
    views, dim = study.views, study.views.dims[0]
    ax.plot(views.axis, views.grid(name)[row], color=plots.Q_COLOURS[name])
    draws = views.candidates[row, : min(views.samples, SHOWN_DRAWS), dim]
    floor = float(views.grid(name)[row].min())
    ax.plot(draws, np.full(len(draws), floor), "|", color="#777777", markersize=8, label="draws of the policy")
    for label, action, look in _marked(study, row):
        height = float(np.interp(action[dim], views.axis, views.grid(name)[row]))
        ax.plot(action[dim], height, linestyle="none", markeredgecolor="white", label=label, **look)
    ax.set_xlabel(f"action {dim}")


def _draw_map(ax: Axes, study: Study, name: str, row: int) -> None:
    views, (i, j) = study.views, study.views.dims
    seen = ax.pcolormesh(views.axis, views.axis, views.grid(name)[row].T, cmap="viridis", shading="nearest")
    ax.figure.colorbar(seen, ax=ax, fraction=0.05)
    draws = views.candidates[row, : min(views.samples, SHOWN_DRAWS)]
    ax.plot(draws[:, i], draws[:, j], "o", label="draws of the policy", **DRAWN)
    for label, action, look in _marked(study, row):
        ax.plot(action[i], action[j], linestyle="none", markeredgecolor="white", label=label, **look)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    ax.set_facecolor("#440154")
    ax.set_xlabel(f"action {i}")
    ax.set_ylabel(f"action {j}")


def _draw_returns(ax: Axes, study: Study, row: int) -> None:
    """What the choices at a state truly earn more than the policy left alone, followed by its mean action and draws."""
    names = [name for name in study.actions if name != POLICY]
    for offset, acting in zip((-0.13, 0.13), ACTING, strict=True):
        alone = study.returns[acting][POLICY][row, :, 0]
        gain = np.stack([study.returns[acting][name][row, :, 0] - alone for name in names])
        error = scores.uncertainty(gain) if gain.shape[1] > 1 else None
        label = f"{FOLLOWED[acting]}; alone {alone.mean():,.4g}"
        colour = ACTING_COLOURS[acting]
        height = np.arange(len(names)) + offset
        ax.errorbar(gain.mean(axis=1), height, xerr=error, fmt="o", color=colour, markersize=4, label=label)
    ax.axvline(0.0, color="#555555", linestyle=":", linewidth=1)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("true return minus that of the policy left alone", fontsize=8)
    ax.legend(fontsize=6, frameon=False, loc="best")
