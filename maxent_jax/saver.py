"""When to save: beside training, and not more often than it should."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from maxent_jax import checkpoints
from maxent_jax.checkpoints import Place, State
from maxent_jax.compiled import Chunk

SHARE = 0.02
"""What checkpoints may cost of the time, where the user does not say how often: less than 3 %, with a margin."""


class Saver:
    """Saves beside training, and not more often than it should."""

    def __init__(self, directory: Path, every: int | None, keep: int, agree: Callable[[bool], bool] = bool):
        """Nothing is saved yet.

        Args:
          directory: the run directory.
          every: chunks from one checkpoint to the next; None: as often as costs less than `SHARE` of the time.
          keep: how many checkpoints stay.
          agree: whether all processes of a job save now, from whether this one would: clocks differ.
        """
        self._directory, self._every, self._keep, self._agree = directory, every, keep, agree
        self._stop = threading.Event()
        self._worker = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._saved: Place | None = None
        self._chunks = 0  # since the last checkpoint
        self._size = self._last_size = 1
        self._trained = self._spent = self._last = 0.0  # seconds
        self._longest_chunk = self._longest_save = 0.0

    @property
    def bound(self) -> float | None:
        """Seconds within which a chunk in flight and its checkpoint should end; None: not one has been seen."""
        seen = self._longest_chunk + 2 * self._longest_save  # one may be on its way
        return 2 * seen + 1 if self._longest_chunk else None

    @property
    def share(self) -> float:
        """The seconds of all checkpoints as a share of those of all chunks, so far."""
        return self._spent / self._trained if self._trained else 0.0

    def after(self, place: Place, chunk: Chunk, size: int) -> None:
        """After a chunk, before the next one is dispatched: save if it is time to.

        Args:
          place: where training stands.
          chunk: what has just run.
          size: about the bytes of a checkpoint of it.

        Raises:
          Unsaved: the checkpoint before this one could not be written.
        """
        if self._pending is not None and self._pending.done():
            self.wait()
        self._chunks, self._size = self._chunks + 1, max(size, 1)
        self._trained += chunk.seconds
        if chunk.index:  # the prefill says nothing of a chunk's time
            self._longest_chunk = max(self._longest_chunk, chunk.seconds)
        if self._agree(self._due()):
            self.save(place, chunk)

    def save(self, place: Place, chunk: Chunk) -> None:
        """Save this state, unless it is saved already; returns when its copy is made. Raises as `after`."""
        if self._saved is not None and self._saved.name == place.name:
            return
        self.wait()
        began = time.perf_counter()
        state = checkpoints.to_host(chunk.padded, chunk.counters, chunk.runs)
        self._saved, self._chunks, self._last_size = place, 0, self._size
        self._pending = self._worker.submit(self._write, place, state, began)

    def wait(self) -> None:
        """Until what was begun is on the disk; raises as `after`."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Let go of the thread when it is done; it waits no longer for other processes."""
        self._stop.set()
        self._worker.shutdown(wait=True)

    def _write(self, place: Place, state: State, began: float) -> None:
        with checkpoints.saving(place.name):
            checkpoints.save(self._directory, place, state, self._keep, self._stop)
        # On a CPU a checkpoint takes its time from training even where training does not wait for it: all of it counts.
        self._last = time.perf_counter() - began
        self._longest_save, self._spent = max(self._longest_save, self._last), self._spent + self._last

    def _due(self) -> bool:
        if self._saved is None:
            return True  # the first follows the first chunk
        if self._every is not None:
            return self._chunks >= self._every
        if self._pending is not None:
            return False
        expected = self._last * max(1.0, self._size / self._last_size)  # replay fills
        return self._spent + expected <= SHARE * self._trained
