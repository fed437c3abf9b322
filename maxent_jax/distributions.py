"""The two action distributions: a diagonal normal, and the same squashed by tanh."""

import math

import jax
import jax.numpy as jnp

LOG_2_PI = math.log(2 * math.pi)


def normal_sample(mean: jax.Array, log_std: jax.Array, key: jax.Array) -> jax.Array:
    """A reparameterised draw; shapes (..., d), (..., d) -> (..., d)."""
    return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)


def normal_log_prob(x: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """Log-density of a diagonal normal; (..., d) -> (...)."""
    z = (x - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * z**2 - log_std - 0.5 * LOG_2_PI, axis=-1)


def normal_entropy(log_std: jax.Array) -> jax.Array:
    """Differential entropy of a diagonal normal; (..., d) -> (...)."""
    return jnp.sum(log_std + 0.5 * (LOG_2_PI + 1.0), axis=-1)


def tanh_log_prob(x: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """Log-density of tanh(x) where x is from a diagonal normal.

    The log-determinant log(1 - tanh(x)^2) is taken as 2 (log 2 - x - softplus(-2 x)), which stays finite and exact
    where tanh(x) rounds to 1.

    Args:
      x: (..., d) values before the squash.
      mean: (..., d) mean before the squash.
      log_std: (..., d) log standard deviation before the squash.

    Returns:
      (...) log-densities with respect to the squashed action.
    """
    log_determinant = 2.0 * (math.log(2.0) - x - jax.nn.softplus(-2.0 * x))
    return normal_log_prob(x, mean, log_std) - jnp.sum(log_determinant, axis=-1)
