import re

import made_runs
import numpy as np
import pages
import pytest

from maxent_jax import tables, verdict
from maxent_jax.report import charts, sections
from maxent_jax.result import load


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Thirty configurations, the first with the highest returns, of two seeds each."""
    values = np.repeat(-np.arange(30.0), 2)[:, None] + np.array([0.0, 0.5] * 30)[:, None] + np.zeros(3)
    path = tmp_path_factory.mktemp("runs") / "sweep"
    made_runs.make(path, values, grid={"alpha": [0.1 * (1 + place) for place in range(30)]})
    return tables.entries([load(path)])


def test_of_many_configurations_the_best_are_drawn_and_all_are_in_the_table(sweep):
    page = pages.Page(sections.learning(sweep, None))
    assert len(page.all("svg", "swatch")) == sections.MOST_CURVES
    assert "In the table only: 6 configurations with the lowest returns." in page.text
    assert len([tag for tag, _ in page.elements if tag == "tr"]) == 1 + 30
    drawn = page.all("svg", "chart")[0]["aria-label"]
    assert sweep[23].name in drawn
    assert sweep[24].name not in drawn


def test_who_made_more_steps_is_compared_where_the_shorter_one_ends(tmp_path):
    short = made_runs.make(tmp_path / "short", [[0.0, 3.0], [0.0, 5.0]])
    longer = made_runs.make(tmp_path / "longer", [[0.0, 2.0, 9.0], [0.0, 4.0, 9.0]], alpha=0.0)
    page = pages.Page(sections.final_returns(tables.entries([load(short), load(longer)]), None))
    assert re.search(r"P\(better than sac .*\), same steps", page.text)
    assert " 0.25 [" in page.text  # 2 and 4 against 3 and 5


def test_the_gravest_verdicts_come_with_reasons_and_no_other_is_lost():
    mild = [verdict.Verdict(f"mild {place}", verdict.NO_VERDICT, (f"reason {place}.",)) for place in range(12)]
    page = pages.Page(sections.verdicts([*mild, verdict.Verdict("grave", verdict.MISLEADS, ("It does.",))]))
    assert page.text.startswith("grave: entropy misleads here. It does. mild 0")
    assert len(page.all("p", "verdict")) == sections.MOST_VERDICTS
    assert "Also no verdict: mild 7; mild 8; mild 9; mild 10; mild 11." in page.text
    assert "reason 11" not in page.text


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [([-1.0, -5.0], False), ([-10.0, -90_000.0], True), ([5.0, 5.0], False), ([-3.0, 9000.0], False), ([], False)],
)
def test_an_axis_keeps_order_and_shows_round_ticks(values, logarithmic):
    axis = charts.Axis(np.array(values), 0.0, 100.0)
    assert axis.logarithmic == logarithmic
    places = [axis(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)
    ticks = axis.ticks()
    assert len(ticks) >= 2
    assert all(-0.1 <= axis(tick) <= 100.1 for tick in ticks)
    assert len({charts.short(tick) for tick in ticks}) == len(ticks)


def test_a_gap_is_a_gap():
    curve = charts.Curve("a & b", 9, np.arange(4.0), np.array([1.0, np.nan, 2.0, 3.0]), told=["<", "", "x", "y"])
    page = pages.Page(charts.chart([curve], "steps", "return"))
    (line,) = page.all("path", "middle")
    assert line["d"].count("M") == 2
    assert len(page.all("circle")) == 3
    assert page.unmatched == []
    assert page.all("svg")[0]["aria-label"] == "return by steps: a & b"
