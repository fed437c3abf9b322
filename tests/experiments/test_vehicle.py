import json

import numpy as np
import pytest
import untrained

import envs
from experiments import vehicle

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def lines(quick_compile):
    return vehicle.yardsticks(envs.make("vehicle"))


def test_yardsticks_are_those_of_the_exact_dynamics(lines):
    zero, random = lines["zero action"], lines["random actions"]
    assert len(zero) == len(random) == vehicle.YARDSTICK_EPISODES
    np.testing.assert_allclose(zero, -77_400, atol=100)  # nothing in it is random
    assert np.mean(random) == pytest.approx(-78_600, abs=3 * 14_000 / np.sqrt(len(random)))
    assert 10_000 < np.std(random) < 18_000


def test_table_holds_agents_and_yardsticks(lines):
    result = untrained.result("sac_adaent", values=((-9.0, -2.0), (-9.0, -4.0)))
    agent, zero, random = vehicle.table([result], lines)
    assert agent["agent"] == "sac_adaent"
    assert agent["deterministic"]["mean"] == -3.0
    assert agent["deterministic"]["per_seed"] == [-2.0, -4.0]
    assert (zero["agent"], random["agent"]) == ("zero action", "random actions")
    assert zero["deterministic"]["mean"] == pytest.approx(np.mean(lines["zero action"]))
    assert random["deterministic"]["std"] == pytest.approx(np.std(lines["random actions"]))
    json.dumps([agent, zero, random], allow_nan=False)
