"""Running mean and variance of observations."""

import flax.struct
import jax
import jax.numpy as jnp

CLIP = 10.0


class Statistics(flax.struct.PyTreeNode):
    """Of all observations so far: (o,) mean, (o,) variance, and their number."""

    mean: jax.Array
    variance: jax.Array
    count: jax.Array


def init(size: int) -> Statistics:
    """Statistics that leave observations as they are."""
    return Statistics(jnp.zeros(size), jnp.ones(size), jnp.zeros(()))


def update(statistics: Statistics, obs: jax.Array) -> Statistics:
    """Include (n, o) observations (parallel variance of Chan et al.)."""
    new, old = jnp.float32(obs.shape[0]), statistics.count
    total = old + new
    shift = obs.mean(0) - statistics.mean
    variance = (statistics.variance * old + obs.var(0) * new + shift**2 * old * new / total) / total
    return Statistics(statistics.mean + shift * new / total, variance, total)


def normalise(statistics: Statistics, obs: jax.Array) -> jax.Array:
    """Shift and scale (..., o) observations, within +-10 standard deviations."""
    scaled = (obs - statistics.mean) * jax.lax.rsqrt(statistics.variance + 1e-8)
    return jnp.clip(scaled, -CLIP, CLIP)
