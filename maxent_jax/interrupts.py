"""Ctrl-C and SIGTERM that lose nothing: the first ends training after the chunk in flight, a second one at once.

SIGTERM is what schedulers send before they end a process, and USR2 is how Slurm is mostly told to say that the time is
nearly over: it asks as SIGTERM does, and never ends at once, however often and after whatever it comes.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
EXIT_CODE = 130
"""After Ctrl-C; after another signal 128 and its number, as shells have it."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_BETWEEN_LOOKS = 0.2


class Interrupted(KeyboardInterrupt):
    """Training ended early at the user's wish; what ran is written.

    Attributes:
      result: the `Result` of what ran.
      code: the exit code of a process that ends by this.
    """

    def __init__(self, result: Any, code: int = EXIT_CODE):
        """Carry what ran."""
        super().__init__("interrupted")
        self.result, self.code = result, code


class Watch:
    """Runs work in a thread of its own, so that a signal is heard while the device computes."""

    def __init__(self) -> None:
        """Nothing asked for yet."""
        self.signal: signal.Signals | None = None
        self._worker = futures.ThreadPoolExecutor(1)

    @property
    def asked(self) -> bool:
        """Whether training is to end."""
        return self.signal is not None

    def wait_for(self, work: Callable[[], T]) -> T:
        """The result of `work`; signals are handled meanwhile."""
        future = self._worker.submit(work)
        while not futures.wait([future], SECONDS_BETWEEN_LOOKS).done:  # a signal that another thread takes wakes no one
            pass
        return future.result()


@contextmanager
def watch(announce: Callable[[], None], leave: Callable[[], None] = lambda: None) -> Iterator[Watch]:
    """Hear Ctrl-C and SIGTERM until the block ends; USR2, too, unless somebody else hears it.

    Args:
      announce: called at the first one.
      leave: called at the second Ctrl-C or SIGTERM, right before the process ends; must be quick.

    Yields:
      The watch; `asked` turns True at the first of them. Outside the main thread Python delivers no signals, and it
      stays False.
    """
    watcher, firm = Watch(), []

    def hear(signum: int, frame: Any) -> None:
        del frame
        if signum in SIGNALS:
            firm.append(signum)
        if len(firm) > 1:
            leave()
            os._exit(128 + signum)  # at once: a computation in flight cannot be stopped in any gentler way
        if not watcher.asked:
            watcher.signal = signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM
            announce()

    main = threading.current_thread() is threading.main_thread()
    free = () if signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL else (signal.SIGUSR2,)
    before = {number: signal.signal(number, hear) for number in (*SIGNALS, *free)} if main else {}
    try:
        yield watcher
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        watcher._worker.shutdown(wait=False)
