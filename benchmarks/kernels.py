"""How many kernels a control step of each task is: what a GPU pays for, however many environments run.

`python -m benchmarks.kernels` writes `benchmarks/results/kernels.json` and prints its table. Counted in the program
that XLA compiles for this machine, for 1024 environments: every operation that runs on its own (a fusion counts once),
those in loops as often as the loop turns; a solver's loop counts with its most iterations. A GPU's compiler fuses
otherwise, so that the numbers are a guide, not a measurement. At `MICROSECONDS` a launch they say how many environments
a GPU needs to overtake C MuJoCo on two threads (`benchmarks/results/envs.json`), as long as launches are what it waits
for.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import describe

ENVIRONMENTS = 1024
MICROSECONDS = (2.0, 5.0)
"""What a launch takes on a GPU, from well to badly."""
SOLVER = {"hopper": 4, "quadruped": 8}
"""Most iterations of a task's solver: the only loops whose length is not in the program."""
FREE = re.compile(r" (parameter|constant|get-tuple-element|tuple|bitcast|broadcast|iota|after-all)\(")
RESULT = Path(__file__).parent / "results" / "kernels.json"


def computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """The name of a compiled program's entry, and the operations of each of its computations."""
    entry, current, found = "", "", {}
    for line in text.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.\-]+) .*\{\s*$", line):
            current = head.group(2)
            found[current] = []
            entry = current if head.group(1) else entry
        elif current and " = " in line:
            found[current].append(line)
    return entry, found


def kernels(name: str, bodies: Mapping[str, Sequence[str]], unknown_trips: int) -> int:
    """Operations of a computation that run on their own, with all that it calls."""
    total = 0
    for line in bodies[name]:
        if FREE.search(line):
            continue
        if body := re.search(r" while\(.*body=%?([\w.\-]+)", line):
            trips = re.search(r'known_trip_count"?:\{"n":"(\d+)"', line)
            total += (int(trips.group(1)) if trips else unknown_trips) * kernels(body.group(1), bodies, unknown_trips)
        elif called := re.search(r" call\(.*to_apply=%?([\w.\-]+)", line):
            total += kernels(called.group(1), bodies, unknown_trips)
        else:
            total += 1
    return total


def count(task: str, values: Mapping[str, Any]) -> int:
    """Kernels of one training step of a task."""
    env = envs.for_training(envs.make(task, **values))
    keys = jax.random.split(jax.random.key(0), ENVIRONMENTS)
    states = jax.eval_shape(jax.vmap(env.reset), keys)
    actions = jax.ShapeDtypeStruct((ENVIRONMENTS, env.action_size), jnp.float32)
    entry, bodies = computations(jax.jit(jax.vmap(env.step)).lower(states, actions).compile().as_text() or "")
    return kernels(entry, bodies, SOLVER.get(task, 1))


def main(out: Path = RESULT) -> None:
    """Count, write the JSON, print the table.

    Args:
      out: the JSON to write.
    """
    speeds = json.loads(RESULT.with_name("envs.json").read_text())["steps_per_second"]
    shown = Table("task", "kernels a control step", "C, 2 threads, steps/s", "a GPU should win from")
    rows = {}
    for task in envs.names():
        for values in ({}, {"integrator": "euler"}) if task == "hopper" else ({},):
            name = ", ".join((task, *values.values()))
            rows[name] = {"kernels": count(task, values)}
            in_c = f"{task}: C MuJoCo, 2 threads"
            rates = [by_name[in_c]["median"] for by_name in speeds[task].values() if in_c in by_name]
            cells = ("", "")
            if rates and not values:  # in C only the default integrator was measured
                ends = [rows[name]["kernels"] * 1e-6 * launch * max(rates) for launch in MICROSECONDS]
                rows[name] |= {"c_steps_per_second": max(rates), "gpu_wins_from": [round(end) for end in ends]}
                cells = (f"{max(rates):,.0f}", f"{ends[0]:,.0f} to {ends[1]:,.0f} environments")
            shown.add_row(name, f"{rows[name]['kernels']:,}", *cells)
    about = f"operations that run on their own in the program compiled here for {ENVIRONMENTS} environments"
    text = {"about": about, "microseconds_a_launch": MICROSECONDS, "where": describe(), "tasks": rows}
    out.write_text(json.dumps(text, indent=1) + "\n")
    Console(width=120).print(shown)


if __name__ == "__main__":
    tyro.cli(main)
