import dataclasses
import io
import math

import numpy as np
import pytest
import scipy.special
import untrained
from rich.console import Console

import envs
from envs.toy import GOOD, START
from experiments import results, toy
from maxent_jax import plots, stats

pytestmark = pytest.mark.usefixtures("quick_compile")


def solve(alpha=1.0, gamma=1.0, **fields):
    return toy.exact(envs.make("toy", **fields), alpha, gamma)


def test_the_published_problem():
    values = solve()
    assert values.soft_good == pytest.approx(-0.609, abs=5e-4)
    assert values.soft_bad == pytest.approx(-0.307, abs=5e-4)
    assert values.misled == pytest.approx(0.575, abs=5e-4)
    assert solve(gamma=0.99).misled == pytest.approx(0.574, abs=5e-4)


@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0, 5.0])
@pytest.mark.parametrize(
    "fields", [{}, {"half_width": 0.3, "reward_hit": 2.0, "reward_miss": -3.0, "reward_safe": 0.5}]
)
def test_closed_form(alpha, fields):
    env = envs.make("toy", **fields)
    hit, miss, safe, edge = (float(x) for x in (env.reward_hit, env.reward_miss, env.reward_safe, env.half_width))
    good = alpha * scipy.special.logsumexp([hit / alpha, miss / alpha], b=[2 * edge, 2 - 2 * edge])
    bad = safe + alpha * math.log(2)
    values = solve(alpha, 0.9, **fields)
    assert values.soft_good == pytest.approx(good, abs=1e-6)
    assert values.soft_bad == pytest.approx(bad, abs=1e-6)
    assert values.misled == pytest.approx(scipy.special.expit(0.9 * (bad - good) / alpha), abs=1e-6)


def test_entropy_begins_to_mislead_at_the_crossing():
    crossing = 2 / math.log(10)
    at = solve(crossing)
    assert at.soft_good == pytest.approx(at.soft_bad, abs=1e-6)
    assert at.misled == pytest.approx(0.5, abs=1e-6)
    assert solve(0.99 * crossing).misled < 0.5 < solve(1.01 * crossing).misled


def test_landscapes_at_both_states():
    values = solve(gamma=0.99)
    left, band = values.action <= 0, np.abs(values.action) < 0.1
    clear = np.abs(np.abs(values.action) - 0.1) > 1e-6  # at the edge itself rounding decides
    np.testing.assert_allclose(values.soft[START], np.where(left, 0.99 * values.soft_good, 0.99 * values.soft_bad))
    np.testing.assert_allclose(values.plain[START], np.where(left, 0.99, -0.99))
    for landscape in (values.soft[GOOD], values.plain[GOOD]):  # the last step: no entropy behind it
        np.testing.assert_array_equal(landscape[clear], np.where(band, 1.0, -20.0)[clear])


def test_outcome_counts_where_the_seeds_end():
    result = untrained.result(values=((-1.0, 1.0), (1.0, 1.0), (1.0, -1.0), (1.0, -20.0)), grid={"alpha": 0.2})
    (row,) = toy.ends([result])
    assert row["agent"] == "sac (alpha 0.2)"
    assert (row["seeds"], row["at_plus_1"], row["at_minus_1"]) == (4, 2, 1)
    assert row["deterministic"]["per_seed"] == [1.0, 1.0, -1.0, -20.0]
    assert row["deterministic"]["mean"] == row["stochastic"]["mean"] == pytest.approx(-19 / 4)
    assert row["switched_by_state"] == {"start": None, "good state": None}


def test_the_page_tells_where_the_seeds_end_and_what_they_return():
    result = untrained.result(values=((-1.0, 1.0), (1.0, -1.0)), grid={"alpha": 0.2})
    head, _, row = results.tell_toy({"rows": toy.ends([result])}).splitlines()
    assert head.startswith("| agent | seeds at +1 | return, mean action | sampled |")
    assert row.startswith("| sac (alpha 0.2) | 1 of 2 | 0 [")


def test_the_table_has_room_for_a_configuration_of_which_every_seed_failed():
    counts = {"seeds": 2, "at_plus_1": 0, "at_minus_1": 1, "switched_share": None}
    ends = {name: dataclasses.asdict(stats.interval(values)) for name, values in (("a", [None]), ("b", [-1.0, -3.0]))}
    rows = [{"agent": name, "deterministic": end, "stochastic": end, **counts} for name, end in ends.items()]
    shown = Console(file=io.StringIO(), width=120)
    shown.print(toy.table(rows, "toy"))
    assert shown.file.getvalue().count("1 of 2") == 2


def test_outcome_says_where_every_seed_switches():
    (row,) = toy.ends([untrained.result("sac_adaent")])
    for shares in row["switched_by_state"].values():
        assert len(shares) == row["seeds"]
        assert all(0 <= share <= 1 for share in shares)


def test_figure(tmp_path, monkeypatch):
    figures, save = [], plots.save
    monkeypatch.setattr(plots, "save", lambda drawn, path: (figures.append(drawn), save(drawn, path)))
    results = [untrained.result(agent, grid={"alpha": 1.0}) for agent in ("sac", "sac_adaent", "ppo")]
    toy.draw(results, toy.ends(results), tmp_path / "toy.png", "quick")
    assert (tmp_path / "toy.png").read_bytes()[:4] == b"\x89PNG"
    words = figures[0].get_supxlabel()
    assert "sac: 20 steps, nets 8, batch 8" in words
    assert "That is 0.02 to 0.032 % of the published steps, with smaller nets: it shows how" in words
