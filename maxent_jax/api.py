"""`train` and `sweep`: check, compile, train, write, read back. The command line calls these same functions.

With `cli.py` the only module that may look into every room: it finds tasks and published settings by name.
"""

import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import jax
import numpy as np
from rich.console import Console

import envs as tasks
from envs import fields
from envs.fields import InvalidSetting, Setting
from maxent_jax import freezing, interrupts, plots, replay, runs
from maxent_jax import sweep as sweeps
from maxent_jax import trackers as tracking
from maxent_jax.agents import Agent, agent_name
from maxent_jax.progress import Reporter
from maxent_jax.runs import Result
from maxent_jax.sweep import Program, Sweep

Values = Mapping[str, Any]
STEPS = Setting("steps", int, True, None, "environment steps a run, after the prefill; none: the preset's", True, low=1)
ENVS = Setting("envs", int, True, None, "environments a run steps in parallel; none: the preset's", True, low=1)
EVALUATIONS = Setting("evaluations", int, False, 20, "evaluations, evenly spread", True, low=1)
MOST_SEEDS = 100_000


@dataclasses.dataclass(frozen=True)
class Job:
    """Training that was asked for and checked; nothing is compiled or written yet.

    Attributes:
      agent: the agent with its plain fields; the grid's are in `sweep`.
      env: the bare task, likewise.
      sweep: the programs.
      out: the run directory to be.
      config: `config.json` to be.
      held: bytes that the largest program holds on the device.
      differences: what differs from the published settings, in words.
      trackers: names of what follows the run, see `trackers`.
    """

    agent: Agent
    env: Any
    sweep: Sweep
    out: Path
    config: dict[str, Any]
    held: int
    differences: str
    trackers: tuple[str, ...] = ()


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
      console: where progress goes; None: silent.
      trackers: what follows the run: `tensorboard`, `wandb`.

    Returns:
      What the run directory holds.

    Raises:
      InvalidSetting: (a ValueError) one line that names the field, the value and what is allowed; nothing is written.
      Interrupted: after Ctrl-C; what ran is written.
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
        trackers=trackers,
    )
    return execute(job, console)


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
    trackers: Sequence[str] = (),
) -> Job:
    """Check everything that `train` was asked for; the arguments and errors are the same. Writes nothing.

    `memory` is the bytes that training may hold; None: what this device has free.
    """
    from experiments import published  # here, because that table is made of our agents

    for name, values in (("agent_fields", agent_fields), ("env_fields", env_fields), ("grid", grid)):
        if values is not None and not isinstance(values, Mapping):
            raise InvalidSetting(f"{name} = {fields.show(values)}: must be values by field")
    if out is not None and not isinstance(out, (str, Path)):
        raise InvalidSetting(f"out = {fields.show(out)}: must be a path")
    task = _task(env, env_fields or {})
    task_name = next((name for name in tasks.names() if type(task) is tasks.task(name)), type(task).__name__)
    given = dict(agent_fields or {})
    if isinstance(agent, str):
        row, reference = published.row(agent, task_name, preset), published.row(agent, task_name)
    elif isinstance(agent, Agent):
        if steps is None:
            raise InvalidSetting("steps = None: must be given for an agent that is not given by name")
        row = reference = published.Row(agent, steps)
    else:
        raise InvalidSetting(f"agent = {fields.show(agent)}: must be an agent's name or an Agent")
    base = _build_agent(row.agent, given)
    count = STEPS.check(steps) or row.steps
    parallel = ENVS.check(envs) or row.envs
    chunks = EVALUATIONS.check(evaluations)
    named = _seeds(seeds)
    checked_grid = _grid(base, task, grid or {})
    expanded = sweeps.expand(base, task, named, checked_grid, count, parallel, chunks)
    total = max(program.schedule.total_steps for program in expanded.programs)
    if total >= 2**31:
        raise InvalidSetting(f"steps = {count}: with prefill and whole chunks {total}; must stay below 2147483648")
    updates = max(sweeps.total_updates(program) for program in expanded.programs)
    if updates >= 2**31:
        raise InvalidSetting(f"steps = {count}: makes {updates} updates; must stay below 2147483648")
    replay.check(task)
    followed = tracking.check(trackers, len(expanded.runs))
    held = sweeps.check_memory(expanded, memory)

    name = agent_name(base)
    path = Path(out) if out is not None else runs.free_name(Path("runs"), f"{name}-{task_name}")
    runs.check_out(path, _bytes_to_write(expanded))
    given_env = {f"env.{key}": value for key, value in fields.checked(type(task), env_fields or {}, "env.").items()}
    config = {
        "schema": runs.SCHEMA,
        "agent": name,
        "env": task_name,
        "agent_fields": fields.plain_values(base),
        "env_fields": fields.plain_values(task),
        "grid": {key: list(values) for key, values in checked_grid.items()},
        "seeds": list(named),
        "steps": count,
        "envs": parallel,
        "evaluations": chunks,
        "preset": preset if isinstance(agent, str) else None,
        "configurations": [
            {"grid": dict(values), "overrides": fields.checked(type(base), given) | given_env | dict(values)}
            for values in expanded.configurations
        ],
        "runs": sorted(
            (
                dataclasses.asdict(info) | {"program": index}
                for index, program in enumerate(expanded.programs)
                for info in program.runs
            ),
            key=lambda entry: entry["run"],
        ),
        "versions": runs.versions(),
        "device": runs.device(),
        "command": sys.argv,
    }
    differences = _differences(reference, base, count, parallel) if isinstance(agent, str) else ""
    return Job(base, task, expanded, path, config, held, differences, followed)


