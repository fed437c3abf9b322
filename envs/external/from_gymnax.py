"""gymnax's tasks with continuous actions; the numbers among their parameters become fields."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs import fields
from envs.base import Key, Task
from envs.external.base import External, Library, document, like, make_class, strong, vector_length
from envs.fields import InvalidSetting, setting

LIBRARY = Library("gymnax", "gymnax", low="1.0.1", below="2")
TIME_LIMIT = "max_steps_in_episode"


class GymnaxState(flax.struct.PyTreeNode):
    """The library's observation and state, and the source of its randomness."""

    obs: jax.Array
    state: Any
    key: Key


class Gymnax(External):
    """A task of gymnax. Actions in [-1, 1] are mapped to its bounds."""

    inner: ClassVar[Any] = None  # gymnax's object and its default parameters; set by the class that is made for them
    defaults: ClassVar[Any] = None
    parameters: ClassVar[tuple[str, ...]] = ()

    @property
    def params(self) -> Any:
        """The library's parameters, with our fields in their places."""
        mine = {name: getattr(self, name) for name in self.parameters}
        return self.defaults.replace(**mine, **{TIME_LIMIT: self.horizon})

    @property
    def action_low(self) -> jax.Array:
        """The library's lower bounds."""
        return self._bounds[0]

    @property
    def action_high(self) -> jax.Array:
        """The library's upper bounds."""
        return self._bounds[1]

    @property
    def _bounds(self) -> tuple[jax.Array, jax.Array]:
        space = self.inner.action_space(self.params)
        low, high = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), space.shape) for x in (space.low, space.high))
        return low.ravel(), high.ravel()

    def start(self, key: Key) -> GymnaxState:
        """The library's beginning."""
        key, reset_key = jax.random.split(key)
        obs, state = self.inner.reset_env(reset_key, self.params)
        return strong(GymnaxState(obs.astype(jnp.float32), state, key))

    def advance(self, physics: GymnaxState, action: jax.Array) -> tuple[GymnaxState, jax.Array, jax.Array]:
        """One step without gymnax's time limit and auto-reset."""
        shape = self.inner.action_space(self.params).shape
        key, step_key = jax.random.split(physics.key)
        obs, state, reward, terminated, _ = self.inner.step_env(
            step_key, physics.state, self.in_units(action).reshape(shape), self.params
        )
        after = like(physics, GymnaxState(obs, state, key))
        return after, jnp.asarray(reward, jnp.float32).reshape(()), jnp.asarray(terminated, bool)

    def observe(self, physics: GymnaxState) -> jax.Array:
        """What gymnax observed."""
        return physics.obs


@functools.cache
def task(full_name: str) -> type[Task]:
    """The class of `gymnax:NAME`.

    Raises:
      InvalidSetting: the library is missing, or the task is unknown, has discrete or unbounded actions, or observes
        anything but a vector.
    """
    gymnax = LIBRARY.load(full_name)
    name = full_name.partition(":")[2]
    if name not in gymnax.registered_envs:
        raise fields.unknown(f"env {full_name!r}", full_name, [f"gymnax:{known}" for known in gymnax.registered_envs])
    try:
        env, params = gymnax.make(name)
    except OSError as error:  # one of them downloads pictures
        reason = " ".join(str(error).split())
        raise InvalidSetting(f"env {full_name!r}: cannot be loaded ({reason})") from None
    actions = _check_actions(full_name, env.action_space(params))
    obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    own = _number_fields(params)
    return make_class(
        Gymnax,
        full_name,
        int(getattr(params, TIME_LIMIT)),
        own,
        __doc__=document(type(env).__doc__ or full_name, f"gymnax {LIBRARY.version}"),
        observation_count=vector_length(full_name, obs),
        action_count=actions,
        inner=env,
        defaults=params,
        parameters=tuple(own),
    )


def _check_actions(name: str, space: Any) -> int:
    """How many numbers an action has."""
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None:
        raise InvalidSetting(f"env {name!r}: acts by {space!r}; must be continuous actions within bounds (a Box)")
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        raise InvalidSetting(f"env {name!r}: has no action bounds ({space!r}); must be finite bounds")
    return math.prod(space.shape)


def _number_fields(params: Any) -> dict[str, tuple[type, Any]]:
    """Fields for those parameters that are single numbers, except the time limit and names that are taken."""
    taken = {*fields.settings(Task), TIME_LIMIT}
    return {
        field.name: (type(value), setting(value, f"gymnax's parameter {field.name}"))
        for field in dataclasses.fields(params)
        if type(value := getattr(params, field.name)) in (int, float, bool) and field.name not in taken
    }
