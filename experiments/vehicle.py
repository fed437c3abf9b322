"""The vehicle: SAC, SAC-AdaEnt and PPO on a car without grip, beside doing nothing and acting at random."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import envs
from envs.vehicle import Vehicle
from envs.vehicle import path as path_point
from experiments.captions import budget, record
from maxent_jax import api, plots, stats
from maxent_jax.runs import Result

AGENTS = ("sac", "sac_adaent", "ppo")
SEEDS = {"quick": 3, "cpu": 5, "paper": 10}
YARDSTICK_EPISODES = 100


def run(path: Path, preset: str, console: Console | None) -> None:
    """Train the three agents, draw curves and paths; everything goes below `path`."""
    results = [
        api.train(name, "vehicle", seeds=SEEDS[preset], preset=preset, out=path / name, console=console)
        for name in AGENTS
    ]
    env: Vehicle = envs.make("vehicle")  # pyright: ignore[reportAssignmentType]
    lines = yardsticks(env)
    (path / "figures").mkdir()
    plots.curves(
        results,
        path / "figures" / "curves.png",
        lines={name: float(np.mean(values)) for name, values in lines.items()},
        caption=f"Preset {preset}: {budget(results)} {limits(preset)}",
    )
    draw_paths(results, env, path / "figures" / "paths.png", preset)
    rows = table(results, lines)
    record(path / "outcome.json", preset, results, rows)
    if console is not None:
        shown = Table("agent", "mean action: return, 95 % interval", "sampled", title=f"vehicle, preset {preset}")
        for row in rows:
            shown.add_row(row["agent"], *(_with_interval(row[key]) for key in ("deterministic", "stochastic")))
        console.print(shown)


def limits(preset: str) -> str:
    """What a budget does not show."""
    if preset == "paper":
        return "Published budget."
    return "Far below the published 2 M steps, smaller nets: it shows how the agents begin, not who wins in the end."


def yardsticks(env: Vehicle) -> dict[str, np.ndarray]:
    """Returns of policies that know nothing, (episodes,) each: zero actions and uniformly random ones."""

    def episode(key: jax.Array, scale: float) -> jax.Array:
        def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            state = env.step(state, scale * jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0))
            return state, state.reward

        keys = jax.random.split(key, int(env.horizon))
        return jax.lax.scan(step, env.reset(key), keys)[1].sum()

    keys = jax.random.split(jax.random.key(0), YARDSTICK_EPISODES)
    returns = jax.jit(jax.vmap(jax.vmap(episode, (0, None)), (None, 0)))(keys, jnp.array([0.0, 1.0]))
    return {"zero action": np.asarray(returns[0]), "random actions": np.asarray(returns[1])}


def table(results: list[Result], lines: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Final returns, agents and yardsticks alike."""
    rows = []
    for result in results:
        summary = result.summary["configurations"][0]
        both = {"deterministic": summary["return_deterministic"], "stochastic": summary["return_stochastic"]}
        rows.append({"agent": result.config["agent"], **both, "switched_share": summary["switched_share"]})
    for name, values in lines.items():
        found = stats.interval(values)
        numbers = {"mean": found.mean, "low": found.low, "high": found.high, "std": float(np.std(values))}
        rows.append({"agent": name, "deterministic": numbers, "stochastic": None, "switched_share": None})
    return rows


def _with_interval(numbers: dict[str, Any] | None) -> str:
    if numbers is None:
        return ""
    ends = "" if numbers["low"] is None else f"  [{numbers['low']:,.0f}, {numbers['high']:,.0f}]"
    return f"{numbers['mean']:,.0f}{ends}"


def position(state: Any) -> jax.Array:
    """(2,) where the car is."""
    return state.pipeline_state.physics.pose[:2]


def drive(result: Result, env: Vehicle, run: int) -> np.ndarray:
    """(horizon + 1, 2) positions of the car under the mean action of a trained policy."""
    act = result.policy(run)

    def step(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = env.step(state, act(state.obs))
        return state, position(state)

    start = env.reset(jax.random.key(0))
    positions = jax.jit(lambda start: jax.lax.scan(step, start, length=int(env.horizon))[1])(start)
    return np.concatenate([np.asarray(position(start))[None], np.asarray(positions)])


def draw_paths(results: list[Result], env: Vehicle, path: Path, preset: str) -> None:
    """Where the trained cars go, one panel an agent, one line a seed, on the circle they should follow."""
    circle = np.array([path_point(arc, env.path_radius)[0] for arc in np.linspace(0, 61, 200)])
    drawn, axes = plots.figure(1, len(results), width=4.2, height=4.4)
    for ax, result in zip(axes[0], results, strict=True):
        ax.plot(*circle.T, color="#999999", linewidth=4, alpha=0.4, label="path")
        for info, colour in zip(result.runs, plots.COLOURS * 10, strict=False):
            positions = drive(result, env, info.run)
            ax.plot(*positions.T, color=colour, linewidth=1.2, label=f"seed {info.seed}")
            ax.plot(*positions[-1], color=colour, marker="o", markersize=5)
        final = result.summary["configurations"][0]["return_deterministic"]["mean"]
        ax.set_title(f"{result.config['agent']}: {final:,.0f}", fontsize=10)
        ax.set_aspect("equal")
        ax.set(xlim=(-32, 32), ylim=(-32, 32), xlabel="x, m")
    axes[0, 0].set_ylabel("y, m")
    handles, names = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    drawn.supxlabel(
        f"vehicle, preset {preset}: one episode (20 s) of each trained policy's mean action; dot: where it ends. "
        f"{limits(preset)}",
        fontsize=8,
        wrap=True,
    )
    plots.save(drawn, path)
