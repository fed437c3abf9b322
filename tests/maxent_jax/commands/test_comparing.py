"""Bad input to the commands that read several runs: a last line that names it, and nothing written."""

import json
import os
import resource
import shutil

import made_runs
import pytest

from maxent_jax import cli

RETURNS = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
MISTAKES = [
    ("report", "RUN_DIR is missing; must be text: a folder that train or sweep made..."),
    ("report nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
    ("report one nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
    ("report empty", "run directory 'empty': has no config.json; must hold a run"),
    ("report new", "run directory 'new': has no evaluation yet; must hold at least one"),
    ("report one one", "run directory 'one': is given twice; must be given once"),
    ("report one other/../one", "run directory 'one': is given twice; must be given once"),
    ("report one --out page.txt", "out = 'page.txt': must be a .html in an existing folder that can be written"),
    ("report one --out no/page.html", "out = 'no/page.html': must be a .html in an existing folder ..."),
    ("report one --csv table.html", "csv = 'table.html': must be a .csv in an existing folder that can be written"),
    ("report one --ouut x.html", "option --ouut is unknown; did you mean '--out'? allowed: --out, --csv"),
    ("compare", "RUN_A is missing; must be text: a folder that train or sweep made..."),
    ("compare one", "RUN_B is missing; must be text: another one, on the same task; ..."),
    ("compare one nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
    ("compare one pendulum", "run directory 'pendulum': env = 'pendulum': must be 'toy', as in 'one'"),
    ("compare one one", "run directory 'one': is the same one; must be another"),
    ("compare one other new", "'new' is one word too many; allowed: RUN_A and RUN_B and options"),
    ("evaluate", "RUN_DIR is missing; must be text: a folder that train or sweep made..."),
    ("evaluate nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
    ("evaluate one --episodes 0", "episodes = 0: must be a whole number in [1, 100000]"),
    ("evaluate one --env.masss 2", "field env.masss is unknown; allowed: horizon, ..."),
    ("evaluate pendulum --env.mass 0", "env.mass = 0.0: must be a number > 0"),
    ("evaluate pendulum --env.mass", "--env.mass has no value; must be a number > 0"),
    (
        "evaluate pendulum --env.observe_time true",
        "env.observe_time = True: observation_size would be 4; must ...",
    ),
    ("evaluate one --out found.txt", "out = 'found.txt': must be a .json in an existing folder that can be written"),
    ("evaluate one --out one/config.json", "out = 'one/config.json': is a part of that run directory; must ..."),
    ("evaluate one --out one/summary.json", "out = 'one/summary.json': is a part of that run directory; must ..."),
    ("landscape one --out one/config.png", "out = 'one/config.json': is a part of that run directory; must ..."),
    ("evaluate one", "run directory 'one': has no program_0; it must have been trained"),
]
DAMAGE = [
    ("report torn", "run directory 'torn': cannot be read (..."),
    ("compare one torn", "run directory 'torn': cannot be read (..."),
    ("evaluate torn", "run directory 'torn': cannot be read (..."),
    ("report one future", "run directory 'future': cannot be read (schema = 99; must be 1)"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made_runs.make(folder / "one", RETURNS)
    made_runs.make(folder / "other", RETURNS, alpha=0.0)
    made_runs.with_agents(made_runs.make(folder / "pendulum", RETURNS, env="pendulum"))
    (folder / "empty").mkdir()
    for name in ("torn", "new", "future"):
        shutil.copytree(folder / "one", folder / name)
    metrics = folder / "torn" / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-20])
    (folder / "new" / "metrics.jsonl").write_text("")
    config = json.loads((folder / "one" / "config.json").read_text())
    (folder / "future" / "config.json").write_text(json.dumps(config | {"schema": 99}))
    return folder


@pytest.mark.parametrize(
    ("code", "line", "expected"), [*((2, *each) for each in MISTAKES), *((1, *each) for each in DAMAGE)]
)
def test_bad_input_is_one_line_and_nothing_happens(code, line, expected, made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    before = sorted(os.walk("."))
    assert cli.main(line.split()) == code
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1].removeprefix("maxent-jax: ")
    assert last.startswith(expected[:-3]) if expected.endswith("...") else last == expected
    assert out == ""
    assert sorted(os.walk(".")) == before


def test_a_full_disk_is_one_line_that_names_the_file(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        code = cli.main(["report", str(made / "one"), "--out", "page.html"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert capsys.readouterr().err == "maxent-jax: page.html: File too large\n"
    assert os.listdir() == []


@pytest.mark.parametrize("command", ["report", "compare", "evaluate"])
def test_help_tells_what_it_takes(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert "RUN_" in capsys.readouterr().out


def test_help_of_evaluate_shows_the_fields_of_the_runs_task(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    assert cli.main(["evaluate", "pendulum", "--help"]) == 0
    assert "--env.gravity" in capsys.readouterr().out
