"""What many seeds say together: means, interquartile means and bootstrap intervals.

Seeds are resampled with a fixed generator, so that the same values always give the same interval. The seeds of one
configuration are one stratum: an interval never mixes configurations.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import scipy.stats

RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of one number per seed.

    Attributes:
      mean: mean over seeds.
      iqm: mean of the middle half of the seeds.
      low: lower end of the interval of the mean; None for fewer than two seeds.
      high: its upper end.
      per_seed: every seed's value; None where it is not finite, and then it counts in none of the above.
    """

    mean: float | None
    iqm: float | None
    low: float | None
    high: float | None
    per_seed: tuple[float | None, ...]


def interval(values: Iterable[float | None], confidence: float = 0.95) -> Summary:
    """Summarise one number per seed.

    Args:
      values: one number per seed; None and what is not finite are left out of the statistics.
      confidence: probability that the percentile bootstrap interval of the mean is made for.

    Returns:
      The summary; all of it is None where no value is finite.

    Example:
      >>> interval([1.0, 1.0, None])
      Summary(mean=1.0, iqm=1.0, low=1.0, high=1.0, per_seed=(1.0, 1.0, None))
    """
    numbers = np.array(list(values), np.float64)  # None becomes NaN
    finite = numbers[np.isfinite(numbers)]
    iqm = scipy.stats.trim_mean(finite, 0.25) if finite.size else np.nan
    mean, low, high = (end[0] for end in bands(finite[:, None], confidence))
    plain = [float(x) if np.isfinite(x) else None for x in (mean, iqm, low, high, *numbers)]
    return Summary(*plain[:4], per_seed=tuple(plain[4:]))


def bands(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and interval at each point of a set of curves.

    Args:
      values: (seeds, times); what is not finite is left out.
      confidence: as in `interval`; it holds point by point, not for the whole curve.

    Returns:
      Mean, lower and upper end, each (times,). The mean is NaN where no seed counts, the ends where fewer than two do.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    mean, low, high = np.full((3, values.shape[1]), np.nan)
    for counting in np.unique(finite, axis=1).T:  # the times at which the same seeds count go together
        if not counting.any():
            continue
        times = (finite == counting[:, None]).all(axis=0)
        seeds = values[np.ix_(counting, times)]
        centre = seeds[0]  # sums of differences from it are exact where all seeds agree
        mean[times] = centre + (seeds - centre).mean(axis=0)
        if len(seeds) > 1:
            means = centre + _resample(len(seeds)) @ (seeds - centre)
            tail = 50.0 * (1.0 - confidence)
            low[times], high[times] = np.percentile(means, (tail, 100.0 - tail), axis=0)
    return mean, low, high


def _resample(seeds: int) -> np.ndarray:
    """(RESAMPLES, seeds) weights of the seeds in each resampled mean."""
    return np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1.0 / seeds), RESAMPLES) / seeds
