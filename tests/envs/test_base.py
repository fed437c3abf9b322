import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper, VmapWrapper

import envs
from envs.fields import InvalidSetting
from envs.pendulum import PendulumState

TASKS = envs.names()
SLOW_TO_COMPILE = ("vehicle", "quadrotor", "hopper", "quadruped", "bifurcated_vehicle")
COMPILED = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_TO_COMPILE else name for name in TASKS]
"""All tasks, for tests that compile their step; those that take long are left to `make test-all`."""


def make(name, **values) -> Any:
    return envs.make(name, **values)


def types(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False)), tree)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", TASKS)
def test_step_returns_the_shapes_and_strong_types_of_reset(name, training):
    env = make(name)
    env = envs.for_training(env) if training else env
    state = jax.eval_shape(env.reset, jax.random.key(0))
    action = jax.ShapeDtypeStruct((env.action_size,), jnp.float32)
    after = jax.eval_shape(env.step, state, action)
    assert types(after) == types(state)
    assert state.obs.shape == (env.observation_size,)
    assert state.reward.shape == state.done.shape == ()
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(after))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(after)} <= {"float32", "int32", "int8", "key<fry>"}


@pytest.mark.parametrize("name", TASKS)
def test_bare_task_keeps_only_terminated_and_duration_in_info(name):
    state = jax.eval_shape(envs.make(name).reset, jax.random.key(0))
    assert set(state.info) == {"terminated", "duration"}
    assert state.metrics == {}


@pytest.mark.parametrize("name", TASKS)
def test_raw_and_typed_keys_give_the_same_states(name):
    env = envs.for_training(make(name))
    typed, raw = env.reset(jax.random.key(3)), env.reset(jax.random.PRNGKey(3))
    np.testing.assert_array_equal(typed.obs, raw.obs)
    np.testing.assert_array_equal(jax.random.key_data(typed.info["key"]), raw.info["key"])


@pytest.mark.parametrize("name", TASKS)
def test_spec_has_bounds_in_the_tasks_own_units(name):
    spec = envs.spec(name)
    assert np.shape(spec.action_low) == np.shape(spec.action_high) == (spec.action_size,)
    assert np.all(np.asarray(spec.action_low) < np.asarray(spec.action_high))


@pytest.mark.parametrize("name", TASKS)
def test_every_number_is_a_strongly_typed_leaf(name):
    env = make(name)
    for field in dataclasses.fields(env):
        value = getattr(env, field.name)
        kinds = (np.float32, np.int32, np.bool_, type(None))
        assert field.metadata["pytree_node"] == (type(value) in kinds), field.name
        assert field.metadata["help"], field.name


@pytest.mark.parametrize("name", COMPILED)
def test_step_lowers_for_gpu_and_tpu(name):
    env = envs.for_training(make(name))
    state = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
    action = jax.ShapeDtypeStruct((env.action_size,), jnp.float32)
    exported = jax.export.export(jax.jit(env.step), platforms=["cuda", "tpu"])(state, action)
    assert exported.platforms == ("cuda", "tpu")


