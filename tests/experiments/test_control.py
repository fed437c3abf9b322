import json

import pytest
import untrained

import experiments
from experiments import control, registry, yardsticks
from maxent_jax import cli

ROWS = {
    "planner": {"mean": 2.0, "low": 1.0, "high": 3.0, "std": 0.5, "per_seed": [1.0, 3.0]},
    "zero action": {"mean": -4.0, "low": -5.0, "high": -3.0, "std": 0.5, "per_seed": [-5.0, -3.0]},
}


def test_table_holds_agents_and_yardsticks():
    result = untrained.result("sac_adaent", values=((-9.0, -2.0), (-9.0, -4.0)))
    agent, planner, zero = control.table([result], ROWS)
    assert agent["agent"] == "sac_adaent"
    assert agent["deterministic"]["mean"] == -3.0
    assert agent["deterministic"]["per_seed"] == [-2.0, -4.0]
    assert (planner["agent"], zero["agent"]) == ("planner", "zero action")
    assert planner["deterministic"] == {"mean": 2.0, "low": 1.0, "high": 3.0, "std": 0.5}
    json.dumps([agent, planner, zero], allow_nan=False)


def test_run_trains_all_agents_and_draws_them_beside_the_yardsticks(tmp_path, monkeypatch):
    trained, drawn = [], {}

    def train(agent, env, **options):
        trained.append((agent, env, options["seeds"], options["preset"]))
        return untrained.result(agent, "obstacle2d")

    monkeypatch.setattr(control.api, "train", train)
    monkeypatch.setattr(yardsticks, "recorded", lambda task: ROWS)
    curves = control.plots.curves
    monkeypatch.setattr(
        control.plots, "curves", lambda *args, **options: (drawn.update(options), curves(*args, **options))
    )
    control.run("obstacle2d", tmp_path, "quick", None)
    assert trained == [(agent, "obstacle2d", 3, "quick") for agent in ("sac", "sac_adaent", "ppo")]
    assert drawn["lines"] == {"planner": 2.0, "zero action": -4.0}
    assert "sac_adaent: 20 steps, batch 8, n_samples 4" in drawn["caption"]
    assert "Below the published 50 k steps" in drawn["caption"]
    assert (tmp_path / "figures" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    rows = json.loads((tmp_path / "outcome.json").read_text())["rows"]
    assert [row["agent"] for row in rows] == ["sac", "sac_adaent", "ppo", "planner", "zero action"]


@pytest.fixture
def ran(tmp_path, monkeypatch):
    calls = []
    tasks = {task: lambda path, preset, console, task=task: calls.append((task, preset)) for task in ("hill", "pond")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "BY_TASK", {"control": tasks})
    return calls


def test_each_task_has_a_folder(ran):
    paths = experiments.reproduce("control", preset="quick")
    assert [str(path) for path in paths] == ["reproduced/control-hill-quick", "reproduced/control-pond-quick"]
    assert ran == [("hill", "quick"), ("pond", "quick")]


def test_env_picks_one(ran):
    assert cli.main(["reproduce", "control", "--preset", "quick", "--env", "pond", "--out", "mine"]) == 0
    assert ran == [("pond", "quick")]
    experiments.reproduce("control", preset="quick", env="hill")
    assert ran[1:] == [("hill", "quick")]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("control --env pnod", "env 'pnod' is unknown; did you mean 'pond'? allowed: hill, pond"),
        ("toy --env toy", "env = 'toy': toy has no choice of tasks; must be left out"),
    ],
)
def test_a_task_that_cannot_be_picked(words, line, ran, capsys, tmp_path):
    assert cli.main(["reproduce", *words.split()]) == 2
    assert line in capsys.readouterr().err
    assert ran == []
    assert list(tmp_path.iterdir()) == []
