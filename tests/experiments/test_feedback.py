import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import Task, fields, setting
from experiments.controllers import Constant, returns
from experiments.feedback import Feedback


class Reach(Task):
    """Stop at the origin of a line: position and speed fed back do it."""

    push: float = setting(0.3, "speed gained at action 1", above=0)
    observes = ("position", "speed", "noise")  # pyright: ignore[reportAssignmentType]
    acts = ("push",)  # pyright: ignore[reportAssignmentType]

    def start(self, key):
        return jnp.array([0.8, 0.0]) * jnp.sign(jax.random.uniform(key, (2,), minval=-1.0))

    def advance(self, physics, action):
        speed = physics[1] + self.push * action[0]
        after = jnp.stack([physics[0] + 0.1 * speed, speed])
        return after, -jnp.abs(after[0]) - 0.01 * speed**2, jnp.zeros((), bool)

    def observe(self, physics):
        return jnp.append(physics, 0.0)


@pytest.fixture(scope="module")
def env():
    return fields.build(Reach, {"horizon": 40}, where="env.")


def test_search_finds_what_stops(env):
    settings = Feedback(features=(0, 1), samples=32, elites=6, rounds=12, spread=2.0)
    found = settings.prepare(env)
    assert found.gains[0] < 0  # against the position
    assert found.gains[1] < 0  # and against the speed
    assert settings.prepare(env) == found
    assert returns(found, env, range(4)).mean() > returns(Constant(), env, range(4)).mean() / 3


def test_action_is_gains_times_observations_clock_and_one(env):
    controller = Feedback(features=(1, 0), period=8, gains=(0.1, 0.2, 0.03, 0.04, 0.05))
    state = env.begin(jnp.array([0.5, -0.7]))
    for step in range(3):
        phase = 2 * np.pi * step / 8
        position, speed = state.obs[:2]
        expected = 0.1 * speed + 0.2 * position + 0.03 * np.sin(phase) + 0.04 * np.cos(phase) + 0.05
        action, _ = controller.act(env, None, state, jax.random.key(0))
        np.testing.assert_allclose(action, [expected], rtol=1e-5)
        state = env.step(state, action)
    wild = Feedback(features=(0,), gains=(100.0, 0.0)).act(env, None, state, jax.random.key(0))[0]
    assert jnp.abs(wild) == 1


def test_search_may_see_other_fields(env):
    settings = Feedback(features=(0, 1), samples=32, elites=6, rounds=12, spread=2.0, search_fields=(("push", -0.3),))
    assert settings.prepare(env).gains[0] > 0
