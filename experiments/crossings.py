"""At what temperature does SAC fall for the broad room? Measured beside what exact theory predicts.

On `bandit_chain` and on the toy the deterministic policy either reaches the room where few actions are good, or the one
where all are mediocre. A seed that ends with the mediocre return has turned. Theory gives two temperatures: that at
which exact soft policies turn, and that at which squashed normals do, which is what SAC has.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from matplotlib.axes import Axes
from rich.console import Console

import envs
from maxent_jax import api, plots, stats
from maxent_jax.faults import Fault
from maxent_jax.result import Result
from maxent_jax.theory import tanh_normal

BATCH = 128
SAC_FIELDS = {"hidden": (32, 32), "lr": 1e-3, "batch_size": BATCH, "prefill_steps": 1_000, "auto_alpha": False}
"""Random steps first: at a temperature of 0 the policy is soon too narrow to find anything."""
TOY_PREFILL = 3_000
"""Two steps an episode, and only one in twenty of random episodes finds the narrow room: one alone knows too few."""
PPO_FIELDS = {"hidden": (32, 32), "lr": 1e-3, "rollout_steps": 512}
SHARES = (0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Temperatures of the grid, in units of the one that is predicted for squashed normals."""
LARGE = 16
LARGE_SHARES = (0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0)
"""Likewise where an action has `LARGE` numbers or more: there agents turn long before."""
MISLEADING = 1.1
"""Temperature of the agents that are compared, in units of the exact crossing: there maximum entropy must mislead."""


@dataclasses.dataclass(frozen=True)
class Crossing:
    """The temperature at which half of the seeds have turned.

    Attributes:
      at: the temperature, between grid points by straight lines; the middle where the share is one half for a while.
      low: lower end of its 95 % interval over seeds (`stats.estimate`), widened to the grid points around the crossing:
        where all seeds turn together, they say no more. At least the grid's first point.
      high: upper end, likewise.
      inside: False where no crossing lies within the grid; `at` is then the grid's end next to it.
    """

    at: float
    low: float
    high: float
    inside: bool

    def __str__(self) -> str:
        """The temperature and its interval; a mark where it is only the grid's end."""
        return f"{self.at:.2f} [{self.low:.2f}, {self.high:.2f}]" + ("" if self.inside else " (edge)")


def crossing(alphas: np.ndarray, stayed: np.ndarray) -> Crossing:
    """Where the share of seeds that stay falls through one half, the share made monotone first.

    Args:
      alphas: (n,) temperatures, increasing.
      stayed: (n, seeds) whether a seed still reaches the narrow room; at least two seeds.

    Returns:
      The crossing; the seeds of all temperatures are resampled together.
    """

    def falling(share: np.ndarray) -> np.ndarray:
        return scipy.optimize.isotonic_regression(share, increasing=False).x

    def half(share: np.ndarray) -> float:
        fallen = falling(share)
        ends = np.interp(-0.5, -fallen, alphas), np.interp(0.5, fallen[::-1], alphas[::-1])
        return float(np.mean(ends))

    def half_of(strata: Sequence[np.ndarray]) -> np.ndarray:
        (seeds,) = strata
        return np.apply_along_axis(half, 0, stayed[:, seeds.astype(int)].mean(axis=-1))

    found = stats.estimate([np.arange(stayed.shape[1])], half_of)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    share = falling(stayed.mean(axis=1))
    before, behind = alphas[max(0, np.sum(share >= 0.5) - 1)], alphas[min(len(share) - 1, np.sum(share > 0.5))]
    low, high = max(min(found.low, before), alphas[0]), min(max(found.high, behind), alphas[-1])
    return Crossing(found.value, float(low), float(high), bool(share[0] >= 0.5 >= share[-1]))


def predicted(env: Any) -> float:
    """The temperature at which squashed normals turn, of the toy or of `bandit_chain`."""
    rewards = (float(env.reward_hit), float(env.reward_miss), float(env.reward_safe))
    return tanh_normal.crossing(env.action_size, float(env.half_width), *rewards)


