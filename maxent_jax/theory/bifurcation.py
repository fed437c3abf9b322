"""Add states to a model so that maximum entropy prefers what we like, while plain values stay as they are.

Between a state and what its action a leads to, a state is inserted at which every action leads on as before, but only
a set of volume g earns the old reward; all else costs a penalty. Who acts best loses nothing there. Who is paid for
entropy gains or loses alpha log m there, with m = g + (|A| - g) exp(-penalty / alpha), because the good set is wide or
narrow. So each action can be made as attractive as one likes.

With m = p(a) / pi(a), where pi is the soft-optimal density and p the wanted one, p is soft-optimal, and the soft value
of the state and everything else in the model is as before. One inserted state reaches m <= |A|; where more is needed
and |A| > 1, several in a row do.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maxent_jax.theory.mdp import TabularMDP, as_float64, one_temperature, reachable, solve_soft

MOST_INSERTED = 5_000
"""States that are inserted behind one state: their transitions alone take 0.2 GB for each action of the model."""
ROUNDING = 1e-12
"""A volume that exceeds 1 by less is 1: sums of cells are not exact."""


class Inserted(NamedTuple):
    """A state that was inserted.

    Attributes:
      index: its number in the extended model.
      state: behind which state it is.
      action: behind which of its actions.
      stage: 0 next to `state`, then 1, ...
      good: the volume of the set on which nothing is lost.
    """

    index: int
    state: int
    action: int
    stage: int
    good: float


@dataclasses.dataclass(frozen=True)
class Info:
    """What `bifurcate` did.

    Attributes:
      inserted: the new states.
      penalty: what the rest of the last inserted state costs, by state that was changed.
      factor: by how much all m are smaller than p / pi, likewise; below 1 only without `keep_value`. The soft value of
        the state is lower by alpha log(1 / factor).
    """

    inserted: tuple[Inserted, ...]
    penalty: dict[int, float]
    factor: dict[int, float]

    def stages(self, state: int) -> dict[int, int]:
        """How many states were inserted behind each action of a state."""
        behind = [new.action for new in self.inserted if new.state == state]
        return {action: behind.count(action) for action in behind}


def bifurcate(
    mdp: TabularMDP,
    state: int | Sequence[int],
    target: Any,
    alpha: float,
    penalty: float | None = None,
    keep_value: bool = True,
) -> tuple[TabularMDP, Info]:
    """Make `target` the soft-optimal policy at `state`.

    Args:
      mdp: one model with at least two actions; a volume above 1 where actions are to become more likely.
      state: which state, or several different ones.
      target: (A,) the wanted density at `state`; for several states (len(state), A).
      alpha: the temperature at which it is to be optimal, above 0, in units of the reward.
      penalty: what the bad part of an inserted state costs, likewise; None: twice as much volume as needed stays bad.
      keep_value: keep the soft value of `state`, and so everything else. Otherwise it may fall, which is possible for
        every volume, and changes the soft values of those states from which it can be reached. It must then not be
        reached from itself: the fall would change what its own actions are worth.

    Returns:
      The extended model, its old states and actions with their old numbers, and what was inserted. Inserted states have
      the volume of `state`, in the first two columns: the good set, and the rest.

    Raises:
      ValueError: there is no such model; the message says which condition fails.

    Source: ours; that such a model exists is a theorem of arXiv 2506.05615.

    Example:
      >>> import numpy as np
      >>> choice = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.ones((1, 2)))
      >>> extended, info = bifurcate(choice, 0, [0.1, 0.9], alpha=0.5)
      >>> solve_soft(extended, 0.5).policy[0].round(6).tolist()
      [0.1, 0.9]
      >>> info.stages(0)  # the second was unlikely: more volume is needed to make it attractive
      {0: 1, 1: 3}
    """
    _check_model(mdp)
    alpha, states = one_temperature(alpha), _as_states(mdp, state, "state")
    targets, shape = as_float64(target, "target"), (*np.shape(state), mdp.reward.shape[1])
    if targets.shape != shape:
        raise ValueError(f"target of shape {targets.shape}: must be {shape}, a density for each action")
    wanted = dict(zip(states, targets.reshape(-1, shape[-1]), strict=True))
    inserted, penalties, factors = (), {}, {}
    later_first = states if keep_value else sorted(states, key=lambda s: len(_behind(mdp, s)))
    for one in later_first:
        mdp, more, penalties[one], factors[one] = _change(mdp, one, wanted[one], alpha, penalty, keep_value)
        inserted += more
    return mdp, Info(inserted, penalties, factors)


def _change(
    mdp: TabularMDP, state: int, target: np.ndarray, alpha: float, penalty: float | None, keep_value: bool
) -> tuple[TabularMDP, tuple[Inserted, ...], float, float]:
    """`bifurcate` of one state: the model, what was inserted, the penalty and the factor."""
    measure, volume = mdp.measure[state], float(mdp.volume[state])
    _check_density(target, measure)
    actions = np.flatnonzero(measure)
    policy = solve_soft(mdp, alpha).policy[state, actions]
    ratio, factor = ratios(target[actions], policy, volume, keep_value)
    check_fall(mdp, state, factor)
    stages = np.ones(len(actions))
    if volume > 1 + ROUNDING:
        stages = np.maximum(1, np.ceil(np.log(ratio) / np.log(volume) - ROUNDING))
    if stages.sum() > MOST_INSERTED:
        raise ValueError(
            f"target: at a volume of {volume:g} it takes {stages.sum():.3g} inserted states, and at most "
            f"{MOST_INSERTED} are allowed; a larger volume is needed, or keep_value=False"
        )
    last = np.minimum(ratio / volume ** (stages - 1), volume)
    least = alpha * (np.log(volume) - np.log(last.min()))
    cost = float(least + alpha * np.log(2)) if penalty is None else as_float64(penalty, "penalty").item()
    with np.errstate(over="ignore"):
        leak = volume * np.exp(-cost / alpha)
    if not leak < last.min():
        raise ValueError(f"penalty = {cost:g}: must be > {least:g}, or even a tiny good set is too attractive")
    good = np.clip((last - leak) / (1 - leak / volume), 0, volume)
    extended, inserted = _insert(mdp, state, actions, stages.astype(int), good, cost)
    return extended, inserted, cost, factor


def insert(
    mdp: TabularMDP, states: Sequence[int], good: Any, penalty: float
) -> tuple[TabularMDP, tuple[Inserted, ...]]:
    """Insert a state behind every action of some states, with good sets of one's own choice.

    Plain values of old states stay as they are; soft values and policies become what they become.

    Args:
      mdp: one model with at least two actions.
      states: which ones, all different.
      good: (len(states), A) volume of the good set behind each action, in (0, volume of the state's actions].
      penalty: what the rest costs, >= 0.

    Returns:
      The extended model, laid out as that of `bifurcate`, and what was inserted.

    Raises:
      ValueError: states that there are not, volumes out of range, or a negative penalty.

    Source: ours, as `bifurcate`.

    Example:
      >>> import numpy as np
      >>> choice = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.9]]), np.zeros((1, 2)), np.ones((1, 2)))
      >>> fiddly, _ = insert(choice, [0], [[0.2, 2.0]], penalty=5.0)
      >>> solve_soft(fiddly, 0.5).policy[0].round(2).tolist()  # the first is better, and avoided
      [0.11, 0.89]
    """
    _check_model(mdp)
    places, good = _as_states(mdp, states, "states"), as_float64(good, "good")
    penalty = as_float64(penalty, "penalty").item()
    if good.shape != (len(places), mdp.reward.shape[1]):
        raise ValueError(f"good of shape {good.shape}: must be {(len(places), mdp.reward.shape[1])}")
    volume = mdp.volume[places][:, None]
    if np.any((good <= 0) | (good > volume * (1 + ROUNDING))):
        raise ValueError("good: volumes must be > 0 and at most that of the state's actions")
    if penalty < 0:
        raise ValueError(f"penalty = {penalty:g}: must be >= 0")
    inserted: tuple[Inserted, ...] = ()
    for state, volumes in zip(places, np.minimum(good, volume), strict=True):
        actions = np.flatnonzero(mdp.measure[state])
        mdp, more = _insert(mdp, state, actions, np.ones(len(actions), int), volumes[actions], penalty)
        inserted += more
    return mdp, inserted


def _check_model(mdp: TabularMDP) -> None:
    if mdp.reward.ndim != 2 or mdp.reward.shape[1] < 2:
        raise ValueError(f"mdp of shape {mdp.reward.shape}: must be one model with at least two actions")


def _as_states(mdp: TabularMDP, given: Any, name: str) -> list[int]:
    """The states that a number, or several different ones, name."""
    numbers, count = as_float64(given, name), len(mdp.reward)
    states = np.atleast_1d(numbers).tolist()
    if numbers.ndim > 1 or len(set(states)) < len(states) or not set(states) <= set(range(count)):
        raise ValueError(f"{name} = {given}: must be one of 0 to {count - 1}, or several, all different")
    return [int(state) for state in states]


def _behind(mdp: TabularMDP, state: int) -> list[int]:
    """The states that can be reached from a state, itself only where something leads back."""
    return reachable(mdp, (mdp.discount[state][:, None] * mdp.transition[state]).sum(axis=0))


def check_fall(mdp: TabularMDP, state: int, factor: float) -> None:
    """Refuse to lower the value of a state on which its own actions' values depend.

    Raises:
      ValueError: the state can be reached from itself, and `factor` is below 1.
    """
    if factor < 1 and state in _behind(mdp, state):
        raise ValueError(
            f"state = {state}: its soft value would fall, and with it what its own actions are worth, as it can be "
            "reached from itself; must be a state to which nothing leads back"
        )


def _check_density(target: np.ndarray, measure: np.ndarray) -> None:
    if np.any(target < 0):
        raise ValueError(f"target = {target.min():g}: a density must be >= 0")
    if np.any((target > 0) & (measure == 0)):
        raise ValueError("target: must be 0 where an action is not available (measure 0)")
    mass = float(measure @ target)
    if abs(mass - 1) > 1e-9:
        raise ValueError(f"target: measure times density must sum to 1, but sums to {mass:g}")


def ratios(target: np.ndarray, policy: np.ndarray, volume: float, keep_value: bool) -> tuple[np.ndarray, float]:
    """How much more attractive each available action must become.

    Args:
      target: (n,) wanted densities of the available actions.
      policy: (n,) the soft-optimal ones.
      volume: of all actions.
      keep_value: as in `bifurcate`.

    Returns:
      (n,) the m of each action, and the factor that is common to them.

    Raises:
      ValueError: there are no such m.
    """
    if np.any(target == 0):
        raise ValueError("target = 0 at an available action: the soft policy is positive there; no volume makes it 0")
    with np.errstate(all="ignore"):
        ratio = target / policy
        factor = 1.0 if keep_value else min(1.0, float(volume / ratio.max()))
        volumes = factor * ratio
    if not np.all((volumes > 0) & np.isfinite(volumes)):
        raise ValueError("alpha: too low; target and soft policy are too far apart for numbers")
    if keep_value and volume <= 1 + ROUNDING and ratio.max() > volume * (1 + ROUNDING):
        raise ValueError(
            f"target: is up to {ratio.max():g} times the soft policy, but the volume of the actions is {volume:g}; "
            "for more than the volume, a volume > 1 is needed, or keep_value=False"
        )
    return volumes, factor


def _insert(
    mdp: TabularMDP,
    state: int,
    actions: np.ndarray,
    stages: np.ndarray,
    good: np.ndarray,
    penalty: float,
) -> tuple[TabularMDP, tuple[Inserted, ...]]:
    """The model with `stages` states behind each action; only the last of them may cost something."""
    width, volume = mdp.reward.shape[1], float(mdp.volume[state])
    free, costs = np.zeros(width), np.zeros(width)
    costs[1] = penalty

    def cells(narrow: float) -> np.ndarray:
        found = np.zeros(width)
        rest = volume - narrow
        found[:2] = narrow, rest if rest > 1e-15 * volume else 0.0
        return found

    rows, inserted = {}, []
    for action, count, narrow in zip(actions.tolist(), stages.tolist(), good.tolist(), strict=True):
        rows[action] = [(cells(volume), free)] * (count - 1) + [(cells(narrow), costs)]
        for stage in range(count):
            here = narrow if stage == count - 1 else volume
            inserted.append(Inserted(len(mdp.reward) + len(inserted), state, action, stage, here))
    return put_behind(mdp, state, rows), tuple(inserted)


def put_behind(mdp: TabularMDP, state: int, rows: Mapping[int, Sequence[tuple[np.ndarray, np.ndarray]]]) -> TabularMDP:
    """Put states between a state and what its actions lead to.

    Args:
      mdp: one model.
      state: behind which state.
      rows: by action, the states in a row behind it: of each the measures (A,) of its actions and what they cost (A,).
        All of them lead on; the last state has the old action's reward and discount, what is before it takes no time.

    Returns:
      The model; new states are numbered as they come.
    """
    index = len(mdp.reward)
    total, width = index + sum(map(len, rows.values())), mdp.reward.shape[1]
    transition = np.zeros((total, width, total))
    reward, discount, measure = np.zeros((3, total, width))
    transition[:index, :, :index] = mdp.transition
    reward[:index], discount[:index], measure[:index] = mdp.reward, mdp.discount, mdp.measure
    for action, row in rows.items():
        ahead, earned, kept = transition[state, action].copy(), reward[state, action], discount[state, action]
        for here, (cells, costs) in reversed(list(enumerate(row, index))):
            there = cells > 0
            measure[here], transition[here, there], discount[here, there] = cells, ahead, kept
            reward[here, there] = earned - costs[there]
            ahead, earned, kept = np.arange(total) == here, 0.0, 1.0
        transition[state, action], reward[state, action], discount[state, action] = ahead, earned, kept
        index += len(row)
    return TabularMDP(transition, reward, discount, measure)
