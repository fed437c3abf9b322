import dataclasses
import itertools

import jax
import models
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from maxent_jax.theory import TabularMDP, evaluate, solve, solve_soft


def value_iteration(model, alpha):
    """Until nothing changes; loops, and nothing of ours."""
    states, actions = model.reward.shape
    value = np.zeros(states)
    while True:
        new = np.empty(states)
        for s in range(states):
            cells = [a for a in range(actions) if model.measure[s, a] > 0]
            q = [model.reward[s, a] + model.discount[s, a] * model.transition[s, a] @ value for a in cells]
            if alpha == 0:
                new[s] = max(q)
            else:
                new[s] = alpha * scipy.special.logsumexp(np.array(q) / alpha, b=model.measure[s, cells])
        if np.max(np.abs(new - value)) < 1e-13:
            return new
        value = new


@pytest.mark.parametrize("alpha", [0.0, 0.05, 1.0, 5.0])
@pytest.mark.parametrize("deterministic", [False, True])
def test_values_are_those_of_value_iteration(alpha, deterministic):
    rng = np.random.default_rng(0)
    for _ in range(4):
        model = models.random_model(
            rng, rng.integers(2, 7), rng.integers(2, 6), deterministic=deterministic, discount=0.9
        )
        found = solve_soft(model, alpha)
        exact = value_iteration(model, alpha)
        np.testing.assert_allclose(found.value, exact, atol=1e-11)
        assert np.all(np.abs(found.value - exact) <= found.error + 1e-12)


def test_plain_values_are_those_of_a_linear_program():
    rng = np.random.default_rng(1)
    model = models.random_model(rng, 6, 4)
    rows, bounds = [], []
    for s, a in itertools.product(range(6), range(4)):
        if model.measure[s, a] > 0:
            rows.append(model.discount[s, a] * model.transition[s, a] - np.eye(6)[s])
            bounds.append(-model.reward[s, a])
    program = scipy.optimize.linprog(np.ones(6), rows, bounds, bounds=(None, None))
    np.testing.assert_allclose(solve(model).value, program.x, atol=1e-8)


def test_plain_policy_is_the_best_of_all():
    rng = np.random.default_rng(2)
    model = models.random_model(rng, 3, 3)
    cells = [np.flatnonzero(model.measure[s]) for s in range(3)]
    values = []
    for choice in itertools.product(*cells):
        density = np.zeros((3, 3))
        density[range(3), choice] = 1 / model.measure[range(3), choice]
        values.append(evaluate(model, density))
    found = solve(model)
    np.testing.assert_allclose(found.value, np.max(values, axis=0), atol=1e-12)
    np.testing.assert_allclose(evaluate(model, found.policy), found.value, atol=1e-12)


def test_no_other_policy_is_worth_more_at_its_temperature():
    rng = np.random.default_rng(3)
    model, alpha = models.random_model(rng, 4, 5), 0.7
    found = solve_soft(model, alpha)
    np.testing.assert_allclose(evaluate(model, found.policy, alpha), found.value, atol=1e-12)
    for _ in range(200):
        other = found.policy * np.exp(0.3 * rng.normal(size=found.policy.shape))
        other /= (model.measure * other).sum(axis=-1, keepdims=True)
        assert np.all(evaluate(model, other, alpha) <= found.value + 1e-12)


def test_toy_crosses_where_its_closed_form_says():
    crossing = 2 / np.log(10)
    for alpha in (0.5 * crossing, crossing, 1.0, 2 * crossing):
        found = solve_soft(models.toy(), alpha)
        good = alpha * np.log(0.2 * np.exp(1 / alpha) + 1.8 * np.exp(-20 / alpha))
        bad = -1 + alpha * np.log(2)
        np.testing.assert_allclose(found.value[1:3], [good, bad], rtol=1e-12)
        ahead = found.q[0, 0] - found.q[0, 1]
        assert abs(ahead) < 1e-9 if alpha == crossing else np.sign(ahead) == np.sign(crossing - alpha)
    at_one = solve_soft(models.toy(), 1.0)
    assert at_one.policy[0, 1] == pytest.approx(0.575, abs=5e-4)  # cells of volume 1: density is probability
    assert solve_soft(models.toy(0.99), 1.0).policy[0, 1] == pytest.approx(0.574, abs=5e-4)
    np.testing.assert_allclose(solve(models.toy()).value, [1, 1, -1, 0])


def test_many_models_and_many_temperatures_at_once():
    rng = np.random.default_rng(4)
    model = models.random_model(rng, 3, 4, lead=(5,))
    alphas = np.array([0.0, 0.3, 2.0])
    together = solve_soft(model, alphas)
    assert together.q.shape == (3, 5, 3, 4)
    for i, j in itertools.product(range(3), range(5)):
        one = TabularMDP(*(getattr(model, name)[j] for name in ("transition", "reward", "discount", "measure")))
        alone = solve_soft(one, alphas[i])
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_allclose(ours[i, j], theirs, atol=1e-11)


