import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import envs
from envs import fields
from envs.fields import InvalidSetting
from envs.pendulum import Pendulum
from envs.quadruped import Quadruped
from maxent_jax import api, replay
from maxent_jax.agents.base import Transition

pytestmark = pytest.mark.usefixtures("quick_compile")

ENV = envs.make("pendulum")  # 3 observations, 1 action


def transitions(first: int, count: int) -> Transition:
    """Transitions whose every number tells which one it is of."""
    n = jnp.arange(first, first + count, dtype=jnp.float32)
    return Transition(
        obs=n[:, None] + jnp.array([0.0, 0.1, 0.2]),
        action=n[:, None] + 0.3,
        reward=n + 0.4,
        terminated=n % 2,
        duration=(n.astype(jnp.int32) % 3),
        next_obs=n[:, None] + jnp.array([0.5, 0.6, 0.7]),
    )


def filled(capacity: int, envs_: int, added: int) -> jax.Array:
    rows = replay.init(capacity, ENV)
    for start in range(0, added, envs_):
        rows = replay.add(rows, transitions(start, envs_), jnp.int32(start), ENV)
    return rows


def drawn_numbers(rows: jax.Array, added: int, count: int, seed: int = 0) -> np.ndarray:
    batch = replay.sample(rows, jnp.int32(added), jax.random.key(seed), count, ENV)
    return np.asarray(jnp.round(batch.reward - 0.4), int)


def test_what_goes_in_comes_out():
    rows = filled(capacity=12, envs_=3, added=9)
    batch = replay.sample(rows, jnp.int32(9), jax.random.key(0), 200, ENV)
    number = np.asarray(jnp.round(batch.reward - 0.4), int)
    originals = transitions(0, 9)
    assert set(number) == set(range(9))  # all of them, and no empty row
    jax.tree.map(lambda got, put: np.testing.assert_array_equal(got, np.asarray(put)[number]), batch, originals)


@pytest.mark.parametrize(("envs_", "added"), [(1, 13), (1, 8), (4, 20), (8, 24)])
def test_a_full_ring_holds_the_newest(envs_, added):
    rows = filled(capacity=8, envs_=envs_, added=added)
    assert set(drawn_numbers(rows, added, 300)) == set(range(added - 8, added))


@pytest.mark.parametrize(("added", "kept"), [(20, 20), (70, 50)])
def test_draws_are_uniform(added, kept):
    rows = filled(capacity=50, envs_=10, added=added)
    counts = np.bincount(drawn_numbers(rows, added, 20_000) - (added - kept), minlength=kept)
    assert len(counts) == kept
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_draws_follow_the_key():
    rows = filled(capacity=50, envs_=10, added=50)
    assert np.array_equal(drawn_numbers(rows, 50, 20), drawn_numbers(rows, 50, 20))
    assert not np.array_equal(drawn_numbers(rows, 50, 20), drawn_numbers(rows, 50, 20, seed=1))


def test_a_row_has_a_word_for_every_number():
    rows = replay.init(5, ENV)
    assert (rows.shape, rows.dtype.itemsize) == ((5, 3 + 3 + 1 + 3), 4)


def assert_same_bits(one, other):
    view = lambda leaf: np.asarray(leaf).view(np.uint32)  # noqa: E731
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(view(a), view(b)), one, other)


def test_every_bit_of_a_float_comes_back():
    patterns = np.random.default_rng(0).integers(0, 2**32, (1000, 3), np.uint32)
    patterns[:7, 0] = 0x00000001, 0x80000000, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC0BEEF, 0xFFFFFFFF  # NaNs, too
    obs = jnp.asarray(patterns.view(np.float32))
    batch = transitions(0, 1000).replace(obs=obs, duration=jnp.ones(1000))
    back = jax.jit(lambda batch: replay.unpack(replay.pack(batch, ENV), ENV))(batch)
    assert_same_bits(back, batch)


class Mixed(Pendulum):
    """Three small whole numbers, stored in a byte, in two bytes, and in four."""

    def observe(self, physics):
        return jnp.round(super().observe(physics))

    def store(self, obs):
        return {"byte": obs[:1].astype(jnp.int8), "two": obs[1:2].astype(jnp.int16), "four": obs[2:].astype(jnp.int32)}

    def restore(self, stored):
        return jnp.concatenate([stored["byte"], stored["two"], stored["four"]]).astype(jnp.float32)


def test_numbers_of_one_and_two_bytes_come_back():
    env, n = fields.build(Mixed, {}), jnp.arange(256)
    obs = jnp.stack([n - 128, 257 * n - 32768, 65537 * (n - 128)], axis=1).astype(jnp.float32)
    batch = transitions(0, 256).replace(obs=obs, next_obs=obs[::-1], duration=jnp.ones(256))
    back = jax.jit(lambda batch: replay.unpack(replay.pack(batch, env), env))(batch)
    jax.tree.map(np.testing.assert_array_equal, back, batch)


