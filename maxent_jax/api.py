"""`train` and `sweep`: check what was asked for, and carry it out. The command line calls these same functions.

With `commands/` the only place that may look into every room: it finds tasks and published settings by name.
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import jax
import numpy as np
from rich.console import Console

import envs as tasks
from envs import fields
from envs.fields import InvalidSetting, Setting
from maxent_jax import configs, replay, resuming, runs
from maxent_jax import trackers as tracking
from maxent_jax.agents import Agent, agent_name
from maxent_jax.jobs import Job, execute
from maxent_jax.memory import agent_bytes, check_memory
from maxent_jax.programs import Shard, Sweep, expand
from maxent_jax.result import Result

Values = Mapping[str, Any]
STEPS = Setting("steps", int, True, None, "environment steps a run, after the prefill; none: the preset's", True, low=1)
ENVS = Setting("envs", int, True, None, "environments a run steps in parallel; none: the preset's", True, low=1)
EVALUATIONS = Setting("evaluations", int, False, 20, "evaluations, evenly spread", True, low=1)
CHECKPOINT_EVERY = Setting(
    "checkpoint_every",
    int,
    True,
    None,
    "chunks between checkpoints; none: so that they cost < 3 % of time",
    True,
    low=1,
)
KEEP = Setting("keep", int, False, 2, "checkpoints that stay", True, low=1)
MOST_SEEDS = 100_000


def train(
    agent: str | Agent,
    env: Any,
    *,
    seeds: int | Sequence[int] = 1,
    steps: int | None = None,
    envs: int | None = None,
    evaluations: int = 20,
    preset: str = "paper",
    agent_fields: Values | None = None,
    env_fields: Values | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    keep: int = KEEP.default,
    shard: str | None = None,
    console: Console | None = None,
    trackers: Sequence[str] = (),
) -> Result:
    """Train an agent on a task with many seeds at once.

    Args:
      agent: a registered name, which takes the published settings of the preset, or an agent as it is.
      env: a task's name, a bare task, or a bare object with Brax's interface.
      seeds: how many (0, 1, ...), or which.
      steps: environment steps a run, after the agent's random prefill; None: the preset's.
      envs: environments a run steps in parallel; None: the preset's.
      evaluations: how many times to evaluate, evenly spread; each ends a chunk.
      preset: `paper` (published), `cpu` or `quick`; only for an agent that is given by name.
      agent_fields: fields of the agent that differ from the preset.
      env_fields: fields of the task that differ from their defaults.
      grid: see `sweep`.
      out: the run directory to make; None: `runs/AGENT-ENV-NUMBER`.
      resume: go on with the run directory `out` where there is one, see `resume`; more `steps` prolong it.
      checkpoint_every: chunks from one checkpoint to the next; None: so that they cost less than 3 % of the time.
      keep: how many checkpoints stay.
      shard: `I/N` trains every N-th run only, in a run directory of its own in the folder `out`; see `merge`.
      console: where progress goes; None: silent.
      trackers: what follows the run: `tensorboard`, `wandb`.

    Returns:
      What the run directory holds.

    Raises:
      InvalidSetting: (a ValueError) one line that names the field, the value and what is allowed; nothing is written.
      Interrupted: after Ctrl-C or SIGTERM; what ran is written.
      Fault: a full disk, a damaged or vanished directory, another process at work in it; what was written stays.
    """
    job = prepare(
        agent,
        env,
        seeds=seeds,
        steps=steps,
        envs=envs,
        evaluations=evaluations,
        preset=preset,
        agent_fields=agent_fields,
        env_fields=env_fields,
        grid=grid,
        out=out,
        resume=resume,
        checkpoint_every=checkpoint_every,
        keep=keep,
        shard=shard,
        trackers=trackers,
    )
    return execute(job, console)


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    agent: Agent | None = None,
    env: Any = None,
    checkpoint_every: int | None = None,
    keep: int | None = None,
    console: Console | None = None,
    trackers: Sequence[str] = (),
) -> Result:
    """Go on with a run directory from its newest whole checkpoint, as if training had never been cut off.

    Args:
      path: the directory. One that is finished stays as it is.
      steps: more steps than it was started with prolong it; None: those.
      agent: the agent, where it is not one of ours by name: what `train` was given.
      env: the task, likewise.
      checkpoint_every: as in `train`; None: as it was started.
      keep: likewise.
      console: where progress goes; None: silent.
      trackers: what follows the run from here on, as in `train`.

    Returns:
      What the run directory holds.

    Raises:
      As `train`.
    """
    started = resuming.started_with(Path(path))
    if started is None:
        raise InvalidSetting(
            f"run directory {str(path)!r}: has no config.json, which says what to train; "
            "must be begun by `train` or `sweep`, with --resume where it was killed before it wrote one"
        )
    shard = started.get("shard")
    if shard is not None and Path(path).absolute().name != Shard.parse(shard).folder:
        raise InvalidSetting(f"run directory {str(path)!r}: must be called {Shard.parse(shard).folder!r}")
    return train(
        agent or started["agent"],
        env if env is not None else started["env"],
        **{name: started[name] for name in ("seeds", "envs", "evaluations", "agent_fields", "env_fields", "grid")},
        steps=started["steps"] if steps is None else steps,
        preset=started.get("preset") or "paper",
        out=path if shard is None else Path(path).absolute().parent,
        shard=shard,
        resume=True,
        checkpoint_every=started.get("checkpoint_every") if checkpoint_every is None else checkpoint_every,
        keep=started.get("keep", KEEP.default) if keep is None else keep,
        console=console,
        trackers=trackers,
    )


def sweep(agent: str | Agent, env: Any, grid: Mapping[str, Sequence[Any]], **options: Any) -> Result:
    """Train every combination of a grid, each with all seeds.

    Args:
      agent: as in `train`.
      env: as in `train`.
      grid: values by field; a bare name is the agent's field, `env.` leads the task's. Leaf fields share one compiled
        program; every combination of static fields is a program of its own, run in turn.
      **options: as in `train`.

    Returns:
      What the run directory holds, one configuration per combination.

    Raises:
      InvalidSetting: as in `train`; also a grid without values.
      Interrupted: as in `train`.
    """
    if not grid:
        raise InvalidSetting("grid = {}: must name at least one field with its values")
    return train(agent, env, grid=grid, **options)


def prepare(
    agent: str | Agent,
    env: Any,
    *,
    seeds: int | Sequence[int] = 1,
    steps: int | None = None,
    envs: int | None = None,
    evaluations: int = 20,
    preset: str = "paper",
    agent_fields: Values | None = None,
    env_fields: Values | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path | None = None,
    memory: float | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    keep: int = KEEP.default,
    shard: str | None = None,
    trackers: Sequence[str] = (),
) -> Job:
    """Check everything that `train` was asked for; the arguments and errors are the same. Writes nothing.

    `memory` is the bytes that training may hold; None: what this device has free.
    """
    for name, values in (("agent_fields", agent_fields), ("env_fields", env_fields), ("grid", grid)):
        if values is not None and not isinstance(values, Mapping):
            raise InvalidSetting(f"{name} = {fields.show(values)}: must be values by field")
    task = _task(env, env_fields or {})
    task_name = next((name for name in tasks.names() if type(task) is tasks.task(name)), type(task).__name__)
    row, reference = _rows(agent, task_name, preset, steps)
    base = _build_agent(row.agent, agent_fields or {})
    named, checked_grid, part = _seeds(seeds), _grid(base, task, grid or {}), Shard.parse(shard)
    asked = {
        "agent": agent_name(base),
        "env": task_name,
        "agent_fields": fields.plain_values(base),
        "env_fields": fields.plain_values(task),
        "grid": {key: list(values) for key, values in checked_grid.items()},
        "seeds": list(named),
        "steps": STEPS.check(steps) or row.steps,
        "envs": ENVS.check(envs) or row.envs,
        "evaluations": EVALUATIONS.check(evaluations),
        "shard": shard,
    }
    every, kept = CHECKPOINT_EVERY.check(checkpoint_every), KEEP.check(keep)
    directory = _directory(out, resume, part if shard is not None else None)

    def expanded_to(steps: int) -> Sweep:
        return expand(base, task, named, checked_grid, steps, asked["envs"], asked["evaluations"], part)

    started = resuming.started_with(directory) if resume and directory is not None else None
    if started is not None and directory is not None:
        goes_on = resuming.with_new_fields(started, base, task)
        resuming.check_same(directory, goes_on, asked)
        expanded = expanded_to(resuming.first_steps(started))
        expanded, goes_on = resuming.prolong(directory, expanded, goes_on, asked["steps"])
    else:
        expanded, goes_on = expanded_to(asked["steps"]), None
    _check_counts(expanded, asked["steps"])
    replay.check(task)
    followed = tracking.check(trackers, len(expanded.runs))
    held = check_memory(expanded, memory)

    path = directory or runs.free_name(Path("runs"), f"{asked['agent']}-{task_name}")
    if started is None and not (resume and resuming.nothing_yet(path)):
        states = (kept + 1) * held if memory is None else 0  # one more while it is written; a plan may be for elsewhere
        runs.check_out(path, _bytes_to_write(expanded) + states)
    given = fields.checked(type(base), agent_fields or {})
    given |= {f"env.{key}": value for key, value in fields.checked(type(task), env_fields or {}, "env.").items()}
    config = {
        "schema": configs.SCHEMA,
        **asked,
        "checkpoint_every": every,
        "keep": kept,
        "preset": preset if isinstance(agent, str) else None,
        "configurations": [
            {"grid": dict(values), "overrides": given | dict(values)} for values in expanded.configurations
        ],
        "runs": _who(expanded),
        "versions": runs.versions(),
        "device": runs.device(),
        "command": sys.argv,
    }
    if started is not None:
        resuming.check_runs(path, started, config)
    differences = _differences(reference, base, asked["steps"], asked["envs"]) if isinstance(agent, str) else ""
    return Job(base, task, expanded, path, goes_on or config, held, differences, every, kept, resume, started, followed)


def _rows(agent: Any, task: str, preset: str, steps: int | None) -> tuple[Any, Any]:
    """The settings of a preset for an agent on a task, and the published ones."""
    from experiments import published  # here, because that table is made of our agents

    if isinstance(agent, str):
        return published.row(agent, task, preset), published.row(agent, task)
    if not isinstance(agent, Agent):
        raise InvalidSetting(f"agent = {fields.show(agent)}: must be an agent's name or an Agent")
    if steps is None:
        raise InvalidSetting("steps = None: must be given for an agent that is not given by name")
    row = published.Row(agent, steps)
    return row, row


def _directory(out: Any, resume: bool, shard: Shard | None) -> Path | None:
    """The run directory that was asked for; a shard's lies in `out`."""
    if out is not None and not isinstance(out, (str, Path)):
        raise InvalidSetting(f"out = {fields.show(out)}: must be a path")
    if resume and out is None:
        raise InvalidSetting("resume = true: needs out, the run directory to go on with")
    if shard is not None and out is None:
        raise InvalidSetting(f"shard = '{shard.index}/{shard.of}': needs out, the folder that all shards share")
    if out is None:
        return None
    return Path(out) / shard.folder if shard is not None else Path(out)


