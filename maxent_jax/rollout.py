"""One episode, looked at closely: what the policy saw and did, and the landscapes along it."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import trainer
from maxent_jax.agents.base import Agent
from maxent_jax.rule.subject import SAMPLES, Subject


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode by the policy's mean action, steps along the leading axis.

    Attributes:
      obs: (T, o) observations before each step.
      action: (T, a) actions.
      reward: (T,) rewards; the last is NaN where the physics broke down.
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
    """Roll the bare task out until it ends, its time is up, or its physics breaks down.

    Args:
      agent: the agent.
      env: the bare task.
      agent_state: one run's agent state.
      key: randomness of the reset, of the entropy's draws and of the comparison.

    Returns:
      The episode.
    """
    reset_key, entropy_key, compare_key = jax.random.split(key, 3)
    state, time, going_on, seen = _reset(env, reset_key), jnp.zeros(1, jnp.int32), True, []
    while going_on:
        action, (after, time, reward, going_on) = _step(agent, env, agent_state, state, time)
        seen.append(jax.tree.map(lambda x: x[0], (state.obs, action, reward, state.pipeline_state)))
        state = after
    columns = zip(*seen, strict=True)
    obs, action, reward = (np.stack(next(columns)) for _ in range(3))
    world = jax.tree.map(lambda *steps: jnp.stack(steps), *next(columns))
    alike = similarity(agent, agent_state, obs, compare_key)
    return Episode(obs, action, reward, entropy(agent, agent_state, obs, entropy_key), alike, world)


@jax.jit
def _reset(env: Any, key: jax.Array) -> Any:
    """One environment, as many are."""
    return jax.vmap(env.reset)(key[None])


@jax.jit
def _step(agent: Agent, env: Any, agent_state: Any, state: Any, time: jax.Array) -> Any:
    action = agent.act(agent_state, state.obs, jax.random.key(0), deterministic=True)  # the mean needs no key
    return action, trainer.step_of_episode(env, state, action, time)


def entropy(agent: Agent, agent_state: Any, obs: Any, key: jax.Array) -> np.ndarray:
    """Differential entropy of the policy at states (T, o), by draws at each: (T,)."""
    return np.asarray(_entropy(agent, agent_state, jnp.asarray(obs), key))


def similarity(agent: Agent, agent_state: Any, obs: Any, key: jax.Array | None = None) -> np.ndarray | None:
    """How alike the learned landscapes are, as the agent itself finds in an update.

    Args:
      agent: the agent.
      agent_state: one run's agent state.
      obs: (T, o) states.
      key: randomness of the comparison.

    Returns:
      (T,) similarities; None for an agent without both landscapes.
    """
    found = _similarity(agent, agent_state, jnp.asarray(obs), jax.random.key(0) if key is None else key)
    return None if found is None else np.asarray(found)


def switched_share(agent: Agent, agent_state: Any, obs: Any, draws: int = 200) -> float | None:
    """How often the landscapes at a state (o,) are found less similar than the agent's threshold.

    Args:
      agent: the agent.
      agent_state: one run's agent state.
      obs: (o,) the state.
      draws: how many comparisons, each with randomness of its own.

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
    return Subject(agent, agent_state).similarity(obs, key)


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
