"""A family of tasks in which maximum entropy is misled above a temperature that one chooses."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key, Task
from envs.board import scene
from envs.fields import InvalidSetting, setting

DOOR, NARROW, BROAD, END = range(4)


class Place(flax.struct.PyTreeNode):
    """At which door or in which room one stands, and how many links of the chain are behind."""

    place: jax.Array
    link: jax.Array


class BanditChain(Task):
    """A chain of choices between a room where few actions are good and one where all are mediocre.

    At a door the first number of the action chooses: the narrow room if it is <= 0, else the broad one; that takes no
    time (`duration` 0). In the narrow room an action all of whose numbers are within `half_width` of 0 earns
    `reward_hit`, any other `reward_miss`; in the broad room every action earns `reward_safe`. Then comes the next door;
    the episode ends after `links` of them. Acting best earns links * reward_hit.

    `half_width` is such that the exact soft values of both rooms are equal at the temperature `crossing`: with
    F = half_width^size the share of the actions that hit, both are

        crossing log(F exp(reward_hit / crossing) + (1 - F) exp(reward_miss / crossing)) = reward_safe

    plus crossing log(2^size). Below it the soft-optimal policy prefers the narrow room, above it the broad one. A
    policy of one bump turns earlier: see `maxent_jax.theory.tanh_normal`.

    The observation is the place, one-hot (door, narrow room, broad room; all 0 at the end), and the link, one-hot.

    Source: ours; Section 4 of arXiv 2506.05615 for more dimensions, at a temperature of one's choice.
    """

    size: int = setting(1, "numbers in an action", low=1, high=1000, static=True)
    links: int = setting(1, "doors in a row: the critical states", low=1, high=1000, static=True)
    crossing: float = setting(1.0, "temperature above which the exact soft policy prefers the broad room", above=0)
    reward_hit: float = setting(1.0, "reward in the narrow room for a good action")
    reward_miss: float = setting(-4.0, "reward in the narrow room for any other")
    reward_safe: float = setting(-1.0, "reward in the broad room")

    def validate(self) -> None:
        """The rewards must be ordered, or no width makes the rooms equal."""
        hit, miss, safe = (np.asarray(x) for x in (self.reward_hit, self.reward_miss, self.reward_safe))
        if not np.all((miss < safe) & (safe < hit)):
            raise InvalidSetting(
                f"env.reward_safe = {_show(safe)}: must be between reward_miss, which is {_show(miss)}, "
                f"and reward_hit, which is {_show(hit)}"
            )
        if not np.all(np.asarray(self.half_width) > 0):
            raise InvalidSetting(
                f"env.crossing = {_show(self.crossing)}: leaves no good action; "
                "must be nearer to the differences of the rewards"
            )

    @property
    def hit_share(self) -> Any:
        """Share of the actions that are good in the narrow room."""
        missed = jnp.exp((self.reward_miss - self.reward_hit) / self.crossing)
        return (jnp.exp((self.reward_safe - self.reward_hit) / self.crossing) - missed) / (1 - missed)

    @property
    def half_width(self) -> Any:
        """How far each number of a good action may be from 0."""
        return self.hit_share ** (1 / self.size)

    @property
    def observes(self) -> tuple[str, ...]:
        """Place and link, one-hot."""
        places = ("the door", "the narrow room", "the broad room")
        return (*(f"1 at {name}" for name in places), *(f"1 at link {link}" for link in range(self.links)))

    @property
    def acts(self) -> tuple[str, ...]:
        """Numbers in [-1, 1]; the first one chooses at the door."""
        return tuple(f"number {i}" for i in range(self.size))

    @property
    def mjcf(self) -> str:
        """A board: a row a link, its door in grey, its narrow room in blue, its broad one in orange; the end above."""
        colours = ("0.6 0.6 0.6", "0.3 0.6 0.9", "0.9 0.6 0.3")
        return scene(
            (
                (x, y + 2.0 * link - self.links, colour)
                for link in range(self.links)
                for (x, y), colour in zip(PLACES, colours, strict=True)
            ),
            depth=2.0 * (self.links - 1),
        )

    def qpos(self, physics: Place) -> jax.Array:
        """(2,) where the piece stands."""
        return (
            jnp.array((*PLACES, PLACES[DOOR]))[physics.place]
            + jnp.array([0.0, 2.0]) * physics.link
            - jnp.array([0.0, self.links])
        )

    def start(self, key: Key) -> Place:
        """Before the first door."""
        del key
        return Place(jnp.asarray(DOOR, jnp.int32), jnp.zeros((), jnp.int32))

    def duration(self, physics: Place) -> jax.Array:
        """A door takes no time."""
        return (physics.place != DOOR).astype(jnp.int32)

    def advance(self, physics: Place, action: jax.Array) -> tuple[Place, jax.Array, jax.Array]:
        """Through a door, or out of a room; the end stays as it is and earns nothing."""
        here, link = physics.place, physics.link
        hit = jnp.all(jnp.abs(action) < self.half_width)
        earned = (jnp.where(hit, self.reward_hit, self.reward_miss), self.reward_safe)
        reward = jnp.select([here == NARROW, here == BROAD], earned, 0.0)
        leaves = (here == NARROW) | (here == BROAD)
        last = leaves & (link + 1 >= self.links)
        room = jnp.where(action[0] <= 0, NARROW, BROAD)
        there = jnp.select([here == DOOR, last | (here == END)], [room, jnp.full_like(room, END)], DOOR)
        place = Place(there.astype(jnp.int32), link + leaves.astype(jnp.int32))
        return place, reward, there == END

    def observe(self, physics: Place) -> jax.Array:
        """Two one-hot vectors; beyond the last link both are 0."""
        place = jax.nn.one_hot(jnp.where(physics.place == END, -1, physics.place), 3)
        return jnp.concatenate([place, jax.nn.one_hot(physics.link, self.links)])


PLACES = ((0.0, 0.0), (-1.0, 1.0), (1.0, 1.0))
"""Where door and rooms of the first link are drawn."""


def _show(number: Any) -> str:
    return ", ".join(f"{x:g}" for x in np.atleast_1d(np.asarray(number)))
