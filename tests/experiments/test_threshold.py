import json

import numpy as np
import pytest
import untrained

from envs.fields import InvalidSetting
from experiments import agreeing, threshold
from maxent_jax import plots

NAMES = ("return_deterministic", "return_stochastic", "switched_share")


class Swept(untrained.Untrained):
    """A sweep whose outcome is given."""

    outcome: list

    @property
    def summary(self):
        return {"configurations": self.outcome, "elapsed_seconds": 30.0}


def swept(agent, grid, outcome):
    """Configurations in the order of the grid; `outcome` is (return, share) of each."""
    base = untrained.result(agent)
    names, values = list(grid), [list(column) for column in grid.values()]
    points = np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, len(names)) if names else [[]]
    entries = [{"grid": dict(zip(names, map(float, point), strict=True)), "overrides": {}} for point in points]
    config = base.config | {"grid": dict(zip(names, values, strict=True)), "configurations": entries}
    agents, envs = base.agents * len(entries), base.envs * len(entries)
    result = Swept(base.path, config, base.runs, base.metrics, agents, envs)
    final = [{"mean": mean, "low": None, "high": None} for mean, _ in outcome]
    object.__setattr__(
        result,
        "outcome",
        [dict(zip(NAMES, (one, one, share), strict=True)) for one, (_, share) in zip(final, outcome, strict=True)],
    )
    return result


GRID = {"threshold": (0.0, 0.9, 1.01), "alpha": (0.2, 2.0)}
OUTCOME = [(1.0, 0.0), (-1.0, 0.0), (0.5, 0.25), (None, None), (0.0, 1.0), (0.9, 1.0)]
SAC = {"alpha": (0.0, 0.2, 2.0)}


def test_cells_are_where_their_values_say():
    names, values, found = threshold.cells(swept("sac_adaent", GRID, OUTCOME), lambda row: row["switched_share"])
    assert names == ("threshold", "alpha")
    assert values == ([0.0, 0.9, 1.01], [0.2, 2.0])
    np.testing.assert_array_equal(found, [[0, 0], [0.25, np.nan], [1, 1]])


@pytest.mark.parametrize(
    ("grid", "named"), [(SAC, "alpha"), ({}, "none"), (GRID | {"tau": (0.1, 0.2)}, "threshold, alpha, tau")]
)
def test_a_grid_that_is_not_two_dimensional(grid, named):
    result = swept("sac_adaent", grid, [(0.0, 0.0)] * int(np.prod([len(values) for values in grid.values()])))
    with pytest.raises(InvalidSetting, match=f"grid of 'nowhere' = {named}: must be two fields for a heat map"):
        threshold.cells(result, lambda row: 0.0)


def test_run_trains_one_grid_and_sac_and_draws_both(tmp_path, monkeypatch):
    asked, figures = [], []

    def sweep(agent, env, grid, **options):
        asked.append((agent, env, grid, options["seeds"], options.get("agent_fields")))
        return swept(agent, grid, OUTCOME if agent == "sac_adaent" else [(-3.0, None), (1.0, None), (-1.0, None)])

    monkeypatch.setattr(threshold, "GRIDS", {"toy": tuple(GRID.values())})
    monkeypatch.setattr(threshold.api, "sweep", sweep)
    monkeypatch.setattr(agreeing, "of_configuration", lambda result, index: {"agreement": index / 10})
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda drawn, path: (figures.append(drawn), save(drawn, path)))
    threshold.run("toy", tmp_path, "cpu", None)
    assert [(one[0], one[2], one[3]) for one in asked] == [("sac_adaent", GRID, 5), ("sac", SAC, 5)]
    assert asked[0][4] == {"comparison": "fast", "n_samples": 100}
    returns, shares = figures[0].axes[:2]
    expected = [[1, -1], [0.5, np.nan], [0, 0.9], [1, -1], [-3, -3]]
    np.testing.assert_array_equal(returns.images[0].get_array().filled(np.nan), expected)
    assert [label.get_text() for label in returns.get_yticklabels()][-2:] == ["SAC", "SAC, alpha 0"]
    np.testing.assert_array_equal(shares.images[0].get_array().filled(np.nan), [[0, 0], [0.25, np.nan], [1, 1]])
    (failed,) = (text for text in returns.texts if text.get_text() == "failed")
    assert failed.get_color() == "black"  # on white
    words = figures[0].get_supxlabel()
    assert "lowest: sac (alpha 0) -3" in words
    assert "% of the published steps, with smaller nets: it shows how the agents begin" in words
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert outcome["minutes"] == 1.0  # of both sweeps
    kept = outcome["rows"]
    assert kept[2] | {"return_stochastic": 0, "return_deterministic": 0} == {
        "agent": "sac_adaent",
        "threshold": 0.9,
        "alpha": 0.2,
        "switched_share": 0.25,
        "agreement": 0.2,  # its own, for the fast comparison may agree at one threshold and not at another
        "return_stochastic": 0,
        "return_deterministic": 0,
    }


def test_the_caption_owns_up_to_a_budget_that_tells_nothing():
    results = [swept("sac_adaent", GRID, [(-1.0, 0.5)] * 6), swept("sac", SAC, [(-1.0, None)] * 3)]
    words = threshold.caption("toy", "quick", results, threshold.rows(results))
    assert "All means are -1: this budget tells no cell from another." in words


def test_a_grid_of_which_every_run_failed_has_a_caption():
    results = [swept("sac_adaent", GRID, [(None, None)] * 6), swept("sac", SAC, [(None, None)] * 3)]
    assert "All means are unknown" in threshold.caption("toy", "quick", results, threshold.rows(results))


def test_every_grid_has_never_and_always():
    for thresholds, _ in threshold.GRIDS.values():
        assert thresholds[0] == 0
        assert thresholds[-1] > 1
