"""A task as a finite model: states on a grid, actions in cells, next states interpolated between grid points.

The result is the exact model of another task, one that jumps to the corners around each next state with multilinear
weights. It has the task's own rewards at the grid points and its cells' volumes, but it moves less sharply: what a
step changes by less than a grid width becomes a small probability of a whole one. So refine the grid until values stay.

An end is a discount of 0; a half-step of `duration` 0 has a discount of 1. A time limit that cuts an episode off is
no part of the task for an agent that bootstraps there, and so not of the model; where it ends the episode for good,
time would be a part of the state, and the task is refused.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from envs.fields import InvalidSetting
from maxent_jax.theory.mdp import TabularMDP, as_float64

MOST_NUMBERS = 100_000_000
"""Of a dense transition: 0.8 GB."""
STARTS = 4096
"""Draws of the first state."""


class Axis(NamedTuple):
    """One coordinate of a grid.

    Attributes:
      points: (n,) increasing; what lies beyond the first or last counts as there.
      period: after which the coordinate repeats, above the width of the points; None: it does not.
    """

    points: np.ndarray
    period: float | None = None


class Discretised(NamedTuple):
    """A task as a finite model.

    Attributes:
      model: the model; states in the order of `states`, actions in that of `actions`.
      states: (S, d) coordinates of the grid points, the last one changing fastest.
      actions: (A, n) the action that stands for each cell, in [-1, 1].
      start: (S,) probabilities of the first state: draws of the task's own, interpolated.
    """

    model: TabularMDP
    states: np.ndarray
    actions: np.ndarray
    start: np.ndarray


def discretise(
    env: Any,
    states: Sequence[Axis],
    set_state: Callable[[jax.Array], Any],
    actions: Sequence[Any] | np.ndarray,
    gamma: float = 0.99,
    get_state: Callable[[Any], jax.Array] | None = None,
    volumes: Any = None,
) -> Discretised:
    """Make a finite model of a task.

    Args:
      env: a bare task without noise and delay.
      states: d axes of the grid of states.
      set_state: from coordinates (d,) to the task's physical state.
      actions: for each dimension of the action, the edges of its cells, increasing, from -1 to 1. An action is the
        middle of its cell: put edges where the task itself jumps.
      gamma: discount of a control step.
      get_state: from a physical state to its coordinates (d,); None: all its numbers, in their order.
      volumes: (A,) volumes of cells of any shape, each within which the task does one and the same; `actions` is then
        (A, n), an action of each. So a task of many dimensions may have few cells.

    Returns:
      The model, in float64. Its arithmetic is the task's own on float64 states; the task's numbers are float32.

    Raises:
      ValueError: a task that is no such model (an InvalidSetting), edges or points that are none, more than
        `MOST_NUMBERS` numbers in the transition, or a value inside `jit` or `vmap`.

    Example:
      >>> import envs, numpy as np
      >>> from maxent_jax.theory import solve_soft
      >>> places = Axis(np.arange(6.0))
      >>> toy = discretise(
      ...     envs.make("toy"), [places], lambda x: x[0].astype(int), [[-1, -0.1, 0, 0.1, 1]], gamma=1.0
      ... )
      >>> toy.model.measure[1].tolist()
      [0.9, 0.1, 0.1, 0.9]
      >>> solve_soft(toy.model, 1.0).value[1:3].round(3).tolist()  # the good state is worth less than the bad one
      [-0.609, -0.307]
    """
    axes = [_axis(axis) for axis in states]
    if not axes:
        raise ValueError("states: must have an axis")
    rate = as_float64(gamma, "gamma")
    if rate.shape != () or not 0 <= rate <= 1:
        raise ValueError(f"gamma = {rate}: must be a number in [0, 1]")
    _check_task(env)
    if volumes is None:
        edges = [_edges(each, env.action_size, len(actions)) for each in actions]
        _check_size(axes, math.prod(len(each) - 1 for each in edges))
        cells = _product((each[1:] + each[:-1]) / 2 for each in edges)
        volumes = _product(map(np.diff, edges)).prod(axis=-1)
    else:
        cells, volumes = _given_cells(actions, volumes, env.action_size)
        _check_size(axes, len(cells))
    corners = _product(axis.points for axis in axes)
    size, count = len(corners), len(cells)
    read = get_state or (lambda physics: ravel_pytree(physics)[0])
    with jax.enable_x64(True):
        ahead, reward, terminated, duration = _steps(env, set_state, read, corners, cells)
        if ahead.shape[2:] != (len(axes),):
            raise ValueError(f"states: {len(axes)} axes: must be one for each of the {ahead[0, 0].size} coordinates")
        first = jax.vmap(lambda key: read(env.start(key)))(jax.random.split(jax.random.key(0), STARTS))
        first = as_float64(first, "env").reshape(STARTS, -1)
    transition = interpolate(axes, ahead.reshape(size * count, -1)).reshape(size, count, size)
    discount = np.where(terminated > 0, 0.0, rate**duration)
    measure = np.broadcast_to(volumes, (size, count))
    start = interpolate(axes, first).mean(axis=0)
    return Discretised(TabularMDP(transition, reward, discount, measure), corners, cells, start)


def interpolate(axes: Sequence[Axis], points: np.ndarray) -> np.ndarray:
    """(N, S) multilinear weights of the grid's S points for each of N points (N, d); each row sums to 1."""
    rows = np.arange(len(points))
    index, weight = [np.zeros(len(points), int)], [np.ones(len(points))]
    for axis, x in zip(axes, points.T, strict=True):
        low, high, share = _between(axis, x)
        width = len(axis.points)
        index = [width * i + side for i in index for side in (low, high)]
        weight = [w * part for w in weight for part in (1 - share, share)]
    found = np.zeros((len(points), int(np.prod([len(axis.points) for axis in axes]))))
    for i, w in zip(index, weight, strict=True):
        found[rows, i] += w
    return found


