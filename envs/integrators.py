"""Rules that integrate equations of motion."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Slope = Callable[[jax.Array], jax.Array]
Scheme = Callable[[Slope, jax.Array, jax.Array], jax.Array]


def runge_kutta(slope: Slope, motion: jax.Array, seconds: jax.Array, unroll: bool = False) -> jax.Array:
    """One step of the classical fourth-order rule.

    Args:
      slope: the time derivative of a motion, as long as it.
      motion: (n,) where the step begins.
      seconds: the length of the step.
      unroll: write the four stages out, for cheap slopes (1024 acrobots: a fifth faster). Without, they are a loop:
        each place that asks MJX adds about a second of compilation.

    Returns:
      (n,) where the step ends.
    """

    def stage(carry: tuple[jax.Array, jax.Array], row: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        end, last = carry
        ahead, weight = row * seconds
        last = slope(motion + ahead * last)
        return (end + weight * last, last), None

    rows = jnp.array([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]], jnp.float32)
    return jax.lax.scan(stage, (motion, jnp.zeros_like(motion)), rows, unroll=len(rows) if unroll else 1)[0][0]


def wrap(angle: jax.Array) -> jax.Array:
    """An angle in rad brought to [-pi, pi]."""
    return angle - 2 * jnp.pi * jnp.round(angle / (2 * jnp.pi))
