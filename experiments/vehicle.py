"""The vehicle: SAC, SAC-AdaEnt and PPO on a car without grip, and the paths that their cars take."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

import envs
from envs.vehicle import Vehicle
from envs.vehicle import path as path_point
from experiments import control
from experiments.captions import budget, limits
from maxent_jax import plots, stats
from maxent_jax.result import Result


def run(path: Path, preset: str, console: Console | None) -> None:
    """What `control` does with the vehicle, and where the trained cars drive; everything goes below `path`."""
    results = control.run("vehicle", path, preset, console)
    env: Vehicle = envs.make("vehicle")  # pyright: ignore[reportAssignmentType]
    draw_paths(results, env, path / "figures" / "paths.png", preset)


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
    columns = min(4, len(results))
    drawn, axes = plots.figure(-(-len(results) // columns), columns, width=4.2, height=4.4)
    for ax, result in zip(axes.flat, results, strict=True):
        ax.plot(*circle.T, color="#999999", linewidth=4, alpha=0.4, label="path")
        sound = [info for info in result.runs if info.run not in result.failed]
        for info, colour in zip(sound, plots.COLOURS * 10, strict=False):
            positions = drive(result, env, info.run)
            ax.plot(*positions.T, color=colour, linewidth=1.2, label=f"seed {info.seed}")
            ax.plot(*positions[-1], color=colour, marker="o", markersize=5)
        final = result.summary["configurations"][0]["return_deterministic"]["iqm"]
        ax.set_title(f"{plots.label(result, 0)}: {stats.digits(final) or 'all failed'}", fontsize=9)
        ax.set_aspect("equal")
        ax.set(xlim=(-32, 32), ylim=(-32, 32), xlabel="x, m")
    axes[0, 0].set_ylabel("y, m")
    words = (
        f"vehicle, preset {preset}: one episode (20 s) of each trained policy's mean action; dot: where it ends. "
        f"Above each: interquartile mean of the final returns. {budget(results)} {limits(results)}"
    )
    plots.finish(drawn, words, path, axes[0, 0].get_legend_handles_labels(), columns=6)
