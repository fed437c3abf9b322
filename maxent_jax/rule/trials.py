"""What each landscape would choose in the states that a policy visits, and what that choice truly earns there.

Four steps, each a compiled function of a `Subject` and a bare task: `visit` rolls the mean policy out and keeps the
environment's states; `similarity` compares the landscapes at each of them; `look` asks them about the same candidate
actions; `true_returns` goes back to a state, takes an action there and follows the policy from then on.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import blocks, trainer
from maxent_jax.devices import is_key
from maxent_jax.rule.subject import Subject

FINE = 201
"""Grid points of a single dimension."""
COARSE = 41
"""Grid points of each of two dimensions."""
AT_ONCE = 16_384
"""Most candidate actions that a critic is asked about at once on a CPU, in all states together."""


@dataclasses.dataclass(frozen=True)
class Visits:
    """States in which a policy's mean action was taken, from several episodes, in the order of time.

    Attributes:
      state: the environment's (n, ...) states as they were, with all that goes on from there.
      time: (n,) control steps that were gone.
      episode: (n,) which episode.
      returns: (episodes,) returns of the whole episodes, undiscounted.
      lengths: (episodes,) their steps.
    """

    state: Any
    time: np.ndarray
    episode: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray

    @property
    def obs(self) -> np.ndarray:
        """(n, o) what the policy saw."""
        return self.state.obs

    def take(self, rows: Any) -> "Visits":
        """Some of the states."""
        state = jax.tree.map(lambda x: x[np.asarray(rows)], self.state)
        return dataclasses.replace(self, state=state, time=self.time[rows], episode=self.episode[rows])

    @property
    def worst_start(self) -> int:
        """The first state of the episode with the lowest return; one that broke down counts as the lowest."""
        returns = np.where(np.isfinite(self.returns), self.returns, -np.inf)
        begins = np.flatnonzero(self.time == 0)
        return int(begins[np.argmin(returns[self.episode[begins]])])

    def evenly(self, most: int) -> np.ndarray:
        """At most so many of the states, as rows: evenly spread over each episode in turn."""
        by_episode = np.lexsort((self.time, self.episode))
        places = np.linspace(0, len(by_episode) - 1, min(most, len(by_episode)))
        return np.sort(by_episode[places.round().astype(int)])


def visit(subject: Subject, env: Any, key: jax.Array, episodes: int) -> Visits:
    """Roll the mean policy out in the bare task until every episode has ended or its time is up.

    Args:
      subject: whose policy.
      env: the bare task.
      key: randomness of the resets.
      episodes: how many.

    Returns:
      All states in which it acted. Where the physics breaks down an episode ends, and its return is NaN. An episode
      that is equal to an earlier one, as in a task that always starts alike, says nothing new and is left out.
    """
    carry, parts = _begin(env, key, episodes), []
    while not parts or np.any(carry[2]):  # steps that take no time make episodes longer than the horizon
        carry, seen = _walk(subject, env, carry, int(env.horizon))
        parts.append(jax.tree.map(_to_host, seen))
    state, time, reward, alive = jax.tree.map(_concatenated, *parts)
    returns, lengths = np.where(alive, reward, 0.0).sum(axis=0), alive.sum(axis=0)
    ends = np.column_stack([state.obs[0], returns, lengths])
    new = np.sort(np.unique(ends, axis=0, return_index=True)[1])
    state = jax.tree.map(lambda x: x[:, new], state)
    steps, episode = np.nonzero(alive[:, new])
    seen = jax.tree.map(lambda x: x[steps, episode], state)
    return Visits(seen, time[:, new][steps, episode], episode, returns[new], lengths[new])


def _to_host(x: jax.Array) -> Any:
    """As numpy, where rows are picked without compiling anything; typed keys stay where they are."""
    return x if is_key(x) else np.asarray(x)


def _concatenated(*x: Any) -> Any:
    return x[0] if len(x) == 1 else jnp.concatenate(x) if is_key(x[0]) else np.concatenate(x)


@functools.partial(jax.jit, static_argnames=("episodes",))
def _begin(env: Any, key: jax.Array, episodes: int) -> Any:
    state = jax.vmap(env.reset)(jax.random.split(key, episodes))
    return state, jnp.zeros(episodes, jnp.int32), jnp.ones(episodes, bool)


@functools.partial(jax.jit, static_argnames=("steps",))
def _walk(subject: Subject, env: Any, carry: Any, steps: int) -> tuple[Any, Any]:
    def one_step(carry: Any, _: None) -> tuple[Any, Any]:
        state, time, alive = carry
        action = subject.act(state.obs, jax.random.key(0), deterministic=True)
        after, later, reward, going_on = trainer.step_of_episode(env, state, action, time)
        return (after, later, alive & going_on), (state, time, reward, alive)

    return jax.lax.scan(one_step, carry, length=steps)


@dataclasses.dataclass(frozen=True)
class Views:
    """The landscapes at n states over candidate actions: draws of the policy, its mean, then a grid.

    Attributes:
      dims: the action dimensions that the grid spans, the others at the policy's mean.
      axis: (g,) the grid's values in each of them.
      samples: how many of the candidates are draws; the mean follows them.
      candidates: (n, c, a) actions.
      q: by landscape, (n, c) values.
    """

    dims: tuple[int, ...]
    axis: np.ndarray
    samples: int
    candidates: np.ndarray
    q: dict[str, np.ndarray]

    @property
    def mean(self) -> np.ndarray:
        """(n, a) the policy's mean actions."""
        return self.candidates[:, self.samples]

    def grid(self, name: str) -> np.ndarray:
        """(n, g) or (n, g, g) values of a landscape over the grid, the first dimension first."""
        values = self.q[name][:, self.samples + 1 :]
        return values.reshape(len(values), *[len(self.axis)] * len(self.dims))

    def best(self, name: str, near: bool = False) -> np.ndarray:
        """(n, a) the arg-max of a landscape over all candidates, or over the policy's draws and mean only."""
        values = self.q[name][:, : self.samples + 1] if near else self.q[name]
        return np.take_along_axis(self.candidates, np.argmax(values, axis=1)[:, None, None], axis=1)[:, 0]