def chain(size: int, steps: int, seeds: int, ppo_steps: int, path: Path, console: Console | None) -> dict[str, Any]:
    """SAC over temperatures, and its competitors above the crossing, on a `bandit_chain` of one door.

    Args:
      size: numbers in an action.
      steps: environment steps of the SAC family after 1000 random ones.
      seeds: how many.
      ppo_steps: those of PPO.
      path: folder of the run directories.
      console: where progress goes.

    Returns:
      What was predicted and measured, and who solves the task.
    """
    env: Any = envs.make("bandit_chain", size=size)
    turn, exact = predicted(env), float(env.crossing)
    high = MISLEADING * exact
    shares = LARGE_SHARES if size >= LARGE else SHARES
    alphas = sorted({high, *(round(turn * share, 4) for share in shares)})
    options: dict[str, Any] = {
        "env_fields": {"size": size},
        "seeds": seeds,
        "evaluations": 5,
        "preset": "quick",
        "resume": True,
        "console": console,
    }
    grid = {"alpha": [0.0, *alphas]}
    sac = api.sweep("sac", "bandit_chain", grid, steps=steps, agent_fields=SAC_FIELDS, out=path / "sac", **options)
    auto = api.train(
        "sac", "bandit_chain", steps=steps, agent_fields=SAC_FIELDS | {"auto_alpha": True}, out=path / "auto", **options
    )
    fields = SAC_FIELDS | {"alpha": high, "n_samples": 32, "threshold": 0.9}
    adaent = api.train("sac_adaent", "bandit_chain", steps=steps, agent_fields=fields, out=path / "adaent", **options)
    ppo = api.train(
        "ppo", "bandit_chain", steps=ppo_steps, envs=8, agent_fields=PPO_FIELDS, out=path / "ppo", **options
    )
    everyone = {f"sac (alpha {alpha:g})": returns_of(sac, index) for index, alpha in enumerate(grid["alpha"])}
    everyone |= {"sac (auto)": returns_of(auto), f"sac_adaent (alpha {high:g})": returns_of(adaent)}
    everyone["ppo"] = returns_of(ppo)
    returns = np.array([returns_of(sac, index) for index in range(1, 1 + len(alphas))])
    row = measure(f"bandit_chain, {size}", env, np.array(alphas), returns, exact)
    hit = float(env.reward_hit)
    solved = {name: [int(np.sum(found == hit)), len(found)] for name, found in everyone.items()}
    return row | {"size": size, "steps": steps, "ppo_steps": ppo_steps, "solved": solved}


def toy(alphas: tuple[float, ...], steps: int, seeds: int, path: Path, console: Console | None) -> dict[str, Any]:
    """SAC on the toy over a fine grid of temperatures, as one program; arguments and result as of `chain`."""
    result = api.sweep(
        "sac",
        "toy",
        {"alpha": alphas},
        steps=steps,
        seeds=seeds,
        evaluations=5,
        preset="quick",
        agent_fields=SAC_FIELDS | {"prefill_steps": TOY_PREFILL},
        out=path,
        resume=True,
        console=console,
    )
    returns = np.array([returns_of(result, index) for index in range(len(alphas))])
    env = result.envs[0]
    return measure("toy", env, np.array(alphas), returns, 2 / np.log(10)) | {"size": 1, "steps": steps}


