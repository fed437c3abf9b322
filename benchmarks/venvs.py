"""Virtual environments for what is compared with us: each has its own pinned versions, nothing of them is ours."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def build(requirements: Path, venv: Path) -> Path:
    """Make an environment unless it is there with these very requirements.

    Args:
      requirements: what is installed, one exact version a line.
      venv: its folder.

    Returns:
      Its Python.

    Raises:
      RuntimeError: it could not be made; says why in one line.
    """
    python, stamp = venv / "bin" / "python", venv / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        install = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--requirement", str(requirements))
        for command in ([sys.executable, "-m", "venv", str(venv)], [str(python), *install]):
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise RuntimeError(last_error(done.stderr))
        stamp.write_text(wanted)
    return python


def last_error(text: str) -> str:
    """The last line that calls itself an error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "no message")


def variables(threads: int) -> Mapping[str, str]:
    """The process's variables, with a bound for the threads of torch and its like."""
    count = str(threads)
    bounds = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    return os.environ | bounds
