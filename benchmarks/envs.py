"""How fast the tasks run, what MJX and the auto-reset cost, and how that compares with other libraries.

`python -m benchmarks.envs` writes `benchmarks/results/envs.json` and prints its tables: control steps per second of 1
to 8192 environments in parallel, by random actions.

* Every task as training runs it, with time limit, guard and auto-reset; its seconds of compilation; the share of a step
  that the auto-reset takes (the same program without it, side by side).
* The vehicle's bare task on MJX, and the same physics as plain JAX and as a numpy loop.
* Others' versions: Brax's hopper (`mjx` backend, with Brax's wrappers), gymnax's acrobot where gymnax is installed, and
  the physics of our hopper and quadruped in C MuJoCo's `rollout` on two threads (no observation, reward or reset).
"""

import functools
import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.other_tasks import ACTIONS, Run, brax_hopper, c_mujoco, compiled, gymnax_acrobot
from benchmarks.timing import interleaved, rate, save
from benchmarks.vehicle_reference import START, midpoint_step
from envs import fields, hopper, quadruped
from envs.training import Training
from envs.vehicle import Vehicle

PARALLEL = (1, 64, 1024, 8192)
SECONDS = 0.4
"""About how long a measured run lasts."""
RESULT = Path(__file__).parent / "results" / "envs.json"


class WithoutReset(Training):
    """Training without its auto-reset: what ends goes on."""

    def step(self, state: Any, action: jax.Array) -> Any:
        """As `Training`'s, up to the reset."""
        return self.step_to_end(state, action)


class DirectVehicle(Vehicle):
    """The vehicle without MJX."""

    def accelerate(self, velocity: jax.Array, force: jax.Array) -> jax.Array:
        """Newton's second law, written out."""
        del velocity
        return force / jnp.stack([self.mass, self.mass, self.yaw_inertia])