def _between(axis: Axis, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The neighbours of x on an axis, by number, and the share (N,) of the upper one."""
    points = axis.points
    if axis.period is not None:
        x = points[0] + np.mod(x - points[0], axis.period)
        points = np.append(points, points[0] + axis.period)
    if len(points) == 1:
        zero = np.zeros(len(x), int)
        return zero, zero, np.zeros(len(x))
    low = np.clip(np.searchsorted(points, x, side="right") - 1, 0, len(points) - 2)
    share = np.clip((x - points[low]) / (points[low + 1] - points[low]), 0.0, 1.0)
    return low, (low + 1) % len(axis.points), share


def _product(parts: Iterable[np.ndarray]) -> np.ndarray:
    """All combinations of one number from each part, (N, len(parts)); the last part changes fastest."""
    return np.stack([m.ravel() for m in np.meshgrid(*parts, indexing="ij")], axis=-1)


def _steps(env: Any, set_state: Any, read: Any, corners: np.ndarray, cells: np.ndarray) -> list[np.ndarray]:
    """Next coordinates (S, A, d), rewards, terminations and durations (S, A)."""

    def step(coordinates: jax.Array, action: jax.Array) -> tuple[jax.Array, ...]:
        after = env.step(env.begin(set_state(coordinates)), action)
        ended, duration = after.info["terminated"], after.info["duration"]
        return read(after.pipeline_state.physics), after.reward, ended, duration

    each = jax.vmap(jax.vmap(step, in_axes=(None, 0)), in_axes=(0, None))
    found = jax.jit(each)(jnp.asarray(corners), jnp.asarray(cells))
    return [as_float64(x, "env") for x in found]


def _given_cells(actions: Any, volumes: Any, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    actions, volumes = as_float64(actions, "actions"), as_float64(volumes, "volumes")
    if volumes.ndim != 1 or actions.shape != (len(volumes), dimensions) or np.any(np.abs(actions) > 1):
        raise ValueError(f"actions of shape {actions.shape}: must be ({volumes.size}, {dimensions}), in [-1, 1]")
    if not np.all(volumes > 0) or not np.isclose(volumes.sum(), 2.0**dimensions, rtol=1e-6):
        raise ValueError(f"volumes: must be > 0 and sum to {2.0**dimensions:g}, that of all actions")
    return actions, volumes


def _axis(axis: Axis) -> Axis:
    points = as_float64(axis.points, "states")
    if points.ndim != 1 or not len(points) or np.any(np.diff(points) <= 0):
        raise ValueError("states: the points of an axis must increase")
    if axis.period is not None and not axis.period > points[-1] - points[0]:
        raise ValueError(f"states: period = {axis.period:g}: must be > {points[-1] - points[0]:g}, the points' width")
    return Axis(points, axis.period)


def _edges(edges: Any, dimensions: int, given: int) -> np.ndarray:
    edges = as_float64(edges, "actions")
    if given != dimensions:
        raise ValueError(f"actions: {given} lists of edges: must be {dimensions}, one for each dimension of the action")
    if edges.ndim != 1 or len(edges) < 2 or np.any(np.diff(edges) <= 0) or (edges[0], edges[-1]) != (-1, 1):
        raise ValueError("actions: edges must increase from -1 to 1")
    return edges


def _check_size(axes: Sequence[Axis], count: int) -> None:
    size = math.prod(len(axis.points) for axis in axes)
    if size * size * count > MOST_NUMBERS:
        raise ValueError(
            f"states, actions: {size} states and {count} actions make {size * size * count:.2g} numbers; "
            f"must be at most {MOST_NUMBERS:.0e}"
        )


def _check_task(env: Any) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(env)):
        raise ValueError("env: must hold numbers, not what jit or vmap traces; theory is called from plain Python")
    if env.process_noise is not None or env.observation_noise is not None:
        raise InvalidSetting("env.process_noise, env.observation_noise: must be none for an exact solution")
    if env.action_delay:
        raise InvalidSetting(f"env.action_delay = {env.action_delay}: must be 0 for an exact solution")
    if bool(env.timeout_is_termination):
        raise InvalidSetting("env.timeout_is_termination = True: must be false; time is no coordinate of the model")
