import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from learning import batch_of, first_moments, jitter

from envs.base import EnvSpec
from envs.fields import build
from maxent_jax.agents import PPO
from maxent_jax.agents.base import Rollout
from maxent_jax.agents.ppo import Lesson, advantages

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, jnp.array([0.0, -20.0]), jnp.array([10.0, 20.0]), 100)
KEY = jax.random.key(5)
T, N = 8, 2


def ppo(**values):
    small = {"hidden": (7, 5), "lr": 1e-3, "gamma": 0.9, "gae_lambda": 0.8, "rollout_steps": T * N, "batch_size": T * N}
    return build(PPO, small | {"entropy_coef": 0.1, "value_coef": 0.7} | values)


def rollout():
    """(T, N) steps in which environment 0 terminates at step 2, environment 1 runs out of time at steps 1 and 5."""
    step = jax.tree.map(lambda x: x.reshape(T, N, *x.shape[1:]), batch_of(SPEC, T * N, seed=1))
    terminated = np.zeros((T, N), np.float32)
    terminated[2, 0] = 1
    done = terminated.copy()
    done[[1, 5], 1] = 1
    duration = np.ones((T, N), np.float32)
    duration[[0, 4], 0] = 0  # pending half-steps
    step = step.replace(terminated=jnp.asarray(terminated), duration=jnp.asarray(duration), action=2 * step.action)
    return Rollout(step, jnp.asarray(done))


def lesson_of(agent, state, seed=3):
    """A batch whose probability ratios lie on both sides of the clip, for advantages of both signs."""
    rng = np.random.default_rng(seed)
    n = 40
    obs, action = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)
    offset = rng.choice([-0.5, -0.1, 0.1, 0.5], n)
    old = np.asarray(agent.log_prob(state, obs, action)) + offset
    numbers = [jnp.asarray(x, jnp.float32) for x in (old, rng.normal(size=n) + 0.3, 3 * rng.normal(size=n))]
    return Lesson(jnp.asarray(obs), jnp.asarray(action), *numbers)


@pytest.mark.parametrize(("state_dependent_std", "normalise"), [(False, False), (True, True)])
def test_loss_and_gradient(state_dependent_std, normalise):
    agent = ppo(state_dependent_std=state_dependent_std, normalise_advantages=normalise)
    state = jitter(agent.init(KEY, SPEC), seed=2)
    lesson = lesson_of(agent, state)
    obs, action, old, advantage, goal = (np.float64(x) for x in jax.tree.leaves(lesson))
    if normalise:
        advantage = (advantage - advantage.mean()) / advantage.std(ddof=1)

    def parts(params):
        mean, log_std = reference.gaussian_policy(params["actor"], obs)
        ratio = np.exp(reference.normal_log_density(action, mean, log_std).sum(-1) - old)
        gains = [min(r * a, min(max(r, 0.8), 1.2) * a) for r, a in zip(ratio, advantage, strict=True)]
        value = reference.value(params["value"], obs)
        entropy = np.mean(np.sum(0.5 * np.log(2 * np.pi * np.e * np.exp(2 * log_std)), -1))
        return ratio, {
            "actor_loss": -np.mean(gains),
            "value_loss": np.mean((value - goal) ** 2),
            "value_mean": value.mean(),
            "entropy": entropy,
            "clipped_share": np.mean((ratio < 0.8) | (ratio > 1.2)),
        }

    def loss(params):
        _, part = parts(params)
        return part["actor_loss"] + 0.7 * part["value_loss"] - 0.1 * part["entropy"]

    params = reference.float64(state.params)
    ratio, expected = parts(params)
    for side in (ratio < 0.8, ratio > 1.2, (ratio > 0.8) & (ratio < 1.2)):  # every branch of the surrogate is visited
        assert (advantage[side] > 0).any()
        assert (advantage[side] < 0).any()

    grads, metrics = jax.jit(jax.grad(agent.loss, has_aux=True))(state.params, lesson)
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(expected, rel=1e-4, abs=1e-5)
    reference.assert_close(grads, reference.gradient(loss, params), rtol=2e-3, atol=3e-5)

    norm = np.sqrt(sum(np.sum(np.float64(g) ** 2) for g in jax.tree.leaves(grads)))
    assert norm > 0.5
    (params, opt), _ = jax.jit(agent.gradient_step)((state.params, state.opt), lesson)
    clipped = jax.tree.map(lambda g: np.float64(g) * 0.5 / norm, grads)  # to max_grad_norm
    reference.assert_close(first_moments(params, opt), jax.tree.map(lambda g: 0.1 * g, clipped), rtol=1e-4, atol=1e-7)
    step = jax.tree.map(lambda p, g: np.float64(p) - 1e-3 * g / (np.abs(g) + 1e-8), state.params, clipped)
    reference.assert_close(params, step, rtol=1e-5, atol=1e-5)


