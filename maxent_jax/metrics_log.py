"""metrics.jsonl while it is written: whole lines, and a running checksum that a checkpoint can refer to."""

import errno
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class MetricsLog:
    """A file of lines that only grows.

    Attributes:
      size: its bytes.
    """

    def __init__(self, path: Path, size: int = 0):
        """Go on after the first `size` bytes of a file; what follows them there is cut off."""
        # Unbuffered: what was written is there for others at once, and stays when this process is killed.
        self._file = open(path, "r+b" if size else "wb", buffering=0)  # noqa: SIM115
        self.path, self.size, self._digest = path, 0, hashlib.sha256()
        while self.size < size and (block := self._file.read(min(size - self.size, 2**20))):
            self._digest.update(block)
            self.size += len(block)
        self._file.truncate(size)
        self._file.seek(size)

    @property
    def checksum(self) -> str:
        """SHA-256 of all of it."""
        return self._digest.hexdigest()

    def write(self, text: str) -> None:
        """Append lines, all or none.

        Raises:
          OSError: the disk is full, or the file is not in its folder any more.
        """
        data = text.encode()
        try:
            if not os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno())):
                raise FileNotFoundError(errno.ENOENT, "was replaced", str(self.path))
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            self._file.truncate(self.size)
            raise
        self._digest.update(data)
        self.size += len(data)

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self._file.close()
