"""Exact plain and soft solutions of finite models whose actions are cells of a continuous action set.

An action's `measure` is the volume of its cell. Policies are densities: over the cells of a state, the sum of measure
times density is 1, and an entropy is that of the density. With all measures 1 these are the ordinary discrete formulas.

Everything is numpy in float64, whatever precision JAX runs in. Arrays may have leading axes: many models at once.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import xlogy

MOST_IMPROVEMENTS = 10_000
ROUNDING = 1e-13
"""Differences below this share of the largest value are rounding."""
TOLERANCE = 1e-8
"""What is accepted as solved: a model's error bound, against the largest of its rewards, values and temperatures."""
MOST_STEPS = 1e12
"""A policy that is expected to make more steps than this, each weighted by the discounts before it, never ends."""


class Solution(NamedTuple):
    """What is best in a model.

    Attributes:
      value: (..., S) value of each state.
      q: (..., S, A) value of each action; -inf where it is not available.
      policy: (..., S, A) density of the optimal policy.
      error: (...) the exact values are within this of `value`, in the unit of the rewards. Checked, not estimated: one
        Bellman update moves neither what lies so much above `value` further up, nor what lies so much below down.
    """

    value: np.ndarray
    q: np.ndarray
    policy: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True)
class TabularMDP:
    """A finite model; leading axes are many models.

    Attributes:
      transition: (..., S, A, S) probabilities of the next state.
      reward: (..., S, A) expected rewards.
      discount: (..., S, A) what the next state's value is multiplied by, in [0, 1]; 0 ends the episode.
      measure: (..., S, A) volume of the action's cell; 0: not available, then its reward and transition are 0.

    Raises:
      ValueError: arrays that do not describe a model; the message says which condition fails.

    Example:
      >>> import numpy as np
      >>> stay_or_end = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 5.0]]), np.array([[0.5, 0.0]]), np.ones((1, 2)))
      >>> float(solve(stay_or_end).value[0])
      5.0
    """

    transition: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    measure: np.ndarray

    def __post_init__(self) -> None:
        """Convert to float64 and check."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, as_float64(getattr(self, field.name), field.name))
        shape = self.reward.shape
        if len(shape) < 2:
            raise ValueError(f"reward of shape {shape}: must be (..., states, actions)")
        wanted = {"transition": (*shape, shape[-2]), "discount": shape, "measure": shape}
        for name, expected in wanted.items():
            if getattr(self, name).shape != expected:
                raise ValueError(f"{name} of shape {getattr(self, name).shape}: must be {expected}, as reward says")
        available = self.measure > 0
        if np.any(self.measure < 0):
            raise ValueError(f"measure = {self.measure.min():g}: must be >= 0")
        if not np.all(np.any(available, axis=-1)):
            raise ValueError("measure: every state must have an available action")
        if np.any((self.discount < 0) | (self.discount > 1)):
            raise ValueError("discount: must be in [0, 1]")
        if np.any(self.transition < 0):
            raise ValueError("transition: probabilities must be >= 0")
        off = np.abs(self.transition.sum(axis=-1) - 1)
        if np.any(available & (off > 1e-9)):
            raise ValueError(f"transition: probabilities must sum to 1, but one sum is off by {off[available].max():g}")
        idle = (self.reward == 0) & np.all(self.transition == 0, axis=-1)
        if not np.all(available | idle):
            raise ValueError("reward, transition: must be 0 where measure is 0")

    @property
    def volume(self) -> np.ndarray:
        """(..., S) volume of all actions of a state."""
        return self.measure.sum(axis=-1)


def solve(mdp: TabularMDP) -> Solution:
    """The plain solution, by policy iteration.

    Args:
      mdp: the model or models; discounts of 1 are fine where every policy that never ends earns less, by more than
        rounding, than the best.

    Returns:
      The solution. The policy has all its mass on the first best action: its density there is 1 / measure.

    Raises:
      ValueError: a policy that never ends without discount, or an error above `TOLERANCE`.
    """
    return solve_soft(mdp, 0.0)


def solve_soft(mdp: TabularMDP, alpha: Any) -> Solution:
    """The maximum-entropy solution, by soft policy iteration.

    V(s) = alpha log sum_a measure exp(Q(s, a) / alpha), policy(a | s) = exp((Q(s, a) - V(s)) / alpha). One iteration
    evaluates a policy by a linear solve and improves it: Newton's method for these equations, so that it converges
    quadratically from a policy that is never better than the optimum.

    Args:
      mdp: the model or models.
      alpha: temperature >= 0, a number, or an array whose shape becomes the leading axes of all that is returned,
        before those of the model. 0 is the plain solution.

    Returns:
      The solution or solutions.

    Raises:
      ValueError: as `solve`, and for a negative temperature.

    Example:
      >>> import numpy as np
      >>> model = TabularMDP(np.ones((1, 2, 1)), np.zeros((1, 2)), np.zeros((1, 2)), np.array([[0.5, 1.5]]))
      >>> bool(np.isclose(solve_soft(model, 3.0).value[0], 3 * np.log(2), rtol=1e-15))
      True
    """
    alpha = as_temperature(alpha)
    everywhere = alpha.reshape(alpha.shape + (1,) * (mdp.reward.ndim - 1))
    return solve_by_state(mdp, np.broadcast_to(everywhere, (*alpha.shape, *mdp.reward.shape[:-1])))


def solve_by_state(mdp: TabularMDP, temperature: Any, policy: np.ndarray | None = None) -> Solution:
    """The solution where each state's entropy is paid at a temperature of its own.

    Args:
      mdp: the model or models.
      temperature: (..., S) temperatures >= 0; 0 at a state: nothing is paid there, its value is its best action's.
      policy: (..., S, A) densities from which to begin, of this very shape; None: the uniform ones.

    Returns:
      The solution or solutions, with the leading axes of `temperature`.

    Raises:
      ValueError: as `solve_soft`.

    Example:
      >>> import numpy as np
      >>> on = np.zeros((2, 2, 2))
      >>> on[..., 1] = 1
      >>> chain = TabularMDP(on, np.zeros((2, 2)), np.array([[0.5, 0.5], [0.0, 0.0]]), np.ones((2, 2)))
      >>> solve_by_state(chain, [0.0, 1.0]).value.round(3).tolist()  # entropy is paid at the second state only
      [0.347, 0.693]
    """
    temperature = as_temperature(temperature)
    shape = np.broadcast_shapes(temperature.shape, mdp.reward.shape[:-1])
    temperature = np.broadcast_to(temperature, shape)
    if policy is None:
        policy = np.where(mdp.measure > 0, 1 / mdp.volume[..., None], 0.0)
        policy = np.broadcast_to(policy, (*shape, mdp.reward.shape[-1]))
    value, steps = _worth(mdp, policy, temperature)
    for _ in range(MOST_IMPROVEMENTS):
        before = value
        policy = improve(mdp, action_values(mdp, value), temperature)[1]
        value, steps = _worth(mdp, policy, temperature)
        largest = np.abs(before).max(axis=-1)  # a linear solve spreads its rounding over all states
        rounding = ROUNDING * np.maximum(largest, np.minimum(1.0, _unit(mdp, temperature)))
        if not np.any(value - before > rounding[..., None]):  # better than the last, but for the best
            break
    q = action_values(mdp, value)
    value, policy = improve(mdp, q, temperature)
    return Solution(value, q, policy, _error(mdp, value, temperature, steps))


def evaluate(mdp: TabularMDP, policy: Any, alpha: Any = 0.0) -> np.ndarray:
    """The value of a policy, its entropy paid with alpha.

    Args:
      mdp: the model or models.
      policy: (..., S, A) densities; leading axes as the model's, or more of them.
      alpha: temperature >= 0, a number, or an array whose axes come before those of the model, as for `solve_soft`.

    Returns:
      (..., S) values.

    Raises:
      ValueError: not a policy of this model, a negative temperature, or a policy that never ends without discount.

    Example:
      >>> import numpy as np
      >>> model = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0]]), np.full((1, 2), 0.5), np.ones((1, 2)))
      >>> evaluate(model, [[0.5, 0.5]], [0.0, 1.0]).round(3).tolist()  # 0.5 a step, and ln 2 for its entropy
      [[1.0], [2.386]]
    """
    policy, alpha = as_float64(policy, "policy"), as_temperature(alpha)
    if policy.shape[-2:] != mdp.reward.shape[-2:]:
        raise ValueError(f"policy of shape {policy.shape}: must end in {mdp.reward.shape[-2:]}")
    if np.any(policy < 0) or np.any((policy > 0) & (mdp.measure == 0)):
        raise ValueError("policy: densities must be >= 0, and 0 where an action is not available")
    mass = (mdp.measure * policy).sum(axis=-1)
    if np.any(np.abs(mass - 1) > 1e-9):
        raise ValueError(f"policy: measure times density must sum to 1, but sums to {mass.min():g} to {mass.max():g}")
    return _worth(mdp, policy, alpha.reshape(alpha.shape + (1,) * (mdp.reward.ndim - 1)))[0]


def visits(mdp: TabularMDP, policy: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(..., S) how often a policy is in each state, each visit weighted by the discounts before it.

    Args:
      mdp: the model or models.
      policy: (..., S, A) densities.
      start: (..., S) probabilities of the first state.
    """
    system = np.eye(start.shape[-1]) - _ahead(mdp, policy)
    return np.linalg.solve(np.swapaxes(system, -1, -2), start[..., None])[..., 0]


