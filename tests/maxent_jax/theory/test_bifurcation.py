import jax
import models
import numpy as np
import pytest

from maxent_jax.theory import TabularMDP, bifurcate, insert, solve, solve_soft


def densities(rng, measure, count=None):
    """Random densities on cells (A,)."""
    shape = () if count is None else (count,)
    mass = rng.dirichlet(np.ones(np.count_nonzero(measure)), size=shape)
    found = np.zeros((*shape, len(measure)))
    found[..., measure > 0] = mass / measure[measure > 0]
    return found


def cases():
    """Models of all sizes with a volume above 1 at the chosen state, a density, and a temperature."""
    rng = np.random.default_rng(0)
    for number in range(220):
        states, actions = rng.integers(2, 9), rng.integers(2, 13)
        model = models.random_model(rng, states, actions, deterministic=number % 2 == 0)
        state = int(rng.integers(states))
        measure = model.measure.copy()
        measure[state] *= rng.uniform(1.2, 10) / measure[state].sum()
        model = TabularMDP(model.transition, model.reward, model.discount, measure)
        yield model, state, densities(rng, measure[state]), float(np.exp(rng.uniform(np.log(0.05), np.log(5))))


def check(model, extended, alpha, wanted):
    """`wanted` densities by state; all else as before."""
    old = slice(len(model.reward))
    before, after = solve_soft(model, alpha), solve_soft(extended, alpha)
    policy = before.policy.copy()
    for state, target in wanted.items():
        policy[state] = target
    np.testing.assert_allclose(after.policy[old], policy, rtol=0, atol=1e-6)
    np.testing.assert_allclose(after.value[old], before.value, rtol=0, atol=1e-6)
    plain, still = solve(model), solve(extended)
    np.testing.assert_allclose(still.value[old], plain.value, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(still.policy[old], plain.policy)


def test_the_soft_policy_becomes_what_is_wanted_and_nothing_else_changes():
    most = 0
    for model, state, target, alpha in cases():
        extended, info = bifurcate(model, state, target, alpha)
        check(model, extended, alpha, {state: target})
        volume = model.measure[state].sum()
        np.testing.assert_allclose(extended.measure[len(model.reward) :].sum(axis=-1), volume)
        assert np.all(extended.measure[len(model.reward) :, 2:] == 0)
        assert [new.index for new in info.inserted] == list(range(len(model.reward), len(extended.reward)))
        most = max(most, *info.stages(state).values())
    assert most > 3  # chains were needed, too


def test_several_states_at_once_and_again():
    rng = np.random.default_rng(1)
    model = models.random_model(rng, 4, 3, discount=1.0)
    model = TabularMDP(model.transition, model.reward, model.discount, 3 * model.measure)
    targets = np.array([densities(rng, model.measure[state]) for state in (1, 3)])
    extended, info = bifurcate(model, [1, 3], targets, alpha=0.8)
    check(model, extended, 0.8, {1: targets[0], 3: targets[1]})
    assert {new.state for new in info.inserted} == {1, 3}
    again = densities(rng, model.measure[0])
    twice, _ = bifurcate(extended, 0, again, alpha=0.8)
    check(model, twice, 0.8, {0: again, 1: targets[0], 3: targets[1]})


def test_at_another_temperature_it_is_something_else():
    rng = np.random.default_rng(2)
    model = models.random_model(rng, 3, 4)
    model = TabularMDP(model.transition, model.reward, model.discount, 3 * model.measure)
    target = densities(rng, model.measure[0])
    extended, _ = bifurcate(model, 0, target, alpha=1.0)
    assert np.abs(solve_soft(extended, 0.5).policy[0] - target).max() > 1e-3


def test_any_penalty_that_is_large_enough_will_do():
    rng = np.random.default_rng(3)
    model = models.random_model(rng, 3, 4)
    model = TabularMDP(model.transition, model.reward, model.discount, 3 * model.measure)
    target = densities(rng, model.measure[0])
    extended, info = bifurcate(model, 0, target, alpha=1.0, penalty=50.0)
    assert info.penalty == {0: 50.0}
    check(model, extended, 1.0, {0: target})
    with pytest.raises(ValueError, match=r"penalty = 0\.01: must be > "):
        bifurcate(model, 0, target, alpha=1.0, penalty=0.01)


@pytest.mark.parametrize("volume", [0.3, 1.0, 4.0])
def test_without_keeping_the_value_it_works_at_any_volume(volume):
    """At the start of an episode: a state to which nothing leads back."""
    rng = np.random.default_rng(4)
    model = models.random_model(rng, 5, 3, discount=1.0)
    transition, measure = model.transition.copy(), model.measure.copy()
    transition[..., 0] = 0
    transition /= np.maximum(transition.sum(axis=-1, keepdims=True), 1e-300)
    transition *= (model.measure > 0)[..., None]
    measure[0] *= volume / measure[0].sum()
    model = TabularMDP(transition, model.reward, model.discount, measure)
    target, alpha = densities(rng, measure[0]), 0.7
    extended, info = bifurcate(model, 0, target, alpha, keep_value=False)
    before, after = solve_soft(model, alpha), solve_soft(extended, alpha)
    np.testing.assert_allclose(after.policy[0], target, rtol=1e-9)
    np.testing.assert_allclose(after.value[1:5], before.value[1:], rtol=1e-9)
    fall = alpha * np.log(1 / info.factor[0])
    np.testing.assert_allclose(before.value[0] - after.value[0], fall, atol=1e-9)
    assert fall > 0 if volume <= 1 else fall >= 0
    np.testing.assert_allclose(solve(extended).value[:5], solve(model).value, rtol=1e-12)
    np.testing.assert_array_equal(solve(extended).policy[:5], solve(model).policy)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alpha": 0.0}, "alpha = 0.0: must be one number > 0"),
        ({"alpha": [1.0, 2.0]}, r"alpha = \[1.0, 2.0\]: must be one number > 0"),
        ({"alpha": -1.0}, "alpha = -1: must be >= 0"),
        ({"alpha": 1e-4}, "alpha: too low"),
        ({"alpha": 1 / 720}, "alpha: too low"),  # the ratio of densities is above all numbers
        ({"alpha": 1 / 720, "keep_value": False}, "alpha: too low"),
        ({"state": 9}, "state = 9: must be one of 0 to 1"),
        ({"target": [0.5, 0.5, 0.5]}, r"target of shape \(3,\)"),
        ({"target": [1.0, 1.0]}, "must sum to 1, but sums to 3"),
        ({"target": [1.5, -0.25]}, r"target = -0\.25: a density must be >= 0"),
        ({"target": [1.0, 0.0]}, "no volume makes it 0"),
        ({"state": 1, "target": [1.0, 2.5]}, "must be 0 where an action is not available"),
        ({"state": [0, 0], "target": [[0.5, 0.25]] * 2}, r"state = \[0, 0\]: .* all different"),
        ({"state": [0, 1], "target": [[0.5, 0.25]]}, r"target of shape \(1, 2\): must be \(2, 2\)"),
        ({"state": 0.5}, r"state = 0\.5: must be one of 0 to 1"),
        ({"state": None}, "state: must be finite numbers"),
        ({"state": [[0]], "target": [[[0.5, 0.25]]]}, r"state = \[\[0\]\]: must be one of"),
        ({"penalty": np.inf}, "penalty: must be finite numbers"),
        ({"penalty": -1e4}, r"penalty = -10000: must be > "),
        ({"target": [0.05, 0.475], "alpha": 0.5, "keep_value": False}, "state = 0: its soft value would fall"),
    ],
)
def test_impossible_requests_say_which_condition_fails(values, said):
    reward, measure = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 2.0], [1.0, 0.0]])
    transition, discount = np.full((2, 2, 2), 0.5), np.full((2, 2), 0.5)
    transition[1, 1] = discount[1, 1] = 0
    model = TabularMDP(transition, reward, discount, measure)
    with pytest.raises(ValueError, match=said):
        bifurcate(model, **({"state": 0, "target": [0.5, 0.25], "alpha": 1.0} | values))


