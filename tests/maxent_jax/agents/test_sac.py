import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from learning import batch_of, first_gradient, jitter

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax import networks
from maxent_jax.agents import SAC

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, jnp.array([-4.0, 0.0]), jnp.array([4.0, 10.0]), 100)
BATCH = batch_of(SPEC, size=9, seed=0)
KEY = jax.random.key(5)


def sac(**values):
    return build(
        SAC, {"hidden": (7, 5), "lr": 1e-2, "tau": 0.1, "gamma": 0.9, "alpha_lr": 1e-2, "batch_size": 9} | values
    )


def mid_training(agent):
    """A state in which nothing equals anything else by construction: targets, temperature, log-stds."""
    return jitter(agent.init(jax.random.key(1), SPEC), seed=2)


def noises(key):
    """The standard normal draws of an update: at next observations, at observations."""
    return [np.float64(jax.random.normal(k, (9, 2))) for k in jax.random.split(key)]


@pytest.fixture(scope="module", params=[0.7, 0.0, None])
def updated(request, quick_compile):
    """An agent (alpha: 0, more, or learned), its state before and after one update, the metrics, alpha during it."""
    agent = sac(alpha=request.param or 0.0, auto_alpha=request.param is None)
    before = mid_training(agent)
    after, metrics = jax.jit(agent.update)(before, BATCH, KEY)
    alpha = np.exp(np.float64(before.temperature.params)) if agent.auto_alpha else request.param
    return agent, before, after, metrics, alpha


def test_critic_step(updated):
    _, before, after, metrics, alpha = updated
    actor, target, batch = reference.float64((before.actor.params, before.critic.target, BATCH))
    action, log_prob = reference.squashed_sample(actor, batch.next_obs, noises(KEY)[0])
    soft_value = reference.twins(target, batch.next_obs, action).min(0) - alpha * log_prob
    goal = batch.reward + 0.9**batch.duration * (1 - batch.terminated) * soft_value

    def loss(params):
        q = reference.twins(params, batch.obs, batch.action)
        return 0.5 * np.mean((q[0] - goal) ** 2) + 0.5 * np.mean((q[1] - goal) ** 2)

    params = reference.float64(before.critic.params)
    assert metrics["critic_loss"] == pytest.approx(loss(params), rel=1e-4)
    assert metrics["q_mean"] == pytest.approx(reference.twins(params, batch.obs, batch.action).mean(), rel=1e-4)
    gradient = first_gradient(before.critic, after.critic, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_actor_step_climbs_the_critic_just_fitted(updated):
    _, before, after, metrics, alpha = updated
    critic, obs = reference.float64((after.critic.params, BATCH.obs))

    def loss(params):
        action, log_prob = reference.squashed_sample(params, obs, noises(KEY)[1])
        return np.mean(alpha * log_prob - reference.twins(critic, obs, action).min(0))

    params = reference.float64(before.actor.params)
    assert metrics["actor_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.actor, after.actor, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_temperature_step(updated):
    agent, before, after, metrics, alpha = updated
    _, log_prob = reference.squashed_sample(
        reference.float64(before.actor.params), np.float64(BATCH.obs), noises(KEY)[1]
    )
    entropy = -log_prob.mean()
    assert metrics["entropy"] == pytest.approx(entropy, rel=1e-4)
    assert metrics["alpha"] == pytest.approx(alpha, rel=1e-6)
    if not agent.auto_alpha:
        assert after.temperature.params == before.temperature.params
        return
    log_alpha, target = np.float64(before.temperature.params), -2.0  # minus the action's size
    assert metrics["alpha_loss"] == pytest.approx(log_alpha * (entropy - target), rel=1e-4)
    assert first_gradient(before.temperature, after.temperature, lr=1e-2) == pytest.approx(entropy - target, rel=1e-4)


def test_without_entropy_a_policy_may_become_as_narrow_as_it_can():
    """Its density is then next to infinite, and is multiplied by 0."""
    agent = sac(alpha=0.0)
    state = mid_training(agent)
    narrow = networks.shift(state.actor.params, ("log_std", "bias"), jnp.full(2, -30.0))
    wide = networks.shift(narrow, ("mean", "bias"), jnp.array([40.0, -40.0]))  # and at the ends of what it may do
    state = state.replace(actor=state.actor.replace(params=wide))
    after, metrics = jax.jit(agent.update)(state, BATCH, KEY)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, metrics)))
    assert metrics["alpha"] == 0
    assert metrics["entropy"] < -30


