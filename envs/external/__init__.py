"""Tasks of other libraries by name: `brax:hopper`, `gymnax:Pendulum-v1`, `playground:CartpoleBalance`."""

from typing import Any

from brax.envs.base import Env

from envs import fields
from envs.base import Task
from envs.external import from_brax, from_gymnax, from_playground
from envs.fields import InvalidSetting

LIBRARIES = {"brax": from_brax.task, "gymnax": from_gymnax.task, "playground": from_playground.task}
FORMS = tuple(f"{library}:NAME" for library in LIBRARIES)


def task(name: str) -> type[Task]:
    """The class of `LIBRARY:NAME`.

    Raises:
      InvalidSetting: an unknown library or task, a library that is missing, or a task with discrete actions, without
        action bounds or with observations that are no vector; one line says which.
    """
    library = name.partition(":")[0]
    if library not in LIBRARIES:
        raise fields.unknown(f"env {name!r}", name, FORMS)
    return LIBRARIES[library](name)


def as_task(env: Any) -> Task:
    """A task as it is, and an object with Brax's interface as a task.

    Raises:
      InvalidSetting: it is neither, or an object that is not bare or does not observe a vector.
    """
    if isinstance(env, Task):
        return env
    if isinstance(env, Env):
        return from_brax.wrap(env)
    raise InvalidSetting(f"env = {fields.show(env)}: must be a task's name, an envs.Task or a Brax Env")
