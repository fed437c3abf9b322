"""How much maximum entropy misleads on a task that can be solved exactly: by temperature, and by state."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from rich.table import Table

from envs.fields import InvalidSetting
from experiments import grids
from maxent_jax import plots
from maxent_jax.theory import Discretised, IdealSwitch, Lie, gains, ideal_switch, lie
from maxent_jax.theory.misleading import THRESHOLD

SHOWN = 8
"""States in a table."""
MOST_ALPHAS = 1000
HIGHEST = 1e100
"""Temperature: values and their figures must stay finite."""


def alphas(text: str) -> np.ndarray:
    """Temperatures: one number, or LOW:HIGH:COUNT, equal factors apart.

    Raises:
      InvalidSetting: neither.

    Example:
      >>> alphas("0.01:1:3").round(9).tolist()
      [0.01, 0.1, 1.0]
    """
    try:
        parts = text.split(":")
        numbers = [float(part) for part in parts[:2]]
        count = int(parts[2]) if len(parts) == 3 else 1
    except ValueError:
        numbers, count = [], 0
    one = len(numbers) == 1 and 0 < numbers[0] <= HIGHEST
    many = len(numbers) == 2 <= count <= MOST_ALPHAS and 0 < numbers[0] < numbers[1] <= HIGHEST
    if not ((one or many) and len(parts) in (1, 3)):
        raise InvalidSetting(
            f"alpha = {text!r}: must be a number > 0, or LOW:HIGH:COUNT with 0 < LOW < HIGH <= {HIGHEST:g} "
            f"and COUNT in [2, {MOST_ALPHAS}]"
        )
    return np.geomspace(numbers[0], numbers[-1], count) if many else np.array(numbers)


class Found:
    """All that is found on a task.

    Attributes:
      task: its name.
      at: the task as a model.
      lies: what entropy costs, one a temperature.
      worst: the number of the one where the mode loses most; the first of equals.
      gains: (S,) what switching entropy off at one state alone regains there.
      ideal: where entropy must go there.
    """

    def __init__(self, task: str, at: Discretised, alpha: np.ndarray) -> None:
        """Solve the model at every temperature of alpha (n,), and look for the causes at the worst."""
        self.task, self.at = task, at
        self.lies: list[Lie] = [lie(at.model, float(each), at.start) for each in alpha]
        self.worst = int(np.argmax([round(each.regret, 9) for each in self.lies]))
        self.gains: np.ndarray = gains(at.model, self.lie.alpha, at.start)
        self.ideal: IdealSwitch = ideal_switch(at.model, self.lie.alpha, at.start)

    @property
    def lie(self) -> Lie:
        """The worst of the lies."""
        return self.lies[self.worst]

    def state(self, number: int) -> str:
        """What a state is called."""
        return grids.state_name(self.task, self.at, number)

    def ranked(self) -> list[int]:
        """States worth showing, those that lose or would gain most first."""
        weight = np.maximum(self.lie.lost, self.gains)
        floor = 1e-6 * max(1.0, abs(self.lie.best))
        return [int(s) for s in np.argsort(-weight, kind="stable")[:SHOWN] if weight[s] > floor]

    def switch(self) -> str:
        """Where entropy must go, in words."""
        if self.ideal.sets == ((),):
            return "nothing is lost: entropy may stay everywhere"
        size = len(self.ideal.sets[0])
        words = f"entropy must go at {size} of {len(self.at.states)} states"
        if size <= SHOWN:
            words += ": " + " or ".join(
                "{" + "; ".join(self.state(s) for s in each) + "}" for each in self.ideal.sets[:SHOWN]
            )
        if len(self.ideal.sets) > SHOWN:
            words += f" and {len(self.ideal.sets) - SHOWN} other sets"
        if self.ideal.smallest:
            return words + "; no smaller set suffices"
        return words + f"; none of them can be left out alone, but only sets below {self.ideal.at_least} are ruled out"

    def rows(self) -> dict[str, Any]:
        """The numbers, for a JSON file."""
        each = ("alpha", "mode", "sampled", "regret", "regret_sampled")
        return {
            "task": self.task,
            "states": len(self.at.states),
            "actions": len(self.at.actions),
            "best": self.lie.best,
            "alphas": [
                {name: getattr(one, name) for name in each} | {"switched": float(_share(one))} for one in self.lies
            ],
            "worst_alpha": self.lie.alpha,
            "worst_states": [
                {
                    "state": self.state(s),
                    "lost": float(self.lie.lost[s]),
                    "gain": float(self.gains[s]),
                    "similarity": float(self.lie.similarity[s]),
                    "switched": float(self.lie.switched[s]),
                }
                for s in self.ranked()
            ],
            "ideal_switch": {
                "sets": [[self.state(s) for s in each] for each in self.ideal.sets],
                "smallest": self.ideal.smallest,
                "at_least": self.ideal.at_least,
            },
        }


def _share(one: Lie) -> float:
    """Share of the mode's loss at states where the rule would follow the plain landscape; 0 where nothing is lost."""
    total = one.lost.sum()
    return float(np.maximum(0.0, one.lost) @ one.switched / total) if total > 1e-9 * max(1.0, abs(one.best)) else 0.0


