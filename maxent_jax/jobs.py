"""A checked request carried out in a run directory: compile, train, save, write, go on where it was cut off."""

import contextlib
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from maxent_jax import checkpoints, devices, freezing, interrupts, locks, plots, resuming, runs
from maxent_jax import trackers as tracking
from maxent_jax.agents import Agent
from maxent_jax.checkpoints import Place
from maxent_jax.compiled import Chunk, Compiled
from maxent_jax.faults import Fault
from maxent_jax.memory import gigabytes, held_bytes, shapes, tree_bytes
from maxent_jax.metrics_log import MetricsLog
from maxent_jax.programs import Program, Sweep
from maxent_jax.progress import Reporter
from maxent_jax.result import Result, load
from maxent_jax.saver import Saver

DONE = "done"
CHUNK = "the chunk in flight"
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
    checkpoint_every: int | None
    keep: int
    resume: bool
    started: dict[str, Any] | None
    trackers: tuple[str, ...]


def execute(job: Job, console: Console | None = None) -> Result:
    """Train and write the run directory.

    In a job of several processes (`jax.distributed`) all call this. Each trains and saves its own runs; the first one
    writes everything else, and is the one that is heard.

    Args:
      job: what to do.
      console: where progress goes; None: silent.

    Returns:
      What the directory holds.

    Raises:
      Interrupted: after Ctrl-C or SIGTERM; what ran is written.
      Fault: the directory is damaged, in use, vanished or full, or another process of the job was lost; what was
        written stays.
    """
    where = f"run directory {str(job.out)!r}"
    goes_on = f"`maxent-jax resume {job.out}` goes on with what is whole"
    process = jax.process_index()
    try:
        devices.tell("checked")  # nobody writes before everybody has looked
        job.out.mkdir(parents=True, exist_ok=True)
        with locks.hold(job.out, locks.name(process)) as stale:
            return _execute(job, console if process == 0 else None, stale)
    except OSError as error:
        raise Fault(f"{where}: stopped, for it cannot be written ({error.strerror or error}); {goes_on}") from error
    except checkpoints.Unsaved as error:
        raise Fault(f"{where}: stopped, for {error}; {goes_on}") from error
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        reason = " ".join(str(error).split())[:160]
        raise Fault(f"{where}: stopped, for another process of the job was lost ({reason}); {goes_on}") from error


def _execute(job: Job, console: Console | None, stale: str) -> Result:
    """Train in a directory that nobody else writes now."""
    programs, first = job.sweep.programs, jax.process_index() == 0
    reporter = Reporter(console, sum(program.schedule.total_steps * len(program.runs) for program in programs))
    if stale:
        reporter.say(f"{job.out}: takes the place of {stale}, which ended without a word")
    devices.tell("locked")  # nothing is removed while a process of an earlier job may still write it
    place = _start_together(job, reporter)
    if place == DONE:
        reporter.say(f"{job.out}: finished already; nothing to do")
        return load(job.out, job.agent, job.env)
    assert not isinstance(place, str)
    _announce(job, reporter)
    following = tracking.Following(job.trackers if first else (), job.out, job.config, reporter.say)
    with contextlib.closing(following):  # last: whoever sends SIGTERM does not wait for a tracker
        return _train(job, place, reporter, following)


