"""Is the switching rule right? Similarity of two landscapes against what their choices truly earn.

At a state the *advantage* is the true return of the plain landscape's choice minus that of the soft one's. The rule
says that the soft choice loses where the similarity is low. So its similarity should fall as the advantage rises (rank
correlation), order the states in which the soft choice loses before the others (area under the ROC curve), and its
threshold should part them (sensitivity, specificity). States of one episode resemble each other, and so do those of one
policy: intervals resample whole groups, never single states.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats

from maxent_jax import stats

RESAMPLES = 400
ROUNDING = 1e-4
"""Differences of returns below this share of them are rounding: nothing was lost."""
BOUNDS = dict.fromkeys(("share", "auc", "sensitivity", "specificity"), (0.0, 1.0)) | {"rank": (-1.0, 1.0)}
"""Between which a measure lies, by the first word of its name; no interval reaches further."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """States in which both choices were tried.

    Attributes:
      similarity: (n,) of the landscapes.
      advantage: (n,) mean over repeats of the plain choice's return minus the soft one's.
      noise: (n,) below this an advantage counts as none: see `advantages`.
      same: (n,) whether both landscapes choose the same action.
      group: (n,) what is resampled together: the seed, or the episode.
    """

    similarity: np.ndarray
    advantage: np.ndarray
    noise: np.ndarray
    same: np.ndarray
    group: np.ndarray

    def take(self, rows: np.ndarray) -> "Tested":
        """Some of the states, also repeatedly."""
        return Tested(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @property
    def loses(self) -> np.ndarray:
        """(n,) whether the soft choice earns less, by more than noise."""
        return self.advantage > self.noise

    @property
    def wins(self) -> np.ndarray:
        """(n,) whether it earns more."""
        return self.advantage < -self.noise


def advantages(plain: np.ndarray, soft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over repeats, and what of them is noise.

    Args:
      plain: (n, repeats) returns of the plain choice.
      soft: (n, repeats) returns of the soft one, each with the same randomness.

    Returns:
      (n,) mean differences, and (n,) the larger of their `uncertainty` and of rounding: below it nothing was lost.
      With a single repeat, of a policy and a task without randomness, rounding is all.
    """
    difference = plain - soft
    rounding = ROUNDING * np.maximum(np.abs(plain), np.abs(soft)).mean(axis=1)
    return difference.mean(axis=1), np.maximum(uncertainty(difference), rounding)


def uncertainty(values: np.ndarray) -> np.ndarray:
    """(n,) half the width of Student's 95 % interval of the means of (n, repeats) values; 0 for a single repeat."""
    repeats = values.shape[1]
    if repeats == 1:
        return np.zeros(len(values))
    return scipy.stats.t.ppf(0.975, repeats - 1) * values.std(axis=1, ddof=1) / np.sqrt(repeats)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's; NaN where either is constant."""
    x, y = (scipy.stats.rankdata(values) for values in (x, y))
    spread = x.std() * y.std() if len(x) else 0.0
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else np.nan


def area(similarity: np.ndarray, loses: np.ndarray) -> float:
    """The probability that a state where the soft choice loses is found less similar than one where it does not.

    Equal similarities count half. NaN where either kind of state is missing.
    """
    positives, negatives = int(loses.sum()), int((~loses).sum())
    if not positives or not negatives:
        return np.nan
    ranks = scipy.stats.rankdata(similarity)
    smaller = ranks[~loses].sum() - negatives * (negatives + 1) / 2
    return float(smaller / (positives * negatives))