def rollout(env: Any, key: jax.Array, actions: jax.Array, steps: jax.Array) -> jax.Array:
    """A sum over all that `steps` steps under actions (n, action_size) return, so that nothing is optimised away."""

    def step(index: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, total = carry
        state = env.step(state, actions[index % len(actions)])
        seen = (state.obs, state.reward, state.done, state.info.get("final_obs", state.obs))
        return state, total + sum(leaf.sum() for leaf in seen)

    return jax.lax.fori_loop(0, steps, step, (env.reset(key), jnp.zeros(())))[1]


def on_device(env: Any, parallel: int) -> tuple[Run, float]:
    """The compiled rollout of `parallel` environments, and the seconds that compiling took."""
    keys = jax.random.split(jax.random.key(0), parallel)
    actions = jax.random.uniform(jax.random.key(1), (parallel, ACTIONS, env.action_size), minval=-1.0)
    if parallel == 1:
        return compiled(rollout, env, keys[0], actions[0])
    return compiled(jax.vmap(rollout, (None, 0, 0, None)), env, keys, actions)


def in_numpy(parallel: int) -> Run:
    """The vehicle's equations in numpy, all cars in one array, with as many evaluations as the task makes."""
    start = np.repeat(START[:, None], parallel, 1)
    actions = np.random.default_rng(0).uniform(-1, 1, (ACTIONS, 2, parallel))
    step = functools.partial(midpoint_step, tyres="published", substeps=6)
    return lambda steps: functools.reduce(step, (actions[index % ACTIONS] for index in range(steps)), start)


def calibrated(run: Run) -> int:
    """Steps that take about `SECONDS`."""
    run(2)
    steps = 4
    while True:
        began = time.perf_counter()
        jax.block_until_ready(run(steps))
        took = time.perf_counter() - began
        if took > 0.1 * SECONDS or steps > 10**8:
            return max(2, round(steps * SECONDS / took))
        steps *= 8


def rates(runs: Mapping[str, Run], parallel: int, repetitions: int) -> dict[str, dict[str, float]]:
    """Control steps per second of all environments: median, min, max by name."""
    steps = {name: calibrated(run) for name, run in runs.items()}
    functions = {name: functools.partial(run, steps[name]) for name, run in runs.items()}
    times = interleaved(functions, repetitions)
    return {name: rate(parallel * steps[name], seconds) for name, seconds in times.items()}


def tasks() -> dict[str, Any]:
    """The bare tasks that are measured, by name."""
    found = {name: envs.make(name) for name in envs.names()}
    variants = {
        "vehicle": {"tyres": "road"},
        "hopper": {"integrator": "euler"},
        "quadrotor": {"dynamics": "simplified"},
    }
    for name, values in variants.items():
        found[f"{name}, {', '.join(values.values())}"] = envs.make(name, **values)
    return found


def groups() -> dict[str, dict[str, Callable[[int], tuple[Run, float | None]]]]:
    """What is measured side by side: by group and name, a function from the parallel environments to a run."""
    found: dict[str, dict[str, Any]] = {}
    for name, task in tasks().items():
        found[name] = {
            name: functools.partial(on_device, envs.for_training(task)),
            f"{name}: without auto-reset": functools.partial(on_device, WithoutReset(task)),
        }
    found["vehicle"] |= {
        "vehicle: bare, MJX": functools.partial(on_device, envs.make("vehicle")),
        "vehicle: bare, plain JAX": functools.partial(on_device, fields.build(DirectVehicle, {})),
        "vehicle: numpy loop": lambda parallel: (in_numpy(parallel), None),
    }
    # Everything about a hopper in one group, so that a busy spell of the machine hits all alike.
    euler = found.pop("hopper, euler")
    found["hopper"] |= euler | {
        "hopper: Brax's": brax_hopper,
        "hopper: C MuJoCo, 2 threads": functools.partial(c_mujoco, envs.make("hopper"), hopper.SUBSTEPS, 0.0, 200.0),
    }
    servos = np.deg2rad(quadruped.START), float(np.deg2rad(11.0))
    found["quadruped"]["quadruped: C MuJoCo, 2 threads"] = functools.partial(
        c_mujoco, envs.make("quadruped"), quadruped.SUBSTEPS, *servos
    )
    if importlib.util.find_spec("gymnax") is not None:
        found["acrobot"]["acrobot: gymnax's"] = gymnax_acrobot
    return found


def measure(names: Mapping[str, Any], parallel: int, repetitions: int) -> dict[str, dict[str, float | None]]:
    """One group at one size: rates and seconds of compilation by name."""
    made = {name: make(parallel) for name, make in names.items()}
    found = rates({name: run for name, (run, _) in made.items()}, parallel, repetitions)
    return {name: found[name] | {"compile_seconds": made[name][1]} for name in made}


def table(result: Mapping[str, Mapping[int, Mapping[str, Any]]], sizes: tuple[int, ...], title: str) -> Table:
    """Thousand steps per second by size, compilation, and the share of the auto-reset."""
    shown = Table(title=title)
    for column in ("task", *map(str, sizes), "compile, s"):
        shown.add_column(column, justify="left" if column == "task" else "right")
    for group in result.values():
        for name in group[sizes[0]]:
            cells = [group[size][name] for size in sizes]
            rate = [f"{c['median'] / 1e3:.4g} ({c['min'] / 1e3:.4g} to {c['max'] / 1e3:.4g})" for c in cells]
            compiling = [c["compile_seconds"] for c in cells]
            shown.add_row(name, *rate, "" if compiling[0] is None else f"{max(compiling):.1f}")
    return shown


def shares(result: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, dict[int, float]]:
    """The share of a training step that the auto-reset takes, by task and size; noise may make it negative."""
    found: dict[str, dict[int, float]] = {}
    for group in result.values():
        for size, names in group.items():
            for name in names:
                if without := names.get(f"{name}: without auto-reset"):
                    found.setdefault(name, {})[size] = 1 - names[name]["median"] / without["median"]
    return found


def main(
    only: tuple[str, ...] = (), sizes: tuple[int, ...] = PARALLEL, repetitions: int = 5, out: Path = RESULT
) -> None:
    """Measure, write the JSON, print the tables.

    Args:
      only: groups to measure; none: all.
      sizes: environments in parallel.
      repetitions: rounds, in which everything in a group takes its turn.
      out: the JSON to write.
    """
    console = Console(width=150)
    about = f"control steps per second: median, min and max of {repetitions} interleaved repetitions"
    result: dict[str, dict[int, Any]] = {}
    for group, names in groups().items():
        if only and group not in only:
            continue
        result[group] = {size: measure(names, size, repetitions) for size in sizes}
        console.print(table({group: result[group]}, sizes, "thousand control steps per second"))
        reset = shares(result)
        save(out, about, steps_per_second=result, auto_reset_share=reset)
    shown = Table("auto-reset's share of a step", *map(str, sizes))
    for name, by_size in shares(result).items():
        shown.add_row(name, *(f"{by_size[size]:.1%}" for size in sizes))
    console.print(shown)


if __name__ == "__main__":
    tyro.cli(main)
