"""What the tasks of all other libraries share: a class per task, made when it is asked for."""

import dataclasses
import importlib
import importlib.metadata
import re
import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Task
from envs.fields import InvalidSetting, setting

Fields = Mapping[str, tuple[type, Any]]


class External(Task):
    """A task of another library: its physics, reward and ends behind our contract.

    Their time limit and auto-reset are left out, ours apply; noise, delay and the like come with `Task`. What is known
    only when the library has been asked is an attribute of the class that `make_class` derives.

    Attributes:
      observation_count: how many numbers the library's observation has.
      action_count: likewise its action.
    """

    observation_count = 0
    action_count = 0

    @property
    def observes(self) -> tuple[str, ...]:
        """Their places: the libraries do not name them."""
        return tuple(f"obs[{i}]" for i in range(self.observation_count))

    @property
    def acts(self) -> tuple[str, ...]:
        """Likewise."""
        return tuple(f"action[{i}]" for i in range(self.action_count))


@dataclasses.dataclass(frozen=True)
class Library:
    """An optional package.

    Attributes:
      package: what pip calls it; our extra has the same name.
      module: what Python calls it.
      low: the first version that works with ours.
      below: the first that may not.
    """

    package: str
    module: str
    low: str
    below: str

    @property
    def version(self) -> str:
        """The version that is installed."""
        return importlib.metadata.version(self.package)

    def load(self, task: str) -> Any:
        """The module.

        Raises:
          InvalidSetting: it is not installed, or in a version that is known not to work.
        """
        rule = f"must be {self.package} >= {self.low}, < {self.below}: pip install -e '.[{self.package}]'"
        try:
            installed = self.version
            module = importlib.import_module(self.module)
        except ImportError as error:  # PackageNotFoundError is one, too
            missing = f"{self.package} is not installed"
            if not isinstance(error, importlib.metadata.PackageNotFoundError):
                missing = f"{self.package} cannot be imported ({' '.join(str(error).split())})"
            raise InvalidSetting(f"env {task!r}: {missing}; {rule}") from None
        if not _numbers(self.low) <= _numbers(installed) < _numbers(self.below):
            raise InvalidSetting(f"env {task!r}: {self.package} {installed} is installed; {rule}")
        return module


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def make_class(parent: type[External], name: str, horizon: int, fields: Fields | None = None, **known: Any) -> Any:
    """A task class for one task of a library.

    Args:
      parent: knows how to begin, step and observe.
      name: what run directories call the task.
      horizon: the library's own time limit, the default of ours.
      fields: types and `setting`s of more fields, by name.
      **known: attributes of the class.

    Returns:
      The class.
    """
    declared = {"horizon": (int, setting(horizon, "control steps until the time limit", low=1)), **(fields or {})}
    body = known | {
        "__module__": __name__,
        "__annotations__": {field: kind for field, (kind, _) in declared.items()},
        **{field: value for field, (_, value) in declared.items()},
    }
    return types.new_class(name, (parent,), exec_body=lambda namespace: namespace.update(body))


def document(theirs: str, source: str) -> str:
    """The documentation of a task class, from what the library says of the task."""
    first = theirs.strip().partition("\n")[0]
    return f"{first}\n\nReward, ends and first states are the library's own.\n\nSource: {source}."


def vector_length(name: str, observation: Any) -> int:
    """The length of an observation, given as an array or its shape.

    Raises:
      InvalidSetting: it is a dictionary or has another number of axes than one.
    """
    if isinstance(observation, Mapping):
        keys = ", ".join(map(str, observation))
        raise InvalidSetting(f"env {name!r}: observes a dictionary ({keys}); must be one vector")
    shape = getattr(observation, "shape", None)
    if shape is None or len(shape) != 1:
        what = f"an array of shape {shape}" if shape is not None else type(observation).__name__
        raise InvalidSetting(f"env {name!r}: observes {what}; must be one vector")
    return shape[0]


def strong(tree: Any) -> Any:
    """A tree of arrays without weak types, in containers of its own: some libraries write into what they are given."""
    return jax.tree.map(lambda leaf: _cast(leaf, jnp.asarray(leaf).dtype), tree)


def like(before: Any, after: Any) -> Any:
    """A state in the types of the one before it."""
    return jax.tree.map(lambda old, new: _cast(new, old.dtype), before, after)


def _cast(leaf: Any, dtype: Any) -> jax.Array:
    return leaf if jnp.issubdtype(dtype, jax.dtypes.prng_key) else jnp.asarray(leaf, dtype)
