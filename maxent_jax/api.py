"""`train` and `sweep`: check, compile, train, write, read back. The command line calls these same functions.

With `cli.py` the only module that may look into every room: it finds tasks and published settings by name.
"""

import dataclasses
import signal
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
from maxent_jax import checkpoints, freezing, interrupts, locks, plots, replay, resuming, runs
from maxent_jax import sweep as sweeps
from maxent_jax import trackers as tracking
from maxent_jax.agents import Agent, agent_name
from maxent_jax.checkpoints import Place, Saver
from maxent_jax.faults import Fault
from maxent_jax.metrics_log import MetricsLog
from maxent_jax.progress import Reporter
from maxent_jax.runs import Result
from maxent_jax.sweep import Program, Shard, Sweep

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
DONE = "done"
SECONDS_OF_FIGURES = 30


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
      checkpoint_every: chunks between checkpoints; None: as often as is cheap.
      keep: how many checkpoints stay.
      resume: whether to go on with what the directory holds; `started` is its config.json, None: nothing yet.
      trackers: names of what follows the run, see `trackers`.
    """

    agent: Agent
    env: Any
    sweep: Sweep
    out: Path
    config: dict[str, Any]
    held: int
    differences: str
    checkpoint_every: int | None = None
    keep: int = KEEP.default
    resume: bool = False
    started: dict[str, Any] | None = None
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
    every, kept = CHECKPOINT_EVERY.check(checkpoint_every), KEEP.check(keep)
    named = _seeds(seeds)
    checked_grid = _grid(base, task, grid or {})
    name = agent_name(base)
    asked = {
        "agent": name,
        "env": task_name,
        "agent_fields": fields.plain_values(base),
        "env_fields": fields.plain_values(task),
        "grid": {key: list(values) for key, values in checked_grid.items()},
        "seeds": list(named),
        "steps": count,
        "envs": parallel,
        "evaluations": chunks,
        "shard": shard,
    }
    part = Shard.parse(shard)
    if resume and out is None:
        raise InvalidSetting("resume = true: needs out, the run directory to go on with")
    if shard is not None and out is None:
        raise InvalidSetting(f"shard = {fields.show(shard)}: needs out, the folder that all shards share")
    if shard is not None and out is not None:
        out = Path(out) / part.folder
    started = resuming.started_with(Path(out)) if resume and out is not None else None
    if started is not None and out is not None:
        resuming.check_same(Path(out), started, asked)
        first = resuming.first_steps(started)
        expanded = sweeps.expand(base, task, named, checked_grid, first, parallel, chunks, part)
        expanded, started = resuming.prolong(Path(out), expanded, started, count)
    else:
        expanded = sweeps.expand(base, task, named, checked_grid, count, parallel, chunks, part)
    total = max(program.schedule.total_steps for program in expanded.programs)
    if total >= 2**31:
        raise InvalidSetting(f"steps = {count}: with prefill and whole chunks {total}; must stay below 2147483648")
    updates = max(sweeps.total_updates(program) for program in expanded.programs)
    if updates >= 2**31:
        raise InvalidSetting(f"steps = {count}: makes {updates} updates; must stay below 2147483648")
    replay.check(task)
    followed = tracking.check(trackers, len(expanded.runs))
    held = sweeps.check_memory(expanded, memory)

    path = Path(out) if out is not None else runs.free_name(Path("runs"), f"{name}-{task_name}")
    if started is None and not (resume and resuming.nothing_yet(path)):
        states = (kept + 1) * held if memory is None else 0  # one more while it is written; a plan may be for elsewhere
        runs.check_out(path, _bytes_to_write(expanded) + states)
    given_env = {f"env.{key}": value for key, value in fields.checked(type(task), env_fields or {}, "env.").items()}
    config = {
        "schema": runs.SCHEMA,
        **asked,
        "checkpoint_every": every,
        "keep": kept,
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
    return Job(base, task, expanded, path, started or config, held, differences, every, kept, resume, started, followed)


def execute(job: Job, console: Console | None = None) -> Result:
    """Train what `prepare` checked.

    Args:
      job: the checked request.
      console: where progress goes; None: silent.

    Returns:
      What the run directory holds.

    Raises:
      Interrupted: after Ctrl-C or SIGTERM; what ran is written.
      Fault: as in `train`.
    """
    where = f"run directory {str(job.out)!r}"
    goes_on = f"`maxent-jax resume {job.out}` goes on with what is whole"
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        with locks.hold(job.out) as stale:
            return _execute(job, console, stale)
    except OSError as error:
        raise Fault(f"{where}: stopped, for it cannot be written ({error.strerror or error}); {goes_on}") from error
    except checkpoints.Unsaved as error:
        raise Fault(f"{where}: stopped, for {error}; {goes_on}") from error


def _execute(job: Job, console: Console | None, stale: str) -> Result:
    """Train in a directory that nobody else writes now."""
    programs = job.sweep.programs
    reporter = Reporter(console, sum(program.schedule.total_steps * len(program.runs) for program in programs))
    if stale:
        reporter.say(f"{job.out}: takes the place of {stale}, which ended without a word")
    place = _start(job, reporter)
    if place == DONE:
        reporter.say(f"{job.out}: finished already; nothing to do")
        return runs.load(job.out, job.agent, job.env)
    assert not isinstance(place, str)
    _announce(job, reporter)
    following = tracking.Following(job.trackers, job.out, job.config, reporter.say)
    began = time.perf_counter() - (place.elapsed_seconds if place else 0.0)
    saver = Saver(job.out, job.checkpoint_every, job.keep)
    finished = False
    try:
        with (
            MetricsLog(job.out / "metrics.jsonl", place.metrics_bytes if place else 0) as log,
            interrupts.watch(lambda: reporter.say(_ending(saver)), reporter.abandon) as watch,
        ):
            for index, program in enumerate(programs):
                if place is not None and index < place.program:
                    reporter.program_done(program)
                    continue
                here = place if place is not None and index == place.program else None
                _run_program(job, index, program, here, log, watch, reporter, saver, following, began)
                if watch.asked:
                    break
            finished = not watch.asked
    finally:
        following.close()
        reporter.close()
        saver.close()
    # who sends SIGTERM does not wait for figures
    result = conclude(job.out, job.agent, job.env, finished=finished, figures=watch.signal != signal.SIGTERM)
    if failures := result.failures():
        reporter.say(f"  {freezing.words(failures, len(result.runs))}; means and figures leave them out")
    told = "done" if finished else "interrupted; what ran is written"
    reporter.say(f"{job.out}: {told}, {time.perf_counter() - began:.1f} s")
    if watch.signal is not None:
        raise interrupts.Interrupted(result, 128 + watch.signal)
    return result


def conclude(out: Path, agent: Agent, env: Any, *, finished: bool, figures: bool = True) -> Result:
    """What follows training: the summary, and the figures."""
    result = runs.load(out, agent, env)
    runs.write_json(out / "summary.json", result.summary | {"complete": finished})
    if figures:
        (out / "figures").mkdir(exist_ok=True)
        plots.curves([result], out / "figures" / "curves.png")
        plots.landscape(result, out / "figures" / "landscape.png", result.runs[0].run)
    return result


def _start(job: Job, reporter: Reporter) -> Place | str | None:
    """From where training goes on: `DONE`, or a place, or None for the beginning. Makes the directory fit for it."""
    found, config = resuming.started_with(job.out), job.config
    if found is not None and job.started is None:
        raise Fault(f"run directory {str(job.out)!r}: another process has begun it meanwhile")
    place = None
    if found is not None:
        longer = config["steps"] > found["steps"]
        if resuming.is_finished(job.out) and not longer:
            return DONE
        place, notes = checkpoints.newest(job.out)
        if place is None and (job.out / "summary.json").exists():
            raise Fault(
                f"run directory {str(job.out)!r}: has results and no checkpoint to go on from; nothing was changed"
            )
        changed = resuming.differences(found, runs.versions(), runs.device())
        for line in (*notes, *changed):
            reporter.say(f"{job.out}: warning: {line}")
        if changed:
            now = {"versions": runs.versions(), "device": runs.device(), "command": sys.argv}
            config = config | {"continued_with": [*found.get("continued_with", []), now]}
        if longer:
            reporter.say(f"{job.out}: prolonged from {found['steps']:,} to {config['steps']:,} steps")
        checkpoints.go_back(job.out, place)
        resuming.reopen(job.out)  # before config.json says more steps: a kill right here must not leave it finished
    if job.resume:
        told = (
            f"from chunk {place.chunk} of program {place.program}" if place else "from the beginning: no checkpoint yet"
        )
        reporter.say(f"{job.out}: goes on {told}" if place else f"{job.out}: starts {told}")
    (job.out / "figures").mkdir(exist_ok=True)
    if config != found:
        runs.write_json(job.out / "config.json", config)
    return place


def _ending(saver: Saver) -> str:
    """What the first signal makes us say."""
    told = "ending after the chunk in flight; Ctrl-C again ends at once"
    bound = saver.bound
    return told if bound is None else f"{told}; expected within {bound + SECONDS_OF_FIGURES:.0f} s, without a loss"


def _run_program(
    job: Job,
    index: int,
    program: Program,
    place: Place | None,
    log: MetricsLog,
    watch: interrupts.Watch,
    reporter: Reporter,
    saver: Saver,
    following: tracking.Following,
    began: float,
) -> None:
    """Compile and train one program, from its checkpoint at `place` or from its beginning."""
    start, state, last = None, None, place
    if place is not None:
        run, counters = checkpoints.load(job.out, place, sweeps.shapes(program))
        start, state = (place.chunk, run, counters), run.agent
        reporter.goes_on(program, int(counters.env_steps))
        del run
    if place is None or place.chunk < program.schedule.chunks:
        size = sweeps.held_bytes(program)
        chunks = watch.wait_for(lambda: sweeps.Compiled(program)).chunks(start)
        chunk = start = None  # training is given this state to keep
        while not (watch.asked and state is not None):
            found = watch.wait_for(lambda: next(chunks, None))
            if found is None:
                break
            chunk = found
            elapsed = time.perf_counter() - began
            lines = runs.metric_lines(program, chunk, elapsed)
            log.write("".join(map(runs.to_line, lines)))
            following.log(lines)
            last = Place(index, chunk.index, log.size, log.checksum, round(elapsed, 3))
            saver.after(last, chunk.run, chunk.counters, _filled(size, chunk, program), chunk.seconds)
            reporter.chunk(program, chunk)
            state = chunk.state
        if chunk is not None and last is not None:
            saver.save(last, chunk.run, chunk.counters)
            saver.wait()
    runs.save_agents(job.out, index, state)
    reporter.program_done(program)


def _filled(size: int, chunk: sweeps.Chunk, program: Program) -> int:
    """About how many bytes a checkpoint of this chunk has: replay is saved as far as it is filled."""
    capacity = program.schedule.capacity
    rows = sweeps.tree_bytes(chunk.run.rows) if capacity else 0
    return size - rows + (rows * min(chunk.env_steps, capacity) // capacity if capacity else 0)


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
    """About what a run directory will hold beside checkpoints of training: agents, metrics, figures."""
    agents = 3 * sum(sweeps.agent_bytes(program) for program in expanded.programs)
    lines = sum(len(program.runs) * (program.schedule.chunks + 1) for program in expanded.programs)
    return agents + 1000 * lines + 2_000_000


def _differences(reference: Any, agent: Agent, steps: int, envs: int) -> str:
    """What differs from the published row, in words."""
    published = fields.plain_values(fields.build(type(reference.agent), fields.plain_values(reference.agent)))
    published |= {"steps": reference.steps, "envs": reference.envs}
    chosen = fields.plain_values(agent) | {"steps": steps, "envs": envs}
    return ", ".join(f"{key} {chosen[key]} ({published[key]})" for key in chosen if chosen[key] != published[key])
