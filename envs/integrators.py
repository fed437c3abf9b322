"""Rules that integrate equations of motion, and how long their steps may be."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.fields import InvalidSetting, show

Motion = Any
"""Numbers that change in time: an array, or a tree of arrays."""
Slope = Callable[[Motion], Motion]
Scheme = Callable[[Slope, Motion, jax.Array], Motion]

# Longest stable step times the rate of a motion that decays (1/s) or the angular frequency of one that swings (rad/s).
RUNGE_KUTTA_DECAY = 2.785
RUNGE_KUTTA_SWING = 8**0.5
MIDPOINT_DECAY = 2.0
SEMI_IMPLICIT_SWING = 2.0


def check_stable(field: str, value: Any, rate: Any, seconds: Any, limit: float) -> None:
    """Refuse steps that are so long that a motion which should decay, or swing on, grows without bound.

    Args:
      field: the field to name.
      value: its value.
      rate: of the task's fastest motion, 1/s; an array where fields come stacked.
      seconds: the length of a step, likewise.
      limit: what rate times seconds must not be above.

    Raises:
      InvalidSetting: it is above.
    """
    product = np.multiply(rate, seconds)
    if np.any(product > limit):
        raise InvalidSetting(
            f"env.{field} = {show(value)}: makes steps of {show(seconds)} s unstable; they must be <= {limit:.4g} / "
            f"(the rate of the fastest motion, {show(rate)} 1/s)"
        )


def runge_kutta(slope: Slope, motion: Motion, seconds: jax.Array, unroll: bool = False) -> Motion:
    """One step of the classical fourth-order rule.

    Args:
      slope: the time derivative of a motion, shaped as it.
      motion: where the step begins.
      seconds: the length of the step.
      unroll: write the four stages out, for cheap slopes (1024 acrobots: a fifth faster). Without, they are a loop:
        each place that asks MJX adds about a second of compilation.

    Returns:
      Where the step ends.
    """

    def along(start: Motion, share: jax.Array, last: Motion) -> Motion:
        return jax.tree.map(lambda x, rate: x + share * rate, start, last)

    def stage(carry: tuple[Motion, Motion], row: jax.Array) -> tuple[tuple[Motion, Motion], None]:
        end, last = carry
        ahead, weight = row * seconds
        last = slope(along(motion, ahead, last))
        return (along(end, weight, last), last), None

    rows = jnp.array([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]], jnp.float32)
    still = jax.tree.map(jnp.zeros_like, motion)
    return jax.lax.scan(stage, (motion, still), rows, unroll=len(rows) if unroll else 1)[0][0]


def wrap(angle: jax.Array) -> jax.Array:
    """An angle in rad brought to [-pi, pi]."""
    return angle - 2 * jnp.pi * jnp.round(angle / (2 * jnp.pi))
