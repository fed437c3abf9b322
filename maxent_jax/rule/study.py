"""The rule tested on one trained policy: which choices its landscapes make where it goes, and what these earn."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from envs.fields import InvalidSetting, unknown
from maxent_jax.rule import scores, trials
from maxent_jax.rule.subject import Subject
from maxent_jax.rule.trials import Views, Visits

ACTING = ("mean", "draws")
"""How the policy is followed after a choice: by its mean action, or by draws."""
DISCOUNTING = ("undiscounted", "discounted")
REACHES = ("anywhere", "near")
"""Among which actions a landscape chooses: all candidates, or the policy's own draws and mean."""
POLICY = "policy"
"""The choice of a policy that is left alone: its mean action."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What was found of one policy.

    Attributes:
      subject: the policy and its landscapes.
      landscapes: the names of these.
      visits: the states that were tried.
      similarity: (n,) how alike soft and plain are found at them; None for a subject without both.
      evenly: (k,) which of them are evenly spread over the episodes: all that is said of the rule rests on these.
      shown: which of them to draw: the least alike of all that were visited, the lowest first (evenly spread ones where
        nothing is compared), then the start of the worst episode.
      views: the landscapes at them.
      actions: by choice (`policy`, `soft anywhere`, `plain near`, ...), (n, a).
      returns: by how the policy is followed and by choice, (n, repeats, 2) undiscounted and discounted.
    """

    subject: Subject
    landscapes: tuple[str, ...]
    visits: Visits
    similarity: np.ndarray | None
    evenly: np.ndarray
    shown: tuple[int, ...]
    views: Views
    actions: Mapping[str, np.ndarray]
    returns: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def compared(self) -> bool:
        """Whether there are a soft and a plain landscape to compare."""
        return len(self.landscapes) == 2

    def tested(self, reach: str, acting: str, discounting: str, group: int | None = None) -> scores.Tested:
        """Both choices against each other.

        Args:
          reach: one of `REACHES`.
          acting: one of `ACTING`.
          discounting: one of `DISCOUNTING`.
          group: a number that all states share when they are resampled; None: each episode has its own.
        """
        assert self.similarity is not None, "only where there are two landscapes"
        at = self.evenly
        plain, soft = (
            self.returns[acting][f"{name} {reach}"][at, ..., DISCOUNTING.index(discounting)]
            for name in ("plain", "soft")
        )
        advantage, noise = scores.advantages(plain, soft)
        same = np.all(self.actions[f"plain {reach}"][at] == self.actions[f"soft {reach}"][at], axis=1)
        groups = self.visits.episode[at] if group is None else np.full(len(at), group)
        return scores.Tested(self.similarity[at], advantage, noise, same, groups)

    def value_check(self) -> dict[str, float | None]:
        """How well each landscape knows what it is about: its values of its choices against their true returns.

        Discounted returns, by draws, as a plain critic is to predict; a soft one counts entropy, too.
        """
        found = {}
        for name in self.landscapes:
            value = self.views.q[name][self.evenly].max(axis=1)
            earned = self.returns["draws"][f"{name} anywhere"][self.evenly, ..., 1].mean(axis=1)
            sound = np.isfinite(earned)
            r = scores.rank_correlation(value[sound], earned[sound])
            found[name] = r if np.isfinite(r) else None
        return found

    def columns(self) -> dict[str, Any]:
        """Every state as JSON, by column; returns are means over repeats, `episode_returns` of whole episodes."""
        found: dict[str, Any] = {"episode": self.visits.episode.tolist(), "time": self.visits.time.tolist()}
        found["episode_returns"] = short(self.visits.returns)
        found["evenly"] = np.isin(np.arange(len(self.visits.time)), self.evenly).tolist()
        if self.similarity is not None:
            found["similarity"] = short(self.similarity)
        found["actions"] = {name: short(action) for name, action in self.actions.items()}
        found["returns"] = {
            acting: {
                name: {way: short(values[..., i].mean(axis=1)) for i, way in enumerate(DISCOUNTING)}
                for name, values in by_choice.items()
            }
            for acting, by_choice in self.returns.items()
        }
        return found


