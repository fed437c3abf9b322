"""Folders that are there whole or not at all, however many processes write them.

    NAME/manifest.json      what the folder is, and the checksum of every part's manifest; written last
    NAME/manifest.sha256    the checksum of that, as `sha256sum --check` reads it
    NAME/part_0000/         what one process wrote, with the size and checksum of every file in its own manifest.json

Each process fills its part in a folder with another name (`NAME.part`). When all parts are there, the first process
adds the manifest and gives the folder its real name. So one flipped byte anywhere, a file that is missing, too much or
too short, and a part that a lost process never finished are all seen. Names in a manifest are compared, never opened.
"""

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
DRAFT = ".part"
SECONDS_BETWEEN_LOOKS = 0.02
SPOILT = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)
"""What reading a file that anything was written into may raise."""


def part_name(index: int) -> str:
    """The folder of one process."""
    return f"part_{index:04}"


def write(
    path: Path,
    fill: Callable[[Path], None],
    about: Mapping[str, Any],
    part: int = 0,
    parts: int = 1,
    own: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Write the part of this process; the first process returns when the folder is whole, in place of what was there.

    Args:
      path: the folder to be; its parent's parent must exist.
      fill: writes into the part's folder, which is there and empty.
      about: what the folder's manifest says; the first process's counts.
      part: the number of this process.
      parts: how many there are; a draft of several parts must not be there when they begin, see `drafts`.
      own: what the part's manifest says.
      stop: ends the first process's waiting for other parts, with an `InterruptedError`.
    """
    path = path.absolute()
    draft = path.with_name(path.name + DRAFT)
    mine = draft / part_name(part)
    draft.parent.mkdir(exist_ok=True)  # and not its parents: a run directory that vanished stays so
    try:
        if parts == 1 and draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(exist_ok=True)
        mine.mkdir()
        fill(mine)
        inside = files(mine)
        for file in inside.values():
            sync(file)
        sizes = {name: [file.stat().st_size, checksum(file)] for name, file in inside.items()}
        _write_text(mine / MANIFEST, json.dumps({**(own or {}), "files": sizes}, indent=1))
        if part:
            return
        manifests = [draft / part_name(index) / MANIFEST for index in range(parts)]
        _wait_for(manifests, stop)
        text = json.dumps({**about, "parts": [checksum(manifest) for manifest in manifests]}, indent=1)
        _write_text(draft / CHECKSUM, f"{hashlib.sha256(text.encode()).hexdigest()}  {MANIFEST}\n")
        _write_text(draft / MANIFEST, text)
    except BaseException:
        shutil.rmtree(mine if part else draft, ignore_errors=True)  # a full disk needs the room
        raise
    if path.exists():
        shutil.rmtree(path)
    draft.replace(path)
    sync(path.parent)


def manifest(path: Path) -> dict[str, Any]:
    """What a folder's manifest says; nothing else of it is looked at.

    Raises:
      ValueError: it has other bytes than were written, or is no manifest.
      OSError: it cannot be read.
    """
    text, told = _read(path / MANIFEST, MANIFEST), _read(path / CHECKSUM, CHECKSUM)
    if told != f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode():
        raise ValueError(f"{MANIFEST} has other bytes than were written")
    return _document(text, MANIFEST)


def parts(path: Path) -> list[dict[str, Any]]:
    """What the manifests of a folder's parts say, in order; nothing else of them is looked at.

    Raises:
      ValueError: a manifest is not as it was written; the message names it.
      OSError: it cannot be read.
    """
    found = []
    for index, expected in enumerate(manifest(path)["parts"]):
        name = f"{part_name(index)}/{MANIFEST}"
        if (path / part_name(index)).is_symlink():
            raise ValueError(f"{part_name(index)} is a link")
        text = _read(path / name, name)
        if hashlib.sha256(text).hexdigest() != expected:
            raise ValueError(f"{name} has other bytes than were written")
        found.append(_document(text, name))
    return found


def check(path: Path, inside: str = "") -> None:
    """Find a folder whole.

    Args:
      path: the folder.
      inside: the beginning of file names in a part: others are only looked for.

    Raises:
      ValueError: something is not as it was written; the message names it.
      OSError: something cannot be read.
    """
    found, known = files(path), {MANIFEST, CHECKSUM}
    for index, about in enumerate(parts(path)):
        name = part_name(index)
        listed = {f"{name}/{file}": told for file, told in about["files"].items()}
        known |= {f"{name}/{MANIFEST}", *listed}
        for file, (size, digest) in sorted(listed.items()):
            if file not in found:
                raise ValueError(f"{file} is missing")
            if found[file].stat().st_size != size:
                raise ValueError(f"{file} has {found[file].stat().st_size} bytes of {size}")
            if file.startswith(f"{name}/{inside}") and checksum(found[file]) != digest:
                raise ValueError(f"{file} has other bytes than were written")
    if more := sorted({*found} - known):
        raise ValueError(f"{more[0]} is not in its manifest")


def drafts(folder: Path) -> list[Path]:
    """What was never finished in a folder of such folders."""
    with contextlib.suppress(OSError):
        return [path for path in folder.iterdir() if path.name.endswith(DRAFT)]
    return []


def files(path: Path) -> dict[str, Path]:
    """The files below a folder by relative name; links are not followed, and are no files."""
    inside = (Path(root) / name for root, _, names in os.walk(path) for name in names)
    return {file.relative_to(path).as_posix(): file for file in inside if not file.is_symlink()}


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _document(text: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be read ({error})") from error
    if not isinstance(document, dict):
        raise ValueError(f"{name} cannot be read (is no object)")
    return document


def _read(path: Path, name: str) -> bytes:
    try:
        with _opened(path) as handle, open(handle, "rb", closefd=False) as file:
            return file.read()
    except FileNotFoundError as error:
        raise ValueError(f"{name} is missing") from error


@contextlib.contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY | os.O_NOFOLLOW) -> Iterator[int]:
    handle = os.open(path, flags)
    try:
        yield handle
    finally:
        os.close(handle)


def _write_text(path: Path, text: str) -> None:
    """Whole, and on the disk."""
    draft = path.with_name(path.name + DRAFT)
    draft.write_text(text)
    sync(draft)
    draft.replace(path)


def _wait_for(paths: list[Path], stop: threading.Event | None) -> None:
    """Until all of these are there; a process that is lost ends the whole job, and this with it."""
    for path in paths:
        while not path.exists():
            if stop is not None and stop.is_set():
                raise InterruptedError(f"{path.parent.name} is missing")
            time.sleep(SECONDS_BETWEEN_LOOKS)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk: a machine may lose its power, too."""
    with _opened(path) as handle:
        os.fsync(handle)
