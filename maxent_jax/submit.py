"""Shards of a sweep handed to an engine that schedules them: Slurm, Ray, or processes of this machine.

Each shard is the command line itself with `--shard I/N --resume`: it writes its own run directory, goes on from its
last checkpoint wherever it is started again, and ends at once where it is finished. So an engine only has to start it
until it has ended well.
"""

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from envs.fields import InvalidSetting
from maxent_jax import interrupts
from maxent_jax.faults import Fault
from maxent_jax.programs import Shard

CLUSTERS = ("local", "slurm", "ray")
STOPPED = (130, 143)
"""Exit codes of a shard that was asked to stop and saved: like a killed one, it can go on."""
MOST_TURNS = 10_000
"""How often a shard's time on Slurm may be over; submitit wants a number."""
NOTICE = 300
"""Seconds before the end of a turn on Slurm, at most a quarter of it, at which a shard is told to save."""
SECONDS_UNTIL_ENDED = 1800
"""Slurm tells a process to stop so long before it ends it, or less."""
SHOWN = 5
"""Shards that are named where more ended badly."""


class Stopped(Fault):
    """A shard was asked to stop, and saved: started again, it goes on."""


@dataclasses.dataclass(frozen=True)
class Shards:
    """A command line, in parts.

    Attributes:
      words: `train` or `sweep` and what follows it, without `--out`.
      out: the folder of the shards' run directories; absolute where other processes have another working directory.
      count: how many there are.
    """

    words: tuple[str, ...]
    out: Path
    count: int

    def of(self, index: int) -> list[str]:
        """The command line of a shard, 1 to `count`."""
        return [*self.words, "--out", str(self.out), "--shard", str(Shard(index, self.count)), "--resume"]

    def all(self) -> list[list[str]]:
        """Those of all shards."""
        return [self.of(index) for index in range(1, self.count + 1)]


class Local:
    """Shards in processes of this machine.

    Args:
      shards: what to train.
      at_once: processes side by side.
      retries: how often a shard that was stopped or killed is started again.
      quiet: whether they keep their progress to themselves; what went wrong is told always.
    """

    def __init__(self, shards: Shards, at_once: int = 1, retries: int = 3, quiet: bool = False):
        """Nothing is started yet."""
        self.shards, self.at_once, self.retries = shards, at_once, retries
        self._stdout = subprocess.DEVNULL if quiet else None
        self._started: list[subprocess.Popen[bytes]] = []
        self._starting, self._stopped = threading.Lock(), False

    def train(self) -> None:
        """Train; returns when all have ended. Raises `Fault` where one ended badly, or was killed too often."""
        with ThreadPoolExecutor(self.at_once) as pool:
            codes = pool.map(self._one, self.shards.all())
        _check([_ended(words, code) for words, code in zip(self.shards.all(), codes, strict=True) if code])

    def stop(self) -> None:
        """Have those that train save and end, and start none any more."""
        with self._starting:
            self._stopped = True
        for process in self._started:
            process.terminate()

    def kill(self) -> None:
        """End those that train at once."""
        for process in self._started:
            process.kill()

    def _one(self, words: Sequence[str]) -> int:
        """The exit code with which a shard ended for good."""
        code = STOPPED[0]
        for _ in range(self.retries + 1):
            code = self._once(words)
            if self._stopped or code == 0 or (code > 0 and code not in STOPPED):
                break
        return code

    def _once(self, words: Sequence[str]) -> int:
        with self._starting:
            if self._stopped:
                return STOPPED[0]
            # in a group of its own: Ctrl-C in a terminal is heard here, and passed on once
            process = subprocess.Popen(_command(words), stdout=self._stdout, process_group=0)
            self._started.append(process)
        return process.wait()


class Ray:
    """Shards as Ray's tasks.

    Args:
      shards: what to train; the folder must be one that all machines share.
      address: of a running cluster; None: one that is started here.
      gpus: of one shard.
      retries: how often a shard that was stopped, or whose machine was lost, is started again, elsewhere.
    """

    def __init__(self, shards: Shards, address: str | None = None, gpus: float = 0.0, retries: int = 3):
        """Nothing is started yet."""
        self.shards, self.address, self.gpus, self.retries = shards, address, gpus, retries
        self._tasks: list[Any] = []

    def train(self) -> None:
        """Train; returns when all have ended.

        Raises:
          InvalidSetting: Ray is missing, or there is no cluster at the address.
          Fault: a shard ended badly, or was lost too often.
        """
        ray = _import("ray", "ray")
        try:
            ray.init(address=self.address, ignore_reinit_error=True, log_to_driver=False)
        except ConnectionError as error:
            rule = "no cluster answers; must be that of a running one"
            raise InvalidSetting(f"address = {self.address!r}: {rule}") from error
        # a process for each shard: what it compiled and holds is gone with it
        options = {"num_cpus": 1, "num_gpus": self.gpus, "max_calls": 1}
        task = ray.remote(**options, max_retries=self.retries, retry_exceptions=[Stopped])(_call)
        self._tasks = [task.remote(Task(words)) for words in self.shards.all()]
        failures = []
        for words, future in zip(self.shards.all(), self._tasks, strict=True):
            try:
                ray.get(future)
            except ray.exceptions.RayError as error:
                failures.append(f"shard {_shard(words)}: {' '.join(str(error).split())[-200:]}")
        _check(failures)

    def stop(self) -> None:
        """Have those that train save and end, and start none any more."""
        for future in self._tasks:
            _import("ray", "ray").cancel(future)

    def kill(self) -> None:
        """End those that train at once."""
        for future in self._tasks:
            _import("ray", "ray").cancel(future, force=True)


