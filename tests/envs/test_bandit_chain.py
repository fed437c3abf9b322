import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import envs
from envs.bandit_chain import BROAD, DOOR, END, NARROW


def play(env, actions):
    """Observations, rewards, ends and durations of a list of actions."""
    state, seen = env.reset(jax.random.key(0)), []
    for action in actions:
        state = env.step(state, jnp.asarray(action, jnp.float32))
        place = int(state.pipeline_state.physics.place)
        seen.append((place, float(state.reward), float(state.done), int(state.info["duration"])))
    return state, seen


def test_a_chain_of_two_door_by_door():
    env = envs.make("bandit_chain", size=2, links=2)
    edge = float(env.half_width)
    narrow, broad, hit = [-0.5, 1.0], [0.5, -1.0], [0.9 * edge, -0.9 * edge]
    state, seen = play(env, [narrow, hit, broad, [1.0, 1.0], hit])
    assert seen == [(NARROW, 0, 0, 0), (DOOR, 1, 0, 1), (BROAD, 0, 0, 0), (END, -1, 1, 1), (END, 0, 1, 1)]
    np.testing.assert_array_equal(state.obs, np.zeros(5))
    _, seen = play(env, [narrow, [0.0, 1.1 * edge]])  # one number outside is a miss
    assert seen[1] == (DOOR, -4, 0, 1)


def test_observation_is_place_and_link():
    env = envs.make("bandit_chain", links=3)
    state = env.reset(jax.random.key(0))
    seen = [state.obs]
    for action in (-1.0, 0.0, 1.0):
        state = env.step(state, jnp.array([action]))
        seen.append(state.obs)
    wanted = [[1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0]]
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("size", [1, 2, 8, 32])
@pytest.mark.parametrize("crossing", [0.4, 1.0, 2.0])
def test_exact_soft_values_of_the_rooms_cross_where_the_field_says(size, crossing):
    env = envs.make("bandit_chain", size=size, crossing=crossing)
    hit, volume = float(env.half_width) ** size, 2.0**size

    def soft(rewards, shares, alpha):
        return alpha * logsumexp(np.array(rewards) / alpha, b=np.array(shares) * volume)

    gaps = [
        soft([1, -4], [hit, 1 - hit], alpha) - soft([-1], [1.0], alpha)
        for alpha in (0.9 * crossing, crossing, 1.1 * crossing)
    ]
    assert gaps[0] > 0 > gaps[2]
    np.testing.assert_allclose(gaps[1], 0, atol=2e-5 * crossing * size)


def test_crossing_may_be_a_grid():
    env = envs.make("bandit_chain", size=3)
    many = jax.vmap(lambda crossing: env.replace(crossing=crossing).half_width)(jnp.array([0.5, 1.0, 2.0]))
    assert np.all(np.diff(np.asarray(many)) > 0)  # at a higher temperature more must be lost to entropy


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"reward_safe": 2.0}, "env.reward_safe = 2: must be between reward_miss, which is -4"),
        ({"crossing": 0.01}, "env.crossing = 0.01: leaves no good action"),
        ({"crossing": 1e9}, r"env.crossing = 1e\+09: .* must be nearer to the differences of the rewards"),
        ({"size": 0}, "env.size = 0: must be a whole number in"),
    ],
)
def test_mistakes(values, said):
    with pytest.raises(ValueError, match=said):
        envs.make("bandit_chain", **values)
