"""Intervals cover what they claim: the committed simulation, and a smaller one of today's code."""

import json

import pytest

from benchmarks import coverage

MEANS = ("mean", "difference of means")
QUARTILES = ("IQM", "difference of IQMs")


@pytest.fixture(scope="module")
def committed():
    return json.loads(coverage.RESULT.read_text())["coverage"]


def test_every_case_was_simulated(committed):
    assert list(committed) == list(coverage.DISTRIBUTIONS)
    assert all(list(map(int, rows)) == list(coverage.SEEDS) for rows in committed.values())


def test_claims_hold(committed):
    for distribution, rows in committed.items():
        for seeds, row in rows.items():
            assert row["IQM"] > (0.89 if int(seeds) < 5 else 0.935), (distribution, seeds)
            assert row["difference of IQMs"] > 0.93, (distribution, seeds)
            assert row["probability of improvement"] > 0.88, (distribution, seeds)
    for seeds, row in committed["normal"].items():
        assert all(row[name] > 0.92 for name in (*MEANS, *QUARTILES)), seeds
        assert row["mean, percentiles"] < row["mean"]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10])
def test_intervals_cover_what_they_say(seeds):
    found = coverage.measure("normal", seeds, 600)
    lowest = 0.95 - 3 * (0.95 * 0.05 / 600) ** 0.5
    assert all(found[name] >= lowest for name in (*MEANS, *QUARTILES, "probability of improvement")), found
    assert found["mean, percentiles"] < 0.92
    failing = coverage.measure("3 of 10 seeds fail", seeds, 600)
    assert all(failing[name] >= lowest for name in (*QUARTILES, "probability of improvement")), failing