def short(values: np.ndarray) -> Any:
    """Five digits, as JSON: None for what is not finite."""
    if values.ndim > 1:
        return [short(row) for row in values]
    if values.dtype.kind in "bi":
        return values.tolist()
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def check_dims(dims: Sequence[int] | None, env: Any) -> tuple[int, ...]:
    """The action dimensions of a grid.

    Args:
      dims: one or two; None: the first two, or the only one.
      env: the task.

    Raises:
      InvalidSetting: none, more than two, the same twice, or one that the task does not have.
    """
    size = int(env.action_size)
    if dims is None:
        return tuple(range(min(2, size)))
    shown = ",".join(map(str, dims))
    for dim in dims:
        if not 0 <= dim < size:
            raise unknown(f"dimension {dim} of dims {shown!r}", str(dim), [str(i) for i in range(size)])
    if len(dims) not in (1, 2) or len(set(dims)) < len(dims):
        raise InvalidSetting(f"dims = {shown!r}: must be one dimension (a line) or two different ones (a heat map)")
    return tuple(dims)


def study(
    subject: Subject,
    env: Any,
    key: jax.Array,
    landscapes: tuple[str, ...],
    dims: Sequence[int],
    episodes: int,
    most: int,
    draws: int,
    shown: int = 3,
) -> Study:
    """Visit, look and try.

    Args:
      subject: the policy and its landscapes.
      env: the bare task.
      key: randomness of everything.
      landscapes: which of these it has, see `subject.names`.
      dims: the grid's action dimensions.
      episodes: how many are rolled out.
      most: how many of their states, evenly spread, the rule is tested at, at most; those to show come beside.
      draws: how often each choice is followed by draws of the policy.
      shown: how many of the least similar states to show.

    Returns:
      The study.
    """
    visit_key, compare_key, look_key, return_key = jax.random.split(key, 4)
    visited = trials.visit(subject, env, visit_key, episodes)
    similarity = trials.similarity(subject, visited.obs, compare_key)
    evenly = visited.evenly(most)
    least = visited.evenly(shown) if similarity is None else np.argsort(similarity, kind="stable")[:shown]
    shown_rows = list(dict.fromkeys([*least, visited.worst_start]))
    tried = np.union1d(evenly, shown_rows)
    visits = visited.take(tried)
    views = trials.look(subject, visits.obs, look_key, dims)
    actions = {POLICY: views.mean}
    for reach in REACHES:
        actions |= {f"{name} {reach}": views.best(name, near=reach == "near") for name in landscapes}
    returns = {
        acting: {
            name: trials.true_returns(subject, env, visits, action, return_key, draws if acting == "draws" else 0)
            for name, action in actions.items()
        }
        for acting in ACTING
    }
    return Study(
        subject,
        landscapes,
        visits,
        None if similarity is None else similarity[tried],
        np.searchsorted(tried, evenly),
        tuple(map(int, np.searchsorted(tried, shown_rows))),
        views,
        actions,
        returns,
    )


def score(studies: Sequence[Study], threshold: float) -> dict[str, Any]:
    """What policies of the same kind say together of the rule.

    Args:
      studies: one policy each, all with two landscapes.
      threshold: of the rule.

    Returns:
      By reach, acting and discounting, what `scores.score` finds; policies are resampled where there are several,
      else episodes.
    """
    return {
        reach: {
            acting: {way: scores.score(pooled(studies, reach, acting, way), threshold) for way in DISCOUNTING}
            for acting in ACTING
        }
        for reach in REACHES
    }


def pooled(studies: Sequence[Study], reach: str, acting: str, discounting: str) -> scores.Tested:
    """The states of several policies together, each policy a group of its own; of a single one, each episode."""
    own = [
        one.tested(reach, acting, discounting, None if len(studies) == 1 else number)
        for number, one in enumerate(studies)
    ]
    return scores.Tested(
        *(np.concatenate([getattr(one, field.name) for one in own]) for field in dataclasses.fields(scores.Tested))
    )
