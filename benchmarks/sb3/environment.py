"""The environment that Stable-Baselines3 and torch live in, apart from JAX; they are spoken to through files."""

import subprocess
from pathlib import Path

from benchmarks import venvs

SCRIPTS = Path(__file__).parent / "scripts"
REQUIREMENTS = SCRIPTS / "requirements.txt"


def build(venv: Path) -> Path:
    """Make the environment unless it is there with these very requirements; returns its Python."""
    return venvs.build(REQUIREMENTS, venv)


def start(python: Path, script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start one of the scripts with a single thread and the lowest priority."""
    command = ["nice", "-n", "19", str(python), str(SCRIPTS / script), *arguments]
    return subprocess.Popen(command, env=venvs.variables(threads=1))


def run(python: Path, script: str, *arguments: str) -> None:
    """Run one of the scripts to its end.

    Raises:
      RuntimeError: it failed; its own words are on stderr.
    """
    if code := start(python, script, *arguments).wait():
        raise RuntimeError(f"{script} ended with {code}")
