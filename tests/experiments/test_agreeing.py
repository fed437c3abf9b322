import jax
import numpy as np
import pytest
import untrained

from experiments import agreeing

pytestmark = pytest.mark.usefixtures("quick_compile")


def fast():
    """Two seeds of SAC-AdaEnt that never learned, comparing fast."""
    result = untrained.result("sac_adaent", "toy")
    object.__setattr__(result, "agents", (result.agents[0].replace(comparison="fast"),))
    return result


def test_shares_are_those_of_equal_decisions():
    compared = agreeing.Compared(*map(np.array, ([0.1, 0.9, 0.2, 0.9], [0.1, 0.2, 0.3, 0.9], [0.2, 0.3, 0.4, 0.1])))
    found = agreeing.shares([compared.alike(0.5)[:, :2], compared.alike(0.5)[:, 2:]])
    assert found == dict(zip(agreeing.NAMES, (0.75, 0.75), strict=True))
    assert agreeing.told(found) == "75.0% (75.0%)"
    assert agreeing.told(agreeing.shares([])) == ""


def test_the_exact_comparison_is_asked_twice_and_the_first_time_with_the_key_of_the_fast_one(monkeypatch):
    def similarity(agent, state, obs, key):
        return np.array([agent.comparison == "fast", *jax.random.key_data(key)])

    monkeypatch.setattr(agreeing.rollout, "similarity", similarity)
    result = fast()
    found = agreeing.compare(result.agents[0], result.agent_state(0), np.eye(6, dtype=np.float32), jax.random.key(0))
    assert (found.fast[0], found.exact[0], found.again[0]) == (1, 0, 0)
    np.testing.assert_array_equal(found.fast[1:], found.exact[1:])
    assert list(found.exact[1:]) != list(found.again[1:])


def test_every_seed_of_a_configuration_counts_and_agents_that_do_not_compare_fast_have_none(monkeypatch):
    keys = []

    def compare(agent, state, obs, key):
        keys.append(key)
        alike = np.full(len(obs), 0.1 if len(keys) == 1 else 0.99)  # the threshold is 0.9
        return agreeing.Compared(alike, np.full(len(obs), 0.1), alike)

    monkeypatch.setattr(agreeing, "compare", compare)
    assert agreeing.of_configuration(fast()) == dict.fromkeys(agreeing.NAMES, 0.5)
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 2
    for agent in ("sac", "sac_adaent"):
        assert agreeing.of_configuration(untrained.result(agent, "toy")) == agreeing.shares([])
