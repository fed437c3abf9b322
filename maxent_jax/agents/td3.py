"""Twin delayed deterministic policy gradient: DDPG with three repairs."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from envs.fields import setting
from maxent_jax.agents.base import Metrics, Transition
from maxent_jax.agents.ddpg import DDPG, DDPGState, S


class TD3(DDPG):
    """Twin delayed deterministic policy gradient.

    What it adds to DDPG: the smaller of twin critics in targets, noise on the action that targets are made with, and an
    actor (and slow networks) that move in every `policy_delay`-th update only. Runs are mapped, so the step that is not
    due is computed and dropped: a condition that each run has for itself would compute both sides anyway.

    References:
      Fujimoto et al., "Addressing Function Approximation Error in Actor-Critic Methods",
      https://arxiv.org/abs/1802.09477
    """

    target_std: float = setting(
        0.2, "standard deviation of the noise on the actions that targets are made with, in units of [-1, 1]", low=0
    )
    target_clip: float = setting(0.5, "largest such noise", low=0)
    policy_delay: int = setting(2, "updates of the critics from one of the actor to the next", low=1)

    critics: ClassVar[int] = 2

    def next_action(self, state: DDPGState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """What the slow actor would do, with noise, (..., a)."""
        action = super().next_action(state, obs, key)
        noise = self.target_std * jax.random.normal(key, action.shape, action.dtype)
        return jnp.clip(action + jnp.clip(noise, -self.target_clip, self.target_clip), -1.0, 1.0)

    def update(self, state: S, batch: Transition, key: jax.Array) -> tuple[S, Metrics]:
        """Critics; where it is due, actor and targets. The actor's loss is reported in any case."""
        state, critic_metrics = self.update_critics(state, batch, key)
        moved, actor_metrics = self.update_actor(state, batch.obs)
        due = optax.tree.get(state.critic.opt, "count") % self.policy_delay == 0
        state = jax.tree.map(lambda new, old: jnp.where(due, new, old), self.update_targets(moved), state)
        return state, critic_metrics | actor_metrics