def _train(job: Job, place: Place | None, reporter: Reporter, following: tracking.Following) -> Result:
    """Train from a place on, in a directory that is ready for it."""
    programs, first = job.sweep.programs, jax.process_index() == 0
    began = time.perf_counter() - (place.elapsed_seconds if place else 0.0)
    saver = Saver(job.out, job.checkpoint_every, job.keep, _as_the_first)
    training = _Training(job, reporter, saver, following, began)
    finished = False
    try:
        with (
            _log(job, place) as training.log,
            interrupts.watch(lambda: reporter.say(training.ending()), reporter.abandon) as training.watch,
        ):
            for index, program in enumerate(programs):
                if place is not None and index < place.program:
                    reporter.program_done(program)
                    continue
                training.run(index, program, place if place is not None and index == place.program else None)
                if training.asked():
                    break
            else:
                finished = True
    finally:
        reporter.close()
        saver.close()
    heard = training.watch.signal
    if first:  # who sends SIGTERM does not wait for figures
        result = conclude(job.out, job.agent, job.env, finished=finished, figures=heard != signal.SIGTERM)
        if failures := result.failures():
            reporter.say(f"  {freezing.words(failures, len(result.runs))}; means and figures leave them out")
        told = "done" if finished else "interrupted; what ran is written"
        reporter.say(f"{job.out}: {told}, {time.perf_counter() - began:.1f} s")
    devices.tell("written")
    if not first:
        result = load(job.out, job.agent, job.env)
    if heard is not None:
        raise interrupts.Interrupted(result, 128 + heard)
    return result


def _log(job: Job, place: Place | None) -> MetricsLog | contextlib.nullcontext[None]:
    """metrics.jsonl, which the first process of a job writes."""
    if jax.process_index():
        return contextlib.nullcontext()
    return MetricsLog(job.out / "metrics.jsonl", place.metrics_bytes if place else 0)


def _as_the_first(value: bool) -> bool:
    """What the first process of the job says of it."""
    return devices.tell(str(int(value)))[0] == "1"


def _start_together(job: Job, reporter: Reporter) -> Place | str | None:
    """`_start` by the first process, told to the others."""
    place = _start(job, reporter) if jax.process_index() == 0 else None
    said = json.loads(devices.tell(json.dumps(dataclasses.asdict(place) if isinstance(place, Place) else place))[0])
    return Place(**said) if isinstance(said, dict) else said


def conclude(out: Path, agent: Agent, env: Any, *, finished: bool, figures: bool = True) -> Result:
    """What follows training: the summary, and the figures."""
    result = load(out, agent, env)
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
        for line in (*notes, *resuming.new_fields(found, config), *changed):
            reporter.say(f"{job.out}: warning: {line}")
        if changed:
            now = {"versions": runs.versions(), "device": runs.device(), "command": sys.argv}
            config = config | {"continued_with": [*found.get("continued_with", []), now]}
        if longer:
            reporter.say(f"{job.out}: prolonged from {found['steps']:,} to {config['steps']:,} steps")
        checkpoints.go_back(job.out, place)
        resuming.reopen(job.out)  # before config.json says more steps: a kill right here must not leave it finished
    if place is not None:
        reporter.say(f"{job.out}: goes on from chunk {place.chunk} of program {place.program}")
    elif found is not None:
        reporter.say(f"{job.out}: starts from the beginning: no checkpoint yet")
    (job.out / "figures").mkdir(exist_ok=True)
    if config != found:
        runs.write_json(job.out / "config.json", config)
    return place


