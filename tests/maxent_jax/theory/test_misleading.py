import itertools

import jax
import models
import numpy as np
import pytest
import reference

from maxent_jax.theory import TabularMDP, evaluate, gains, ideal_switch, lie, solve, solve_by_state, solve_soft
from maxent_jax.theory.mdp import reachable
from maxent_jax.theory.misleading import SAMPLES, modes

CROSSING = 2 / np.log(10)


def by_enumeration(model, temperature):
    """The plain return of the mode by soft value iteration with a temperature for each state, in loops."""
    states = len(model.reward)
    value = np.zeros(states)
    for _ in range(300):
        q = model.reward + model.discount * np.einsum("sat,t->sa", model.transition, value)
        for s in range(states):
            on = model.measure[s] > 0
            t = temperature[s]
            top = q[s, on].max()
            value[s] = top if t == 0 else top + t * np.log(model.measure[s, on] @ np.exp((q[s, on] - top) / t))
    q = np.where(model.measure > 0, q, -np.inf)
    best = q.argmax(axis=1)
    step = np.array([model.transition[s, best[s]] * model.discount[s, best[s]] for s in range(states)])
    return np.linalg.solve(np.eye(states) - step, model.reward[np.arange(states), best])


def some_models(count, states=5, actions=4):
    rng = np.random.default_rng(7)
    for _ in range(count):
        model = models.random_model(rng, states, actions, discount=0.9)
        yield model, rng.dirichlet(np.ones(states)), float(np.exp(rng.uniform(-2, 1)))


def test_temperatures_by_state_are_those_of_value_iteration():
    rng = np.random.default_rng(0)
    for model, _, alpha in some_models(5):
        temperature = alpha * rng.integers(0, 2, 5)
        found = solve_by_state(model, temperature)
        density = modes(model, found)
        np.testing.assert_allclose(evaluate(model, density), by_enumeration(model, temperature), atol=1e-9)
        from_elsewhere = solve_by_state(model, temperature, solve_soft(model, alpha).policy)
        np.testing.assert_allclose(from_elsewhere.value, found.value, atol=1e-10)