def test_a_volume_of_one_allows_no_change_that_keeps_the_value():
    model = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.full((1, 2), 0.5))
    with pytest.raises(ValueError, match=r"the volume of the actions is 1; .* a volume > 1 is needed"):
        bifurcate(model, 0, [0.2, 1.8], alpha=1.0)
    same = solve_soft(model, 1.0).policy[0]
    extended, _ = bifurcate(model, 0, same, alpha=1.0)
    np.testing.assert_allclose(solve_soft(extended, 1.0).policy[0], same, rtol=1e-12)


def test_a_volume_of_one_but_for_rounding_is_one():
    """Sums of cells are not exact; a chain would need some 1e16 states."""
    measure = np.array([[0.4, 0.3, 0.2, 0.1 + 3e-16]])
    assert 1 < measure.sum() < 1 + 1e-15
    model = TabularMDP(np.ones((1, 4, 1)), np.array([[1.0, 0.0, 0.0, 0.0]]), np.zeros((1, 4)), measure)
    with pytest.raises(ValueError, match=r"the volume of the actions is 1; .* a volume > 1 is needed"):
        bifurcate(model, 0, np.full(4, 1 / measure.sum()), alpha=1.0)


def test_more_states_than_memory_holds_are_refused():
    model = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.full((1, 2), 0.50001))
    with pytest.raises(ValueError, match=r"at a volume of 1\.00002 it takes .* inserted states, and at most 5000"):
        bifurcate(model, 0, [0.5, 1 / 0.50001 - 0.5], alpha=1.0)


