"""A planner for any task: try action sequences on the task itself, keep the best, act, look again.

The cross-entropy method in a receding horizon. Each time it draws sequences around its best guess, narrows the draw to
the elite, and repeats; then it acts by the best sequence that it has seen, which is among the candidates of the next
time. So with deterministic physics the future that it counts on never gets worse. It sees the true state, the true
physics and (where a task has noise) the noise to come: a yardstick, no rival of an agent that must learn.

Source: R. Rubinstein, "The cross-entropy method for combinatorial and continuous optimization", 1999.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Key
from experiments.controllers import Controller, earn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planner(Controller):
    """The planner's settings.

    Attributes:
      hold: control steps for which an action is held, and after which is planned anew.
      actions: how many actions it looks ahead, each held for `hold` steps.
      samples: sequences drawn in each round.
      elites: how many of the best of them the next round is drawn around.
      rounds: how often the draw is narrowed each time.
      spread: standard deviation of the first round.
    """

    hold: int = 1
    actions: int = 20
    samples: int = 64
    elites: int = 8
    rounds: int = 2
    spread: float = 0.5

    def begin(self, env: Any) -> jax.Array:
        """(actions, action_size) the first guess: the task's `idle`, which also fills the unknown end later."""
        return jnp.broadcast_to(jnp.asarray(env.idle, jnp.float32), (self.actions, env.action_size))

    def act(self, env: Any, memory: jax.Array, state: Any, key: Key) -> tuple[jax.Array, jax.Array]:
        """The first action of the best sequence, and the rest of it."""
        best = self.plan(env, memory, state, key)
        return best[0], jnp.concatenate([best[1:], self.begin(env)[-1:]])

    def plan(self, env: Any, guess: jax.Array, state: Any, key: Key) -> jax.Array:
        """(actions, action_size) the best sequence of all rounds, the guess included."""

        def narrow(carry: Any, key: Key) -> tuple[Any, None]:
            best, mean, deviation = carry
            noise = jax.random.normal(key, (self.samples, *mean.shape))
            drawn = jnp.clip(mean + deviation * noise, -1.0, 1.0)
            candidates = jnp.concatenate([best[None], drawn])
            worth = jax.vmap(lambda actions: self.worth(env, state, actions))(candidates)
            chosen = candidates[jax.lax.top_k(worth, self.elites)[1]]
            return (chosen[0], chosen.mean(axis=0), chosen.std(axis=0)), None

        carry = (guess, guess, jnp.full_like(guess, self.spread))
        return jax.lax.scan(narrow, carry, jax.random.split(key, self.rounds))[0][0]

    def worth(self, env: Any, state: Any, actions: jax.Array) -> jax.Array:
        """What a sequence (actions, action_size) earns from a state until the episode ends."""

        def step(carry: Any, action: jax.Array) -> tuple[Any, jax.Array]:
            state, ended = carry
            state, ended, reward = earn(env, state, ended, action)
            return (state, ended), reward

        steps = jnp.repeat(actions, self.hold, axis=0)
        total = jax.lax.scan(step, (state, jnp.zeros(())), steps)[1].sum()
        return jnp.where(jnp.isfinite(total), total, -jnp.inf)