def roc(similarity: np.ndarray, loses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The curve of the rule "similarity < t" over all t that decide differently.

    Args:
      similarity: (n,).
      loses: (n,) whether the soft choice loses.

    Returns:
      Thresholds (k,) from the lowest similarity, which switches nowhere, to infinity, which switches everywhere, and
      at each the shares switched of the states where the soft choice does not lose, and of those where it does.
    """
    thresholds = np.append(np.unique(similarity), np.inf)
    below = lambda chosen: np.searchsorted(np.sort(similarity[chosen]), thresholds, side="left")  # noqa: E731
    return thresholds, below(~loses) / max(1, (~loses).sum()), below(loses) / max(1, loses.sum())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def measures(threshold: float) -> dict[str, Callable[[Tested], float]]:
    """All that is said of a rule with a threshold, by name; each is NaN where it is a mean over nothing."""
    return {
        "share_soft_loses": lambda t: _mean(t.loses),
        "share_soft_wins": lambda t: _mean(t.wins),
        "share_same_choice": lambda t: _mean(t.same),
        "share_nothing_to_lose": lambda t: _mean(~t.loses & ~t.wins),
        "mean_advantage": lambda t: _mean(t.advantage),
        "rank_correlation": lambda t: rank_correlation(t.similarity, t.advantage),
        "rank_correlation_where_choices_differ": lambda t: rank_correlation(
            t.similarity[~t.same], t.advantage[~t.same]
        ),
        "auc": lambda t: area(t.similarity, t.loses),
        "auc_where_choices_differ": lambda t: area(t.similarity[~t.same], t.loses[~t.same]),
        "auc_where_something_is_lost": lambda t: area(t.similarity[t.loses | t.wins], t.loses[t.loses | t.wins]),
        "share_switched": lambda t: _mean(t.similarity < threshold),
        "sensitivity": lambda t: _mean(t.similarity[t.loses] < threshold),
        "specificity": lambda t: _mean(t.similarity[~t.loses] >= threshold),
        "advantage_where_switched": lambda t: _mean(t.advantage[t.similarity < threshold]),
        "advantage_where_kept": lambda t: _mean(t.advantage[t.similarity >= threshold]),
    }


def score(tested: Tested, threshold: float) -> dict[str, Any]:
    """What the states say about the rule, with intervals.

    Args:
      tested: the states; those with a number that is not finite are left out and counted.
      threshold: the agent's.

    Returns:
      Counts, and every one of `measures` as its value and a 95 % interval: the quantiles over 400 resamplings of whole
      groups (seeds or episodes), widened to Student's as in `stats`; None for what is undefined, and for intervals of
      fewer than two groups or where more than half of the resamplings leave it undefined.
    """
    sound = np.isfinite(tested.similarity) & np.isfinite(tested.advantage) & np.isfinite(tested.noise)
    lost, tested = int((~sound).sum()), tested.take(np.flatnonzero(sound))
    members = [np.flatnonzero(tested.group == group) for group in np.unique(tested.group)]
    generator = np.random.default_rng(0)
    draws = generator.integers(len(members), size=(RESAMPLES, len(members))) if len(members) > 1 else []
    resampled = [tested.take(np.concatenate([members[i] for i in draw])) for draw in draws]
    found: dict[str, Any] = {
        "states": len(tested.similarity),
        "states_not_finite": lost,
        "groups": len(members),
        "threshold": threshold,
    }
    for name, measure in measures(threshold).items():
        value, again = measure(tested), np.array([measure(one) for one in resampled])
        ends = _ends(value, again[np.isfinite(again)], len(members), BOUNDS.get(name.partition("_")[0]))
        value, low, high = (float(x) if np.isfinite(x) else None for x in (value, *ends))
        found[name] = {"value": value, "low": low, "high": high}
    return found


def _ends(value: float, again: np.ndarray, groups: int, bounds: tuple[float, float] | None) -> tuple[float, float]:
    """The interval of a value of so many groups, from its finite values over resamplings; NaN where it has none."""
    if not np.isfinite(value) or len(again) <= RESAMPLES / 2:
        return np.nan, np.nan
    low, high = np.quantile(again, [0.025, 0.975])
    error = float(again.std()) * np.sqrt(groups / (groups - 1))  # resamples vary with 1 / n, samples with 1 / (n - 1)
    ends = stats.stretched(value, float(low), float(high), error, groups - 1)
    least, most = bounds or (-np.inf, np.inf)
    return max(least, ends[0]), min(most, ends[1])
