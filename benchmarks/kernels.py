"""How many kernels a control step of each task and an update of each agent is: what a GPU pays for, whatever the size.

`python -m benchmarks.kernels` writes `benchmarks/results/kernels.json` and prints its tables. Counted in the program
that XLA compiles for this machine, for 1024 environments or 8 runs: every operation that runs on its own (a fusion
counts once), those in loops as often as the loop turns; a solver's loop counts with its most iterations. A GPU's
compiler fuses otherwise, so that the numbers are a guide, not a measurement. At `MICROSECONDS` a launch they say how
many environments a GPU needs to overtake C MuJoCo on two threads (`benchmarks/results/envs.json`), as long as launches
are what it waits for.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import save
from experiments import published
from maxent_jax.plan import lower_step, lower_update

ENVIRONMENTS = 1024
RUNS = 8
AGENTS = {
    "sac": ("sac", {}),
    "sac_adaent, exact": ("sac_adaent", {}),
    "sac_adaent, fast": ("sac_adaent", {"comparison": "fast"}),
    "ppo": ("ppo", {}),
}
MICROSECONDS = (2.0, 5.0)
"""What a launch takes on a GPU, from well to badly."""
SOLVER = {"hopper": 4, "quadruped": 8}
"""Most iterations of a task's solver: the only loops whose length is not in the program."""
PRODUCT = re.compile(r" (dot|custom-call)\(")
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


def operations(text: str, unknown_trips: int = 1) -> Counter[str]:
    """Operations of a compiled program that run on their own, by kind; those in loops as often as the loop turns.

    A fusion that holds a matrix product is a `product`.
    """
    entry, bodies = computations(text)
    return _operations(entry, bodies, unknown_trips)


def _operations(name: str, bodies: Mapping[str, Sequence[str]], unknown_trips: int) -> Counter[str]:
    total: Counter[str] = Counter()
    for line in bodies[name]:
        kind = re.search(r" ([a-z][a-z\-]*)\(", line.partition(" = ")[2])
        if FREE.search(line) or not kind:
            continue
        if body := re.search(r" while\(.*body=%?([\w.\-]+)", line):
            trips = re.search(r'known_trip_count"?:\{"n":"(\d+)"', line)
            inside = _operations(body.group(1), bodies, unknown_trips)
            turns = int(trips.group(1)) if trips else unknown_trips
            total.update({kind: turns * count for kind, count in inside.items()})
        elif called := re.search(r" call\(.*to_apply=%?([\w.\-]+)", line):
            total.update(_operations(called.group(1), bodies, unknown_trips))
        else:
            fused = re.search(r" fusion\(.*calls=%?([\w.\-]+)", line)
            parts = [line, *bodies[fused.group(1)]] if fused else [line]
            is_product = any(PRODUCT.search(part) for part in parts)
            total["product" if is_product else kind.group(1)] += 1
    return total


def count(task: str, values: Mapping[str, Any]) -> int:
    """Kernels of one training step of a task."""
    compiled = lower_step(envs.make(task, **values), ENVIRONMENTS).compile()
    return operations(compiled.as_text() or "", SOLVER.get(task, 1)).total()


def count_update(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Kernels of one update of `RUNS` runs on the vehicle, published settings: by kind, in all, and a gradient step."""
    agent = published.row(name, "vehicle").agent.replace(**values)
    found = operations(lower_update(agent, envs.make("vehicle"), RUNS).compile().as_text() or "")
    total = found.total()
    return {"by_kind": dict(found), "kernels": total, "kernels_a_gradient_step": total / agent.gradient_steps}


def main(out: Path = RESULT) -> None:
    """Count, write the JSON, print the table.

    Args:
      out: the JSON to write.
    """
    about = f"operations that run on their own, compiled here for {ENVIRONMENTS} environments, for updates {RUNS} runs"
    speeds = json.loads(RESULT.with_name("envs.json").read_text())["steps_per_second"]
    shown = Table("task", "kernels a control step", "C, 2 threads, steps/s", "a GPU should win from")
    rows = {}
    for task in envs.names():
        for values in ({}, {"integrator": "euler"}) if task == "hopper" else ({},):
            name = ", ".join((task, *values.values()))
            rows[name] = {"kernels": count(task, values)}
            in_c = f"{task}: C MuJoCo, 2 threads"
            rates = [by_name[in_c]["median"] for by_name in speeds.get(task, {}).values() if in_c in by_name]
            cells = ("", "")
            if rates and not values:  # in C only the default integrator was measured
                ends = [rows[name]["kernels"] * 1e-6 * launch * max(rates) for launch in MICROSECONDS]
                rows[name] |= {"c_steps_per_second": max(rates), "gpu_wins_from": [round(end) for end in ends]}
                cells = (f"{max(rates):,.0f}", f"{ends[0]:,.0f} to {ends[1]:,.0f} environments")
            shown.add_row(name, f"{rows[name]['kernels']:,}", *cells)
            save(out, about, microseconds_a_launch=MICROSECONDS, tasks=rows, updates={})
    updates = {}
    learning = Table("update of 8 runs", "kernels", "of them products", "copies", "kernels a gradient step")
    for label, (agent, values) in AGENTS.items():
        updates[label] = row = count_update(agent, values)
        kinds = (row["by_kind"].get(kind, 0) for kind in ("product", "copy"))
        each = row["kernels_a_gradient_step"]
        learning.add_row(label, f"{row['kernels']:,}", *(f"{kind:,}" for kind in kinds), f"{each:.0f}")
        save(out, about, microseconds_a_launch=MICROSECONDS, tasks=rows, updates=updates)
    for table in (shown, learning):
        Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
