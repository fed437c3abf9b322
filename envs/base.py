"""The contract of a task: Brax's `Env` and `State`, and Gymnasium's words for ends.

A *bare* task never resets itself and knows no time limit, so that Brax's wrappers, films and planners work on it. All
that its dynamics, reward and observation need lives in `pipeline_state`; its `info` holds

* `terminated`: 1. where the step ended the episode for good, else 0.
* `duration`: how many control steps of time the step took (1 almost always; 0 for a pending half-step).

`envs.training.for_training` adds the time limit and the auto-reset that the trainer relies on.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from envs.fields import InvalidSetting, setting, show

Key = jax.Array
Push = Callable[[jax.Array], jax.Array]


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


class World(flax.struct.PyTreeNode):
    """The `pipeline_state` of a task.

    Attributes:
      physics: the task's own state, what its `start` returns.
      steps: control steps since the reset.
      pending: (action_delay, action_size) actions on their way, oldest first.
      key: the source of the noise; None where the task has none.
    """

    physics: Any
    steps: jax.Array
    pending: jax.Array
    key: Key | None


class Task(flax.struct.PyTreeNode, Env):
    """Base class of our tasks: a frozen dataclass whose numbers are pytree leaves.

    A subclass declares its fields with `envs.fields.setting` and defines five things, all of them pure and for a single
    environment: `observes` and `acts` (what the numbers mean), `start`, `advance` and `observe`. `reset` and `step`
    are made of these and add what every task can have: noise, delay, a reward scale, the time as an observation.
    """

    horizon: int = setting(1000, "control steps until the time limit", low=1)
    timeout_is_termination: bool = setting(False, "treat the time limit as a termination: no bootstrap there")
    observe_time: bool = setting(False, "observe the share of the horizon that is gone, too", static=True)
    process_noise: float | None = setting(
        None, "standard deviation of what disturbs every velocity (or the action) before each control step", low=0
    )
    observation_noise: float | None = setting(
        None, "standard deviation of what is added to every observation, in its own unit", low=0
    )
    action_delay: int = setting(0, "control steps between an action and its effect", low=0, high=100, static=True)
    reward_scale: float = setting(1.0, "what every reward is multiplied by")

    def __init_subclass__(cls, **options: Any) -> None:
        """Store plainly what is observed in a new way: the parent's way may lose some of it."""
        says = next(parent for parent in cls.__mro__ if "store" in vars(parent))
        observing = ("observe", "_sense", "begin", "reset", "step")
        if any(getattr(cls, name) is not getattr(says, name) for name in observing):
            cls.store, cls.restore = Task.store, Task.restore
        super().__init_subclass__(**options)

    def validate(self) -> None:
        """Raise an `InvalidSetting` where fields contradict each other; a grid's fields come stacked."""

    @property
    def observes(self) -> tuple[str, ...]:
        """Name and unit of every number that `observe` returns."""
        raise NotImplementedError

    @property
    def acts(self) -> tuple[str, ...]:
        """Name and unit of every number in an action, in the task's own units."""
        raise NotImplementedError

    def start(self, key: Key) -> Any:
        """A random physical state in which an episode begins."""
        raise NotImplementedError

    def advance(self, physics: Any, action: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """One control step: from a state and an action (action_size,) in [-1, 1] to state, reward and termination."""
        raise NotImplementedError

    def observe(self, physics: Any) -> jax.Array:
        """What the agent sees of a state: (len(observes),)."""
        raise NotImplementedError

    def store(self, obs: jax.Array) -> Any:
        """An observation as replay keeps it: vectors of 32-, 16- or 8-bit numbers, from which `restore` makes it again.

        A task whose numbers are a few whole ones may keep them as such. A class with an `observe` (`reset`, `step`) of
        its own and without a `store` keeps observations as they are, whatever its parent does.
        """
        return obs

    def restore(self, stored: Any) -> jax.Array:
        """The observation of which `store` made this: the same bits, wherever either is compiled."""
        return stored

    def duration(self, physics: Any) -> jax.Array:
        """Control steps of time that a step from a state takes: 1, or 0 for a half-step on which time stands still."""
        del physics
        return jnp.ones((), jnp.int32)

    def disturb(self, physics: Any, action: jax.Array, push: Push) -> tuple[Any, jax.Array]:
        """Apply `process_noise`: `push(x)` is x with noise. Here to the action; to velocities where a task has any."""
        return physics, push(action)

    @property
    def idle(self) -> jax.Array:
        """(action_size,) what acts while `action_delay` keeps the first action waiting."""
        return jnp.zeros(self.action_size)

    @property
    def observation_size(self) -> int:
        """Length of the observation."""
        return len(self.observes) + self.observe_time

    @property
    def action_size(self) -> int:
        """Length of the action."""
        return len(self.acts)

    @property
    def action_low(self) -> Any:
        """(action_size,) lower bounds of the action in the task's own units."""
        return -self.action_high

    @property
    def action_high(self) -> Any:
        """(action_size,) upper bounds of the action in the task's own units."""
        return jnp.ones(self.action_size)

    def in_units(self, action: jax.Array) -> jax.Array:
        """An action (action_size,) in [-1, 1] in the task's own units."""
        low, high = self.action_low, self.action_high
        return low + 0.5 * (action + 1.0) * (high - low)

    @property
    def backend(self) -> str:
        """The physics behind the task, as Brax asks it."""
        return "jax"

    @property
    def dt(self) -> Any:
        """Seconds of a control step, by Brax's name for it; 1 where steps have no length in time."""
        return getattr(self, "step_seconds", 1.0)

    @property
    def mjcf(self) -> str | None:
        """A MuJoCo scene in which the task can be watched, with a camera named `film`; None: it has none."""
        return None

    def qpos(self, physics: Any) -> jax.Array:
        """The joint positions of that scene in a state, as MuJoCo orders them."""
        raise NotImplementedError

    @property
    def spec(self) -> EnvSpec:
        """What `agent.init(key, spec)` gets."""
        return EnvSpec(self.observation_size, self.action_size, self.action_low, self.action_high, self.horizon)

    def reset(self, rng: Key) -> State:
        """The beginning of an episode; typed and raw keys give the same."""
        start_key, key = jax.random.split(rng) if self._noisy else (rng, None)
        return self.begin(self.start(start_key), key)

    def begin(self, physics: Any, key: Key | None = None) -> State:
        """The beginning of an episode in a given physical state, for planners and checks; noise needs a key."""
        pending = jnp.broadcast_to(self.idle, (self.action_delay, self.action_size)).astype(jnp.float32)
        world, obs = self._sense(World(physics, jnp.zeros((), jnp.int32), pending, key if self._noisy else None))
        return initial_state(world, obs)

    @property
    def _noisy(self) -> bool:
        return self.process_noise is not None or self.observation_noise is not None

    def step(self, state: State, action: jax.Array) -> State:
        """One control step. Actions beyond [-1, 1] are clipped.

        Raises:
          InvalidSetting: (a ValueError) the action has another shape, or, outside compiled code, is not finite.
        """
        world: World = state.pipeline_state  # pyright: ignore[reportAssignmentType] - Brax names its own type
        action = jnp.asarray(check_action(action, (self.action_size,)), jnp.float32)
        pending = jnp.concatenate([world.pending, action[None]])
        physics, action = world.physics, pending[0]
        duration = self.duration(physics)
        if self.process_noise is not None:
            key, noise_key = jax.random.split(_present(world.key))
            world = world.replace(key=key)
            physics, action = self.disturb(physics, action, _push(noise_key, self.process_noise))
        physics, reward, terminated = self.advance(physics, jnp.clip(action, -1.0, 1.0))
        world = world.replace(physics=physics, steps=world.steps + duration, pending=pending[1:])
        world, obs = self._sense(world)
        return next_state(state, world, obs, self.reward_scale * reward, terminated, duration)

    def _sense(self, world: World) -> tuple[World, jax.Array]:
        """The observation with the time and the noise; and the world, whose key may have been used."""
        obs = self.observe(world.physics)
        if self.observation_noise is not None:
            key, noise_key = jax.random.split(_present(world.key))
            world, obs = world.replace(key=key), _push(noise_key, self.observation_noise)(obs)
        if self.observe_time:
            obs = jnp.append(obs, world.steps / jnp.asarray(self.horizon, jnp.float32))
        return world, obs


def check_action(action: Any, shape: tuple[int, ...]) -> Any:
    """The action as it is.

    Raises:
      InvalidSetting: (a ValueError) it has another shape or, outside compiled code, is not finite.
    """
    if jnp.shape(action) != shape:
        raise InvalidSetting(f"action of shape {jnp.shape(action)}: must have shape {shape}")
    if not isinstance(action, jax.core.Tracer) and not np.all(np.isfinite(action)):
        raise InvalidSetting(f"action = {show(np.asarray(action).tolist())}: must be finite numbers")
    return action


def _present(key: Key | None) -> Key:
    assert key is not None, "a task's noise cannot be switched on after its reset"
    return key


def _push(key: Key, scale: Any) -> Push:
    """A function that adds noise; to be called once."""
    return lambda x: x + scale * jax.random.normal(key, x.shape)


def initial_state(pipeline_state: Any, obs: jax.Array) -> State:
    """The `State` a bare task's `reset` returns: nothing earned, nothing ended."""
    zero = jnp.zeros((), obs.dtype)
    return State(pipeline_state, obs, zero, zero, {}, {"terminated": zero, "duration": jnp.ones((), jnp.int32)})


def next_state(
    state: State,
    pipeline_state: Any,
    obs: jax.Array,
    reward: jax.Array,
    terminated: jax.Array,
    duration: jax.Array | int = 1,
) -> State:
    """The `State` a bare task's `step` returns; other entries of `info` and `metrics` (a wrapper's) are kept."""
    ended = terminated.astype(obs.dtype)
    info = state.info | {"terminated": ended, "duration": jnp.asarray(duration, jnp.int32)}
    return dataclasses.replace(
        state, pipeline_state=pipeline_state, obs=obs, reward=reward.astype(obs.dtype), done=ended, info=info
    )
