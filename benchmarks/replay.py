"""Our replay, a ring of rows, beside flashbax's item buffer: speed and memory.

`python -m benchmarks.replay` writes `benchmarks/results/replay.json` and prints its table. Each step of a `lax.scan`
adds a vehicle-sized transition to a full buffer and draws a batch of 256 from it, mapped over 1 and 8 runs. Flashbax is
tried three ways: mapped plainly, with its pointers shared by all runs (`in_axes`), and, besides, with our packed rows
as its items. It lives in a folder of its own, since nothing else needs it, and is installed there where it is missing.
"""

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import interleaved, rate, save
from maxent_jax import replay
from maxent_jax.agents.base import Transition

FLASHBAX = "0.1.3"
RUNS = (1, 8)
CAPACITIES = (100_000, 1_000_000)
BATCH = 256
STEPS = 5_000
RESULT = Path(__file__).parent / "results" / "replay.json"
ENV = envs.make("vehicle")


class Buffer(NamedTuple):
    """A replay of one run, in the words of both libraries.

    Attributes:
      full: `full(key) -> state`, holding as much as fits.
      add: `add(state, transition) -> state`.
      sample: `sample(state, key) -> batch`.
      axes: which parts of the state are mapped over runs.
    """

    full: Callable[[jax.Array], Any]
    add: Callable[[Any, Transition], Any]
    sample: Callable[[Any, jax.Array], Any]
    axes: Any


def transition(key: jax.Array, *leading: int) -> Transition:
    """Random transitions of the vehicle."""
    draw = lambda index, *shape: jax.random.normal(jax.random.fold_in(key, index), (*leading, *shape))  # noqa: E731
    o, a = ENV.observation_size, ENV.action_size
    return Transition(
        obs=draw(0, o), action=draw(1, a), reward=draw(2), terminated=draw(3), duration=draw(4), next_obs=draw(5, o)
    )


def ours(capacity: int) -> Buffer:
    """The ring of rows; how many were added is shared by all runs."""
    return Buffer(
        full=lambda key: (replay.pack(transition(key, capacity), ENV), jnp.int32(capacity)),
        add=lambda state, new: (replay.add(state[0], _alone(new), state[1], ENV), state[1] + 1),
        sample=lambda state, key: replay.sample(state[0], state[1], key, BATCH, ENV),
        axes=(0, None),
    )


def item_buffer(flashbax: Any, capacity: int, shared_pointers: bool) -> Buffer:
    """Flashbax's item buffer of transitions."""
    buffer = flashbax.make_item_buffer(capacity, BATCH, BATCH)
    state_class = flashbax.trajectory_buffer.TrajectoryBufferState
    axes = state_class(experience=0, current_index=None, is_full=None) if shared_pointers else 0

    def full(key: jax.Array) -> Any:
        state = buffer.init(transition(key))
        return state.replace(experience=transition(key, 1, capacity), is_full=jnp.array(True))

    return Buffer(full, buffer.add, lambda state, key: buffer.sample(state, key).experience, axes)


def packed_item_buffer(flashbax: Any, capacity: int) -> Buffer:
    """Flashbax's item buffer with one row per transition, as ours packs it, and shared pointers."""
    items = item_buffer(flashbax, capacity, shared_pointers=True)
    buffer = flashbax.make_item_buffer(capacity, BATCH, BATCH)

    def full(key: jax.Array) -> Any:
        rows = replay.pack(transition(key, capacity), ENV)
        return buffer.init(rows[0]).replace(experience=rows[None], is_full=jnp.array(True))

    def sample(state: Any, key: jax.Array) -> Transition:
        return replay.unpack(buffer.sample(state, key).experience, ENV)

    return Buffer(full, lambda state, new: buffer.add(state, replay.pack(_alone(new), ENV)[0]), sample, items.axes)


def repeated(buffer: Buffer, runs: int, steps: int) -> tuple[Callable[[], Any], int]:
    """A compiled scan that adds and samples `steps` times, in every run; also the bytes that its buffers hold."""
    keys = jax.random.split(jax.random.key(0), runs)

    def scan(state: Any, new: Transition, batch: Any, key: jax.Array) -> Any:
        def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
            state, new, _ = carry
            new = new.replace(reward=new.reward + 1.0)  # another one each time: packing it stays in the loop
            state = buffer.add(state, new)
            return (state, new, buffer.sample(state, key)), None

        return jax.lax.scan(step, (state, new, batch), jax.random.split(key, steps))[0]

    state = jax.jit(jax.vmap(buffer.full, out_axes=buffer.axes))(keys)
    batch = jax.vmap(buffer.sample, (buffer.axes, 0))(state, keys)
    carry = (state, jax.vmap(transition)(keys), batch)
    mapped = jax.vmap(scan, (buffer.axes, 0, 0, 0), (buffer.axes, 0, 0))
    compiled = jax.jit(mapped, donate_argnums=(0, 1, 2)).lower(*carry, keys).compile()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))

    def call() -> Any:
        nonlocal carry
        carry = compiled(*carry, keys)
        return carry

    return call, held


