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
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maxent_jax.theory.mdp import TabularMDP, as_float64, as_temperature, solve_soft


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
      state: which state; several are changed one after the other.
      target: (A,) the wanted density at `state`; for several states (len(state), A).
      alpha: the temperature at which it is to be optimal, above 0.
      penalty: what the bad part of an inserted state costs; None: twice as much volume as needed stays bad.
      keep_value: keep the soft value of `state`, and so everything else. Otherwise it may fall, which is possible for
        every volume, and changes the soft values of those states from which it can be reached.

    Returns:
      The extended model, its old states and actions with their old numbers, and what was inserted. Inserted states have
      the volume of `state`, in the first two columns: the good set, and the rest.

    Raises:
      ValueError: there is no such model; the message says which condition fails.

    Example:
      >>> import numpy as np
      >>> choice = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.ones((1, 2)))
      >>> extended, info = bifurcate(choice, 0, [0.1, 0.9], alpha=0.5)
      >>> solve_soft(extended, 0.5).policy[0].round(6).tolist()
      [0.1, 0.9]
      >>> info.stages(0)  # the second was unlikely: more volume is needed to make it attractive
      {0: 1, 1: 3}
    """
    if mdp.reward.ndim != 2 or mdp.reward.shape[1] < 2:
        raise ValueError(f"mdp of shape {mdp.reward.shape}: must be one model with at least two actions")
    if float(as_temperature(alpha)) == 0:
        raise ValueError("alpha = 0: must be > 0")
    if np.ndim(state):
        states, targets = np.asarray(state), as_float64(target, "target")
        if len(set(states.tolist())) < len(states) or targets.shape != (len(states), mdp.reward.shape[1]):
            raise ValueError(
                f"target of shape {targets.shape}: must be one row for each of {len(states)} states, all different"
            )
        info = Info((), {}, {})
        for one, wanted in zip(states.tolist(), targets, strict=True):
            mdp, more = bifurcate(mdp, one, wanted, alpha, penalty, keep_value)
            info = Info(info.inserted + more.inserted, info.penalty | more.penalty, info.factor | more.factor)
        return mdp, info

    state = int(state)  # pyright: ignore[reportArgumentType]
    if not 0 <= state < len(mdp.reward):
        raise ValueError(f"state = {state}: must be one of 0 to {len(mdp.reward) - 1}")
    measure, volume = mdp.measure[state], float(mdp.volume[state])
    wanted = as_float64(target, "target")
    _check_density(wanted, measure)
    actions = np.flatnonzero(measure)
    policy = solve_soft(mdp, alpha).policy[state, actions]
    ratio, factor = _ratios(wanted[actions], policy, volume, keep_value)
    stages = np.ones(len(actions), int)
    if volume > 1:
        stages = np.maximum(1, np.ceil(np.log(ratio) / np.log(volume) - 1e-12)).astype(int)
    last = np.minimum(ratio / volume ** (stages - 1.0), volume)
    if penalty is None:
        penalty = float(alpha * np.log(2 * volume / last.min()))
    leak = np.exp(-penalty / alpha)
    if not volume * leak < last.min():
        needed = alpha * np.log(volume / last.min())
        raise ValueError(f"penalty = {penalty:g}: must be > {needed:g}, or even a tiny good set is too attractive")
    good = np.clip((last - volume * leak) / (1 - leak), 0, volume)
    extended, inserted = _insert(mdp, state, actions, stages, good, penalty)
    return extended, Info(inserted, {state: float(penalty)}, {state: factor})


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

    Example:
      >>> import numpy as np
      >>> choice = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.9]]), np.zeros((1, 2)), np.ones((1, 2)))
      >>> fiddly, _ = insert(choice, [0], [[0.2, 2.0]], penalty=5.0)
      >>> solve_soft(fiddly, 0.5).policy[0].round(2).tolist()  # the first is better, and avoided
      [0.11, 0.89]
    """
    states, good = [int(state) for state in states], as_float64(good, "good")
    if mdp.reward.ndim != 2 or mdp.reward.shape[1] < 2:
        raise ValueError(f"mdp of shape {mdp.reward.shape}: must be one model with at least two actions")
    if len(set(states)) < len(states) or not set(states) <= set(range(len(mdp.reward))):
        raise ValueError(f"states = {states}: must be different ones of 0 to {len(mdp.reward) - 1}")
    if good.shape != (len(states), mdp.reward.shape[1]):
        raise ValueError(f"good of shape {good.shape}: must be {(len(states), mdp.reward.shape[1])}")
    volume = mdp.volume[states][:, None]
    if np.any((good <= 0) | (good > volume * (1 + 1e-12))):
        raise ValueError("good: volumes must be > 0 and at most that of the state's actions")
    if not penalty >= 0:
        raise ValueError(f"penalty = {penalty:g}: must be >= 0")
    inserted: tuple[Inserted, ...] = ()
    for state, volumes in zip(states, np.minimum(good, volume), strict=True):
        actions = np.flatnonzero(mdp.measure[state])
        mdp, more = _insert(mdp, state, actions, np.ones(len(actions), int), volumes[actions], penalty)
        inserted += more
    return mdp, inserted


