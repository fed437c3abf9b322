import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from doors import walk, walker

import envs
from envs import fields
from maxent_jax import rollout
from maxent_jax.agents import AGENTS
from maxent_jax.rule import trials
from maxent_jax.rule.subject import Subject

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(5)


def test_visits_are_all_states_of_all_episodes():
    seen = trials.visit(walker(), walk(), KEY, 3)
    assert len(seen.time) == 12
    np.testing.assert_array_equal(seen.time, np.repeat(range(4), 3))
    np.testing.assert_array_equal(seen.episode, [0, 1, 2] * 4)
    start = np.asarray(seen.obs[:3, 0])
    np.testing.assert_allclose(seen.obs[:, 0], np.tile(start, 4) + 0.5 * seen.time, rtol=1e-6)
    np.testing.assert_allclose(seen.returns, 4 * start + 0.5 * (1 + 2 + 3 + 4), rtol=1e-6)
    np.testing.assert_array_equal(seen.lengths, [4, 4, 4])


def test_visits_end_where_an_episode_does_and_go_on_through_pending_steps():
    short = trials.visit(walker(mean=-1.0), walk(horizon=9, edge=1.5), KEY, 4)
    assert set(short.lengths) <= {2, 3}
    assert len(short.time) == short.lengths.sum()
    halved = trials.visit(walker(), walk(half_steps=True), KEY, 1)
    np.testing.assert_array_equal(halved.time, [0, 0, 1, 1, 2, 2, 3, 3])


def test_a_visit_is_the_episode_that_films_show():
    task = envs.make("pendulum", horizon=20)
    agent = fields.build(AGENTS["sac"], tiny.FIELDS["sac"])
    state = jax.jit(agent.init)(jax.random.key(1), task.spec)
    (reset_key,) = jax.random.split(KEY, 1)

    class Same(type(task)):
        """Every episode begins where ours does."""

        def reset(self, rng):
            return task.reset(reset_key)

    film = rollout.episode(agent, fields.build(Same, {"horizon": 20}), state, jax.random.key(2))
    seen = trials.visit(Subject(agent, state), task, KEY, 1)
    np.testing.assert_allclose(seen.obs, film.obs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.returns[0], film.reward.sum(), rtol=1e-5)


def test_episodes_that_are_all_alike_count_once():
    agent = fields.build(AGENTS["sac"], tiny.FIELDS["sac"])
    task = envs.make("toy")
    subject = Subject(agent, jax.jit(agent.init)(jax.random.key(1), task.spec))
    seen = trials.visit(subject, task, KEY, 3)
    assert len(seen.returns) == len(seen.lengths) == 1
    np.testing.assert_array_equal(seen.time, [0, 1])
    np.testing.assert_array_equal(seen.episode, [0, 0])


