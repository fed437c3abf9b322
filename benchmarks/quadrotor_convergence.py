"""How many integration steps the quadrotor needs, and what MJX costs it.

`python -m benchmarks.quadrotor_convergence` writes `benchmarks/results/quadrotor_convergence.json` and prints its
table.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.quadrotor_reference import random_actions, solve
from benchmarks.timing import describe, interleaved
from envs import State, fields
from envs.quadrotor import Quadrotor

SEQUENCES = 50
KINDS = {  # how far from hover (1 is half of the range), and for how many control steps each action is held
    "around hover": {"spread": 0.3, "hold": 1},
    "random": {"spread": 2.0, "hold": 1},
    "random, held 1 s": {"spread": 2.0, "hold": 10},
}
SUBSTEPS = (1, 2, 3, 4)
RESULT = Path(__file__).parent / "results" / "quadrotor_convergence.json"


class DirectQuadrotor(Quadrotor):
    """The quadrotor without MJX: Newton's and Euler's laws, written out."""

    def accelerate(self, rates: jax.Array, force: jax.Array, torque: jax.Array) -> jax.Array:
        """(6,) force over mass, and torque less the gyroscopic one over the moments of inertia."""
        inertia = jnp.stack([self.inertia_x, self.inertia_y, self.inertia_z])
        return jnp.concatenate([force / self.mass, (torque - jnp.cross(rates, inertia * rates)) / inertia])


def fly(env: Quadrotor, key: jax.Array, actions: jax.Array) -> tuple[Any, Any]:
    """The physical states before and after each of the actions (steps, 4)."""

    def step(state: State, action: jax.Array) -> tuple[State, Any]:
        state = env.step(state, action)
        world: Any = state.pipeline_state
        return state, world.physics

    state = env.reset(key)
    world: Any = state.pipeline_state
    return world.physics, jax.lax.scan(step, state, actions)[1]


def errors(env: Quadrotor, actions: np.ndarray) -> dict[str, float]:
    """Largest errors of position (m) and velocity (m/s) over all steps of all sequences (sequences, 40, 4)."""
    keys = jax.random.split(jax.random.key(0), len(actions))
    starts, states = jax.jit(jax.vmap(fly, (None, 0, 0)))(env, keys, actions)
    exact = [
        solve(position, velocity, sequence)
        for position, velocity, sequence in zip(
            np.asarray(starts.position, float), np.asarray(starts.velocity, float), actions, strict=True
        )
    ]
    metres = np.abs(states.position - np.stack([path["position"] for path in exact])).max()
    speed = np.abs(states.velocity - np.stack([path["velocity"] for path in exact])).max()
    return {"metres": float(metres), "metres_per_second": float(speed)}


def timed(env: Quadrotor, parallel: int, steps: int) -> Callable[[], Any]:
    """A compiled function that flies `parallel` quadrotors for `steps` control steps."""
    keys = jax.random.split(jax.random.key(0), parallel)
    actions = jax.random.uniform(jax.random.key(1), (parallel, steps, 4), minval=-1.0)
    return functools.partial(
        jax.jit(jax.vmap(fly, (None, 0, 0))).lower(env, keys, actions).compile(), env, keys, actions
    )


def main() -> None:
    """Measure, write the JSON, print the table."""
    rng = np.random.default_rng(0)
    actions = {name: random_actions(rng, SEQUENCES, **kind) for name, kind in KINDS.items()}
    classes = {"MJX": Quadrotor, "plain JAX": DirectQuadrotor}
    envs = {(name, n): fields.build(cls, {"substeps": n}) for n in SUBSTEPS for name, cls in classes.items()}
    single = interleaved({str(key): timed(env, 1, 1000) for key, env in envs.items()})
    many = interleaved({str(key): timed(env, 1024, 20) for key, env in envs.items()})
    rows = [
        {
            "dynamics": key[0],
            "substeps": key[1],
            "errors": {name: errors(env, sequences) for name, sequences in actions.items()},
            "microseconds_1": {part: value / 1000 * 1e6 for part, value in single[str(key)].items()},
            "microseconds_1024": {part: value / 20 * 1e6 for part, value in many[str(key)].items()},
            "chosen": key == ("MJX", fields.settings(Quadrotor)["substeps"].default),
        }
        for key, env in envs.items()
    ]
    about = (
        f"largest errors within 4 s of {SEQUENCES} sequences of actions, float32 against solve_ivp at rtol 1e-10; "
        "microseconds per control step of 1 and of 1024 quadrotors, without time limit and auto-reset"
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"about": about, "where": describe(), "kinds": KINDS, "rows": rows}, indent=1) + "\n")

    table = Table(title=about)
    table.add_column("dynamics")
    for column in ("steps", *(f"mm, {kind}" for kind in KINDS), "us, 1", "us, 1024"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["dynamics"],
            f"{row['substeps']}",
            *(f"{1000 * row['errors'][kind]['metres']:.2f}" for kind in KINDS),
            f"{row['microseconds_1']['median']:.1f}",
            f"{row['microseconds_1024']['median']:.0f}",
            style="bold" if row["chosen"] else None,
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
