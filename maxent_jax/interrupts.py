"""Ctrl-C that loses nothing: the first ends training after the chunk in flight, a second one ends it at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
EXIT_CODE = 130


class Interrupted(KeyboardInterrupt):
    """Training ended early at the user's wish; what ran is written.

    Attributes:
      result: the `Result` of what ran.
    """

    def __init__(self, result: Any):
        """Carry what ran."""
        super().__init__("interrupted")
        self.result = result


class Watch:
    """Runs work in a thread of its own, so that a signal is heard while the device computes."""

    def __init__(self) -> None:
        """Nothing asked for yet."""
        self.asked = False
        self._worker = ThreadPoolExecutor(1)

    def wait_for(self, work: Callable[[], T]) -> T:
        """The result of `work`; signals are handled meanwhile."""
        return self._worker.submit(work).result()


@contextmanager
def watch(announce: Callable[[], None], leave: Callable[[], None] = lambda: None) -> Iterator[Watch]:
    """Hear Ctrl-C until the block ends.

    Args:
      announce: called at the first one.
      leave: called at the second one, right before the process ends; must be quick.

    Yields:
      The watch; `asked` turns True at the first Ctrl-C. Outside the main thread Python delivers no signals, and it
      stays False.
    """
    watcher = Watch()

    def hear(signum: int, frame: Any) -> None:
        del signum, frame
        if watcher.asked:
            leave()
            os._exit(EXIT_CODE)  # at once: a computation in flight cannot be stopped in any gentler way
        watcher.asked = True
        announce()

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, hear) if main else None
    try:
        yield watcher
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
        watcher._worker.shutdown(wait=False)
