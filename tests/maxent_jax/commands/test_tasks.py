import json
import re

import commands
import pytest
from rich.console import Console

import envs
from envs import fields
from maxent_jax import cards, cli
from maxent_jax.commands import common

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_envs_lists_tasks_and_fields(capsys):
    assert commands.run("envs") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in envs.names())


@pytest.mark.parametrize("name", ["vehicle", "brax:fast"])
def test_card_shows_every_number_and_field(name, capsys):
    assert commands.run(f"envs {name}") == 0
    out = " ".join(capsys.readouterr().out.split())
    env = envs.make(name)
    assert all(meaning.split()[0] in out for meaning in (*env.observes, *env.acts))
    assert all(field in out for field in fields.plain_values(env))
    assert "eward" in out
    assert "Source: " in out


def test_card_gives_bounds_formula_and_picture(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "STILLS", tmp_path)
    (tmp_path / "vehicle.png").touch()
    monkeypatch.setattr(common, "CONSOLE", Console(width=200))
    assert commands.run("envs vehicle") == 0
    out = capsys.readouterr().out
    assert "-path_weight |x^2 + y^2 - path_radius^2| - distance_weight" in out
    assert re.search(r"1 +│ steering angle, rad +│ -1 +│ 1 ", out)
    assert f"A picture: {tmp_path / 'vehicle.png'}" in out
    assert commands.run("envs toy") == 0
    assert "A picture" not in capsys.readouterr().out


@pytest.mark.parametrize("name", envs.names())
def test_every_task_says_what_it_is_what_it_pays_and_where_it_comes_from(name):
    text = envs.task(name).__doc__
    assert cards.about(envs.task(name)).endswith((".", ":"))
    assert "reward" in text
    assert cards.source(envs.task(name))


def test_still_of_a_task(here, capsys):
    assert commands.run("envs vehicle --still still.png") == 0
    assert (here / "still.png").read_bytes()[:4] == b"\x89PNG"
    commands.refuse(
        "envs vehicle --still nowhere/still.png", capsys, "out = 'nowhere/still.png': must be a .png in an ..."
    )
    commands.refuse("envs --still still.png", capsys, "TASK is missing; must be ...")


def test_theory_tells_what_entropy_costs_and_draws_it(tmp_path, capsys):
    folder = tmp_path / "new"
    assert cli.main(["theory", "toy", "--alpha", "0.5:1:2", "--gamma", "1", "--out", str(folder)]) == 0
    assert "{good} or {bad}" in capsys.readouterr().out
    found = json.loads((folder / "toy.json").read_text())
    assert [row["regret"] for row in found["alphas"]] == pytest.approx([0, 2])
    assert found["worst_alpha"] == 1
    assert found["ideal_switch"]["sets"] == [["good"], ["bad"]]
    assert (folder / "toy.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("theory", "TASK is missing; must be one of toy, bandit_chain, pendulum"),
        ("theory vehicle", "grid of TASK 'vehicle' is unknown; allowed: toy, bandit_chain, pendulum"),
        (
            "theory pendulm",
            "grid of TASK 'pendulm' is unknown; did you mean 'pendulum'? allowed: toy, bandit_chain, pendulum",
        ),
        ("theory toy --alpha 0:1:5", "alpha = '0:1:5': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha 1:2", "alpha = '1:2': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha 1:2:1", "alpha = '1:2:1': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha nan", "alpha = 'nan': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha 1e308", "alpha = '1e308': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --bins 99", "bins = 99: must be a whole number in [3, 41]"),
        ("theory toy --env.action_delay 2", "env.action_delay = 2: must be 0"),
    ],
)
def test_theory_refuses_what_it_cannot_solve(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"maxent-jax: {said}")
    assert not list(tmp_path.iterdir())


def test_theory_refuses_in_one_line_what_only_the_solution_shows(tmp_path, capsys):
    out = tmp_path / "a" / "b"
    words = ["theory", "pendulum", "--bins", "3", "--alpha", "1", "--out", str(out), "--gamma", "1"]
    assert cli.main(words) == 2
    assert not list(tmp_path.iterdir())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("maxent-jax: gamma = 1.0: pendulum cannot be solved exactly with it; discount: ")


def test_theory_asks_where_to_write_before_it_solves(tmp_path, monkeypatch, capsys):
    (tmp_path / "toy.json").mkdir()
    monkeypatch.setattr("experiments.misleading.Found", None)
    assert cli.main(["theory", "toy", "--out", str(tmp_path)]) == 2
    assert "toy.json': must be a .json in an existing folder" in capsys.readouterr().err
