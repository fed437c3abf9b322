"""The contract of an agent.

An agent is a frozen dataclass that is both the configuration and the algorithm. Fields that shape the program are
static, numbers are pytree leaves, so that a grid over them is a `vmap`. Its methods are pure:

* `init(key, spec) -> state`
* `act(state, obs, key, deterministic) -> action`, actions in [-1, 1], any leading shape
* `update(state, batch, key) -> (state, metrics)`

What differs between off-policy and on-policy agents is the type of `batch`, and so who collects it; nothing else.
"""

import abc
from typing import Any, Self

import flax.struct
import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from envs.fields import InvalidSetting, setting

Metrics = dict[str, jax.Array]

METRICS = (
    "alpha",
    "entropy",
    "actor_loss",
    "critic_loss",
    "plain_critic_loss",
    "value_loss",
    "alpha_loss",
    "q_mean",
    "plain_q_mean",
    "value_mean",
    "switched_share",
    "similarity_q05",
    "similarity_q50",
    "similarity_q95",
    "clipped_share",
)
"""All that any agent reports; an agent's `update` returns those that it has."""


class Transition(flax.struct.PyTreeNode):
    """What one environment step taught; a batch of them (leading axes) is what agents learn from.

    Attributes:
      obs: (..., o) observation before the step.
      action: (..., a) the action the agent chose; the environment clips it.
      reward: (...) reward.
      terminated: (...) 1. where the episode ended for good: no bootstrap.
      duration: (...) control steps of time the step took: bootstrap with gamma**duration.
      next_obs: (..., o) observation the step led to, before any reset.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    duration: jax.Array
    next_obs: jax.Array


class Rollout(flax.struct.PyTreeNode):
    """Consecutive transitions, (T, N, ...), of N environments.

    Attributes:
      transition: the transitions.
      done: (T, N) 1. where the episode ended in any way; the next transition is another episode's.
    """

    transition: Transition
    done: jax.Array


class Agent(flax.struct.PyTreeNode, abc.ABC):
    """What all agents share."""

    gamma: float = setting(0.99, "discount per control step", low=0, high=1)
    init_mean: float = setting(0.0, "mean action of the untrained policy, about")
    init_units: str = setting(
        "normalised",
        "units of init_mean (and init_std): [-1, 1], or the environment's own",
        choices=("normalised", "environment"),
    )

    @abc.abstractmethod
    def init(self, key: jax.Array, spec: EnvSpec) -> Any:
        """Everything that learning changes, before any of it."""

    @abc.abstractmethod
    def act(self, state: Any, obs: jax.Array, key: jax.Array, deterministic: bool = False) -> jax.Array:
        """Actions (..., a) at observations (..., o): the policy's mean action, or a draw."""

    @abc.abstractmethod
    def update(self, state: Any, batch: Any, key: jax.Array) -> tuple[Any, Metrics]:
        """Learn from one batch."""

    @abc.abstractmethod
    def log_prob(self, state: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Log-density (...) of the policy at actions (..., a), for figures and checks."""

    def q_landscapes(self, state: Any, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The learned values (...) over actions (..., a), by name: `soft`, `plain`; empty for an agent without a Q."""
        del state, obs, action
        return {}

    @property
    @abc.abstractmethod
    def gradient_steps(self) -> int:
        """Optimiser steps in one call of `update`."""

    def validate(self) -> None:
        """Raise a ValueError where two fields contradict each other."""

    @property
    def maximises_entropy(self) -> bool:
        """Whether entropy is rewarded anywhere in what is optimised; where fields are stacked, in any of the runs."""
        return False

    def scheduled(self, progress: jax.Array) -> Self:
        """The agent as it is when a share of its updates in [0, 1) is made: fields that follow a schedule have moved.

        The trainer asks before every iteration; `progress` is shared by all runs of a program, and so never batched.
        """
        del progress
        return self

    def initial_mean(self, spec: EnvSpec) -> jax.Array:
        """`init_mean` as a vector (a,) in [-1, 1] units."""
        mean = jnp.full(spec.action_size, self.init_mean, jnp.float32)
        return (mean - spec.action_low) / half_range(spec) - 1.0 if self.init_units == "environment" else mean


class StochasticAgent(Agent):
    """An agent that learns how far its policy spreads."""

    init_std: float = setting(1.0, "standard deviation of the untrained policy (SAC family: before tanh)", above=0)

    def initial_std(self, spec: EnvSpec) -> jax.Array:
        """`init_std` as a vector (a,) in [-1, 1] units."""
        std = jnp.full(spec.action_size, self.init_std, jnp.float32)
        return std / half_range(spec) if self.init_units == "environment" else std


def half_range(spec: EnvSpec) -> jax.Array:
    """(a,) half of what actions range over, in the environment's own units."""
    return (spec.action_high - spec.action_low) / 2


class OffPolicyAgent(Agent):
    """An agent that learns from replayed transitions: its `batch` is a `Transition` with a leading axis."""

    batch_size: int = setting(256, "transitions per update", low=1, static=True)
    buffer_size: int = setting(1_000_000, "transitions that replay holds", low=1, static=True)
    prefill_steps: int = setting(0, "random steps before learning", low=0, static=True)
    updates_per_step: float = setting(
        1.0, "updates per step of a single environment, also a fraction", low=1e-4, high=1000, static=True
    )

    @property
    def gradient_steps(self) -> int:
        """One."""
        return 1

    def validate(self) -> None:
        """Refuse a batch larger than the buffer."""
        if self.batch_size > self.buffer_size:
            raise InvalidSetting(
                f"agent.batch_size = {self.batch_size}: must be <= buffer_size, which is {self.buffer_size}"
            )


class OnPolicyAgent(Agent):
    """An agent that learns from its own fresh rollouts: its `batch` is a `Rollout`."""

    rollout_steps: int = setting(2048, "steps of all environments together per rollout", low=1, static=True)
