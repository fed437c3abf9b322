"""With the library itself where it is installed; what we refuse is tried on stand-ins, which need nothing."""

from types import SimpleNamespace

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.external import from_gymnax
from envs.fields import InvalidSetting, settings

pytestmark = pytest.mark.usefixtures("quick_compile")


@flax.struct.dataclass
class Params:
    max_steps_in_episode: int = 7
    reach: float = 2.0
    horizon: int = 3
    table: jax.Array = flax.struct.field(default_factory=lambda: jnp.zeros(3))


class Stand:
    """An environment with gymnax's interface: its state is the number of steps, its observation what acted."""

    default_params = Params()

    def __init__(self, low=-1.0, high=3.0, obs=(2,)):
        self.space, self.obs = SimpleNamespace(low=low, high=high, shape=(2,)), obs

    def action_space(self, params):
        return self.space

    def reset_env(self, key, params):
        return jnp.zeros(self.obs), 0

    def step_env(self, key, state, action, params):
        return action * params.reach, state + 1, action.sum(), state + 1 >= 3, {}


class Discrete(Stand):
    def action_space(self, params):
        return SimpleNamespace(n=2, shape=())


class Dictionary(Stand):
    def reset_env(self, key, params):
        return {"image": jnp.zeros((8, 8)), "speed": jnp.zeros(1)}, 0


STANDS = {
    "Stand": Stand(),
    "Discrete": Discrete(),
    "Unbounded": Stand(low=-np.inf, high=jnp.array([1.0, np.inf])),
    "Dictionary": Dictionary(),
    "Image": Stand(obs=(4, 4)),
}


@pytest.fixture
def stand_ins(monkeypatch):
    module = SimpleNamespace(registered_envs=list(STANDS), make=lambda name: (STANDS[name], Params()))
    monkeypatch.setattr(from_gymnax.Library, "load", lambda self, task: module)
    monkeypatch.setattr(from_gymnax.Library, "version", "1")
    from_gymnax.task.cache_clear()
    yield
    from_gymnax.task.cache_clear()


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Discrete", r"acts by namespace\(n=2, .*; must be continuous actions within bounds"),
        ("Unbounded", r"has no action bounds \(.*\); must be finite bounds"),
        ("Dictionary", r"observes a dictionary \(image, speed\); must be one vector"),
        ("Image", r"observes an array of shape \(4, 4\); must be one vector"),
        ("Stnd", r"is unknown; did you mean 'gymnax:Stand'\? allowed: gymnax:Stand, gymnax:Discrete"),
    ],
)
def test_other_conventions_are_refused(name, message):
    with pytest.raises(InvalidSetting, match=f"env 'gymnax:{name}'.*{message}") as error:
        envs.make(f"gymnax:{name}")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("stand_ins")
def test_actions_are_scaled_and_numbers_are_fields():
    env = envs.make("gymnax:Stand", reach=10.0)
    assert set(settings(type(env))) - set(settings(envs.Task)) == {"reach"}
    assert env.horizon == 7
    np.testing.assert_array_equal(env.spec.action_low, [-1, -1])
    np.testing.assert_array_equal(env.spec.action_high, [3, 3])
    state, ended = env.reset(jax.random.key(0)), []
    for _ in range(3):
        state = env.step(state, jnp.array([-1.0, 0.5]))
        ended.append(float(state.info["terminated"]))
    np.testing.assert_allclose(state.obs, [-10, 20])
    np.testing.assert_allclose(state.reward, 1)
    assert ended == [0, 0, 1]


@pytest.mark.usefixtures("stand_ins")
def test_fields_can_be_mapped():
    tasks = jax.tree.map(lambda *x: jnp.stack(x), *(envs.make("gymnax:Stand", reach=reach) for reach in (1.0, 2.0)))
    seen = jax.vmap(lambda env: env.step(env.reset(jax.random.key(0)), jnp.ones(2)).obs)(tasks)
    np.testing.assert_allclose(seen, [[3, 3], [6, 6]])


def test_steps_are_gymnaxs():
    gymnax = pytest.importorskip("gymnax")
    theirs, params = gymnax.make("Pendulum-v1")
    env = envs.make("gymnax:Pendulum-v1", m=1.5)
    params = params.replace(m=1.5)
    assert env.horizon == params.max_steps_in_episode
    state = jax.jit(env.reset)(jax.random.key(0))
    their_state = state.pipeline_state.physics.state
    step, their_step = jax.jit(env.step), jax.jit(theirs.step_env)
    for action in jax.random.uniform(jax.random.key(1), (20, 1), minval=-1.0):
        state = step(state, action)
        obs, their_state, reward, *_ = their_step(jax.random.key(2), their_state, 2.0 * action, params)
        np.testing.assert_allclose(state.obs, obs, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state.reward, reward, rtol=1e-4, atol=1e-5)


def test_goes_on_beyond_gymnaxs_time_limit_where_ours_is_longer():
    pytest.importorskip("gymnax")
    env = envs.make("gymnax:Pendulum-v1", horizon=300)
    state = jax.jit(env.reset)(jax.random.key(0))

    def step(state, _):
        state = env.step(state, jnp.zeros(1))
        return state, (state.obs, state.done)

    obs, done = jax.lax.scan(step, state, length=300)[1]
    assert not done.any()
    assert np.abs(np.diff(np.asarray(obs), axis=0)).max() < 2  # no jump: no reset


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0"])
def test_discrete_tasks_are_refused(name):
    pytest.importorskip("gymnax")
    with pytest.raises(InvalidSetting, match=f"env 'gymnax:{name}': acts by Discrete.*must be continuous actions"):
        envs.make(f"gymnax:{name}")


def test_images_are_refused():
    pytest.importorskip("gymnax")
    with pytest.raises(InvalidSetting, match="env 'gymnax:Pong-misc': "):
        envs.make("gymnax:Pong-misc")
