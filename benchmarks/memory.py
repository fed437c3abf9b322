"""What training holds on the device beside what it must: replay, parameters, optimisers and environment states.

`python -m benchmarks.memory` writes `benchmarks/results/memory.json` and prints its table: SAC as published, 256-256.

* The compiled chunk's own account: arguments + outputs - aliased + temporaries, beside `held_bytes`.
* Which of its donated arrays it returns in place, by the aliasing in the compiled program's text.
* The peak of a process that trains for a moment on the full replay, less that of one whose replay is tiny.
"""

import dataclasses
import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import kept, save
from experiments import published
from maxent_jax import trainer
from maxent_jax.compiled import lower
from maxent_jax.memory import footprint, gigabytes, held_bytes, shapes
from maxent_jax.programs import expand

GOAL = 1.3
SETUPS = {"vehicle": (1_000_000, 8), "quadruped": (1_000_000, 2)}
"""Transitions a run and runs, by task."""
TINY = 1_000
RESULT = Path(__file__).parent / "results" / "memory.json"


def program(task: str, capacity: int, runs: int) -> Any:
    """SAC as published with that replay, in chunks of two steps."""
    agent = published.row("sac", task).agent.replace(buffer_size=capacity, prefill_steps=capacity)
    return expand(agent, envs.make(task), range(runs), {}, 2, 1, 1).programs[0]


def account(compiled: Any, runs: int, held: int) -> dict[str, Any]:
    """What the compiled chunk needs, beside what must be held."""
    own = footprint(compiled, runs)
    return dataclasses.asdict(own) | {"needed": own.needed, "held": held, "needed_over_held": own.needed / held}


def aliased(text: str) -> int:
    """How many outputs of a compiled program are written where an argument was, by its first line."""
    head = text.partition("\n")[0]
    listed = re.search(r"input_output_alias=\{(.*?)\}, [a-z_]+=", head)
    return len(re.findall(r"(?:may|must)-alias", listed.group(1))) if listed else 0


def donated(single: Any) -> int:
    """How many arrays a program is given to keep: those of its run."""
    return len(jax.tree.leaves(shapes(single)))


def child(task: str, capacity: int, runs: int) -> None:
    """Train for two chunks on a replay of that size; print the bytes of this process's peak."""
    single = program(task, capacity, runs)
    fields = (single.agent, single.env)
    begin, train = (lower(single, name).compile() for name in ("begin", "train"))
    run = begin(*fields, single.seeds)
    counters = trainer.no_steps().replace(env_steps=jnp.int32(capacity))
    before = peak_bytes()
    for _ in range(2):
        run, counters, _ = jax.block_until_ready(train(*fields, run, counters))
    print(json.dumps({"peak": peak_bytes(), "before_training": before}))


def peak_bytes() -> int:
    """Most bytes that this process ever held in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def in_process(task: str, capacity: int, runs: int) -> dict[str, int]:
    """`child` in a process of its own."""
    call = f"from benchmarks import memory; memory.child({task!r}, {capacity}, {runs})"
    done = subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(task: str, capacity: int, runs: int) -> dict[str, Any]:
    """Everything about one task."""
    single = program(task, capacity, runs)
    held = held_bytes(single)
    compiled = lower(single, "train").compile()
    full, tiny = (in_process(task, size, runs) for size in (capacity, TINY))
    more = full["peak"] - tiny["peak"]
    less = held - held_bytes(program(task, TINY, runs))
    return {
        "capacity": capacity,
        "runs": runs,
        **account(compiled, runs, held),
        "arrays_donated": donated(single),
        "arrays_aliased": aliased(compiled.as_text() or ""),
        "process": {"full": full, "tiny": tiny, "full_minus_tiny": more, "over_held": more / less},
    }


def table(rows: dict[str, Any]) -> Table:
    """One line a task."""
    shown = Table(
        "task", "transitions x runs", "held", "needed", "ratio", "temporary", "in place", "process, less tiny's"
    )
    for task, row in rows.items():
        in_place = f"{row['arrays_aliased']} of {row['arrays_donated']} arrays"
        ratio = f"{row['needed_over_held']:.3f} (goal {GOAL})"
        process = f"{gigabytes(row['process']['full_minus_tiny'])} ({row['process']['over_held']:.3f} of held)"
        held, needed, temporaries = (gigabytes(row[name]) for name in ("held", "needed", "temporaries"))
        cells = (held, needed, ratio, temporaries, in_place, process)
        shown.add_row(task, f"{row['capacity']:,} x {row['runs']}", *cells)
    return shown


def main(only: tuple[str, ...] = (), scale: float = 1.0, out: Path = RESULT) -> None:
    """Measure, write the JSON after each task, print the table.

    Args:
      only: tasks; none: all.
      scale: size of the replay; smaller to try.
      out: the JSON to write; tasks that it holds and that are not measured now stay in it.
    """
    rows = kept(out).get("rows", {})
    for task in only or SETUPS:
        capacity, runs = SETUPS[task]
        rows[task] = measure(task, max(TINY, round(scale * capacity)), runs)
        save(out, "bytes that a training chunk needs, and that must be held", goal=GOAL, rows=rows)
    Console(width=140).print(table(rows))


if __name__ == "__main__":
    tyro.cli(main)
