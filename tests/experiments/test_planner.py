import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from experiments.controllers import Constant, Random, returns
from experiments.planner import Planner

SEEDS = range(6)


@pytest.mark.parametrize(
    ("task", "planner", "good"),
    [
        ("pendulum", Planner(actions=20, samples=64), -400),  # the worst start costs about that whatever one does
        ("obstacle2d", Planner(actions=8, samples=256, elites=16, rounds=8, spread=1.0), 500),
    ],
)
def test_planner_beats_those_who_know_nothing(task, planner, good):
    env = envs.make(task)
    planned = returns(planner, env, SEEDS)
    assert planned.min() > good
    np.testing.assert_allclose(returns(planner, env, SEEDS[::-1])[::-1], planned, rtol=1e-3)  # its seed alone counts
    for ignorant in (Constant(), Random()):
        assert planned.mean() > returns(ignorant, env, SEEDS).mean() + 200


def test_controllers_return_what_a_loop_over_the_task_earns():
    env = envs.make("obstacle2d", horizon=6)
    action, expected = jnp.array([0.0, 0.1]), 0.0
    state, step = env.reset(jax.random.key(0)), jax.jit(env.step)
    for _ in range(6):
        state = step(state, action)
        expected += float(state.reward)
    np.testing.assert_allclose(returns(Constant(action=(0.0, 0.1)), env, [0, 5]), expected, rtol=1e-6)
    np.testing.assert_allclose(returns(Constant(action=(0.0, 0.1), hold=4), env, [0]), expected, rtol=1e-6)
    assert returns(Constant(action=(0.9, 0.0)), env, [0]) == -200  # nothing is earned after the crash


def test_a_plan_never_earns_less_than_the_guess_that_it_began_with():
    env, planner = envs.make("pendulum"), Planner(actions=6, samples=8, rounds=3)
    state, key = env.reset(jax.random.key(0)), jax.random.key(1)
    for guess in (jnp.ones((6, 1)), -jnp.ones((6, 1)), planner.plan(env, planner.begin(env), state, key)):
        planned = planner.plan(env, guess, state, key)
        assert planner.worth(env, state, planned) >= planner.worth(env, state, guess)
        assert jnp.abs(planned).max() <= 1


def test_worth_knows_the_time_limit_and_the_end():
    env, planner = envs.make("pendulum", horizon=3), Planner(actions=2, hold=4)
    step, state, three = jax.jit(env.step), env.reset(jax.random.key(0)), 0.0
    for _ in range(3):
        state = step(state, jnp.zeros(1))
        three += float(state.reward)
    begin = env.reset(jax.random.key(0))
    assert planner.worth(env, begin, jnp.zeros((2, 1))) == pytest.approx(three, rel=1e-6)
    assert planner.worth(env, state, jnp.zeros((2, 1))) == 0
