import json

import numpy as np
import pytest
import scipy.stats

from maxent_jax.rule import scores


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 100)


def by_hand(similarity, advantage, noise=0.0, same=None, group=None):
    """States by hand; by default all choices differ and every state is a group of its own."""
    count = len(similarity)
    return scores.Tested(
        np.asarray(similarity, float),
        np.asarray(advantage, float),
        np.broadcast_to(np.asarray(noise, float), count),
        np.zeros(count, bool) if same is None else np.asarray(same, bool),
        np.arange(count) if group is None else np.asarray(group),
    )


def test_advantages_are_paired_means_and_know_their_noise():
    rng = np.random.default_rng(0)
    soft = rng.normal(-100.0, 50.0, size=(3, 8))
    gain = rng.normal([[0.0], [5.0], [-5.0]], 1.0, size=(3, 8))
    mean, noise = scores.advantages(soft + gain, soft)
    np.testing.assert_allclose(mean, gain.mean(axis=1))
    low, high = scipy.stats.t.interval(0.95, 7, gain.mean(axis=1), scipy.stats.sem(gain, axis=1))
    np.testing.assert_allclose(noise, (high - low) / 2)  # not that of returns, 50 times as large


def test_a_single_repeat_has_only_rounding():
    mean, noise = scores.advantages(np.array([[-1000.0], [3.0]]), np.array([[-1000.05], [2.0]]))
    np.testing.assert_allclose(mean, [0.05, 1.0])
    np.testing.assert_array_equal(mean > noise, [False, True])


def test_rank_correlation_is_scipys_with_ties():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, 40), rng.integers(0, 6, 40)
    assert scores.rank_correlation(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)
    assert np.isnan(scores.rank_correlation(np.ones(3), np.arange(3)))
    assert np.isnan(scores.rank_correlation(np.array([]), np.array([])))


def test_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(2)
    similarity, loses = rng.integers(0, 8, 50) / 8, rng.random(50) < 0.3
    pairs = similarity[loses][:, None], similarity[~loses][None]
    by_pairs = np.mean((pairs[0] < pairs[1]) + 0.5 * (pairs[0] == pairs[1]))
    assert scores.area(similarity, loses) == pytest.approx(by_pairs, abs=1e-12)
    assert np.isnan(scores.area(similarity, np.ones(50, bool)))


def test_the_curve_has_that_area_and_both_ends():
    rng = np.random.default_rng(3)
    similarity, loses = rng.integers(0, 8, 60) / 8, rng.random(60) < 0.4
    thresholds, false, true = scores.roc(similarity, loses)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(scores.area(similarity, loses), abs=1e-12)
    at = np.searchsorted(thresholds, 0.5)
    assert true[at] == np.mean(similarity[loses] < 0.5)
    assert false[at] == np.mean(similarity[~loses] < 0.5)


def test_a_rule_that_is_right():
    found = scores.score(by_hand([0.1, 0.2, 0.95, 0.99], [3.0, 2.0, -1.0, -2.0]), threshold=0.9)
    values = {name: entry["value"] for name, entry in found.items() if isinstance(entry, dict)}
    assert values["auc"] == values["sensitivity"] == values["specificity"] == 1.0
    assert values["rank_correlation"] == pytest.approx(-1.0)
    assert (values["share_soft_loses"], values["share_soft_wins"], values["share_switched"]) == (0.5, 0.5, 0.5)
    assert (values["advantage_where_switched"], values["advantage_where_kept"]) == (2.5, -1.5)


def test_ties_and_equal_choices_are_counted_apart():
    """Where nothing can be lost the rule has nothing to find: what it does there must not flatter or blame it."""
    similarity = [0.1, 0.2, 0.3, 0.9, 0.8, 0.99]
    advantage = [2.0, -1.0, 0.3, 0.0, 0.0, -0.3]
    same = [False, False, False, True, True, False]
    found = scores.score(by_hand(similarity, advantage, noise=0.5, same=same), threshold=0.5)
    assert found["share_same_choice"]["value"] == pytest.approx(1 / 3)
    assert found["share_nothing_to_lose"]["value"] == pytest.approx(4 / 6)
    assert found["auc"]["value"] == 1.0
    assert found["auc_where_choices_differ"]["value"] == 1.0
    assert found["auc_where_something_is_lost"]["value"] == 1.0
    assert found["specificity"]["value"] == pytest.approx(3 / 5)


def test_what_is_undefined_is_none_and_json():
    found = scores.score(by_hand([0.5, 0.6], [0.0, 0.0], same=[True, True]), threshold=0.9)
    for name in ("auc", "auc_where_choices_differ", "rank_correlation", "sensitivity"):
        assert found[name] == {"value": None, "low": None, "high": None}
    json.dumps(found, allow_nan=False)


def test_states_that_are_not_finite_are_left_out_and_counted():
    found = scores.score(by_hand([0.5, 0.6, 0.7], [1.0, np.nan, -1.0]), threshold=0.9)
    assert (found["states"], found["states_not_finite"]) == (2, 1)
    assert found["auc"]["value"] == 1.0


def test_intervals_resample_groups_and_not_states():
    """Copies of the same states are no new evidence: a hundred states in each of five groups, all alike within one."""
    rng = np.random.default_rng(4)
    advantage = rng.normal(size=5)
    group = np.repeat(np.arange(5), 100)
    few = scores.score(by_hand(np.arange(5), advantage), 0.9)["mean_advantage"]
    many = scores.score(by_hand(np.repeat(np.arange(5), 100), advantage[group], group=group), 0.9)["mean_advantage"]
    assert many["low"] == pytest.approx(few["low"])
    assert many["high"] == pytest.approx(few["high"])
    assert many["high"] - many["low"] > 5 * scipy.stats.sem(advantage[group])


def test_one_group_has_no_interval():
    found = scores.score(by_hand([0.1, 0.9], [1.0, -1.0], group=[7, 7]), 0.9)
    assert found["mean_advantage"] == {"value": 0.0, "low": None, "high": None}


def test_intervals_of_few_groups_cover_what_they_claim(monkeypatch):
    """Five policies, each with an advantage of its own: the percentiles alone hold the truth in 84 of 100 cases."""
    monkeypatch.setattr(scores, "measures", lambda threshold: {"mean_advantage": lambda t: t.advantage.mean()})
    rng, group = np.random.default_rng(5), np.repeat(np.arange(5), 4)
    held = 0
    for _ in range(300):
        advantage = rng.normal(1.0, 1.0, 5)[group] + rng.normal(0.0, 0.1, 20)
        found = scores.score(by_hand(np.zeros(20), advantage, group=group), 0.9)["mean_advantage"]
        held += found["low"] <= 1.0 <= found["high"]
    assert held > 0.92 * 300


def test_no_interval_reaches_beyond_what_is_possible():
    found = scores.score(by_hand([0.1, 0.2, 0.3, 0.9, 0.95], [1.0, 1.0, 1.0, 1.0, -1.0]), 0.5)
    assert found["share_soft_loses"]["high"] == 1.0
    assert found["rank_correlation"]["low"] == -1.0
    assert found["mean_advantage"]["high"] > 1.0  # that one may
