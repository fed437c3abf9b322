"""The experiments themselves, compiled as users compile them."""

import json

import pytest

from experiments import registry

pytestmark = pytest.mark.slow


def test_toy_misleads_sac_and_adaent_repairs_it(tmp_path):
    (path,) = registry.reproduce("toy", preset="quick", out=tmp_path / "toy")
    rows = {row["agent"]: row for row in json.loads((path / "outcome.json").read_text())["rows"]}
    assert rows["sac (alpha 1.0)"]["at_minus_1"] == 8
    assert rows["sac (alpha 0.2)"]["at_plus_1"] == 8
    assert rows["sac_adaent (n_samples 16)"]["at_plus_1"] == 8
    assert {figure.name for figure in (path / "figures").iterdir()} == {"toy.png", "curves.png"}


def test_vehicle_has_all_agents_beside_planner_zero_and_random_actions(tmp_path):
    (path,) = registry.reproduce("vehicle", preset="quick", out=tmp_path / "vehicle")
    rows = json.loads((path / "outcome.json").read_text())["rows"]
    names = [row["agent"] for row in rows]
    assert names[1].startswith("sac_adaent (comparison fast")
    assert [*names[:1], *names[2:]] == ["sac", "ppo", "planner", "zero action", "random actions"]
    assert all(len(row["deterministic"]["per_seed"]) >= 3 for row in rows[:3])
    assert {figure.name for figure in (path / "figures").iterdir()} >= {"curves.png", "paths.png"}
