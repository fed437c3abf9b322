import json

import numpy as np
import pytest

import envs
from benchmarks import yardsticks as command
from envs import fields
from experiments import control, yardsticks
from experiments.controllers import Constant, Random, returns

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_every_control_task_has_one():
    assert set(control.TASKS) <= set(yardsticks.KNOWING) <= set(envs.names())


@pytest.mark.parametrize("task", yardsticks.KNOWING)
def test_record_is_of_todays_task_and_settings(task):
    measured = yardsticks.record()[task]
    assert measured["env_fields"] == json.loads(json.dumps(fields.plain_values(envs.make(task))))
    assert measured["seeds"] == list(yardsticks.SEEDS)
    today = {name: yardsticks.settings(controller) for name, controller in yardsticks.controllers(task).items()}
    assert {name: row["controller"] for name, row in measured["rows"].items()} == today
    for row in measured["rows"].values():
        assert len(row["per_seed"]) == 20
        assert row["low"] - 1e-3 <= row["mean"] <= row["high"] + 1e-3
        assert row["mean"] == pytest.approx(np.mean(row["per_seed"]))


@pytest.mark.parametrize("task", yardsticks.KNOWING)
def test_knowing_beats_seeing_nothing(task):
    rows = yardsticks.recorded(task)
    best = next(iter(rows))
    assert rows[best]["low"] > max(rows[name]["high"] for name in yardsticks.BLIND)


def test_the_vehicle_left_alone_is_where_the_exact_dynamics_lead():
    rows = yardsticks.recorded("vehicle")
    np.testing.assert_allclose(rows["zero action"]["per_seed"], -77_400, atol=100)  # nothing in it is random
    assert rows["random actions"]["mean"] == pytest.approx(-78_600, abs=3 * 14_000 / np.sqrt(20))
    assert 8_000 < rows["random actions"]["std"] < 20_000


def test_record_can_be_repeated():
    rows, env = yardsticks.recorded("pendulum"), envs.make("pendulum")
    for name, controller in (("zero action", Constant()), ("random actions", Random())):
        np.testing.assert_allclose(returns(controller, env, yardsticks.SEEDS), rows[name]["per_seed"], rtol=1e-3)


def test_command_writes_the_tasks_that_it_is_given(tmp_path, monkeypatch, capsys):
    place = tmp_path / "yardsticks.json"
    place.write_text(json.dumps({"vehicle": {"rows": {}}}))
    monkeypatch.setattr(yardsticks, "PLACES", (place,))
    monkeypatch.setattr(yardsticks, "KNOWING", {"vehicle": {}, "pendulum": {"hold": Constant(action=0.5)}})
    assert command.main(["pendulum"]) == 0
    assert "hold" in capsys.readouterr().out
    assert list(yardsticks.record()) == ["vehicle", "pendulum"]
    assert list(yardsticks.lines("pendulum")) == ["hold", "zero action", "random actions"]


def test_an_unknown_task_is_one_line_and_nothing_is_measured(capsys):
    assert command.main(["pendulum", "acrobt"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "yardstick 'acrobt' is unknown; did you mean 'acrobot'?" in said.err
    assert said.out == ""