def test_a_small_gradient_is_not_scaled_up():
    agent = ppo(max_grad_norm=1e6)
    state = jitter(agent.init(KEY, SPEC), seed=2)
    lesson = lesson_of(agent, state)
    grads, _ = jax.jit(jax.grad(agent.loss, has_aux=True))(state.params, lesson)
    (params, opt), _ = jax.jit(agent.gradient_step)((state.params, state.opt), lesson)
    reference.assert_close(first_moments(params, opt), jax.tree.map(lambda g: 0.1 * g, grads), rtol=1e-4, atol=1e-7)


def plain_loop(reward, value, next_value, terminated, done, duration, gamma, lambda_):
    """The advantages of one environment, from the sum that defines them, step by step."""
    steps, result = len(reward), []
    for start in range(steps):
        total, weight = 0.0, 1.0
        for t in range(start, steps):
            bootstrap = 0.0 if terminated[t] else gamma ** duration[t] * next_value[t]
            total += weight * (reward[t] + bootstrap - value[t])
            if done[t]:
                break
            weight *= (gamma * lambda_) ** duration[t]
        result.append(total)
    return result


def test_lesson_against_a_plain_loop():
    agent, batch = ppo(), rollout()
    state = jitter(agent.init(KEY, SPEC), seed=2)
    lesson = jax.tree.map(lambda x: np.asarray(x).reshape(T, N, *x.shape[1:]), agent.lesson(state.params, batch))
    params, step = reference.float64((state.params, batch.transition))
    value, next_value = (reference.value(params["value"], obs) for obs in (step.obs, step.next_obs))
    columns = [step.reward, value, next_value, step.terminated, np.asarray(batch.done), step.duration]
    expected = np.stack([plain_loop(*[c[:, i] for c in columns], 0.9, 0.8) for i in range(N)], -1)
    np.testing.assert_allclose(lesson.advantage, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(lesson.value_target, expected + value, rtol=1e-4, atol=1e-5)
    mean, log_std = reference.gaussian_policy(params["actor"], step.obs)
    old = reference.normal_log_density(step.action, mean, log_std).sum(-1)
    np.testing.assert_allclose(lesson.old_log_prob, old, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(lesson.obs, batch.transition.obs)
    np.testing.assert_array_equal(lesson.action, batch.transition.action)


def test_advantages_by_hand():
    # gamma 1/2, lambda 1/2: a time-out after step 0 bootstraps and cuts, a termination after step 2 does neither
    result = advantages(
        reward=jnp.array([1.0, 0.0, 8.0, 0.0]),
        value=jnp.array([2.0, 4.0, 6.0, 0.0]),
        next_value=jnp.array([10.0, 6.0, 100.0, 2.0]),
        discount=jnp.array([0.5, 0.5, 0.0, 0.5]),
        decay=jnp.array([0.0, 0.25, 0.0, 0.25]),
    )
    assert result.tolist() == [1 + 5 - 2, (0 + 3 - 4) + 0.25 * (8 - 6), 8 - 6, 0 + 1 - 0]


@pytest.mark.parametrize("recompute", [False, True])
def test_update_is_its_passes_in_turn(recompute):
    agent, batch = ppo(passes=2, recompute_advantages=recompute, lr=3e-2), rollout()
    state = jitter(agent.init(KEY, SPEC), seed=2)
    after, metrics = jax.jit(agent.update)(state, batch, KEY)
    assert agent.gradient_steps == 2

    first = agent.lesson(state.params, batch)
    carry, one = agent.gradient_step((state.params, state.opt), first)  # one batch a pass: the order does not matter
    second = agent.lesson(carry[0], batch).replace(old_log_prob=first.old_log_prob) if recompute else first
    carry, two = agent.gradient_step(carry, second)
    reference.assert_close(after.params, reference.float64(carry[0]), rtol=1e-4, atol=1e-5)
    for name in metrics:
        assert metrics[name] == pytest.approx((float(one[name]) + float(two[name])) / 2, rel=1e-3, abs=1e-5)


def test_a_pass_meets_every_step_once():
    agent, batch = ppo(passes=1, batch_size=2, lr=1e-12), rollout()
    state = jitter(agent.init(KEY, SPEC), seed=2)
    _, metrics = jax.jit(agent.update)(state, batch, KEY)
    values = reference.value(reference.float64(state.params["value"]), np.float64(batch.transition.obs))
    assert values.std() > 0.1
    assert metrics["value_mean"] == pytest.approx(values.mean(), abs=1e-5)
    assert agent.gradient_steps == 8


def test_observations_are_normalised_by_what_was_known_when_they_were_seen():
    agent, batch = ppo(passes=1, normalise_observations=True), rollout()
    batch = batch.replace(transition=batch.transition.replace(obs=4 * batch.transition.obs + 3))
    state = jitter(agent.init(KEY, SPEC), seed=2, scale=0.2)  # its statistics are moved as well
    after, metrics = jax.jit(agent.update)(state, batch, KEY)
    known = reference.float64(state.statistics)
    seen = np.clip((np.float64(batch.transition.obs) - known.mean) / np.sqrt(known.variance), -10, 10)
    params = reference.float64(state.params)
    assert metrics["value_mean"] == pytest.approx(reference.value(params["value"], seen).mean(), abs=1e-4)
    mean, _ = reference.gaussian_policy(params["actor"], seen)
    acted = agent.act(state, batch.transition.obs, KEY, deterministic=True)
    np.testing.assert_allclose(acted, mean, rtol=1e-4, atol=1e-5)
    assert after.statistics.count == pytest.approx(known.count + T * N)

    fresh, _ = jax.jit(agent.update)(state.replace(statistics=agent.init(KEY, SPEC).statistics), batch, KEY)
    rows = np.float64(batch.transition.obs).reshape(-1, 3)
    np.testing.assert_allclose(fresh.statistics.mean, rows.mean(0), rtol=1e-4)
    np.testing.assert_allclose(fresh.statistics.variance, rows.var(0), rtol=1e-4)


def test_act_draws_from_the_unclipped_normal():
    agent = ppo()
    state = jitter(agent.init(KEY, SPEC), seed=2)
    obs = jnp.full((20_000, 3), 0.5)
    mean, log_std = reference.gaussian_policy(reference.float64(state.params["actor"]), np.full(3, 0.5))
    draws = np.float64(agent.act(state, obs, KEY))
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * np.exp(log_std.max()) / 20_000**0.5)
    np.testing.assert_allclose(draws.std(0), np.exp(log_std), rtol=0.03)
    assert np.abs(draws).max() > 1


@pytest.mark.parametrize("state_dependent_std", [False, True])
@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        ({}, [0.0, 0.0], [1.0, 1.0]),
        ({"init_mean": -0.5, "init_std": 0.2}, [-0.5, -0.5], [0.2, 0.2]),
        # [0, 10] and [-20, 20]: the published start of the quadrotor, and of the acrobot
        ({"init_std": 0.37, "init_units": "environment"}, [-1.0, 0.0], [0.074, 0.0185]),
        ({"init_mean": 5.0, "init_std": 5.0, "init_units": "environment"}, [0.0, 0.25], [1.0, 0.25]),
    ],
)
def test_first_policy(values, mean, std, state_dependent_std):
    agent = ppo(state_dependent_std=state_dependent_std, **values)
    state = agent.init(KEY, SPEC)
    means, log_stds = agent.policy(state.params["actor"], rollout().transition.obs)
    np.testing.assert_allclose(
        means, np.broadcast_to(mean, (T, N, 2)), atol=0.05
    )  # the head's weights are small, not 0
    np.testing.assert_allclose(np.exp(log_stds), np.broadcast_to(std, (T, N, 2)), rtol=0.05)


def test_batches_must_tile_the_rollout():
    with pytest.raises(ValueError, match=r"batch_size = 5.*rollout_steps, which is 16"):
        ppo(batch_size=5).validate()
