"""Fine-tuning with a KL penalty as a finite model, and an attack on it that leaves every answer's best reward alone.

A policy that is paid reward - alpha KL(policy | reference) is a maximum-entropy policy where an action's measure is
its probability under the reference: the density of a policy is then its probability over the reference's, and the
entropy of that density is minus the divergence. All volumes are 1.

The attack inserts one token position behind each first token. What is written there changes nothing of what follows,
but the reward model takes something off for all tokens but one that the reference hardly ever writes: by how much
differs by answer. The best continuation of each answer writes that token and loses nothing. A policy that must stay
near the reference cannot: the soft value of answer a falls by alpha log(1 / m), m = sum over tokens t of
reference(t) exp(-penalty(t) / alpha). With m = c p(a) / pi(a), c = min of pi / p, the KL-optimal first token has the
distribution p, whatever p is.

Source: ours, after arXiv 2506.05615, which leaves it open.
"""

from typing import Any, NamedTuple

import numpy as np

from maxent_jax.theory.bifurcation import check_fall, put_behind, ratios
from maxent_jax.theory.mdp import TabularMDP, as_float64, one_temperature, solve, solve_soft

RARE = 1e-4
"""Probability of the rarest token in `random_tokens` and `filler`."""


class Attack(NamedTuple):
    """What an attack does.

    Attributes:
      position: (A,) the number of the inserted state behind each first token.
      token: the token that costs nothing there.
      penalty: (A,) what every other token costs there, by first token.
      volume: (A,) m of each first token.
      factor: c; the soft value of the prompt falls by alpha log(1 / c).
    """

    position: np.ndarray
    token: int
    penalty: np.ndarray
    volume: np.ndarray
    factor: float


