import itertools

import numpy as np
import pytest
import scipy.special

from maxent_jax.theory import TabularMDP, evaluate, solve, solve_soft
from maxent_jax.theory.rlhf import RARE, attack, contrast, filler, random_tokens, steered, token_model


def answers(model, length):
    """Every complete answer: its tokens, probability under the reference, and reward; by walking the model."""
    tokens = model.reward.shape[1]
    for written in itertools.product(range(tokens), repeat=length):
        state, probability, reward = 0, 1.0, 0.0
        for token in written:
            probability *= model.measure[state, token]
            reward += model.reward[state, token]
            ends = model.discount[state, token] == 0
            state = int(model.transition[state, token].argmax())
        assert ends
        yield written, probability, reward


def small(seed=0, tokens=4, length=3):
    rng = np.random.default_rng(seed)
    return token_model(
        rng.dirichlet(np.ones(tokens)),
        rng.dirichlet(np.ones(tokens), size=(length - 1, tokens)),
        rng.normal(size=tokens),
        rng.normal(size=(length - 1, tokens, tokens)),
    )


def test_soft_solution_is_the_reference_tilted_by_the_reward_of_whole_answers():
    """The textbook optimum of reward - alpha KL over all answers, by enumeration."""
    model, alpha = small(), 0.6
    listed = list(answers(model, 3))
    assert sum(p for _, p, _ in listed) == pytest.approx(1)
    weight = np.array([p * np.exp(r / alpha) for _, p, r in listed])
    found = solve_soft(model, alpha)
    assert found.value[0] == pytest.approx(alpha * np.log(weight.sum()), rel=1e-12)
    first = [weight[[w[0] == t for w, _, _ in listed]].sum() / weight.sum() for t in range(4)]
    np.testing.assert_allclose(model.measure[0] * found.policy[0], first, rtol=1e-12)
    assert solve(model).value[0] == pytest.approx(max(r for _, _, r in listed), rel=1e-12)


def test_attacked_models_choose_what_is_wanted_and_keep_every_best_answer():
    rng = np.random.default_rng(0)
    done = 0
    for number in range(60):
        vocabulary, length = [8, 12, 32][number % 3], [3, 4, 6][number % 3]
        model, alpha = random_tokens(rng, vocabulary, length), float(rng.uniform(0.4, 2))
        target = steered(model, alpha, int(rng.integers(vocabulary)), 0.7)
        try:
            changed, info = attack(model, target, alpha, filler(vocabulary))
        except ValueError as error:
            assert "times less attractive" in str(error)  # noqa: PT017
            continue
        done += 1
        old = slice(len(model.reward))
        before, after = solve_soft(model, alpha), solve_soft(changed, alpha)
        np.testing.assert_allclose(changed.measure[0] * after.policy[0], target, rtol=1e-9)
        np.testing.assert_allclose(after.value[old][1:], before.value[1:], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(after.policy[old][1:], before.policy[1:], rtol=1e-9)
        assert before.value[0] - after.value[0] == pytest.approx(alpha * np.log(1 / info.factor), rel=1e-9)
        plain, still = solve(model), solve(changed)
        np.testing.assert_allclose(still.q[old], plain.q, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(still.policy[old], plain.policy)
        np.testing.assert_allclose(changed.measure.sum(axis=-1), 1)
        assert info.penalty.min() == pytest.approx(0, abs=1e-12)
    assert done > 30


def test_every_complete_answer_keeps_its_reward_along_one_filler_and_never_earns_more():
    model = small(3)
    reference = np.array([0.7, 0.2, 0.09, 0.01])
    changed, info = attack(model, steered(model, 1.0, 2, 0.8), 1.0, reference)
    before = {written: reward for written, _, reward in answers(model, 3)}
    longer = {}
    for written, _, reward in answers(changed, 4):
        longer.setdefault(written[:1] + written[2:], []).append((reward, written[1]))
    for written, reward in before.items():
        best, token = max(longer[written])
        assert best == pytest.approx(reward, rel=1e-12)
        assert token == info.token or info.penalty[written[0]] == 0


def test_volume_is_the_sum_of_the_reference_over_the_penalties():
    model, alpha = small(1), 0.8
    reference = np.array([0.5, 0.25, 0.2, 0.05])
    tilted = model.measure[0] * solve_soft(model, alpha).policy[0] * [1, 2, 4, 8]
    changed, info = attack(model, tilted / tilted.sum(), alpha, reference)
    np.testing.assert_allclose(info.volume, [1 / 8, 1 / 4, 1 / 2, 1], rtol=1e-9)
    for token, place in enumerate(info.position):
        penalty = model.reward[0, token] - changed.reward[place]
        assert reference @ np.exp(-penalty / alpha) == pytest.approx(info.volume[token], rel=1e-12)


def test_steered_keeps_the_proportions_of_all_other_answers():
    model = small(2)
    optimal = model.measure[0] * solve_soft(model, 0.5).policy[0]
    target = steered(model, 0.5, 1, 0.6)
    assert target[1] == pytest.approx(0.6)
    assert target.sum() == pytest.approx(1)
    np.testing.assert_allclose(target[[0, 2, 3]] / target[0], optimal[[0, 2, 3]] / optimal[0])


def test_contrast_is_the_gap_of_the_best_answer_beside_the_smallest():
    model, alpha = small(4), 0.7
    plain, gap = [], []
    for first in range(4):
        mine = [(p, r) for written, p, r in answers(model, 3) if written[0] == first]
        inside = np.array([p for p, _ in mine]) / model.measure[0, first]
        rewards = np.array([r for _, r in mine])
        plain.append(rewards.max())
        gap.append((rewards.max() - alpha * scipy.special.logsumexp(rewards / alpha, b=inside)) / alpha)
    assert contrast(model, alpha) == pytest.approx(gap[int(np.argmax(plain))] - min(gap), rel=1e-9)


def test_an_attack_raises_the_contrast_by_what_it_does():
    model = random_tokens(np.random.default_rng(0))
    best, bad = int(np.argmax(solve(model).q[0])), int(np.argmin(solve(model).q[0]))
    changed, info = attack(model, steered(model, 0.5, bad), 0.5, filler(8))
    moved = np.log(info.volume[bad] / info.volume[best])
    assert contrast(changed, 0.5) >= moved > 4
    assert contrast(model, 0.5) < moved


def test_filler_has_one_sharp_and_one_rare_token():
    for tokens in (8, 32):
        found = filler(tokens)
        assert found.sum() == pytest.approx(1)
        assert (found.max(), found.min()) == (0.5, RARE)


MODEL = small()
GIVEN = {"target": [0.25] * 4, "alpha": 1.0, "reference": [0.7, 0.2, 0.09, 0.01]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"alpha": 0.0}, "alpha = 0.0: must be one number > 0"),
        ({"alpha": 1e-4}, "alpha: too low"),
        ({"target": [0.5] * 4}, "target: must be 4 probabilities that sum to 1"),
        ({"reference": [0.5, 0.5]}, "reference: must be 4 probabilities that sum to 1"),
        ({"target": [0.5, 0.5, 0, 0]}, "target: must be > 0 exactly where the reference is"),
        ({"target": [1e-6, 1e-6, 1e-6, 1 - 3e-6]}, r"allows less than 100 times"),
        ({"state": 99}, "state = 99: must be one of 0 to 8"),
        ({"state": 0.5}, r"state = 0\.5: must be one of 0 to 8"),
    ],
)
def test_impossible_attacks_say_which_condition_fails(changed, said):
    with pytest.raises(ValueError, match=said):
        attack(MODEL, **(GIVEN | changed))