def test_fewer_states_are_spread_over_the_time_of_every_episode():
    visited = trials.visit(walker(), walk(horizon=50), KEY, 2)
    seen = visited.take(visited.evenly(20))
    for episode in (0, 1):
        time = seen.time[seen.episode == episode]
        assert len(time) == 10
        np.testing.assert_array_equal(np.bincount(time // 10), 2)
    np.testing.assert_array_equal(seen.obs[:, 1], seen.time)
    assert len(visited.evenly(1000)) == 100


def test_the_start_of_the_worst_episode_is_found_among_many():
    visited = trials.visit(walker(), walk(horizon=3), KEY, 40)
    visited.returns[33] = -1e9
    assert (visited.time[visited.worst_start], visited.episode[visited.worst_start]) == (0, 33)
    visited.returns[7] = np.nan
    assert visited.episode[visited.worst_start] == 7


@pytest.mark.parametrize("count", [3, 64, 65])
def test_every_state_is_compared_in_blocks(count):
    obs = np.stack([np.linspace(0, 2, count), np.zeros(count)], axis=1)
    alike = trials.similarity(walker(), obs, KEY)
    assert alike is not None
    assert alike.shape == (count,)
    assert np.all(alike[obs[:, 0] < 0.5] < 0.9)
    assert np.all(alike[obs[:, 0] > 1.5] > 0.999)


def test_views_ask_draws_mean_and_grid():
    obs = jnp.array([[0.0, 0.0], [2.0, 0.0]])
    seen = trials.look(walker(), obs, KEY, (0,))
    assert seen.candidates.shape == (2, 100 + 1 + 201, 1)
    np.testing.assert_array_equal(seen.mean, [[0.5], [0.5]])
    np.testing.assert_allclose(seen.best("soft"), [[-0.5], [0.5]], atol=0.006)
    np.testing.assert_allclose(seen.best("plain"), [[0.5], [0.5]], atol=0.006)
    np.testing.assert_allclose(seen.grid("plain"), np.tile(-((seen.axis - 0.5) ** 2), (2, 1)), atol=1e-6)


def test_near_choices_stay_within_the_draws():
    seen = trials.look(walker(mean=0.0, noise=0.1), jnp.array([[0.0, 0.0]]), KEY, (0,))
    draws = seen.candidates[0, :100, 0]
    assert seen.best("soft", near=True)[0, 0] == draws.min()
    assert seen.best("plain", near=True)[0, 0] == draws.max()


def test_a_grid_over_two_dimensions_holds_the_others_at_the_mean():
    agent = fields.build(AGENTS["sac_adaent"], tiny.FIELDS["sac_adaent"])
    spec = dataclasses.replace(envs.spec("vehicle"), action_size=3, action_low=-np.ones(3), action_high=np.ones(3))
    state = jax.jit(agent.init)(jax.random.key(1), spec)
    obs = jax.random.normal(jax.random.key(3), (2, 6))
    seen = trials.look(Subject(agent, state), obs, KEY, (2, 0))
    assert seen.grid("soft").shape == (2, 41, 41)
    i, j = 5, 30  # of dimensions 2 and 0
    action = np.stack([np.full(2, seen.axis[j]), seen.mean[:, 1], np.full(2, seen.axis[i])], axis=1)
    q = agent.q_landscapes(state, obs, jnp.asarray(action))
    for name in ("soft", "plain"):
        np.testing.assert_allclose(seen.grid(name)[:, i, j], q[name], rtol=1e-5, atol=1e-6)
    chosen = agent.q_landscapes(state, obs, jnp.asarray(seen.best("plain")))["plain"]
    np.testing.assert_allclose(chosen, seen.q["plain"].max(axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [3, 70])  # 70 is more than a block, and not a multiple of it
def test_true_returns_are_those_of_a_loop(count):
    subject, task = walker(), walk(horizon=6, edge=3.0)
    seen = trials.visit(subject, task, KEY, count // 3).take(np.arange(count // 3 * 3) % (count // 3 * 3))
    action = np.linspace(-1, 1, len(seen.time), dtype=np.float32)[:, None]
    found = trials.true_returns(subject, task, seen, action, KEY)
    assert found.shape == (len(action), 1, 2)
    for row, (point, first) in enumerate(zip(np.asarray(seen.state.pipeline_state), action[:, 0], strict=True)):
        position, time = (float(x) for x in point)
        total, discounted, elapsed = 0.0, 0.0, 0
        while time < 6:
            position, time = position + (first if elapsed == 0 else 0.5), time + 1
            total, discounted = total + position, discounted + 0.9**elapsed * position
            elapsed += 1
            if abs(position) > 3.0:
                break
        np.testing.assert_allclose(found[row, 0], [total, discounted], rtol=1e-4)


def test_draws_meet_the_same_randomness_whatever_the_action():
    subject, task = walker(draw=0.2), walk()
    seen = trials.visit(subject, task, KEY, 2).take(np.arange(4))
    low, high = (trials.true_returns(subject, task, seen, np.full((4, 1), a, np.float32), KEY, 5) for a in (0.0, 1.0))
    assert low.shape == (4, 5, 2)
    assert np.all(low[:, :, 0].std(axis=1) > 0.1)
    left = 4 - seen.time[:, None]
    np.testing.assert_allclose(high[..., 0] - low[..., 0], np.broadcast_to(left, (4, 5)), rtol=1e-4)


def test_noise_of_the_task_is_drawn_anew_in_every_repeat():
    task = envs.make("pendulum", horizon=10, process_noise=0.5)
    agent = fields.build(AGENTS["sac"], tiny.FIELDS["sac"])
    subject = Subject(agent, jax.jit(agent.init)(jax.random.key(1), task.spec))
    assert (trials.repeats_of_mean(task), trials.repeats_of_mean(envs.make("pendulum"))) == (8, 1)
    seen = trials.visit(subject, task, KEY, 1).take(np.array([0, 5]))
    found = trials.true_returns(subject, task, seen, np.zeros((2, 1), np.float32), KEY)
    assert found.shape == (2, 8, 2)
    assert len(np.unique(found[0, :, 0])) == 8
    np.testing.assert_array_equal(found, trials.true_returns(subject, task, seen, np.zeros((2, 1), np.float32), KEY))


def test_physics_that_breaks_down_earns_nothing_that_counts():
    subject, task = walker(), walk(cliff=1.2)
    seen = trials.visit(subject, task, KEY, 1)
    assert np.isnan(seen.returns[0])
    found = trials.true_returns(subject, task, seen.take([0]), np.array([[-1.0]], np.float32), KEY)
    start = seen.obs[0, 0]
    np.testing.assert_allclose(found[0, 0, 0], 4 * start - 1.0 - 0.5 + 0.0 + 0.5, rtol=1e-5)  # never beyond the cliff
    assert np.isnan(trials.true_returns(subject, task, seen.take([0]), np.array([[2.0]], np.float32), KEY)).all()
