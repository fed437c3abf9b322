"""Compiled programs kept on disk, so that the second start of a command does not compile again.

The command line keeps them unless told `--no-cache`. The Python functions keep nothing by themselves: a library does
not write into its user's home unasked. Call `use` once before, or set JAX's own `JAX_COMPILATION_CACHE_DIR`.
"""

import hashlib
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import jax

MOST_BYTES = 1_000_000_000
"""What is kept of all machines and versions together; beyond it the oldest goes."""


def use(wanted: bool = True) -> None:
    """Keep compiled programs from now on, and take those that were kept; call before anything is compiled.

    A folder that JAX was already given (`JAX_COMPILATION_CACHE_DIR`) stays. Where ours cannot be written, one line on
    stderr says so, and nothing is kept. The folder is made with the first program. Those that compile within a second
    are not worth it (JAX's own threshold).

    Args:
      wanted: False: neither keep nor take, wherever it would be.
    """
    if not wanted:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    try:
        path = folder()
        _check_writable(path)
        trim(path.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        print(f"maxent-jax: compiled programs are not kept: {error}", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(path))


def folder() -> Path:
    """Where programs for this machine and this jaxlib are kept, below the user's cache folder.

    A program compiled for one processor must not run on another, and a home may be shared between machines.
    """
    model, features = processor()
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "processor"
    short = hashlib.sha256(f"{model} {features}".encode()).hexdigest()[:8]
    return _user_cache() / "maxent-jax" / f"{name}-{short}-jaxlib-{metadata.version('jaxlib')}"


def processor() -> tuple[str, str]:
    """The processor's model, and the instructions that it knows where the system tells (virtual models lie)."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""

    def first(*names: str) -> str:
        found = re.search(rf"^(?:{'|'.join(names)})\s*: (.*)$", text, re.MULTILINE)
        return found.group(1).strip() if found else ""

    model = first("model name") or platform.processor() or platform.machine()
    return model, first("flags", "Features")


def trim(root: Path, most: int = MOST_BYTES) -> None:
    """Delete the oldest programs below a folder until at most so many bytes are left."""
    aged = sorted((file.stat().st_mtime, file) for file in root.rglob("*-cache"))
    kept = 0
    for _, file in reversed(aged):
        kept += file.stat().st_size
        if kept > most:
            file.unlink(missing_ok=True)  # another process may trim, too


def _user_cache() -> Path:
    """The folder that the system wants caches in."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ".cache"


def _check_writable(path: Path) -> None:
    """Raise an OSError unless the folder can be made or written."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise OSError(f"{str(nearest)!r} cannot be written")
