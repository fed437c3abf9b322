"""The committed comparison with torch and Stable-Baselines3: complete, made with today's settings, and in agreement."""

import json

import pytest

from benchmarks import agreement
from benchmarks.sb3 import returns, updates
from envs import fields


@pytest.fixture(scope="module")
def result():
    return json.loads(agreement.RESULT.read_text())


def test_every_case_was_compared_with_every_peer(result):
    wanted = {(name, bits, "torch") for name in updates.CASES for bits in updates.TOLERANCE}
    wanted |= {(name, "float32", "sb3") for name, case in updates.CASES.items() if case.sb3}
    assert {(entry["case"], entry["precision"], entry["peer"]) for entry in result["updates"]} == wanted


def test_every_update_agrees(result):
    for entry in result["updates"]:
        assert max(entry["parameters"].values()) <= updates.TOLERANCE[entry["precision"]], entry["case"]
        assert max(entry["moved"].values()) > 10 * updates.TOLERANCE[entry["precision"]], entry["case"]
        assert entry["held"], entry["case"]


@pytest.mark.parametrize("name", returns.SETTINGS)
def test_final_returns_agree(result, name):
    entry, setting = result["returns"][name], returns.SETTINGS[name]
    assert entry["settings"]["ours"] == json.loads(json.dumps(fields.plain_values(setting.agent)))
    assert entry["settings"]["sb3"] == json.loads(json.dumps(returns.their_settings(setting)))
    assert entry["env_steps"]["ours"] == entry["env_steps"]["sb3"]
    assert len(entry["ours"]["returns"]) == len(entry["sb3"]["returns"]) == len(entry["seeds"]) >= 10
    gap = returns.difference(entry["ours"]["returns"], entry["sb3"]["returns"])
    assert gap["welch"] == pytest.approx(entry["difference"]["welch"], abs=0.01)
    best = max(entry[side]["mean"] for side in ("ours", "sb3"))
    allowed = setting.share * (best - entry["random_return"])
    assert max(abs(end) for interval in ("welch", "bootstrap") for end in gap[interval]) <= allowed


def test_everything_agrees(result):
    assert result["held"]
    assert all(criterion["held"] for criterion in result["criteria"])