@pytest.mark.parametrize("alpha", [1 / 20, 1 / 30, 1 / 100, 1 / 600])
def test_good_sets_may_be_as_small_as_numbers_can(alpha):
    """Two densities that differ by exp(1 / alpha) become equal: the good set of one action has next to no volume."""
    model = TabularMDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.full((1, 2), 0.5))
    extended, info = bifurcate(model, 0, [1.0, 1.0], alpha, keep_value=False)
    assert min(new.good for new in info.inserted) < 1e-8
    np.testing.assert_allclose(solve_soft(extended, alpha).policy[0], [1.0, 1.0], rtol=1e-9)


@pytest.mark.parametrize("states", [[0, 1], [1, 0]])
def test_values_that_fall_leave_the_density_of_what_comes_before_as_wanted(states):
    """State 0 leads to state 1, whose value falls, too."""
    transition = np.zeros((3, 2, 3))
    transition[0, [0, 1], [1, 2]] = transition[1:, :, 0] = 1
    discount = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    model = TabularMDP(transition, np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 0.0]]), discount, np.full((3, 2), 0.5))
    wanted = {0: [0.4, 1.6], 1: [0.2, 1.8]}
    extended, info = bifurcate(model, states, [wanted[state] for state in states], alpha=1.0, keep_value=False)
    assert max(info.factor.values()) < 1
    np.testing.assert_allclose(solve_soft(extended, 1.0).policy[:2], [wanted[0], wanted[1]], rtol=1e-9)
    np.testing.assert_allclose(solve(extended).value[:3], solve(model).value, rtol=1e-12)


def test_what_jit_traces_is_refused():
    model = TabularMDP(np.ones((1, 2, 1)), np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 2)))
    for given in ("state", "target", "alpha", "penalty"):
        values = {"state": 0, "target": [0.5, 0.5], "alpha": 1.0}
        with pytest.raises(ValueError, match=f"{given}: must be numbers, not what jit or vmap traces"):
            jax.jit(lambda x, given=given, values=values: bifurcate(model, **(values | {given: x})) and x)(1.0)


@pytest.mark.parametrize("seed", range(10))
def test_good_sets_of_ones_own_choice_change_soft_values_as_their_volumes_say(seed):
    rng = np.random.default_rng(seed)
    model = models.random_model(rng, 5, 4, discount=0.9)
    states, alpha, penalty = [1, 3], 0.6, 2.5
    share = rng.uniform(0.01, 1.0, (2, 4))
    good = share * model.volume[states][:, None]
    extended, inserted = insert(model, states, good, penalty)
    plain, before = solve(extended), solve(model)
    np.testing.assert_allclose(plain.value[:5], before.value, rtol=1e-11)
    np.testing.assert_array_equal(plain.policy[:5], before.policy)
    soft = solve_soft(extended, alpha)
    assert {(new.state, new.action) for new in inserted} == {
        (state, action) for state in states for action in np.flatnonzero(model.measure[state])
    }
    for new in inserted:
        volume = model.volume[new.state]
        ahead = model.transition[new.state, new.action] @ soft.value[:5]
        q = model.reward[new.state, new.action] + model.discount[new.state, new.action] * ahead
        m = new.good + (volume - new.good) * np.exp(-penalty / alpha)
        np.testing.assert_allclose(soft.value[new.index], q + alpha * np.log(m), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"states": [0, 0]}, r"states = \[0, 0\]: must be one of 0 to 1, or several, all different"),
        ({"states": [2]}, r"states = \[2\]: must be one of 0 to 1"),
        ({"states": [0.5]}, r"states = \[0\.5\]: must be one of 0 to 1"),
        ({"good": [[0.5]]}, r"good of shape \(1, 1\): must be \(1, 2\)"),
        ({"good": [[0.0, 0.5]]}, "good: volumes must be > 0"),
        ({"good": [[2.5, 0.5]]}, "good: volumes must be > 0 and at most that of the state's actions"),
        ({"penalty": -1.0}, "penalty = -1: must be >= 0"),
        ({"penalty": np.inf}, "penalty: must be finite numbers"),
    ],
)
def test_insert_says_what_is_wrong(values, said):
    model = TabularMDP(np.full((2, 2, 2), 0.5), np.zeros((2, 2)), np.full((2, 2), 0.5), np.ones((2, 2)))
    with pytest.raises(ValueError, match=said):
        insert(model, **({"states": [0], "good": [[0.5, 2.0]], "penalty": 1.0} | values))