def _check_density(target: np.ndarray, measure: np.ndarray) -> None:
    if target.shape != measure.shape:
        raise ValueError(f"target of shape {target.shape}: must be {measure.shape}, a density for each action")
    if np.any(target < 0):
        raise ValueError(f"target = {target.min():g}: a density must be >= 0")
    if np.any((target > 0) & (measure == 0)):
        raise ValueError("target: must be 0 where an action is not available (measure 0)")
    mass = float(measure @ target)
    if abs(mass - 1) > 1e-9:
        raise ValueError(f"target: measure times density must sum to 1, but sums to {mass:g}")


def _ratios(target: np.ndarray, policy: np.ndarray, volume: float, keep_value: bool) -> tuple[np.ndarray, float]:
    """The m that each available action needs, and the factor that is common to them."""
    if np.any(target == 0):
        raise ValueError("target = 0 at an available action: the soft policy is positive there; no volume makes it 0")
    if np.any(policy == 0):
        raise ValueError("alpha: too low; an available action's soft density is below the smallest number")
    ratio = target / policy
    if not keep_value:
        factor = min(1.0, float(volume / ratio.max()))
        return ratio * factor, factor
    if volume <= 1 and ratio.max() > volume * (1 + 1e-12):
        raise ValueError(
            f"target: is up to {ratio.max():g} times the soft policy, but the volume of the actions is {volume:g}; "
            "for more than the volume, a volume > 1 is needed, or keep_value=False"
        )
    return ratio, 1.0


def _insert(
    mdp: TabularMDP,
    state: int,
    actions: np.ndarray,
    stages: np.ndarray,
    good: np.ndarray,
    penalty: float,
) -> tuple[TabularMDP, tuple[Inserted, ...]]:
    """The model with `stages` states behind each action; only the last of them may cost something."""
    old, width = mdp.reward.shape
    volume = float(mdp.volume[state])
    total = old + int(stages.sum())
    transition = np.zeros((total, width, total))
    reward, discount, measure = np.zeros((3, total, width))
    transition[:old, :, :old] = mdp.transition
    reward[:old], discount[:old], measure[:old] = mdp.reward, mdp.discount, mdp.measure

    inserted, index = [], old
    for action, count, narrow in zip(actions.tolist(), stages.tolist(), good.tolist(), strict=True):
        ahead, earned, kept = transition[state, action].copy(), reward[state, action], discount[state, action]
        transition[state, action] = np.eye(total)[index]
        reward[state, action], discount[state, action] = 0.0, 1.0
        for stage in range(count):
            final = stage == count - 1
            here = narrow if final else volume
            rest = volume - here if volume - here > 1e-15 * volume else 0.0
            for column, (size, cost) in enumerate(((here, 0.0), (rest, penalty))):
                if size > 0:
                    measure[index, column] = size
                    transition[index, column] = ahead if final else np.eye(total)[index + 1]
                    reward[index, column] = earned - cost if final else 0.0
                    discount[index, column] = kept if final else 1.0
            inserted.append(Inserted(index, state, action, stage, here))
            index += 1
    return TabularMDP(transition, reward, discount, measure), tuple(inserted)
