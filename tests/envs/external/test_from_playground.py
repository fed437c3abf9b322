import warnings

import jax
import numpy as np
import pytest

import envs
from envs.fields import InvalidSetting

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of theirs
    playground = pytest.importorskip("mujoco_playground")

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.slow
def test_steps_are_playgrounds():
    env = envs.make("playground:CartpoleBalance")
    theirs = playground.registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    assert env.horizon == 1000
    assert env.observation_size == theirs.observation_size
    state, their_state = jax.jit(env.reset)(jax.random.key(0)), jax.jit(theirs.reset)(jax.random.key(0))
    step, their_step = jax.jit(env.step), jax.jit(theirs.step)
    for action in jax.random.uniform(jax.random.key(1), (20, 1), minval=-1.0):
        np.testing.assert_allclose(state.obs, their_state.obs, rtol=1e-5, atol=1e-5)
        state, their_state = step(state, action), their_step(their_state, action)
        np.testing.assert_allclose(state.reward, their_state.reward, rtol=1e-5)
        assert float(state.info["terminated"]) == float(their_state.done)


def test_unknown_name_lists_what_exists():
    with pytest.raises(InvalidSetting, match=r"env 'playground:Cartpole.*' is unknown; .*playground:CartpoleBalance"):
        envs.make("playground:CartpoleBalanc")
