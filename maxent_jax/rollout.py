"""One episode, looked at closely: what the policy saw and did, and the landscapes along it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import landscape
from maxent_jax.agents.base import Agent

SAMPLES = 100


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode by the policy's mean action, steps along the leading axis.

    Attributes:
      obs: (T, o) observations before each step.
      action: (T, a) actions.
      reward: (T,) rewards.
      similarity: (T,) similarity of the soft and the plain landscape; None for an agent without both.
    """

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    similarity: np.ndarray | None


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

    def step(state: Any, _: None) -> tuple[Any, Any]:
        action = agent.act(agent_state, state.obs, act_key, deterministic=True)
        after = env.step(state, action)
        return after, (state.obs, action, after.reward, state.done)

    def roll() -> Any:
        return jax.lax.scan(step, env.reset(reset_key), length=int(env.horizon))[1]

    obs, action, reward, over = (np.asarray(x) for x in jax.jit(roll)())
    lived = over == 0
    obs, action, reward = obs[lived], action[lived], reward[lived]
    return Episode(obs, action, reward, similarity(agent, agent_state, obs, sample_key))


def similarity(agent: Agent, agent_state: Any, obs: Any, key: jax.Array | None = None) -> np.ndarray | None:
    """How alike the learned landscapes are over 100 draws of the policy.

    Args:
      agent: the agent.
      agent_state: one run's agent state.
      obs: (T, o) states.
      key: randomness of the draws.

    Returns:
      (T,) similarities; None for an agent without both landscapes.
    """
    key = jax.random.key(0) if key is None else key
    repeated = jnp.broadcast_to(obs[:, None], (len(obs), SAMPLES, obs.shape[-1]))
    q = agent.q_landscapes(agent_state, repeated, agent.act(agent_state, repeated, key))
    return np.asarray(landscape.similarity(q["soft"], q["plain"])) if {"soft", "plain"} <= set(q) else None


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
      The slice; its density integrates to 1 over the dimension where the action has only one.
    """
    mean = agent.act(agent_state, obs, jax.random.key(0), deterministic=True)
    inside = jnp.clip(mean, -0.999, 0.999)
    axis = jnp.linspace(-0.999, 0.999, points)
    actions = jnp.broadcast_to(inside, (points, *inside.shape)).at[:, dimension].set(axis)
    repeated = jnp.broadcast_to(jnp.asarray(obs), (points, *jnp.shape(obs)))
    log_density = agent.log_prob(agent_state, repeated, actions)
    if len(inside) > 1:  # a conditional density, scaled to integrate to 1
        log_density = log_density - jax.nn.logsumexp(log_density) - jnp.log(axis[1] - axis[0])
    q = agent.q_landscapes(agent_state, repeated, actions)
    return Slice(
        np.asarray(axis),
        {name: np.asarray(values) for name, values in q.items()},
        np.exp(np.asarray(log_density)),
        float(mean[dimension]),
    )
