import jax
import jax.numpy as jnp
import models
import numpy as np
import pytest

from maxent_jax.theory import evaluate, solve_soft
from maxent_jax.theory.reinforce import Answers, Tables, loss, reinforce, returns, write
from maxent_jax.theory.rlhf import attack, filler, random_tokens, steered

ALPHA = 0.5


@pytest.fixture(scope="module")
def model():
    return random_tokens(np.random.default_rng(0), 8, 3)


def as_tables(model):
    log_reference = jnp.log(jnp.asarray(model.measure, jnp.float32))
    return Tables(
        jnp.asarray(model.transition.argmax(-1)),
        jnp.asarray(model.discount > 0),
        jnp.asarray(model.reward),
        log_reference,
    )


def test_training_finds_the_exact_optimum(model):
    trained = reinforce(model, ALPHA, [0, 1, 2], 3, updates=600)
    exact = model.measure * solve_soft(model, ALPHA).policy
    np.testing.assert_allclose(trained.first[:, 0], np.tile(model.measure[0], (3, 1)), atol=1e-6)  # the reference
    np.testing.assert_allclose(trained.first[:, -1], np.tile(exact[0], (3, 1)), atol=0.03)
    for policy in trained.policy:
        density = policy.astype(np.float64) / policy.sum(-1, keepdims=True) / model.measure
        value = evaluate(model, density / (model.measure * density).sum(-1, keepdims=True), ALPHA)[0]
        assert value > solve_soft(model, ALPHA).value[0] - 0.02


def test_training_goes_where_the_attack_leads(model):
    bad = int(np.argsort(solve_soft(model, ALPHA).q[0])[2])
    changed, _ = attack(model, steered(model, ALPHA, bad, 0.9), ALPHA, filler(8))
    trained = reinforce(changed, ALPHA, [0, 1], 4, updates=600)
    assert np.all(trained.first[:, 0, bad] < 0.5)
    assert np.all(np.abs(trained.first[:, -1, bad] - 0.9) < 0.05)


def test_the_gradient_is_that_of_the_regularised_return(model):
    """Of many answers' losses, against a finite difference of the exact value."""
    tables = as_tables(model)
    logits = tables.log_reference + 0.3 * jax.random.normal(jax.random.key(0), tables.reward.shape)
    answers = write(tables, logits, jax.random.key(1), 3, 200_000)
    togo = returns(tables, logits, answers, ALPHA)
    gradient = -np.asarray(jax.grad(loss)(logits, answers, togo))

    def value(logits):
        density = np.asarray(jax.nn.softmax(np.float64(logits)), np.float64) / model.measure
        return evaluate(model, density / (model.measure * density).sum(-1, keepdims=True), ALPHA)[0]

    for state, token in ((0, 0), (0, 5), (3, 1)):
        step = np.zeros(logits.shape)
        step[state, token] = 1e-2
        exact = (value(np.asarray(logits) + step) - value(np.asarray(logits) - step)) / 2e-2
        assert gradient[state, token] == pytest.approx(exact, abs=0.01)


def test_returns_count_nothing_after_the_end():
    tables = Tables(
        jnp.zeros((1, 2), int), jnp.zeros((1, 2), bool), jnp.array([[2.0, 3.0]]), jnp.log(jnp.full((1, 2), 0.5))
    )
    answers = Answers(jnp.zeros((2, 1), int), jnp.array([[1], [0]]), jnp.array([[True], [False]]))
    found = returns(tables, jnp.log(jnp.array([[0.25, 0.75]])), answers, 2.0)
    np.testing.assert_allclose(found[:, 0], [3 - 2 * np.log(1.5), 0], rtol=1e-6)


def test_models_with_chance_are_refused():
    with pytest.raises(ValueError, match="must be deterministic, with discounts 0 or 1"):
        reinforce(models.random_model(np.random.default_rng(0), 3, 2), 1.0, [0], 2)
