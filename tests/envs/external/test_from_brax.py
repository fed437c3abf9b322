import brax.envs
import jax
import numpy as np
import pytest

import envs
from envs.fields import InvalidSetting

pytestmark = [
    pytest.mark.usefixtures("quick_compile"),
    pytest.mark.filterwarnings("ignore:Brax System:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing .* directly:DeprecationWarning"),  # by Brax, in MJX
]


@pytest.mark.parametrize(
    ("name", "backend", "ends"),
    [
        ("fast", "generalized", False),
        pytest.param("inverted_pendulum", "spring", True, marks=pytest.mark.slow),
        pytest.param("hopper", "mjx", True, marks=pytest.mark.slow),
    ],
)
def test_steps_are_braxs(name, backend, ends):
    env = envs.make(f"brax:{name}", backend=backend)
    theirs = brax.envs.get_environment(name, backend=backend)
    step, their_step = jax.jit(env.step), jax.jit(theirs.step)
    state, their_state = jax.jit(env.reset)(jax.random.key(3)), jax.jit(theirs.reset)(jax.random.key(3))
    np.testing.assert_array_equal(state.obs, jax.jit(env.reset)(jax.random.PRNGKey(3)).obs)
    ended = []
    for action in jax.random.uniform(jax.random.key(1), (60, env.action_size), minval=0.0):
        np.testing.assert_allclose(state.obs, their_state.obs, rtol=1e-4, atol=1e-4)
        state, their_state = step(state, action), their_step(their_state, action)
        np.testing.assert_allclose(state.reward, their_state.reward, rtol=1e-4, atol=1e-4)
        assert float(state.info["terminated"]) == float(their_state.done)
        ended.append(float(state.done))
    assert any(ended) == ends  # they fall over on the way


def test_default_horizon_and_backend_are_braxs():
    env = envs.make("brax:hopper", horizon=500)
    assert env.horizon == 500
    assert envs.make("brax:hopper").horizon == 1000
    assert env.backend == "generalized"
    assert envs.make("brax:hopper", backend="mjx").backend == "mjx"
    assert env.observation_size == 11
    assert env.action_size == 3
    np.testing.assert_array_equal(env.spec.action_high, np.ones(3))


def test_unknown_backend_is_refused():
    with pytest.raises(InvalidSetting, match=r"env\.backend = 'bullet': must be one of generalized, positional"):
        envs.make("brax:hopper", backend="bullet")
