"""A run directory in memory: what `load` reads is what `train` returns."""

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import checkpoints, configs, stats
from maxent_jax.agents import agent_class
from maxent_jax.agents.base import Agent
from maxent_jax.faults import Fault
from maxent_jax.programs import RunInfo
from maxent_jax.runs import COLUMNS, COUNTS, EPISODES, is_directory_of_run, number
from maxent_jax.wholes import SPOILT


@dataclasses.dataclass(frozen=True)
class Result:
    """A run directory in memory.

    Attributes:
      path: the directory.
      config: `config.json`.
      runs: who is who along the leading axis of `metrics`.
      metrics: by name, (runs, chunks); NaN for null and where a program had fewer chunks.
      agents: one agent per configuration, its fields set.
      envs: one bare task per configuration.
      failed: step and cause of every run that failed, by its number.
    """

    path: Path
    config: Mapping[str, Any]
    runs: tuple[RunInfo, ...]
    metrics: Mapping[str, np.ndarray]
    agents: tuple[Agent, ...]
    envs: tuple[Any, ...]
    failed: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def configurations(self) -> Sequence[Mapping[str, Any]]:
        """What makes each configuration: the fields that differ from the published table."""
        return [entry["overrides"] for entry in self.config["configurations"]]

    @functools.cached_property
    def summary(self) -> dict[str, Any]:
        """Final returns per configuration: the content of `summary.json`."""
        return {
            "schema": configs.SCHEMA,
            "env_steps": int(np.nanmax(self.metrics["env_steps"])),
            "elapsed_seconds": float(np.nanmax(self.metrics["elapsed_seconds"])),
            "configurations": [self._configuration(i) for i in range(len(self.agents))],
        }

    def _configuration(self, index: int) -> dict[str, Any]:
        rows = self.rows(index)

        def ends(name: str) -> list[float | None]:
            # what a failed run's frozen policy returns is no result of its configuration
            return [None if self.runs[row].run in self.failed else last(self.metrics[name][row]) for row in rows]

        found = {name: stats.interval(ends(name)) for name in EPISODES[:2]}
        final = {name: dataclasses.asdict(value) | {"per_seed": list(value.per_seed)} for name, value in found.items()}
        share = [value for value in ends("switched_share") if value is not None]
        return {
            "agent": self.config["agent"],
            "env": self.config["env"],
            "overrides": self.configurations[index],
            "seeds": [self.runs[row].seed for row in rows],
            **final,
            "switched_share": number(np.mean(share)) if share else None,
            "failed": self.failures(index),
        }

    def failures(self, configuration: int | None = None) -> list[dict[str, Any]]:
        """The runs that failed, of one configuration or of all: run, seed, step and cause."""
        members = self.runs if configuration is None else [self.runs[row] for row in self.rows(configuration)]
        return [
            {"run": info.run, "seed": info.seed, **self.failed[info.run]} for info in members if info.run in self.failed
        ]

    def rows(self, configuration: int) -> list[int]:
        """The runs of a configuration, as rows of `metrics`."""
        return [row for row, info in enumerate(self.runs) if info.configuration == configuration]

    def sound(self, configuration: int) -> list[int]:
        """Those of `rows` that did not fail."""
        return [row for row in self.rows(configuration) if self.runs[row].run not in self.failed]

    def agent_state(self, run: int) -> Any:
        """The saved state of one run's agent.

        Raises:
          InvalidSetting: there is no such run, or it never began.
        """
        return jax.tree.map(jnp.asarray, self.agent_row(run))

    def agent_row(self, run: int) -> Any:
        """The same as numpy, a view of what was read; raises as `agent_state`."""
        configuration = self.check_run(run).configuration
        program, row, size = self._places[run]
        if program not in self._restored:
            self._restored[program] = self._program_states(program, configuration, size)
        return jax.tree.map(lambda x: x[row], self._restored[program])

    @functools.cached_property
    def _by_number(self) -> dict[int, RunInfo]:
        return {info.run: info for info in self.runs}

    @functools.cached_property
    def _places(self) -> dict[int, tuple[int, int, int]]:
        """The program of each run, its row there, and how many there are."""
        members: dict[int, list[int]] = {}
        for entry in self.config["runs"]:
            members.setdefault(entry["program"], []).append(entry["run"])
        return {run: (program, row, len(own)) for program, own in members.items() for row, run in enumerate(own)}

    def check_run(self, run: int) -> RunInfo:
        """What is known of one run.

        Raises:
          InvalidSetting: there is no such run.
        """
        found = self._by_number.get(run)
        if found is None:
            known = [info.run for info in self.runs]
            whole = known == list(range(len(known)))  # a shard has some numbers only
            listed = f"0 to {len(known) - 1}" if whole else ", ".join(map(str, known[:20]))
            raise InvalidSetting(f"run = {run}: must be one of {listed}")
        return found

    @functools.cached_property
    def _restored(self) -> dict[int, Any]:
        """The states that were read already, by program: figures ask for one run after the other."""
        return {}

    def _program_states(self, program: int, configuration: int, size: int) -> Any:
        path = self.path / checkpoints.FOLDER / f"program_{program}"
        killed = None if path.exists() else checkpoints.agents_in_flight(self.path, program)
        if killed is None and not path.exists():
            raise InvalidSetting(f"run directory {str(self.path)!r}: has no {path.name}; it must have been trained")
        agent, env = self.agents[configuration], self.envs[configuration]

        def init(seed: jax.Array) -> Any:
            return agent.init(jax.random.key(seed), env.spec)

        shapes = jax.eval_shape(jax.vmap(init), np.zeros(size, np.uint32))
        try:
            return checkpoints.load_agents(killed or path, shapes)
        except SPOILT as error:
            reason = " ".join(str(error).split())[:120]
            raise Fault(f"run directory {str(self.path)!r}: {path.name} cannot be read ({reason})") from error

    def policy(self, run: int = 0, deterministic: bool = True) -> Callable[..., jax.Array]:
        """The trained policy of one run, for acting.

        Args:
          run: its number.
          deterministic: the mean action; otherwise draws, which need a key.

        Returns:
          A compiled function `(obs, key=None) -> action`; observations (..., o), actions (..., a) in [-1, 1].
        """
        state = self.agent_state(run)
        agent = self.agents[self.check_run(run).configuration]
        act = jax.jit(functools.partial(agent.act, deterministic=deterministic))

        def policy(obs: jax.Array, key: jax.Array | None = None) -> jax.Array:
            if key is None and not deterministic:
                raise ValueError("a policy that draws its actions needs a key: policy(obs, key)")
            return act(state, obs, jax.random.key(0) if key is None else key)

        return policy


