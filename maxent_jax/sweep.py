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
from maxent_jax import blocks, devices, trainer
from maxent_jax.agents.base import Agent
from maxent_jax.trainer import Counters, Schedule

CACHED_BYTES = 11_000_000
"""On a CPU: agents of runs that are trained at the same time; more of them drive each other out of its caches."""
LEAST_GROUPS = 4
"""Runs are trained in at least so many groups, or all at once: a group in turn is copied, its replay included."""


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """One run of a sweep: its number, its seed, and which configuration it has."""

    run: int
    seed: int
    configuration: int


@dataclasses.dataclass(frozen=True)
class Shard:
    """Every `of`-th run of a sweep, beginning with the `index`-th: what one of several hosts trains."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str | None) -> "Shard":
        """`I/N`, 1 to N; None is all.

        Raises:
          InvalidSetting: it is not.
        """
        index, slash, of = (text or "1/1").partition("/")
        try:
            found = cls(int(index), int(of))
        except ValueError:
            found = cls(0, 0)
        if not slash or not 1 <= found.index <= found.of:
            raise InvalidSetting(f"shard = {fields.show(text)}: must be I/N with I from 1 to N, like 1/4")
        return found

    def has(self, run: int) -> bool:
        """Whether a run is one of it."""
        return run % self.of == self.index - 1

    @property
    def folder(self) -> str:
        """What its run directory is called, beside those of the others."""
        return f"shard-{self.index}-of-{self.of}"

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.index}/{self.of}"


@dataclasses.dataclass(frozen=True)
class Program:
    """Runs that one compiled program trains side by side.

    Attributes:
      agent: the agent; fields that a grid varies are stacked, (runs,).
      env: the bare task; likewise.
      agent_axes: the agent with 0 for a stacked field and None for others: what `vmap` maps.
      env_axes: likewise.
      runs: who is who along the leading axis.
      padding: copies of the last run at its end, which even out the devices; nobody hears of them.
      schedule: the shape of every run.
    """

    agent: Agent
    env: Any
    agent_axes: Any
    env_axes: Any
    runs: tuple[RunInfo, ...]
    padding: int
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
      padded: everything that the program changes, with a leading axis of runs and their padding; valid until the next
        chunk, which writes over it.
      counters: the steps so far, as the program has them.
    """

    index: int
    env_steps: int
    updates: int
    seconds: float
    metrics: dict[str, np.ndarray]
    padded: Any = None
    counters: Any = None

    @property
    def runs(self) -> int:
        """How many there are, without padding."""
        return len(self.metrics["return_training"])

    @property
    def state(self) -> Any:
        """The agents' states, with a leading axis of runs; valid as `padded` is."""
        return devices.cut(self.padded.agent, self.runs)


