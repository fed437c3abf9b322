"""Proximal policy optimisation: clipped surrogate, generalised advantages, an unsquashed normal policy."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from envs.base import EnvSpec
from envs.fields import InvalidSetting, setting
from maxent_jax import distributions, networks, normalisation
from maxent_jax.agents.base import Metrics, OnPolicyAgent, Rollout, StochasticAgent
from maxent_jax.networks import Params
from maxent_jax.normalisation import Statistics


class PPOState(flax.struct.PyTreeNode):
    """All that PPO learns; `params` holds `actor` and `value`, `statistics` is idle unless observations are scaled."""

    params: Params
    opt: optax.OptState
    statistics: Statistics


class Lesson(flax.struct.PyTreeNode):
    """What a rollout teaches, one row a step; every field (rollout_steps, ...)."""

    obs: jax.Array
    action: jax.Array
    old_log_prob: jax.Array
    advantage: jax.Array
    value_target: jax.Array


def advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    discount: jax.Array,
    decay: jax.Array,
) -> jax.Array:
    """Generalised advantage estimation; every argument (T, ...).

    Args:
      reward: rewards.
      value: values of the observations.
      next_value: values of the observations that the steps led to, before any reset.
      discount: gamma**duration, 0 at terminations.
      decay: (gamma lambda)**duration, 0 where the episode ended in any way.

    Returns:
      Advantages, (T, ...).

    References:
      Schulman et al., https://arxiv.org/abs/1506.02438
    """
    delta = reward + discount * next_value - value

    def backwards(later: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        now = step[0] + step[1] * later
        return now, now

    return jax.lax.scan(backwards, jnp.zeros_like(delta[0]), (delta, decay), reverse=True)[1]


class PPO(OnPolicyAgent, StochasticAgent):
    """Proximal policy optimisation.

    The environment clips the actions; their density is the unclipped normal's.

    References:
      Schulman et al., "Proximal Policy Optimization Algorithms", https://arxiv.org/abs/1707.06347
    """

    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers, policy and value alike", low=1)
    lr: float = setting(3e-4, "learning rate", above=0)
    adam_eps: float = setting(1e-8, "epsilon of Adam", above=0)
    batch_size: int = setting(64, "transitions per gradient step", low=1, static=True)
    passes: int = setting(10, "passes over each rollout", low=1, static=True)
    clip: float = setting(0.2, "largest change of the probability ratio that is rewarded", above=0)
    gae_lambda: float = setting(0.95, "decay of the advantages", low=0, high=1)
    entropy_coef: float = setting(0.0, "weight of the entropy bonus", low=0)
    value_coef: float = setting(0.5, "weight of the mean squared value error", low=0)
    max_grad_norm: float = setting(0.5, "norm to which the gradient is clipped", above=0)
    state_dependent_std: bool = setting(False, "a log-std head instead of one log-std per action", static=True)
    recompute_advantages: bool = setting(True, "estimate advantages anew before each pass", static=True)
    normalise_advantages: bool = setting(False, "shift and scale each batch's advantages", static=True)
    normalise_observations: bool = setting(False, "shift and scale observations by running statistics", static=True)

    @property
    def gradient_steps(self) -> int:
        """Passes times batches."""
        return self.passes * (self.rollout_steps // self.batch_size)

    @property
    def maximises_entropy(self) -> bool:
        """Only with a bonus for it."""
        return bool(np.any(np.asarray(self.entropy_coef) > 0))

    def validate(self) -> None:
        """Refuse batches that do not tile the rollout, or are too small to normalise."""
        if self.normalise_advantages and self.batch_size < 2:
            raise InvalidSetting(f"agent.batch_size = {self.batch_size}: must be >= 2 to normalise advantages")
        if self.rollout_steps % self.batch_size:
            raise InvalidSetting(
                f"agent.batch_size = {self.batch_size}: must divide rollout_steps, which is {self.rollout_steps}"
            )

    def init(self, key: jax.Array, spec: EnvSpec) -> PPOState:
        """Fresh networks and optimiser."""
        actor_key, value_key = jax.random.split(key)
        obs = jnp.zeros(spec.observation_size)
        actor = self._actor(spec.action_size).init(actor_key, obs)
        actor = networks.shift(actor, ("mean", "bias"), self.initial_mean(spec))
        log_std = ("log_std", "bias") if self.state_dependent_std else ("log_std",)
        actor = networks.shift(actor, log_std, jnp.log(self.initial_std(spec)))
        params = {"actor": actor, "value": networks.Value(self.hidden).init(value_key, obs)}
        return PPOState(params, self._optimiser().init(params), normalisation.init(spec.observation_size))

    def act(self, state: PPOState, obs: jax.Array, key: jax.Array, deterministic: bool = False) -> jax.Array:
        """The mean, or a draw; not clipped."""
        mean, log_std = self.policy(state.params["actor"], self.normalise(state, obs))
        return mean if deterministic else distributions.normal_sample(mean, log_std, key)

    def log_prob(self, state: PPOState, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Log-density of the normal."""
        mean, log_std = self.policy(state.params["actor"], self.normalise(state, obs))
        return distributions.normal_log_prob(action, mean, log_std)

    def update(self, state: PPOState, batch: Rollout, key: jax.Array) -> tuple[PPOState, Metrics]:
        """`passes` passes over the rollout in shuffled batches."""
        step = batch.transition
        rollout = batch.replace(
            transition=step.replace(obs=self.normalise(state, step.obs), next_obs=self.normalise(state, step.next_obs))
        )
        first = self.lesson(state.params, rollout)

        def one_pass(carry: Any, key: jax.Array) -> tuple[Any, Metrics]:
            params, _ = carry
            lesson = first
            if self.recompute_advantages:
                lesson = self.lesson(params, rollout).replace(old_log_prob=first.old_log_prob)
            order = jax.random.permutation(key, self.rollout_steps).reshape(-1, self.batch_size)
            return jax.lax.scan(
                lambda carry, rows: self.gradient_step(carry, jax.tree.map(lambda x: x[rows], lesson)), carry, order
            )

        keys = jax.random.split(key, self.passes)
        (params, opt), metrics = jax.lax.scan(one_pass, (state.params, state.opt), keys)
        statistics = state.statistics
        if self.normalise_observations:  # only now: the rollout was acted and is learned from with the same statistics
            statistics = normalisation.update(statistics, step.obs.reshape(-1, step.obs.shape[-1]))
        return PPOState(params, opt, statistics), jax.tree.map(jnp.mean, metrics)

    def lesson(self, params: Params, rollout: Rollout) -> Lesson:
        """Advantages and value targets of a (T, N) rollout, flattened to (T N)."""
        step = rollout.transition
        mean, log_std = self.policy(params["actor"], step.obs)
        value = self.value(params, step.obs)
        advantage = advantages(
            step.reward,
            value,
            self.value(params, step.next_obs),
            discount=self.gamma**step.duration * (1.0 - step.terminated),
            decay=(self.gamma * self.gae_lambda) ** step.duration * (1.0 - rollout.done),
        )
        lesson = Lesson(
            obs=step.obs,
            action=step.action,
            old_log_prob=distributions.normal_log_prob(step.action, mean, log_std),
            advantage=advantage,
            value_target=advantage + value,
        )
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), lesson)

    def gradient_step(self, carry: tuple[Params, optax.OptState], batch: Lesson) -> tuple[Any, Metrics]:
        """One optimiser step on one shuffled batch."""
        params, opt = carry
        grads, metrics = jax.grad(self.loss, has_aux=True)(params, batch)
        updates, opt = self._optimiser().update(grads, opt)
        return (optax.apply_updates(params, updates), opt), metrics

    def loss(self, params: Params, batch: Lesson) -> tuple[jax.Array, Metrics]:
        """Clipped surrogate, squared value error and entropy bonus."""
        mean, log_std = self.policy(params["actor"], batch.obs)
        advantage = batch.advantage
        if self.normalise_advantages:
            advantage = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)
        ratio = jnp.exp(distributions.normal_log_prob(batch.action, mean, log_std) - batch.old_log_prob)
        clipped = jnp.clip(ratio, 1.0 - self.clip, 1.0 + self.clip)
        actor_loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))

        value = self.value(params, batch.obs)
        value_loss = jnp.mean((value - batch.value_target) ** 2)
        entropy = jnp.mean(distributions.normal_entropy(log_std))
        metrics = {
            "actor_loss": actor_loss,
            "value_loss": value_loss,
            "value_mean": jnp.mean(value),
            "entropy": entropy,
            "clipped_share": jnp.mean((jnp.abs(ratio - 1.0) > self.clip).astype(jnp.float32)),
        }
        return actor_loss + self.value_coef * value_loss - self.entropy_coef * entropy, metrics

    def policy(self, actor: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log standard deviation (..., a) at normalised observations."""
        return self._actor(networks.action_size(actor)).apply(actor, obs)  # pyright: ignore[reportReturnType]

    def value(self, params: Params, obs: jax.Array) -> jax.Array:
        """V (...) at normalised observations."""
        return networks.Value(self.hidden).apply(params["value"], obs)  # pyright: ignore[reportReturnType]

    def normalise(self, state: PPOState, obs: jax.Array) -> jax.Array:
        """Observations as the networks see them."""
        return normalisation.normalise(state.statistics, obs) if self.normalise_observations else obs

    def _actor(self, action_size: int) -> networks.GaussianActor:
        return networks.GaussianActor(self.hidden, action_size, self.state_dependent_std)

    def _optimiser(self) -> optax.GradientTransformation:
        clip, adam = optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.lr, eps=self.adam_eps)
        return optax.flatten(optax.chain(clip, adam))  # one vector, as `critics.optimiser` has it, for its reasons
