"""SAC-AdaEnt: plain critics beside the soft ones; where their landscapes disagree, the actor climbs the plain one."""

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from envs.fields import InvalidSetting, setting
from maxent_jax import landscape, networks
from maxent_jax.agents.base import Metrics, Transition
from maxent_jax.agents.sac import SAC, SACState, TwinCritic

FAST_METRICS = ("cosine", "pearson")
CHECKED = 2
"""States of a batch that the fast comparison also compares exactly."""
CUT_RATE = 3e-3
"""How far a wrong share of switched states moves the cut in one update."""


class AdaEntState(SACState):
    """SAC's state and the critics that know no entropy.

    Attributes:
      plain_critic: the critics that know no entropy.
      cut: the fast comparison's own threshold; None where all states are compared exactly.
    """

    plain_critic: TwinCritic
    cut: jax.Array | None


class SACAdaEnt(SAC):
    """SAC with adaptive entropy.

    Per state of the batch, `n_samples` actions are drawn from the policy and the soft and the plain landscape (each the
    smaller of its twins) are compared over them by `metric`. Where their similarity is below `threshold` the actor's
    loss takes the plain value. The entropy term of that loss stays in both cases.

    With `comparison="fast"` the landscapes are compared over the points of `landscape.star` instead, a tenth as many,
    and only two states of each batch over draws: they tell where between the points' similarities to switch.

    References:
      "When Maximum Entropy Misleads Policy Optimization", ICML 2025, https://arxiv.org/abs/2506.05615
    """

    metric: str = setting("cosine", "measure of similarity, see maxent_jax.landscape", choices=tuple(landscape.METRICS))
    threshold: float = setting(
        0.9, "switch where the similarity is below this, in the metric's units; -1 never, > 1 always", low=-1, high=2
    )
    n_samples: int = setting(100, "actions per state in the comparison", low=2, static=True)
    comparison: str = setting(
        "exact", "compare over n_samples draws, or over a few chosen points (fast)", choices=("exact", "fast")
    )

    def validate(self) -> None:
        """Refuse a fast comparison by a metric that says nothing over few points."""
        super().validate()
        if self.comparison == "fast" and self.metric not in FAST_METRICS:
            raise InvalidSetting(
                f"agent.metric = {self.metric!r}: must be {' or '.join(FAST_METRICS)} with comparison=fast"
            )

    def init(self, key: jax.Array, spec: EnvSpec) -> AdaEntState:
        """SAC's own state, drawn as SAC draws it, and the plain twins."""
        soft = super().init(key, spec)
        plain_key = jax.random.fold_in(key, 2)  # 0 and 1 are the keys that SAC's own split gives its actor and critics
        plain_critic = self.init_critic(plain_key, spec)
        cut = None if self.comparison == "exact" else jnp.asarray(self.threshold, jnp.float32)
        return AdaEntState(soft.actor, soft.critic, soft.temperature, plain_critic, cut)

    def update_critics(self, state: AdaEntState, batch: Transition, key: jax.Array) -> tuple[AdaEntState, Metrics]:
        """Fit the soft twins as SAC does, and the plain twins to r + gamma^d (1 - terminated) min Q'."""
        next_action, _ = self.sample(state.actor.params, batch.next_obs, key)  # the draw that the soft target uses
        next_q = self.min_q(state.plain_critic.target, batch.next_obs, next_action)
        plain_critic, loss, q_mean = self.fit_critic(state.plain_critic, batch, self.bootstrap(batch, next_q))
        state, metrics = super().update_critics(state, batch, key)
        return state.replace(plain_critic=plain_critic), metrics | {"plain_critic_loss": loss, "plain_q_mean": q_mean}

    def update_actor(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> tuple[AdaEntState, Metrics]:
        """Climb the soft value, or the plain one at the states where the soft landscape misleads."""
        state, alike, switch = self.compare(state, obs, jax.random.fold_in(key, 1))

        def value(action: jax.Array) -> jax.Array:
            plain_q = self.min_q(state.plain_critic.params, obs, action)
            return jnp.where(switch, plain_q, self.min_q(state.critic.params, obs, action))

        state, metrics = self.climb(state, obs, key, value)
        low, middle, high = jnp.quantile(alike, jnp.array([0.05, 0.5, 0.95]))
        seen = {
            "switched_share": jnp.mean(switch.astype(jnp.float32)),
            "similarity_q05": low,
            "similarity_q50": middle,
            "similarity_q95": high,
        }
        return state, metrics | seen

    def compare(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> tuple[AdaEntState, jax.Array, jax.Array]:
        """How alike the landscapes are at each observation (batch, o), and where to switch: (batch,) each."""
        if self.comparison == "exact":
            alike = self.similarity(state, obs, key)
            return state, alike, landscape.misled(alike, self.threshold)
        # Few points give other similarities than many draws. So the cut between them is no setting: it follows the
        # exact verdicts on a few states of every batch until as many are switched by it as by them.
        assert state.cut is not None, "a state of the exact comparison"
        alike = self.similarity_at_points(state, obs)
        exact = landscape.misled(self.similarity(state, obs[:CHECKED], key), self.threshold)
        quick = landscape.misled(alike[:CHECKED], state.cut)
        cut = state.cut + CUT_RATE * jnp.mean(exact.astype(jnp.float32) - quick.astype(jnp.float32))
        return state.replace(cut=cut), alike, landscape.misled(alike, cut)

    def similarity(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """How alike the landscapes are over draws of the policy: (batch, o) -> (batch,)."""
        noise = jax.random.normal(key, (len(obs), self.n_samples, self.action_size(state)))
        return landscape.METRICS[self.metric](*self.landscapes_at(state, obs, noise))

    def similarity_at_points(self, state: AdaEntState, obs: jax.Array) -> jax.Array:
        """How alike they are over `landscape.star`, chosen points of the policy: (batch, o) -> (batch,)."""
        points = landscape.star(self.action_size(state))
        return landscape.METRICS[self.metric](*self.landscapes_at(state, obs, points))

    def landscapes_at(self, state: AdaEntState, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Soft and plain values (batch, n) at n actions of the policy, given by their noise (batch, n, a) or (n, a)."""
        mean, log_std = self.policy(state.actor.params, obs)  # once, not for every action
        action = jnp.tanh(mean[:, None] + jnp.exp(log_std)[:, None] * noise)
        q = self.q_landscapes(state, jnp.broadcast_to(obs[:, None], (*action.shape[:2], obs.shape[-1])), action)
        return q["soft"], q["plain"]

    def q_landscapes(self, state: AdaEntState, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The smaller of the soft twins, and of the plain ones."""
        plain_q = self.min_q(state.plain_critic.params, obs, action)
        return super().q_landscapes(state, obs, action) | {"plain": plain_q}

    def update_targets(self, state: AdaEntState) -> AdaEntState:
        """Let both pairs of slow critics follow."""
        state = super().update_targets(state)
        plain = state.plain_critic
        return state.replace(plain_critic=plain.replace(target=networks.polyak(plain.target, plain.params, self.tau)))
