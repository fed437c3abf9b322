import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import scipy.integrate
from learning import batch_of, first_gradient, jitter

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax import networks
from maxent_jax.agents import SQL

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, -jnp.ones(2), jnp.ones(2), 100)
BATCH = batch_of(SPEC, size=9, seed=0)
KEY = jax.random.key(5)
N = 5


def test_critic_step():
    """Five actions per state, two of the policy and three even ones: each by its share of the mixture's density."""
    agent = build(SQL, {"hidden": (7, 5), "lr": 1e-2, "gamma": 0.9, "alpha": 0.7, "batch_size": 9, "n_samples": N})
    before = jitter(jax.jit(lambda: agent.init(jax.random.key(1), SPEC))(), seed=2)
    after, metrics = jax.jit(agent.update)(before, BATCH, KEY)

    draw_key, even_key = jax.random.split(jax.random.split(KEY)[0])
    actor, target, batch = reference.float64((before.actor.params, before.critic.target, BATCH))
    noise = np.float64(jax.random.normal(draw_key, (2, 9, 2)))
    even = np.float64(jax.random.uniform(even_key, (3, 9, 2), minval=-1 + 1e-6, maxval=1 - 1e-6))
    drawn, _ = reference.squashed_sample(actor, batch.next_obs, noise)
    mean, log_std = reference.squashed_policy(actor, batch.next_obs)
    total = np.zeros(9)
    for action in np.concatenate([drawn, even]):
        density = np.exp(reference.normal_log_density(np.arctanh(action), mean, log_std)) / (1 - action**2)
        mixture = 2 / 5 * np.prod(density, -1) + 3 / 5 / 4
        total += np.exp(reference.twins(target, batch.next_obs, action).min(0) / 0.7) / mixture
    goal = batch.reward + 0.9**batch.duration * (1 - batch.terminated) * 0.7 * np.log(total / N)

    def loss(params):
        return 0.5 * np.mean((reference.twins(params, batch.obs, batch.action) - goal) ** 2, axis=1).sum()

    params = reference.float64(before.critic.params)
    assert metrics["critic_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.critic, after.critic, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("std", [1.0, 0.02])
def test_the_value_is_the_integral_over_all_actions_whatever_the_policy(std):
    spec = EnvSpec(3, 1, -jnp.ones(1), jnp.ones(1), 100)
    agent = build(SQL, {"hidden": (16,), "alpha": 0.1, "n_samples": 2000})
    state = jitter(jax.jit(lambda: agent.init(jax.random.key(1), spec))(), seed=2)
    actor = networks.shift(state.actor.params, ("log_std", "bias"), jnp.log(jnp.full(1, std)))
    state = state.replace(actor=state.actor.replace(params=actor))
    found = jax.jit(agent.next_value)(state, BATCH.obs, KEY)
    target, obs = reference.float64((state.critic.target, BATCH.obs))
    for at, value in zip(obs, found, strict=True):

        def height(action, at=at):
            return np.exp(reference.twins(target, at, np.array([action])).min(0) / 0.1)

        total, _ = scipy.integrate.quad(height, -1, 1, limit=200)
        assert value == pytest.approx(0.1 * np.log(total), abs=0.02)


def test_values_stay_finite_at_the_smallest_temperature_and_the_narrowest_policy():
    agent = build(SQL, {"hidden": (7, 5), "alpha": 1e-6, "n_samples": 16})
    state = jitter(jax.jit(lambda: agent.init(jax.random.key(1), SPEC))(), seed=2)
    actor = networks.shift(state.actor.params, ("log_std", "bias"), jnp.full(2, -30.0))
    actor = networks.shift(actor, ("mean", "bias"), jnp.array([40.0, -40.0]))
    state = state.replace(actor=state.actor.replace(params=actor))
    found = jax.jit(agent.next_value)(state, BATCH.obs, KEY)
    q = agent.min_q(state.critic.target, BATCH.obs, jnp.broadcast_to(jnp.array([1.0, -1.0]), (9, 2)))
    assert np.isfinite(found).all()
    assert np.all(found > q - 1e-3)  # no less than the best action that was seen
