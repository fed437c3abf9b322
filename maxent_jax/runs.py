"""The run directory: what training writes and everything else reads.

config.json      all that is needed to repeat the run, with versions and device
metrics.jsonl    one line per run and chunk
summary.json     final returns per configuration, with intervals
checkpoints/     the agents' states, one Orbax checkpoint per program, and the state of training: see checkpoints.py
figures/         curves.png, landscape.png
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import checkpoints, configs, freezing, stats
from maxent_jax.agents import agent_class
from maxent_jax.agents.base import METRICS, Agent
from maxent_jax.compiled import Chunk
from maxent_jax.devices import Share
from maxent_jax.faults import Fault
from maxent_jax.memory import gigabytes
from maxent_jax.programs import Program, RunInfo
from maxent_jax.wholes import SPOILT

COUNTS = ("env_steps", "updates")
EPISODES = ("return_deterministic", "return_stochastic", "return_training", "nonfinite")
CLOCKS = ("elapsed_seconds", "env_steps_per_second", "updates_per_second")
COLUMNS = (*COUNTS, *EPISODES, *METRICS, *CLOCKS)
"""The numbers that a line of metrics.jsonl holds beside `run` and `seed`; the rates are one run's.

A line also holds `failed`: null, or since which step and by which cause the run is frozen (see `freezing`).
"""


def free_name(parent: Path, stem: str) -> Path:
    """`parent/stem-NUMBER` with the smallest number that is not taken; what not every disk takes becomes a hyphen."""
    stem = re.sub(r"[^\w.-]+", "-", stem)
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"


def check_out(path: Path, needed: int) -> None:
    """Refuse a place where a run directory cannot be made; nothing is written.

    Args:
      path: the run directory to be.
      needed: bytes that it will hold, about.

    Raises:
      InvalidSetting: the path is taken, cannot be written, or its disk is full.
    """
    if "\0" in str(path):
        raise InvalidSetting(f"out = {str(path)!r}: cannot be a name; must be a new or an empty folder")
    try:
        if path.is_dir() and any(path.iterdir()):
            raise InvalidSetting(f"out = {str(path)!r}: the folder is not empty; must be a new or an empty folder")
        parent = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    except OSError as error:  # a folder on the way that may not be entered, or a name that is too long
        reason = error.strerror or "cannot be made"
        raise InvalidSetting(f"out = {str(path)!r}: {reason}; must be a new or an empty folder") from None
    if path.is_symlink() and not path.exists():
        raise InvalidSetting(f"out = {str(path)!r}: is a link to nothing; must be a new or an empty folder")
    if not parent.is_dir():
        raise InvalidSetting(f"out = {str(path)!r}: {str(parent)!r} is a file; must be a new or an empty folder")
    if not os.access(parent, os.W_OK | os.X_OK) or os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise InvalidSetting(f"out = {str(path)!r}: {str(parent)!r} cannot be written; must be a writable folder")
    free = shutil.disk_usage(parent).free
    if free < needed:
        have, want = gigabytes(free), gigabytes(needed)
        raise InvalidSetting(f"out = {str(path)!r}: {have} are free on its disk; must be at least {want}")


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    names = ("maxent-jax", "jax", "jaxlib", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "numpy")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "not installed"
    return {"python": platform.python_version(), **found, "code": code()}


@functools.cache
def code() -> str:
    """A fingerprint of our own source: a checkout changes more often than its version."""
    digest = hashlib.sha256()
    for package in (Path(__file__).parent, Path(envs.__file__).parent):
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def device() -> str:
    """The first device and how many there are, in words."""
    first = jax.local_devices()[0]
    return f"{first.platform}: {first.device_kind} x {jax.device_count()}"


def write_json(path: Path, value: Any) -> None:
    """As `write_whole`."""
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or leave what is there as it was.

    Raises:
      OSError: it cannot be written, as on a full disk; the file is named, which Python's own error does not always do.
    """
    draft = path.with_suffix(".part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


def number(value: Any) -> float | None:
    """A float32 as the shortest decimal that is the same float32; None where it is not finite."""
    return float(str(np.float32(value))) if math.isfinite(value) else None


def to_line(values: Mapping[str, Any]) -> str:
    """A line of metrics.jsonl."""
    return json.dumps(values, allow_nan=False) + "\n"


def metric_lines(program: Program, chunk: Chunk, elapsed: float) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl for one chunk, one a run."""
    plan = program.schedule
    steps = plan.chunk_steps if chunk.index else plan.envs * plan.prefill
    updates = plan.iterations * plan.updates * program.agent.gradient_steps if chunk.index else 0
    shared = {"env_steps": chunk.env_steps, "updates": chunk.updates}
    clocks = {
        "elapsed_seconds": round(elapsed, 3),
        "env_steps_per_second": round(steps / chunk.seconds, 1),
        "updates_per_second": round(updates / chunk.seconds, 1),
    }
    return [
        {"run": info.run, "seed": info.seed}
        | shared
        | {name: number(chunk.metrics[name][row]) for name in (*EPISODES, *METRICS)}
        | {"failed": freezing.describe(chunk.metrics, row)}
        | clocks
        for row, info in enumerate(program.runs)
    ]


def save_agents(directory: Path, index: int, state: Any, share: Share | None = None) -> None:
    """Write the states of the agents of program `index`, a process's share of them; None: all."""
    share = share or Share(0, 1, 0, len(jax.tree.leaves(state)[0]))
    state = jax.tree.map(np.asarray, state)  # of no device
    checkpoints.save_agents(directory / checkpoints.FOLDER / f"program_{index}", state, share)


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


def is_directory_of_run(path: Path) -> bool:
    """Whether a path has a config.json, whatever that is; a name that no disk takes has none."""
    return os.path.exists(path / "config.json")  # Path's own raises for a name that is too long


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
