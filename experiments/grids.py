"""Tasks that are small enough for exact solutions, each with its grid. A new one is one function and one line."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs import fields
from envs.bandit_chain import END, BanditChain, Place
from envs.pendulum import Pendulum, PendulumState
from envs.toy import Toy
from maxent_jax.theory import Axis, Discretised, discretise

CELLS = 21
"""Cells of an action: with 41 x 41 states the transition has half a gigabyte."""
BINS = (3, 41)
"""Fewest and most grid points a coordinate."""


def toy(env: Toy, bins: int, gamma: float) -> Discretised:
    """The six states, and the four cells between which the task jumps: nothing is lost, and `bins` has no meaning."""
    del bins
    edge = float(env.half_width)
    edges = np.unique([-1.0, -edge, 0.0, edge, 1.0])
    return discretise(env, [Axis(np.arange(6.0))], lambda x: x[0].astype(jnp.int32), [edges], gamma)


def bandit_chain(env: BanditChain, bins: int, gamma: float) -> Discretised:
    """Door, narrow and broad room of every link, and the end; an action hits or not, and its first number has a sign.

    These four cells are all that the task distinguishes, whatever the size of its actions.
    """
    del bins
    edge, end = float(env.half_width), 3 * env.links
    hit = np.array([False, True, True, False])
    first = np.array([-1.0, -1.0, 1.0, 1.0]) * np.where(hit, edge / 2, (1 + edge) / 2)
    actions = np.zeros((4, env.size))
    actions[:, 0] = first
    volumes = 2.0 ** (env.size - 1) * np.where(hit, edge**env.size, 1 - edge**env.size)

    def set_state(x: jax.Array) -> Place:
        number = x[0].astype(jnp.int32)
        return Place(jnp.where(number == end, END, number % 3), number // 3)

    def get_state(physics: Place) -> jax.Array:
        return jnp.where(physics.place == END, end, 3 * physics.link + physics.place)[None]

    return discretise(env, [Axis(np.arange(end + 1.0))], set_state, actions, gamma, get_state, volumes)


def pendulum(env: Pendulum, bins: int, gamma: float) -> Discretised:
    """`bins` angles around the circle, upright among them, and as many angular velocities up to the largest."""
    angles = 2 * np.pi * (np.arange(bins) - bins // 2) / bins
    speed = float(env.max_speed)
    axes = [Axis(angles, 2 * np.pi), Axis(np.linspace(-speed, speed, bins))]

    def set_state(x: jax.Array) -> PendulumState:
        return PendulumState(theta=x[0], speed=x[1])

    return discretise(env, axes, set_state, [np.linspace(-1, 1, CELLS + 1)], gamma)


GRIDS: dict[str, Callable[[Any, int, float], Discretised]] = {
    "toy": toy,
    "bandit_chain": bandit_chain,
    "pendulum": pendulum,
}


def _link(number: int, last: int) -> str:
    if number == last:
        return "end"
    return ("door", "narrow", "broad")[number % 3] + (f" {number // 3 + 1}" if last > 3 else "")


NAMES: dict[str, Callable[[int, int], str]] = {
    "toy": lambda number, _: ("start", "good", "bad", "hit", "missed", "safe")[number],
    "bandit_chain": _link,
}
"""What a state is called, where they have names: from its number and that of the last one."""
COORDINATES = {"pendulum": ("angle from upright, rad", "angular velocity, rad/s")}
"""What the two coordinates of a grid are."""


def state_name(task: str, at: Discretised, state: int) -> str:
    """A state's name, or its coordinates."""
    if task in NAMES:
        return NAMES[task](state, len(at.states) - 1)
    return ", ".join(f"{x:.2f}" for x in at.states[state])


def model(task: str, env: Any, bins: int, gamma: float) -> Discretised:
    """A task as a finite model.

    Args:
      task: one of `GRIDS`.
      env: the bare task.
      bins: grid points a coordinate, in `BINS`.
      gamma: discount of a control step.

    Raises:
      InvalidSetting: (a ValueError) no such task.
    """
    if task not in GRIDS:
        raise fields.unknown(f"grid of TASK {task!r}", task, GRIDS)
    return GRIDS[task](env, bins, gamma)
