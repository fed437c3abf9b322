"""How much the landscape of maximum entropy lies in a finite model: what it costs, where, and who would notice.

Three numbers of each state, none of which is another:

* `lost`: what is lost because the policy acts as it does there. All of them sum to the regret.
* `gain`: by how much the regret falls where entropy is no longer paid at this state alone (its temperature becomes 0).
  The state that makes others err has a gain; the states that err have losses.
* `switched`: how often the rule of SAC-AdaEnt would follow the plain landscape there.

On the toy problem all is lost at the start, and the start is switched; but entropy misleads from the good and the bad
state, where one of the two gains all and none is switched: their landscapes are alike.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import landscape
from maxent_jax.theory.mdp import (
    Solution,
    TabularMDP,
    action_values,
    as_float64,
    evaluate,
    improve,
    one_temperature,
    reachable,
    solve,
    solve_by_state,
    solve_soft,
    visits,
)

SAMPLES = 100
"""Actions of which the published rule makes its landscapes."""
DRAWS = 32
"""Repetitions of that, for each state."""
THRESHOLD = 0.9
"""The published rule's."""
AT_ONCE = 4_000_000
"""Numbers that many models solved together may have in an array."""


class Lie(NamedTuple):
    """What maximum entropy costs in a model at one temperature; all returns are plain ones, from the first state on.

    Attributes:
      alpha: the temperature.
      best: return of the plain optimum.
      mode: return of the most likely action of the soft-optimal policy.
      sampled: return of actions drawn from it.
      soft: the soft solution.
      lost: (S,) shares of `best - mode` by the states where the mode acts; they sum to it.
      lost_sampled: likewise of `best - sampled`.
      similarity: (S,) mean cosine of the soft and the plain landscape of the soft-optimal policy, over draws of
        `SAMPLES` of its actions.
      switched: (S,) share of these draws that are below `THRESHOLD`.
    """

    alpha: float
    best: float
    mode: float
    sampled: float
    soft: Solution
    lost: np.ndarray
    lost_sampled: np.ndarray
    similarity: np.ndarray
    switched: np.ndarray

    @property
    def regret(self) -> float:
        """What the mode loses."""
        return self.best - self.mode

    @property
    def regret_sampled(self) -> float:
        """What sampled actions lose."""
        return self.best - self.sampled


class IdealSwitch(NamedTuple):
    """Where entropy must go.

    Attributes:
      sets: all the smallest sets of states that suffice; only one where not all of its size were tried.
      smallest: whether no smaller set suffices, because all of them were tried. Otherwise no single state can be left
        out of it.
      at_least: a size below which no set suffices, because all of them were tried.
    """

    sets: tuple[tuple[int, ...], ...]
    smallest: bool
    at_least: int


def lie(mdp: TabularMDP, alpha: float, start: Any, seed: int = 0) -> Lie:
    """What the soft-optimal policy loses in plain return, where, and where the published rule would notice.

    Args:
      mdp: one model.
      alpha: temperature > 0.
      start: (S,) probabilities of the first state, or its number.
      seed: of the draws from which similarities are computed.

    Returns:
      The losses and similarities, in float64.

    Raises:
      ValueError: not one model, not a temperature or start, a mode that never ends without discount, or a call inside
        `jit` or `vmap`.

    Example:
      >>> import numpy as np  # a narrow 1 or a broad 0, and 0.2 to do neither
      >>> on = np.zeros((2, 2, 2))
      >>> on[..., 1] = 1
      >>> reward, volume = np.array([[0, 0.2], [1, 0]]), np.array([[1, 1], [0.01, 0.99]])
      >>> model = TabularMDP(on, reward, np.array([[1.0, 0], [0, 0]]), volume)
      >>> lie(model, 1.0, 0).regret  # at temperature 1 the state behind is worth less than 0.2
      0.8
    """
    start = _start(mdp, start)
    alpha = one_temperature(alpha)
    plain, soft = solve(mdp), solve_soft(mdp, alpha)
    mode = modes(mdp, soft)
    best, by_mode, by_draws = (
        float(start @ value) for value in (plain.value, evaluate(mdp, mode), evaluate(mdp, soft.policy))
    )
    lost, lost_sampled = (losses(mdp, plain, policy, start) for policy in (mode, soft.policy))
    similarity, switched = similarities(mdp, soft, seed)
    return Lie(alpha, best, by_mode, by_draws, soft, lost, lost_sampled, similarity, switched)


