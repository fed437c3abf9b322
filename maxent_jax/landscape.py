"""Soft against plain: how alike two Q landscapes are over a sample of actions, and where to switch.

Each measure of `METRICS` takes soft and plain values (..., n) at the same n actions and gives (...) numbers, 1 where
the landscapes are alike; what is below an agent's threshold is switched. `cosine` is the published one. A threshold
means something else for each: 0.9 is usual for `cosine`, and says of `regret` that a tenth of the spread is lost; of
unrelated landscapes `pearson` and `spearman` are about 0 (the cosine is 0.86), so that theirs lie lower, about 0.3.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Metric = Callable[[jax.Array, jax.Array], jax.Array]


def cosine(soft_q: jax.Array, plain_q: jax.Array) -> jax.Array:
    """Cosine similarity of two landscapes, each measured from its own lowest value.

    A landscape that is constant over the sample has no direction: one constant and one not count as 0, both constant as
    1. Note that two *unrelated* landscapes of 100 normal values have a similarity of about 0.86, not 0.

    Args:
      soft_q: (..., n) soft values at n actions.
      plain_q: (..., n) plain values at the same actions.

    Returns:
      (...) similarities in [0, 1].

    References:
      "When Maximum Entropy Misleads Policy Optimization", ICML 2025, https://arxiv.org/abs/2506.05615

    Example:
      >>> import jax.numpy as jnp
      >>> float(cosine(jnp.array([1.0, 2.0, 3.0]), jnp.array([-5.0, -3.0, -1.0])))
      1.0
    """
    soft, soft_flat = _shape_of(soft_q)
    plain, plain_flat = _shape_of(plain_q)
    return _angle(soft, plain, soft_flat, plain_flat)


def pearson(soft_q: jax.Array, plain_q: jax.Array) -> jax.Array:
    """Correlation of two landscapes: the cosine of their deviations from their means.

    Unlike `cosine` it does not depend on how deep the lowest of the samples happens to lie. Constant landscapes count
    as in `cosine`.

    Args:
      soft_q: (..., n) soft values at n actions.
      plain_q: (..., n) plain values at the same actions.

    Returns:
      (...) correlations in [-1, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> float(pearson(jnp.array([1.0, 2.0, 3.0]), jnp.array([5.0, 3.0, 1.0])))
      -1.0
    """
    soft, soft_flat = _shape_of(soft_q)
    plain, plain_flat = _shape_of(plain_q)
    return _angle(_centred(soft), _centred(plain), soft_flat, plain_flat)


def spearman(soft_q: jax.Array, plain_q: jax.Array) -> jax.Array:
    """Correlation of the ranks of two landscapes; equal values share the mean of their ranks.

    Args:
      soft_q: (..., n) soft values at n actions.
      plain_q: (..., n) plain values at the same actions.

    Returns:
      (...) correlations in [-1, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> float(spearman(jnp.array([1.0, 2.0, 3.0]), jnp.array([0.0, 1.0, 100.0])))
      1.0
    """
    return pearson(_ranks(soft_q), _ranks(plain_q))


def regret(soft_q: jax.Array, plain_q: jax.Array) -> jax.Array:
    """One minus what the soft landscape's best sample loses of plain value, as a share of the plain values' spread.

    Args:
      soft_q: (..., n) soft values at n actions; the first of equal ones is the best.
      plain_q: (..., n) plain values at the same actions; where they are all equal, nothing is lost.

    Returns:
      (...) numbers in [0, 1]: 1 where the soft landscape's best sample is the plain one's best, 0 where its worst.

    Example:
      >>> import jax.numpy as jnp
      >>> float(regret(jnp.array([1.0, 2.0, 3.0]), jnp.array([0.0, 8.0, 6.0])))
      0.75
    """
    plain, flat = _shape_of(plain_q)
    kept = jnp.take_along_axis(plain, jnp.argmax(soft_q, axis=-1, keepdims=True), axis=-1)[..., 0]
    return jnp.where(flat, 1.0, kept)


METRICS: dict[str, Metric] = {"cosine": cosine, "pearson": pearson, "spearman": spearman, "regret": regret}
LOWEST = {"cosine": 0.0, "pearson": -1.0, "spearman": -1.0, "regret": 0.0}
"""The lowest value of each: an agent whose threshold is not above it never switches."""


def _centred(q: jax.Array) -> jax.Array:
    return q - q.mean(axis=-1, keepdims=True)


def _angle(u: jax.Array, v: jax.Array, u_flat: jax.Array, v_flat: jax.Array) -> jax.Array:
    """Cosine of the angle between vectors (..., n); 1 where both landscapes are flat, 0 where one is."""
    lengths = jnp.linalg.norm(u, axis=-1) * jnp.linalg.norm(v, axis=-1)
    found = jnp.clip(jnp.sum(u * v, axis=-1) / jnp.where(u_flat | v_flat, 1.0, lengths), -1.0, 1.0)
    return jnp.where(u_flat & v_flat, 1.0, found)


def _ranks(q: jax.Array) -> jax.Array:
    """Ranks (..., n) of values (..., n); equal values share the mean of theirs."""
    below = jnp.sum(q[..., None, :] < q[..., :, None], axis=-1)
    equal = jnp.sum(q[..., None, :] == q[..., :, None], axis=-1)
    return below + 0.5 * equal


def _shape_of(q: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A landscape shifted to minimum 0 and scaled to maximum 1, and whether it is constant.

    The scale cancels in the cosine; without it the squares of large or tiny values leave the range of float32.
    """
    q = jnp.asarray(q)
    q = q if jnp.issubdtype(q.dtype, jnp.floating) else q.astype(jnp.float32)
    shifted = q - q.min(axis=-1, keepdims=True)
    height = shifted.max(axis=-1, keepdims=True)
    flat = height == 0
    return shifted / jnp.where(flat, 1.0, height), flat[..., 0]


def misled(similarity: jax.Array, threshold: jax.Array | float) -> jax.Array:
    """Where the landscapes disagree so much that the plain one should lead.

    Args:
      similarity: (...) similarities by any of `METRICS`.
      threshold: one at or below the metric's lowest value (0 or -1) never switches, one above 1 always does.

    Returns:
      (...) booleans: similarity < threshold.
    """
    return similarity < threshold
