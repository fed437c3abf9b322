"""What solver iterations, contact lists and integrators of the tasks with contacts cost, and what they change.

`python -m benchmarks.contacts` writes `benchmarks/results/contacts.json` and prints its tables. Every variant steps the
same environments from the same states of random play, by the same random actions, for half a second; the reference has
100 iterations with 50 line searches, and for the hopper all parts collide with the floor. What comes after the end of
the reference's episode does not count: a hopper that has fallen lies on parts that need not collide before. (That MJX
and C MuJoCo agree on one scene is a matter of the tests.) Speed is measured in turns.
"""

import functools
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import interleaved, rate, save

ENVIRONMENTS = 64
PLAY = {"hopper": 5, "quadruped": 40}
"""Control steps of random play before the states that are compared."""
STEPS = {"hopper": 62, "quadruped": 40}
"""Control steps of half a second."""
RESULT = Path(__file__).parent / "results" / "contacts.json"

Change = dict[str, str]
"""What to put in place of what in a scene, as regular expressions."""


def solver(iterations: int, line_search: int) -> Change:
    """Other iterations."""
    return {r'iterations="\d+" ls_iterations="\d+"': f'iterations="{iterations}" ls_iterations="{line_search}"'}


THOROUGH = solver(100, 50)
ALL_COLLIDE = {r'contype="0" conaffinity="0" margin': 'contype="1" conaffinity="0" margin'}
VARIANTS: dict[str, dict[str, tuple[dict[str, Any], Change]]] = {
    "hopper": {
        "reference: rk4, 100 iterations, all parts collide": ({}, THOROUGH | ALL_COLLIDE),
        "rk4, 100 iterations, the foot collides": ({}, THOROUGH),
        "rk4, 4 iterations of 6 line searches (in use)": ({}, {}),
        "rk4, 2 of 4": ({}, solver(2, 4)),
        "rk4, 1 of 4": ({}, solver(1, 4)),
        "euler, 100 iterations": ({"integrator": "euler"}, THOROUGH),
        "euler, 4 of 6 (in use)": ({"integrator": "euler"}, {}),
    },
    "quadruped": {
        "reference: 100 iterations, 14 contacts": ({}, THOROUGH | {'"max_contact_points" data="8"': '"x" data="8"'}),
        "100 iterations, 8 contacts": ({}, THOROUGH),
        "8 iterations of 8 line searches, 8 contacts (in use)": ({}, {}),
        "20 of 30": ({}, solver(20, 30)),
        "4 of 6": ({}, solver(4, 6)),
        "2 of 4": ({}, solver(2, 4)),
        "8 of 8, 4 contacts": ({}, {'"max_contact_points" data="8"': '"max_contact_points" data="4"'}),
    },
}


def variant(name: str, values: dict[str, Any], change: Change) -> Any:
    """A task with another scene."""
    task: Any = envs.make(name, **values)
    text = re.sub(r"\s+ls_iterations", " ls_iterations", task.mjcf)
    for pattern, replacement in change.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, f"{pattern} is not in the scene of {name}"
    changed = type(f"Changed{type(task).__name__}", (type(task),), {"mjcf": property(lambda _: text)})
    return changed(**{field: getattr(task, field) for field in task.__dataclass_fields__})


def play(task: Any, physics: Any, actions: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
    """Under actions (steps, n, a) in n environments: the last states, joint positions and ends after every step."""

    def step(physics: Any, action: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        physics, _, terminated = jax.vmap(task.advance)(physics, action)
        return physics, (jax.vmap(task.qpos)(physics), terminated)

    physics, (qpos, terminated) = jax.lax.scan(step, physics, actions)
    return physics, qpos, terminated


def measure(name: str, repetitions: int) -> dict[str, dict[str, Any]]:
    """By variant: how far joint positions end from those of the reference, and control steps per second."""
    tasks = {label: variant(name, *change) for label, change in VARIANTS[name].items()}
    keys = jax.random.split(jax.random.key(0), ENVIRONMENTS)
    size = (PLAY[name] + STEPS[name], ENVIRONMENTS, envs.make(name).action_size)
    actions = jax.random.uniform(jax.random.key(1), size, minval=-1.0)
    reference = next(iter(tasks.values()))
    compiled = jax.jit(play)
    start = compiled(reference, jax.vmap(reference.start)(keys), actions[: PLAY[name]])[0]
    runs = {label: functools.partial(compiled, task, start, actions[PLAY[name] :]) for label, task in tasks.items()}
    paths = {label: jax.tree.map(np.asarray, run()[1:]) for label, run in runs.items()}
    seconds = interleaved(runs, repetitions)
    exact, terminated = paths[next(iter(tasks))]
    ended_before = np.cumsum(terminated, axis=0) - terminated > 0
    found = {}
    for label, (qpos, _) in paths.items():
        off = np.where(ended_before, 0.0, np.abs(qpos - exact).max(axis=2)).max(axis=0)
        found[label] = {
            "largest": float(off.max()),
            "p90": float(np.quantile(off, 0.9)),
            "median": float(np.median(off)),
            "steps_per_second": rate(ENVIRONMENTS * STEPS[name], seconds[label]),
        }
    return found


def main(repetitions: int = 5, out: Path = RESULT) -> None:
    """Measure, write the JSON, print the tables.

    Args:
      repetitions: rounds, in which every variant takes its turn.
      out: the JSON to write.
    """
    about = (
        f"largest distance of joint positions (m, rad) from the reference's over {STEPS} control steps or to the end "
        f"of the episode, of {ENVIRONMENTS} environments; control steps per second: median, min and max of "
        f"{repetitions} rounds"
    )
    result: dict[str, Any] = {}
    for name in VARIANTS:
        result[name] = measure(name, repetitions)
        table = Table("variant", "median off", "90 %", "largest", "thousand steps/s", title=name)
        for label, row in result[name].items():
            off = (f"{row[key]:.2g}" for key in ("median", "p90", "largest"))
            table.add_row(label, *off, f"{row['steps_per_second']['median'] / 1e3:.3g}")
        Console(width=130).print(table)
        save(out, about, **result)


if __name__ == "__main__":
    tyro.cli(main)