def last(values: np.ndarray) -> float:
    """The last number of a series that may end in NaN; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else math.nan


def load(path: str | Path, agent: Agent | None = None, env: Any = None) -> Result:
    """Read a run directory.

    Args:
      path: the directory.
      agent: the agent, where it is not one of ours by name.
      env: the task, likewise: what `train` was given.

    Returns:
      Its content; `load(path).policy()` acts.

    Raises:
      InvalidSetting: the path is not a run directory.
      Fault: it is one, but damaged.
    """
    path = Path(path)
    if not is_directory_of_run(path):
        raise InvalidSetting(f"run directory {str(path)!r}: has no config.json; must hold a run")
    env = envs.as_task(env) if env is not None else None
    try:
        config = configs.read(path)
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        runs = tuple(RunInfo(entry["run"], entry["seed"], entry["configuration"]) for entry in config["runs"])
        by_run: dict[int, list[Any]] = {info.run: [] for info in runs}
        for line in lines:
            by_run.get(line["run"], []).append(line)
        of_run = [by_run[info.run] for info in runs]
        chunks = max((len(rows) for rows in of_run), default=0)
        metrics = {name: np.full((len(runs), chunks), np.nan) for name in COLUMNS}
        for row, own in enumerate(of_run):
            for name in COLUMNS:
                # an older directory may lack columns, but nothing else does without these counts
                found = [line[name] if name in COUNTS else line.get(name) for line in own]
                metrics[name][row, : len(own)] = [math.nan if value is None else value for value in found]
        if lost := [name for name in COLUMNS if np.isinf(metrics[name]).any()]:
            raise ValueError(f"{lost[0]} is infinite in metrics.jsonl")
        failures = {line["run"]: line["failed"] for line in lines if line.get("failed") is not None}
        failed = {run: {"step": int(one["step"]), "cause": str(one["cause"])} for run, one in failures.items()}
        grids = [entry["grid"] for entry in config["configurations"]]
        agents = tuple(_agent(config, grid, agent) for grid in grids)
        tasks = tuple(_env(config, grid, env) for grid in grids)
    except SPOILT as error:  # a field that is no more is an InvalidSetting, too
        reason = " ".join(str(error).split())[:200]
        raise Fault(f"run directory {str(path)!r}: cannot be read ({reason})") from error
    return Result(path, config, runs, metrics, agents, tasks, failed)


def _agent(config: Mapping[str, Any], grid: Mapping[str, Any], agent: Agent | None) -> Agent:
    own = {name: value for name, value in grid.items() if not name.startswith("env.")}
    cls = type(agent) if agent is not None else agent_class(config["agent"])
    return fields.build(cls, config["agent_fields"] | own, where="agent.")


def _env(config: Mapping[str, Any], grid: Mapping[str, Any], env: Any) -> Any:
    own = {name.removeprefix("env."): value for name, value in grid.items() if name.startswith("env.")}
    values = config["env_fields"] | own
    return fields.build(type(env), values, where="env.") if env is not None else envs.make(config["env"], **values)
