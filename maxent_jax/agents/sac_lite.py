"""SAC without the entropy reward: entropy spreads the policy where it acts, and is not worth anything later."""

import jax

from maxent_jax.agents.sac import SAC, SACState


class SACLite(SAC):
    """SAC whose critics know no entropy (SACLite): it stays in the actor's loss alone.

    So the policy at a state is spread over what is about as good there, by alpha, but no state is worth more because
    one may act freely in it: the entropy that the toy problem's agent is misled by is gone.

    References:
      Yu et al., "Do You Need the Entropy Reward (in Practice)?", https://arxiv.org/abs/2201.12434
    """

    def next_value(self, state: SACState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The value of observations (b, o) by one action of the policy each, min Q': (b,)."""
        action, _ = self.sample(state.actor.params, obs, key)
        return self.min_q(state.critic.target, obs, action)

    def q_landscapes(self, state: SACState, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """The smaller of the twins, which are plain ones."""
        return {"plain": self.min_q(state.critic.params, obs, action)}
