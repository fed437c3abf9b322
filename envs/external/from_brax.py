"""Tasks behind Brax's interface: those in Brax's registry, and any `Env` object from Python."""

import dataclasses
import functools
import importlib.metadata
import warnings
from typing import Any, ClassVar

import brax.envs
import jax
import jax.numpy as jnp
from brax.envs.base import Env
from brax.envs.wrappers import training as wrappers

from envs import fields
from envs.base import Key, State, Task
from envs.external.base import External, document, like, make_class, strong, vector_length
from envs.fields import InvalidSetting, setting
from envs.training import Training

BACKENDS = ("generalized", "positional", "spring", "mjx")
EPISODE_LENGTH = 1000
"""What `brax.envs.create` gives an episode."""
NOT_BARE = (
    wrappers.EpisodeWrapper,
    wrappers.AutoResetWrapper,
    wrappers.VmapWrapper,
    wrappers.DomainRandomizationVmapWrapper,
    wrappers.EvalWrapper,
    Training,
)


class Stepped(External):
    """An object with Brax's `reset` and `step`. Its whole `State` is our physical state; actions are in [-1, 1].

    Where its `info` holds `terminated` or `duration`, as our contract has it, these count; else `done` does.
    """

    inner: ClassVar[Any] = None  # the object; set by the class that is made for it

    def start(self, key: Key) -> Any:
        """What the object begins with."""
        return strong(self.inner.reset(key))

    def advance(self, physics: Any, action: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """One step of the object."""
        after = like(physics, self.inner.step(strong(physics), action))
        return after, after.reward, after.info.get("terminated", after.done) > 0

    def observe(self, physics: Any) -> jax.Array:
        """What the object observed."""
        return physics.obs.astype(jnp.float32)

    def step(self, state: State, action: jax.Array) -> State:
        """One control step, of the duration that the object says."""
        state = super().step(state, action)
        world: Any = state.pipeline_state
        duration = world.physics.info.get("duration")
        if duration is None:
            return state
        return dataclasses.replace(state, info=state.info | {"duration": duration.astype(jnp.int32)})


class Registered(Stepped):
    """A task of Brax's registry, with Brax's choice of physics as a field."""

    brax_name = ""

    @property
    def inner(self) -> Env:
        """Brax's own object."""
        return environment(self.brax_name, self.backend)


@functools.cache
def environment(name: str, backend: str) -> Any:
    """An object of Brax's registry; it has no state, so one is enough."""
    with jax.ensure_compile_time_eval(), warnings.catch_warnings():  # the first to ask may be inside a trace
        warnings.filterwarnings("ignore", "Brax System", UserWarning)  # it says that nobody maintains it
        return brax.envs.get_environment(name, backend=backend)


def names() -> list[str]:
    """The names in Brax's registry, without ours."""
    registry = brax.envs._envs
    return [name for name, maker in registry.items() if not isinstance(maker, functools.partial)]


@functools.cache
def task(full_name: str) -> type[Task]:
    """The class of `brax:NAME`."""
    _, _, name = full_name.partition(":")
    if name not in names():
        raise fields.unknown(f"env {full_name!r}", full_name, [f"brax:{known}" for known in names()])
    backend = (str, setting(BACKENDS[0], "which of Brax's physics", choices=BACKENDS))
    return make_class(
        Registered,
        full_name,
        EPISODE_LENGTH,
        {"backend": backend},
        **facts(full_name, environment(name, BACKENDS[0]), f"Brax {importlib.metadata.version('brax')}"),
        brax_name=name,
    )


def wrap(env: Env) -> Task:
    """An object with Brax's interface as a task; it must be bare.

    Raises:
      InvalidSetting: it observes a dictionary, or ends and resets episodes by itself.
    """
    name = type(env).__name__
    layer: Any = env
    while layer is not None:
        if isinstance(layer, NOT_BARE):
            what = type(layer).__name__
            raise InvalidSetting(f"env {name!r}: is wrapped in {what}; must be bare (the trainer adds what it needs)")
        layer = layer.__dict__.get("env")
    horizon = int(getattr(env, "horizon", EPISODE_LENGTH))
    cls = make_class(Stepped, name, horizon, **facts(name, env, "given from Python"), inner=env)
    return fields.build(cls, {})


def facts(name: str, env: Any, source: str) -> dict[str, Any]:
    """What `make_class` must know of an object with Brax's interface."""
    state = jax.eval_shape(env.reset, jax.random.key(0))
    return {
        "__doc__": document(type(env).__doc__ or name, source),
        "observation_count": vector_length(name, state.obs),
        "action_count": int(env.action_size),
    }
