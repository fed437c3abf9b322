import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import scipy.stats
from learning import batch_of, first_gradient, jitter

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax.agents import DDPG

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, jnp.array([-4.0, 0.0]), jnp.array([4.0, 10.0]), 100)
BATCH = batch_of(SPEC, size=9, seed=0)
KEY = jax.random.key(5)


def ddpg(**values):
    return build(DDPG, {"hidden": (7, 5), "lr": 1e-2, "tau": 0.1, "gamma": 0.9, "batch_size": 9} | values)


@jax.jit
def begin(agent, key):
    return agent.init(key, SPEC)


@pytest.fixture(scope="module")
def updated():
    """The state before and after one update, and the metrics."""
    agent = ddpg()
    before = jitter(begin(agent, jax.random.key(1)), seed=2)
    return before, *jax.jit(agent.update)(before, BATCH, KEY)


def test_critic_step_bootstraps_on_what_the_slow_actor_would_do(updated):
    before, after, metrics = updated
    actor, target, batch = reference.float64((before.actor.target, before.critic.target, BATCH))
    action = reference.deterministic_policy(actor, batch.next_obs)
    (next_q,) = reference.twins(target, batch.next_obs, action)
    goal = batch.reward + 0.9**batch.duration * (1 - batch.terminated) * next_q

    def loss(params):
        (q,) = reference.twins(params, batch.obs, batch.action)
        return 0.5 * np.mean((q - goal) ** 2)

    params = reference.float64(before.critic.params)
    assert metrics["critic_loss"] == pytest.approx(loss(params), rel=1e-4)
    assert metrics["q_mean"] == pytest.approx(reference.twins(params, batch.obs, batch.action).mean(), rel=1e-4)
    gradient = first_gradient(before.critic, after.critic, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_actor_step_climbs_the_critic_just_fitted(updated):
    before, after, metrics = updated
    critic, obs = reference.float64((after.critic.params, BATCH.obs))

    def loss(params):
        return -np.mean(reference.twins(critic, obs, reference.deterministic_policy(params, obs))[0])

    params = reference.float64(before.actor.params)
    assert metrics["actor_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.actor, after.actor, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_slow_networks_follow_the_new_ones_by_tau(updated):
    before, after, _ = updated
    for name in ("actor", "critic"):
        old, new = getattr(before, name), getattr(after, name)
        expected = jax.tree.map(
            lambda slow, fast: 0.9 * np.float64(slow) + 0.1 * np.float64(fast), old.target, new.params
        )
        reference.assert_close(new.target, expected, rtol=1e-5, atol=1e-6)


def test_act_explores_by_normal_noise_within_the_range(updated):
    agent, state = ddpg(exploration_std=0.3), updated[0]
    mean = reference.deterministic_policy(reference.float64(state.actor.params), np.float64(BATCH.obs[0]))
    np.testing.assert_allclose(agent.act(state, BATCH.obs[0], KEY, deterministic=True), mean, rtol=1e-5)
    draws = np.float64(jax.jit(agent.act)(state, jnp.broadcast_to(BATCH.obs[0], (30_000, 3)), KEY))
    clipped = scipy.stats.norm.cdf((-1 - mean) / 0.3) + scipy.stats.norm.sf((1 - mean) / 0.3)
    np.testing.assert_allclose((np.abs(draws) == 1).mean(0), clipped, atol=0.01)
    np.testing.assert_allclose(np.median(draws, 0), mean, atol=0.01)
    low, high = np.quantile(draws, [0.3, 0.5], axis=0)
    np.testing.assert_allclose(high - low, -0.3 * scipy.stats.norm.ppf(0.3), rtol=0.05)
    np.testing.assert_allclose(
        agent.log_prob(state, BATCH.obs[0], BATCH.action[0]),
        scipy.stats.norm.logpdf(BATCH.action[0], mean, 0.3).sum(),
        rtol=1e-4,
    )


def test_its_landscape_is_a_plain_one(updated):
    state = updated[0]
    (q,) = reference.twins(*reference.float64((state.critic.params, BATCH.obs, BATCH.action)))
    found = ddpg().q_landscapes(state, BATCH.obs, BATCH.action)
    assert set(found) == {"plain"}
    np.testing.assert_allclose(found["plain"], q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ({}, [0.0, 0.0]),
        ({"init_mean": 0.5}, [0.5, 0.5]),
        # [-4, 4] and [0, 10]: 2 is 0.5 and -0.6
        ({"init_mean": 2.0, "init_units": "environment"}, [0.5, -0.6]),
    ],
)
def test_first_policy(values, mean):
    states = [begin(agent, KEY) for agent in (ddpg(**values), ddpg())]
    jax.tree.map(np.testing.assert_array_equal, states[0].actor.params, states[0].actor.target)
    own, plain = (np.arctanh(ddpg().act(state, BATCH.obs, KEY, deterministic=True)) for state in states)
    np.testing.assert_allclose(own - plain, np.broadcast_to(np.arctanh(mean), (9, 2)), rtol=1e-3, atol=1e-4)
