"""Many runs as one program: seeds and leaf-field grids are mapped, values of static fields are programs in turn."""

import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import trainer
from maxent_jax.agents.base import Agent
from maxent_jax.trainer import Counters, Schedule


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """One run of a sweep: its number, its seed, and which configuration it has."""

    run: int
    seed: int
    configuration: int


@dataclasses.dataclass(frozen=True)
class Program:
    """Runs that one compiled program trains side by side.

    Attributes:
      agent: the agent; fields that a grid varies are stacked, (runs,).
      env: the bare task; likewise.
      agent_axes: the agent with 0 for a stacked field and None for others: what `vmap` maps.
      env_axes: likewise.
      runs: who is who along the leading axis.
      schedule: the shape of every run.
    """

    agent: Agent
    env: Any
    agent_axes: Any
    env_axes: Any
    runs: tuple[RunInfo, ...]
    schedule: Schedule


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A grid, expanded: `configurations[i]` are the grid's values by name, `programs` run in turn."""

    configurations: tuple[Mapping[str, Any], ...]
    programs: tuple[Program, ...]

    @property
    def runs(self) -> list[RunInfo]:
        """All runs, by number."""
        return sorted((info for program in self.programs for info in program.runs), key=lambda info: info.run)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What is known after a chunk: all runs of one program at once.

    Attributes:
      index: 0 after the prefill (nothing is learned yet), then 1, 2, ...
      env_steps: steps of all environments of a run so far.
      updates: optimiser steps of a run so far.
      seconds: wall time of the chunk, evaluation included.
      metrics: by name, (runs,) float32; NaN for "does not have" and "mean over nothing". `failed_step` and
        `failed_cause` are int32, see `freezing.Failure`.
      state: the agents' states, with a leading axis of runs.
    """

    index: int
    env_steps: int
    updates: int
    seconds: float
    metrics: dict[str, np.ndarray]
    state: Any


def expand(
    agent: Agent,
    env: Any,
    seeds: Sequence[int],
    grid: Mapping[str, Sequence[Any]],
    steps: int,
    envs: int,
    evaluations: int,
) -> Sweep:
    """Lay a grid out as programs.

    Args:
      agent: the agent that the grid varies.
      env: the bare task that the grid varies.
      seeds: every configuration runs with each of them.
      grid: values by field; a bare name is the agent's field, `env.` leads the task's.
      steps: environment steps a run, after the prefill.
      envs: environments a run steps in parallel.
      evaluations: chunks a run.

    Returns:
      One program for every combination of static values; runs are numbered by configuration, then seed.

    Raises:
      InvalidSetting: a value that the agent and the schedule cannot take together.
    """
    names = list(grid)
    configurations = [dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())]
    groups: dict[tuple[Any, ...], list[int]] = {}
    static = {name for name in names if _field(agent, env, name).static}
    for index, values in enumerate(configurations):
        # None is no number: where a field that may be none has it, there is nothing to map over
        shape = tuple(values[name] if name in static else values[name] is None for name in names)
        groups.setdefault(shape, []).append(index)

    programs = []
    for indices in groups.values():
        runs = tuple(RunInfo(i * len(seeds) + j, seed, i) for i in indices for j, seed in enumerate(seeds))
        rows = [configurations[info.configuration] for info in runs]
        own = {name: [row[name] for row in rows] for name in names if not name.startswith("env.")}
        tasks = {name.removeprefix("env."): [row[name] for row in rows] for name in names if name.startswith("env.")}
        stacked, agent_axes = _stack(agent, own)
        stacked.validate()
        varied, env_axes = _stack(env, tasks)
        varied.validate()
        plan = trainer.schedule(stacked, steps, envs, evaluations)
        programs.append(Program(stacked, varied, agent_axes, env_axes, runs, plan))
    return Sweep(tuple(configurations), tuple(programs))


def _field(agent: Agent, env: Any, name: str) -> fields.Setting:
    owner = env if name.startswith("env.") else agent
    return fields.settings(type(owner))[name.removeprefix("env.")]


def _stack(instance: Any, columns: Mapping[str, Sequence[Any]]) -> tuple[Any, Any]:
    """An instance with leaf fields stacked and static ones set, and the axes that `vmap` needs for it."""
    known = fields.settings(type(instance))
    static = {name: column[0] for name, column in columns.items() if known[name].static or column[0] is None}
    leaves = {
        name: np.stack([fields.strong(known[name], value) for value in column])
        for name, column in columns.items()
        if name not in static
    }
    instance = instance.replace(**static, **leaves)
    axes = jax.tree.map(lambda _: None, instance).replace(**dict.fromkeys(leaves, 0))
    return instance, axes


def lower(program: Program, name: str) -> jax.stages.Lowered:
    """One of the four functions of a `Program` for all its runs, ready to compile.

    Args:
      program: the runs.
      name: `begin` takes (agent, env, seeds), `prefill`, `train` and `evaluate` take (agent, env, run, counters). The
        run is donated to `prefill` and `train`: what they are given is gone, what they return takes its place.
    """
    plan, given = program.schedule, (program.agent, program.env)
    field_axes = (program.agent_axes, program.env_axes)

    def begin(agent: Agent, env: Any, seed: jax.Array) -> trainer.Run:
        return trainer.begin(agent, env, seed, plan)

    def prefill(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        return trainer.prefill(agent, env, run, counters, plan)

    def train(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        return trainer.train(agent, env, run, counters, plan)

    begins = jax.vmap(begin, in_axes=(*field_axes, 0))
    if name == "begin":
        return jax.jit(begins).lower(*given, _seeds(program))
    run, counters = jax.eval_shape(begins, *given, _seeds(program)), trainer.no_steps()
    if name == "evaluate":
        looks = jax.vmap(trainer.evaluate, in_axes=(*field_axes, 0, None))
        return jax.jit(looks).lower(*given, run, counters)
    function = {"prefill": prefill, "train": train}[name]
    mapped = jax.vmap(function, in_axes=(*field_axes, 0, None), out_axes=(0, None, 0))
    return jax.jit(mapped, donate_argnums=(2,)).lower(*given, run, counters)


def _seeds(program: Program) -> np.ndarray:
    return np.array([info.seed for info in program.runs], np.uint32)


class Compiled:
    """The four compiled functions of a `Program`, see `lower`: begin, prefill, train a chunk, evaluate."""

    def __init__(self, program: Program):
        """Compile, each once; nothing runs yet."""
        self.program = program
        self.begin, self.prefill, self.train, self.evaluate = (
            lower(program, name).compile() for name in ("begin", "prefill", "train", "evaluate")
        )

    def chunks(self) -> Iterator[Chunk]:
        """Train; yields after the prefill and after every chunk. The state in a `Chunk` is valid until the next one."""
        started = time.perf_counter()
        given = (self.program.agent, self.program.env)
        run, counters = self.begin(*given, _seeds(self.program)), trainer.no_steps()
        for index in range(self.program.schedule.chunks + 1):
            advance = self.train if index else self.prefill
            run, counters, metrics = advance(*given, run, counters)
            metrics |= self.evaluate(*given, run, counters)
            numbers = {name: np.asarray(value) for name, value in metrics.items()}  # waits for the device
            now = time.perf_counter()
            steps, updates = int(counters.env_steps), int(counters.updates)
            yield Chunk(index, steps, updates, now - started, numbers, run.agent)
            started = time.perf_counter()


def total_updates(program: Program) -> int:
    """Optimiser steps of a run by its end."""
    plan = program.schedule
    return plan.chunks * plan.iterations * plan.updates * program.agent.gradient_steps


def held_bytes(program: Program) -> int:
    """Bytes that a program holds on the device: replay, parameters, optimisers, environment states of all its runs."""
    return tree_bytes(shapes(program))


def agent_bytes(program: Program) -> int:
    """Bytes of the agents' states alone: what a checkpoint holds."""
    return tree_bytes(shapes(program).agent)