def tables(found: Found) -> list[Table]:
    """Regret by temperature; the states behind it at the worst one."""
    by_alpha = Table("alpha", "mode", "regret", "sampled", "regret", "noticed", title=f"{found.task}: plain returns")
    for one in found.lies:
        values = (one.mode, one.regret, one.sampled, one.regret_sampled)
        by_alpha.add_row(f"{one.alpha:.4g}", *(f"{x:.4g}" for x in values), f"{_share(one):.0%}")
    by_alpha.caption = (
        f"plain optimum {found.lie.best:.4g}; mode: most likely action; noticed: share of the mode's regret at states "
        f"that the rule switches (similarity below {THRESHOLD:g})"
    )
    columns = ("state", "lost there", "gain without entropy", "similarity", "switched")
    by_state = Table(*columns, title=f"{found.task}: alpha {found.lie.alpha:.4g}, the states that matter most")
    for s in found.ranked():
        values = (found.lie.lost[s], found.gains[s], found.lie.similarity[s])
        by_state.add_row(found.state(s), *(f"{x:.4g}" for x in values), f"{found.lie.switched[s]:.0%}")
    by_state.caption = found.switch()
    return [by_alpha, by_state]


def draw(found: Found, path: Path) -> None:
    """Regret by temperature; where it is lost, where entropy causes it, and where the rule would notice."""
    drawn, axes = plots.figure(1, 4, width=4.2, height=3.8)
    alpha = [one.alpha for one in found.lies]
    ax = axes[0, 0]
    marker = "o" if len(alpha) == 1 else None
    for name, words, colour in (("regret", "mode", 0), ("regret_sampled", "sampled actions", 1)):
        values = [getattr(one, name) for one in found.lies]
        ax.plot(alpha, values, color=plots.COLOURS[colour], marker=marker, label=words)
    ax.axvline(found.lie.alpha, color="#555555", linestyle=":", linewidth=1, label="alpha of the other panels")
    ax.set(xscale="log", xlabel="alpha", ylabel="regret in plain return", title="regret")
    ax.legend(fontsize=8, frameon=False)
    parts = {
        "lost there": found.lie.lost,
        "gain where entropy is off there alone": found.gains,
        "similarity of the landscapes": found.lie.similarity,
    }
    for ax, (name, values) in zip(axes[0, 1:], parts.items(), strict=True):
        _draw_states(ax, found, values, name)
    words = (
        f"{found.task}, {len(found.at.states)} states, {len(found.at.actions)} actions; plain optimum "
        f"{found.lie.best:.4g}. Panels 2 to 4: alpha {found.lie.alpha:.4g}, where the mode loses most, "
        f"{found.lie.regret:.4g}; there the rule would switch where {_share(found.lie):.0%} of that is lost."
    )
    plots.finish(drawn, words, path)


def _draw_states(ax: Axes, found: Found, values: np.ndarray, title: str) -> None:
    """One number a state: a map of a grid of two coordinates, else bars."""
    ax.set_title(title, fontsize=10)
    if found.task not in grids.COORDINATES:
        ax.bar([found.state(s) for s in range(len(values))], values, color=plots.COLOURS[2])
        ax.tick_params(axis="x", rotation=45)
        return
    x, y = (np.unique(found.at.states[:, i]) for i in range(2))
    limit = float(np.abs(values).max()) or 1.0
    signed = bool(values.min() < -1e-9 * limit)
    shade = ax.pcolormesh(
        x,
        y,
        values.reshape(len(x), len(y)).T,
        cmap="RdBu" if signed else "viridis",
        vmin=-limit if signed else None,
        vmax=limit if signed else None,
    )
    ax.figure.colorbar(shade, ax=ax)
    ax.set(**dict(zip(("xlabel", "ylabel"), grids.COORDINATES[found.task], strict=True)))
