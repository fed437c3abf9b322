"""Linear feedback whose gains are searched for: where a planner would be too slow, as with contacts.

The action is a matrix times some observations, a clock and one, cut to [-1, 1]. The cross-entropy method searches for
the matrix over whole episodes. That is learning, but of some dozens of numbers, without critics, entropy or noise
within an episode.

Source: H. Mania, A. Guy and B. Recht, "Simple random search of static linear policies is competitive for reinforcement
learning", 2018, for how far linear feedback goes.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Key
from experiments.controllers import Controller, episode

SEARCH_SEED = 1_000_000
"""And those after it: no episode of the search is among those that are reported."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feedback(Controller):
    """Linear feedback, and the settings of the search for its gains.

    Attributes:
      features: which observations are fed back.
      period: control steps of the clock, whose sine and cosine are fed back, too; 0: no clock.
      samples: matrices tried in each round, all on the same new episode.
      elites: how many of the best of them the next round is drawn around.
      rounds: how often.
      spread: standard deviation of the first round's gains.
      extra: what is added to every round's standard deviation, falling to 0, so that the draw does not collapse.
      search_fields: fields of the task that are others during the search, for instance to weigh moving above standing.
      gains: what was found, row by row; empty before.
    """

    features: tuple[int, ...] = ()
    period: int = 0
    samples: int = 64
    elites: int = 10
    rounds: int = 40
    spread: float = 0.5
    extra: float = 0.1
    search_fields: tuple[tuple[str, Any], ...] = ()
    gains: Any = ()

    def prepare(self, env: Any) -> "Feedback":
        """Search for the gains."""
        changed = {name: jnp.float32(x) if isinstance(x, float) else x for name, x in self.search_fields}
        found = search(self, env.replace(**changed))
        return dataclasses.replace(self, gains=tuple(float(x) for x in found))

    def act(self, env: Any, memory: Any, state: Any, key: Key) -> tuple[jax.Array, Any]:
        """Gains times observations, clock and one."""
        del key
        phase = 2 * jnp.pi * state.pipeline_state.steps / max(self.period, 1)
        clock = [jnp.sin(phase), jnp.cos(phase)] if self.period else []
        seen = jnp.append(state.obs[jnp.asarray(self.features, jnp.int32)], jnp.stack([*clock, jnp.ones(())]))
        return jnp.clip(jnp.reshape(jnp.asarray(self.gains), (env.action_size, -1)) @ seen, -1.0, 1.0), memory


@functools.partial(jax.jit, static_argnums=0)
def search(settings: Feedback, env: Any) -> jax.Array:
    """(action_size * (features + clock + 1),) the mean of the last round's elite."""

    def earned(key: Key, gains: jax.Array) -> jax.Array:
        total = episode(dataclasses.replace(settings, gains=gains), env, key)
        return jnp.where(jnp.isfinite(total), total, -jnp.inf)

    def narrow(carry: Any, index: jax.Array) -> tuple[Any, None]:
        mean, deviation = carry
        start_key, draw_key = jax.random.split(jax.random.key(SEARCH_SEED + index))
        width = deviation + settings.extra * (1 - index / settings.rounds)
        drawn = mean + width * jax.random.normal(draw_key, (settings.samples, mean.size))
        worth = jax.vmap(earned, (None, 0))(start_key, drawn)
        best = drawn[jax.lax.top_k(worth, settings.elites)[1]]
        return (best.mean(axis=0), best.std(axis=0)), None

    inputs = len(settings.features) + (2 if settings.period else 0) + 1
    mean = jnp.zeros(env.action_size * inputs)
    carry = (mean, jnp.full_like(mean, settings.spread))
    return jax.lax.scan(narrow, carry, jnp.arange(settings.rounds))[0][0]