def attend(engine: Local | Ray, meanwhile: Callable[[Callable[[], bool]], None] | None = None) -> None:
    """Train with an engine that needs this process; returns when all shards are finished.

    Ctrl-C and SIGTERM are passed on: the shards save after the chunk in flight, and are waited for. Ctrl-C again ends
    them at once.

    Args:
      engine: what trains.
      meanwhile: called while it does, with a function that says whether it has ended.

    Raises:
      Interrupted: after Ctrl-C or SIGTERM.
      InvalidSetting: see the engine.
      Fault: likewise.
    """
    with interrupts.watch(engine.stop, engine.kill) as watch, ThreadPoolExecutor(1) as own:
        done = own.submit(engine.train)
        if meanwhile is not None:
            meanwhile(done.done)
        watch.wait_for(done.exception)
    if watch.signal is not None:
        raise interrupts.Interrupted(None, 128 + watch.signal)
    done.result()


class Task:
    """A shard inside a process that an engine started: it ends with that process, and can be started again."""

    def __init__(self, words: Sequence[str]):
        """Keep the command line: all that is sent to another machine."""
        self.words = list(words)

    def __call__(self) -> str:
        """Train. Raises `Stopped` where it was asked to stop, and `Fault` where it ended badly."""
        from maxent_jax.cli import main  # here, because that module imports this one

        code = main(self.words)
        if code:
            raise (Stopped if code in STOPPED else Fault)(_ended(self.words, code))
        return _shard(self.words)


class Turn:
    """A shard's turn on Slurm, as submitit calls it.

    It trains in a process of its own. So this one is free to wait for it when its time is nearly over, which submitit
    asks of it in the handler of a signal.
    """

    def __init__(self, words: Sequence[str], patience: float):
        """Keep the command line, and how many seconds the shard has to save before it is queued again as it is."""
        self.words, self.patience = list(words), patience
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> str:
        """Train. Raises `Fault` where that does not end well."""
        self._process = process = subprocess.Popen(_command(self.words))
        with interrupts.watch(self._stop, process.kill) as watch:
            code = watch.wait_for(process.wait)
        if code and watch.asked:
            # it saved; an end of this process would be the job's, and whether there is another turn is up to Slurm,
            # which ends this process now, or tells submitit to queue it again
            time.sleep(SECONDS_UNTIL_ENDED)
        if code:
            raise Fault(_ended(self.words, code))
        return _shard(self.words)

    def checkpoint(self) -> Any:
        """What submitit queues again when the time is nearly over, or Slurm takes the machine: the next turn."""
        if self._process is not None:
            self._stop()
            try:
                self._process.wait(self.patience)
            except subprocess.TimeoutExpired:
                self._process.kill()  # later it would not be queued again at all; it goes on from its last checkpoint
        return _submitit().helpers.DelayedSubmission(Turn(self.words, self.patience))

    def _stop(self) -> None:
        # Slurm may have sent it SIGTERM, of which a second is one too many
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR2)


def slurm(
    shards: Shards, minutes: int, parameters: dict[str, str], notice: int | None = None, cluster: str | None = None
) -> list[Any]:
    """Put the shards into Slurm's queue as one array.

    Args:
      shards: what to train.
      minutes: most minutes of a shard's turn; one that needs more is put into the queue again and goes on.
      parameters: what else `sbatch` is told, by name: partition, gres, ...
      notice: seconds before the end of a turn at which the shard is told to save; None: see `NOTICE`.
      cluster: another of submitit's, to try it without Slurm; None: Slurm.

    Returns:
      submitit's jobs.

    Raises:
      InvalidSetting: submitit or Slurm is missing, or the notice is longer than a turn.
      Fault: Slurm does not take the jobs.
    """
    name, notice = cluster or "slurm", min(NOTICE, 15 * minutes) if notice is None else notice
    if notice >= 60 * minutes:
        raise InvalidSetting(f"notice = {notice}: must be < {60 * minutes}, the seconds of a turn, see minutes")
    turns = {f"{name}_max_num_timeout": MOST_TURNS}
    try:
        executor = _submitit().AutoExecutor(folder=shards.out / "slurm", cluster=name, **turns)
    except RuntimeError as error:
        raise InvalidSetting(f"cluster = {name!r}: {error}; must be an engine that this machine has") from error
    executor.update_parameters(
        timeout_min=minutes,
        name="maxent-jax",
        slurm_signal_delay_s=notice,
        slurm_additional_parameters=parameters,
    )
    try:
        return executor.submit_array([Turn(words, 0.8 * notice) for words in shards.all()])
    except RuntimeError as error:
        raise Fault(f"slurm: {' '.join(str(error).split())[-200:]}") from error


def check_queued(shards: Shards, jobs: Sequence[Any]) -> None:
    """Raise a `Fault` that names the shards whose jobs, all done, did not end well."""
    ended = zip(shards.all(), jobs, strict=True)
    bad = [(words, job) for words, job in ended if job.exception() is not None]
    _check([f"shard {_shard(words)}: ended badly, see {job.paths.stderr}" for words, job in bad])


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "maxent_jax.cli", *words]


def _call(task: Callable[[], str]) -> str:
    return task()


def _shard(words: Sequence[str]) -> str:
    return words[words.index("--shard") + 1]


def _ended(words: Sequence[str], code: int) -> str:
    return f"shard {_shard(words)}: ended with {code}"


def _check(failures: Sequence[str]) -> None:
    """Raise a `Fault` where there are any."""
    if failures:
        more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
        raise Fault(f"{'; '.join(failures[:SHOWN])}{more}; the same command goes on with what is whole")


def _submitit() -> Any:
    return _import("submitit", "slurm")


def _import(module: str, extra: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise InvalidSetting(
            f"cluster: {module} is not installed; must be, by the extra {extra!r}: pip install -e '.[{extra}]'"
        ) from error
