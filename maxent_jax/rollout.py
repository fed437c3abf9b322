"""One episode, looked at closely: what the policy saw and did, and the landscapes along it."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import landscape
from maxent_jax.agents.base import Agent

SAMPLES = 100
"""Draws of the policy at a state, for an agent that does not say how many it compares."""


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode by the policy's mean action, steps along the leading axis.

    Attributes:
      obs: (T, o) observations before each step.
      action: (T, a) actions.
      reward: (T,) rewards.
      entropy: (T,) entropy of the policy before each step.
      similarity: (T,) similarity of the soft and the plain landscape; None for an agent without both.
      world: the `pipeline_state` before each step, stacked.
    """

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    entropy: np.ndarray
    similarity: np.ndarray | None
    world: Any


def episode(agent: Agent, env: Any, agent_state: Any, key: jax.Array) -> Episode:
    """Roll the bare task out until it ends or its time is up.

    Args:
      agent: the agent.
      env: the bare task.
      agent_state: one run's agent state.
      key: randomness of the reset and of the similarity's samples.

    Returns:
      The episode.
    """
    reset_key, act_key, sample_key = jax.random.split(key, 3)

    @jax.jit
    def step(agent: Agent, env: Any, agent_state: Any, state: Any) -> Any:
        action = agent.act(agent_state, state.obs, act_key, deterministic=True)
        return action, env.step(state, action)

    state, time, seen = jax.jit(env.reset)(reset_key), 0, []
    while time < int(env.horizon) and (not seen or not state.done):
        action, after = step(agent, env, agent_state, state)
        seen.append((state.obs, action, after.reward, state.pipeline_state))
        state, time = after, time + int(after.info["duration"])
    columns = zip(*seen, strict=True)
    obs, action, reward = (np.stack(next(columns)) for _ in range(3))
    world = jax.tree.map(lambda *steps: jnp.stack(steps), *next(columns))
    alike = similarity(agent, agent_state, obs, sample_key)
    return Episode(obs, action, reward, entropy(agent, agent_state, obs, sample_key), alike, world)


def entropy(agent: Agent, agent_state: Any, obs: Any, key: jax.Array) -> np.ndarray:
    """Differential entropy of the policy at states (T, o), by draws at each: (T,)."""
    return np.asarray(_entropy(agent, agent_state, jnp.asarray(obs), key))


def similarity(agent: Agent, agent_state: Any, obs: Any, key: jax.Array | None = None) -> np.ndarray | None:
    """How alike the learned landscapes are, over as many draws of the policy as the agent compares.

    Args:
      agent: the agent.
      agent_state: one run's agent state.
      obs: (T, o) states.
      key: randomness of the draws.

    Returns:
      (T,) similarities; None for an agent without both landscapes.
    """
    found = _similarity(agent, agent_state, jnp.asarray(obs), jax.random.key(0) if key is None else key)
    return None if found is None else np.asarray(found)


def switched_share(agent: Agent, agent_state: Any, obs: Any, draws: int = 200) -> float | None:
    """How often the landscapes at a state (o,) are found less similar than the agent's threshold, draw by draw.

    Args:
      agent: the agent.
      agent_state: one run's agent state.
      obs: (o,) the state.
      draws: how many comparisons, each over `n_samples` fresh actions.

    Returns:
      The share; None for an agent that does not compare.
    """
    threshold = getattr(agent, "threshold", None)
    if threshold is None:
        return None
    found = similarity(agent, agent_state, jnp.broadcast_to(jnp.asarray(obs), (draws, len(obs))))
    return None if found is None else float(np.mean(found < float(threshold)))


@jax.jit
def _entropy(agent: Agent, agent_state: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
    repeated = jnp.broadcast_to(obs[:, None], (len(obs), SAMPLES, obs.shape[-1]))
    log_prob = agent.log_prob(agent_state, repeated, agent.act(agent_state, repeated, key))
    return -jnp.mean(log_prob, axis=-1, where=jnp.isfinite(log_prob))  # a draw at the very edge has no density


@jax.jit
def _similarity(agent: Agent, agent_state: Any, obs: jax.Array, key: jax.Array) -> jax.Array | None:
    repeated = jnp.broadcast_to(obs[:, None], (len(obs), getattr(agent, "n_samples", SAMPLES), obs.shape[-1]))
    q = agent.q_landscapes(agent_state, repeated, agent.act(agent_state, repeated, key))
    metric = landscape.METRICS[getattr(agent, "metric", "cosine")]
    return metric(q["soft"], q["plain"]) if {"soft", "plain"} <= set(q) else None


@dataclasses.dataclass(frozen=True)
class Slice:
    """One action dimension at one state, the others at the policy's mean.

    Attributes:
      action: (n,) values of that dimension, inside (-1, 1).
      q: (n,) learned values by name.
      density: (n,) density of the policy there, the others held.
      mean: the policy's mean action in that dimension.
    """

    action: np.ndarray
    q: dict[str, np.ndarray]
    density: np.ndarray
    mean: float


def action_slice(agent: Agent, agent_state: Any, obs: Any, dimension: int, points: int = 401) -> Slice:
    """Cut the landscapes along one action dimension.

    Args:
      agent: the agent.
      agent_state: one run's agent state.
      obs: (o,) the state.
      dimension: which action.
      points: how fine.

    Returns:
      The slice. Where the action has more than one dimension its density is scaled to integrate to 1 over the slice.
    """
    axis, q, density, mean = jax.tree.map(
        np.asarray, _cut(agent, agent_state, jnp.asarray(obs), dimension=dimension, points=points)
    )
    return Slice(axis, q, density, float(mean))


@functools.partial(jax.jit, static_argnames=("dimension", "points"))
def _cut(agent: Agent, agent_state: Any, obs: jax.Array, *, dimension: int, points: int) -> Any:
    mean = agent.act(agent_state, obs, jax.random.key(0), deterministic=True)
    axis = jnp.linspace(-0.999, 0.999, points)
    inside = jnp.clip(mean, -0.999, 0.999)
    actions = jnp.broadcast_to(inside, (points, *inside.shape)).at[:, dimension].set(axis)
    repeated = jnp.broadcast_to(obs, (points, *obs.shape))
    log_density = agent.log_prob(agent_state, repeated, actions)
    if len(inside) > 1:  # a conditional density, scaled to integrate to 1
        log_density = log_density - jax.nn.logsumexp(log_density) - jnp.log(axis[1] - axis[0])
    return axis, agent.q_landscapes(agent_state, repeated, actions), jnp.exp(log_density), mean[dimension]
