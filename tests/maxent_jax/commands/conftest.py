"""A run directory, as the command line makes it."""

import os

import pytest
import tiny
from rich.console import Console

from maxent_jax import cli
from maxent_jax.commands import common


@pytest.fixture(scope="module")
def trained(tmp_path_factory, quick_compile):
    """A run directory made by the command line, and what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    old = os.getcwd()
    os.chdir(folder)
    console = Console(file=open("printed", "w"), width=80)  # noqa: SIM115 - closed below
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(common, "CONSOLE", console)
    try:
        line = "sweep sac --env toy --seeds 3 --steps 64 --evaluations 2 --grid hidden=8;4"
        assert cli.main([*line.split(), *tiny.flags({"batch_size": 8, "buffer_size": 64})]) == 0
    finally:
        console.file.close()
        os.chdir(old)
        monkeypatch.undo()
    return folder, (folder / "printed").read_text()
