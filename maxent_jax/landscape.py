"""Soft against plain: how alike two Q landscapes are over a sample of actions, and where to switch.

One function, used by the agent, the figures and the tests.
"""

import jax
import jax.numpy as jnp


def similarity(soft_q: jax.Array, plain_q: jax.Array) -> jax.Array:
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
      >>> float(similarity(jnp.array([1.0, 2.0, 3.0]), jnp.array([-5.0, -3.0, -1.0])))
      1.0
    """
    soft, soft_flat = _shape_of(soft_q)
    plain, plain_flat = _shape_of(plain_q)
    lengths = jnp.linalg.norm(soft, axis=-1) * jnp.linalg.norm(plain, axis=-1)
    cosine = jnp.sum(soft * plain, axis=-1) / jnp.where(soft_flat | plain_flat, 1.0, lengths)
    return jnp.where(soft_flat & plain_flat, 1.0, jnp.minimum(cosine, 1.0))


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
      similarity: (...) similarities.
      threshold: a threshold <= 0 never switches, one above 1 always does.

    Returns:
      (...) booleans: similarity < threshold.
    """
    return similarity < threshold
