"""How fast the tasks run, and what MJX costs the vehicle.

`python -m benchmarks.envs` writes `benchmarks/results/envs.json` and prints its table: control steps per second of 1 to
8192 environments in parallel, as training runs them (time limit and auto-reset), beside the vehicle's bare task on MJX,
the same physics as plain JAX (the acceleration is force over mass, no MJX), and the same number of evaluations of the
equations in a numpy loop.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import describe, interleaved
from benchmarks.vehicle_reference import START, midpoint_step
from envs import fields
from envs.vehicle import Vehicle

PARALLEL = (1, 64, 1024, 8192)
REPETITIONS = 5
RESULT = Path(__file__).parent / "results" / "envs.json"


@flax.struct.dataclass
class DirectVehicle(Vehicle):
    """The vehicle without MJX."""

    def accelerate(self, velocity: jax.Array, force: jax.Array) -> jax.Array:
        """Newton's second law, written out."""
        del velocity
        return force / jnp.stack([self.mass, self.mass, self.yaw_inertia])


def rollout(env: Any, key: jax.Array, actions: jax.Array) -> jax.Array:
    """The sum of all rewards and observations under actions (steps, action_size), so that none is optimised away."""

    def step(state: Any, action: jax.Array) -> tuple[Any, jax.Array]:
        state = env.step(state, action)
        return state, state.reward + state.obs.sum()

    return jax.lax.scan(step, env.reset(key), actions)[1].sum()


def on_device(env: Any, parallel: int, steps: int) -> Callable[[], Any]:
    """A compiled function that takes `steps` control steps in each of `parallel` environments."""
    keys = jax.random.split(jax.random.key(0), parallel)
    actions = jax.random.uniform(jax.random.key(1), (parallel, steps, env.action_size), minval=-1.0)
    if parallel == 1:
        program, keys, actions = jax.jit(rollout), keys[0], actions[0]
    else:
        program = jax.jit(jax.vmap(rollout, (None, 0, 0)))
    return functools.partial(program.lower(env, keys, actions).compile(), env, keys, actions)


def in_numpy(parallel: int, steps: int) -> Callable[[], Any]:
    """The vehicle's equations in numpy, all cars in one array, with as many evaluations as the task makes."""
    start = np.repeat(START[:, None], parallel, 1)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 2, parallel))
    step = functools.partial(midpoint_step, tyres="published", substeps=6)
    return lambda: functools.reduce(step, actions, start)


def measure(parallel: int) -> dict[str, dict[str, float]]:
    """Control steps per second (median, min, max over the repetitions) by name, `parallel` environments at a time."""
    steps = {1: 2000, 64: 500, 1024: 50, 8192: 10}[parallel]
    training = {name: envs.for_training(envs.make(name)) for name in ("toy", "pendulum", "vehicle")}
    training["vehicle, road tyres"] = envs.for_training(envs.make("vehicle", tyres="road"))
    bare = {"vehicle, bare, MJX": envs.make("vehicle"), "vehicle, bare, plain JAX": fields.build(DirectVehicle, {})}
    functions = {name: on_device(env, parallel, steps) for name, env in (training | bare).items()}
    functions["vehicle, numpy loop"] = in_numpy(parallel, steps)
    rate = lambda seconds: parallel * steps / seconds  # noqa: E731
    return {
        name: {"median": rate(time["median"]), "min": rate(time["max"]), "max": rate(time["min"])}
        for name, time in interleaved(functions, REPETITIONS).items()
    }


def main() -> None:
    """Measure, write the JSON, print the table."""
    rates = {parallel: measure(parallel) for parallel in PARALLEL}
    about = f"control steps per second: median (min to max) of {REPETITIONS} interleaved repetitions"
    result = {"about": about, "where": describe(), "steps_per_second": rates}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")

    table = Table(title=f"thousand {about}")
    table.add_column("environments in parallel")
    for parallel in PARALLEL:
        table.add_column(str(parallel), justify="right")
    for name in rates[1]:
        cells = [rates[parallel][name] for parallel in PARALLEL]
        table.add_row(name, *(f"{c['median'] / 1e3:.0f} ({c['min'] / 1e3:.0f} to {c['max'] / 1e3:.0f})" for c in cells))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
