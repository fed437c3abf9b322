"""One training over several processes: a slice of a TPU pod, a job of several machines with GPUs.

JAX's own runtime joins them. Each process calls the same command; where Slurm, a TPU or MPI started them it knows who
is who, elsewhere it is told. A process that is lost ends the others: whoever started them starts all of them again.
"""

import os
import re
import sys
from dataclasses import dataclass
from typing import Any

import jax

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax.faults import Fault

AUTO = "auto"
PATTERN = re.compile(r"(\d{1,6})/(\d{1,6})@(\S+:\d{1,5})")
SECONDS_UNTIL_LOST = 60
"""A process that was not heard of for so long is taken for lost; most losses are seen at once."""


@dataclass(frozen=True)
class Place:
    """One process of a job: the `index`-th, from 1, `of` so many; the first listens at `address`."""

    index: int
    of: int
    address: str

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """`I/N@HOST:PORT`, or `auto`: None.

        Raises:
          InvalidSetting: it is neither.
        """
        if text == AUTO:
            return None
        found = PATTERN.fullmatch(text)
        if found is not None and 1 <= int(found[1]) <= int(found[2]):
            return cls(int(found[1]), int(found[2]), found[3])
        rule = "must be auto, or I/N@HOST:PORT with I from 1 to N, like 1/4@10.0.0.1:8476, where the first listens"
        raise InvalidSetting(f"distributed = {fields.show(text)}: {rule}")


def join(text: str | None, patience: int = 300) -> None:
    """Become a process of a job, before anything is computed.

    Args:
      text: see `Place.parse`; None: of no job, nothing happens.
      patience: seconds to wait for the others.

    Raises:
      InvalidSetting: it cannot be read, or `auto` finds nobody who would know.
      Fault: the others were not there in time.
    """
    if text is None:
        return
    place = Place.parse(text)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # it would take SIGTERM for itself, which ends training after the chunk here
    jax.config.update("jax_enable_preemption_service", False)
    own = {} if place is None else _told(place)
    try:
        jax.distributed.initialize(
            **own,
            initialization_timeout=patience,
            heartbeat_timeout_seconds=SECONDS_UNTIL_LOST,
            shutdown_timeout_seconds=SECONDS_UNTIL_LOST,
        )
    except ValueError as error:
        rule = "must be I/N@HOST:PORT where neither Slurm, a TPU nor MPI started the processes"
        raise InvalidSetting(f"distributed = {text!r}: {rule}") from error
    except jax.errors.JaxRuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise Fault(f"distributed = {text!r}: the others were not there within {patience} s ({reason})") from error


def _told(place: Place) -> dict[str, Any]:
    return {
        "coordinator_address": place.address,
        "num_processes": place.of,
        "process_id": place.index - 1,
        "cluster_detection_method": "deactivate",
    }


def leave(code: int) -> int:
    """The exit code of a process; one of a job that did not end well ends here, at once.

    Python's own end would wait for the others, who wait for this one.
    """
    if code in (1, 2) and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
