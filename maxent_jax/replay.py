"""Replay as a ring of rows: one transition is one row of 32-bit words, so that a batch is one gather.

A float is its own word; smaller numbers, where a task stores its observations in such, share one. The bits of every
number come back as they went in; words are integers, which no backend rounds, flushes or quietens on the way.

The ring's position and size are not stored here. They follow from the number of steps taken, which the trainer keeps
unbatched: a batched position would turn the slice that `add` writes into a scatter.
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Task
from envs.fields import InvalidSetting
from maxent_jax.agents.base import Transition


def check(env: Any) -> None:
    """Refuse a task that does not restore its first observation, to the bit, from what it stores of it.

    Raises:
      InvalidSetting: it does not.
    """
    if type(env).store is Task.store:
        return

    @jax.jit
    def there_and_back(env: Any) -> tuple[jax.Array, jax.Array]:
        state = jax.tree.map(lambda x: x[None], env.reset(jax.random.key(0)))
        zero = jnp.zeros(1)
        new = Transition(state.obs, jnp.zeros((1, env.action_size)), zero, zero, zero, state.obs)
        return state.obs, unpack(pack(new, env), env).obs

    before, after = there_and_back(env)
    if not np.array_equal(before.view(jnp.uint32), after.view(jnp.uint32)):
        name = type(env).__name__
        raise InvalidSetting(f"env {name!r}: restores another observation than it stores; must be the same bits")


def init(capacity: int, env: Any) -> jax.Array:
    """Empty rows for a task's transitions, (capacity, words)."""
    return jnp.zeros((capacity, sum(map(_words, jax.tree.leaves(_layout(env))))), jnp.uint32)


def add(rows: jax.Array, batch: Transition, added: jax.Array, env: Any) -> jax.Array:
    """Write n transitions; n must divide the capacity.

    Args:
      rows: (capacity, words).
      batch: transitions with a leading axis of n.
      added: how many transitions were ever added before; a multiple of n.
      env: the task, which says how it stores an observation.

    Returns:
      The rows, the oldest n overwritten where the ring is full.
    """
    return jax.lax.dynamic_update_slice(rows, pack(batch, env), (added % rows.shape[0], jnp.zeros_like(added)))


def sample(rows: jax.Array, added: jax.Array, key: jax.Array, count: int, env: Any) -> Transition:
    """Draw transitions uniformly, with replacement.

    Args:
      rows: (capacity, words).
      added: how many transitions were ever added; at least 1.
      key: randomness.
      count: how many to draw.
      env: the task whose transitions they are.

    Returns:
      Transitions with a leading axis of `count`.
    """
    chosen = jax.random.randint(key, (count,), 0, jnp.minimum(added, rows.shape[0]))
    return unpack(rows[chosen], env)


def pack(batch: Transition, env: Any) -> jax.Array:
    """Transitions with a leading axis of n as rows, (n, words)."""
    parts = jax.tree.leaves(jax.vmap(lambda one: _stored(one, env))(batch))
    return jnp.concatenate([_to_words(part) for part in parts], axis=-1)


def unpack(rows: jax.Array, env: Any) -> Transition:
    """The transitions of which `pack` made these rows."""
    shapes, tree = jax.tree.flatten(_layout(env))
    *cuts, _ = itertools.accumulate(map(_words, shapes))
    parts = map(_from_words, jnp.split(rows, cuts, axis=-1), shapes)
    obs, next_obs, action, numbers = jax.tree.unflatten(tree, parts)
    obs, next_obs = jax.vmap(env.restore)(obs), jax.vmap(env.restore)(next_obs)
    return Transition(obs, action, numbers[..., 0], numbers[..., 1], numbers[..., 2], next_obs)


def _stored(one: Transition, env: Any) -> Any:
    """What a row holds of a transition: a tree of vectors."""
    numbers = jnp.stack([one.reward, one.terminated, one.duration.astype(jnp.float32)])
    return env.store(one.obs), env.store(one.next_obs), one.action, numbers


def _layout(env: Any) -> Any:
    """The shapes and types of what a row holds."""
    obs, action, number = jnp.zeros(env.observation_size), jnp.zeros(env.action_size), jnp.zeros(())
    return jax.eval_shape(lambda: _stored(Transition(obs, action, number, number, number, obs), env))


def _words(vector: Any) -> int:
    """Words that hold a vector, given as its shape and type."""
    return math.ceil(vector.size * vector.dtype.itemsize / 4)


def _to_words(vectors: jax.Array) -> jax.Array:
    """(n, k) numbers as (n, words); the last word is filled with zeros."""
    each = 4 // vectors.dtype.itemsize
    if each > 1:
        vectors = jnp.pad(vectors, ((0, 0), (0, -vectors.shape[1] % each))).reshape(vectors.shape[0], -1, each)
    return jax.lax.bitcast_convert_type(vectors, jnp.uint32)


def _from_words(words: jax.Array, like: Any) -> jax.Array:
    """(n, words) as (n, k) numbers of a vector's shape and type."""
    return jax.lax.bitcast_convert_type(words, like.dtype).reshape(words.shape[0], -1)[:, : like.size]
