"""The toy problem: entropy misleads SAC at alpha = 1, SAC-AdaEnt repairs it; exact values beside learned ones."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.integrate
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

import envs
from envs.toy import GOOD, START, Toy
from experiments import outcome, published
from experiments.captions import budget, limits
from maxent_jax import api, plots, rollout, stats, tables
from maxent_jax.result import Result

SEEDS = {"quick": 8, "cpu": 8, "paper": 10}
ALPHAS = (1.0, 0.2)
SAC_BATCH = 256  # in every preset: at alpha 0.2 and batch 64 some seeds need more than 20 k steps
N_SAMPLES = {"quick": (16,), "cpu": (16, 32, 100), "paper": (16, 32, 100)}
STATES = {START: "start", GOOD: "good state"}


@dataclasses.dataclass(frozen=True)
class Exact:
    """Exact values of the toy problem at one temperature, over all policies (not only tanh-normal ones).

    Attributes:
      soft_good: soft value of the good state.
      soft_bad: soft value of the bad state.
      misled: probability with which the soft-optimal policy leaves the start for the bad state.
      action: (n,) actions in [-1, 1].
      soft: soft Q over them, by state.
      plain: plain Q over them, by state.
    """

    soft_good: float
    soft_bad: float
    misled: float
    action: np.ndarray
    soft: dict[int, np.ndarray]
    plain: dict[int, np.ndarray]


def exact(env: Toy, alpha: float, gamma: float, points: int = 801) -> Exact:
    """Solve the toy problem by numerical integration over the actions.

    Args:
      env: the task.
      alpha: temperature, > 0.
      gamma: discount.
      points: how many actions to tabulate.

    Returns:
      The values.
    """
    hit, miss, safe, edge = (float(x) for x in (env.reward_hit, env.reward_miss, env.reward_safe, env.half_width))

    def at_good(action: Any) -> Any:
        return np.where(np.abs(action) < edge, hit, miss)

    def soft_value(q: Any, breaks: list[float]) -> float:
        top = max(float(q(x)) for x in np.linspace(-1, 1, 2001))
        mass, _ = scipy.integrate.quad(lambda a: np.exp((float(q(a)) - top) / alpha), -1, 1, points=breaks)
        return top + alpha * float(np.log(mass))

    soft_good = soft_value(at_good, [-edge, edge])
    soft_bad = soft_value(lambda _: safe, [0.0])

    def soft_start(action: Any) -> Any:
        return gamma * np.where(action <= 0, soft_good, soft_bad)

    soft_origin = soft_value(soft_start, [0.0])
    misled, _ = scipy.integrate.quad(lambda a: np.exp((float(soft_start(a)) - soft_origin) / alpha), 1e-12, 1)
    action = np.linspace(-1, 1, points)
    return Exact(
        soft_good,
        soft_bad,
        misled,
        action,
        soft={START: soft_start(action), GOOD: at_good(action)},
        plain={START: gamma * np.where(action <= 0, max(hit, miss), safe), GOOD: at_good(action)},
    )


def run(path: Path, preset: str, console: Console | None) -> None:
    """Train all agents, print who ends where, draw the figure; everything goes below `path`."""
    options: dict[str, Any] = {"seeds": SEEDS[preset], "preset": preset, "resume": True, "console": console}
    batch = {"batch_size": SAC_BATCH}
    results = [
        api.sweep("sac", "toy", {"alpha": ALPHAS}, agent_fields=batch, out=path / "sac", **options),
        api.sweep("sac_adaent", "toy", {"n_samples": N_SAMPLES[preset]}, out=path / "sac_adaent", **options),
    ]
    if preset == "cpu":
        fast = path / "sac_adaent_fast"
        results.append(api.train("sac_adaent", "toy", agent_fields=published.FAST, out=fast, **options))
    results.append(api.train("ppo", "toy", out=path / "ppo", **options))
    rows = ends(results)
    (path / "figures").mkdir(exist_ok=True)
    outcome.record(path / "outcome.json", preset, results, rows)
    draw(results, rows, path / "figures" / "toy.png", preset)
    plots.curves(results, path / "figures" / "curves.png", caption=f"{budget(results)} {limits(results)}")
    if console is not None:
        console.print(table(rows, f"toy, preset {preset}"))


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """Where the seeds end, for people."""
    shown = Table("agent", "seeds at +1", "seeds at -1", "mean action: IQM", "sampled", "switched", title=title)
    for row in rows:
        share = "" if row["switched_share"] is None else f"{row['switched_share']:.0%}"
        counts = (f"{row['at_plus_1']} of {row['seeds']}", f"{row['at_minus_1']} of {row['seeds']}")
        returns = (stats.shown(row[way]) for way in ("deterministic", "stochastic"))
        shown.add_row(row["agent"], *counts, *returns, share)
    return shown


def ends(results: list[Result]) -> list[dict[str, Any]]:
    """The table of returns, how many seeds end where by the mean action, and where the first configuration switches."""
    rows = []
    entries = tables.entries(results)
    for entry, row in zip(entries, outcome.table(entries, {}), strict=True):
        finals = row["deterministic"]["per_seed"]
        first = entry.index == 0
        counts = {
            "seeds": len(finals),
            "at_plus_1": sum(value == 1.0 for value in finals),
            "at_minus_1": sum(value == -1.0 for value in finals),
        }
        shares = {name: switched_shares(entry.result, state) for state, name in STATES.items()} if first else None
        rows.append(row | counts | {"switched_by_state": shares})
    return rows


def draw(results: list[Result], rows: list[dict[str, Any]], path: Path, preset: str) -> None:
    """Exact values, learned landscapes with the policy's density, and learning curves.

    Args:
      results: SAC (first configuration: alpha 1), SAC-AdaEnt, and others.
      rows: where they end.
      path: the PNG to write.
      preset: for the caption.
    """
    sac, adaent = results[:2]
    agent = sac.agents[0]
    values = exact(envs.make("toy"), float(agent.alpha), float(agent.gamma))  # pyright: ignore
    switched = {row["agent"]: row["switched_by_state"] for row in rows}[plots.label(adaent, 0)]
    drawn, axes = plots.figure(3, 3, width=4.4, height=3.0)
    for row, (state, name) in zip(axes, STATES.items(), strict=False):
        _draw_exact(row[0], values, state)
        row[0].set_title(f"{name}: exact, alpha {float(agent.alpha):g}", fontsize=9)  # pyright: ignore
        _draw_learned(row[1], sac, state, f"{name}: SAC, alpha {float(agent.alpha):g}, seed 0")  # pyright: ignore
        shares = f"switched in {switched[name][0]:.0%} of draws; all seeds: {np.mean(switched[name]):.0%}"
        _draw_learned(row[2], adaent, state, f"{name}: SAC-AdaEnt, seed 0\n{shares}")
    for ax in axes[1, :]:
        ax.set_xlabel("action")
    plots.draw_curves(axes[2, 0], results)
    axes[2, 0].legend(fontsize=6, frameon=False)
    axes[2, 0].set_title("learning curves", fontsize=9)
    plots.draw_curves(axes[2, 1], results, "return_stochastic")
    axes[2, 1].set_title("the same, acting by draws", fontsize=9)
    _draw_switching(axes[2, 2], adaent)
    words = (
        f"toy, preset {preset}. {budget(results)} {limits(results)} {SEEDS[preset]} seeds each; band: 95 % bootstrap "
        f"interval of the mean. Exact soft values: good state {values.soft_good:.3f}, bad state {values.soft_bad:.3f}; "
        f"the exact soft policy leaves for the bad state with probability {values.misled:.3f}."
    )
    plots.finish(drawn, words, path, axes[0, 2].get_legend_handles_labels())


def _draw_exact(ax: Axes, values: Exact, state: int) -> None:
    ax.plot(values.action, values.soft[state], color=plots.Q_COLOURS["soft"], label="exact soft Q")
    ax.plot(values.action, values.plain[state], color=plots.Q_COLOURS["plain"], linestyle="--", label="exact plain Q")
    ax.set_ylabel("Q")
    ax.legend(fontsize=7, frameon=False)


def _draw_learned(ax: Axes, result: Result, state: int, title: str) -> None:
    agent, learned = result.agents[0], result.agent_state(0)
    obs = jnp.eye(6)[state]
    plots.draw_slice(ax, rollout.action_slice(agent, learned, obs, 0))
    ax.set_title(title, fontsize=9)


def switched_shares(result: Result, state: int) -> list[float] | None:
    """How often each seed of the first configuration switches at a state; None for an agent that does not compare."""
    agent, obs = result.agents[0], np.eye(6, dtype=np.float32)[state]
    found = [rollout.switched_share(agent, result.agent_state(row), obs) for row in result.rows(0)]
    return None if None in found else found  # pyright: ignore[reportReturnType]


def _draw_switching(ax: Axes, result: Result) -> None:
    """Share of the batch switched, per configuration, and how alike the landscapes are."""
    for index, colour in zip(range(len(result.agents)), plots.COLOURS, strict=False):
        rows = result.rows(index)
        known = np.isfinite(result.metrics["switched_share"][rows]).all(axis=0)
        steps = result.metrics["env_steps"][rows[0]][known]
        share = result.metrics["switched_share"][rows][:, known].mean(axis=0)
        median = result.metrics["similarity_q50"][rows][:, known].mean(axis=0)
        name = ", ".join(f"{key} {value}" for key, value in result.configurations[index].items())
        ax.plot(steps, share, color=colour, label=f"share switched, {name}")
        ax.plot(steps, median, color=colour, linestyle=":", label="median similarity")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("environment steps")
    ax.set_title("SAC-AdaEnt: where it switches", fontsize=9)
    ax.legend(fontsize=6, frameon=False)
