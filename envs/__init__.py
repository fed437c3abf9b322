"""Tasks as pure functions: `make(name, **fields)`, `names()`, `spec(name)`, `for_training(env)`."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):  # MJX prints that an optional backend is missing, which helps nobody
    import mujoco.mjx  # noqa: F401

from envs.base import EnvSpec, State, Task, initial_state, next_state
from envs.exports import register_in_brax, register_in_gymnasium
from envs.external import as_task
from envs.fields import InvalidSetting, setting
from envs.registry import make, names, spec, task
from envs.training import for_training

__all__ = [
    "EnvSpec",
    "InvalidSetting",
    "State",
    "Task",
    "as_task",
    "for_training",
    "initial_state",
    "make",
    "names",
    "next_state",
    "setting",
    "spec",
    "task",
]

register_in_brax()
register_in_gymnasium()
