from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.classic_control.pendulum import PendulumEnv

import envs
from envs.pendulum import PendulumState


def begin(env, theta, speed):
    return env.begin(PendulumState(jnp.float32(theta), jnp.float32(speed)))


def test_gymnasiums_pendulum_step_by_step_on_a_batch():
    rng = np.random.default_rng(0)
    episodes, steps = 8, 200
    starts = rng.uniform([-np.pi, -1], [np.pi, 1], (episodes, 2)).astype(np.float32)
    actions = rng.uniform(-1, 1, (steps, episodes, 1)).astype(np.float32)
    env = envs.make("pendulum")
    step = jax.jit(jax.vmap(env.step))
    state = jax.vmap(lambda start: begin(env, *start))(jnp.asarray(starts))
    theirs = [PendulumEnv() for _ in range(episodes)]
    for pendulum, start in zip(theirs, starts, strict=True):
        pendulum.reset(seed=0)
        pendulum.state = start.astype(float)
    for action in actions:
        # from the same state each time: the pendulum is chaotic, 32 bits would drift from 64
        for index, pendulum in enumerate(theirs):
            physics = state.pipeline_state.physics  # pyright: ignore[reportOptionalMemberAccess]
            pendulum.state = np.array([physics.theta[index], physics.speed[index]], float)
        state = step(state, jnp.asarray(action))
        for index, pendulum in enumerate(theirs):
            obs, reward, terminated, truncated, _ = pendulum.step(2.0 * action[index])
            np.testing.assert_allclose(state.obs[index], obs, atol=2e-5)
            np.testing.assert_allclose(state.reward[index], reward, atol=2e-4)
            assert not terminated
            assert not truncated
            assert float(state.done[index]) == 0


def test_a_whole_episode_agrees_without_chaos():
    env = envs.make("pendulum")
    theirs = PendulumEnv()
    theirs.reset(seed=0)
    theirs.state = np.array([np.pi - 0.5, 0.0])  # swings about the hanging position
    state, total, reference = begin(env, np.pi - 0.5, 0.0), 0.0, 0.0
    step = jax.jit(env.step)
    for _ in range(200):
        state = step(state, jnp.zeros(1))
        reference += theirs.step(np.zeros(1))[1]
        total += float(state.reward)
    assert total == pytest.approx(reference, rel=1e-4)


def test_reset_is_distributed_as_gymnasiums():
    theta, speed = jax.vmap(lambda key: _pair(envs.make("pendulum").reset(key)))(
        jax.random.split(jax.random.key(0), 4096)
    )
    for values, bound in ((theta, np.pi), (speed, 1.0)):
        assert np.abs(values).max() <= bound
        np.testing.assert_allclose(
            np.quantile(values, [0.1, 0.5, 0.9]), np.array([-0.8, 0, 0.8]) * bound, atol=0.05 * bound
        )


def _pair(state):
    return state.pipeline_state.physics.theta, state.pipeline_state.physics.speed


def test_bounds_and_horizon_are_gymnasiums():
    theirs: Any = gymnasium.make("Pendulum-v1")
    spec = envs.spec("pendulum")
    np.testing.assert_array_equal(spec.action_high, theirs.action_space.high)
    np.testing.assert_array_equal(spec.action_low, theirs.action_space.low)
    assert spec.observation_size == theirs.observation_space.shape[0]
    assert int(spec.horizon) == theirs.spec.max_episode_steps
    state = envs.make("pendulum").reset(jax.random.key(0))
    np.testing.assert_array_equal(
        envs.make("pendulum").step(state, jnp.array([7.0])).obs, envs.make("pendulum").step(state, jnp.ones(1)).obs
    )


def test_time_limit_is_a_truncation():
    env = envs.for_training(envs.make("pendulum", horizon=2))
    state = env.step(env.step(env.reset(jax.random.key(0)), jnp.zeros(1)), jnp.zeros(1))
    assert (float(state.info["truncation"]), float(state.info["terminated"])) == (1, 0)
