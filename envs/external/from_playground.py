"""MuJoCo Playground's tasks, which have Brax's interface with a state of their own."""

import functools
import subprocess
from typing import Any

from envs import fields
from envs.base import Task
from envs.external.base import Library, make_class
from envs.external.from_brax import Stepped, facts
from envs.fields import InvalidSetting

LIBRARY = Library("playground", "mujoco_playground", low="0.2.0", below="0.3")


@functools.cache
def task(full_name: str) -> type[Task]:
    """The class of `playground:NAME`.

    Raises:
      InvalidSetting: the library is missing, or the task is unknown, cannot be loaded or observes a dictionary.
    """
    registry = LIBRARY.load(full_name).registry
    name = full_name.partition(":")[2]
    if name not in registry.ALL_ENVS:
        raise fields.unknown(f"env {full_name!r}", full_name, [f"playground:{known}" for known in registry.ALL_ENVS])
    config = registry.get_default_config(name)
    env = _load(registry, full_name, {"impl": "jax"} if "impl" in config else None)  # its default needs a CUDA device
    return make_class(
        Stepped,
        full_name,
        int(config.episode_length),
        **facts(full_name, env, f"MuJoCo Playground {LIBRARY.version}"),
        inner=env,
        backend="mjx",
    )


def _load(registry: Any, full_name: str, overrides: Any) -> Any:
    try:
        return registry.load(full_name.partition(":")[2], config_overrides=overrides)
    except (OSError, subprocess.CalledProcessError) as error:  # robots are downloaded when they are first asked for
        reason = " ".join(str(error).split())
        raise InvalidSetting(f"env {full_name!r}: its models cannot be loaded ({reason})") from None
