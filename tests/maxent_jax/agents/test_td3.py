import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from learning import batch_of, first_gradient, jitter

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax.agents import TD3

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, -jnp.ones(2), jnp.ones(2), 100)
BATCH = batch_of(SPEC, size=9, seed=0)
KEYS = jax.random.split(jax.random.key(5), 4)
FIELDS = {"hidden": (7, 5), "lr": 1e-2, "tau": 0.1, "gamma": 0.9, "batch_size": 9, "target_std": 0.6}


@pytest.fixture(scope="module")
def updated():
    """The states before and after each of four updates with a delay of 3, and the metrics of each."""
    agent = build(TD3, FIELDS | {"policy_delay": 3, "target_clip": 0.4})
    states, metrics = [jitter(jax.jit(lambda: agent.init(jax.random.key(1), SPEC))(), seed=2)], []
    update = jax.jit(agent.update)
    for key in KEYS:
        state, found = update(states[-1], BATCH, key)
        states.append(state)
        metrics.append(found)
    return states, metrics


def test_critic_step_takes_the_smaller_twin_at_a_noisy_action(updated):
    (before, after, *_), (metrics, *_) = updated
    actor, target, batch = reference.float64((before.actor.target, before.critic.target, BATCH))
    noise = 0.6 * np.float64(jax.random.normal(KEYS[0], (9, 2)))
    assert 0 < np.mean(np.abs(noise) > 0.4) < 1  # the premise: some of it is clipped
    slow = reference.deterministic_policy(actor, batch.next_obs)
    action = np.clip(slow + np.clip(noise, -0.4, 0.4), -1, 1)
    assert np.any(np.abs(action) == 1)  # and some actions are
    next_q = reference.twins(target, batch.next_obs, action).min(0)
    goal = batch.reward + 0.9**batch.duration * (1 - batch.terminated) * next_q

    def loss(params):
        return 0.5 * np.mean((reference.twins(params, batch.obs, batch.action) - goal) ** 2, axis=1).sum()

    params = reference.float64(before.critic.params)
    assert metrics["critic_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.critic, after.critic, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_actor_and_slow_networks_move_when_they_are_due(updated):
    states, _ = updated
    for number, (before, after) in enumerate(itertools.pairwise(states), start=1):
        parts = [(state.actor, state.critic.target) for state in (before, after)]
        if number == 3:
            moved = jax.tree.map(lambda old, new: np.abs(new - old).max() > 0, *parts)
            assert all(jax.tree.leaves(moved))
        else:
            jax.tree.map(np.testing.assert_array_equal, *parts)
        old, new = (state.critic.params["params"]["Dense_0"]["kernel"] for state in (before, after))
        assert np.abs(old - new).max() > 1e-3


def test_actor_step_climbs_the_first_critic(updated):
    states, metrics = updated
    before, after = states[2:4]
    critic, obs = reference.float64((after.critic.params, BATCH.obs))

    def loss(params):
        return -np.mean(reference.twins(critic, obs, reference.deterministic_policy(params, obs))[0])

    params = reference.float64(before.actor.params)
    assert metrics[2]["actor_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.actor, after.actor, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_without_noise_targets_are_made_with_the_slow_action():
    agent = build(TD3, FIELDS | {"target_clip": 0.0})
    state = jitter(jax.jit(lambda: agent.init(jax.random.key(1), SPEC))(), seed=2)
    action = jax.jit(agent.next_action)(state, BATCH.obs, KEYS[0])
    slow = reference.deterministic_policy(*reference.float64((state.actor.target, BATCH.obs)))
    np.testing.assert_allclose(action, slow, rtol=1e-5, atol=1e-6)
