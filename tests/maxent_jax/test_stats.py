import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from maxent_jax import stats

RLIABLE = Path(__file__).parents[1] / "helpers" / "rliable.json"


@pytest.fixture(scope="module")
def rliable():
    """What `benchmarks/peer_scripts/rliable_values.py` wrote."""
    return json.loads(RLIABLE.read_text())


def ends(found):
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def columns(scores):
    return list(np.array(scores).T)


def test_aggregates_agree_with_rliable(rliable):
    tasks = columns(rliable["one"])
    assert stats.mean(tasks) == pytest.approx(rliable["mean"], abs=1e-6)
    assert stats.iqm(tasks) == pytest.approx(rliable["iqm"], abs=1e-6)
    profile = stats.performance_profile(tasks, rliable["thresholds"])
    np.testing.assert_allclose(profile, rliable["profile"], atol=1e-6)


def test_probability_of_improvement_agrees_with_rliable(rliable):
    pairs = list(zip(columns(rliable["one"]), columns(rliable["other"]), strict=True))
    found = stats.probability_of_improvement(pairs)
    assert found.value == pytest.approx(rliable["probability_of_improvement"], abs=1e-6)
    each = [stats.probability_of_improvement([pair]).value for pair in pairs]
    np.testing.assert_allclose(each, rliable["probability_of_improvement_by_task"], atol=1e-6)


def test_percentiles_of_strata_agree_with_rliable_on_its_resamples(rliable):
    one, other = np.array(rliable["one"]), np.array(rliable["other"])
    drawn = np.random.RandomState(rliable["seed"])
    picks = np.stack([drawn.choice(len(one), one.shape) for _ in range(rliable["resamples"])])
    found = stats.percentiles(columns(one), stats.iqm, [picks[:, :, task] for task in range(3)])
    np.testing.assert_allclose(found[:2], rliable["iqm_interval"], atol=1e-6)

    drawn = np.random.RandomState(rliable["seed"])
    pairs = [[drawn.choice(len(side), len(side)) for side in (one, other)] for _ in range(rliable["resamples"])]
    picks = [np.stack(side) for side in zip(*pairs, strict=True)]
    found = stats.percentiles([one[:, 0], other[:, 0]], stats.iqm_difference, picks)
    np.testing.assert_allclose(found[:2], rliable["first_task_iqm_difference_interval"], atol=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 30])
def test_interval_of_the_mean_is_as_wide_as_students(seeds):
    values = np.random.default_rng(seeds).standard_t(3, seeds) * 7 - 100
    summary = stats.interval(values)
    reference = scipy.stats.ttest_1samp(values, 0.0).confidence_interval()
    assert summary.mean == pytest.approx(values.mean(), abs=1e-12)
    assert summary.iqm == pytest.approx(scipy.stats.trim_mean(values, 0.25), abs=1e-12)
    assert summary.high - summary.low == pytest.approx(reference.high - reference.low, rel=0.05)
    assert summary.low < summary.mean < summary.high
    assert summary == stats.interval(values)


def test_interval_of_a_difference_is_as_wide_as_welchs():
    rng = np.random.default_rng(0)
    one, other = rng.normal(3.0, 1.0, 5), rng.normal(0.0, 10.0, 9)
    found = stats.estimate([one, other], stats.mean_difference)
    reference = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert found.high - found.low == pytest.approx(reference.high - reference.low, rel=0.05)


def test_interval_leans_as_the_values_do():
    values = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 10.0])
    summary = stats.interval(values)
    assert summary.high - summary.mean > summary.mean - summary.low


def test_cells_of_a_table():
    assert stats.shown({"value": 0.7512, "low": 0.5, "high": 0.9}) == "0.7512 [0.5, 0.9]"
    assert stats.shown({"value": None, "low": None, "high": None}) == "undefined"
    both = {"mean": 1.0, "low": 0.0, "high": 2.0, "iqm": -12345.6, "iqm_low": -20000.0, "iqm_high": 7.25}
    assert stats.shown(both) == "-12,346 [-20,000, 7.25]"
    assert stats.shown(both | {"iqm_low": None, "iqm_high": None}) == "1 [0, 2]"
    assert stats.shown(None) == ""


