"""SAC whose temperature falls to nothing: entropy to explore with at first, the plain objective in the end."""

from typing import Self

import jax
import jax.numpy as jnp

from envs.fields import InvalidSetting, setting
from maxent_jax.agents.sac import SAC


class SACAnnealed(SAC):
    """SAC with an alpha that falls linearly from its first value to 0 within a share of the run's updates.

    The share is one of the whole budget: where `--steps` prolongs a run, alpha goes on as the longer run would have it.
    """

    anneal_share: float = setting(0.5, "share of a run's updates within which alpha falls to 0", above=0, high=1)

    def validate(self) -> None:
        """Refuse a temperature that is learned: it would climb back."""
        super().validate()
        if self.auto_alpha:
            raise InvalidSetting("agent.auto_alpha = True: must be false, for alpha is annealed")

    def scheduled(self, progress: jax.Array) -> Self:
        """With the alpha of that moment."""
        return self.replace(alpha=self.alpha * jnp.maximum(0.0, 1.0 - progress / self.anneal_share))
