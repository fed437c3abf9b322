"""Soft actor-critic: twin critics, Polyak targets, a tanh-normal policy, a fixed or learned temperature."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from envs.base import EnvSpec
from envs.fields import InvalidSetting, setting
from maxent_jax import distributions, networks
from maxent_jax.agents.base import Metrics, OffPolicyAgent, Transition
from maxent_jax.networks import Params


class Learner(flax.struct.PyTreeNode):
    """Parameters and their optimiser."""

    params: Params
    opt: optax.OptState


class TwinCritic(Learner):
    """Two critics, stacked along a leading axis of 2, and their slow copies."""

    target: Params


class SACState(flax.struct.PyTreeNode):
    """All that SAC learns."""

    actor: Learner
    critic: TwinCritic
    temperature: Learner
    """The logarithm of alpha; idle where alpha is fixed."""


S = TypeVar("S", bound=SACState)


class SAC(OffPolicyAgent):
    """Soft actor-critic.

    References:
      Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", https://arxiv.org/abs/1812.05905
    """

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    lr: float = setting(3e-4, "learning rate of actor and critics", above=0)
    tau: float = setting(0.005, "share of the online critic in each target update", low=0, high=1)
    alpha: float = setting(0.2, "temperature: the weight of entropy, fixed unless auto_alpha", low=0)
    auto_alpha: bool = setting(False, "learn the temperature, from 1, to hold the target entropy", static=True)
    target_entropy: float | None = setting(None, "entropy to hold, nats; none: minus the action's size")
    alpha_lr: float = setting(3e-4, "learning rate of the temperature", above=0)

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
        mean, std = self.initial_policy(spec)
        actor = networks.shift(actor, ("mean", "bias"), jnp.arctanh(jnp.clip(mean, -0.99, 0.99)))
        actor = networks.shift(actor, ("log_std", "bias"), jnp.log(std))
        log_alpha = jnp.zeros(())
        return SACState(
            actor=Learner(actor, optax.adam(self.lr).init(actor)),
            critic=self.init_critic(critic_key, spec),
            temperature=Learner(log_alpha, optax.adam(self.alpha_lr).init(log_alpha)),
        )

    def init_critic(self, key: jax.Array, spec: EnvSpec) -> TwinCritic:
        """Fresh twins with their targets equal to them."""
        obs, action = jnp.zeros(spec.observation_size), jnp.zeros(spec.action_size)
        params = networks.twin_init(self.critic_net, key, obs, action)
        return TwinCritic(params, optax.adam(self.lr).init(params), jax.tree.map(jnp.copy, params))

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
        """Fit the soft twins to r + gamma^d (1 - terminated) (min Q' - alpha log pi)."""
        next_action, next_log_prob = self.sample(state.actor.params, batch.next_obs, key)
        next_q = self.min_q(state.critic.target, batch.next_obs, next_action)
        target = self.bootstrap(batch, next_q - self.temperature(state) * next_log_prob)
        critic, loss, q_mean = self.fit_critic(state.critic, batch, target)
        return state.replace(critic=critic), {"critic_loss": loss, "q_mean": q_mean}

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
        target = -float(self.action_size(state)) if self.target_entropy is None else self.target_entropy

        def loss(log_alpha: jax.Array) -> jax.Array:
            return log_alpha * (entropy - target)

        value, grads = jax.value_and_grad(loss)(state.temperature.params)
        temperature = descend(state.temperature, grads, self.alpha_lr)
        return state.replace(temperature=temperature), {"alpha": alpha, "alpha_loss": value}

    def update_targets(self, state: S) -> S:
        """Let the slow critics follow."""
        critic = state.critic
        return state.replace(critic=critic.replace(target=networks.polyak(critic.target, critic.params, self.tau)))

    def bootstrap(self, batch: Transition, next_value: jax.Array) -> jax.Array:
        """(batch,) targets from (batch,) values of the next observations."""
        return batch.reward + self.gamma**batch.duration * (1.0 - batch.terminated) * next_value

    def fit_critic(
        self, critic: TwinCritic, batch: Transition, target: jax.Array
    ) -> tuple[TwinCritic, jax.Array, jax.Array]:
        """One step of both twins towards (batch,) targets; also the loss and the mean value."""

        def loss(params: Params) -> tuple[jax.Array, jax.Array]:
            q = networks.twin_apply(self.critic_net, params, batch.obs, batch.action)
            return 0.5 * jnp.mean(jnp.sum((q - target) ** 2, axis=0)), jnp.mean(q)

        (value, q_mean), grads = jax.value_and_grad(loss, has_aux=True)(critic.params)
        return descend(critic, grads, self.lr), value, q_mean

    def sample(self, actor: Params, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Actions (..., a) from the policy and their log-densities (...)."""
        mean, log_std = self.policy(actor, obs)
        x = distributions.normal_sample(mean, log_std, key)
        return jnp.tanh(x), distributions.tanh_log_prob(x, mean, log_std)

    def policy(self, actor: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log standard deviation (..., a) before tanh."""
        action_size = actor["params"]["mean"]["bias"].shape[-1]
        return self._actor(action_size).apply(actor, obs)  # pyright: ignore[reportReturnType]

    def min_q(self, critic: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """The smaller of the twins' values: (..., o), (..., a) -> (...)."""
        return networks.twin_apply(self.critic_net, critic, obs, action).min(axis=0)

    def temperature(self, state: SACState) -> jax.Array:
        """Alpha."""
        return jnp.exp(state.temperature.params) if self.auto_alpha else jnp.asarray(self.alpha, jnp.float32)

    def action_size(self, state: SACState) -> int:
        """Read from the actor's last layer."""
        return state.actor.params["params"]["mean"]["bias"].shape[-1]

    @property
    def critic_net(self) -> networks.Critic:
        """The shape of every critic."""
        return networks.Critic(self.hidden)

    def _actor(self, action_size: int) -> networks.SquashedActor:
        return networks.SquashedActor(self.hidden, action_size)


L = TypeVar("L", bound=Learner)


def descend(learner: L, grads: Params, lr: Any) -> L:
    """One Adam step."""
    updates, opt = optax.adam(lr).update(grads, learner.opt)
    return learner.replace(params=optax.apply_updates(learner.params, updates), opt=opt)
