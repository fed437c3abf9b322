"""Replay as a ring of rows: one transition is one float32 row, so that a batch is one gather.

The ring's position and size are not stored here. They follow from the number of steps taken, which the trainer keeps
unbatched: a batched position would turn the slice that `add` writes into a scatter.
"""

from typing import Any

import jax
import jax.numpy as jnp

from maxent_jax.agents.base import Transition


def row_size(observation_size: int, action_size: int) -> int:
    """Numbers in a row."""
    return 2 * observation_size + action_size + 3


def init(capacity: int, observation_size: int, action_size: int) -> jax.Array:
    """Empty rows, (capacity, row size)."""
    return jnp.zeros((capacity, row_size(observation_size, action_size)))


def add(rows: jax.Array, batch: Transition, added: jax.Array) -> jax.Array:
    """Write n transitions; n must divide the capacity.

    Args:
      rows: (capacity, row size).
      batch: transitions with a leading axis of n.
      added: how many transitions were ever added before; a multiple of n.

    Returns:
      The rows, the oldest n overwritten where the ring is full.
    """
    return jax.lax.dynamic_update_slice(rows, _pack(batch), (added % rows.shape[0], jnp.zeros_like(added)))


def sample(rows: jax.Array, added: jax.Array, key: jax.Array, count: int, like: Any) -> Transition:
    """Draw transitions uniformly, with replacement.

    Args:
      rows: (capacity, row size).
      added: how many transitions were ever added; at least 1.
      key: randomness.
      count: how many to draw.
      like: an `EnvSpec`, for the sizes.

    Returns:
      Transitions with a leading axis of `count`.
    """
    chosen = jax.random.randint(key, (count,), 0, jnp.minimum(added, rows.shape[0]))
    return _unpack(rows[chosen], like.observation_size, like.action_size)


def _pack(batch: Transition) -> jax.Array:
    numbers = jnp.stack([batch.reward, batch.terminated, batch.duration.astype(jnp.float32)], axis=-1)
    return jnp.concatenate([batch.obs, batch.next_obs, batch.action, numbers], axis=-1)


def _unpack(rows: jax.Array, o: int, a: int) -> Transition:
    obs, next_obs, action, numbers = jnp.split(rows, (o, 2 * o, 2 * o + a), axis=-1)
    return Transition(obs, action, numbers[..., 0], numbers[..., 1], numbers[..., 2], next_obs)
