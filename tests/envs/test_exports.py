import brax.envs
import brax.envs.hopper
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import exports

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("name", envs.names())
def test_brax_makes_our_tasks(name):
    env = brax.envs.get_environment(f"maxent_jax/{name}", horizon=7)
    assert type(env) is envs.task(name)
    assert env.horizon == np.int32(7)


def test_plain_names_are_ours_where_brax_has_none():
    exports.register_in_brax()  # again
    assert type(brax.envs.get_environment("vehicle")) is envs.task("vehicle")
    assert brax.envs._envs["hopper"] is brax.envs.hopper.Hopper
    ours = {name for name, maker in brax.envs._envs.items() if not isinstance(maker, type)}
    assert ours == {f"maxent_jax/{name}" for name in envs.names()} | ({*envs.names()} - {"hopper"})


def test_brax_ends_and_resets_our_vehicle():
    env = brax.envs.create("vehicle", episode_length=2, batch_size=3)
    first = env.reset(jax.random.PRNGKey(0))
    step = jax.jit(env.step)
    actions = jnp.array([[0.5, 0.2], [0.0, 0.0], [-1.0, 1.0]])
    middle = step(first, actions)
    last = step(middle, actions)
    np.testing.assert_array_equal(middle.done, 0)
    np.testing.assert_array_equal(last.done, 1)
    np.testing.assert_array_equal(last.info["truncation"], 1)
    np.testing.assert_array_equal(last.obs, first.obs)
    np.testing.assert_array_equal(step(last, actions).obs, middle.obs)
