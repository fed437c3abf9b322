"""Shards of a sweep handed to an engine that schedules them: Slurm, Ray, or processes of this machine.

Each shard is the command line itself with `--shard I/N --resume`: it writes its own run directory, goes on from its
last checkpoint wherever it is started again, and ends at once where it is finished. So an engine only has to start it
until it has ended well.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from envs.fields import InvalidSetting
from maxent_jax.faults import Fault
from maxent_jax.sweep import Shard

CLUSTERS = ("local", "slurm", "ray")
STOPPED = (130, 143)
"""Exit codes of a shard that was asked to stop and saved: like a killed one, it can go on."""


@dataclasses.dataclass(frozen=True)
class Shards:
    """A command line, in parts.

    Attributes:
      words: `train` or `sweep` and what follows it, without `--out`.
      out: the folder of the shards' run directories.
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


def local(shards: Shards, at_once: int = 1, retries: int = 3, quiet: bool = False) -> None:
    """Train the shards in processes of this machine; returns when all are finished.

    Args:
      shards: what to train.
      at_once: processes side by side.
      retries: how often a shard that was killed is started again.
      quiet: whether they keep their progress to themselves; what went wrong is told always.

    Raises:
      Fault: a shard ended badly, or was killed too often.
    """
    out = subprocess.DEVNULL if quiet else None

    def one(words: Sequence[str]) -> None:
        for _ in range(retries + 1):
            code = subprocess.run([sys.executable, "-m", "maxent_jax.cli", *words], stdout=out).returncode
            if code == 0:
                return
            if code > 0 and code not in STOPPED:
                break
        raise Fault(f"shard {_shard(words)}: ended with {code}; the same command goes on with what is whole")

    with ThreadPoolExecutor(at_once) as pool:
        done = [pool.submit(one, words) for words in shards.all()]
    for future in done:
        future.result()


class Task:
    """A shard inside a process that an engine started: it ends with that process, and can be started again."""

    def __init__(self, words: Sequence[str]):
        """Keep the command line: all that is sent to another machine."""
        self.words = list(words)

    def __call__(self) -> str:
        """Train. Raises `Fault` where that does not end well."""
        from maxent_jax.cli import main  # here, because that module imports this one

        code = main(self.words)
        if code:
            raise Fault(f"shard {_shard(self.words)}: ended with {code}")
        return _shard(self.words)

    def checkpoint(self) -> Any:
        """What submitit puts into the queue again when Slurm takes the machine away: the same, which then goes on."""
        return _submitit().helpers.DelayedSubmission(self)


def slurm(shards: Shards, minutes: int, parameters: dict[str, str], cluster: str | None = None) -> list[Any]:
    """Put the shards into Slurm's queue as one array.

    Args:
      shards: what to train.
      minutes: most minutes of a shard's turn; one that needs more is put into the queue again and goes on.
      parameters: what else `sbatch` is told, by name: partition, gres, ...
      cluster: another of submitit's, to try it without Slurm; None: Slurm.

    Returns:
      submitit's jobs.

    Raises:
      InvalidSetting: submitit or Slurm is missing.
    """
    executor = _submitit().AutoExecutor(folder=shards.out / "slurm", cluster=cluster or "slurm")
    own = {} if cluster else {"slurm_additional_parameters": parameters}
    executor.update_parameters(timeout_min=minutes, name="maxent-jax", **own)
    return executor.map_array(_call, [Task(words) for words in shards.all()])


def ray(shards: Shards, address: str | None = None, gpus: float = 0.0, retries: int = 3) -> None:
    """Train the shards as Ray's tasks; returns when all are finished.

    Args:
      shards: what to train; the folder must be one that all machines share.
      address: of a running cluster; None: one that is started here.
      gpus: of one shard.
      retries: how often a shard whose machine was lost is started again, elsewhere.

    Raises:
      InvalidSetting: Ray is missing, or there is no cluster at the address.
      Fault: a shard ended badly, or was lost too often.
    """
    engine = _import("ray", "ray")
    try:
        engine.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except ConnectionError as error:
        raise InvalidSetting(f"address = {address!r}: no cluster answers; must be that of a running one") from error
    # a process for each shard: what it compiled and holds is gone with it
    task = engine.remote(num_cpus=1, num_gpus=gpus, max_retries=retries, max_calls=1)(_call)
    try:
        engine.get([task.remote(Task(words)) for words in shards.all()])
    except engine.exceptions.RayError as error:
        raise Fault(f"ray: {' '.join(str(error).split())[-200:]}") from error


def _call(task: Callable[[], str]) -> str:
    return task()


def _shard(words: Sequence[str]) -> str:
    return words[words.index("--shard") + 1]


def _submitit() -> Any:
    return _import("submitit", "slurm")


def _import(module: str, extra: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise InvalidSetting(
            f"cluster: {module} is not installed; must be, by the extra {extra!r}: pip install 'maxent-jax[{extra}]'"
        ) from error
