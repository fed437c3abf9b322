import matplotlib.image
import numpy as np
import pytest

import envs
from experiments import crossings


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
    assert rows[0]["measured"]["at"] == pytest.approx(0.6 + 0.1 * 2 / 3 + 0.1 * 0, abs=0.1)
    crossings.draw(rows, tmp_path / "crossings.png", "A caption.")
    picture = matplotlib.image.imread(tmp_path / "crossings.png")
    assert np.mean(np.any(picture[..., :3] < 0.9, axis=-1)) > 0.01
