"""Before and after the extension: SAC at several temperatures, SAC-AdaEnt and PPO on a task and on its bifurcated twin.

The best return is the same on both. What the pendulum's should do at each temperature is known from its finite model.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from rich.console import Console

import envs
from envs.bifurcated import gentle, near_upright
from envs.pendulum import PendulumState
from experiments import agreeing, grids
from experiments.crossings import final
from maxent_jax import api, plots
from maxent_jax.theory import evaluate, insert, solve, solve_soft
from maxent_jax.theory.misleading import modes

TASKS = ("pendulum", "vehicle")
ALPHAS = (0.0, 0.5, 2.0, 8.0)
SAC_FIELDS = {
    "hidden": (64, 64),
    "lr": 1e-3,
    "batch_size": 64,
    "auto_alpha": False,
    "prefill_steps": 1_000,
}
GAMMA = 0.99
BINS = 21


@dataclasses.dataclass(frozen=True)
class Budget:
    """Environment steps and seeds of one task.

    Attributes:
      steps: of SAC and SAC-AdaEnt, after 1000 random ones.
      ppo_steps: of PPO.
      seeds: how many.
      alphas: temperatures of SAC; SAC-AdaEnt has the last one.
    """

    steps: int
    ppo_steps: int
    seeds: int
    alphas: tuple[float, ...] = ALPHAS


def run(task: str, budget: Budget, path: Path, console: Console | None) -> list[dict[str, Any]]:
    """Train everybody on a task and its twin.

    Args:
      task: one of `TASKS`.
      budget: steps and seeds.
      path: folder of the run directories.
      console: where progress goes.

    Returns:
      A row an agent: final returns by the mean action before and after, with intervals, and all seeds; of SAC-AdaEnt
      also how often its comparison decides as the exact one does.
    """
    rows: dict[str, dict[str, Any]] = {}
    for when, name in (("before", task), ("after", f"bifurcated_{task}")):
        options: dict[str, Any] = {
            "seeds": budget.seeds,
            "evaluations": 10,
            "preset": "quick",
            "resume": True,
            "console": console,
        }
        folder, highest = path / name, budget.alphas[-1]
        sac = api.sweep(
            "sac",
            name,
            {"alpha": budget.alphas},
            steps=budget.steps,
            agent_fields=SAC_FIELDS,
            out=folder / "sac",
            **options,
        )
        fields = SAC_FIELDS | {"alpha": highest, "comparison": "fast"}
        adaent = api.train(
            "sac_adaent", name, steps=budget.steps, agent_fields=fields, out=folder / "sac_adaent", **options
        )
        ppo = api.train("ppo", name, steps=budget.ppo_steps, out=folder / "ppo", **options)
        found = {f"sac, alpha {alpha:g}": final(sac, i) for i, alpha in enumerate(budget.alphas)}
        found[f"sac_adaent, alpha {highest:g}"] = final(adaent) | agreeing.of_configuration(adaent)
        found["ppo"] = final(ppo)
        for agent, numbers in found.items():
            rows.setdefault(agent, {"task": task, "agent": agent})[when] = numbers
    return list(rows.values())


def exact(bins: int = BINS, alphas: tuple[float, ...] = ALPHAS) -> list[dict[str, Any]]:
    """Plain returns of the soft-optimal mode in the pendulum's finite model, before and after the extension.

    Args:
      bins: grid points a coordinate.
      alphas: temperatures.

    Returns:
      A row a temperature: `before`, `after` and `best`, discounted, from the task's first states.
    """
    env: Any = envs.make("pendulum")
    twin: Any = envs.make("bifurcated_pendulum")
    at = grids.model("pendulum", env, bins, GAMMA)
    places = [PendulumState(*map(jnp.float32, state)) for state in at.states]
    states = [index for index, place in enumerate(places) if bool(near_upright(env, place))]
    volume = float(at.model.volume[0])
    narrow = np.array([bool(gentle(env, places[0], jnp.asarray(action))) for action in at.actions])
    good = np.broadcast_to(np.where(narrow, float(twin.share) * volume, volume), (len(states), len(narrow)))
    extended, _ = insert(at.model, states, good, float(twin.penalty))
    start = np.zeros(len(extended.reward))
    start[: len(at.start)] = at.start
    rows = []
    for alpha in alphas:
        row: dict[str, Any] = {"alpha": alpha, "best": float(at.start @ solve(at.model).value)}
        for when, model, first in (("before", at.model, at.start), ("after", extended, start)):
            row[when] = float(first @ evaluate(model, modes(model, solve_soft(model, alpha))))
        rows.append(row)
    return rows


def draw(rows: list[dict[str, Any]], known: list[dict[str, Any]], path: Path, caption: str) -> None:
    """Returns before and after, a panel a task, and what the pendulum's model says.

    Args:
      rows: of `run`, of all tasks.
      known: of `exact`.
      path: the PNG to write.
      caption: budget and what it does not show.
    """
    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    drawn, axes = plots.figure(1, len(tasks) + 1, width=5.0, height=4.0)
    for ax, task in zip(axes[0], tasks, strict=False):
        _draw_task(ax, [row for row in rows if row["task"] == task])
        ax.set_title(f"{task}: final returns of the mean action", fontsize=10)
    last = axes[0, -1]
    places = np.arange(len(known))
    for when, offset, colour in (("before", -0.1, plots.COLOURS[0]), ("after", 0.1, plots.COLOURS[1])):
        last.plot(places + offset, [row[when] for row in known], "o", color=colour, label=when)
    last.axhline(known[0]["best"], color="#555555", linestyle=":", label="plain optimum, before and after")
    last.set_xticks(places, [f"{row['alpha']:g}" for row in known])
    last.set(xlabel="temperature alpha", ylabel="discounted return")
    last.set_title(f"pendulum, model with {BINS} x {BINS} states: soft-optimal mode", fontsize=10)
    last.legend(fontsize=8, frameon=False)
    plots.finish(drawn, caption, path)


def _draw_task(ax: Axes, rows: list[dict[str, Any]]) -> None:
    places = np.arange(len(rows))
    for when, offset, colour in (("before", -0.15, plots.COLOURS[0]), ("after", 0.15, plots.COLOURS[1])):
        for place, row in zip(places, rows, strict=True):
            numbers = row[when]
            seeds = [value for value in numbers["per_seed"] if value is not None]
            ax.plot(np.full(len(seeds), place + offset), seeds, ".", color=colour, alpha=0.35, markersize=5)
            if numbers["iqm_low"] is not None:
                ax.plot([place + offset] * 2, [numbers["iqm_low"], numbers["iqm_high"]], color=colour, linewidth=2)
        middle = [row[when]["iqm"] for row in rows]
        ax.plot(places + offset, middle, "o", color=colour, label=f"{when} the extension")
    ax.set_xticks(places, [row["agent"].replace(", ", "\n") for row in rows], fontsize=7)
    ax.set_ylabel("return")
    ax.legend(fontsize=8, frameon=False)