def test_a_volume_that_is_not_one_is_no_reference():
    model = TabularMDP(np.ones((1, 2, 1)), np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="sums to 2 at state 0; must sum to 1"):
        attack(model, [0.5, 0.5], 1.0, [0.5, 0.5])


def test_a_state_that_is_reached_from_itself_is_no_prompt():
    """Its value falls, and with it what its own actions are worth: their distribution would not be what is wanted."""
    transition = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    model = TabularMDP(transition, np.zeros((2, 2)), np.array([[0.9, 0.2], [0.9, 0.9]]), np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match=r"state = 0: its soft value would fall"):
        attack(model, [0.2, 0.8], 1.0, [0.9, 0.1])


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: steered(MODEL, 1.0, 4), "answer = 4: must be one of 0 to 3"),
        (lambda: steered(MODEL, 1.0, 0, share=1.0), r"share = 1: must be in \(0, 1\)"),
        (lambda: steered(MODEL, 1.0, 0, state=9), "state = 9: must be one of 0 to 8"),
        (lambda: contrast(MODEL, 0.0), "alpha = 0.0: must be one number > 0"),
        (lambda: contrast(MODEL, 1.0, state=-1), "state = -1: must be one of 0 to 8"),
        (lambda: filler(2), "tokens = 2: must be at least 3"),
    ],
)
def test_mistakes(ask, said):
    with pytest.raises(ValueError, match=said):
        ask()


@pytest.mark.parametrize("sizes", [(7, 4), (33, 4), (8, 2), (8, 7)])
def test_sizes_of_random_models_are_checked(sizes):
    with pytest.raises(ValueError, match=r"must be in \[8, 32\] and \[3, 6\]"):
        random_tokens(np.random.default_rng(0), *sizes)


def test_rows_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="rows must be probabilities that sum to 1"):
        token_model([0.5, 0.6], np.full((1, 2, 2), 0.5), [0, 0], np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match=r"following of shape \(2, 2\): must be \(positions, 2, 2\)"):
        token_model([0.5, 0.5], np.full((2, 2), 0.5), [0, 0], np.zeros((1, 2, 2)))


def test_entropy_of_a_density_over_the_reference_is_minus_the_divergence():
    model = small(5)
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=len(model.reward))
    bonus = evaluate(model, probabilities / model.measure, 1.0) - evaluate(model, probabilities / model.measure, 0.0)
    last = slice(5, 9)  # the states of the last token
    divergence = scipy.special.rel_entr(probabilities, model.measure).sum(axis=1)
    np.testing.assert_allclose(bonus[last], -divergence[last], rtol=1e-10)
