"""What many seeds say together: means, interquartile means, comparisons, and intervals that cover what they claim.

A set of seeds that are drawn alike is a *stratum*: the seeds of one configuration on one task. Intervals come from
resampling each stratum by itself, never across, with fixed generators: equal values give equal intervals.

Percentile intervals of few seeds are too narrow: of a nominal 95 % they cover about 50 % with 2 seeds, 84 % with 5,
88 % with 10. So their ends are moved away from the estimate until they are as far apart as those of Student's interval,
whose standard error and degrees of freedom are the bootstrap's. `python -m benchmarks.coverage` measures what that
covers (`benchmarks/results/coverage.json`): interquartile means from 5 seeds on, differences and probabilities of
improvement 94 % or more, whatever the seeds are like, and 91 % with 2 or 3 seeds; means as much where seeds are normal,
but 82 to 93 % with 3 to 5 seeds that are skewed or of which some fail: no method knows of a failure that none of them
shows.

References:
  Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021: interquartile
  mean, stratified bootstrap, probability of improvement and performance profiles (its library is rliable).
  Hesterberg, What teachers should know about the bootstrap, The American Statistician 69 (2015): narrow percentiles.
  Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, Statistics in Medicine
  25 (2006): the interval of `probability_of_improvement`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.optimize
from scipy import special

RESAMPLES = 4_000
MOST_PICKS = 2_000_000
"""Seeds drawn in all resamples together: of thousands of seeds fewer resamples will do."""
CONFIDENCE = 0.95
Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Of strata (..., n_s): a number (...)."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
      value: None where nothing is known.
      low: lower end; None where a stratum has fewer than two seeds.
      high: upper end, likewise.
    """

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """The number, and its interval in brackets where there is one."""
        if self.value is None:
            return "undefined"
        ends = "" if self.low is None else f" [{digits(self.low)}, {digits(self.high)}]"
        return f"{digits(self.value)}{ends}"


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of one number per seed.

    Attributes:
      mean: mean over seeds.
      iqm: mean of the middle half of the seeds.
      low: lower end of the interval of the mean; None for fewer than two seeds.
      high: its upper end.
      iqm_low: lower end of the interval of the interquartile mean.
      iqm_high: its upper end.
      per_seed: every seed's value; None where it is not finite, and then it counts in none of the above.
    """

    mean: float | None
    iqm: float | None
    low: float | None
    high: float | None
    iqm_low: float | None
    iqm_high: float | None
    per_seed: tuple[float | None, ...]


def digits(value: float | None) -> str:
    """Four digits, or all before the point; nothing for None.

    Example:
      >>> digits(-1234567.8), digits(0.123456), digits(None)
      ('-1,234,568', '0.1235', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def shown(numbers: Mapping[str, Any] | None) -> str:
    """What JSON holds of an `Estimate` or a `Summary`, for a cell of a table.

    Args:
      numbers: fields of either, others are ignored; None: nothing is known.

    Returns:
      The estimate; of a summary its interquartile mean, or the mean where only that has an interval; with interval.

    Example:
      >>> shown({"mean": 1.0, "low": 0.5, "high": 1.5}), shown({"value": 2000.0, "low": None, "high": None})
      ('1 [0.5, 1.5]', '2,000')
    """
    if numbers is None:
        return ""
    quartiles = numbers.get("iqm_low") is not None
    name = "value" if "value" in numbers else "iqm" if quartiles else "mean"
    low, high = ("iqm_low", "iqm_high") if quartiles else ("low", "high")
    return str(Estimate(numbers[name], numbers[low], numbers[high]))


def mean(strata: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of all seeds of all strata, each (..., n_s)."""
    values = np.concatenate(strata, axis=-1)
    first = values[..., :1]  # sums of differences from it are exact where all seeds agree
    return first[..., 0] + (values - first).mean(axis=-1)


def iqm(strata: Sequence[np.ndarray]) -> np.ndarray:
    """Interquartile mean: that of all seeds of all strata but the lowest and the highest quarter, rounded down."""
    values = np.concatenate(strata, axis=-1)
    cut = values.shape[-1] // 4
    if cut:
        kept = slice(cut, values.shape[-1] - cut)
        values = np.partition(values, (cut, kept.stop - 1), axis=-1)[..., kept]
    return mean([values])


def iqm_difference(strata: Sequence[np.ndarray]) -> np.ndarray:
    """Interquartile mean of the first stratum minus that of the second."""
    one, other = strata
    return iqm([one]) - iqm([other])


def mean_difference(strata: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the first stratum minus that of the second."""
    one, other = strata
    return mean([one]) - mean([other])


def estimate(
    strata: Sequence[Iterable[float | None]], statistic: Statistic = iqm, confidence: float = CONFIDENCE
) -> Estimate:
    """A statistic of strata of seeds, with its interval.

    Args:
      strata: numbers of each stratum; None and what is not finite are left out.
      statistic: `mean`, `iqm`, a difference of two strata, or the like.
      confidence: probability that the interval is made for.

    Returns:
      The estimate; None where a stratum is empty.

    Example:
      >>> estimate([[1.0, 2.0, 3.0, 10.0]]).value
      2.5
    """
    finite = [numbers[np.isfinite(numbers)] for numbers in map(_numbers, strata)]
    if not all(map(len, finite)):
        return Estimate(None, None, None)
    return Estimate(*_plain(_interval(finite, statistic, confidence)))


def interval(values: Iterable[float | None], confidence: float = CONFIDENCE) -> Summary:
    """Summarise one number per seed.

    Args:
      values: one number per seed; None and what is not finite are left out of the statistics.
      confidence: probability that the intervals are made for.

    Returns:
      The summary; all of it is None where no value is finite.

    Example:
      >>> summary = interval([1.0, 1.0, None])
      >>> summary.mean, summary.low, summary.high, summary.per_seed
      (1.0, 1.0, 1.0, (1.0, 1.0, None))
    """
    numbers = _numbers(values)
    middle, quartiles = (estimate([numbers], statistic, confidence) for statistic in (mean, iqm))
    ends = (middle.low, middle.high, quartiles.low, quartiles.high)
    return Summary(middle.value, quartiles.value, *ends, per_seed=tuple(_plain(numbers)))


def bands(
    values: np.ndarray, confidence: float = CONFIDENCE, statistic: Statistic = mean
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A statistic and its interval at each point of a set of curves.

    Args:
      values: (seeds, times); what is not finite is left out.
      confidence: as in `interval`; it holds point by point, not for the whole curve.
      statistic: `mean` or `iqm`.

    Returns:
      The statistic, lower and upper end, each (times,). The statistic is NaN where no seed counts, the ends where fewer
      than two do.
    """
    found = [
        _interval([column], statistic, confidence) if len(column) else (np.nan,) * 3
        for column in (time[np.isfinite(time)] for time in np.asarray(values, np.float64).T)
    ]
    middle, low, high = np.array(found).reshape(-1, 3).T
    return middle, low, high


def probability_of_improvement(
    pairs: Sequence[tuple[Iterable[float | None], Iterable[float | None]]], confidence: float = CONFIDENCE
) -> Estimate:
    """Probability that a random seed of one is better than a random seed of another; ties count half.

    A bootstrap would give seeds that do not overlap an interval of width 0. So each task's interval is Newcombe's
    (score method, number 5); of several tasks the squared distances to the ends are averaged.

    Args:
      pairs: by task, the numbers of the one and those of the other; what is not finite is left out.
      confidence: probability that the interval is made for.

    Returns:
      The mean over tasks; None where one of them has no numbers.
    """
    parts = []
    for pair in pairs:
        one, other = (numbers[np.isfinite(numbers)] for numbers in map(_numbers, pair))
        if not len(one) or not len(other):
            return Estimate(None, None, None)
        signs = np.sign(one[:, None] - other)
        parts.append(_mann_whitney(float((signs.mean() + 1) / 2), len(one), len(other), confidence))
    value, low, high = np.array(parts).T
    reach = [np.sqrt(np.sum((end - value) ** 2)) / len(parts) for end in (low, high)]
    return Estimate(*_plain((value.mean(), value.mean() - reach[0], value.mean() + reach[1])))


def performance_profile(strata: Sequence[Iterable[float | None]], thresholds: np.ndarray) -> np.ndarray:
    """Share of all seeds of all strata that are above each of (t,) thresholds, (t,); what is not finite is above none.

    Example:
      >>> performance_profile([[1.0, 2.0], [3.0, None]], np.array([0.5, 2.0])).tolist()
      [0.75, 0.25]
    """
    values = np.concatenate([_numbers(stratum) for stratum in strata])
    values = np.where(np.isfinite(values), values, -np.inf)
    return (values[:, None] > np.asarray(thresholds)).mean(axis=0)


def percentiles(
    strata: Sequence[np.ndarray], statistic: Statistic, picks: Sequence[np.ndarray], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """The plain percentile bootstrap.

    Args:
      strata: (n_s,) finite numbers of each.
      statistic: of them.
      picks: for each stratum, (resamples, n_s) places of those that each resample takes.
      confidence: nominal.

    Returns:
      Lower and upper end, and the standard deviation over resamples.
    """
    value = statistic(strata)
    resampled = statistic([stratum[pick] for stratum, pick in zip(strata, picks, strict=True)]) - value  # 0 is exact
    tail = 50.0 * (1.0 - confidence)
    low, high = value + np.percentile(resampled, (tail, 100.0 - tail))
    return float(low), float(high), float(np.std(resampled))


def stretched(
    value: float, low: float, high: float, error: float, freedom: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """A percentile interval as wide as Student's, where it is narrower.

    Args:
      value: the estimate, from which the ends are moved away.
      low: the interval's lower end.
      high: its upper end.
      error: the estimate's standard error.
      freedom: degrees of freedom of that.
      confidence: nominal.

    Returns:
      Both ends.
    """
    half = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * error
    if high - low <= 1e-9 * half:  # all but the rarest resamples agree, and yet not all seeds do
        return value - half, value + half
    stretch = max(1.0, 2.0 * half / (high - low)) if high > low else 1.0
    return value + stretch * (low - value), value + stretch * (high - value)


def _interval(strata: Sequence[np.ndarray], statistic: Statistic, confidence: float) -> tuple[float, float, float]:
    """Estimate and ends; NaN ends where a stratum has a single seed."""
    value = float(statistic(strata))
    sizes = np.array([len(stratum) for stratum in strata])
    if sizes.min() < 2:
        return value, np.nan, np.nan
    picks = [_picks(int(size), place) for place, size in enumerate(sizes)]
    low, high, error = percentiles(strata, statistic, picks, confidence)
    share = _shares(strata, statistic)
    freedom = 1.0 / np.sum(share**2 / (sizes - 1))  # Welch and Satterthwaite
    error *= np.sqrt(np.sum(share * sizes / (sizes - 1)))  # a resample varies with 1 / n, a sample with 1 / (n - 1)
    return value, *stretched(value, low, high, float(error), float(freedom), confidence)


def _shares(strata: Sequence[np.ndarray], statistic: Statistic) -> np.ndarray:
    """(strata,) shares in the variance of the statistic, by leaving out one seed at a time."""
    if len(strata) == 1:
        return np.ones(1)
    variances = []
    for place, stratum in enumerate(strata):
        size = len(stratum)
        others = [np.broadcast_to(other, (size, len(other))) for other in strata]
        others[place] = np.array([np.delete(stratum, seed) for seed in range(size)])
        variances.append((size - 1) / size * np.sum((statistic(others) - statistic(others).mean()) ** 2))
    total = np.sum(variances)
    return np.array(variances) / total if total > 0 else np.full(len(strata), 1 / len(strata))


@functools.lru_cache(maxsize=16)
def _picks(size: int, stratum: int) -> np.ndarray:
    """(resamples, size) places; each stratum has a generator of its own."""
    resamples = min(RESAMPLES, max(500, MOST_PICKS // size))
    return np.random.default_rng(stratum).integers(size, size=(resamples, size), dtype=np.int32)


def _mann_whitney(theta: float, one: int, other: int, confidence: float) -> tuple[float, float, float]:
    """Share of pairs won of `one` and `other` seeds, and Newcombe's ends."""
    z = special.ndtri(0.5 + confidence / 2)
    more = (one + other) / 2 - 1

    def away(truth: float) -> float:
        both = (1 - truth) / (2 - truth) + truth / (1 + truth)
        return float((theta - truth) ** 2 - z**2 * truth * (1 - truth) * (1 + more * both) / (one * other))

    def root(begin: float, end: float) -> float:
        return float(np.asarray(scipy.optimize.brentq(away, begin, end)))

    edge = 1e-9  # at 0 and 1 themselves there is a root, which is not the one that is meant
    low = 0.0 if theta == 0 else root(0.0, min(theta, 1 - edge))
    high = 1.0 if theta == 1 else root(max(theta, edge), 1.0)
    return theta, low, high


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array(list(values), np.float64)  # None becomes NaN


def _plain(values: Iterable[float]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
