"""Policies that nobody trained. What they do is known, so that a return beside theirs means something."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controller:
    """Chooses actions from the whole state of a bare task, its physics included.

    Its fields are fixed when a program is compiled. One that remembers nothing defines `act` alone.

    Attributes:
      hold: control steps for which a chosen action is held.
    """

    hold: int = 1

    def prepare(self, env: Any) -> "Controller":
        """The controller after whatever it must find out on a task, before its first episode."""
        del env
        return self

    def begin(self, env: Any) -> Any:
        """What is remembered when an episode begins."""
        del env

    def act(self, env: Any, memory: Any, state: Any, key: Key) -> tuple[jax.Array, Any]:
        """The action (action_size,) in [-1, 1] of the next `hold` steps, and what to remember."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Controller):
    """One action always.

    Attributes:
      action: one number for all of it, or one for each part.
    """

    action: float | tuple[float, ...] = 0.0

    def act(self, env: Any, memory: Any, state: Any, key: Key) -> tuple[jax.Array, Any]:
        """The constant."""
        del state, key
        return jnp.broadcast_to(jnp.asarray(self.action, jnp.float32), env.action_size), memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Idle(Controller):
    """What the task itself does while an action is delayed, for instance hover."""

    def act(self, env: Any, memory: Any, state: Any, key: Key) -> tuple[jax.Array, Any]:
        """The task's `idle`."""
        del state, key
        return jnp.asarray(env.idle, jnp.float32), memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Random(Controller):
    """Uniform draws."""

    def act(self, env: Any, memory: Any, state: Any, key: Key) -> tuple[jax.Array, Any]:
        """A draw."""
        del state
        return jax.random.uniform(key, (env.action_size,), minval=-1.0, maxval=1.0), memory


def counts(env: Any, state: Any, ended: jax.Array) -> jax.Array:
    """Whether a step from a state belongs to the episode: it has not ended, and there is time left."""
    return (ended == 0) & (state.pipeline_state.steps < env.horizon)


def earn(env: Any, state: Any, ended: jax.Array, action: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
    """One control step of an episode that may have ended: the next state, whether it has ended now, what it earned."""
    counted = counts(env, state, ended)
    state = env.step(state, action)
    return state, jnp.maximum(ended, state.done), jnp.where(counted, state.reward, 0.0)


def episode(controller: Controller, env: Any, key: Key) -> jax.Array:
    """The return of one episode of a bare task, to its end or the time limit.

    Args:
      controller: who acts.
      env: the bare task.
      key: of the reset and of all that the controller draws.

    Returns:
      The sum of its rewards.
    """
    reset_key, act_key = jax.random.split(key)

    def decide(carry: Any) -> Any:
        state, memory, ended, total, key = carry
        key, draw = jax.random.split(key)
        action, memory = controller.act(env, memory, state, draw)

        def step(_: jax.Array, carry: Any) -> Any:
            state, ended, total = carry
            state, ended, reward = earn(env, state, ended, action)
            return state, ended, total + reward

        state, ended, total = jax.lax.fori_loop(0, controller.hold, step, (state, ended, total))
        return state, memory, ended, total, key

    zero = jnp.zeros(())
    carry = (env.reset(reset_key), controller.begin(env), zero, zero, act_key)
    return jax.lax.while_loop(lambda carry: counts(env, carry[0], carry[2]), decide, carry)[3]


def returns(controller: Controller, env: Any, seeds: Iterable[int]) -> np.ndarray:
    """Returns of many episodes, side by side in one program.

    Args:
      controller: who acts.
      env: the bare task.
      seeds: (episodes,) whole numbers; episode i begins from `jax.random.key(seeds[i])`, whoever acts.

    Returns:
      (episodes,) returns.
    """
    return np.asarray(_returns(controller, env, jnp.asarray(list(seeds), jnp.uint32)))


@functools.partial(jax.jit, static_argnums=0)
def _returns(controller: Controller, env: Any, seeds: jax.Array) -> jax.Array:
    return jax.vmap(lambda seed: episode(controller, env, jax.random.key(seed)))(seeds)
