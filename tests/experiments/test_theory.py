import numpy as np
import pytest

import envs
from experiments import grids, misleading, theory
from maxent_jax.theory import bifurcate, solve_soft


def test_the_readable_model_needs_two_states_behind_the_least_likely_action():
    model = theory.choice()
    extended, info = bifurcate(model, 0, theory.WANTED, theory.ALPHA)
    numbers = theory.in_numbers(model, extended, info)
    assert numbers["stages"] == {"work": 1, "walk": 1, "sleep": 2}
    before = np.exp(np.array([2.0, 1.0, 0.0]))
    np.testing.assert_allclose(numbers["soft_policy"]["before"], before / before.sum(), rtol=1e-12)
    np.testing.assert_allclose(numbers["soft_policy"]["after"], theory.WANTED, rtol=1e-9)
    assert numbers["plain_value"] == {"before": 1.0, "after": 1.0}
    assert numbers["soft_value"]["after"] == pytest.approx(numbers["soft_value"]["before"], rel=1e-12)


def test_figures(tmp_path):
    model = theory.choice()
    extended, info = bifurcate(model, 0, theory.WANTED, theory.ALPHA)
    theory.draw_bifurcation(model, extended, info, tmp_path / "a.png")
    values = theory.convergence((5, 7))
    theory.draw_convergence(values, tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"


def test_convergence_reads_values_at_its_places():
    values = theory.convergence((5,))
    assert [(row["bins"], row["alpha"]) for row in values["rows"]] == [(5, alpha) for alpha in theory.TEMPERATURES]
    at = grids.model("pendulum", envs.make("pendulum"), 5, 0.99)
    value = solve_soft(at.model, 0.2).value
    (upright,) = np.flatnonzero(np.all(np.abs(at.states) < 1e-9, axis=1))
    assert values["rows"][1]["upright, at rest"] == pytest.approx(value[upright], rel=1e-9)
    assert values["rows"][1]["start"] == pytest.approx(at.start @ value, rel=1e-9)


def test_temperatures_are_equal_factors_apart():
    np.testing.assert_allclose(misleading.alphas("0.01:10:40"), np.geomspace(0.01, 10, 40))
    np.testing.assert_array_equal(misleading.alphas("0.3"), [0.3])


def test_found_looks_for_causes_where_the_mode_loses_most(tmp_path):
    at = grids.model("toy", envs.make("toy"), 11, 1.0)
    found = misleading.Found("toy", at, np.array([0.5, 1.0, 2.0]))
    assert found.lie.alpha == 1.0  # the first of equals
    assert found.ranked() == [0, 1, 2]
    assert found.switch() == "entropy must go at 1 of 6 states: {good} or {bad}; no smaller set suffices"
    rows = found.rows()
    assert [row["switched"] for row in rows["alphas"]] == [0, 1, 1]
    assert misleading.Found("toy", at, np.array([0.5])).switch() == "nothing is lost: entropy may stay everywhere"
    misleading.draw(found, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(("size", "links"), [(1, 1), (2, 2), (32, 1)])
def test_bandit_chain_crosses_where_its_field_says(size, links):
    env = envs.make("bandit_chain", size=size, links=links, crossing=0.7)
    at = grids.model("bandit_chain", env, 11, 0.99)
    below, above = (misleading.Found("bandit_chain", at, np.array([alpha])) for alpha in (0.69, 0.71))
    best = sum(0.99**link for link in range(links))
    assert below.lie.best == pytest.approx(best)
    assert below.lie.regret == pytest.approx(0, abs=1e-9)
    assert above.lie.regret == pytest.approx(2 * best)  # -1 instead of 1 at every link
    doors = {above.state(s) for s in above.ranked() if above.lie.lost[s] > 0}
    assert doors == ({"door"} if links == 1 else {"door 1", "door 2"})


def test_maps_of_two_coordinates_put_each_state_where_it_is(tmp_path, monkeypatch):
    at = grids.model("pendulum", envs.make("pendulum"), 5, 0.9)
    found = misleading.Found("pendulum", at, np.array([1.0]))
    _, axes = theory.plots.figure(1, 1)
    misleading._draw_states(axes[0, 0], found, np.arange(25.0), "x")
    (mesh,) = axes[0, 0].collections
    drawn = np.asarray(mesh.get_array()).reshape(5, 5)  # rows: the second coordinate
    assert drawn[3, 1] == 5 * 1 + 3
    np.testing.assert_allclose(at.states[8], [np.unique(at.states[:, 0])[1], np.unique(at.states[:, 1])[3]])
    misleading.draw(found, tmp_path / "x.png")


def test_bandit_chain_has_the_closed_form_values_of_its_rooms():
    env = envs.make("bandit_chain", size=3, crossing=0.7)
    share, volume = float(env.half_width) ** 3, 8.0
    at = grids.model("bandit_chain", env, 11, 0.99)
    for alpha in (0.02, 0.7, 3.0):
        narrow = alpha * np.log(volume * (share * np.exp(1 / alpha) + (1 - share) * np.exp(-4 / alpha)))
        broad = -1 + alpha * np.log(volume)
        door = alpha * np.log(volume / 2 * (np.exp(narrow / alpha) + np.exp(broad / alpha)))
        np.testing.assert_allclose(solve_soft(at.model, alpha).value[:3], [door, narrow, broad], rtol=1e-12)


@pytest.mark.parametrize("fields", [{"half_width": 0.3}, {"half_width": 0.0}, {"half_width": 1.0}])
def test_toy_is_exact_whatever_its_fields(fields):
    at = grids.model("toy", envs.make("toy", **fields), 11, 1.0)
    wide = 2 * float(np.float32(fields["half_width"]))
    good = np.log(wide * np.exp(1) + (2 - wide) * np.exp(-20))
    assert solve_soft(at.model, 1.0).value[1] == pytest.approx(good, rel=1e-9)
