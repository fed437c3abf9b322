import dataclasses
import io
import json

import numpy as np
import pytest
import untrained
from rich.console import Console

from experiments import agreeing, captions, contestants, control, outcome, published, registry, vehicle, yardsticks
from maxent_jax import cli, tables

ROWS = {
    "planner": {"mean": 2.0, "low": 1.0, "high": 3.0, "std": 0.5, "per_seed": [1.0, 3.0]},
    "zero action": {"mean": -4.0, "low": -5.0, "high": -3.0, "std": 0.5, "per_seed": [-5.0, -3.0]},
}
AGREED = {"agreement_with_exact_comparison": 0.9, "agreement_of_exact_with_itself": 0.95}


def test_table_holds_agents_and_yardsticks():
    result = untrained.result("sac_adaent", values=((-9.0, -2.0), (-9.0, -4.0)))
    agent, planner, zero = outcome.table(tables.entries([result]), ROWS)
    assert agent["agent"] == "sac_adaent (alpha 1.0, tau 0.5)"
    assert agent["deterministic"]["mean"] == -3.0
    assert (agent["steps"], agent["better_than_sac"], planner["minutes"]) == (10, None, None)
    assert agent["deterministic"]["per_seed"] == [-2.0, -4.0]
    assert (planner["agent"], zero["agent"]) == ("planner", "zero action")
    assert planner["deterministic"] == {"mean": 2.0, "low": 1.0, "high": 3.0, "std": 0.5}
    json.dumps([agent, planner, zero], allow_nan=False)


def test_table_says_how_probably_an_agent_beats_sac():
    sac = untrained.result("sac", values=((0.0, 1.0), (0.0, 3.0)))
    other = untrained.result("ppo", values=((0.0, 2.0), (0.0, 4.0)))
    better = outcome.table(tables.entries([sac, other]), {})[1]["better_than_sac"]
    assert better["value"] == 0.75  # of four pairs three
    assert better["low"] < 0.75 < better["high"]


def test_who_made_more_steps_is_compared_where_sac_ends():
    sac = untrained.result("sac", values=((0.0, 3.0), (0.0, 5.0)))
    other = untrained.result("ppo", values=((0.0, 2.0, 9.0), (0.0, 4.0, 9.0)))
    better = outcome.table(tables.entries([sac, other]), {})[1]["better_than_sac"]
    assert better["value"] == 0.25  # 2 and 4 against 3 and 5


@pytest.fixture
def trained(monkeypatch):
    """What `contestants.train` was asked for; nothing is trained."""
    calls = []

    def train(agent, env, **options):
        calls.append((agent, env, options["steps"], dict(options["agent_fields"])))
        assert options["resume"]
        return untrained.result(agent, "obstacle2d")

    monkeypatch.setattr(contestants.api, "train", train)
    monkeypatch.setattr(yardsticks, "recorded", lambda task: ROWS)
    monkeypatch.setattr(agreeing, "of_configuration", lambda result, index: AGREED)
    return calls


def test_quick_trains_three_agents_and_draws_them_beside_the_yardsticks(tmp_path, trained):
    control.run("obstacle2d", tmp_path, "quick", None)
    assert [(agent, env) for agent, env, *_ in trained] == [
        (name, "obstacle2d") for name in ("sac", "sac_adaent", "ppo")
    ]
    assert trained[1][3] == published.FAST
    assert (tmp_path / "figures" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    names = [row["agent"].partition(" (")[0] for row in outcome["rows"]]
    assert names == ["sac", "sac_adaent", "ppo", "planner", "zero action"]
    assert outcome["rows"][1].items() >= AGREED.items()
    assert "sac_adaent: 20 steps, nets 8, batch 8, n_samples 4, exact comparison" in outcome["budget"]
    assert [each["about"] for each in outcome["verdicts"]] == ["sac on obstacle2d"]


def test_cpu_trains_entropy_in_every_amount_and_agents_without(tmp_path, trained):
    control.run("obstacle2d", tmp_path, "cpu", None)
    assert [agent for agent, *_ in trained] == ["sac", "sac", "sac", "sac_adaent", "ppo", "td3", "ddpg", "sql"]
    assert [fields for *_, fields in trained][:3] == [{}, {"auto_alpha": True}, {"alpha": 0.0}]
    assert {steps for _, _, steps, _ in trained} == {50_000}  # all that is published, and less than elsewhere
    control.run("vehicle", tmp_path, "cpu", None)
    assert {(agent == "ppo", steps) for agent, _, steps, _ in trained[8:]} == {(True, 500_000), (False, 120_000)}


def test_an_agent_of_which_every_seed_failed_is_told_and_does_not_stop_the_rest(tmp_path, monkeypatch, trained):
    def train(agent, env, **options):
        sound = untrained.result(agent, "vehicle")
        lost = {info.run: {"step": 10, "cause": "loss"} for info in sound.runs}
        return dataclasses.replace(sound, failed=lost) if agent == "ddpg" else sound

    monkeypatch.setattr(contestants.api, "train", train)
    monkeypatch.setattr(vehicle, "drive", lambda *_: np.zeros((3, 2)))
    console = Console(file=io.StringIO(), width=200)
    vehicle.run(tmp_path, "cpu", console)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"curves.png", "paths.png"}
    row = json.loads((tmp_path / "outcome.json").read_text())["rows"][6]
    assert (row["agent"].partition(" ")[0], row["better_than_sac"]["value"]) == ("ddpg", None)
    assert "undefined" in console.file.getvalue()


def test_the_caption_has_budget_nets_the_best_verdicts_and_limits():
    sac = untrained.result("sac", "obstacle2d", values=((0.0, 1.0), (0.0, 3.0)))
    other = untrained.result("ppo", "obstacle2d", values=((0.0, 2.0), (0.0, 4.0)))
    words = captions.comparison("cpu", [sac, other], outcome.table(tables.entries([sac, other]), ROWS))
    for part in (
        "sac: 10 steps, nets 8,",
        "Highest final interquartile mean: ppo",
        "3 [",
        "after 10 steps",
        "sac on obstacle2d: no",
    ):
        assert part in words
    assert "0.04 to 0.064 % of the published steps" in words  # 20 of 50,000; of PPO one rollout of 32


@pytest.fixture
def ran(tmp_path, monkeypatch):
    calls = []
    tasks = {task: lambda path, preset, console, task=task: calls.append((task, preset)) for task in ("hill", "pond")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "BY_TASK", {"control": tasks})
    return calls


def test_each_task_has_a_folder(ran):
    paths = registry.reproduce("control", preset="quick")
    assert [str(path) for path in paths] == ["reproduced/control-hill-quick", "reproduced/control-pond-quick"]
    assert ran == [("hill", "quick"), ("pond", "quick")]


def test_env_picks_one(ran):
    assert cli.main(["reproduce", "control", "--preset", "quick", "--env", "pond", "--out", "mine"]) == 0
    assert ran == [("pond", "quick")]
    registry.reproduce("control", preset="quick", env="hill")
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
