"""The toy problem on which maximum entropy misleads (the paper's Section 4): six states, one action, two steps."""

import jax
import jax.numpy as jnp

from envs.base import Key, Task
from envs.board import scene
from envs.fields import setting

START, GOOD, BAD, HIT, MISSED, SAFE = range(6)
PLACES = ((0.0, -1.0), (-1.0, 0.0), (1.0, 0.0), (-1.5, 1.0), (-0.5, 1.0), (1.0, 1.0))
"""Where the states are drawn, by number."""


class Toy(Task):
    """A narrow optimum behind one door, a broad mediocre state behind the other.

    The observation is the state, one-hot (6). From the start, an action <= 0 leads to the good state, a positive one to
    the bad state. At the good state a narrow band of actions earns `reward_hit`, everything else `reward_miss`; at the
    bad state every action earns `reward_safe`. Every episode has exactly two steps.

    Source: Section 4 of arXiv 2506.05615.
    """

    horizon: int = setting(2, "control steps until the time limit", low=1)
    half_width: float = setting(0.1, "half-width of the band of good actions around 0", low=0, high=1)
    reward_hit: float = setting(1.0, "reward inside the band")
    reward_miss: float = setting(-20.0, "reward outside the band")
    reward_safe: float = setting(-1.0, "reward at the bad state")

    @property
    def observes(self) -> tuple[str, ...]:
        """The state, one-hot."""
        return tuple(f"1 at the {name} state" for name in ("start", "good", "bad", "hit", "missed", "safe"))

    @property
    def acts(self) -> tuple[str, ...]:
        """One number in [-1, 1]."""
        return ("action",)

    @property
    def mjcf(self) -> str:
        """A board with a field per state and a piece that stands on one."""
        colours = ("0.6 0.6 0.6", "0.3 0.6 0.9", "0.9 0.6 0.3", "0.2 0.7 0.3", "0.8 0.2 0.2", "0.9 0.8 0.3")
        return scene((x, y, colour) for (x, y), colour in zip(PLACES, colours, strict=True))

    def qpos(self, physics: jax.Array) -> jax.Array:
        """(2,) where the piece stands."""
        return jnp.array(PLACES)[physics]

    def start(self, key: Key) -> jax.Array:
        """Always the start state."""
        del key
        return jnp.asarray(START, jnp.int32)

    def advance(self, physics: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Move; ended states stay where they are and earn nothing."""
        here, a = physics, action[0]
        hit = jnp.abs(a) < self.half_width
        at = [here == START, here == GOOD, here == BAD]
        there = jnp.select(
            at, [jnp.where(a <= 0, GOOD, BAD), jnp.where(hit, HIT, MISSED), jnp.full((), SAFE)], here
        ).astype(jnp.int32)
        reward = jnp.select(
            at, [jnp.zeros(()), jnp.where(hit, self.reward_hit, self.reward_miss), self.reward_safe], jnp.zeros(())
        )
        return there, reward, there >= HIT

    def observe(self, physics: jax.Array) -> jax.Array:
        """One-hot."""
        return jax.nn.one_hot(physics, 6, dtype=jnp.float32)
