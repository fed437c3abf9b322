"""Exact solutions: the extension on a readable model, how finely a task must be cut, where its landscape lies."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from rich.console import Console

import envs
from experiments import grids, misleading
from maxent_jax import plots, runs
from maxent_jax.theory import Info, TabularMDP, bifurcate, solve, solve_soft
from maxent_jax.theory.discretise import Axis, interpolate

BINS = {"quick": (11, 21), "cpu": (11, 21, 31, 41), "paper": (11, 21, 31, 41)}
TEMPERATURES = (0.0, 0.2, 1.0)
PLACES = {"upright, at rest": (0.0, 0.0), "level, at rest": (np.pi / 2, 0.0), "hanging, at rest": (np.pi, 0.0)}
ALPHA = 0.5
ACTIONS = ("work", "walk", "sleep")
WANTED = np.array([0.05, 0.2, 0.75])


def run(path: Path, preset: str, console: Console | None) -> None:
    """All figures and their numbers; everything goes below `path`."""
    folder = path / "figures"
    folder.mkdir(exist_ok=True)
    model = choice()
    extended, info = bifurcate(model, 0, WANTED, ALPHA)
    draw_bifurcation(model, extended, info, folder / "bifurcation.png")
    values = convergence(BINS[preset])
    draw_convergence(values, folder / "convergence.png")
    found = [_misleading(task) for task in grids.GRIDS]
    for each in found:
        misleading.draw(each, folder / f"misleading-{each.task}.png")
        if console is not None:
            for table in misleading.tables(each):
                console.print(table)
    numbers: dict[str, Any] = {"bifurcation": in_numbers(model, extended, info), "convergence": values["rows"]}
    numbers["misleading"] = [each.rows() for each in found]
    runs.write_json(path / "outcome.json", {"preset": preset, "versions": runs.versions()} | numbers)


def choice() -> TabularMDP:
    """One decision between three actions of volume 1 that earn 1, 0.5 and 0; state 1 is the end."""
    transition = np.zeros((2, 3, 2))
    transition[..., 1] = 1
    return TabularMDP(transition, np.array([[1.0, 0.5, 0.0], [0, 0, 0]]), np.zeros((2, 3)), np.ones((2, 3)))


def in_numbers(model: TabularMDP, extended: TabularMDP, info: Info) -> dict[str, Any]:
    """What the extension did, by old state or action."""
    before, after = solve_soft(model, ALPHA), solve_soft(extended, ALPHA)
    return {
        "alpha": ALPHA,
        "soft_policy": {"before": before.policy[0].tolist(), "after": after.policy[0].tolist()},
        "soft_value": {"before": float(before.value[0]), "after": float(after.value[0])},
        "plain_value": {"before": float(solve(model).value[0]), "after": float(solve(extended).value[0])},
        "stages": {ACTIONS[action]: count for action, count in info.stages(0).items()},
        "penalty": info.penalty[0],
    }


def draw_bifurcation(model: TabularMDP, extended: TabularMDP, info: Info, path: Path) -> None:
    """Policies before, the extension, policies after."""
    drawn, axes = plots.figure(1, 3, width=4.6, height=3.8)
    for ax, shown, title in ((axes[0, 0], model, "before"), (axes[0, 2], extended, "after")):
        soft, plain = solve_soft(shown, ALPHA), solve(shown)
        places = np.arange(len(ACTIONS))
        ax.bar(places - 0.2, plain.policy[0], 0.4, color=plots.Q_COLOURS["plain"], label="plain optimum")
        ax.bar(places + 0.2, soft.policy[0], 0.4, color=plots.Q_COLOURS["soft"], label=f"soft optimum, alpha {ALPHA:g}")
        ax.plot(places, WANTED, "k_", markersize=30, label="wanted density")
        ax.set_xticks(places, [f"{name}\nearns {r:g}" for name, r in zip(ACTIONS, model.reward[0], strict=True)])
        ax.set(ylabel="density at the choice", ylim=(0, 1.3))
        ax.set_title(f"{title}: plain value {plain.value[0]:.3f}, soft value {soft.value[0]:.3f}", fontsize=10)
        ax.legend(fontsize=8, frameon=False, loc="upper center")
    _draw_inserted(axes[0, 1], model, info)
    drawn.supxlabel(
        "One choice, three actions of volume 1 each. The extension changes neither value and not the plain optimum; "
        "the soft optimum is what was wanted.",
        fontsize=8,
    )
    plots.save(drawn, path)


def _draw_inserted(ax: Axes, model: TabularMDP, info: Info) -> None:
    """A row an action: the inserted states as bars of their volume, the good part filled."""
    ax.axis("off")
    volume = float(model.volume[0])
    most = max(info.stages(0).values())
    ax.set(xlim=(-0.6, most + 0.75), ylim=(-0.75, len(ACTIONS) - 0.2))
    ax.set_title("the extension: states behind each action", fontsize=10)
    for new in info.inserted:
        row, left = len(ACTIONS) - 1 - new.action, new.stage + 0.15
        ax.add_patch(Rectangle((left, row - 0.13), 0.7 * new.good / volume, 0.26, color=plots.COLOURS[2]))
        ax.add_patch(Rectangle((left, row - 0.13), 0.7, 0.26, fill=False, edgecolor="#555555"))
        ax.text(left + 0.35, row - 0.3, f"g = {new.good:.2f} of {volume:g}", fontsize=7, ha="center")
        ax.annotate("", (left, row), (left - 0.3, row), arrowprops={"arrowstyle": "->", "color": "#555555"})
    for action, name in enumerate(ACTIONS):
        row, end = len(ACTIONS) - 1 - action, info.stages(0)[action]
        ax.text(-0.2, row, name, ha="right", va="center", fontsize=9)
        ax.annotate("", (end + 0.15, row), (end - 0.15, row), arrowprops={"arrowstyle": "->", "color": "#555555"})
        ax.text(end + 0.18, row, f"earns {model.reward[0, action]:g}", va="center", fontsize=8)
    note = (
        f"Filled: actions on which nothing is lost. The rest of the last bar costs {info.penalty[0]:.2f}; a full bar "
        "only adds entropy."
    )
    ax.text(most / 2, -0.7, textwrap.fill(note, 62), fontsize=7, ha="center")


def convergence(bins: tuple[int, ...]) -> dict[str, Any]:
    """Values of the pendulum at three places by grid and temperature."""
    rows, finest = [], np.empty((0, 0))
    for count in bins:
        at = grids.model("pendulum", envs.make("pendulum"), count, 0.99)
        axes = [Axis(np.unique(at.states[:, 0]), 2 * np.pi), Axis(np.unique(at.states[:, 1]))]
        weight = interpolate(axes, np.array(list(PLACES.values())))
        for alpha in TEMPERATURES:
            value = solve_soft(at.model, alpha).value
            finest = value.reshape(count, count)  # the last one stays
            rows.append({"bins": count, "alpha": alpha} | dict(zip(PLACES, (weight @ value).tolist(), strict=True)))
            rows[-1]["start"] = float(at.start @ value)
    return {"rows": rows, "map": finest}


def draw_convergence(values: dict[str, Any], path: Path) -> None:
    """Values by grid, one panel a temperature, and the soft value over the finest grid."""
    drawn, axes = plots.figure(1, len(TEMPERATURES) + 1, width=3.8, height=3.6)
    for ax, alpha in zip(axes[0], TEMPERATURES, strict=False):
        rows = [row for row in values["rows"] if row["alpha"] == alpha]
        for name, colour in zip((*PLACES, "start"), plots.COLOURS, strict=False):
            label = "mean of first states" if name == "start" else name
            ax.plot([row["bins"] for row in rows], [row[name] for row in rows], "o-", color=colour, label=label)
        ax.set(xlabel="grid points a coordinate", title=f"alpha {alpha:g}", ylabel="value" if alpha == 0 else "")
    drawn.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=8
    )
    ax, finest = axes[0, -1], values["map"]
    count, speed = len(finest), 8.0
    angle = 2 * np.pi * (np.arange(count) - count // 2) / count
    shade = ax.pcolormesh(angle, np.linspace(-speed, speed, count), finest.T, cmap="viridis")
    drawn.colorbar(shade, ax=ax)
    ax.set_title(f"soft value, alpha {TEMPERATURES[-1]:g}, {count} x {count}", fontsize=10)
    ax.set(**dict(zip(("xlabel", "ylabel"), grids.COORDINATES["pendulum"], strict=True)))
    drawn.supxlabel(
        f"pendulum, gamma 0.99, {grids.CELLS} actions, multilinear interpolation: coarse grids smear each step. Plain "
        "values settle; soft values still rise where the pendulum must be held.",
        fontsize=8,
    )
    plots.save(drawn, path)


def _misleading(task: str) -> misleading.Found:
    """A task at 40 temperatures, on its smallest grid."""
    return misleading.Found(task, grids.model(task, envs.make(task), 11, 0.99), misleading.alphas("0.01:10:40"))
