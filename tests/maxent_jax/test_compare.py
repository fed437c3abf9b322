import re

import made_runs
import numpy as np
import pytest
import scipy.stats

from envs.fields import InvalidSetting
from maxent_jax import cli, compare, stats
from maxent_jax.result import load

ONE = np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 4.0], [0.0, 3.0, 6.0], [0.0, 2.5, 99.0]])
OTHER = np.array([[0.0, 3.0], [0.0, 4.0], [0.0, 2.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made_runs.make(folder / "one", ONE, failed={3: (10, "loss")})
    made_runs.make(folder / "other", OTHER, agent="sac", alpha=0.0)
    made_runs.make(folder / "grid", np.concatenate([OTHER, OTHER + 1]), grid={"alpha": [0.5, 2.0]})
    made_runs.make(folder / "again", np.concatenate([OTHER, OTHER + 1]), grid={"alpha": [0.5, 2.0]}, lr=0.1)
    made_runs.make(folder / "pendulum", OTHER, env="pendulum")
    return folder


def loaded(folder, *names):
    return [load(folder / name) for name in names]


def test_both_are_looked_at_where_the_shorter_one_ends(folder):
    (pair,) = compare.pairs(*loaded(folder, "one", "other"))
    found = compare.compare(*pair)
    mine, theirs = [1.0, 2.0, 3.0], [3.0, 4.0, 2.0]
    assert found.steps == (10, 10)
    assert (found.first.value, found.second.value) == (2.0, 3.0)
    assert found.difference == stats.estimate([theirs, mine], stats.iqm_difference)
    count = scipy.stats.mannwhitneyu(theirs, mine).statistic
    assert found.improvement.value == pytest.approx(count / 9)
    assert compare.improvement(*pair) == found.improvement
    sampled = compare.compare(*pair, "return_stochastic")
    assert (sampled.first.value, sampled.second.value) == (1.0, 2.0)


def test_fields_that_differ(folder):
    found = compare.pairs(*loaded(folder, "one", "other"))
    assert compare.differences(found) == {"alpha": (1.0, 0.0), "steps": (20, 10), "evaluations": (2, 1)}
    one, other = loaded(folder, "one", "other")
    assert compare.surroundings(one.config, other.config) == {"seeds": ("0, 1, 2, 3", "0, 1, 2")}
    assert compare.surroundings({"versions": {"jax": "1"}}, {"versions": {"jax": "2"}}) == {
        "version of jax": ("1", "2")
    }


def test_configurations_of_equal_grids_are_paired(folder):
    found = compare.pairs(*loaded(folder, "grid", "again"))
    assert [(one.index, other.index) for one, other in found] == [(0, 0), (1, 1)]
    assert list(compare.differences(found)) == ["lr"]
    assert len(compare.pairs(*loaded(folder, "one", "grid"))) == 2
    (within,) = compare.pairs(*loaded(folder, "grid", "grid"))
    assert (within[0].index, within[1].index) == (0, 1)


def test_what_cannot_be_compared(folder, monkeypatch):
    with pytest.raises(InvalidSetting, match=r"pendulum': env = 'pendulum': must be 'toy', as in '.*one'"):
        compare.pairs(*loaded(folder, "one", "pendulum"))
    with pytest.raises(InvalidSetting, match="one': is the same one; must be another"):
        compare.pairs(*loaded(folder, "one", "one"))
    monkeypatch.setattr(compare, "MOST_PAIRS", 1)
    with pytest.raises(InvalidSetting, match="grid': makes 2 pairs of configurations; must make at most 1: see"):
        compare.pairs(*loaded(folder, "one", "grid"))


def test_command_says_who_is_better_and_what_differs(folder, capsys):
    assert cli.main(["compare", str(folder / "one"), str(folder / "other")]) == 0
    out = capsys.readouterr().out
    assert "A: sac (alpha 1, steps 20, evaluations 2), 3 seeds, 1 failed" in out
    assert "at 10 steps" in out
    assert re.search(r"seeds +│ +0, 1, 2, 3 +│ +0, 1, 2 ", out)
    assert "sac (alpha 1, steps 20, evaluations 2) on toy: no verdict." in " ".join(out.split())
    assert "interquartile means over seeds" in out
