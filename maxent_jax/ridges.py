"""A landscape over actions drawn from few of its values: piecewise linear along each axis of the policy.

Its values at a few chosen points are enough to say, by one matrix product, what it is about at any number of the
policy's draws; so similarities over draws (`maxent_jax.landscape`) keep their meaning, and their thresholds.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

SETS = 8
"""Samples over which a similarity is averaged, so that it does not hang on how one of them fell."""


def knots(size: int) -> np.ndarray:
    """Where each of `size` axes is looked at: (5,) standard deviations, the third is the middle.

    Most draws lie sqrt(size) from the middle: half way there, and where there are few beyond.
    """
    near, far = 0.5 * np.sqrt(size), 0.75 + np.sqrt(size)
    return np.array([-far, -near, 0.0, near, far])


def points(size: int) -> jax.Array:
    """Where a landscape over `size` dimensions is asked for: (4 size + 1, size) deviations, the middle last."""
    sides = [knot * np.eye(size) for knot in np.delete(knots(size), 2)]
    return jnp.asarray(np.concatenate([*sides, np.zeros((1, size))]), jnp.float32)


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
    at = knots(size)
    # one axis at a time: (draws, size, 5), the weights of the two knots around a draw
    left = np.clip(np.searchsorted(at, draws) - 1, 0, len(at) - 2)
    share = ((draws - at[left]) / (at[left + 1] - at[left]))[..., None]
    each = np.eye(len(at))[left] * (1 - share) + np.eye(len(at))[left + 1] * share
    middle = each[:, :, 2].sum(axis=1) - (size - 1)  # every axis starts from it, it counts once
    sides = np.delete(each, 2, axis=2).transpose(2, 1, 0).reshape(-1, len(draws))
    return np.concatenate([sides, middle[None]]).astype(np.float32)
