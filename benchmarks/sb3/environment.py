"""The environment that Stable-Baselines3 and torch live in, apart from JAX; they are spoken to through files."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
REQUIREMENTS = SCRIPTS / "requirements.txt"


def build(venv: Path) -> Path:
    """Make the environment unless it is there with these very requirements.

    Args:
      venv: its folder.

    Returns:
      Its Python.
    """
    python, stamp = venv / "bin" / "python", venv / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted)
    return python


def start(python: Path, script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start one of the scripts with a single thread and the lowest priority."""
    variables = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = ["nice", "-n", "19", str(python), str(SCRIPTS / script), *arguments]
    return subprocess.Popen(command, env=variables)


def run(python: Path, script: str, *arguments: str) -> None:
    """Run one of the scripts to its end.

    Raises:
      RuntimeError: it failed; its own words are on stderr.
    """
    if code := start(python, script, *arguments).wait():
        raise RuntimeError(f"{script} ended with {code}")
