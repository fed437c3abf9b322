"""Many runs as one program: seeds and leaf-field grids are mapped, values of static fields are programs in turn."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import devices, trainer
from maxent_jax.agents.base import Agent
from maxent_jax.trainer import Schedule


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

    @property
    def seeds(self) -> np.ndarray:
        """Of all runs and their padding."""
        seeds = [info.seed for info in self.runs]
        return np.array(seeds + seeds[-1:] * self.padding, np.uint32)

    def begin(self, agent: Agent, env: Any, seeds: jax.Array) -> trainer.Run:
        """Fresh runs of the agent and the task that a device has, one a seed."""

        def one(agent: Agent, env: Any, seed: jax.Array) -> trainer.Run:
            return trainer.begin(agent, env, seed, self.schedule)

        return jax.vmap(one, (self.agent_axes, self.env_axes, 0))(agent, env, seeds)

    @functools.cached_property
    def shapes(self) -> trainer.Run:
        """What all of them, and their padding, hold on the devices, as shapes; traced once."""
        return jax.eval_shape(self.begin, self.agent, self.env, self.seeds)

    @property
    def total_updates(self) -> int:
        """Optimiser steps of a run by its end."""
        return self.schedule.total_updates * self.agent.gradient_steps


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A grid, expanded: `configurations[i]` are the grid's values by name, `programs` run in turn."""

    configurations: tuple[Mapping[str, Any], ...]
    programs: tuple[Program, ...]

    @property
    def runs(self) -> list[RunInfo]:
        """All runs, by number."""
        return sorted((info for program in self.programs for info in program.runs), key=lambda info: info.run)


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
