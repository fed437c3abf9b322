"""Which integrator the vehicle needs: errors against the exact solution, and what a control step costs.

`python -m benchmarks.vehicle_convergence` writes `benchmarks/results/vehicle_convergence.json` and prints its table.
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

from benchmarks.timing import describe, interleaved
from benchmarks.vehicle_reference import random_actions, solve
from envs import State, fields
from envs.integrators import Scheme, Slope, runge_kutta
from envs.vehicle import INTEGRATION, Vehicle, split_midpoint


def midpoint(slope: Slope, motion: jax.Array, seconds: jax.Array) -> jax.Array:
    """One step of the explicit midpoint rule, for comparison."""
    return motion + seconds * slope(motion + 0.5 * seconds * slope(motion))


SEQUENCES = 100
HOLDS = (1, 20)  # control steps between changes of the action: noise, and what a policy does rather
BOUNDS = {"published": (0.02, 2e-3), "road": (0.01, 1e-3)}  # m and rad after 20 s
STAGES = {midpoint: 2, split_midpoint: 4, runge_kutta: 4}
CANDIDATES: dict[str, list[tuple[Scheme, int]]] = {
    "published": [
        *((midpoint, n) for n in (10, 20, 40)),
        *((runge_kutta, n) for n in (5, 10, 20)),
        *((split_midpoint, n) for n in (1, 2, 3, 4)),
    ],
    "road": [
        *((midpoint, n) for n in (10, 20, 40)),
        *((runge_kutta, n) for n in (2, 3, 4, 5, 10)),
        *((split_midpoint, n) for n in (5, 10, 20)),
    ],
}
RESULT = Path(__file__).parent / "results" / "vehicle_convergence.json"


@flax.struct.dataclass
class Candidate(Vehicle):
    """The vehicle with an integrator of choice."""

    scheme: Any = flax.struct.field(pytree_node=False, default=midpoint)
    substeps: int = flax.struct.field(pytree_node=False, default=1)

    @property
    def integration(self) -> tuple[Scheme, int]:
        """As chosen."""
        return self.scheme, self.substeps


def drive(env: Vehicle, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(3,) the pose after actions (steps, 2), and the return."""

    def step(state: State, action: jax.Array) -> tuple[State, jax.Array]:
        state = env.step(state, action)
        return state, state.reward

    state, rewards = jax.lax.scan(step, env.reset(jax.random.key(0)), actions)
    world: Any = state.pipeline_state
    return world.physics.pose, rewards.sum()


def errors(env: Vehicle, actions: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Largest and median distance (m) and yaw error (rad) after actions (sequences, steps, 2); exact (sequences, 6)."""
    pose, _ = jax.jit(jax.vmap(drive, (None, 0)))(env, jnp.asarray(actions, jnp.float32))
    pose = np.asarray(pose, float)
    yaw = (pose[:, 2] - exact[:, 2] + np.pi) % (2 * np.pi) - np.pi
    distance = np.hypot(*(pose - exact[:, :3])[:, :2].T)
    return {
        "metres_max": float(distance.max()),
        "metres_median": float(np.median(distance)),
        "radians_max": float(np.abs(yaw).max()),
        "radians_median": float(np.median(np.abs(yaw))),
    }


def timed(env: Vehicle, cars: int, steps: int) -> Callable[[], Any]:
    """A function that drives `cars` in parallel for `steps` control steps; compiled here."""
    actions = jax.random.uniform(jax.random.key(0), (cars, steps, 2), minval=-1.0)
    one = lambda env, actions: drive(env, actions[0])  # noqa: E731
    program = jax.jit(jax.vmap(drive, (None, 0)) if cars > 1 else one).lower(env, actions).compile()
    return functools.partial(program, env, actions)


def measure(tyres: str) -> list[dict[str, Any]]:
    """One row per integrator: its errors and the cost of a control step."""
    rng = np.random.default_rng(0)
    actions = {f"hold_{hold}": random_actions(rng, SEQUENCES, tyres, hold).astype(np.float32) for hold in HOLDS}
    exact = {name: np.stack([solve(one, tyres)[-1] for one in sequences]) for name, sequences in actions.items()}
    base = fields.build(Vehicle, {"tyres": tyres})
    leaves = {name: getattr(base, name) for name in fields.settings(Vehicle)}
    envs = {f"{s.__name__} {n}": Candidate(**leaves, scheme=s, substeps=n) for s, n in CANDIDATES[tyres]}
    single = interleaved({name: timed(env, 1, 1000) for name, env in envs.items()})
    many = interleaved({name: timed(env, 1024, 10) for name, env in envs.items()})
    rows = []
    for name, env in envs.items():
        error = {hold: errors(env, actions[hold], exact[hold]) for hold in actions}
        metres, radians = BOUNDS[tyres]
        rows.append(
            {
                "tyres": tyres,
                "scheme": env.scheme.__name__,
                "substeps": env.substeps,
                "evaluations": env.substeps * STAGES[env.scheme],
                "errors": error,
                "microseconds_1": {key: value / 1000 * 1e6 for key, value in single[name].items()},
                "microseconds_1024": {key: value / 10 * 1e6 for key, value in many[name].items()},
                "within_bounds": all(e["metres_max"] < metres and e["radians_max"] < radians for e in error.values()),
                "chosen": (env.scheme, env.substeps) == INTEGRATION[tyres],
            }
        )
    return rows


def main() -> None:
    """Measure, write the JSON, print the table."""
    rows = [row for tyres in CANDIDATES for row in measure(tyres)]
    about = (
        f"largest error after 20 s of {SEQUENCES} sequences of random actions, new ones every 0.1 s (hold 1) or 2 s "
        "(hold 20), float32 against solve_ivp at rtol 1e-9; microseconds per control step of 1 and of 1024 cars"
    )
    result = {"about": about}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result | {"where": describe(), "bounds": BOUNDS, "rows": rows}, indent=1) + "\n")

    table = Table(title=about)
    for column in ("tyres", "scheme"):
        table.add_column(column)
    numbers = [f"{unit}, hold {hold}" for hold in HOLDS for unit in ("cm", "mrad")]
    for column in ("steps", "evaluations", *numbers, "us, 1 car", "us, 1024", "in bounds"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["tyres"],
            row["scheme"],
            f"{row['substeps']}",
            f"{row['evaluations']}",
            *(
                f"{value:.3f}"
                for error in row["errors"].values()
                for value in (100 * error["metres_max"], 1000 * error["radians_max"])
            ),
            f"{row['microseconds_1']['median']:.1f}",
            f"{row['microseconds_1024']['median']:.0f}",
            "yes" if row["within_bounds"] else "no",
            style="bold" if row["chosen"] else None,
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