def execute(job: Job, console: Console | None = None) -> Result:
    """Train what `prepare` checked.

    Args:
      job: the checked request.
      console: where progress goes; None: silent.

    Returns:
      What the run directory holds.

    Raises:
      Interrupted: after Ctrl-C; what ran is written.
    """
    programs = job.sweep.programs
    steps = sum(program.schedule.total_steps * len(program.runs) for program in programs)
    job.out.mkdir(parents=True, exist_ok=True)
    (job.out / "figures").mkdir()
    runs.write_json(job.out / "config.json", job.config)
    reporter = Reporter(console, steps)
    _announce(job, reporter)
    following = tracking.Following(job.trackers, job.out, job.config, reporter.say)
    began = time.perf_counter()
    finished = False
    try:
        with (
            open(job.out / "metrics.jsonl", "wb", buffering=0) as log,
            interrupts.watch(
                lambda: reporter.say("ending after the chunk in flight; Ctrl-C again ends at once"), reporter.abandon
            ) as watch,
        ):
            for index, program in enumerate(programs):
                _run_program(job, index, program, log, watch, reporter, following, began)
                if watch.asked:
                    break
            finished = not watch.asked
    finally:
        following.close()
        reporter.close()
    result = runs.load(job.out, job.agent, job.env)
    runs.write_json(job.out / "summary.json", result.summary | {"complete": finished})
    plots.curves([result], job.out / "figures" / "curves.png")
    plots.landscape(result, job.out / "figures" / "landscape.png")
    if failures := result.failures():
        reporter.say(f"  {freezing.words(failures, len(result.runs))}; means and figures leave them out")
    reporter.say(
        f"{job.out}: {'done' if finished else 'interrupted; what ran is written'}, {time.perf_counter() - began:.1f} s"
    )
    if not finished:
        raise interrupts.Interrupted(result)
    return result


def _run_program(
    job: Job,
    index: int,
    program: Program,
    log: Any,
    watch: interrupts.Watch,
    reporter: Reporter,
    following: tracking.Following,
    began: float,
) -> None:
    """Compile and train one program."""
    chunks = watch.wait_for(lambda: sweeps.Compiled(program)).chunks()
    state = None
    while not (watch.asked and state is not None):
        chunk = watch.wait_for(lambda: next(chunks, None))
        if chunk is None:
            break
        lines = runs.metric_lines(program, chunk, time.perf_counter() - began)
        log.write("".join(map(runs.to_line, lines)).encode())  # at once: a second Ctrl-C leaves whole lines
        following.log(lines)
        reporter.chunk(program, chunk)
        state = chunk.state
    runs.save_agents(job.out, index, state)
    reporter.program_done(program)


def _announce(job: Job, reporter: Reporter) -> None:
    reporter.say(f"{job.out}: {job.config['agent']} on {job.config['env']}, device {job.config['device']}")
    largest = max(job.sweep.programs, key=sweeps.held_bytes)
    if len(job.sweep.programs) > 1:
        sizes = {len(program.runs) for program in job.sweep.programs}
        each = " or ".join(str(size) for size in sorted(sizes))
        reporter.say(f"  {len(job.sweep.programs)} programs x {each} runs, in turn")
    plan = largest.schedule
    buffers = f", {plan.capacity:,} transitions a run" if plan.capacity else ""
    reporter.say(f"  holds {sweeps.gigabytes(job.held)}: {len(largest.runs)} runs{buffers}")
    if plan.total_steps - plan.envs * plan.prefill != job.config["steps"]:
        reporter.say(f"  steps a run: {plan.total_steps - plan.envs * plan.prefill:,}, rounded up to whole chunks")
    rate, wanted = plan.updates / (plan.steps * plan.envs), getattr(largest.agent, "updates_per_step", None)
    if wanted is not None and abs(rate - wanted) > 1e-6 * wanted:
        reporter.say(f"  updates per step: {rate:.6g}, the nearest small fraction to {wanted:g}")
    if job.differences:
        reporter.say(f"  not as published: {job.differences}")


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
    """About what a run directory will hold: agents, metrics, figures."""
    agents = 3 * sum(sweeps.agent_bytes(program) for program in expanded.programs)
    lines = sum(len(program.runs) * (program.schedule.chunks + 1) for program in expanded.programs)
    return agents + 1000 * lines + 2_000_000


def _differences(reference: Any, agent: Agent, steps: int, envs: int) -> str:
    """What differs from the published row, in words."""
    published = fields.plain_values(fields.build(type(reference.agent), fields.plain_values(reference.agent)))
    published |= {"steps": reference.steps, "envs": reference.envs}
    chosen = fields.plain_values(agent) | {"steps": steps, "envs": envs}
    return ", ".join(f"{key} {chosen[key]} ({published[key]})" for key in chosen if chosen[key] != published[key])
