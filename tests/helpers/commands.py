"""The command line, here and in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import compilations

import maxent_jax
from maxent_jax import cli


def run(line):
    """What the command line returns."""
    return cli.main(line.split())


def refuse(line, capsys, expected):
    """Run a command that must be refused before anything is compiled or written, and compare its last line."""
    before = sorted(os.walk("."))
    with compilations.heard() as compiled:
        assert run(line) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    expected = "maxent-jax: " + expected.replace("{cwd}", f"'{os.getcwd()}")
    if expected.endswith("..."):
        assert last[: len(expected) - 3] == expected[:-3]
    else:
        assert last == expected
    assert "Traceback" not in err
    assert out == ""
    assert compiled == []
    assert sorted(os.walk(".")) == before


def start(words, folder, **options):
    """Begin `maxent-jax WORDS` in a folder outside the checkout."""
    env = os.environ | {"PYTHONPATH": str(Path(maxent_jax.__file__).parents[1])}
    command = [sys.executable, "-m", "maxent_jax.cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=env, **pipes | options)
