import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper, VmapWrapper

import envs
from envs.base import Task, initial_state, next_state
from envs.fields import build, setting

TASKS = envs.names()


@flax.struct.dataclass
class Walk(Task):
    """Starts anywhere in [0, 1), moves by the action, ends beyond 2; an action below -0.5 takes no time."""

    horizon: int = setting(5, "steps")

    @property
    def observation_size(self):
        return 1

    @property
    def action_size(self):
        return 1

    def reset(self, rng):
        position = jax.random.uniform(rng)
        return initial_state(position, position[None])

    def step(self, state: Any, action) -> Any:
        position = state.pipeline_state + action[0]
        after: Any = next_state(state, position, position[None], action[0], position > 2)
        duration = jnp.where(action[0] < -0.5, 0, 1).astype(jnp.int32)
        return after.replace(info=after.info | {"duration": duration})


def make(name, **values) -> Any:
    return envs.make(name, **values)


def walk(**values):
    return envs.for_training(build(Walk, values))


def play(env, actions, seed=0) -> list[Any]:
    """All states, the reset's first, after actions (steps, action_size)."""
    step = jax.jit(env.step)
    states = [env.reset(jax.random.key(seed))]
    for action in actions:
        states.append(step(states[-1], jnp.atleast_1d(jnp.float32(action))))
    return states


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
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(after)} <= {"float32", "int32", "key<fry>"}


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
        assert field.metadata["pytree_node"] == (type(value) in (np.float32, np.int32, np.bool_)), field.name
        assert field.metadata["help"], field.name


@pytest.mark.parametrize("name", TASKS)
def test_step_lowers_for_gpu_and_tpu(name):
    env = envs.for_training(make(name))
    state = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
    action = jax.ShapeDtypeStruct((env.action_size,), jnp.float32)
    exported = jax.export.export(jax.jit(env.step), platforms=["cuda", "tpu"])(state, action)
    assert exported.platforms == ("cuda", "tpu")


def test_time_limit_is_a_truncation():
    states = play(walk(), [0.0] * 6)
    assert [float(state.done) for state in states] == [0, 0, 0, 0, 0, 1, 0]
    assert [float(state.info["truncation"]) for state in states] == [0, 0, 0, 0, 0, 1, 0]
    assert [float(state.info["terminated"]) for state in states] == [0] * 7
    assert [int(state.info["steps"]) for state in states] == [0, 1, 2, 3, 4, 0, 1]


def test_time_limit_is_a_termination_where_the_task_says_so():
    states = play(walk(timeout_is_termination=True), [0.0] * 5)
    assert float(states[-1].done) == float(states[-1].info["terminated"]) == 1
    assert float(states[-1].info["truncation"]) == 0


def test_termination_at_the_last_step_is_no_truncation():
    states = play(walk(), [0.0, 0.0, 0.0, 0.0, 3.0])
    assert float(states[-1].done) == float(states[-1].info["terminated"]) == 1
    assert float(states[-1].info["truncation"]) == 0


def test_time_limit_counts_durations():
    states = play(walk(), [-1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    assert [int(state.info["steps"]) for state in states] == [0, 0, 1, 1, 2, 3, 4, 0]
    assert [float(state.done) for state in states] == [0] * 7 + [1]


def test_final_obs_is_what_the_step_led_to_and_obs_the_next_episode():
    before, after = play(walk(), [3.0])
    np.testing.assert_allclose(after.info["final_obs"], before.obs + 3.0, rtol=1e-6)
    assert 0 <= float(after.obs[0]) < 1
    assert float(after.obs[0]) != float(before.obs[0])
    assert float(after.pipeline_state) == float(after.obs[0])
    assert float(after.reward) == 3.0


def test_final_obs_is_obs_while_the_episode_runs():
    state = play(walk(), [0.3])[-1]
    np.testing.assert_array_equal(state.info["final_obs"], state.obs)


def test_every_episode_starts_in_a_state_of_its_own():
    states = play(walk(horizon=1), [0.0] * 50)
    starts = np.array([float(state.obs[0]) for state in states])
    assert len(set(starts)) == len(starts)
    assert 0.35 < starts.mean() < 0.65  # uniform on [0, 1): standard error 0.04


def test_same_key_repeats_and_other_keys_differ():
    actions = np.linspace(-0.4, 0.9, 20)
    runs = {seed: np.array([s.obs for s in play(walk(), actions, seed)]) for seed in (0, 1)}
    np.testing.assert_array_equal(runs[0], [s.obs for s in play(walk(), actions, 0)])
    assert np.all(runs[0] != runs[1])


@pytest.mark.parametrize("name", TASKS)
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


@pytest.mark.parametrize("name", TASKS)
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