def _check_counts(expanded: Sweep, asked: int) -> None:
    """Refuse more steps or updates than an int32 counts."""
    total = max(program.schedule.total_steps for program in expanded.programs)
    if total >= 2**31:
        raise InvalidSetting(f"steps = {asked}: with prefill and whole chunks {total}; must stay below 2147483648")
    updates = max(program.total_updates for program in expanded.programs)
    if updates >= 2**31:
        raise InvalidSetting(f"steps = {asked}: makes {updates} updates; must stay below 2147483648")


def _who(expanded: Sweep) -> list[dict[str, Any]]:
    """Every run, and the program that it is in, as config.json tells them."""
    told = [
        dataclasses.asdict(info) | {"program": index}
        for index, program in enumerate(expanded.programs)
        for info in program.runs
    ]
    return sorted(told, key=lambda entry: entry["run"])


def _task(env: Any, values: Values) -> Any:
    if isinstance(env, str):
        return tasks.make(env, **values)
    task = tasks.as_task(env)
    return fields.build(type(task), fields.plain_values(task) | dict(values), where="env.")


def _build_agent(agent: Agent, values: Values) -> Agent:
    fields.checked(type(agent), values, where="agent.")
    return fields.build(type(agent), fields.plain_values(agent) | dict(values), where="agent.")


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds by name; `n` is 0 to n - 1."""
    given = seeds.tolist() if isinstance(seeds, (np.ndarray, np.generic, jax.Array)) else seeds
    given = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else given
    named = list(range(given)) if _is_seed(given) and given <= MOST_SEEDS else given
    if not isinstance(named, list) or not named or not all(map(_is_seed, named)) or len(set(named)) < len(named):
        rule = f"must be how many (1 to {MOST_SEEDS}), or a list of different whole numbers from 0 to 4294967295"
        raise InvalidSetting(f"seeds = {fields.show(given)}: {rule}")
    return tuple(int(seed) for seed in named)


def _is_seed(value: Any) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= int(value) < 2**32


def _grid(agent: Agent, env: Any, grid: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Any, ...]]:
    """A grid with every name and value checked."""
    known = {**fields.settings(type(agent))} | {
        f"env.{name}": field for name, field in fields.settings(type(env)).items()
    }
    checked = {}
    for name, values in grid.items():
        if name not in known:
            raise fields.unknown(f"grid field {name!r}", name, known)
        if isinstance(values, (str, bytes)) or not np.ndim(np.asarray(values, object)) or not len(values):
            raise InvalidSetting(f"grid {name} = {fields.show(values)}: must be a list of values, at least one")
        where = "grid env." if name.startswith("env.") else "grid "
        column = tuple(known[name].check(value, where) for value in values)
        if len(set(column)) != len(column):
            raise InvalidSetting(f"grid {name} = {fields.show(list(values))}: must be different values")
        checked[name] = column
    return checked


def _bytes_to_write(expanded: Sweep) -> int:
    """About what a run directory will hold beside checkpoints of training: agents, metrics, figures."""
    agents = 3 * sum(agent_bytes(program) for program in expanded.programs)
    lines = sum(len(program.runs) * (program.schedule.chunks + 1) for program in expanded.programs)
    return agents + 1000 * lines + 2_000_000


def _differences(reference: Any, agent: Agent, steps: int, envs: int) -> str:
    """What differs from the published row, in words."""
    published = fields.plain_values(fields.build(type(reference.agent), fields.plain_values(reference.agent)))
    published |= {"steps": reference.steps, "envs": reference.envs}
    chosen = fields.plain_values(agent) | {"steps": steps, "envs": envs}
    return ", ".join(f"{key} {chosen[key]} ({published[key]})" for key in chosen if chosen[key] != published[key])
