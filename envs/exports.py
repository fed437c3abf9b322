"""Our tasks in the registries of Brax and, where it is installed, Gymnasium. Importing `envs` registers them."""

import functools
import importlib.util

import brax.envs

from envs.registry import TASKS, make

NAMESPACE = "maxent_jax"


def register_in_brax() -> None:
    """Every task as `maxent_jax/NAME`; also as `NAME` where Brax has no task of that name."""
    for name in TASKS:
        maker = functools.partial(make, name)
        brax.envs.register_environment(f"{NAMESPACE}/{name}", maker)  # pyright: ignore[reportArgumentType] - not a class
        if name not in brax.envs._envs:
            brax.envs.register_environment(name, maker)  # pyright: ignore[reportArgumentType]


def register_in_gymnasium() -> None:
    """Every task as `maxent_jax/CLASS-v0`, alone and, for `make_vec`, under `vmap`; nothing where it is missing."""
    if importlib.util.find_spec("gymnasium") is None:
        return
    import gymnasium

    for name, task in TASKS.items():
        gymnasium.register(
            f"{NAMESPACE}/{task.__name__}-v0",
            entry_point="envs.gymnasium_env:TaskEnv",
            vector_entry_point="envs.gymnasium_env:TaskVectorEnv",
            kwargs={"task": name},
        )
