"""The rule of `maxent_jax.verdict`, each branch on returns that decide it."""

import made_runs
import numpy as np
import pytest

import envs
from envs import fields
from maxent_jax import agents, tables, verdict
from maxent_jax.result import load

FLAT = np.full(9, 0.0)
SEEDS = np.linspace(-0.5, 0.5, 5)[:, None]


def curves(level, slope=0.0):
    """(5 seeds, 9 evaluations) around a level."""
    return level + SEEDS + slope * np.arange(9) + FLAT


@pytest.fixture
def judge(tmp_path_factory):
    """The verdict on the first of some directories."""

    def judge(*sides, yardsticks=None):
        results, folder = [], tmp_path_factory.mktemp("runs")
        for number, (values, options) in enumerate(sides):
            results.append(load(made_runs.make(folder / str(number), values, **options)))
        return verdict.judge(tables.entries(results), yardsticks)[0]

    return judge


def known(best, worst=0.0):
    """Yardsticks of the toy task."""
    spread = np.linspace(-0.5, 0.5, 20)
    return {"toy": verdict.Yardsticks({"planner": best + spread}, {"random actions": worst + spread}, _toy())}


def _toy():
    return fields.plain_values(envs.make("toy"))


def test_a_counterpart_without_entropy_that_is_better_convicts_it(judge):
    found = judge((curves(0), {}), (curves(5), {"alpha": 0.0}))
    assert found.word == verdict.MISLEADS
    assert "sac (alpha 0) by 5 [" in str(found)


def test_of_many_the_first_are_named(judge):
    grid = {"threshold": [float(value) for value in np.linspace(0.1, 0.8, 8)]}
    found = judge((curves(0), {}), (np.tile(curves(5), (8, 1)), {"agent": "sac_adaent", "grid": grid}))
    assert str(found).count(" by 5 [") == 5
    assert "; and 3 more (needed:" in str(found)


def test_so_does_one_that_switches_it_off(judge):
    assert judge((curves(0), {}), (curves(5), {"agent": "sac_adaent"})).word == verdict.MISLEADS


@pytest.mark.parametrize(
    "options",
    [
        {"agent": "ppo"},  # another algorithm
        {"alpha": 0.0, "lr": 0.1},  # something else differs, too
        {"alpha": 0.3},  # less entropy is entropy
        {"agent": "sac_adaent", "threshold": -1.0},  # never switches
        {"agent": "sac_adaent", "alpha": 0.3},  # lets go of another temperature
        {"agent": "sac_annealed", "alpha": 0.3},
    ],
)
def test_a_better_competitor_that_differs_otherwise_does_not(judge, options):
    found = judge((curves(0), {}), (curves(5), options))
    assert found.word == verdict.NO_EVIDENCE
    assert "no run beside it differs from it in entropy alone" in str(found)


def test_a_threshold_that_never_switches_is_judged_and_one_that_does_is_its_counterpart(judge):
    never = {"agent": "sac_adaent", "threshold": 0.0}  # no cosine is lower
    found = judge((curves(0), never), (curves(5), {"agent": "sac_adaent", "threshold": 0.9}))
    assert found.word == verdict.MISLEADS
    assert not verdict.lets_go(agents.AGENTS["sac_adaent"](threshold=0.0))
    assert verdict.lets_go(agents.AGENTS["sac_adaent"](threshold=0.0, metric="pearson"))


def test_a_threshold_that_never_switches_is_compared_with_sac_without_entropy(judge):
    never = {"agent": "sac_adaent", "threshold": -1.0}
    assert judge((curves(0), never), (curves(5), {"alpha": 0.0})).word == verdict.MISLEADS
    assert judge((curves(0), never), (curves(5), {"agent": "sac_annealed"})).word == verdict.MISLEADS


def test_a_learned_temperature_lets_go_of_a_learned_temperature_only(judge):
    learned = {"auto_alpha": True, "target_entropy": -2.0}
    for released, word in (
        ({"alpha": 1.0}, verdict.NO_EVIDENCE),
        (learned | {"target_entropy": -1.0}, verdict.NO_EVIDENCE),
        (learned | {"alpha_lr": 0.5}, verdict.NO_EVIDENCE),
        (learned, verdict.MISLEADS),
    ):
        shared = {"alpha": 1.0, "alpha_lr": 1e-3}
        sides = (curves(0), shared | learned), (curves(5), {"agent": "sac_adaent"} | shared | released)
        assert judge(*sides).word == word


def test_nothing_is_said_where_nothing_is_better(judge):
    found = judge((curves(0), {}), (curves(-5), {"alpha": 0.0}), yardsticks=known(0.1, -10))
    assert found.word == verdict.NO_VERDICT
    assert "1 other configuration and 1 yardstick" in str(found)
    assert judge((curves(0), {})).word == verdict.NO_VERDICT