def shapes(program: Program) -> trainer.Run:
    """What a program holds on the device, as shapes."""

    def one(agent: Agent, env: Any, seed: jax.Array) -> trainer.Run:
        return trainer.begin(agent, env, seed, program.schedule)

    axes = (program.agent_axes, program.env_axes, 0)
    seeds = np.zeros(len(program.runs), np.uint32)
    return jax.eval_shape(jax.vmap(one, in_axes=axes), program.agent, program.env, seeds)


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree, or of their shapes; a typed key counts 8."""

    def size(leaf: Any) -> int:
        return leaf.size * (8 if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.dtype.itemsize)

    return sum(size(leaf) for leaf in jax.tree.leaves(tree))


def free_bytes() -> int:
    """Bytes that the first device can still hold: its own count where it has one, else the machine's free memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return min([psutil.virtual_memory().available, *_container_bytes()])


def _container_bytes() -> list[int]:
    """Bytes that a container's limit leaves; nothing where there is none."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such files, or "max"
        return []
    return [limit - used]


def check_memory(sweep: Sweep, free: float | None = None) -> int:
    """The bytes that the largest program of a sweep holds; `free` bytes are there, by default what the device has.

    Raises:
      InvalidSetting: it does not fit; the message says which buffer would.
    """
    needed, program = max(((held_bytes(p), p) for p in sweep.programs), key=lambda pair: pair[0])
    free = free_bytes() if free is None else free
    if needed <= 0.9 * free:
        return needed
    plan, fits = program.schedule, 0
    if agent_bytes(program) > 0.5 * needed:
        what = f"agent.hidden = {getattr(program.agent, 'hidden', ())}"
    elif plan.capacity:
        what = f"agent.buffer_size = {getattr(program.agent, 'buffer_size', 0)}"
        rows = tree_bytes(shapes(program).rows)
        fits = max(0, int((0.9 * free - (needed - rows)) // (rows / plan.capacity)))
    else:
        what = f"envs = {plan.envs}"
    raise InvalidSetting(
        f"{what}: {len(program.runs)} run(s) need {gigabytes(needed)} of the {gigabytes(free)} that are free; "
        + (f"must be <= {fits}, or fewer runs" if fits else "must be smaller, or fewer runs")
    )


def gigabytes(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
