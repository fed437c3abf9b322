from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.fields import InvalidSetting
from envs.obstacle2d import ObstacleState

KEY = jax.random.key(0)
place_and_step = jax.jit(
    lambda env, position, velocity, steps: env.step(env.begin(ObstacleState(position, steps)), velocity / env.max_speed)
)


def make(**fields) -> Any:
    return envs.make("obstacle2d", **fields)


def go(begin, end, steps=0, **fields) -> Any:
    """The state after the step that leads from one place to another."""
    begin, end = np.asarray(begin, np.float32), np.asarray(end, np.float32)
    return place_and_step(make(**fields), begin, end - begin, np.int32(steps))


def touches(begin, end) -> bool:
    """Whether a line passes through the wall, by looking at 20001 of its points."""
    x, y = np.linspace(begin, end, 20001).T
    return bool(np.any((x >= 2.0) & (x <= 2.05) & (np.abs(y) <= 2.0)))


def test_start_and_observation():
    state = make().reset(KEY)
    np.testing.assert_array_equal(state.pipeline_state.physics.position, [0, 0])
    np.testing.assert_allclose(state.obs, [-1, 0])
    np.testing.assert_allclose(go((2.0, -2.9), (2.3, -2.4)).obs, [(2.3 - 2.025) / 2.025, -0.8], rtol=1e-5)


def test_full_actions_are_three_metres_a_step():
    state = make().step(make().reset(KEY), jnp.array([-1.0, 0.5]))
    np.testing.assert_allclose(state.pipeline_state.physics.position, [-3.0, 1.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ((0, 0), (3, 0)),  # the straight way, though it ends in the goal
        ((0, 0), (2.02, 0)),  # into the wall
        ((0, 0), (2.9, 1.9)),
        ((3, 0), (0.5, -1)),  # from behind
        ((1.9, 1.5), (2.2, 2.4)),  # cuts the upper corner
        ((2.02, -3), (2.02, 0)),  # along the wall
        ((2.02, -3), (2.02, 0 - 1e-3)),
    ],
)
def test_crossing_the_wall_is_punished_and_ends(begin, end):
    state = go(begin, end)
    assert float(state.reward) == -200
    assert float(state.done) == float(state.info["terminated"]) == 1


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ((0, 0), (1.9, 2.5)),
        ((0.5, 2.1), (3, 2.1)),  # above the wall
        ((0.5, -2.1), (3, -2.1)),  # below
        ((1.5, 2.2), (2.5, 2.05)),
        ((2.1, 0), (2.1, 2.5)),  # behind it
        ((0, 0), (1.99, 0)),  # up to it
        ((1, 1), (1, 1)),  # standing still
    ],
)
def test_passing_the_wall_earns_the_decrease_of_the_distance(begin, end):
    state = go(begin, end)
    expected = np.hypot(3 - begin[0], begin[1]) - np.hypot(3 - end[0], end[1])
    assert float(state.reward) == pytest.approx(expected, abs=1e-5)
    assert float(state.done) == 0


def test_lines_touch_the_wall_where_their_points_do():
    rng = np.random.default_rng(0)
    begin = rng.uniform([-1, -4], [4, 4], (500, 2)).astype(np.float32)
    end = (begin + rng.uniform(-3, 3, (500, 2))).astype(np.float32)
    env = make(goal_x=50.0)
    rewards = jax.vmap(place_and_step, (None, 0, 0, None))(env, begin, end - begin, np.int32(0)).reward
    expected = [touches(*line) for line in zip(begin, end, strict=True)]
    np.testing.assert_array_equal(np.asarray(rewards) == -200, expected)
    assert 50 < sum(expected) < 450


@pytest.mark.parametrize("end", [(3, 0), (3.09, 0), (2.95, -0.05)])
def test_reaching_the_goal_is_rewarded_and_ends(end):
    state = go((2.5, 1), end)
    assert float(state.reward) == 500
    assert float(state.done) == float(state.info["terminated"]) == 1