@pytest.mark.parametrize("name", COMPILED)
def test_vmap_equals_single(name):
    env = envs.for_training(make(name, horizon=2))
    keys = jax.random.split(jax.random.key(0), 3)
    actions = jax.random.uniform(jax.random.key(1), (4, 3, env.action_size), minval=-1.0)
    batch, single = jax.vmap(env.reset)(keys), env.reset(keys[1])
    many, one = jax.jit(jax.vmap(env.step)), jax.jit(env.step)
    for action in actions:
        batch, single = many(batch, action), one(single, action[1])
        for field in ("obs", "reward", "done"):
            np.testing.assert_allclose(getattr(batch, field)[1], getattr(single, field), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(batch.info["final_obs"][1], single.info["final_obs"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", COMPILED)
def test_task_runs_in_braxs_wrappers(name):
    bare = make(name)
    env = AutoResetWrapper(EpisodeWrapper(VmapWrapper(bare), episode_length=2, action_repeat=1))
    first = env.reset(jax.random.split(jax.random.PRNGKey(0), 3))
    actions = jnp.full((3, bare.action_size), -0.5)
    step = jax.jit(env.step)
    middle = step(first, actions)
    last = step(middle, actions)
    assert np.all(np.asarray(middle.done) == 0)
    assert np.all(np.asarray(last.done) == 1)
    np.testing.assert_array_equal(last.info["truncation"], 1 - last.info["terminated"])
    np.testing.assert_array_equal(last.obs, first.obs)  # Brax's auto-reset goes back to its first state
    np.testing.assert_array_equal(step(last, actions).obs, middle.obs)


@pytest.mark.parametrize("name", TASKS)
def test_every_number_is_named(name):
    env = make(name)
    assert len(set(env.observes)) == env.observation_size
    assert len(set(env.acts)) == env.action_size
    assert make(name, observe_time=True).observation_size == env.observation_size + 1


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("values", [{"process_noise": 0.1}, {"observation_noise": 0.1}])
def test_noise_differs_by_key_and_repeats(name, values):
    if name.startswith("bifurcated") and "process_noise" in values:
        pytest.skip("half-steps know no noise: refused, see test_bifurcated")
    env = make(name, **values)
    step = jax.jit(env.step)
    action = jnp.full(env.action_size, 0.05)

    def seen(seed):
        state = env.reset(jax.random.key(seed))
        return np.stack([state.obs, *((state := step(state, action)).obs for _ in range(2))])

    if name not in ("toy", "bandit_chain") or "process_noise" not in values:  # three observations there may well agree
        assert np.any(seen(0) != seen(1))
    np.testing.assert_array_equal(seen(0), seen(0))


def test_observation_noise_has_its_standard_deviation_and_leaves_the_physics_alone():
    noisy, plain = make("pendulum", observation_noise=0.3), make("pendulum")
    physics, keys = plain.start(jax.random.key(0)), jax.random.split(jax.random.key(0), 2000)
    clean = plain.step(plain.begin(physics), jnp.zeros(1))
    after = jax.jit(jax.vmap(lambda key: noisy.step(noisy.begin(physics, key), jnp.zeros(1))))(keys)
    errors = np.asarray(after.obs - clean.obs)
    np.testing.assert_allclose(errors.std(axis=0), 0.3, atol=0.02)  # standard error 0.005
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(errors.T), np.eye(3), atol=0.1)
    np.testing.assert_allclose(after.reward, clean.reward, rtol=1e-6)


def test_process_noise_moves_the_velocities_before_the_step():
    env, still = make("pendulum", process_noise=0.2), PendulumState(jnp.float32(0.1), jnp.float32(0.0))
    keys = jax.random.split(jax.random.key(0), 2000)
    after = jax.jit(jax.vmap(lambda key: env.step(env.begin(still, key), jnp.zeros(1))))(keys)
    physics = after.pipeline_state.physics
    assert 0.19 < np.std(physics.speed) < 0.21
    np.testing.assert_allclose(physics.theta, 0.1 + 0.05 * physics.speed, rtol=1e-5)  # it moves on with what it got
    assert np.std(after.reward) > 0.001  # and is paid for it


def test_noise_of_zero_is_no_noise_and_a_grid_may_hold_it():
    env, plain = make("pendulum", process_noise=0.0, observation_noise=0.0), make("pendulum")
    physics, action = plain.start(jax.random.key(0)), jnp.ones(1)
    noisy = env.step(env.begin(physics, jax.random.key(0)), action)
    np.testing.assert_allclose(noisy.obs, plain.step(plain.begin(physics), action).obs, rtol=1e-6)


def test_delayed_actions_act_later_and_none_is_lost():
    plain, late = make("pendulum"), make("pendulum", action_delay=3)
    actions = jax.random.uniform(jax.random.key(0), (6, 1), minval=-1.0)
    step, later = jax.jit(plain.step), jax.jit(late.step)
    state, delayed = plain.reset(jax.random.key(0)), late.reset(jax.random.key(0))
    for action in jnp.concatenate([jnp.zeros((3, 1)), actions[:3]]):
        state = step(state, action)
    for action in actions:
        delayed = later(delayed, action)
    np.testing.assert_allclose(delayed.obs, state.obs, rtol=1e-5)


def test_reward_scale_and_time():
    env, plain = make("pendulum", reward_scale=0.1, observe_time=True, horizon=50), make("pendulum")
    state, other = env.reset(jax.random.key(0)), plain.reset(jax.random.key(0))
    assert float(state.obs[-1]) == 0
    for steps in range(1, 4):
        state, other = env.step(state, jnp.zeros(1)), plain.step(other, jnp.zeros(1))
        np.testing.assert_allclose(state.reward, 0.1 * other.reward, rtol=1e-6)
        np.testing.assert_allclose(state.obs, [*other.obs, steps / 50], rtol=1e-6)


@pytest.mark.parametrize("name", COMPILED)
def test_actions_out_of_range_are_clipped(name):
    env = make(name)
    state = env.reset(jax.random.key(0))
    far, edge = env.step(state, jnp.full(env.action_size, 7.0)), env.step(state, jnp.ones(env.action_size))
    np.testing.assert_array_equal(far.obs, edge.obs)
    np.testing.assert_array_equal(far.reward, edge.reward)


@pytest.mark.parametrize("action", [[np.nan], [np.inf], [0.0, 0.0], 0.0, [[0.0]]])
def test_actions_that_make_no_sense_are_refused(action):
    env = make("pendulum")
    with pytest.raises(InvalidSetting, match=r"action .*must"):
        env.step(env.reset(jax.random.key(0)), jnp.asarray(action))
