import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from learning import batch_of, first_gradient, jitter

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax.agents import SACLite

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, -jnp.ones(2), jnp.ones(2), 100)
BATCH = batch_of(SPEC, size=9, seed=0)
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def updated():
    """Agent, state before and after one update, metrics."""
    agent = build(SACLite, {"hidden": (7, 5), "lr": 1e-2, "gamma": 0.9, "alpha": 0.7, "batch_size": 9})
    before = jitter(jax.jit(lambda: agent.init(jax.random.key(1), SPEC))(), seed=2)
    return agent, before, *jax.jit(agent.update)(before, BATCH, KEY)


def test_critic_step_knows_no_entropy(updated):
    _, before, after, metrics = updated
    actor, target, batch = reference.float64((before.actor.params, before.critic.target, BATCH))
    noise = np.float64(jax.random.normal(jax.random.split(KEY)[0], (9, 2)))
    action, _ = reference.squashed_sample(actor, batch.next_obs, noise)
    next_q = reference.twins(target, batch.next_obs, action).min(0)
    goal = batch.reward + 0.9**batch.duration * (1 - batch.terminated) * next_q

    def loss(params):
        return 0.5 * np.mean((reference.twins(params, batch.obs, batch.action) - goal) ** 2, axis=1).sum()

    params = reference.float64(before.critic.params)
    assert metrics["critic_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.critic, after.critic, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_actor_step_keeps_its_entropy(updated):
    _, before, _, metrics = updated
    _, _, after, _ = updated
    critic, obs = reference.float64((after.critic.params, BATCH.obs))
    noise = np.float64(jax.random.normal(jax.random.split(KEY)[1], (9, 2)))
    action, log_prob = reference.squashed_sample(reference.float64(before.actor.params), obs, noise)
    loss = np.mean(0.7 * log_prob - reference.twins(critic, obs, action).min(0))
    assert metrics["actor_loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["alpha"] == pytest.approx(0.7)


def test_its_landscape_is_a_plain_one(updated):
    agent, state, _, _ = updated
    assert set(agent.q_landscapes(state, BATCH.obs, BATCH.action)) == {"plain"}