def expand(
    agent: Agent,
    env: Any,
    seeds: Sequence[int],
    grid: Mapping[str, Sequence[Any]],
    steps: int,
    envs: int,
    evaluations: int,
    shard: Shard = Shard(1, 1),
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
      shard: which of the runs are trained here.

    Returns:
      One program for every combination of static values; runs are numbered by configuration, then seed. A shard's runs
      have the numbers that they have in the whole.

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
        whole = (RunInfo(i * len(seeds) + j, seed, i) for i in indices for j, seed in enumerate(seeds))
        runs = tuple(info for info in whole if shard.has(info.run))
        if not runs:
            continue
        padding = devices.padding(len(runs))
        rows = [configurations[info.configuration] for info in (*runs, *runs[-1:] * padding)]
        own = {name: [row[name] for row in rows] for name in names if not name.startswith("env.")}
        tasks = {name.removeprefix("env."): [row[name] for row in rows] for name in names if name.startswith("env.")}
        stacked, agent_axes = _stack(agent, own)
        stacked.validate()
        varied, env_axes = _stack(env, tasks)
        varied.validate()
        plan = trainer.schedule(stacked, steps, envs, evaluations)
        programs.append(Program(stacked, varied, agent_axes, env_axes, runs, padding, plan))
    if not programs:
        total = len(configurations) * len(seeds)
        raise InvalidSetting(f"shard = '{shard}': has no run; must be one of {total} shards or fewer")
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
    plan, field_axes = program.schedule, (program.agent_axes, program.env_axes)
    # only shapes: arrays of this process alone are none of a program of several
    *given, seeds, counters = jax.eval_shape(lambda: (program.agent, program.env, _seeds(program), trainer.no_steps()))

    def begin(agent: Agent, env: Any, seed: jax.Array) -> trainer.Run:
        return trainer.begin(agent, env, seed, plan)

    def prefill(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        return trainer.prefill(agent, env, run, counters, plan)

    def train(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        return trainer.train(agent, env, run, counters, plan)

    in_axes, out_axes = (*field_axes, 0, None), (0, None, 0)
    begins = jax.vmap(begin, (*field_axes, 0))
    if name == "begin":
        return devices.spread(begins, (*field_axes, 0), 0).lower(*given, seeds)
    run = jax.eval_shape(begins, *given, seeds)
    if name == "evaluate":
        looks = jax.vmap(trainer.evaluate, in_axes)
        return devices.spread(looks, in_axes, 0).lower(*given, run, counters)
    mapped = {
        "prefill": jax.vmap(prefill, in_axes, out_axes),
        "train": _train_in_groups(jax.vmap(train, in_axes, out_axes), field_axes),
    }[name]
    return devices.spread(mapped, in_axes, out_axes, donate=(2,)).lower(*given, run, counters)


def group_size(runs: int, agents: int) -> int:
    """How many of all runs are trained at a time; their agents hold so many bytes together."""
    if agents <= CACHED_BYTES or runs < LEAST_GROUPS:
        return runs
    return blocks.few(runs, min(CACHED_BYTES * runs // agents, runs // LEAST_GROUPS))


def _train_in_groups(advance: Any, field_axes: tuple[Any, Any]) -> Any:
    """A chunk of all runs of a device, group by group; each group's new state is written over its old one."""

    def cut(tree: Any, axes: Any, start: Any, size: int) -> Any:
        """A group's rows; what has no axis of runs is shared."""
        own = lambda axis, leaf: leaf if axis is None else jax.lax.dynamic_slice_in_dim(leaf, start, size)  # noqa: E731
        return jax.tree.map(own, axes, tree, is_leaf=lambda axis: axis is None)

    def paste(tree: Any, group: Any, start: Any) -> Any:
        return jax.tree.map(lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, start, 0), tree, group)

    def train(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        runs = len(run.key)
        size = group_size(runs, tree_bytes(run.agent))
        if size == runs:
            return advance(agent, env, run, counters)
        axes = (*field_axes, jax.tree.map(lambda _: 0, run))

        def one_group(start: Any, run: trainer.Run) -> Any:
            return advance(*cut((agent, env, run), axes, start, size), counters)

        def body(group: Any, carry: Any) -> Any:
            run, _, metrics = carry
            new, after, found = one_group(group * size, run)
            return paste(run, new, group * size), after, paste(metrics, found, group * size)

        _, _, shapes = jax.eval_shape(one_group, 0, run)
        metrics = jax.tree.map(lambda leaf: jnp.zeros((runs, *leaf.shape[1:]), leaf.dtype), shapes)
        return jax.lax.fori_loop(0, runs // size, body, (run, counters, metrics))

    return train


def _seeds(program: Program) -> np.ndarray:
    seeds = [info.seed for info in program.runs]
    return np.array(seeds + seeds[-1:] * program.padding, np.uint32)


class Compiled:
    """The four compiled functions of a `Program`, see `lower`: begin, prefill, train a chunk, evaluate."""

    def __init__(self, program: Program):
        """Compile, each once; nothing runs yet."""
        self.program = program
        self.begin, self.prefill, self.train, self.evaluate = (
            lower(program, name).compile() for name in ("begin", "prefill", "train", "evaluate")
        )

    def chunks(self, start: tuple[int, trainer.Run, Counters] | None = None) -> Iterator[Chunk]:
        """Train; yields after the prefill and after every chunk. The state in a `Chunk` is valid until the next one.

        Args:
          start: the last chunk that ran, and what it left on the devices, padded; None: from the beginning.
        """
        started = time.perf_counter()
        runs, axes = len(self.program.runs), (self.program.agent_axes, self.program.env_axes)
        given = devices.place((self.program.agent, self.program.env), axes)
        if start is None:
            run = self.begin(*given, devices.place(_seeds(self.program), 0))
            before, counters = -1, devices.place(trainer.no_steps(), None)
        else:
            before, run, counters = start
        del start  # nothing may hold on to what a chunk is given to keep
        for index in range(before + 1, self.program.schedule.chunks + 1):
            advance = self.train if index else self.prefill
            run, counters, metrics = advance(*given, run, counters)
            metrics |= self.evaluate(*given, run, counters)
            numbers = devices.gather(metrics, runs)
            now = time.perf_counter()
            steps, updates = int(counters.env_steps), int(counters.updates)
            yield Chunk(index, steps, updates, now - started, numbers, run, counters)
            started = time.perf_counter()


def total_updates(program: Program) -> int:
    """Optimiser steps of a run by its end."""
    return program.schedule.total_updates * program.agent.gradient_steps


def held_bytes(program: Program) -> int:
    """Bytes that a program holds on the device: replay, parameters, optimisers, environment states of all its runs."""
    return tree_bytes(shapes(program))


def agent_bytes(program: Program) -> int:
    """Bytes of the agents' states alone: what a checkpoint holds."""
    return tree_bytes(shapes(program).agent)


def shapes(program: Program) -> trainer.Run:
    """What a program holds on the device, as shapes; without padding."""

    def one(agent: Agent, env: Any, seed: jax.Array) -> trainer.Run:
        return trainer.begin(agent, env, seed, program.schedule)

    axes = (program.agent_axes, program.env_axes, 0)
    padded = jax.eval_shape(jax.vmap(one, in_axes=axes), program.agent, program.env, _seeds(program))
    runs = len(program.runs)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((runs, *leaf.shape[1:]), leaf.dtype), padded)


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
    """The bytes that the largest program of a sweep holds; `free` bytes are there, by default what a device has.

    Raises:
      InvalidSetting: it does not fit; the message says which buffer would.
    """
    needed, program = max(((held_bytes(p), p) for p in sweep.programs), key=lambda pair: pair[0])
    free = devices.memories() * (free_bytes() if free is None else free)
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