@pytest.mark.parametrize(("entropy", "direction"), [(0.5, -1), (-0.9, 1)])
def test_temperature_falls_where_the_policy_is_too_random(entropy, direction):
    agent = sac(auto_alpha=True, target_entropy=-0.3)
    state = agent.init(KEY, SPEC)
    after, _ = agent.update_temperature(state, jnp.float32(entropy))
    assert after.temperature.params == pytest.approx(direction * 1e-2, rel=1e-3)  # Adam's first step: the rate


def test_targets_follow_the_new_critics_by_tau(updated):
    _, before, after, _, _ = updated
    expected = jax.tree.map(
        lambda slow, new: 0.9 * np.float64(slow) + 0.1 * np.float64(new), before.critic.target, after.critic.params
    )
    reference.assert_close(after.critic.target, expected, rtol=1e-5, atol=1e-6)


def test_a_new_state():
    agent = sac(auto_alpha=True)
    state = agent.init(jax.random.key(0), SPEC)
    assert agent.gradient_steps == 1
    jax.tree.map(np.testing.assert_array_equal, state.critic.target, state.critic.params)
    assert state.temperature.params == 0.0


def test_act_and_log_prob():
    agent = sac()
    state = mid_training(agent)
    obs = jnp.broadcast_to(BATCH.obs[0], (30_000, 3))
    mean, log_std = reference.squashed_policy(reference.float64(state.actor.params), np.float64(BATCH.obs[0]))
    draws = np.arctanh(np.float64(agent.act(state, obs, KEY)))
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * np.exp(log_std.max()) / 30_000**0.5)
    np.testing.assert_allclose(draws.std(0), np.exp(log_std), rtol=0.02)
    np.testing.assert_allclose(agent.act(state, obs[0], KEY, deterministic=True), np.tanh(mean), rtol=1e-5)

    noise = np.random.default_rng(0).normal(size=(9, 2))
    action, log_prob = reference.squashed_sample(reference.float64(state.actor.params), np.float64(BATCH.obs), noise)
    np.testing.assert_allclose(agent.log_prob(state, BATCH.obs, action), log_prob, rtol=1e-3, atol=1e-3)
    q = reference.twins(reference.float64(state.critic.params), np.float64(BATCH.obs), action).min(0)
    np.testing.assert_allclose(agent.q_landscapes(state, BATCH.obs, action)["soft"], q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        ({}, [0.0, 0.0], [1.0, 1.0]),
        ({"init_mean": 0.5, "init_std": 0.25}, [0.5, 0.5], [0.25, 0.25]),
        # [-4, 4] and [0, 10]: 2 is 0.5 and -0.6; a spread of 0.4 is 0.1 and 0.08
        ({"init_mean": 2.0, "init_std": 0.4, "init_units": "environment"}, [0.5, -0.6], [0.1, 0.08]),
        # the end of a range is infinitely far before tanh: as near as 0.99
        ({"init_mean": 0.0, "init_std": 1.0, "init_units": "environment"}, [0.0, -0.99], [0.25, 0.2]),
    ],
)
def test_first_policy(values, mean, std):
    agent, plain = sac(**values), sac()
    policies = [a.policy(a.init(KEY, SPEC).actor.params, BATCH.obs) for a in (agent, plain)]
    shift = np.broadcast_to(np.arctanh(mean), (9, 2))  # the mean head is not shrunk: its own part is no zero
    np.testing.assert_allclose(policies[0][0] - policies[1][0], shift, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(policies[0][1]), np.broadcast_to(std, (9, 2)), rtol=0.02)