def test_strata_are_not_mixed():
    # each task's seeds agree: whatever is resampled within it, the mean is the same
    assert stats.estimate([[1.0] * 4, [100.0] * 4], stats.mean) == stats.Estimate(50.5, 50.5, 50.5)
    mixed = stats.estimate([[1.0] * 4 + [100.0] * 4], stats.mean)
    assert mixed.high - mixed.low > 50


def test_probability_of_improvement_in_closed_form():
    clear = stats.probability_of_improvement([([5.0, 6.0, 7.0], [1.0, 2.0, 3.0])])
    assert (clear.value, clear.high) == (1.0, 1.0)
    truth, _ = ends(clear)
    assert 0.3 < truth < 0.7  # three seeds a side prove little
    # Newcombe's equation there, with the normal quantile
    both = (1 - truth) / (2 - truth) + truth / (1 + truth)
    variance = truth * (1 - truth) * (1 + 2 * both) / 9
    assert (1 - truth) ** 2 == pytest.approx(scipy.stats.norm.ppf(0.975) ** 2 * variance, rel=1e-6)
    reverse = stats.probability_of_improvement([([1.0, 2.0, 3.0], [5.0, 6.0, 7.0])])
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((0.0, 0.0, 1 - truth))
    tied = stats.probability_of_improvement([([1.0, 1.0], [1.0, 1.0])])
    assert tied.value == 0.5
    low, high = ends(tied)
    assert low < 0.2 < 0.8 < high


def test_probability_of_improvement_over_tasks_is_surer_than_on_one():
    pair = ([5.0, 6.0, 7.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    one, many = stats.probability_of_improvement([pair]), stats.probability_of_improvement([pair] * 4)
    assert many.value == one.value
    assert many.high - many.low == pytest.approx((one.high - one.low) / 2)
    assert stats.probability_of_improvement([pair, ([None], [1.0])]) == stats.Estimate(None, None, None)


def test_profile_counts_failures_as_above_nothing():
    assert stats.performance_profile([[1.0, None, np.nan, 3.0]], np.array([-1e9, 2.0])).tolist() == [0.5, 0.25]


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
    assert (summary.iqm, summary.iqm_low, summary.iqm_high) == (expected[1], *expected[2:])
    assert summary.per_seed == tuple(v if v is not None and np.isfinite(v) else None for v in values)
    names = ["mean", "iqm", "low", "high", "iqm_low", "iqm_high", "per_seed"]
    assert list(dataclasses.asdict(summary)) == names


def test_a_lone_other_seed_widens_even_where_no_percentile_sees_it():
    found = stats.estimate([[0.0] * 400 + [1.0]], stats.mean)
    assert found.low < found.value < found.high


def test_iqm_ignores_the_outer_quarters():
    assert stats.interval([-1e9, 1.0, 2.0, 1e9]).iqm == 1.5


@pytest.mark.parametrize(("statistic", "names"), [(stats.mean, ("mean", "low", "high")), (stats.iqm, None)])
def test_bands_are_the_interval_at_every_time(statistic, names):
    values = np.random.default_rng(0).normal(size=(6, 5))
    values[0, 1] = np.nan  # another set of seeds counts here
    values[1:, 2] = np.inf  # one seed left
    values[:, 3] = np.nan  # none
    middle, low, high = stats.bands(values, statistic=statistic)
    for time in range(5):
        summary = stats.interval(values[:, time])
        expected = [getattr(summary, name) for name in names or ("iqm", "iqm_low", "iqm_high")]
        expected = [np.nan if x is None else x for x in expected]
        np.testing.assert_allclose([middle[time], low[time], high[time]], expected, rtol=1e-12)
    assert np.isnan(low[2])
    assert np.isnan(middle[3])
    assert not np.isnan(middle[2])
