"""Tasks and agents so simple that what the trainer does with them can be counted by hand."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from envs.base import Task, initial_state, next_state
from envs.fields import setting
from maxent_jax.agents.base import OffPolicyAgent, OnPolicyAgent, Rollout, Transition


@flax.struct.dataclass
class Walk(Task):
    """A point on a line from a random start near 0, moved by the action; beyond `edge` the episode is over.

    The observation is the position and the number of steps; the reward is the new position. Every second step is a
    pending half-step, of duration 0, where `half_steps`.
    """

    horizon: int = setting(5, "control steps until the time limit", low=1)
    edge: float = setting(1e9, "where the episode ends for good", above=0)
    cliff: float = setting(1e9, "where the physics breaks down", above=0)
    half_steps: bool = setting(False, "every second step takes no time", static=True)

    @property
    def observation_size(self) -> int:
        return 2

    @property
    def action_size(self) -> int:
        return 1

    def reset(self, rng):
        point = jnp.stack([jax.random.uniform(rng), 0.0])
        return initial_state(point, point)

    def step(self, state, action):
        point = state.pipeline_state + jnp.stack([action[0], 1.0])
        point = jnp.where(jnp.abs(point[0]) > self.cliff, jnp.nan, point)
        state = next_state(state, point, point, point[0], jnp.abs(point[0]) > self.edge)
        pending = self.half_steps & (point[1] % 2 == 1)
        return state.replace(info=state.info | {"duration": jnp.where(pending, 0, 1)})


class Still:
    """A policy that never learns: `mean` where it acts by its mean, `draw` plus a little noise where it draws."""

    def act(self, state: Any, obs: jax.Array, key: jax.Array, deterministic: bool = False) -> jax.Array:
        shape = (*obs.shape[:-1], 1)
        if deterministic:
            return jnp.full(shape, self.mean)
        return self.draw + self.noise * jax.random.uniform(key, shape, minval=-1.0)

    def log_prob(self, state: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
        raise NotImplementedError


@flax.struct.dataclass
class Counting(Still, OffPolicyAgent):
    """Its state counts the updates; its metric is the mean of the rewards that it was given."""

    mean: float = setting(0.0, "action by the mean")
    draw: float = setting(0.0, "action by a draw")
    noise: float = setting(0.0, "spread of a draw")

    def init(self, key, spec):
        return jnp.zeros((), jnp.int32)

    def update(self, state, batch, key):
        return state + 1, {"q_mean": batch.reward.mean()}


@flax.struct.dataclass
class Remembering(Still, OnPolicyAgent):
    """Its state holds the last two rollouts, the older first."""

    mean: float = setting(0.0, "action by the mean")
    draw: float = setting(0.0, "action by a draw")
    noise: float = setting(0.0, "spread of a draw")
    envs: int = setting(1, "environments, for the shape of the state", static=True)

    @property
    def gradient_steps(self):
        return 3

    def init(self, key, spec):
        shape = (self.rollout_steps // self.envs, self.envs)
        zero, obs = jnp.zeros(shape), jnp.zeros((*shape, spec.observation_size))
        rollout = Rollout(Transition(obs, jnp.zeros((*shape, spec.action_size)), zero, zero, zero, obs), zero)
        return rollout, rollout

    def update(self, state, batch, key):
        return (state[1], batch), {"value_mean": batch.transition.reward.mean()}


class Scheduled:
    """Its mean action is the share of updates that were made when the trainer last asked; it is reported as alpha."""

    def scheduled(self, progress):
        return self.replace(mean=progress)

    def update(self, state, batch, key):
        return state, {"alpha": self.mean}


@flax.struct.dataclass
class ScheduledOffPolicy(Scheduled, Counting):
    """With replay."""


@flax.struct.dataclass
class ScheduledOnPolicy(Scheduled, Remembering):
    """With rollouts, from which three gradient steps are made."""


@flax.struct.dataclass
class Faulty(Walk):
    """The same walk, of which one thing at a time stops being finite."""

    unpaid: float = setting(1e9, "beyond this the reward is not finite")
    blind: float = setting(1e9, "beyond this the observation is not finite")
    nowhere: float = setting(1e9, "starts beyond this are not finite")

    def reset(self, rng):
        point = jnp.stack([jax.random.uniform(rng), 0.0])
        point = jnp.where(point[0] > self.nowhere, jnp.array([jnp.nan, 0.0]), point)
        return initial_state(point, point)

    def step(self, state, action):
        after = super().step(state, action)
        position = after.pipeline_state[0]
        return after.replace(
            reward=jnp.where(position > self.unpaid, jnp.inf, after.reward),
            obs=jnp.where(position > self.blind, jnp.nan, after.obs),
        )


@flax.struct.dataclass
class Breaking(Counting):
    """Its state is the number of updates; after so many of them its loss, its state or its actions are not finite."""

    loss_at: float = setting(1e9, "updates before the one whose loss is not finite")
    state_at: float = setting(1e9, "updates before the one that makes a state which is not finite")
    act_at: float = setting(1e9, "updates after which its actions are not finite")

    def init(self, key, spec):
        return jnp.zeros(())

    def act(self, state, obs, key, deterministic=False):
        return super().act(state, obs, key, deterministic) + jnp.where(state >= self.act_at, jnp.nan, 0.0)

    def update(self, state, batch, key):
        loss = jnp.where(state == self.loss_at, jnp.inf, batch.reward.mean())
        after = jnp.where(state == self.state_at, jnp.nan, state + 1)
        return after, {"critic_loss": loss, "q_mean": batch.reward.mean()}
