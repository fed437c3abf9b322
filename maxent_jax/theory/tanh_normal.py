"""What a squashed normal, the policy of SAC, can reach where exact soft policies are known: it has one bump.

The state is a room in which the actions of a box around 0 earn one reward and all others another (the toy's good state,
the narrow room of `bandit_chain`), beside a room in which all actions earn the same. An exact soft policy follows the
box's edges; a squashed normal is narrower than the box, or spills over.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from scipy import special

from maxent_jax.theory.mdp import as_float64, as_temperature

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(200)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
WIDEST = 20.0
"""Largest standard deviation that is looked at; the entropy is highest near 0.9."""
HIGHEST = 100.0
"""Temperature up to which a crossing is looked for, in units of the difference of rewards."""


class Best(NamedTuple):
    """The best squashed normal in a room.

    Attributes:
      value: its soft value.
      std: its standard deviation before tanh, the same for every number of the action.
      hit: with what probability its action is in the box.
    """

    value: float
    std: float
    hit: float


def entropy(std: Any) -> np.ndarray:
    """Differential entropy (...), in nats, of tanh(std x) with x standard normal, by Gauss-Hermite quadrature.

    Args:
      std: (...) standard deviations > 0.

    Raises:
      ValueError: others.

    Example:
      >>> float(entropy(1e-3) - entropy(1e-4)).__round__(4)  # narrow: that of the normal itself
      2.3026
    """
    std = as_float64(std, "std")
    if np.any(std <= 0):
        raise ValueError(f"std = {std.min():g}: must be > 0")
    x = std[..., None] * NODES
    log_slope = 2 * (np.log(2) - np.logaddexp(x, -x))
    return 0.5 * np.log(2 * np.pi * np.e) + np.log(std) + log_slope @ WEIGHTS


def best_in_box(size: int, half_width: float, hit: float, miss: float, alpha: float) -> Best:
    """The squashed normal with the highest soft value where a box is good.

    By symmetry it is looked for among those with mean 0 and the same standard deviation in every number.

    Args:
      size: numbers in an action.
      half_width: of the box, in (0, 1).
      hit: reward in the box.
      miss: reward elsewhere.
      alpha: temperature, >= 0, in units of the reward.

    Returns:
      The best one.

    Raises:
      ValueError: a size, width or temperature out of range.

    Example:
      >>> round(best_in_box(1, 0.1, 1.0, -20.0, alpha=1.0).value, 3)  # the toy's good state
      -1.018
    """
    _check(size, alpha)
    if not 0 < half_width < 1:
        raise ValueError(f"half_width = {half_width:g}: must be in (0, 1)")
    edge = np.arctanh(half_width)

    def share(std: Any) -> Any:
        return (2 * special.ndtr(edge / std) - 1) ** size

    def value(std: Any) -> Any:
        return miss + (hit - miss) * share(std) + alpha * size * entropy(std)

    return _best(value, share, narrowest=edge / 100)  # still narrower: all are in the box, and only entropy is lost


def best_anywhere(size: int, safe: float, alpha: float) -> Best:
    """The squashed normal with the highest soft value where every action earns `safe`; all else as `best_in_box`.

    Example:
      >>> round(best_anywhere(1, -1.0, alpha=1.0).value, 3)  # the toy's bad state: all densities reach -1 + log(2)
      -0.316
    """
    _check(size, alpha)
    return _best(lambda std: safe + alpha * size * entropy(std), np.ones_like, narrowest=0.01)


def crossing(size: int, half_width: float, hit: float, miss: float, safe: float) -> float:
    """The temperature above which the best squashed normals prefer the room in which every action earns `safe`.

    Args:
      size: numbers in an action.
      half_width: of the box of good actions in the other room, in (0, 1).
      hit: reward in the box.
      miss: reward elsewhere in that room.
      safe: reward in the other room, between the two.

    Returns:
      The temperature, in units of the reward.

    Raises:
      ValueError: the rewards are not in order, there is no such temperature, or as `best_in_box`.

    Example:
      >>> round(crossing(1, 0.1, 1.0, -20.0, -1.0), 3)  # the toy; over all densities it is 0.869
      0.731
    """
    if not miss < safe < hit:
        raise ValueError(f"safe = {safe:g}: must be between miss, which is {miss:g}, and hit, which is {hit:g}")

    def gap(alpha: float) -> float:
        return best_in_box(size, half_width, hit, miss, alpha).value - best_anywhere(size, safe, alpha).value

    low, high = 1e-6 * (hit - miss), HIGHEST * (hit - miss)
    if not gap(low) > 0 > gap(high):
        raise ValueError(
            f"half_width = {half_width:g}: one room is better at every temperature from {low:g} to {high:g}"
        )
    return float(scipy.optimize.brentq(gap, low, high, xtol=1e-9))  # pyright: ignore


def _check(size: int, alpha: float) -> None:
    if size != int(size) or size < 1:
        raise ValueError(f"size = {size}: must be a whole number >= 1")
    as_temperature(alpha)


def _best(value: Callable[[Any], Any], share: Callable[[Any], Any], narrowest: float) -> Best:
    """The maximum over the standard deviation: the best of a grid, then between its neighbours."""
    stds = np.geomspace(narrowest, WIDEST, 600)
    top = int(np.argmax(value(stds)))
    around = np.log(stds[[max(top - 1, 0), min(top + 1, len(stds) - 1)]])
    found = scipy.optimize.minimize_scalar(
        lambda log_std: -float(value(np.exp(log_std))), bounds=tuple(around), method="bounded", options={"xatol": 1e-10}
    )
    std = float(np.exp(found.x))
    return Best(-float(found.fun), std, float(share(std)))
