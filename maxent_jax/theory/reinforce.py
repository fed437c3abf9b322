"""REINFORCE with a KL penalty on a token model: what training finds where `rlhf` knows what is optimal."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from maxent_jax.theory.mdp import TabularMDP, as_temperature

UNWRITTEN = -1e9
"""Logit of a token that the reference never writes."""


class Trained(NamedTuple):
    """What training did.

    Attributes:
      first: (seeds, updates, A) probabilities of the first token before each update.
      reward: (seeds, updates) mean plain reward of the answers of each batch.
      policy: (seeds, S, A) probabilities at the end.
    """

    first: np.ndarray
    reward: np.ndarray
    policy: np.ndarray


class Tables(NamedTuple):
    """A token model as arrays for JAX: next state, whether it goes on, reward, log of the reference; all (S, A)."""

    ahead: jax.Array
    goes_on: jax.Array
    reward: jax.Array
    log_reference: jax.Array


def reinforce(
    mdp: TabularMDP,
    alpha: float,
    seeds: Sequence[int],
    length: int,
    updates: int = 1500,
    batch: int = 256,
    rate: float = 0.03,
) -> Trained:
    """Train a policy with a logit for each state and token, from the reference on, all seeds as one program.

    Args:
      mdp: a deterministic model whose measures are a reference's probabilities; it begins in state 0.
      alpha: weight of the KL penalty, >= 0, in units of the reward.
      seeds: one run each.
      length: most tokens of an answer; what follows is not written.
      updates: steps of Adam.
      batch: answers for each of them.
      rate: learning rate.

    Returns:
      Probabilities and rewards, in float32.

    Raises:
      ValueError: a model with random transitions or discounts between 0 and 1, several models, or a negative weight.

    Example:
      >>> from maxent_jax.theory.rlhf import token_model
      >>> coin, even = [0.5, 0.5], np.full((1, 2, 2), 0.5)
      >>> model = token_model(coin, even, [0.0, 1.0], np.zeros((1, 2, 2)))
      >>> trained = reinforce(model, alpha=1.0, seeds=[0, 1], length=2, updates=300)
      >>> trained.first.shape, round(float(trained.first[:, -1, 1].mean()), 1)  # e / (1 + e) = 0.73 is optimal
      ((2, 300, 2), 0.7)
    """
    alpha = float(as_temperature(alpha))
    written = mdp.measure > 0
    if mdp.reward.ndim != 2:
        raise ValueError(f"mdp of shape {mdp.reward.shape}: must be one model")
    if np.any(mdp.transition[written].max(axis=-1) < 1) or not np.all(np.isin(mdp.discount, (0, 1))):
        raise ValueError("mdp: must be deterministic, with discounts 0 or 1")
    with np.errstate(divide="ignore"):
        log_reference = np.maximum(np.log(mdp.measure), UNWRITTEN)
    tables = Tables(
        jnp.asarray(mdp.transition.argmax(axis=-1)),
        jnp.asarray(mdp.discount > 0),
        jnp.asarray(mdp.reward, jnp.float32),
        jnp.asarray(log_reference, jnp.float32),
    )
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    found = jax.vmap(_train, in_axes=(None, 0, None, None, None, None, None))(
        tables, keys, alpha, length, updates, batch, rate
    )
    return Trained(*(np.asarray(x) for x in found))


@functools.partial(jax.jit, static_argnames=("length", "updates", "batch"))
def _train(tables: Tables, key: jax.Array, alpha: Any, length: int, updates: int, batch: int, rate: Any) -> Trained:
    optimiser = optax.adam(rate)

    def update(carry: Any, key: jax.Array) -> tuple[Any, Any]:
        logits, baseline, optimiser_state = carry
        answers = write(tables, logits, key, length, batch)
        togo = returns(tables, logits, answers, alpha)
        gradient = jax.grad(loss)(logits, answers, togo - baseline[answers.state])
        change, optimiser_state = optimiser.update(gradient, optimiser_state)
        visited = jnp.zeros_like(baseline).at[answers.state].add(answers.alive)
        total = jnp.zeros_like(baseline).at[answers.state].add(answers.alive * togo)
        baseline = baseline + 0.1 * jnp.where(visited > 0, total / jnp.maximum(visited, 1) - baseline, 0.0)
        reward = (answers.alive * tables.reward[answers.state, answers.token]).sum(axis=0).mean()
        return (optax.apply_updates(logits, change), baseline, optimiser_state), (jax.nn.softmax(logits[0]), reward)

    logits = tables.log_reference
    start = (logits, jnp.zeros(len(logits)), optimiser.init(logits))
    (logits, _, _), (first, reward) = jax.lax.scan(update, start, jax.random.split(key, updates))
    return Trained(first, reward, jax.nn.softmax(logits))  # pyright: ignore[reportArgumentType]


class Answers(NamedTuple):
    """Answers that were drawn: states, tokens and whether the answer still went on, each (length, batch)."""

    state: jax.Array
    token: jax.Array
    alive: jax.Array


def write(tables: Tables, logits: jax.Array, key: jax.Array, length: int, batch: int) -> Answers:
    """Draw answers from a policy."""

    def step(carry: Any, key: jax.Array) -> tuple[Any, Answers]:
        state, alive = carry
        token = jax.random.categorical(key, logits[state])
        goes_on = alive & tables.goes_on[state, token]
        return (tables.ahead[state, token], goes_on), Answers(state, token, alive)

    begin = (jnp.zeros(batch, tables.ahead.dtype), jnp.ones(batch, bool))
    return jax.lax.scan(step, begin, jax.random.split(key, length))[1]


def returns(tables: Tables, logits: jax.Array, answers: Answers, alpha: Any) -> jax.Array:
    """(length, batch) reward minus alpha times the log ratio to the reference, from each token on."""
    chosen = answers.state, answers.token
    ratio = jax.nn.log_softmax(logits)[chosen] - tables.log_reference[chosen]
    each = jnp.where(answers.alive, tables.reward[chosen] - alpha * ratio, 0.0)
    return jnp.cumsum(each[::-1], axis=0)[::-1]


def loss(logits: jax.Array, answers: Answers, advantage: jax.Array) -> jax.Array:
    """Whose gradient is minus the policy gradient; the advantage is a constant to it."""
    log_prob = jax.nn.log_softmax(logits)[answers.state, answers.token]
    return -(answers.alive * log_prob * jax.lax.stop_gradient(advantage)).sum(axis=0).mean()