@pytest.mark.parametrize(("gap", "word"), [(0.9, verdict.NO_VERDICT), (3.0, verdict.MISLEADS)])
def test_clearly_is_a_hundredth_of_the_range(judge, gap, word):
    # the range is 100: 0.9 is surely positive, and yet below 1
    tight = lambda level: level + 0.01 * SEEDS + FLAT  # noqa: E731
    found = judge((tight(0), {}), (tight(gap), {"alpha": 0.0}), yardsticks=known(-0.2, -100.2))
    assert found.word == word


def test_a_yardstick_shows_what_is_possible_and_a_rise_that_time_was_short(judge):
    found = judge((curves(0, slope=1.0), {}), yardsticks=known(50))
    assert found.word == verdict.TOO_SMALL
    assert "the yardstick planner by" in str(found)
    assert "by 2 [2, 2] in the last quarter" in str(found)


def test_a_plateau_below_a_yardstick_is_no_evidence(judge):
    found = judge((curves(0), {}), (curves(0.1), {"alpha": 0.0}), yardsticks=known(250))
    assert found.word == verdict.NO_EVIDENCE
    assert "something else stands in the way" in str(found)


def test_too_few_seeds_are_named(judge):
    wide = np.array([[0.0], [20.0], [40.0]]) + FLAT
    found = judge((curves(0), {}), (wide, {"alpha": 0.0}), yardsticks=known(50))
    assert found.word == verdict.NO_EVIDENCE
    assert "more seeds could show it" in str(found)


def test_other_physics_prove_nothing(judge):
    other = {"alpha": 0.0, "env_fields": {"reward_safe": 3.0}}
    assert judge((curves(0), {}), (curves(5), other)).word == verdict.NO_VERDICT
    env_fields = _toy() | {"reward_hit": 9.0}
    changed = {"toy": verdict.Yardsticks({"planner": [50.0, 51.0]}, {"random actions": [0.0]}, env_fields)}
    assert judge((curves(0), {}), yardsticks=changed).word == verdict.NO_VERDICT


def test_a_longer_budget_proves_nothing_about_this_one(judge):
    late = np.concatenate([curves(0), curves(50)], axis=1)
    found = judge((curves(0), {}), (late, {"alpha": 0.0}))
    assert found.word == verdict.NO_VERDICT


def test_one_seed_is_not_judged(judge):
    assert "at least two seeds" in str(judge((curves(0)[:1], {}), (curves(5), {"alpha": 0.0})))


@pytest.mark.parametrize("agent", agents.AGENTS)
def test_who_lets_go_of_entropy(agent):
    assert verdict.lets_go(agents.AGENTS[agent]()) == (agent in ("sac_adaent", "sac_annealed"))


def test_of_many_the_best_and_the_counterparts_are_asked(judge, monkeypatch):
    monkeypatch.setattr(verdict, "MOST_RIVALS", 1)
    sides = [(curves(5), {"alpha": 0.0}), (curves(9), {"agent": "ppo"}), (curves(7), {"alpha": 0.3})]
    assert judge((curves(0), {}), *sides).word == verdict.MISLEADS
    found = str(judge((curves(0), {}), *sides[1:]))
    assert "ppo by 9" in found
    assert "alpha 0.3" not in found


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [np.random.Generator.standard_normal, lambda rng, seeds: -np.exp(rng.normal(size=seeds))]
)
def test_three_counterparts_that_are_as_good_seldom_convict(judge, draw):
    """Nor do chances add up: ends of intervals are conservative, so that it stays below the 5 % of one comparison."""
    rng, others = np.random.default_rng(0), ({"alpha": 0.0}, {"agent": "sac_adaent"}, {"agent": "sac_annealed"})
    words = []
    for _ in range(80):
        sides = [(np.full(9, 1.0) * draw(rng, 5)[:, None], options) for options in ({}, *others)]
        words.append(judge(*sides, yardsticks=known(1.0)).word)
    assert words.count(verdict.MISLEADS) <= 0.05 * len(words)


@pytest.mark.slow
def test_a_grid_of_counterparts_that_are_as_good_convicts_about_as_often_as_one_comparison_may(judge):
    """Twice that often is what is allowed: chance alone moves the count of so few cases."""
    rng, words = np.random.default_rng(0), []
    grid = {"threshold": [float(value) for value in np.linspace(0.05, 0.95, 19)]}
    for _ in range(80):
        own, others = (rng.standard_normal(runs)[:, None] + np.zeros(9) for runs in (5, 5 * 19))
        words.append(judge((own, {}), (others, {"agent": "sac_adaent", "grid": grid}), yardsticks=known(1.0)).word)
    assert words.count(verdict.MISLEADS) <= 0.1 * len(words)


def test_a_range_begins_at_the_best_of_those_that_see_nothing():
    """A task on which standing still is far better than random actions is not all the easier for it."""
    known = verdict.Yardsticks({"a": [5.0, 7.0], "b": [10.0]}, {"random actions": [-90.0], "zero": [2.0, 4.0]}, {})
    assert known.range == 7
    assert list(known.returns) == ["a", "b", "random actions", "zero"]
    assert verdict.Yardsticks({"a": [5.0]}, {"zero": [6.0]}, {}).range == 0