def _worth(mdp: TabularMDP, policy: np.ndarray, temperature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., S) the value of a policy, its entropy paid at each state's temperature (..., S), and its expected steps.

    A step is weighted by the discounts before it.
    """
    entropy = -(mdp.measure * xlogy(policy, policy)).sum(axis=-1)
    reward = (mdp.measure * policy * mdp.reward).sum(axis=-1) + temperature * entropy
    system = np.eye(reward.shape[-1]) - _ahead(mdp, policy)
    try:
        found = np.linalg.solve(system, np.stack([reward, np.ones(reward.shape)], axis=-1))
    except np.linalg.LinAlgError:
        found = np.full((*reward.shape, 2), np.inf)
    value, steps = found[..., 0], found[..., 1]
    if not np.all((steps > 0.5) & (steps < MOST_STEPS)):  # exact ones are at least 1; rounding makes negative ones, too
        raise ValueError("discount: a policy goes on for ever without discount; must be < 1 there, or end")
    return value, steps


def _error(mdp: TabularMDP, value: np.ndarray, temperature: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(...) how far the exact values may be from these at most.

    What a Bellman update lowers everywhere is above the exact values, and what it raises is below them. So we try what
    lies above and below by a multiple of the expected steps, of which an update uses up one: for an optimal policy's
    steps the multiple of the largest residual suffices, and where another policy's residuals last longer it grows.

    Raises:
      ValueError: there is no such bound below `TOLERANCE`.
    """

    def lowered(x: np.ndarray) -> np.ndarray:
        return x - improve(mdp, action_values(mdp, x), temperature)[0]

    largest = np.abs(value).max(axis=-1)
    scale = np.maximum(largest, _unit(mdp, temperature))
    rounding = 4 * np.finfo(float).eps * largest[..., None]  # of the update itself
    each = 4 * (np.abs(lowered(value)).max(axis=-1) + rounding[..., 0])
    while True:
        error = each * steps.max(axis=-1)
        if not np.all(error <= TOLERANCE * scale):
            raise ValueError(f"discount: the values are only known to {error.max():g}; must be < 1, or lead to an end")
        move = each[..., None] * steps
        bounds = (lowered(value + move) >= rounding) & (lowered(value - move) <= -rounding)
        if np.all(bounds):
            return error
        each = np.where(np.all(bounds, axis=-1), each, 4 * each)


