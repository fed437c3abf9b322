import dataclasses

import matplotlib.image
import numpy as np
import pytest
import untrained

import envs
from experiments import crossings
from maxent_jax import stats
from maxent_jax.faults import Fault


def test_crossing_is_where_half_of_the_seeds_have_turned():
    alphas = np.linspace(0, 1, 11)
    at = np.linspace(0.31, 0.69, 20)  # each seed turns at its own temperature; the median is 0.5
    found = crossings.crossing(alphas, alphas[:, None] < at)
    assert found.at == pytest.approx(0.5, abs=0.05)
    assert found.low < 0.5 < found.high
    assert found.inside
    assert found.high - found.low < 0.25


def test_crossing_bears_a_seed_that_comes_back():
    alphas = np.array([0.1, 0.2, 0.3, 0.4])
    stayed = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]], bool)
    found = crossings.crossing(alphas, stayed)  # made monotone: 1, 5/8, 5/8, 0
    assert found.at == pytest.approx(0.3 + 0.1 * (5 / 8 - 1 / 2) / (5 / 8))


def test_where_half_of_the_seeds_have_turned_for_a_while_the_middle_counts():
    stayed = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)
    assert crossings.crossing(np.array([0.1, 0.2, 0.3, 0.4]), stayed).at == pytest.approx(0.25)


def test_intervals_are_those_of_stats_within_the_grid():
    """Seeds that turn at temperatures of their own on a fine grid: nearly the interval of their median."""
    alphas, at = np.linspace(0, 1, 201), np.random.default_rng(0).uniform(0.3, 0.7, 8)
    found = crossings.crossing(alphas, alphas[:, None] <= at)
    wanted = stats.estimate([at], lambda strata: np.median(strata[0], axis=-1))
    assert (found.at, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high), abs=0.01)
    rough = crossings.crossing(np.array([0.45, 0.55]), np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool))
    assert (rough.low, rough.high) == (0.45, 0.55)


def test_seeds_that_turn_together_are_known_to_no_more_than_the_grid():
    stayed = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    found = crossings.crossing(np.array([0.1, 0.2, 0.3, 0.4]), stayed)
    assert (found.low, found.high) == (0.2, 0.3)
    assert found.at == pytest.approx(0.25)


def test_a_run_that_failed_has_neither_stayed_nor_turned():
    env, alphas = envs.make("toy"), np.array([0.5, 0.7, 0.9])
    sound = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    failed = np.array([[1.0], [np.nan], [np.nan]])
    found = crossings.measure("toy", env, alphas, np.concatenate([sound, failed], axis=1), 0.87)
    assert found == crossings.measure("toy", env, alphas, sound, 0.87)
    assert (found["stayed"], found["seeds"]) == ([1.0, 0.5, 0.0], 2)
    with pytest.raises(Fault, match="toy: all seeds but 0 failed"):
        crossings.measure("toy", env, alphas, failed, 0.87)


def test_final_returns_are_those_of_the_summary_and_nan_where_a_run_failed():
    result = untrained.result("sac", values=((0.0, 1.0), (0.0, 3.0)))
    np.testing.assert_array_equal(crossings.returns_of(result), [1.0, 3.0])
    assert crossings.final(result)["failed"] == 0
    failed = dataclasses.replace(result, failed={0: {"step": 1, "cause": "loss"}})
    np.testing.assert_array_equal(crossings.returns_of(failed), [np.nan, 3.0])
    assert crossings.final(failed)["failed"] == 1


@pytest.mark.parametrize(("stays", "end"), [(True, 0.9), (False, 0.1)])
def test_crossing_beyond_the_grid_is_its_end(stays, end):
    found = crossings.crossing(np.array([0.1, 0.9]), np.full((2, 5), stays))
    assert (found.at, found.inside) == (end, False)


def test_predictions_are_the_known_ones():
    assert crossings.predicted(envs.make("toy")) == pytest.approx(0.731, abs=1e-3)
    assert crossings.predicted(envs.make("bandit_chain", size=8)) < crossings.predicted(envs.make("bandit_chain"))


def test_figure_has_a_panel_a_task(tmp_path):
    def row(task, size):
        returns = np.where(np.arange(5)[:, None] < np.array([2, 3, 3]), 1.0, -1.0)
        env = envs.make("toy") if task == "toy" else envs.make("bandit_chain", size=size)
        return crossings.measure(task, env, np.linspace(0.5, 0.9, 5), returns, 0.9) | {"size": size, "steps": 10}

    rows = [row("toy", 1), row("bandit_chain, 1", 1), row("bandit_chain, 4", 4)]
    # all, all, 2 of 3, none: half at a quarter of the way from 0.7 to 0.8
    assert rows[0]["stayed"] == pytest.approx([1, 1, 2 / 3, 0, 0])
    assert rows[0]["measured"]["at"] == pytest.approx(0.725)
    crossings.draw(rows, tmp_path / "crossings.png", "A caption.")
    picture = matplotlib.image.imread(tmp_path / "crossings.png")
    assert np.mean(np.any(picture[..., :3] < 0.9, axis=-1)) > 0.01