def measure(flashbax: Any, runs: int, capacity: int, repetitions: int, steps: int) -> dict[str, Any]:
    """Steps per second of all runs together and bytes held, by buffer."""
    buffers = {"ours": ours(capacity)}
    if flashbax:
        buffers |= {
            "flashbax": item_buffer(flashbax, capacity, shared_pointers=False),
            "flashbax, shared pointers": item_buffer(flashbax, capacity, shared_pointers=True),
            "flashbax, shared pointers, packed rows": packed_item_buffer(flashbax, capacity),
        }
    steps = max(1, steps // runs)
    calls = {name: repeated(buffer, runs, steps) for name, buffer in buffers.items()}
    times = interleaved({name: call for name, (call, _) in calls.items()}, repetitions)
    return {
        "runs": runs,
        "capacity": capacity,
        "buffers": {
            name: {
                "steps_per_second": rate(runs * steps, time),
                "bytes": calls[name][1],
            }
            for name, time in times.items()
        },
    }


def within(cases: list[dict[str, Any]], name: str, share: float = 0.1) -> bool:
    """Whether a buffer is at most this share slower and larger than ours, everywhere."""
    pairs = [(case["buffers"][name], case["buffers"]["ours"]) for case in cases]
    return all(
        theirs["steps_per_second"]["median"] >= (1 - share) * own["steps_per_second"]["median"]
        and theirs["bytes"] <= (1 + share) * own["bytes"]
        for theirs, own in pairs
    )


def load_flashbax(folder: Path) -> tuple[Any, str]:
    """Flashbax and its version, or nothing and why; installed into `folder` alone where it is missing."""
    if not (folder / "flashbax").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, f"flashbax=={FLASHBAX}"], capture_output=True, text=True, check=False)
        if done.returncode:
            return None, done.stderr.strip().splitlines()[-1]
    sys.path.append(str(folder))
    try:
        return importlib.import_module("flashbax"), metadata.version("flashbax")
    except ImportError as error:
        return None, str(error)


def table(result: dict[str, Any]) -> Table:
    """The result for people."""
    shown = Table("runs", "capacity", "buffer", "steps/s, median (min to max)", "of ours", "MB held")
    shown.title = f"add one transition and draw {BATCH}; steps of all runs"
    for case in result["cases"]:
        best = case["buffers"]["ours"]["steps_per_second"]["median"]
        for name, entry in case["buffers"].items():
            speed = entry["steps_per_second"]
            spread = f"{speed['median']:.0f} ({speed['min']:.0f} to {speed['max']:.0f})"
            of_ours, held = f"{speed['median'] / best:.2f}", f"{entry['bytes'] / 1e6:.1f}"
            shown.add_row(str(case["runs"]), str(case["capacity"]), name, spread, of_ours, held)
    return shown


def _alone(new: Transition) -> Transition:
    """A transition with a leading axis of one."""
    return jax.tree.map(lambda x: x[None], new)


def main(repetitions: int = 7, steps: int = STEPS, folder: Path = Path(".venv-flashbax"), out: Path = RESULT) -> None:
    """Measure, write the JSON, print the table.

    Args:
      repetitions: rounds, in which every buffer takes its turn.
      steps: steps of all runs in a measured scan.
      folder: where flashbax is, or will be installed.
      out: the JSON to write.
    """
    before, cases, result = os.getloadavg()[0], [], {}
    flashbax, version = load_flashbax(folder)
    for runs, capacity in itertools.product(RUNS, CAPACITIES):
        cases.append(measure(flashbax, runs, capacity, repetitions, steps))
        verdicts = {name: within(cases, name) for name in cases[0]["buffers"] if name != "ours"}
        result = {
            "load": {"before": before, "after": os.getloadavg()[0]},
            "flashbax": {"version" if flashbax else "error": version},
            "cases": cases,
            "within_10_percent": verdicts,
            "flashbax_within_10_percent": any(verdicts.values()) if flashbax else None,
        }
        save(
            out, f"median, min and max of {repetitions} interleaved repetitions; steps and bytes of all runs", **result
        )
    Console(width=120).print(table(result))
    Console(width=120).print(
        f"flashbax {version}: within 10 % in speed and memory: {result['within_10_percent'] or 'not measured'}"
    )


if __name__ == "__main__":
    tyro.cli(main)