def similarity(subject: Subject, obs: Any, key: jax.Array) -> np.ndarray | None:
    """How alike soft and plain are found at n states (n, o): (n,); None for a subject without both."""
    rows = _padded(len(obs))
    found = _similarity(subject, obs[rows], jax.random.split(key, len(rows)))
    return None if found is None else np.asarray(found)[: len(obs)]


@jax.jit
def _similarity(subject: Subject, obs: jax.Array, keys: jax.Array) -> jax.Array | None:
    def compared(block: tuple[jax.Array, jax.Array]) -> jax.Array | None:
        obs, keys = block
        return subject.similarity(obs, keys[0])

    return blocks.in_turn(compared, (obs, keys), blocks.few(len(obs), blocks.BLOCK))


def _padded(count: int) -> np.ndarray:
    """Rows 0 to count - 1, the last one repeated until whole blocks are full."""
    padded = count if count <= blocks.BLOCK else math.ceil(count / blocks.BLOCK) * blocks.BLOCK
    return np.minimum(np.arange(padded), count - 1)


def look(subject: Subject, obs: Any, key: jax.Array, dims: Sequence[int]) -> Views:
    """Ask the landscapes at states about the same candidate actions.

    Args:
      subject: whose policy and landscapes.
      obs: (n, o) the states.
      key: randomness of the draws.
      dims: one or two action dimensions.

    Returns:
      The views.
    """
    axis = np.linspace(-1.0, 1.0, FINE if len(dims) == 1 else COARSE, dtype=np.float32)
    grid = np.stack(np.meshgrid(*[axis] * len(dims), indexing="ij"), axis=-1).reshape(-1, len(dims))
    candidates, q = jax.tree.map(np.asarray, _look(subject, obs, key, grid, dims=tuple(dims), samples=subject.samples))
    return Views(tuple(dims), axis, subject.samples, candidates, q)


