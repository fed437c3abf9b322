import jax
import numpy as np
import untrained

from experiments import agreeing


def test_share_is_that_of_equal_verdicts_and_other_agents_are_left_out():
    result = untrained.result("sac_adaent", "toy")
    found = agreeing.of_runs([untrained.result("sac", "toy"), result])
    assert list(found) == ["nowhere"]
    assert 0 <= found["nowhere"] <= 1


def test_a_threshold_that_nothing_can_miss_agrees_everywhere():
    result = untrained.result("sac_adaent", "toy")
    agent = result.agents[0].replace(threshold=np.float32(-1.0))
    obs = np.eye(6, dtype=np.float32)
    assert agreeing.verdicts(agent, result.agent_state(0), obs, jax.random.key(0)).all()