def action_values(mdp: TabularMDP, value: np.ndarray) -> np.ndarray:
    """(..., S, A) the values of actions where (..., S) are those of the states they lead to; -inf: not available."""
    ahead = np.einsum("...sat,...t->...sa", mdp.transition, value)
    return np.where(mdp.measure > 0, mdp.reward + mdp.discount * ahead, -np.inf)


def improve(mdp: TabularMDP, q: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best value and policy against given action values.

    Args:
      mdp: the model or models.
      q: (..., S, A) values, -inf where not available.
      alpha: (..., S) temperatures.

    Returns:
      (..., S) alpha log sum measure exp(q / alpha), the maximum at temperature 0; (..., S, A) the density.
    """
    top = q.max(axis=-1)
    below = q - top[..., None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scaled = np.where(below == 0, 0.0, below / alpha[..., None])
    # log1p and expm1: at a high temperature all that distinguishes the actions are the last digits of a number near 1;
    # but where little of the volume counts, they would lose the digits of what does
    missing = (mdp.measure * np.expm1(scaled)).sum(axis=-1) / mdp.volume
    log_most = np.log(mdp.volume) + np.log1p(np.maximum(missing, -0.5))
    log_sum = np.where(missing > -0.5, log_most, np.log((mdp.measure * np.exp(scaled)).sum(axis=-1)))
    soft = np.exp(scaled - log_sum[..., None])

    largest = np.abs(np.where(mdp.measure > 0, q, 0.0)).max(axis=(-1, -2), keepdims=True)
    best = below >= -ROUNDING * np.maximum(np.minimum(1.0, largest), np.abs(top[..., None]))
    first = np.arange(q.shape[-1]) == np.argmax(best, axis=-1)[..., None]
    greedy = np.where(first, 1 / np.where(first, mdp.measure, 1.0), 0.0)
    plain = alpha == 0
    return np.where(plain, top, top + alpha * log_sum), np.where(plain[..., None], greedy, soft)


def _unit(mdp: TabularMDP, temperature: np.ndarray) -> np.ndarray:
    """(...) the largest of a model's rewards and temperatures."""
    return np.maximum(np.abs(mdp.reward).max(axis=(-1, -2)), temperature.max(axis=-1))


def _ahead(mdp: TabularMDP, policy: np.ndarray) -> np.ndarray:
    """(..., S, S) discounted probabilities of the next state under a policy."""
    return np.einsum("...sa,...sat->...st", mdp.measure * policy * mdp.discount, mdp.transition)


def reachable(mdp: TabularMDP, start: np.ndarray) -> list[int]:
    """The states that some policy visits.

    Args:
      mdp: one model.
      start: (S,) > 0 where it may begin.
    """
    leads = np.any(mdp.transition * (mdp.measure * mdp.discount)[..., None] > 0, axis=-2)
    found = start > 0
    while True:
        more = found | np.any(leads[found], axis=0)
        if np.array_equal(more, found):
            return np.flatnonzero(found).tolist()
        found = more


def as_float64(value: Any, name: str) -> np.ndarray:
    """A float64 array of finite numbers.

    Raises:
      ValueError: something else, or a value inside `jit` or `vmap`.
    """
    try:
        array = np.asarray(value, np.float64)
    except jax.errors.JAXTypeError as error:
        traced = f"{name}: must be numbers, not what jit or vmap traces; theory is called from plain Python"
        raise ValueError(traced) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: must be numbers") from error
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name}: must be finite numbers")
    return array


def as_temperature(alpha: Any) -> np.ndarray:
    """Temperatures as float64.

    Raises:
      ValueError: as `as_float64`, or a negative one.
    """
    alpha = as_float64(alpha, "alpha")
    if np.any(alpha < 0):
        raise ValueError(f"alpha = {alpha.min():g}: must be >= 0")
    return alpha


def one_temperature(alpha: Any) -> float:
    """One temperature above 0.

    Raises:
      ValueError: as `as_temperature`, or 0, or several.
    """
    alpha = as_temperature(alpha)
    if alpha.shape != () or not alpha > 0:
        raise ValueError(f"alpha = {alpha.tolist()}: must be one number > 0")
    return float(alpha)
