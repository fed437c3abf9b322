"""SAC-AdaEnt: plain critics beside the soft ones; where their landscapes disagree, the actor climbs the plain one."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from envs.fields import InvalidSetting, setting
from maxent_jax import blocks, landscape, networks, ridges
from maxent_jax.agents.base import Metrics, Transition
from maxent_jax.agents.critics import Tracked
from maxent_jax.agents.sac import SAC, SACState
from maxent_jax.networks import Params

Twins = Callable[[jax.Array], jax.Array]
"""Both critics of a pair: actions (b, p, a), p in each state, to values (b, 2, p)."""
FAST_METRICS = ("cosine", "pearson")
AT_ONCE = 1024
"""Most draws about which critics are asked at once on a CPU: what more there are would not stay in its caches."""
FROM_POINTS_AT_ONCE = 262_144
"""The same of draws whose values follow from those at a few points."""


class AdaEntState(SACState):
    """SAC's state and the critics that know no entropy.

    Attributes:
      plain_critic: the critics that know no entropy.
    """

    plain_critic: Tracked


class SACAdaEnt(SAC):
    """SAC with adaptive entropy.

    Per state of the batch, `n_samples` actions are drawn from the policy and the soft and the plain landscape (each the
    smaller of its twins) are compared over them by `metric`. Where their similarity is below `threshold` the actor's
    loss takes the plain value. The entropy term of that loss stays in both cases.

    With `comparison="fast"` the landscapes over those draws are taken from their values at a few points (see
    `maxent_jax.ridges`), and these, where actions have several dimensions, from the critics' tangents at the one action
    that the actor's loss asks them about anyway (see `maxent_jax.networks.TwinTangent`).

    References:
      "When Maximum Entropy Misleads Policy Optimization", ICML 2025, https://arxiv.org/abs/2506.05615
    """

    metric: str = setting("cosine", "measure of similarity, see maxent_jax.landscape", choices=tuple(landscape.METRICS))
    threshold: float = setting(
        0.9, "switch where the similarity is below this, in the metric's units; -1 never, > 1 always", low=-1, high=2
    )
    n_samples: int = setting(100, "actions per state in the comparison", low=2, static=True)
    comparison: str = setting(
        "exact", "ask all critics about every draw, or about a few points (fast)", choices=("exact", "fast")
    )

    def validate(self) -> None:
        """Refuse a metric that the fast comparison was never judged by."""
        super().validate()
        if self.comparison == "fast" and self.metric not in FAST_METRICS:
            allowed = " or ".join(FAST_METRICS)
            raise InvalidSetting(f"agent.metric = {self.metric!r}: must be {allowed} with comparison=fast")

    @property
    def switches(self) -> bool:
        """Whether any similarity can lie below the threshold."""
        return float(self.threshold) > landscape.LOWEST[self.metric]

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
        plain_critic, plain = self.fit_critic(state.plain_critic, batch, next_q)
        state, metrics = super().update_critics(state, batch, key)
        return state.replace(plain_critic=plain_critic), metrics | {f"plain_{name}": x for name, x in plain.items()}

    def update_actor(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> tuple[AdaEntState, Metrics]:
        """Climb the soft value, or the plain one at the states where the soft landscape misleads."""
        soft, plain = self.twins(state, obs, key)
        alike = self._alike(state, obs, soft, plain, key)
        switch = landscape.misled(alike, self.threshold)

        def value(action: jax.Array) -> jax.Array:
            here = action[:, None]
            return jnp.where(switch, plain(here).min(axis=1)[:, 0], soft(here).min(axis=1)[:, 0])

        state, metrics = self.climb(state, obs, key, value)
        low, middle, high = jnp.quantile(alike, jnp.array([0.05, 0.5, 0.95]))
        seen = {
            "switched_share": jnp.mean(switch.astype(jnp.float32)),
            "similarity_q05": low,
            "similarity_q50": middle,
            "similarity_q95": high,
        }
        return state, metrics | seen

    def compare(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """How alike the landscapes are, as an update finds it, exactly or fast: (b, o) -> (b,)."""
        return self._alike(state, obs, *self.twins(state, obs, key), key)

    def _alike(self, state: AdaEntState, obs: jax.Array, soft: Twins, plain: Twins, key: jax.Array) -> jax.Array:
        if self.comparison == "exact":
            return self.similarity(state, obs, jax.random.fold_in(key, 1))
        return self.similarity_from_points(state, obs, soft, plain)

    def twins(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> tuple[Twins, Twins]:
        """Soft and plain twins at observations (b, o), with their own values and gradients where `climb` asks them.

        Where actions have several dimensions the fast comparison has only their tangents at the action that `climb`
        draws with the same key. These are as good where a policy is narrow or acts in many dimensions, and all that the
        price of a second critic pair leaves room for; along a single dimension it may look further than they reach.
        """
        if self.comparison == "fast" and networks.action_size(state.actor.params) > 1:
            return self.tangents(state, obs, key)
        soft, plain = (
            functools.partial(self.q_twins, critic.params, obs) for critic in (state.critic, state.plain_critic)
        )
        return soft, plain

    def tangents(
        self, state: AdaEntState, obs: jax.Array, key: jax.Array
    ) -> tuple[networks.TwinTangent, networks.TwinTangent]:
        """Soft and plain twins at observations (b, o), near the action that `climb` draws with the same key."""
        action, _ = self.sample(state.actor.params, obs, key)
        soft, plain = (
            networks.twin_tangent(self.critic_net, critic.params, obs, action)
            for critic in (state.critic, state.plain_critic)
        )
        return soft, plain

    def q_twins(self, critic: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Both twins' values (b, 2, p) of p actions (b, p, a) in each state (b, o)."""
        obs = jnp.broadcast_to(obs[:, None], (*action.shape[:2], obs.shape[-1]))
        return jnp.moveaxis(networks.twin_apply(self.critic_net, critic, obs, action), 0, 1)

    def similarity(self, state: AdaEntState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """How alike the landscapes are over draws of the policy: (b, o) -> (b,)."""
        mean, log_std = self.policy(state.actor.params, obs)  # once, not for every action
        noise = jax.random.normal(key, (len(obs), self.n_samples, mean.shape[-1]))

        def few(block: tuple[jax.Array, ...]) -> jax.Array:
            obs, mean, log_std, noise = block
            action = at(mean, log_std, noise)
            q = (self.q_twins(critic.params, obs, action).min(axis=1) for critic in (state.critic, state.plain_critic))
            return landscape.METRICS[self.metric](*q)

        return blocks.in_turn(few, (obs, mean, log_std, noise), blocks.few(len(obs), AT_ONCE // self.n_samples))

    def similarity_from_points(self, state: AdaEntState, obs: jax.Array, soft: Twins, plain: Twins) -> jax.Array:
        """How alike they are over draws, as their twins' values at `ridges.points` tell: (b, o) -> (b,)."""
        size = networks.action_size(state.actor.params)
        action = at(*self.policy(state.actor.params, obs), ridges.points(size))

        def similarity(q: tuple[jax.Array, jax.Array]) -> jax.Array:
            landscapes = (ridges.at_draws(twins, size, self.n_samples).min(axis=1) for twins in q)
            return landscape.METRICS[self.metric](*landscapes).mean(axis=-1)

        at_once = blocks.few(len(obs), FROM_POINTS_AT_ONCE // (ridges.SETS * self.n_samples))
        return blocks.in_turn(similarity, (soft(action), plain(action)), at_once)

    def q_landscapes(self, state: AdaEntState, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The smaller of the soft twins, and of the plain ones."""
        plain_q = self.min_q(state.plain_critic.params, obs, action)
        return super().q_landscapes(state, obs, action) | {"plain": plain_q}

    def update_targets(self, state: AdaEntState) -> AdaEntState:
        """Let both pairs of slow critics follow."""
        state = super().update_targets(state)
        return state.replace(plain_critic=self.follow(state.plain_critic))


def at(mean: jax.Array, log_std: jax.Array, noise: jax.Array) -> jax.Array:
    """Actions (b, p, a) of a policy (b, a) from their noise (b, p, a) or (p, a)."""
    return jnp.tanh(mean[:, None] + jnp.exp(log_std)[:, None] * noise)
