"""Our tasks as Gymnasium environments: one at a time, or many under `vmap`. Needs the optional package gymnasium."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.base import Task, check_action
from envs.fields import InvalidSetting
from envs.registry import make
from envs.training import Training, for_training

# The task is an argument of the compiled programs: all environments of a kind share them, whatever their fields.
_begin = jax.jit(lambda env, key: env.reset(key))
_step_once = jax.jit(lambda env, state, action: env.step_to_end(state, action))
_begin_many = jax.jit(lambda env, keys: jax.vmap(env.reset)(keys))
_step_many = jax.jit(lambda env, state, action: jax.vmap(env.step)(state, action))


class TaskEnv(gymnasium.Env):
    """A task as a `gymnasium.Env`.

    Actions are in [-1, 1]; beyond it they are clipped. The time limit is the task's field `horizon`; where it has
    `timeout_is_termination`, running out of time is reported as `terminated`, else as `truncated`. So is a state that
    is not finite; the observation and reward are then those of a step that led nowhere.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, task: str | Task, render_mode: str | None = None, **fields: Any):
        """Make an environment.

        Args:
          task: its name, or a bare task.
          render_mode: what callers may ask for out of habit; there is none.
          **fields: of a task that is given by name.
        """
        del render_mode  # Gymnasium warns of it
        self._env = _training(task, fields)
        self._state: Any = None
        self.observation_space, self.action_space = _spaces(self._env.env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        self._state = _begin(self._env, _key(self.np_random))
        return np.array(self._state.obs), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One control step.

        Raises:
          InvalidSetting: (a ValueError) the action has another shape or is not finite.
        """
        self._state = state = _step_once(self._env, self._state, _check(action, self.action_space))
        ends = bool(state.info["terminated"]), bool(state.info["truncation"])
        return np.array(state.info["final_obs"]), float(state.reward), *ends, {}


class TaskVectorEnv(VectorEnv):
    """Many of a task as a `gymnasium.vector.VectorEnv`: one compiled program steps them all.

    Environments that end begin anew within the same step; `infos["final_obs"]` then holds what the step led to.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, task: str | Task, num_envs: int = 1, **fields: Any):
        """Make the environments.

        Args:
          task: its name, or a bare task.
          num_envs: how many.
          **fields: of a task that is given by name.
        """
        self.num_envs = num_envs
        self._env = _training(task, fields)
        self._state: Any = None
        self.single_observation_space, self.single_action_space = _spaces(self._env.env)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin all episodes."""
        super().reset(seed=seed, options=options)
        self._state = _begin_many(self._env, jax.random.split(_key(self.np_random), self.num_envs))
        return np.array(self._state.obs), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of all.

        Raises:
          InvalidSetting: (a ValueError) the actions have another shape or are not finite.
        """
        self._state = state = _step_many(self._env, self._state, _check(actions, self.action_space))
        ended = np.array(state.done) > 0
        infos: dict[str, Any] = {}
        if ended.any():
            reached, final = np.array(state.info["final_obs"]), np.full(self.num_envs, None, dtype=object)
            for index in np.flatnonzero(ended):
                final[index] = reached[index]
            infos = {"final_obs": final, "_final_obs": ended, "final_info": {}, "_final_info": ended.copy()}
        ends = np.array(state.info["terminated"]) > 0, np.array(state.info["truncation"]) > 0
        return np.array(state.obs), np.array(state.reward, np.float64), *ends, infos


def _training(task: str | Task, fields: dict[str, Any]) -> Training:
    if isinstance(task, str):
        return for_training(make(task, **fields))
    if fields:
        raise InvalidSetting(f"fields {', '.join(fields)}: must be set in the task where it is not given by name")
    return for_training(task)


def _spaces(task: Task) -> tuple[Box, Box]:
    """Spaces of observations and actions. The bound of an observation is what a float32 can hold: more is unknown."""
    largest = float(np.finfo(np.float32).max)
    return Box(-largest, largest, (task.observation_size,), np.float32), Box(-1.0, 1.0, (task.action_size,), np.float32)


def _key(generator: np.random.Generator) -> jax.Array:
    return jax.random.key(generator.integers(2**32))


def _check(action: Any, space: Any) -> np.ndarray:
    return check_action(np.asarray(action, np.float32), space.shape)