def modes(mdp: TabularMDP, solution: Solution) -> np.ndarray:
    """(..., S, A) all mass on the first most likely action of a solution."""
    return improve(mdp, solution.q, np.zeros(solution.value.shape))[1]


def losses(mdp: TabularMDP, plain: Solution, policy: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(S,) what a policy loses where it acts: its visits times what its actions there are worse than the best.

    They sum to the difference of the returns, exactly: the performance difference lemma.
    """
    q = np.where(mdp.measure > 0, plain.q, 0.0)
    worse = plain.value - (mdp.measure * policy * q).sum(axis=-1)
    return visits(mdp, policy, start) * worse


def similarities(mdp: TabularMDP, soft: Solution, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(S,) mean similarity of the landscapes over sampled actions, and the share of draws below `THRESHOLD`.

    The plain landscape is that of the soft-optimal policy without its entropy, what plain critics learn. Actions are
    drawn from the policy, as by the rule; within a cell all are the same.
    """
    plain = action_values(mdp, evaluate(mdp, soft.policy))
    mass = np.cumsum(mdp.measure * soft.policy, axis=-1)
    mass *= (1 + 1e-12) / mass[:, -1:]  # above 1 at the last available action, so that a draw finds one
    uniform = np.random.default_rng(seed).uniform(size=(len(mass), DRAWS * SAMPLES))
    drawn = np.stack([np.searchsorted(*row, side="right") for row in zip(mass, uniform, strict=True)])
    sampled = (np.take_along_axis(q, drawn, axis=-1).reshape(-1, DRAWS, SAMPLES) for q in (soft.q, plain))
    with jax.enable_x64(True):
        found = as_float64(landscape.cosine(*(jnp.asarray(q) for q in sampled)), "similarity")
    return found.mean(axis=-1), (found < THRESHOLD).mean(axis=-1)


def gains(mdp: TabularMDP, alpha: float, start: Any) -> np.ndarray:
    """By how much the mode's regret falls where entropy is switched off at one state alone.

    Args:
      mdp: one model.
      alpha: temperature > 0 elsewhere.
      start: (S,) probabilities of the first state, or its number.

    Returns:
      (S,) differences of plain returns, negative where it does harm. Each is a solution of its own, none an estimate.

    Raises:
      ValueError: as `lie`.

    Example:
      >>> import numpy as np  # the model of `lie`: the first state errs, but it is the second one that misleads it
      >>> on = np.zeros((2, 2, 2))
      >>> on[..., 1] = 1
      >>> reward, volume = np.array([[0, 0.2], [1, 0]]), np.array([[1, 1], [0.01, 0.99]])
      >>> model = TabularMDP(on, reward, np.array([[1.0, 0], [0, 0]]), volume)
      >>> gains(model, 1.0, 0).tolist()
      [0.0, 0.8]
    """
    start, alpha = _start(mdp, start), one_temperature(alpha)
    returns = _Returns(mdp, alpha, start)
    return returns([(s,) for s in range(len(start))]) - returns([()])


def ideal_switch(mdp: TabularMDP, alpha: float, start: Any, left: float = 0.05, most: int = 10_000) -> IdealSwitch:
    """The smallest set of states at which entropy must be switched off (temperature 0) for the mode to act well.

    Sets are tried by size while they are at most `most` of a size, so that what is found that way is the smallest.
    Otherwise all states are taken, and halves, quarters, ... of them are left out where the rest suffices, until no
    single one can be. Only states that can be reached from the start count: the others change nothing.

    Args:
      mdp: one model.
      alpha: temperature > 0 elsewhere.
      start: (S,) probabilities of the first state, or its number.
      left: share of the mode's regret that may stay.
      most: how many sets of one size are tried at most.

    Returns:
      The sets, and what is known of them. The empty set where the mode loses nothing.

    Raises:
      ValueError: as `lie`.

    Example:
      >>> import numpy as np  # the model of `lie`
      >>> on = np.zeros((2, 2, 2))
      >>> on[..., 1] = 1
      >>> reward, volume = np.array([[0, 0.2], [1, 0]]), np.array([[1, 1], [0.01, 0.99]])
      >>> model = TabularMDP(on, reward, np.array([[1.0, 0], [0, 0]]), volume)
      >>> ideal_switch(model, 1.0, 0)
      IdealSwitch(sets=((1,),), smallest=True, at_least=1)
    """
    start, alpha = _start(mdp, start), one_temperature(alpha)
    best = float(start @ solve(mdp).value)
    returns = _Returns(mdp, alpha, start)
    regret = best - float(returns([()])[0])
    enough = best - left * regret - 1e-9 * max(1.0, abs(best))
    if best - regret >= enough:
        return IdealSwitch(((),), True, 0)
    states = reachable(mdp, start)
    size = 1
    while size <= len(states) and math.comb(len(states), size) <= most:
        sets = list(itertools.combinations(states, size))
        good = returns(sets) >= enough
        if good.any():
            return IdealSwitch(tuple(each for each, is_good in zip(sets, good, strict=True) if is_good), True, size)
        size += 1
    helped = returns([(s,) for s in states])
    kept = [states[i] for i in np.argsort(helped, kind="stable")]
    part = (len(kept) + 1) // 2
    while True:
        before = len(kept)
        for first in reversed(range(0, len(kept), part)):  # from the back: what is left out moves nothing before it
            without = kept[:first] + kept[first + part :]
            if returns([without])[0] >= enough:
                kept = without
        if part == 1 and len(kept) == before:
            return IdealSwitch((tuple(sorted(kept)),), len(kept) == size, size)
        part = max(1, part // 2)


class _Returns:
    """The mode's plain return as a function of where entropy is switched off."""

    def __init__(self, mdp: TabularMDP, alpha: float, start: np.ndarray) -> None:
        self.mdp, self.alpha, self.start = mdp, alpha, start
        self.policy = solve_soft(mdp, alpha).policy  # from where all others are near

    def __call__(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """(len(sets),) returns, one for each set of states with temperature 0."""
        states, actions = self.mdp.reward.shape
        together = max(1, AT_ONCE // (states * max(states, actions)))
        found = []
        for first in range(0, len(sets), together):
            some = sets[first : first + together]
            temperature = np.full((len(some), states), self.alpha)
            for row, off in zip(temperature, some, strict=True):
                row[list(off)] = 0.0
            begin = np.broadcast_to(self.policy, (len(some), states, actions))
            mode = modes(self.mdp, solve_by_state(self.mdp, temperature, begin))
            found.append(evaluate(self.mdp, mode) @ self.start)
        return np.concatenate(found)


def _start(mdp: TabularMDP, start: Any) -> np.ndarray:
    if mdp.reward.ndim != 2:
        raise ValueError(f"mdp of shape {mdp.reward.shape}: must be one model")
    start, states = as_float64(start, "start"), len(mdp.reward)
    if start.ndim == 0:
        if start not in range(states):
            raise ValueError(f"start = {start:g}: must be one of 0 to {states - 1}")
        return np.eye(states)[int(start)]
    if start.shape != (states,) or np.any(start < 0) or abs(start.sum() - 1) > 1e-9:
        raise ValueError(f"start of shape {start.shape}: must be {states} probabilities that sum to 1")
    return start
