"""A program compiled and trained, chunk by chunk; on a CPU a few of its runs at a time."""

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import blocks, devices, trainer
from maxent_jax.agents.base import Agent
from maxent_jax.memory import tree_bytes
from maxent_jax.programs import Program
from maxent_jax.trainer import Counters

CACHED_BYTES = 11_000_000
"""On a CPU: agents of runs that are trained at the same time; more of them drive each other out of its caches."""
CORE_BYTES = 300_000
"""The same on a core of its own, where the caches are that core's: of nets of 64-64 a single run."""
LEAST_GROUPS = 4
"""Runs are trained in at least so many groups, or all at once: a group in turn is copied, its replay included."""


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


def lower(program: Program, name: str) -> jax.stages.Lowered:
    """One of the four functions of a `Program` for all its runs, ready to compile.

    Args:
      program: the runs.
      name: `begin` takes (agent, env, seeds), `prefill`, `train` and `evaluate` take (agent, env, run, counters). The
        run is donated to `prefill` and `train`: what they are given is gone, what they return takes its place.
    """
    plan, field_axes = program.schedule, (program.agent_axes, program.env_axes)
    # only shapes: arrays of this process alone are none of a program of several
    *given, seeds, counters = jax.eval_shape(lambda: (program.agent, program.env, program.seeds, trainer.no_steps()))

    def prefill(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        return trainer.prefill(agent, env, run, counters, plan)

    def train(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        return trainer.train(agent, env, run, counters, plan)

    runs, in_axes, out_axes = len(program.runs), (*field_axes, 0, None), (0, None, 0)
    if name == "begin":
        return devices.spread(program.begin, runs, (*field_axes, 0), 0).lower(*given, seeds)
    if name == "evaluate":
        looks = jax.vmap(trainer.evaluate, in_axes)
        return devices.spread(looks, runs, in_axes, 0).lower(*given, program.shapes, counters)
    core = devices.sharing(runs) > 1
    mapped = {
        "prefill": jax.vmap(prefill, in_axes, out_axes),
        "train": _train_in_groups(jax.vmap(train, in_axes, out_axes), field_axes, core),
    }[name]
    return devices.spread(mapped, runs, in_axes, out_axes, donate=(2,)).lower(*given, program.shapes, counters)


def group_size(runs: int, agents: int, core: bool = False) -> int:
    """How many of a device's runs are trained at a time; their agents hold so many bytes, and it may be one core."""
    cached = CORE_BYTES if core else CACHED_BYTES
    if agents <= cached or runs < LEAST_GROUPS:
        return runs
    return blocks.few(runs, min(cached * runs // agents, runs // LEAST_GROUPS))


def _train_in_groups(advance: Any, field_axes: tuple[Any, Any], core: bool) -> Any:
    """A chunk of all runs of a device, group by group; each group's new state is written over its old one."""

    def cut(tree: Any, axes: Any, start: Any, size: int) -> Any:
        """A group's rows; what has no axis of runs is shared."""
        own = lambda axis, leaf: leaf if axis is None else jax.lax.dynamic_slice_in_dim(leaf, start, size)  # noqa: E731
        return jax.tree.map(own, axes, tree, is_leaf=lambda axis: axis is None)

    def paste(tree: Any, group: Any, start: Any) -> Any:
        return jax.tree.map(lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, start, 0), tree, group)

    def train(agent: Agent, env: Any, run: trainer.Run, counters: Counters) -> Any:
        runs = len(run.key)
        size = group_size(runs, tree_bytes(run.agent), core)
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


class Compiled:
    """The four compiled functions of a `Program`, see `lower`: begin, prefill, train a chunk, evaluate."""

    def __init__(self, program: Program):
        """Compile, each once and all at the same time; nothing runs yet."""
        self.program = program
        lowered = [lower(program, name) for name in ("begin", "prefill", "train", "evaluate")]
        with ThreadPoolExecutor() as threads:  # XLA leaves most of its passes to a single core
            self.begin, self.prefill, self.train, self.evaluate = threads.map(jax.stages.Lowered.compile, lowered)

    def chunks(self, start: tuple[int, trainer.Run, Counters] | None = None) -> Iterator[Chunk]:
        """Train; yields after the prefill and after every chunk. The state in a `Chunk` is valid until the next one.

        Args:
          start: the last chunk that ran, and what it left on the devices, padded; None: from the beginning.
        """
        started = time.perf_counter()
        runs, axes = len(self.program.runs), (self.program.agent_axes, self.program.env_axes)
        given = devices.place((self.program.agent, self.program.env), runs, axes)
        if start is None:
            run = self.begin(*given, devices.place(self.program.seeds, runs, 0))
            before, counters = -1, devices.place(trainer.no_steps(), runs, None)
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
