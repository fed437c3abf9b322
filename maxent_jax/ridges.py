"""A landscape over actions drawn from few of its values: piecewise linear along each axis of the policy.

Its values at a few chosen points are enough to say, by one matrix product, what it is about at any number of the
policy's draws; so similarities over draws (`maxent_jax.landscape`) keep their meaning, and their thresholds.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

KNOTS = (-1.6, -0.5, 0.5, 1.6)
"""Where an axis is looked at beside its middle, in standard deviations, for a single axis; further out for more."""
SETS = 8
"""Samples over which a similarity is averaged, so that it does not hang on how one of them fell."""


def points(size: int) -> np.ndarray:
    """Where a landscape over `size` dimensions is asked for: (4 size + 1, size) standard deviations, the middle last.

    The distance from the middle grows with the square root of `size`, as that of draws does.
    """
    axes = np.eye(size)
    sides = [knot * np.sqrt(size) * axes for knot in KNOTS]
    return np.concatenate([*sides, np.zeros((1, size))]).astype(np.float32)


def at_draws(q: jax.Array, size: int, samples: int) -> jax.Array:
    """Values at draws of a standard normal, from those at `points`.

    Args:
      q: (..., 4 size + 1) values.
      size: dimensions.
      samples: draws in a sample.

    Returns:
      (..., SETS, samples) values, always at the same draws; beyond the outer points the lines go on.
    """
    middle = q[..., -1:]
    # from the middle up, so that a landscape that is flat stays flat to the last bit
    found = middle + (q - middle) @ jnp.asarray(_weights(size, samples))
    return found.reshape(*q.shape[:-1], SETS, samples)


@functools.cache
def _weights(size: int, samples: int) -> np.ndarray:
    """(4 size + 1, SETS samples): what each point has to say about each draw."""
    draws = np.random.default_rng(0).normal(size=(SETS * samples, size))
    knots = np.sqrt(size) * np.insert(KNOTS, len(KNOTS) // 2, 0.0)
    # one axis at a time: (draws, size, knots), each row the weights of the two knots around a draw
    left = np.clip(np.searchsorted(knots, draws) - 1, 0, len(knots) - 2)
    share = (draws - knots[left]) / (knots[left + 1] - knots[left])
    each = np.eye(len(knots))[left] * (1 - share)[..., None] + np.eye(len(knots))[left + 1] * share[..., None]
    middle = each[:, :, len(KNOTS) // 2].sum(axis=1) - (size - 1)  # every axis starts from it, it counts once
    sides = np.delete(each, len(KNOTS) // 2, axis=2)
    return np.concatenate([sides.transpose(2, 1, 0).reshape(-1, len(draws)), middle[None]]).astype(np.float32)