def test_one_temperature_everywhere_is_the_soft_solution():
    model, _, alpha = next(some_models(1))
    for ours, theirs in zip(solve_by_state(model, np.full(5, alpha)), solve_soft(model, alpha), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_regret_is_what_rollouts_of_the_policy_lose():
    for model, start, alpha in some_models(8):
        found = lie(model, alpha, start)
        assert found.best == pytest.approx(start @ solve(model).value)
        assert found.mode == pytest.approx(start @ by_enumeration(model, np.full(5, alpha)), abs=1e-9)
        mass = found.soft.policy * model.measure
        step = np.einsum("sa,sat->st", mass * model.discount, model.transition)
        returns = sum(start @ np.linalg.matrix_power(step, k) @ (mass * model.reward).sum(1) for k in range(400))
        assert found.sampled == pytest.approx(returns, abs=1e-9)
        assert found.regret >= -1e-12
        assert found.regret_sampled >= -1e-12


def test_losses_by_state_sum_to_the_regret_and_are_never_negative():
    for model, start, alpha in some_models(20):
        found = lie(model, alpha, start)
        assert found.lost.sum() == pytest.approx(found.regret, abs=1e-10)
        assert found.lost_sampled.sum() == pytest.approx(found.regret_sampled, abs=1e-10)
        assert found.lost.min() > -1e-10
        assert found.lost_sampled.min() > -1e-10


def test_gains_are_those_of_solutions_without_entropy_at_one_state():
    for model, start, alpha in some_models(4):
        before = start @ by_enumeration(model, np.full(5, alpha))
        expected = [start @ by_enumeration(model, np.where(np.arange(5) == s, 0, alpha)) - before for s in range(5)]
        np.testing.assert_allclose(gains(model, alpha, start), expected, atol=1e-9)


def test_similarities_are_the_published_rule_over_drawn_actions():
    """Against many fresh draws of our own; and 1 where the policy has but one action."""
    model, start, _ = next(some_models(1, states=4, actions=6))
    found = lie(model, 0.6, start)
    plain = evaluate(model, found.soft.policy)
    q = model.reward + model.discount * np.einsum("sat,t->sa", model.transition, plain)
    rng = np.random.default_rng(1)
    for s in range(4):
        mass = model.measure[s] * found.soft.policy[s]
        drawn = rng.choice(6, (400, SAMPLES), p=mass / mass.sum())
        each = [reference.similarity(found.soft.q[s][row], q[s][row]) for row in drawn]
        assert found.similarity[s] == pytest.approx(np.mean(each), abs=6 * np.std(each) / 32**0.5 + 1e-9)
        assert found.switched[s] == pytest.approx(np.mean(np.array(each) < 0.9), abs=0.3)
    one = TabularMDP(np.ones((1, 2, 1)), np.array([[5.0, 0.0]]), np.array([[0.5, 0]]), np.ones((1, 2)))
    np.testing.assert_array_equal(lie(one, 0.01, 0).similarity, [1.0])


@pytest.mark.parametrize(("factor", "regret"), [(0.99, 0.0), (1.01, 2.0)])
def test_toy_loses_two_above_the_crossing_and_nothing_below(factor, regret):
    found = lie(models.toy(), factor * CROSSING, 0)
    assert found.regret == pytest.approx(regret, abs=1e-12)
    np.testing.assert_allclose(found.lost, [regret, 0, 0, 0], atol=1e-12)


def test_on_the_toy_the_rule_sees_the_start_and_entropy_must_go_behind_one_of_the_doors():
    model = models.toy()
    found = lie(model, 1.0, 0)
    np.testing.assert_array_equal(found.switched, [1, 0, 0, 0])
    np.testing.assert_allclose(found.similarity, [0, 1, 1, 1])
    np.testing.assert_allclose(gains(model, 1.0, 0), [0, 2, 2, 0], atol=1e-12)
    ideal = ideal_switch(model, 1.0, 0)
    assert ideal == (((1,), (2,)), True, 1)
    assert ideal_switch(model, 0.5, 0) == (((),), True, 0)


def all_that_suffices(model, start, alpha, left, sets):
    """Those of the sets of states that leave at most that share of the regret."""
    best, none = start @ solve(model).value, start @ by_enumeration(model, np.full(len(start), alpha))

    def reached(off):
        return start @ by_enumeration(model, np.where(np.isin(np.arange(len(start)), off), 0.0, alpha))

    return [off for off in sets if reached(off) >= best - left * (best - none) - 1e-9]


def test_the_ideal_switch_is_the_smallest_of_all_sets():
    sizes = set()
    for model, start, alpha in some_models(8):
        found = ideal_switch(model, alpha, start, left=0.1)
        all_sets = [c for n in range(6) for c in itertools.combinations(range(5), n)]
        good = all_that_suffices(model, start, alpha, 0.1, all_sets)
        smallest = min(map(len, good))
        assert found == (tuple(c for c in good if len(c) == smallest), True, smallest)
        sizes.add(smallest)
    assert len(sizes) > 1


def test_where_not_all_sets_are_tried_none_of_the_found_can_be_left_out():
    tried = 0
    for model, start, alpha in some_models(12):
        found = ideal_switch(model, alpha, start, left=0.1, most=4)
        exact = ideal_switch(model, alpha, start, left=0.1)
        if exact.sets == ((),):
            continue
        tried += 1
        (kept,) = found.sets
        assert found.smallest == (len(kept) == 1)
        assert found.at_least == 1 <= len(exact.sets[0]) <= len(kept)
        without_one = [tuple(s for s in kept if s != left_out) for left_out in kept]
        assert all_that_suffices(model, start, alpha, 0.1, [kept, *without_one]) == [kept]
    assert tried > 3


def test_states_that_cannot_be_reached_do_not_count():
    model = models.toy()
    assert reachable(model, np.eye(4)[0]) == [0, 1, 2]  # behind the doors it ends
    assert reachable(model, np.eye(4)[1]) == [1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alpha": 0.0}, "must be one number > 0"),
        ({"alpha": [1.0, 2.0]}, r"alpha = \[1.0, 2.0\]: must be one number > 0"),
        ({"start": 4}, "start = 4: must be one of 0 to 3"),
        ({"start": [1.0, 1.0, 0, 0]}, "must be 4 probabilities that sum to 1"),
    ],
)
def test_mistakes_are_refused(values, said):
    for function in (lie, gains, ideal_switch):
        with pytest.raises(ValueError, match=said):
            function(models.toy(), **({"alpha": 1.0, "start": 0} | values))


def test_tracers_are_refused():
    with pytest.raises(ValueError, match="not what jit or vmap traces"):
        jax.jit(lambda alpha: lie(models.toy(), alpha, 0).lost)(1.0)
    with pytest.raises(
        ValueError, match="similarity: must be numbers, not what jit or vmap traces"
    ):  # its own numbers are traced
        jax.jit(lambda x: x + lie(models.toy(), 1.0, 0).lost)(1.0)


def test_a_mode_that_never_ends_is_refused_by_name():
    """Going round is worth more than leaving, but for entropy's sake: whoever acts by the mode stays."""
    measure = np.array([[0.5, 1.0]])
    model = TabularMDP(np.ones((1, 2, 1)), np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), measure)
    for function in (lie, gains, ideal_switch):
        with pytest.raises(ValueError, match="discount: a policy goes on for ever"):
            function(model, 1.0, 0)
