"""Tasks as pure functions: `make(name, **fields)`, `names()`, `spec(name)`, `for_training(env)`."""

from envs.base import EnvSpec, State, Task, for_training
from envs.registry import make, names, spec, task

__all__ = ["EnvSpec", "State", "Task", "for_training", "make", "names", "spec", "task"]