@functools.partial(jax.jit, static_argnames=("dims", "samples"))
def _look(subject: Subject, obs: jax.Array, key: jax.Array, grid: Any, *, dims: Any, samples: int) -> Any:
    keys = jax.random.split(key, len(obs))
    draws = jax.vmap(lambda obs, key: subject.act(jnp.broadcast_to(obs, (samples, len(obs))), key))(obs, keys)
    mean = subject.act(obs, jax.random.key(0), deterministic=True)[:, None]  # which needs no key
    on_grid = jnp.broadcast_to(mean, (len(obs), len(grid), mean.shape[-1])).at[..., jnp.array(dims)].set(grid)
    candidates = jnp.concatenate([draws, mean, on_grid], axis=1)

    def values(block: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        obs, action = block
        return subject.landscapes(jnp.broadcast_to(obs[:, None], (*action.shape[:2], obs.shape[-1])), action)

    q = blocks.in_turn(values, (obs, candidates), blocks.few(len(obs), AT_ONCE // candidates.shape[1]))
    return candidates, q


def true_returns(
    subject: Subject, env: Any, visits: Visits, action: np.ndarray, key: jax.Array, draws: int = 0
) -> np.ndarray:
    """What is earned by taking an action in each of n states and following the policy until the episode's end.

    Repeats differ in the policy's draws and in the noise of the task, as far as its state holds a typed key. The same
    repeat of the same state meets the same randomness whatever the action is, so that differences between actions have
    little noise.

    Args:
      subject: whose policy is followed.
      env: the bare task.
      visits: the states.
      action: (n, a) the first action in each.
      key: randomness.
      draws: how many times to follow the policy's draws; 0: its mean action, as often as `repeats_of_mean` says.

    Returns:
      (n, repeats, 2) returns: undiscounted and discounted. The time limit ends an episode; nothing is bootstrapped. NaN
      where the physics broke down.
    """
    repeats = draws or repeats_of_mean(env)
    count = len(action) * repeats
    row = _padded(count)
    rows, again = row // repeats, row % repeats
    state = jax.tree.map(lambda x: x[rows], visits.state)
    found = _true_returns(subject, env, state, visits.time[rows], action[rows], rows, again, key, mean=not draws)
    return np.asarray(found)[:count].reshape(len(action), repeats, 2)


def repeats_of_mean(env: Any) -> int:
    """How often the mean policy has to be followed: once where the task has no noise of its own, else 8 times."""
    state = jax.eval_shape(env.reset, jax.random.key(0))
    return 8 if any(is_key(leaf) for leaf in jax.tree.leaves(state)) else 1


@functools.partial(jax.jit, static_argnames=("mean",))
def _true_returns(
    subject: Subject,
    env: Any,
    state: Any,
    time: Any,
    action: Any,
    row: Any,
    again: Any,
    key: jax.Array,
    *,
    mean: bool,
) -> jax.Array:
    """(m, 2) returns from m states; `row` and `again` tell their randomness apart."""
    world_key, act_key = jax.random.split(key)
    own = jax.vmap(lambda row, again: jax.random.fold_in(jax.random.fold_in(act_key, row), again))(row, again)
    world = jax.vmap(lambda again: jax.random.fold_in(world_key, again))(again)
    state = jax.tree.map(lambda x: _renewed(x, world) if is_key(x) else x, state)

    def one_step(carry: Any) -> Any:
        state, start, time, total, alive, keys = carry
        split = jax.vmap(jax.random.split)(keys)
        action = jax.vmap(lambda obs, key: subject.act(obs, key, mean))(state.obs, split[:, 1])
        state, later, reward, going_on = trainer.step_of_episode(env, state, action, time)
        weight = jnp.stack([jnp.ones(len(time)), subject.gamma ** (time - start)], axis=-1)
        total = total + jnp.where(alive[:, None], weight * reward[:, None], 0.0)
        return state, start, later, total, alive & going_on, split[:, 0]

    def rollout(block: Any) -> jax.Array:
        state, start, action, keys = block
        state, time, reward, going_on = trainer.step_of_episode(env, state, action, start)
        total = jnp.stack([reward, reward], axis=-1)
        carry = (state, start, time, total, going_on, keys)
        return jax.lax.while_loop(lambda carry: jnp.any(carry[4]), one_step, carry)[3]

    return blocks.in_turn(rollout, (state, time, action, own), blocks.few(len(time), blocks.BLOCK))


def _renewed(keys: jax.Array, other: jax.Array) -> jax.Array:
    """(m, ...) keys, mixed with (m,) others."""
    flat = keys.reshape(len(keys), -1)
    mixed = jax.vmap(lambda own, other: jax.vmap(lambda key: jax.random.fold_in(key, jax.random.bits(other)))(own))
    return mixed(flat, other).reshape(keys.shape)