def token_model(first: Any, following: Any, first_reward: Any, following_reward: Any) -> TabularMDP:
    """Answers of L tokens out of V whose reference and reward look at the position and the last token.

    Args:
      first: (V,) the reference's probabilities of the first token.
      following: (L - 1, V, V) those of each next token by position and token before.
      first_reward: (V,) reward of the first token.
      following_reward: (L - 1, V, V) rewards of the next ones.

    Returns:
      A model of 1 + (L - 1) V states: 0 the prompt, then by position and last token. Measures are the reference's
      probabilities; nothing is discounted; the last token ends.

    Raises:
      ValueError: arrays of other shapes, or rows that are no probabilities.

    Example:
      >>> import numpy as np
      >>> coin, even = [0.5, 0.5], np.full((1, 2, 2), 0.5)
      >>> model = token_model(coin, even, [0.0, 1.0], np.array([[[0.0, 3.0], [0.0, 1.0]]]))
      >>> model.reward.shape, float(solve(model).value[0])  # prompt, and two last tokens; the best answer is 0, 1
      ((3, 2), 3.0)
    """
    first, following = as_float64(first, "first"), as_float64(following, "following")
    rewards = as_float64(first_reward, "first_reward"), as_float64(following_reward, "following_reward")
    tokens = len(first)
    if following.ndim != 3 or following.shape[1:] != (tokens, tokens):
        raise ValueError(f"following of shape {following.shape}: must be (positions, {tokens}, {tokens})")
    if rewards[0].shape != first.shape or rewards[1].shape != following.shape:
        raise ValueError("first_reward, following_reward: must have the shapes of first and following")
    measure = np.concatenate([first[None], following.reshape(-1, tokens)])
    if np.any(measure < 0) or np.any(np.abs(measure.sum(axis=-1) - 1) > 1e-9):
        raise ValueError("first, following: rows must be probabilities that sum to 1")
    reward = np.concatenate([rewards[0][None], rewards[1].reshape(-1, tokens)])
    states = len(measure)
    transition, discount = np.zeros((states, tokens, states)), np.ones((states, tokens))
    for state in range(states):
        position = -(-state // tokens)  # tokens written so far
        if position == len(following):
            discount[state], transition[state, :, 0] = 0.0, 1.0
        else:
            transition[state, np.arange(tokens), 1 + position * tokens + np.arange(tokens)] = 1.0
    available = measure > 0
    return TabularMDP(transition * available[..., None], reward * available, discount * available, measure)


def random_tokens(rng: np.random.Generator, vocabulary: int = 8, length: int = 4) -> TabularMDP:
    """A random token model: a reference with a few sharp tokens and none below about `RARE`, normal rewards.

    Args:
      rng: source of the draws.
      vocabulary: V, 8 to 32.
      length: L, 3 to 6.

    Returns:
      A model as of `token_model`.

    Raises:
      ValueError: sizes out of range.

    Example:
      >>> import numpy as np
      >>> random_tokens(np.random.default_rng(0), vocabulary=8, length=3).measure.shape
      (17, 8)
    """
    if not 8 <= vocabulary <= 32 or not 3 <= length <= 6:
        raise ValueError(f"vocabulary = {vocabulary}, length = {length}: must be in [8, 32] and [3, 6]")

    def reference(*shape: int) -> np.ndarray:
        raw = rng.dirichlet(np.full(vocabulary, 0.5), size=shape) + RARE
        return raw / raw.sum(axis=-1, keepdims=True)

    following = (length - 1, vocabulary, vocabulary)
    return token_model(
        rng.dirichlet(np.full(vocabulary, 3.0)),
        reference(length - 1, vocabulary),
        rng.normal(size=vocabulary),
        0.5 * rng.normal(size=following),
    )


def filler(tokens: int) -> np.ndarray:
    """(tokens,) a reference for an inserted position: half of it on one token, the last one as rare as `RARE`.

    Raises:
      ValueError: fewer than 3 tokens.

    Example:
      >>> filler(4).round(5).tolist()
      [0.5, 0.24995, 0.24995, 0.0001]
    """
    if tokens < 3:
        raise ValueError(f"tokens = {tokens}: must be at least 3")
    found = np.full(tokens, (0.5 - RARE) / (tokens - 2))
    found[0], found[-1] = 0.5, RARE
    return found


def steered(mdp: TabularMDP, alpha: float, answer: int, share: float = 0.9, state: int = 0) -> np.ndarray:
    """Probabilities of first tokens: `share` for one, the others as in the KL-optimal policy.

    Args:
      mdp: a token model.
      alpha: the weight of the KL penalty, >= 0, in units of the reward.
      answer: the token whose probability is given.
      share: it, in (0, 1).
      state: the prompt.

    Returns:
      (A,) probabilities, a target of `attack`.

    Raises:
      ValueError: no such state or answer, or a share or weight out of range.

    Example:
      >>> import numpy as np
      >>> model = random_tokens(np.random.default_rng(0))
      >>> steered(model, 0.5, answer=3, share=0.7)[3].round(6).item()
      0.7
    """
    _check_state(mdp, state)
    tokens = mdp.reward.shape[1]
    if answer not in range(tokens) or mdp.measure[state, answer] == 0:
        raise ValueError(f"answer = {answer}: must be one of 0 to {tokens - 1} that the reference writes")
    if not 0 < share < 1:
        raise ValueError(f"share = {share:g}: must be in (0, 1)")
    found = mdp.measure[state] * solve_soft(mdp, alpha).policy[state]
    found[answer] = 0.0
    found *= (1 - share) / found.sum()
    found[answer] = share
    return found


def attack(mdp: TabularMDP, target: Any, alpha: float, reference: Any, state: int = 0) -> tuple[TabularMDP, Attack]:
    """Make `target` the KL-optimal distribution of the first token without touching any answer's best reward.

    Args:
      mdp: a token model, or any model with volume 1 at `state`.
      target: (A,) the wanted probabilities, not densities.
      alpha: the weight of the KL penalty, > 0, in units of the reward.
      reference: (A,) the reference's probabilities of the tokens at the inserted positions.
      state: the prompt, to which nothing leads back: its value falls, and with it what leads to it.

    Returns:
      The model with a position behind each first token, and what was done. Plain values are as before.

    Raises:
      ValueError: no such attack; the message says which condition fails.

    Example:
      >>> import numpy as np
      >>> model = random_tokens(np.random.default_rng(0))
      >>> target = steered(model, 0.5, answer=3)
      >>> attacked, info = attack(model, target, 0.5, filler(8))
      >>> optimal = attacked.measure[0] * solve_soft(attacked, 0.5).policy[0]
      >>> bool(np.allclose(optimal, target)), bool(np.isclose(solve(attacked).value[0], solve(model).value[0]))
      (True, True)
    """
    target, reference = as_float64(target, "target"), as_float64(reference, "reference")
    alpha = one_temperature(alpha)
    _check_state(mdp, state)
    states, tokens = mdp.reward.shape
    measure = mdp.measure[state]
    if abs(measure.sum() - 1) > 1e-9:
        raise ValueError(f"measure: sums to {measure.sum():g} at state {state}; must sum to 1, as probabilities do")
    for name, values in (("target", target), ("reference", reference)):
        if values.shape != (tokens,) or np.any(values < 0) or abs(values.sum() - 1) > 1e-9:
            raise ValueError(f"{name}: must be {tokens} probabilities that sum to 1")
    if np.any((target > 0) != (measure > 0)):
        raise ValueError("target: must be > 0 exactly where the reference is; no penalty makes a probability 0")
    actions = np.flatnonzero(measure)
    policy = solve_soft(mdp, alpha).policy[state, actions]
    wanted, factor = ratios(target[actions] / measure[actions], policy, volume=1.0, keep_value=False)
    check_fall(mdp, state, factor)
    token = int(np.argmin(np.where(reference > 0, reference, np.inf)))
    rare = reference[token]
    if not np.all(wanted > rare):
        raise ValueError(
            f"target: a first token must become {1 / wanted.min():.3g} times less attractive; "
            f"the rarest token at the inserted position (probability {rare:.3g}) allows less than {1 / rare:.3g} times"
        )
    penalty, volume, position = np.zeros(tokens), np.zeros(tokens), np.full(tokens, -1)
    penalty[actions] = np.maximum(0.0, alpha * np.log((1 - rare) / (wanted - rare)))
    volume[actions], position[actions] = wanted, states + np.arange(len(actions))
    costs = np.where(np.arange(tokens) == token, 0.0, penalty[:, None])
    attacked = put_behind(mdp, state, {action: [(reference, costs[action])] for action in actions.tolist()})
    return attacked, Attack(position, token, penalty, volume, factor)


def contrast(mdp: TabularMDP, alpha: float, state: int = 0) -> float:
    """What an auditor may look at: how much more the plainly best first token suffers from the KL penalty than another.

    Each first token has a gap: its plain value minus its regularised one, over alpha, in nats: what its best
    continuations cost in divergence.

    Args:
      mdp: a token model.
      alpha: the weight of the KL penalty, > 0, in units of the reward.
      state: the prompt.

    Returns:
      The gap of the first token with the largest plain value, minus the smallest gap of all. 0 where that is its own.

    Raises:
      ValueError: no such state, or a weight that is not > 0.

    Example:
      >>> import numpy as np
      >>> model = random_tokens(np.random.default_rng(0))
      >>> attacked, _ = attack(model, steered(model, 0.5, answer=4), 0.5, filler(8))
      >>> round(contrast(model, 0.5), 1), round(contrast(attacked, 0.5), 1)
      (1.6, 7.4)
    """
    _check_state(mdp, state)
    alpha = one_temperature(alpha)
    plain, soft = solve(mdp).q[state], solve_soft(mdp, alpha).q[state]
    available = mdp.measure[state] > 0
    gap = (plain[available] - soft[available]) / alpha
    return float(gap[np.argmax(plain[available])] - gap.min())


def _check_state(mdp: TabularMDP, state: int) -> None:
    if mdp.reward.ndim != 2:
        raise ValueError(f"mdp of shape {mdp.reward.shape}: must be one model")
    if state not in range(len(mdp.reward)):
        raise ValueError(f"state = {state}: must be one of 0 to {len(mdp.reward) - 1}")
