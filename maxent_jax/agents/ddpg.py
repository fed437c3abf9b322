"""Deterministic policy gradient: one critic of a deterministic actor, which climbs it; noise explores."""

from typing import ClassVar, TypeVar

import flax.struct
import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from envs.fields import setting
from maxent_jax import distributions, networks
from maxent_jax.agents.base import Metrics, Transition
from maxent_jax.agents.critics import QAgent, Tracked, descend, tracked
from maxent_jax.networks import Params


class DDPGState(flax.struct.PyTreeNode):
    """All that DDPG learns."""

    actor: Tracked
    critic: Tracked


S = TypeVar("S", bound=DDPGState)


class DDPG(QAgent):
    """Deep deterministic policy gradient.

    Exploration is by independent normal noise (published: an Ornstein-Uhlenbeck process), clipped to the range of
    actions; `log_prob` is the density before that.

    References:
      Lillicrap et al., "Continuous Control with Deep Reinforcement Learning", https://arxiv.org/abs/1509.02971
    """

    exploration_std: float = setting(
        0.1, "standard deviation of the noise on actions while training, in units of [-1, 1]", above=0
    )

    critics: ClassVar[int] = 1

    def init(self, key: jax.Array, spec: EnvSpec) -> DDPGState:
        """Fresh networks and optimisers."""
        actor_key, critic_key = jax.random.split(key)
        actor = self._actor(spec.action_size).init(actor_key, jnp.zeros(spec.observation_size))
        return DDPGState(tracked(self.leaning(actor, spec), self.lr), self.init_critic(critic_key, spec))

    def act(self, state: DDPGState, obs: jax.Array, key: jax.Array, deterministic: bool = False) -> jax.Array:
        """The policy's action, or that with noise."""
        action = self.policy(state.actor.params, obs)
        if deterministic:
            return action
        noise = self.exploration_std * jax.random.normal(key, action.shape, action.dtype)
        return jnp.clip(action + noise, -1.0, 1.0)

    def log_prob(self, state: DDPGState, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Log-density of the policy's action with noise."""
        mean = self.policy(state.actor.params, obs)
        return distributions.normal_log_prob(action, mean, jnp.full_like(mean, jnp.log(self.exploration_std)))

    def q_landscapes(self, state: DDPGState, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The smallest of the critics, which know no entropy."""
        return {"plain": self.min_q(state.critic.params, obs, action)}

    def update(self, state: S, batch: Transition, key: jax.Array) -> tuple[S, Metrics]:
        """Critics, then actor, then targets."""
        state, critic_metrics = self.update_critics(state, batch, key)
        state, actor_metrics = self.update_actor(state, batch.obs)
        return self.update_targets(state), critic_metrics | actor_metrics

    def update_critics(self, state: S, batch: Transition, key: jax.Array) -> tuple[S, Metrics]:
        """Fit the critics to r + gamma^d (1 - terminated) min Q' of what the slow actor would do."""
        next_action = self.next_action(state, batch.next_obs, key)
        next_q = self.min_q(state.critic.target, batch.next_obs, next_action)
        critic, metrics = self.fit_critic(state.critic, batch, next_q)
        return state.replace(critic=critic), metrics

    def next_action(self, state: DDPGState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """What the slow actor would do, (..., a)."""
        del key
        return self.policy(state.actor.target, obs)

    def update_actor(self, state: S, obs: jax.Array) -> tuple[S, Metrics]:
        """Climb the first critic."""
        critic = jax.tree.map(lambda stacked: stacked[:1], state.critic.params)

        def loss(actor: Params) -> jax.Array:
            return -jnp.mean(self.min_q(critic, obs, self.policy(actor, obs)))

        value, grads = jax.value_and_grad(loss)(state.actor.params)
        return state.replace(actor=descend(state.actor, grads, self.lr)), {"actor_loss": value}

    def update_targets(self, state: S) -> S:
        """Let the slow networks follow."""
        return state.replace(actor=self.follow(state.actor), critic=self.follow(state.critic))

    def policy(self, actor: Params, obs: jax.Array) -> jax.Array:
        """Actions (..., a)."""
        return jnp.tanh(self._actor(networks.action_size(actor)).apply(actor, obs))  # pyright: ignore[reportArgumentType]

    def _actor(self, action_size: int) -> networks.DeterministicActor:
        return networks.DeterministicActor(self.hidden, action_size)
