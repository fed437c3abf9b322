"""The contract of a task: Brax's `Env` and `State`, Gymnasium's words for ends, and what training adds.

A *bare* task never resets itself and knows no time limit, so that Brax's wrappers, films and planners work on it. All
that its dynamics, reward and observation need lives in `pipeline_state`; its `info` holds

* `terminated`: 1. where the step ended the episode for good, else 0.
* `duration`: how many control steps of time the step took (1 almost always; 0 for a pending half-step).

`for_training` adds the time limit and the auto-reset that the trainer relies on.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from envs.fields import setting

Key = jax.Array


class EnvSpec(flax.struct.PyTreeNode):
    """What an agent must know of a task before its first step.

    Attributes:
      observation_size: length of the observation vector.
      action_size: length of the action vector.
      action_low: (action_size,) lower bounds in the task's own units; the agent's -1.
      action_high: (action_size,) upper bounds in the task's own units; the agent's +1.
      horizon: control steps until the time limit.
    """

    observation_size: int = flax.struct.field(pytree_node=False)
    action_size: int = flax.struct.field(pytree_node=False)
    action_low: Any
    action_high: Any
    horizon: Any


class Task(flax.struct.PyTreeNode, Env):
    """Base class of our tasks: a frozen dataclass whose numbers are pytree leaves.

    Subclasses define `reset(key) -> State`, `step(state, action) -> State` (single, unbatched; actions in [-1, 1]),
    `observation_size`, `action_size`, and declare their fields with `envs.fields.setting`.
    """

    horizon: int = setting(1000, "control steps until the time limit", low=1)
    timeout_is_termination: bool = setting(False, "treat the time limit as a termination: no bootstrap there")

    @property
    def action_low(self) -> Any:
        """(action_size,) lower bounds of the action in the task's own units."""
        return -jnp.ones(self.action_size)

    @property
    def action_high(self) -> Any:
        """(action_size,) upper bounds of the action in the task's own units."""
        return jnp.ones(self.action_size)

    @property
    def backend(self) -> str:
        """The physics behind the task, as Brax asks it."""
        return "jax"

    @property
    def spec(self) -> EnvSpec:
        """What `agent.init(key, spec)` gets."""
        return EnvSpec(
            self.observation_size,  # pyright: ignore[reportArgumentType] - ours are plain vectors
            self.action_size,
            self.action_low,
            self.action_high,
            self.horizon,
        )


def initial_state(pipeline_state: Any, obs: jax.Array) -> State:
    """The `State` a bare task's `reset` returns: nothing earned, nothing ended."""
    zero = jnp.zeros((), obs.dtype)
    return State(pipeline_state, obs, zero, zero, {}, {"terminated": zero, "duration": jnp.ones((), jnp.int32)})


def next_state(state: State, pipeline_state: Any, obs: jax.Array, reward: jax.Array, terminated: jax.Array) -> State:
    """The `State` a bare task's `step` returns; other entries of `info` and `metrics` (a wrapper's) are kept."""
    ended = terminated.astype(obs.dtype)
    info = state.info | {"terminated": ended, "duration": jnp.ones((), jnp.int32)}
    return dataclasses.replace(
        state, pipeline_state=pipeline_state, obs=obs, reward=reward.astype(obs.dtype), done=ended, info=info
    )


class Training(flax.struct.PyTreeNode, Env):
    """A bare task with its time limit and auto-reset; made by `for_training`.

    `step` returns, where an episode ended, the first state of the next one; `info` says how it ended:

    * `terminated`: 1. at a termination (also at a time-out where `env.timeout_is_termination`): no bootstrap.
    * `truncation`: 1. where the time limit alone ended the episode: bootstrap on `final_obs`.
    * `final_obs`: the observation that the step led to, before any reset.
    * `steps`: control steps since the episode began.
    * `key`: the source of the next episodes' random states.
    """

    env: Any

    def reset(self, rng: Key) -> State:
        """A fresh episode; `rng` also feeds all later ones."""
        key, reset_key = jax.random.split(rng)
        return self._begin(self.env.reset(reset_key), key)

    def step(self, state: State, action: jax.Array) -> State:
        """One control step, then a fresh random state where the episode ended."""
        state = self.env.step(state, action)
        steps = state.info["steps"] + state.info["duration"]
        out_of_time = (steps >= self.env.horizon).astype(state.done.dtype)
        terminated = jnp.where(
            self.env.timeout_is_termination,
            jnp.maximum(state.info["terminated"], out_of_time),
            state.info["terminated"],
        )
        done = jnp.maximum(terminated, out_of_time)
        ends = {"terminated": terminated, "truncation": done - terminated, "final_obs": state.obs, "steps": steps}
        state = dataclasses.replace(state, done=done, info=state.info | ends)

        key, reset_key = jax.random.split(state.info["key"])
        fresh = self.env.reset(reset_key)
        begin = lambda new, old: jnp.where(done.astype(bool), new, old)  # noqa: E731
        return dataclasses.replace(
            state,
            pipeline_state=jax.tree.map(begin, fresh.pipeline_state, state.pipeline_state),
            obs=begin(fresh.obs, state.obs),
            info=state.info | {"key": key, "steps": begin(jnp.zeros_like(steps), steps)},
        )

    def _begin(self, state: State, key: Key) -> State:
        zero = jnp.zeros_like(state.done)
        extra = {"truncation": zero, "final_obs": state.obs, "steps": jnp.zeros((), jnp.int32), "key": key}
        return dataclasses.replace(state, info=state.info | extra)

    @property
    def observation_size(self) -> Any:
        """As the bare task's."""
        return self.env.observation_size

    @property
    def action_size(self) -> int:
        """As the bare task's."""
        return self.env.action_size

    @property
    def backend(self) -> str:
        """As the bare task's."""
        return self.env.backend


def for_training(env: Any) -> Training:
    """Add the time limit and the auto-reset from fresh random states.

    Args:
      env: a bare task.

    Returns:
      An `Env` whose `step` never leaves the caller with an ended episode; see `Training`.
    """
    return Training(env)
