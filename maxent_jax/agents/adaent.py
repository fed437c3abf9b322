"""SAC-AdaEnt: plain critics beside the soft ones; where their landscapes disagree, the actor climbs the plain one."""

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from envs.fields import setting
from maxent_jax import landscape, networks
from maxent_jax.agents.base import Metrics, Transition
from maxent_jax.agents.sac import SAC, SACState, TwinCritic


class AdaEntState(SACState):
    """SAC's state and the critics that know no entropy."""

    plain_critic: TwinCritic


class SACAdaEnt(SAC):
    """SAC with adaptive entropy.

    Per state of the batch, `n_samples` actions are drawn from the policy and the soft and the plain landscape (each the
    smaller of its twins) are compared over them by `metric`. Where their similarity is below `threshold` the actor's
    loss takes the plain value. The entropy term of that loss stays in both cases.

    References:
      "When Maximum Entropy Misleads Policy Optimization", ICML 2025, https://arxiv.org/abs/2506.05615
    """

    metric: str = setting("cosine", "measure of similarity, see maxent_jax.landscape", choices=tuple(landscape.METRICS))
    threshold: float = setting(
        0.9, "switch where the similarity is below this, in the metric's units; -1 never, > 1 always", low=-1, high=2
    )
    n_samples: int = setting(100, "actions per state in the comparison", low=2, static=True)

    def init(self, key: jax.Array, spec: EnvSpec) -> AdaEntState:
        """SAC's own state, drawn as SAC draws it, and the plain twins."""
        soft = super().init(key, spec)
        plain_key = jax.random.fold_in(key, 2)  # 0 and 1 are the keys that SAC's own split gives its actor and critics
        plain_critic = self.init_critic(plain_key, spec)
        return AdaEntState(soft.actor, soft.critic, soft.temperature, plain_critic)

    def update_critics(self, state: AdaEntState, batch: Transition, key: jax.Array) -> tuple[AdaEntState, Metrics]:
        """Fit the soft twins as SAC does, and the plain twins to r + gamma^d (1 - terminated) min Q'."""
        next_action, _ = self.sample(state.actor.params, batch.next_obs, key)  # the draw that the soft target uses
        next_q = self.min_q(state.plain_critic.target, batch.next_obs, next_action)
        plain_critic, loss, q_mean = self.fit_critic(state.plain_critic, batch, self.bootstrap(batch, next_q))
        state, metrics = super().update_critics(state, batch, key)
        return state.replace(plain_critic=plain_critic), metrics | {"plain_critic_loss": loss, "plain_q_mean": q_mean}

    def actor_q(
        self, state: AdaEntState, obs: jax.Array, action: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """The soft value, or the plain one at the states where the soft landscape misleads."""
        alike = self.similarity(state, obs, jax.random.fold_in(key, 1))
        switch = landscape.misled(alike, self.threshold)
        soft_q = self.min_q(state.critic.params, obs, action)
        plain_q = self.min_q(state.plain_critic.params, obs, action)
        low, middle, high = jnp.quantile(alike, jnp.array([0.05, 0.5, 0.95]))
        metrics = {
            "switched_share": jnp.mean(switch.astype(jnp.float32)),
            "similarity_q05": low,
            "similarity_q50": middle,
            "similarity_q95": high,
        }
        return jnp.where(switch, plain_q, soft_q), metrics

    def similarity(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """How alike the landscapes are at each observation: (batch, o) -> (batch,)."""
        repeated = jnp.broadcast_to(obs[:, None], (len(obs), self.n_samples, obs.shape[-1]))
        actions = self.act(state, repeated, key)
        q = self.q_landscapes(state, repeated, actions)
        return jax.lax.stop_gradient(landscape.METRICS[self.metric](q["soft"], q["plain"]))

    def q_landscapes(self, state: AdaEntState, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The smaller of the soft twins, and of the plain ones."""
        plain_q = self.min_q(state.plain_critic.params, obs, action)
        return super().q_landscapes(state, obs, action) | {"plain": plain_q}

    def update_targets(self, state: AdaEntState) -> AdaEntState:
        """Let both pairs of slow critics follow."""
        state = super().update_targets(state)
        plain = state.plain_critic
        return state.replace(plain_critic=plain.replace(target=networks.polyak(plain.target, plain.params, self.tau)))
