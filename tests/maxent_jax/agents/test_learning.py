"""The agents beside those of the paper do learn: to swing a pendulum up and hold it there."""

import pytest

import maxent_jax


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["td3", "ddpg", "sql", "sac_annealed", "sac_lite"])
def test_learns_the_pendulum(agent, tmp_path):
    """Untrained policies return about -1400, one that swings it up at once -150."""
    result = maxent_jax.train(agent, "pendulum", seeds=2, preset="quick", evaluations=1, out=tmp_path / "run")
    untrained, trained = result.metrics["return_deterministic"].T
    assert untrained.max() < -1000
    assert trained.min() > -400