def test_tiny_and_huge_temperatures_are_stable():
    rng = np.random.default_rng(5)
    model = models.random_model(rng, 5, 4)
    plain = solve(model)
    cold = solve_soft(model, 1e-300)
    np.testing.assert_allclose(cold.value, plain.value, atol=1e-12)
    np.testing.assert_allclose(cold.policy, plain.policy, atol=1e-12)
    hot, free = solve_soft(model, 1e12), dataclasses.replace(model, reward=np.zeros((5, 4)))
    np.testing.assert_allclose(hot.policy, solve_soft(free, 1.0).policy, rtol=1e-9)  # entropy is all that counts
    np.testing.assert_allclose(hot.value, 1e12 * solve_soft(free, 1.0).value, rtol=1e-9)


def test_rewards_still_count_at_a_huge_temperature():
    measure = np.array([[0.25, 0.75]])  # volume 1: the entropy of the uniform density is 0
    model = TabularMDP(np.ones((1, 2, 1)), np.array([[3.0, -1.0]]), np.zeros((1, 2)), measure)
    assert solve_soft(model, 1e12).value[0] == pytest.approx(0.0, abs=1e-9)  # 0.25 * 3 - 0.75 * 1


def test_transient_parts_may_be_undiscounted():
    """A chain of 30 states, forwards with probability 0.6, else it stays; each step costs 1."""
    states = 30
    transition = np.zeros((states, 1, states))
    for s in range(states):
        transition[s, 0, min(s + 1, states - 1)] += 0.6
        transition[s, 0, s] += 0.4
    reward, discount = -np.ones((states, 1)), np.ones((states, 1))
    reward[-1] = discount[-1] = 0
    model = TabularMDP(transition, reward, discount, np.ones((states, 1)))
    np.testing.assert_allclose(solve(model).value, -(states - 1 - np.arange(states)) / 0.6, rtol=1e-12)


def test_long_chains_take_many_improvements_and_arrive():
    """The best is at the end of 60 states; each of them can also stop for a little."""
    states = 60
    transition = np.zeros((states, 2, states))
    transition[:, 0, 0] = 1
    transition[np.arange(states), 1, np.minimum(np.arange(states) + 1, states - 1)] = 1
    reward = np.stack([np.full(states, 1.0), np.zeros(states)], axis=1)
    reward[-1] = 1e3
    discount = np.stack([np.zeros(states), np.full(states, 0.97)], axis=1)
    discount[-1] = 0
    model = TabularMDP(transition, reward, discount, np.ones((states, 2)))
    np.testing.assert_allclose(solve(model).value, np.maximum(1, 1e3 * 0.97 ** np.arange(states)[::-1]), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-14, 1e16, 1e290])
def test_the_unit_of_rewards_and_temperature_does_not_matter(scale):
    model = models.random_model(np.random.default_rng(7), 4, 5)
    scaled = dataclasses.replace(model, reward=scale * model.reward)
    for alpha in (0.0, 0.5):
        found, wanted = solve_soft(scaled, scale * alpha), solve_soft(model, alpha)
        np.testing.assert_allclose(found.value / scale, wanted.value, rtol=1e-11)
        np.testing.assert_allclose(found.policy, wanted.policy, rtol=1e-9)


@pytest.mark.parametrize("narrow", [1e-3, 1e-9, 1e-12, 1e-18, 1e-100])
def test_a_narrow_cell_that_is_all_that_counts_keeps_its_digits(narrow):
    model = one_state([1.0, -20.0], [0, 0], [narrow, 2 - narrow])
    found = solve_soft(model, 0.01)
    np.testing.assert_allclose(found.value, 1 + 0.01 * np.log(narrow), rtol=1e-14)
    np.testing.assert_allclose(found.policy, [[1 / narrow, 0]], rtol=1e-12)


def one_state(reward, discount, measure):
    """All actions lead back to the only state."""
    return TabularMDP(np.ones((1, len(reward), 1)), *(np.array([x], float) for x in (reward, discount, measure)))


@pytest.mark.parametrize("gain", [5e-14, 1e-12])
def test_the_bound_covers_what_seems_a_tie_at_every_step(gain):
    """Stop for 1, or go on for what is worth `gain` more each time, 8192 times."""
    stay = 1 - 2.0**-13
    found = solve(one_state([1.0, 2.0**-13 + gain], [0, stay], [1, 1]))
    assert abs(found.value[0] - (1 + 2.0**13 * gain)) <= found.error