def measure(name: str, env: Any, alphas: np.ndarray, returns: np.ndarray, exact: float) -> dict[str, Any]:
    """Where the seeds turn, beside what theory says.

    Args:
      name: of the task.
      env: the bare task.
      alphas: (n,) temperatures, increasing.
      returns: (n, seeds) final ones. A seed whose run failed at some temperature (NaN) has neither stayed nor turned:
        it is left out.
      exact: the temperature at which exact soft policies turn.

    Raises:
      Fault: fewer than two seeds are left.
    """
    returns = returns[:, np.all(np.isfinite(returns), axis=0)]
    if returns.shape[1] < 2:
        raise Fault(f"{name}: all seeds but {returns.shape[1]} failed at some temperature; there is no crossing to see")
    stayed = returns != float(env.reward_safe)
    return {
        "task": name,
        "exact": exact,
        "predicted": predicted(env),
        "measured": dataclasses.asdict(crossing(alphas, stayed)),
        "alphas": alphas.tolist(),
        "stayed": stayed.mean(axis=1).tolist(),
        "solved_share": (returns == float(env.reward_hit)).mean(axis=1).tolist(),
        "seeds": returns.shape[1],
    }


def final(result: Result, configuration: int = 0) -> dict[str, Any]:
    """Last returns by the mean action: those of the seeds, what they say together, and how many runs failed."""
    summary = result.summary["configurations"][configuration]
    return dict(summary["return_deterministic"]) | {"failed": len(summary["failed"])}


def returns_of(result: Result, configuration: int = 0) -> np.ndarray:
    """(seeds,) last returns by the mean action; NaN of a failed run."""
    return np.array(final(result, configuration)["per_seed"], np.float64)


def draw(rows: list[dict[str, Any]], path: Path, caption: str) -> None:
    """Share of seeds that stay by temperature, a panel a task, and measured against predicted crossings.

    Args:
      rows: of `chain` and `toy`.
      path: the PNG to write.
      caption: budget and what it does not show.
    """
    columns = 3
    lines = -(-(len(rows) + 1) // columns)
    drawn, axes = plots.figure(lines, columns, width=4.4, height=3.0)
    for ax, row in zip(axes.flat, rows, strict=False):
        _draw_shares(ax, row)
    _draw_crossings(axes.flat[len(rows)], rows)
    for ax in axes.flat[len(rows) + 1 :]:
        ax.axis("off")
    plots.finish(drawn, caption, path, axes[0, 0].get_legend_handles_labels())


def _draw_shares(ax: Axes, row: dict[str, Any]) -> None:
    blue, orange, green = plots.COLOURS[0], plots.COLOURS[1], plots.COLOURS[2]
    found = row["measured"]
    ax.plot(row["alphas"], row["stayed"], "o-", color=blue, label="SAC: share of seeds in the narrow room")
    ax.axvspan(found["low"], found["high"], color=blue, alpha=0.15, linewidth=0, label="measured crossing, 95 %")
    ax.axvline(row["predicted"], color=orange, linestyle="--", label="predicted: squashed normals")
    ax.axvline(row["exact"], color=green, linestyle=":", label="predicted: all densities")
    name = "toy" if row["task"] == "toy" else f"bandit_chain, {row['size']} number{'s' if row['size'] > 1 else ''}"
    ax.set_title(f"{name}: {row['seeds']} seeds, {row['steps']:,} steps", fontsize=9)
    ax.set(xlabel="temperature alpha", ylim=(-0.05, 1.05))


def _draw_crossings(ax: Axes, rows: list[dict[str, Any]]) -> None:
    chains = [row for row in rows if row["task"] != "toy"]
    size = [row["size"] for row in chains]
    found = [row["measured"] for row in chains]
    ax.vlines(size, [each["low"] for each in found], [each["high"] for each in found], color=plots.COLOURS[0])
    ax.plot(size, [each["at"] for each in found], "o", color=plots.COLOURS[0])
    ax.plot(size, [row["predicted"] for row in chains], "--", color=plots.COLOURS[1])
    ax.plot(size, [row["exact"] for row in chains], ":", color=plots.COLOURS[2])
    ax.set_xscale("log", base=2)
    ax.set_xticks(size, [str(x) for x in size])
    ax.set(xlabel="numbers in an action", ylabel="crossing", ylim=(0, None))
    ax.set_title("bandit_chain: measured and predicted", fontsize=9)
