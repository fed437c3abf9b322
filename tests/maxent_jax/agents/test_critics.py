import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learning import batch_of

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax.agents import DDPG, SAC, TD3
from maxent_jax.agents.critics import descend, learner

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, -jnp.ones(2), jnp.ones(2), 100)


def test_bootstrap_by_hand():
    batch = dataclasses.replace(
        batch_of(SPEC, size=4, seed=0),
        reward=jnp.array([1.0, 1.0, 1.0, 1.0]),
        terminated=jnp.array([0.0, 1.0, 0.0, 0.0]),
        duration=jnp.array([1.0, 1.0, 0.0, 2.0]),
    )
    target = build(SAC, {"gamma": 0.9}).bootstrap(batch, jnp.full(4, 10.0))
    np.testing.assert_allclose(target, [1 + 9, 1, 1 + 10, 1 + 8.1], rtol=1e-6)


def test_critics_begin_different_from_each_other_and_equal_to_their_slow_copies():
    for kind, count in ((DDPG, 1), (TD3, 2), (SAC, 2)):
        agent = build(kind, {"hidden": (7, 5)})
        critic = jax.jit(lambda key, agent=agent: agent.init_critic(key, SPEC))(jax.random.key(0))
        jax.tree.map(np.testing.assert_array_equal, critic.params, critic.target)
        kernel = critic.params["params"]["Dense_0"]["kernel"]
        assert kernel.shape == (count, 5, 7)
        assert count == 1 or not np.allclose(kernel[0], kernel[1])


def test_a_step_of_adam_by_hand():
    state = descend(learner({"x": jnp.array([1.0, 1.0])}, 0.1), {"x": jnp.array([2.0, -0.5])}, 0.1)
    np.testing.assert_allclose(state.params["x"], [0.9, 1.1], rtol=1e-5)  # the first goes by the sign
    state = descend(state, {"x": jnp.array([2.0, 0.0])}, 0.1)
    mean, square = 0.9 * 0.1 * -0.5 / (1 - 0.9**2), 0.999 * 0.001 * 0.25 / (1 - 0.999**2)
    np.testing.assert_allclose(state.params["x"], [0.8, 1.1 - 0.1 * mean / square**0.5], rtol=1e-5)