@pytest.mark.parametrize("end", [(3.11, 0), (3.5, -1), (2.92, 0.08)])
def test_passing_near_or_over_the_goal_is_not_reaching_it(end):
    assert float(go((2.5, 1), end).done) == 0


def test_two_steps_suffice():
    state = go((0, 0), (1.9, 3))
    assert float(state.done) == 0
    assert float(go((1.9, 3), (3, 0)).reward) == 500


def test_step_51_is_truncated_and_earns_nothing():
    env = envs.for_training(make())
    step = jax.jit(env.step)
    state = env.reset(KEY)
    rewards, ends = [], []
    for _ in range(102):
        state = step(state, jnp.array([-0.1, 0.0]))
        rewards.append(float(state.reward))
        ends.append((int(state.done), int(state.info["truncation"]), int(state.info["terminated"])))
    np.testing.assert_allclose(rewards, 2 * ([-0.3] * 50 + [0]), atol=1e-5)  # the clock starts anew
    assert ends == 2 * ([(0, 0, 0)] * 50 + [(1, 1, 0)])


def test_at_the_time_limit_goal_and_wall_still_count():
    assert float(go((2.5, 1), (3, 0), steps=50).reward) == 500
    assert float(go((0, 0), (3, 0), steps=50).reward) == -200
    assert float(go((0, 0), (1, 0), steps=50).reward) == 0
    assert float(go((0, 0), (1, 0), steps=49).reward) == 1


def test_fields_are_felt():
    assert float(go((0, 0), (3, 0), wall_reach=0.0).reward) == -200  # a needle
    assert float(go((0, 0.1), (3, 0), wall_reach=0.0).reward) == 500
    assert float(go((0, 0), (1, 0), progress_weight=2.0).reward) == 2
    assert float(go((0, 0), (1, 0), steps=6, horizon=7, timeout_reward=-4.0).reward) == -4
    assert float(go((0, 0), (3, 0), crash_reward=-7.0).reward) == -7
    assert float(go((2.5, 1), (3, 0), goal_reward=9.0).reward) == 9
    assert float(go((2.5, 1), (3.3, 0), goal_radius=0.4).reward) == 500
    assert float(make(step_seconds=0.1).step(make().reset(KEY), jnp.ones(2)).pipeline_state.physics.position[0]) == (
        pytest.approx(0.3)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"goal_x": 2.02}, r"env\.goal_x, goal_y = 2\.02, 0\.0: must be outside the wall"),
        ({"start_x": 2.0, "start_y": -1.5}, r"env\.start_x, start_y = 2\.0, -1\.5: must be outside the wall"),
        ({"goal_radius": 4.0}, r"env\.goal_radius = 4\.0: must be < the distance from start to goal, 3\.0"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(InvalidSetting, match=message):
        make(**fields)


def test_a_grid_is_refused_where_one_of_its_tasks_makes_no_sense():
    with pytest.raises(InvalidSetting, match="goal_x"):
        make().replace(goal_x=np.array([3.0, 2.02], np.float32)).validate()
    make().replace(goal_x=np.array([3.0, 2.5], np.float32)).validate()


def test_100_k_random_steps():
    env = envs.for_training(make())

    def step(state, key):
        state = env.step(state, jax.random.uniform(key, (2,), minval=-1.0))
        return state, (state.info["final_obs"], state.reward, state.done, state.metrics["nonfinite"])

    run = lambda key: jax.lax.scan(step, env.reset(key), jax.random.split(key, 400))[1]  # noqa: E731
    obs, reward, done, nonfinite = map(np.asarray, jax.jit(jax.vmap(run))(jax.random.split(KEY, 256)))
    assert np.isfinite(obs).all()
    assert np.isfinite(reward).all()
    assert not nonfinite.any()
    assert np.abs(obs * [2.025, 3.0] + [2.025, 0]).max() <= 51 * 3
    assert -200 in reward
    assert set(np.unique(reward[np.abs(reward) > 5])) <= {-200, 500}
    assert np.all(done.sum(axis=1) >= 400 // 51)  # never stuck
