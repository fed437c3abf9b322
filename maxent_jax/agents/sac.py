"""Soft actor-critic: twin critics, Polyak targets, a tanh-normal policy, a fixed or learned temperature."""

import math
from collections.abc import Callable
from typing import TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import EnvSpec
from envs.fields import InvalidSetting, setting
from maxent_jax import distributions, networks
from maxent_jax.agents.base import Metrics, StochasticAgent, Transition
from maxent_jax.agents.critics import Learner, QAgent, Tracked, descend, learner
from maxent_jax.networks import Params


class SACState(flax.struct.PyTreeNode):
    """All that SAC learns."""

    actor: Learner
    critic: Tracked
    temperature: Learner
    """The logarithm of alpha; idle where alpha is fixed."""


S = TypeVar("S", bound=SACState)


class SAC(QAgent, StochasticAgent):
    """Soft actor-critic.

    References:
      Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", https://arxiv.org/abs/1812.05905
    """

    alpha: float = setting(0.2, "temperature: the weight of entropy, fixed unless auto_alpha; 0: no entropy", low=0)
    auto_alpha: bool = setting(False, "learn the temperature, from 1, to hold the target entropy", static=True)
    target_entropy: float | None = setting(None, "entropy to hold, nats; none: minus the action's size")
    alpha_lr: float = setting(3e-4, "learning rate of the temperature", above=0)

    @property
    def maximises_entropy(self) -> bool:
        """Unless alpha is fixed at 0."""
        return self.auto_alpha or bool(np.any(np.asarray(self.alpha) > 0))

    def validate(self) -> None:
        """Refuse a first standard deviation that is clipped at once: its logarithm would have no gradient."""
        super().validate()
        widest = math.exp(networks.LOG_STD_RANGE[1])
        if self.init_units == "normalised" and np.any(np.asarray(self.init_std) > widest):
            raise InvalidSetting(f"agent.init_std = {np.max(self.init_std):g}: must be <= {widest:.3f}")

    def init(self, key: jax.Array, spec: EnvSpec) -> SACState:
        """Fresh networks and optimisers."""
        actor_key, critic_key = jax.random.split(key)
        actor = self._actor(spec.action_size).init(actor_key, jnp.zeros(spec.observation_size))
        actor = networks.shift(self.leaning(actor, spec), ("log_std", "bias"), jnp.log(self.initial_std(spec)))
        return SACState(
            actor=learner(actor, self.lr),
            critic=self.init_critic(critic_key, spec),
            temperature=learner(jnp.zeros(()), self.alpha_lr),
        )

    def act(self, state: SACState, obs: jax.Array, key: jax.Array, deterministic: bool = False) -> jax.Array:
        """The squashed mean, or a draw."""
        mean, log_std = self.policy(state.actor.params, obs)
        return jnp.tanh(mean if deterministic else distributions.normal_sample(mean, log_std, key))

    def log_prob(self, state: SACState, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Log-density of the squashed normal; actions strictly inside (-1, 1)."""
        mean, log_std = self.policy(state.actor.params, obs)
        return distributions.tanh_log_prob(jnp.arctanh(action), mean, log_std)

    def q_landscapes(self, state: SACState, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The smaller of the soft twins."""
        return {"soft": self.min_q(state.critic.params, obs, action)}

    def update(self, state: S, batch: Transition, key: jax.Array) -> tuple[S, Metrics]:
        """Critics, then actor, then temperature, then targets."""
        next_key, actor_key = jax.random.split(key)
        state, critic_metrics = self.update_critics(state, batch, next_key)
        state, actor_metrics = self.update_actor(state, batch.obs, actor_key)
        state, temperature_metrics = self.update_temperature(state, actor_metrics["entropy"])
        return self.update_targets(state), critic_metrics | actor_metrics | temperature_metrics

    def update_critics(self, state: S, batch: Transition, key: jax.Array) -> tuple[S, Metrics]:
        """Fit the twins to r + gamma^d (1 - terminated) `next_value`."""
        critic, metrics = self.fit_critic(state.critic, batch, self.next_value(state, batch.next_obs, key))
        return state.replace(critic=critic), metrics

    def next_value(self, state: SACState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The soft value of observations (b, o) by one action of the policy each, min Q' - alpha log pi: (b,)."""
        action, log_prob = self.sample(state.actor.params, obs, key)
        return self.min_q(state.critic.target, obs, action) - self.temperature(state) * log_prob

    def update_actor(self, state: S, obs: jax.Array, key: jax.Array) -> tuple[S, Metrics]:
        """Climb the smaller of the soft twins."""
        return self.climb(state, obs, key, lambda action: self.min_q(state.critic.params, obs, action))

    def climb(
        self, state: S, obs: jax.Array, key: jax.Array, value: Callable[[jax.Array], jax.Array]
    ) -> tuple[S, Metrics]:
        """Descend alpha log pi - `value`, of shape (batch,), at the policy's own actions (batch, a)."""

        def loss(params: Params) -> tuple[jax.Array, jax.Array]:
            action, log_prob = self.sample(params, obs, key)
            return jnp.mean(self.temperature(state) * log_prob - value(action)), -jnp.mean(log_prob)

        (found, entropy), grads = jax.value_and_grad(loss, has_aux=True)(state.actor.params)
        actor = descend(state.actor, grads, self.lr)
        return state.replace(actor=actor), {"entropy": entropy, "actor_loss": found}

    def update_temperature(self, state: S, entropy: jax.Array) -> tuple[S, Metrics]:
        """Move log alpha towards the target entropy; nothing where alpha is fixed."""
        alpha = self.temperature(state)
        if not self.auto_alpha:
            return state, {"alpha": alpha}
        size = networks.action_size(state.actor.params)
        target = -float(size) if self.target_entropy is None else self.target_entropy

        def loss(log_alpha: jax.Array) -> jax.Array:
            return log_alpha * (entropy - target)

        value, grads = jax.value_and_grad(loss)(state.temperature.params)
        temperature = descend(state.temperature, grads, self.alpha_lr)
        return state.replace(temperature=temperature), {"alpha": alpha, "alpha_loss": value}

    def update_targets(self, state: S) -> S:
        """Let the slow critics follow."""
        return state.replace(critic=self.follow(state.critic))

    def sample(self, actor: Params, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Actions (..., a) from the policy and their log-densities (...)."""
        mean, log_std = self.policy(actor, obs)
        x = distributions.normal_sample(mean, log_std, key)
        return jnp.tanh(x), distributions.tanh_log_prob(x, mean, log_std)

    def policy(self, actor: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log standard deviation (..., a) before tanh."""
        return self._actor(networks.action_size(actor)).apply(actor, obs)  # pyright: ignore[reportReturnType]

    def temperature(self, state: SACState) -> jax.Array:
        """Alpha."""
        return jnp.exp(state.temperature.params) if self.auto_alpha else jnp.asarray(self.alpha, jnp.float32)

    def _actor(self, action_size: int) -> networks.SquashedActor:
        return networks.SquashedActor(self.hidden, action_size)