def test_a_bound_is_that_of_its_own_model():
    """A model whose values are not known is refused, however large the numbers are in the one beside it."""
    stay = 1 - 2.0**-33
    parts = ([1.0, 2.0**-33], [0, stay], [1, 1]), ([1e12, 0.0], [0, 0.5], [1, 1])
    models_ = [one_state(*part) for part in parts]
    both = TabularMDP(
        *(np.stack([getattr(m, field.name) for m in models_]) for field in dataclasses.fields(TabularMDP))
    )
    assert solve(models_[1]).value == 1e12
    for refused in (models_[0], both):
        with pytest.raises(ValueError, match="discount: the values are only known to"):
            solve(refused)


@pytest.mark.parametrize("volume", [1.0, 2.0])
def test_entropy_without_end_is_refused(volume):
    with pytest.raises(ValueError, match="discount: "):
        solve_soft(one_state([0.0, 1.0], [1, 0], [volume, 1.0]), 1.0)
    finite = solve_soft(one_state([0.0, 1.0], [1, 0], [0.5, 1.0]), 1.0)  # exp(V) = 0.5 exp(V) + e
    assert finite.value[0] == pytest.approx(np.log(2) + 1, rel=1e-14)


def test_going_on_for_ever_for_nothing_is_refused_wherever_it_stands():
    for order in (slice(None), slice(None, None, -1)):
        with pytest.raises(ValueError, match="discount: "):
            solve(one_state([0.0, 1.0][order], [1, 0][order], [1, 1]))


def test_policies_are_evaluated_at_many_temperatures_as_they_are_solved():
    model = models.random_model(np.random.default_rng(8), 3, 4, lead=(2,))
    alphas = np.array([0.3, 2.0])
    found = solve_soft(model, alphas)
    np.testing.assert_allclose(evaluate(model, found.policy, alphas), found.value, rtol=1e-11)


def test_the_discount_of_an_unavailable_action_means_nothing():
    model = models.random_model(np.random.default_rng(9), 4, 5)
    other = dataclasses.replace(model, discount=np.where(model.measure > 0, model.discount, 0.9))
    assert np.any(other.discount != model.discount)
    for ours, theirs in zip(solve_soft(other, 0.5), solve_soft(model, 0.5), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_unavailable_actions_have_no_density_and_no_value():
    model = models.random_model(np.random.default_rng(6), 4, 5)
    found = solve_soft(model, 0.5)
    missing = model.measure == 0
    assert missing.any()
    assert np.all(found.policy[missing] == 0)
    assert np.all(np.isneginf(found.q[missing]))
    np.testing.assert_allclose((model.measure * found.policy).sum(-1), 1, rtol=1e-12)
    assert {array.dtype for array in found} == {np.dtype(np.float64)}


def test_first_best_action_has_all_the_mass():
    model = TabularMDP(np.ones((1, 3, 1)), np.array([[1.0, 2.0, 2.0]]), np.zeros((1, 3)), np.array([[1.0, 0.5, 1.0]]))
    np.testing.assert_array_equal(solve(model).policy, [[0, 2, 0]])


ONE = {
    "transition": np.ones((1, 2, 1)),
    "reward": np.zeros((1, 2)),
    "discount": np.zeros((1, 2)),
    "measure": np.ones((1, 2)),
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"measure": np.zeros((1, 2))}, "every state must have an available action"),
        ({"measure": -np.ones((1, 2))}, "measure = -1: must be >= 0"),
        ({"discount": np.full((1, 2), 1.5)}, r"discount: must be in \[0, 1\]"),
        ({"transition": np.full((1, 2, 1), 0.9)}, "must sum to 1"),
        ({"transition": np.ones((1, 2, 2))}, r"transition of shape \(1, 2, 2\): must be \(1, 2, 1\)"),
        ({"reward": np.full((1, 2), np.nan)}, "reward: must be finite"),
        ({"measure": np.array([[1.0, 0.0]])}, "must be 0 where measure is 0"),
    ],
)
def test_models_that_make_no_sense_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        TabularMDP(**(ONE | changed))


def test_other_mistakes_are_refused():
    model = TabularMDP(**ONE)
    for_ever = TabularMDP(**(ONE | {"discount": np.ones((1, 2))}))
    with pytest.raises(ValueError, match="alpha = -1: must be >= 0"):
        solve_soft(model, -1.0)
    with pytest.raises(ValueError, match="goes on for ever without discount"):
        solve(for_ever)
    with pytest.raises(ValueError, match="measure times density must sum to 1"):
        evaluate(model, np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"policy of shape \(2,\)"):
        evaluate(model, np.ones(2))
    with pytest.raises(ValueError, match="not what jit or vmap traces"):
        jax.jit(lambda alpha: solve_soft(model, alpha).value)(1.0)
    with pytest.raises(ValueError, match=r"^alpha: must be numbers, not what jit or vmap traces"):
        jax.jit(lambda alpha: solve_soft(model, [alpha, 1.0]).value)(1.0)
    with pytest.raises(ValueError, match="policy: must be numbers"):
        evaluate(model, {})
