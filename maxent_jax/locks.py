"""One writer a run directory: a lock that names its holder, and that a killed holder does not keep."""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from maxent_jax.faults import Fault

NAME = "lock"
PATIENCE = 0.5
"""Seconds: somebody may just be looking whether the lock is held."""
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What disks answer that know no locks."""
FREE, HELD, UNKNOWN = "free", "held", "unknown"
"""What can be known of a lock."""


def name(process: int) -> str:
    """The file that a process of a job locks; the first one's is the directory's."""
    return f"{NAME}-{process}" if process else NAME


@contextmanager
def hold(directory: Path, name: str = NAME) -> Iterator[str]:
    """Be the one process that writes a run directory.

    The system's own lock on the file decides; it ends with the process that holds it, however that ends. So a file
    that is left behind is stale. What the file says is for people, and for disks that know no locks.

    Args:
      directory: an existing folder.
      name: the file, see `name`.

    Yields:
      Whose stale lock was taken over, in words; "" where there was none.

    Raises:
      Fault: another process holds it, or, on a disk without locks, a process of another host may.
    """
    file = _open(directory, directory / name)
    try:
        before = _words(_content(file))
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield before
    finally:
        with suppress(OSError):  # the folder may have vanished
            (directory / name).unlink()  # while it is held: the next one sees that its file is no more, and opens anew
        os.close(file)


def holder(directory: Path) -> str:
    """Who writes a run directory now, in words; "" where nobody does. One of whom nothing can be known counts."""
    try:
        file = os.open(directory / NAME, os.O_RDONLY)
    except OSError:
        return ""
    try:
        # a shared lock: NFS gives no other to a file that is open for reading, and many may look at the same time
        return "" if _ask(file, fcntl.LOCK_SH) == FREE else _words(_content(file))
    finally:
        os.close(file)


def _open(directory: Path, path: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        found = _ask(file, fcntl.LOCK_EX)
        if found != FREE:
            if time.monotonic() < deadline:
                os.close(file)
                time.sleep(PATIENCE / 10)
                continue
            whose = _words(_content(file)) or "another process"
            os.close(file)
            told = (
                f"{whose} writes it; wait for its end, or end it"
                if found == HELD
                else f"{whose} may write it, which this disk without locks cannot say; "
                f"once that process has ended, remove {str(path)!r}"
            )
            raise Fault(f"run directory {str(directory)!r}: {told}")
        with suppress(OSError):
            if os.stat(path).st_ino == os.fstat(file).st_ino:
                return file
        os.close(file)  # its holder removed it between our two steps


def _ask(file: int, kind: int) -> str:
    """Whether another process holds the lock; where it is free, and the disk has locks, we hold it from now on."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return HELD
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        content = _content(file)
        if content and content["host"] != socket.gethostname():
            return UNKNOWN
        return HELD if content and psutil.pid_exists(content["pid"]) else FREE
    return FREE


def _content(file: int) -> dict[str, Any]:
    """What a lock's file says; nothing where it says nothing that we understand."""
    try:
        content = json.loads(os.pread(file, 1000, 0))
        pid = int(content["pid"])
        return {"pid": pid, "host": str(content["host"])} if 0 < pid < 2**31 else {}
    except (ValueError, TypeError, KeyError, OverflowError):
        return {}


def _words(content: dict[str, Any]) -> str:
    return f"process {content['pid']} on {content['host']}" if content else ""
