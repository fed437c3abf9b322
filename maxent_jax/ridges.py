"""A landscape over actions drawn from few of its values: piecewise linear along each axis of the policy.

Its values at a few chosen points are enough to say, by one matrix product, what it is about at any number of the
policy's draws; so similarities over draws (`maxent_jax.landscape`) keep their meaning, and their thresholds.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

SETS = 6
"""Samples over which a similarity is averaged."""
POOL = 64
"""Samples among which these are chosen."""


def knots(size: int) -> np.ndarray:
    """Where each of `size` axes is looked at: (k,) standard deviations, on both sides of 0, and 0.

    Most draws lie sqrt(size) from the middle: half way there, and where there are few beyond. A single axis is all that
    there is of its landscape, a cliff in it too: there twice as many.
    """
    sides = np.array([0.3, 0.75, 1.3, 2.0]) if size == 1 else np.array([0.5, 1.0]) * np.sqrt(size) + [0.0, 0.75]
    return np.concatenate([-sides[::-1], [0.0], sides])


def points(size: int) -> jax.Array:
    """Where a landscape over `size` dimensions is asked for: (p, size) deviations, the middle last."""
    at = knots(size)
    sides = [knot * np.eye(size) for knot in at[at != 0]]
    return jnp.asarray(np.concatenate([*sides, np.zeros((1, size))]), jnp.float32)


def at_draws(q: jax.Array, size: int, samples: int) -> jax.Array:
    """Values at draws of a standard normal, from those at `points`.

    Args:
      q: (..., p) values.
      size: dimensions.
      samples: draws in a sample.

    Returns:
      (..., SETS, samples) values, always at the same draws; beyond the outer points the lines go on.
    """
    middle = q[..., -1:]
    # from the middle up, so that a landscape that is flat stays flat to the last bit
    found = middle + (q - middle) @ jnp.asarray(_weights(size, samples))
    return found.reshape(*q.shape[:-1], SETS, samples)


def draws(size: int, samples: int) -> np.ndarray:
    """(SETS, samples, size) deviations that say of a landscape about what any number of samples say on average.

    A similarity hangs on how the draws of its sample fell, above all on how deep the lowest lies. So each draw comes
    with its opposite, their variances and covariances are those of the normal, and of many such samples those are
    chosen, one after the other, that say of random slopes most nearly what all say together.
    """
    random = np.random.default_rng(0)
    half = random.normal(size=(POOL, -(-samples // 2), size))
    covariance = half.swapaxes(1, 2) @ half / half.shape[1] + 1e-6 * np.eye(size)  # fewer draws than axes have none
    half = np.linalg.solve(np.linalg.cholesky(covariance), half.swapaxes(1, 2)).swapaxes(1, 2)
    pool = np.concatenate([half, -half], axis=1)[:, :samples]
    soft, other = random.normal(size=(2, size, 256))
    share = random.uniform(size=256)
    plain = share * soft + (1 - share) * other
    alike = np.stack([_cosine(sample @ soft, sample @ plain) for sample in pool])
    off, chosen = alike - alike.mean(axis=0), []
    for _ in range(SETS):
        error = np.square(off[chosen].sum(axis=0) + off).mean(axis=1)
        error[chosen] = np.inf
        chosen.append(int(np.argmin(error)))
    return pool[chosen]


def _cosine(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The published similarity (n,) of landscapes (samples, n), as numpy: the choice is the same on every device."""
    u, v = u - u.min(axis=0), v - v.min(axis=0)
    return (u * v).sum(axis=0) / np.sqrt((u * u).sum(axis=0) * (v * v).sum(axis=0))


@functools.cache
def _weights(size: int, samples: int) -> np.ndarray:
    """(p, SETS samples): what each point has to say about each draw."""
    at, where = knots(size), draws(size, samples).reshape(-1, size)
    # one axis at a time: (draws, size, k), the weights of the two knots around a draw
    left = np.clip(np.searchsorted(at, where) - 1, 0, len(at) - 2)
    share = ((where - at[left]) / (at[left + 1] - at[left]))[..., None]
    each = np.eye(len(at))[left] * (1 - share) + np.eye(len(at))[left + 1] * share
    middle = each[:, :, at == 0].sum(axis=(1, 2)) - (size - 1)  # every axis starts from it, it counts once
    sides = each[:, :, at != 0].transpose(2, 1, 0).reshape(-1, len(where))
    return np.concatenate([sides, middle[None]]).astype(np.float32)
