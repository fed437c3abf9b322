import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs

# state, action, next state, reward, terminated: the published problem, with both edges of each interval
TABLE = [
    (0, -1.0, 1, 0.0, 0),
    (0, -1e-6, 1, 0.0, 0),
    (0, 0.0, 1, 0.0, 0),
    (0, 1e-6, 2, 0.0, 0),
    (0, 1.0, 2, 0.0, 0),
    (1, 0.0, 3, 1.0, 1),
    (1, 0.0999, 3, 1.0, 1),
    (1, -0.0999, 3, 1.0, 1),
    (1, 0.1, 4, -20.0, 1),
    (1, -0.1, 4, -20.0, 1),
    (1, 1.0, 4, -20.0, 1),
    (1, -1.0, 4, -20.0, 1),
    (2, -1.0, 5, -1.0, 1),
    (2, 0.0, 5, -1.0, 1),
    (2, 1.0, 5, -1.0, 1),
]


def at(state):
    env = envs.make("toy")
    start = env.reset(jax.random.key(0))
    return env, {0: start, 1: env.step(start, jnp.array([-1.0])), 2: env.step(start, jnp.array([1.0]))}[state]


@pytest.mark.parametrize(("here", "action", "there", "reward", "terminated"), TABLE)
def test_table(here, action, there, reward, terminated):
    env, state = at(here)
    np.testing.assert_array_equal(state.obs, np.eye(6)[here])
    after = env.step(state, jnp.array([action], jnp.float32))
    np.testing.assert_array_equal(after.obs, np.eye(6)[there])
    assert (float(after.reward), float(after.done), float(after.info["terminated"])) == (reward, terminated, terminated)
    assert int(after.info["duration"]) == 1


@pytest.mark.parametrize("action", [-1.0, 0.0, 1.0])
def test_ended_states_stay_and_earn_nothing(action):
    env, state = at(2)
    ended = env.step(state, jnp.array([0.0]))
    after = env.step(ended, jnp.array([action]))
    np.testing.assert_array_equal(after.obs, ended.obs)
    assert float(after.reward) == 0


def test_every_episode_has_two_steps_and_ends_by_itself():
    env = envs.for_training(envs.make("toy"))
    state = env.reset(jax.random.key(0))
    ends = []
    for action in jax.random.uniform(jax.random.key(1), (20, 1), minval=-1.0):
        state = env.step(state, action)
        ends.append((float(state.done), float(state.info["terminated"]), float(state.info["truncation"])))
    assert ends == [(0, 0, 0), (1, 1, 0)] * 10


def test_fields_change_the_rewards():
    env = envs.make("toy", half_width=0.5, reward_hit=3.0, reward_miss=-4.0, reward_safe=-2.0)
    good = env.step(env.reset(jax.random.key(0)), jnp.array([-1.0]))
    bad = env.step(env.reset(jax.random.key(0)), jnp.array([1.0]))
    rewards = [env.step(good, jnp.array([0.4])), env.step(good, jnp.array([0.6])), env.step(bad, jnp.array([0.0]))]
    assert [float(state.reward) for state in rewards] == [3.0, -4.0, -2.0]
