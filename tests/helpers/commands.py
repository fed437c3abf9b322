"""The command line in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import maxent_jax


def start(words, folder, **options):
    """Begin `maxent-jax WORDS` in a folder outside the checkout."""
    env = os.environ | {"PYTHONPATH": str(Path(maxent_jax.__file__).parents[1])}
    command = [sys.executable, "-m", "maxent_jax.cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=env, **pipes | options)