@dataclasses.dataclass
class _Training:
    """What every program of a job shares while it is trained; `log` is None where another process writes it.

    `awaited` says in words what must end before training can.
    """

    job: Job
    reporter: Reporter
    saver: Saver
    following: tracking.Following
    began: float
    log: MetricsLog | None = dataclasses.field(init=False)
    watch: interrupts.Watch = dataclasses.field(init=False)
    awaited: str = CHUNK

    def ending(self) -> str:
        """What the first signal makes us say."""
        told = f"ending after {self.awaited}; Ctrl-C again ends at once"
        bound = self.saver.bound
        if bound is None or self.awaited != CHUNK:
            return f"{told}; how long that takes is not known yet"
        seconds = bound + SECONDS_OF_FIGURES + self.following.patience
        return f"{told}; expected within {seconds:.0f} s, without a loss"

    def asked(self) -> bool:
        """Whether training is to end: a signal that any process has heard by now. All must call this together."""
        said = self.watch.wait_for(lambda: devices.tell(str(int(self.watch.signal or 0))))
        heard = max(map(int, said))
        if heard and self.watch.signal is None:
            self.watch.signal = signal.Signals(heard)
        return heard > 0

    def run(self, index: int, program: Program, place: Place | None) -> None:
        """Compile and train one program, from its checkpoint at `place` or from its beginning.

        Where an end is asked for while it compiles, it is not begun; the first one is: a run directory holds something.
        """
        start, state, last = None, None, place
        held = shapes(program)
        if place is not None:
            run, counters = checkpoints.load(self.job.out, place, held)
            start, state = (place.chunk, run, counters), run.agent
            self.reporter.goes_on(program, int(counters.env_steps))
            del run
        if place is None or place.chunk < program.schedule.chunks:
            needs_one = place is None and index == 0
            self.awaited = "compiling and the first chunk" if needs_one else "compiling"
            chunks = self.watch.wait_for(lambda: Compiled(program)).chunks(start)
            self.awaited = CHUNK
            chunk = start = None  # training is given this state to keep
            while (needs_one and state is None) or not self.asked():
                found = self.watch.wait_for(lambda: next(chunks, None))
                if found is None:
                    break
                chunk = found
                last = self._write(index, program, chunk)
                self.saver.after(last, chunk, _filled(held, chunk.env_steps, program.schedule.capacity))
                self.reporter.chunk(program, chunk)
                state = chunk.padded.agent
            if chunk is not None and last is not None:
                self.saver.save(last, chunk)
                self.saver.wait()
        if state is None:
            return
        agents, share = devices.to_host(state, len(program.runs)), devices.share(len(program.runs))
        with checkpoints.saving(f"program_{index}"):
            runs.save_agents(self.job.out, index, agents, share)
        self.reporter.program_done(program)

    def _write(self, index: int, program: Program, chunk: Chunk) -> Place:
        """The lines of a chunk; where training stands then."""
        elapsed = round(time.perf_counter() - self.began, 3)
        if self.log is None:
            return Place(index, chunk.index, 0, "", elapsed)
        lines = runs.metric_lines(program, chunk, elapsed)
        self.log.write("".join(map(runs.to_line, lines)))
        self.following.log(lines)
        return Place(index, chunk.index, self.log.size, self.log.checksum, elapsed)


def _filled(held: Any, env_steps: int, capacity: int) -> int:
    """About how many bytes a checkpoint has after so many steps: replay is saved as far as it is filled."""
    size = tree_bytes(held)
    if not capacity:
        return size
    rows = tree_bytes(held.rows)
    return size - rows + rows * min(env_steps, capacity) // capacity


def _announce(job: Job, reporter: Reporter) -> None:
    reporter.say(f"{job.out}: {job.config['agent']} on {job.config['env']}, device {job.config['device']}")
    largest = max(job.sweep.programs, key=held_bytes)
    if len(job.sweep.programs) > 1:
        sizes = {len(program.runs) for program in job.sweep.programs}
        each = " or ".join(str(size) for size in sorted(sizes))
        reporter.say(f"  {len(job.sweep.programs)} programs x {each} runs, in turn")
    plan = largest.schedule
    buffers = f", {plan.capacity:,} transitions a run" if plan.capacity else ""
    reporter.say(f"  holds {gigabytes(job.held)}: {len(largest.runs)} runs{buffers}")
    if plan.total_steps - plan.envs * plan.prefill != job.config["steps"]:
        reporter.say(f"  steps a run: {plan.total_steps - plan.envs * plan.prefill:,}, rounded up to whole chunks")
    rate, wanted = plan.updates / (plan.steps * plan.envs), getattr(largest.agent, "updates_per_step", None)
    if wanted is not None and abs(rate - wanted) > 1e-6 * wanted:
        reporter.say(f"  updates per step: {rate:.6g}, the nearest small fraction to {wanted:g}")
    if job.differences:
        reporter.say(f"  not as published: {job.differences}")
