import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import envs
from maxent_jax import replay
from maxent_jax.agents.base import Transition

SPEC = envs.spec("pendulum")  # 3 observations, 1 action


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
    rows = replay.init(capacity, 3, 1)
    for start in range(0, added, envs_):
        rows = replay.add(rows, transitions(start, envs_), jnp.int32(start))
    return rows


def drawn_numbers(rows: jax.Array, added: int, count: int, seed: int = 0) -> np.ndarray:
    batch = replay.sample(rows, jnp.int32(added), jax.random.key(seed), count, SPEC)
    return np.asarray(jnp.round(batch.reward - 0.4), int)


def test_what_goes_in_comes_out():
    rows = filled(capacity=12, envs_=3, added=9)
    batch = replay.sample(rows, jnp.int32(9), jax.random.key(0), 200, SPEC)
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


def test_row_size_counts_every_number():
    assert replay.init(5, 3, 1).shape == (5, replay.row_size(3, 1)) == (5, 3 + 3 + 1 + 3)
