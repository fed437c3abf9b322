import json
import shutil

import commands
import made_runs
import numpy as np
import pytest

from maxent_jax.result import load

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick_compile):
    """Where a sweep of two programs, three seeds each, would have left its run directory; its agents never learned."""
    folder = tmp_path_factory.mktemp("reading")
    path = folder / "runs" / "sac-toy-1"
    made_runs.with_agents(made_runs.make(path, np.zeros((6, 3)), grid={"hidden": [(8,), (4,)]}))
    return folder


def test_landscape_draws_any_run(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert commands.run("landscape runs/sac-toy-1 --run 4 --out drawn.png --updates 5 --episodes 2 --states 1") == 0
    said = capsys.readouterr().out
    assert "auc where choices differ" in said
    assert said.endswith("drawn.png\ndrawn.json\n")
    assert (folder / "drawn.png").read_bytes()[:4] == b"\x89PNG"
    found = json.loads((folder / "drawn.json").read_text())
    assert (found["run"], found["seed"], found["landscapes"]) == (4, 1, ["soft", "plain"])
    assert found["learned_beside"]["updates"] == 5
    assert found["states"]["time"] == [0, 1]  # the toy problem has two, and always begins alike
    assert found["scores"]["near"]["draws"]["discounted"]["states"] == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--run 6", "run = 6: must be one of 0 to 5"),
        ("--run -1", "run = -1: must be a whole number >= 0, or none"),
        ("--run x", "run = 'x': must be a whole number >= 0, or none"),
        ("--seed 1", "seed = 1: belongs to several runs; must be one run = 1, 4"),
        ("--seed 9", "seed = 9: must be one of 0, 1, 2"),
        ("--run 0 --seed 1", "seed = 1: must be left out beside run = 0"),
        ("--dims 1", "dimension 1 of dims '1' is unknown; allowed: 0"),
        ("--dims 0,0", "dims = '0,0': must be one dimension (a line) or two different ones (a heat map)"),
        ("--dims x", "dims = 'x': must be whole numbers separated by commas, each >= 0, or none"),
        ("--states 0", "states = 0: must be a whole number in [1, 20]"),
        ("--out nowhere/x.png", "out = 'nowhere/x.png': must be a .png in an existing folder that can be written"),
        ("--out x.doc", "out = 'x.doc': must be a .png in an existing folder that can be written"),
    ],
)
def test_landscape_refuses(line, expected, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    commands.refuse(f"landscape runs/sac-toy-1 {line}", capsys, expected)


def test_landscape_goes_to_the_run_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    figure = folder / "runs" / "sac-toy-1" / "figures" / "landscape.png"
    shutil.rmtree(figure.parent)  # a run that was killed has none
    assert commands.run("landscape runs/sac-toy-1 --run 4 --updates 5 --episodes 2 --states 1") == 0
    assert figure.is_file()


def test_landscape_of_a_run_that_never_began(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "runs" / "sac-toy-1", "run", ignore=shutil.ignore_patterns("program_1", "state_*"))
    assert load("run").agent_state(0) is not None
    commands.refuse("landscape run --run 3", capsys, "run directory 'run': has no program_1; it must have been trained")


def test_film_shows_a_run_or_two(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert commands.run("film runs/sac-toy-1 --run 4 --beside runs/sac-toy-1 --out film.gif") == 0
    assert capsys.readouterr().out.strip() == "film.gif"
    assert (folder / "film.gif").read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--run 6", "run = 6: must be one of 0 to 5"),
        ("--beside nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
        ("--out x.png", "out = 'x.png': must be a .mp4 or .gif in an existing folder that can be written"),
    ],
)
def test_film_refuses(line, expected, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    commands.refuse(f"film runs/sac-toy-1 {line}", capsys, expected)
