"""What a checkpoint of training costs: seconds, bytes, and its share of the time.

`python -m benchmarks.checkpoints` writes `benchmarks/results/checkpoints.json` and prints its table: SAC as published
on the vehicle, 8 runs, a full replay of a million transitions each.

* One checkpoint after the other, nothing else going on: the copy that training waits for, the rest that is written
  beside it, finding it whole again by its checksums, and reading it back.
* Training with checkpoints as often as by default: seconds of all checkpoints over seconds of all chunks. On a CPU both
  share the cores; there also the chunks during which a checkpoint was written, beside the others.
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import memory
from benchmarks.timing import kept, save, summary
from maxent_jax import checkpoints, devices
from maxent_jax.checkpoints import Place
from maxent_jax.compiled import Compiled, lower
from maxent_jax.memory import gigabytes, held_bytes, shapes
from maxent_jax.saver import Saver
from maxent_jax.trainer import Counters, Run

GOAL = 0.03
SETUPS = {"vehicle": (1_000_000, 8), "toy": (1_000, 8)}
"""Transitions a run and runs, by task."""
CHUNK_STEPS = 500
MOST_CHUNKS = 1_000
"""More than a second suffices for; all updates of a run must stay below 2^31."""
NO_METRICS = checkpoints.prefix_checksum(Path("metrics.jsonl"), 0)
RESULT = Path(__file__).parent / "results" / "checkpoints.json"


def program(task: str, capacity: int, runs: int, seconds: float) -> Any:
    """SAC as published with that replay, in chunks of `CHUNK_STEPS` steps, more of them than `seconds` suffice for."""
    single = memory.program(task, capacity, runs)
    plan = dataclasses.replace(single.schedule, iterations=CHUNK_STEPS, chunks=int(MOST_CHUNKS * seconds))
    return dataclasses.replace(single, schedule=plan)


def full(single: Any) -> tuple[Run, Counters]:
    """Its runs with a full replay of random bits: nothing that a disk could make smaller."""
    plan = single.schedule
    begin = lower(single, "begin").compile()
    run = begin(single.agent, single.env, single.seeds)
    bits = jax.jit(lambda: jax.random.uniform(jax.random.key(0), run.rows.shape).view(jnp.uint32))
    counters = Counters(jnp.int32(plan.envs * plan.prefill), jnp.int32(0))
    return run.replace(rows=devices.laid_out(bits(), len(single.runs), 0)), counters


def one(single: Any, repetitions: int, folder: Path) -> dict[str, Any]:
    """Seconds of the parts of a checkpoint, and its bytes."""
    run, counters = full(single)
    held = shapes(single)
    times: dict[str, list[float]] = {name: [] for name in ("copy", "write", "check", "read")}

    def timed(name: str, work: Any) -> Any:
        began = time.perf_counter()
        done = jax.block_until_ready(work())
        times[name].append(time.perf_counter() - began)
        return done

    checkpoints.to_host(run, counters, len(single.runs))  # compiles
    path = folder
    for number in range(repetitions):
        place = Place(0, number, 0, NO_METRICS, 0.0)
        state = timed("copy", lambda: checkpoints.to_host(run, counters, len(single.runs)))
        path = timed("write", lambda state=state, place=place: checkpoints.save(folder, place, state, keep=1))
        del state
        timed("check", lambda: checkpoints.newest(folder)[0] and None)
        timed("read", lambda place=place: checkpoints.load(folder, place, held))
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"bytes": size, "seconds": {name: summary(values) for name, values in times.items()}}


def beside(single: Any, seconds: float, folder: Path) -> dict[str, Any]:
    """Train for a while with checkpoints as often as by default."""
    run, counters = full(single)
    saver, chunks = Saver(folder, None, 2), Compiled(single).chunks((0, run, counters))
    del run, counters
    during: dict[bool, list[float]] = {True: [], False: []}
    size, began, saved = held_bytes(single), None, 0
    for chunk in chunks:
        began = began or time.perf_counter()
        busy = saver._pending is not None and not saver._pending.done()
        during[busy].append(chunk.seconds)
        before = saver._saved
        saver.after(Place(0, chunk.index, 0, NO_METRICS, 0.0), chunk, size)
        saved += saver._saved is not before
        if time.perf_counter() - began > seconds:
            break
    saver.wait()
    saver.close()
    return {
        "seconds": seconds,
        "checkpoints": saved,
        "share": saver.share,
        "chunk_seconds": {
            "while_writing" if busy else "else": statistics.median(times) if times else None
            for busy, times in during.items()
        },
    }


def table(rows: dict[str, Any]) -> Table:
    """One line a task."""
    shown = Table("task", "transitions x runs", "bytes", "copy", "write", "check", "read", "share of the time")
    for task, row in rows.items():
        cells = [f"{row['one']['seconds'][name]['median']:.2f} s" for name in ("copy", "write", "check", "read")]
        share = f"{row['beside']['share']:.2%} (goal {GOAL:.0%}), {row['beside']['checkpoints']} in all"
        size = gigabytes(row["one"]["bytes"])
        shown.add_row(task, f"{row['capacity']:,} x {row['runs']}", size, *cells, share)
    return shown


def main(
    only: tuple[str, ...] = (), scale: float = 1.0, repetitions: int = 5, seconds: float = 240.0, out: Path = RESULT
) -> None:
    """Measure, write the JSON after each task, print the table.

    Args:
      only: tasks; none: all.
      scale: size of the replay; smaller to try.
      repetitions: checkpoints one after the other.
      seconds: how long to train.
      out: the JSON to write; tasks that it holds and that are not measured now stay in it.
    """
    rows = kept(out).get("rows", {})
    for task in only or SETUPS:
        capacity, runs = SETUPS[task]
        capacity = max(memory.TINY, round(scale * capacity))
        single = program(task, capacity, runs, seconds)
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            parts = one(single, repetitions, Path(first))
            rows[task] = {"capacity": capacity, "runs": runs, "one": parts}
            rows[task]["beside"] = beside(single, seconds, Path(second))
        save(out, "seconds and bytes of a checkpoint of training", goal=GOAL, rows=rows)
    Console(width=140).print(table(rows))


if __name__ == "__main__":
    tyro.cli(main)
