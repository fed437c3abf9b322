import dataclasses

import numpy as np
import pytest
import scipy.stats

from maxent_jax import stats


@pytest.mark.parametrize("seeds", [5, 8, 30])
def test_interval_agrees_with_scipy(seeds):
    values = np.random.default_rng(seeds).standard_t(3, seeds) * 7 - 100
    summary = stats.interval(values)
    reference = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = reference.high - reference.low
    assert summary.mean == pytest.approx(values.mean(), abs=1e-12)
    assert summary.iqm == pytest.approx(scipy.stats.trim_mean(values, 0.25), abs=1e-12)
    assert summary.low == pytest.approx(reference.low, abs=0.03 * width)
    assert summary.high == pytest.approx(reference.high, abs=0.03 * width)
    assert summary == stats.interval(values)


def test_interval_of_two_seeds_in_closed_form():
    # resampled means are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4
    assert (stats.interval([0.0, 1.0]).low, stats.interval([0.0, 1.0]).high) == (0.0, 1.0)
    narrow = stats.interval([0.0, 1.0], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (30, 400))  # 400 experiments of 30 seeds
    _, low, high = stats.bands(draws, confidence=0.9)
    assert 0.84 <= np.mean((low <= 3.0) & (high >= 3.0)) <= 0.94  # the percentile bootstrap is slightly narrow


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (None, None, None, None)),
        ([np.nan, None, np.inf], (None, None, None, None)),
        ([2.5], (2.5, 2.5, None, None)),
        ([2.5, np.nan], (2.5, 2.5, None, None)),
        ([0.1] * 7, (0.1, 0.1, 0.1, 0.1)),
        ([-np.inf, 0.1, 0.1, None], (0.1, 0.1, 0.1, 0.1)),
    ],
)
def test_interval_of_few_or_equal_or_unfinished_seeds(values, expected):
    summary = stats.interval(values)
    assert (summary.mean, summary.low, summary.high) == (expected[0], *expected[2:])
    assert summary.iqm == (expected[1] and pytest.approx(expected[1], rel=1e-15))
    assert summary.per_seed == tuple(v if v is not None and np.isfinite(v) else None for v in values)
    assert list(dataclasses.asdict(summary)) == ["mean", "iqm", "low", "high", "per_seed"]


def test_iqm_ignores_the_outer_quarters():
    assert stats.interval([-1e9, 1.0, 2.0, 1e9]).iqm == 1.5


def test_bands_are_the_interval_at_every_time():
    values = np.random.default_rng(0).normal(size=(6, 5))
    values[0, 1] = np.nan  # another set of seeds counts here
    values[1:, 2] = np.inf  # one seed left
    values[:, 3] = np.nan  # none
    mean, low, high = stats.bands(values)
    for time in range(5):
        summary = stats.interval(values[:, time])
        expected = [np.nan if x is None else x for x in (summary.mean, summary.low, summary.high)]
        np.testing.assert_allclose([mean[time], low[time], high[time]], expected, rtol=1e-12)
    assert np.isnan(low[2])
    assert np.isnan(mean[3])
    assert not np.isnan(mean[2])