class Rounded(Mixed):
    """Other observations than its parent's: `Mixed` would lose most of them."""

    def observe(self, physics):
        return super().observe(physics) + 0.25


class Shift:
    def observe(self, physics):
        return super().observe(physics) + 0.25


class Shifted(Shift, Mixed):
    """Likewise, by a class that is no task."""


class Renamed(Mixed):
    """The same observations under a new name."""


@pytest.mark.parametrize("kind", [Rounded, Shifted])
def test_a_new_observation_is_stored_as_it_is(kind):
    env, obs = fields.build(kind, {}), jnp.array([0.25, -0.75, 3.25])
    np.testing.assert_array_equal(env.restore(env.store(obs)), obs)
    replay.check(env)


def test_an_old_observation_is_stored_as_the_parent_stores_it():
    replay.check(fields.build(Renamed, {}))
    assert Renamed.store is Mixed.store


class Lossy(Pendulum):
    def store(self, obs):
        return obs.astype(jnp.float16)

    def restore(self, stored):
        return stored.astype(jnp.float32)


def test_a_task_that_loses_some_of_its_observation_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match=r"env 'Lossy': restores another observation than it stores; must be the"):
        api.prepare("sac", fields.build(Lossy, {}), steps=100, out=tmp_path / "run")


# The quadruped's targets are whole degrees: a byte each.


class Plain(Quadruped):
    """The same task, stored as float32."""

    def observe(self, physics):
        return super().observe(physics)


def walked(env, count):
    """Transitions of the quadruped through random states, without its physics."""
    start, keys = env.start(jax.random.key(0)), jax.random.split(jax.random.key(1), 4)
    history = jax.random.randint(keys[0], (count, 30, 8), -127, 128, jnp.int8)
    qpos = jax.random.normal(keys[1], (count, 15))

    def look(history, qpos):
        motion = start.motion.replace(qpos=qpos)
        return env.begin(start.replace(motion=motion, history=history), jax.random.key(2)).obs

    obs = jax.vmap(look)(history, qpos)
    zero = jnp.zeros(count)
    return Transition(obs, jax.random.normal(keys[2], (count, 8)), zero, zero, zero + 1, jnp.roll(obs, 1, axis=0))


@pytest.mark.parametrize("values", [{}, {"observe_time": True}, {"reach": 97.3}, {"observation_noise": 0.1}])
def test_a_learner_gets_the_quadrupeds_transitions_to_the_bit(values):
    def draw(env, made):
        rows = replay.add(replay.init(64, env), made, jnp.int32(0), env)
        return replay.sample(rows, jnp.int32(64), jax.random.key(0), 256, env)

    packed, plain = fields.build(Quadruped, values), fields.build(Plain, values)
    made = jax.jit(lambda env: walked(env, 64))(packed)
    assert_same_bits(made, jax.jit(lambda env: walked(env, 64))(plain))
    assert_same_bits(jax.jit(draw)(packed, made), jax.jit(draw)(plain, made))
    noisy = values.get("observation_noise") is not None
    assert (replay.init(1, packed).shape == replay.init(1, plain).shape) == noisy


def test_a_grid_over_the_quadrupeds_reach_keeps_every_bit():
    reaches = np.float32([110.0, 97.3, 127.0, 33.0, 0.1, *np.random.default_rng(0).uniform(1, 127, 27)])
    env = fields.build(Quadruped, {})
    axes = jax.tree.map(lambda _: None, env).replace(reach=0)

    @jax.jit
    def there_and_back(env):
        def one(env):
            made = walked(env, 40)
            rows = replay.add(replay.init(40, env), made, jnp.int32(0), env)
            return made, replay.unpack(rows, env)

        return jax.vmap(one, in_axes=(axes,))(env)

    made, back = there_and_back(env.replace(reach=reaches))
    assert_same_bits(made, back)
    assert len(np.unique(made.obs[:, 0, 10] / made.obs[:, 0, 11])) < len(np.unique(made.obs[:, 0, 10])) == 32


@pytest.mark.parametrize("observe_time", [False, True])
def test_replay_of_the_quadruped_takes_at_most_a_third_of_its_floats(observe_time):
    packed, plain = (fields.build(kind, {"observe_time": observe_time}) for kind in (Quadruped, Plain))
    numbers = 2 * packed.observation_size + packed.action_size + 3
    assert replay.init(7, plain).nbytes == 7 * 4 * numbers
    assert replay.init(7, packed).nbytes <= 7 * 4 * numbers / 3
