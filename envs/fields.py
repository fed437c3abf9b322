"""Declared fields: the default, the range and the meaning of every setting, written once.

Tasks and agents are frozen dataclasses whose fields are made by `setting`. A field is either a *leaf* (a number that
reaches a compiled program as an argument, so that a grid over it is a `vmap`) or *static* (it shapes the program).
Everything that reads a value from a user (Python, the command line, a grid) checks it here and so says the same line.
"""

import dataclasses
import difflib
import functools
import math
import numbers
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.struct
import numpy as np


class InvalidSetting(ValueError):
    """A user's mistake: one line that names the field, the value and what is allowed."""


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word that argparse, tyro and click use
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
    static: bool = False,
) -> Any:
    """Declare a field of a task or an agent.

    Args:
      default: its value where the user gives none.
      help: what it means, with its unit.
      low: smallest value allowed.
      high: largest value allowed.
      above: the value must be larger than this.
      choices: the words allowed, for a string.
      static: True where the value shapes the compiled program. Strings and tuples always do.

    Returns:
      A `flax.struct.field` that carries the above as metadata.
    """
    metadata = {"help": help, "low": low, "high": high, "above": above, "choices": choices}
    leaf = not static and not isinstance(default, (str, tuple))
    return flax.struct.field(pytree_node=leaf, default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of one declared field; see `setting`."""

    name: str
    type: Any
    optional: bool
    default: Any
    help: str
    static: bool
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kinds = {
            float: "a number",
            int: "a whole number",
            bool: "true or false",
            tuple: "whole numbers separated by commas, each",
            str: "text",
        }
        words = kinds[self.type]
        if self.low is not None and self.high is not None:
            words += f" in [{self.low:g}, {self.high:g}]"
        elif self.low is not None:
            words += f" >= {self.low:g}"
        if self.above is not None:
            words += f" > {self.above:g}"
        if self.above is not None and self.high is not None:
            words += f" and <= {self.high:g}"
        return words + (", or none" if self.optional else "")

    def check(self, value: Any, where: str = "") -> Any:
        """Return `value` as a plain Python value, or raise an InvalidSetting that says what is allowed."""
        if value is None and self.optional:
            return None
        if self.type is tuple:
            parts: Any = value if isinstance(value, (tuple, list)) else (value,)
            if parts and all(self._fits(part, int) for part in parts):
                return tuple(int(part) for part in parts)
        elif self._fits(value, self.type):
            return self.type(value)
        raise InvalidSetting(f"{where}{self.name} = {show(value)}: must be {self.allowed}")

    def parse(self, text: str, where: str = "") -> Any:
        """Read a value from the command line; raises as `check` does."""
        word = text.strip()
        try:
            if self.optional and word.lower() == "none":
                return None
            if self.type is bool:
                value: Any = {"true": True, "false": False}[word.lower()]
            elif self.type is tuple:
                value = tuple(int(part) for part in word.split(","))
            else:
                value = self.type(word)
        except (ValueError, KeyError):
            raise InvalidSetting(f"{where}{self.name} = {show(text)}: must be {self.allowed}") from None
        return self.check(value, where)

    def _fits(self, value: Any, kind: Any) -> bool:
        if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
            value = np.asarray(value)
            if value.ndim:
                return False
            value = value.item()
        if kind is str:
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if kind is bool:
            return isinstance(value, bool)
        number: Any = numbers.Integral if kind is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, number):
            return False
        if kind is int and not -(2**31) <= value < 2**31:
            return False
        seen = _as_float32(value) if kind is float else value
        if not math.isfinite(seen):
            return False
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or seen > self.above)
        )


def _as_float32(value: Any) -> float:
    """What a program sees of a number: 1e-50 is 0 there, 1e50 infinite."""
    with np.errstate(over="ignore", under="ignore"):
        try:
            return float(np.float32(value))
        except OverflowError:
            return math.inf


def show(value: Any) -> str:
    """A user's value on one line."""
    text = repr(value) if not hasattr(value, "__array__") else str(value)
    return " ".join(text.split())[:80]


@functools.cache
def settings(cls: type) -> Mapping[str, Setting]:
    """The declared fields of a task or an agent class, by name."""
    hints = typing.get_type_hints(cls)
    return types.MappingProxyType(
        {field.name: _read(field, hints[field.name]) for field in dataclasses.fields(cls) if "help" in field.metadata}
    )


def _read(field: dataclasses.Field, hint: Any) -> Setting:
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    optional = type(None) in typing.get_args(hint)
    kind = parts[0] if optional else hint
    metadata = {key: field.metadata[key] for key in ("help", "low", "high", "above", "choices")}
    return Setting(
        name=field.name,
        type=typing.get_origin(kind) or kind,
        optional=optional,
        default=field.default,
        static=not field.metadata["pytree_node"],
        **metadata,
    )


def unknown(what: str, name: str, known: Iterable[str], listed: Sequence[str] = ()) -> InvalidSetting:
    """The error for a name that does not exist: `what` was given, what was perhaps meant, what there is.

    `listed`: that in short, where it is too much for a line.
    """
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return InvalidSetting(f"{what} is unknown; {hint}allowed: {', '.join(listed or known) or 'none'}")


def checked(cls: type, values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Check the names and values of some fields of `cls`.

    Args:
      cls: a task or an agent class.
      values: field values by name.
      where: what stands before a field's name in an error, for instance `"env."`.

    Returns:
      The values as plain Python numbers, strings and tuples.

    Raises:
      ValueError: an unknown name, a wrong type, or a value out of range; the message lists what exists or is allowed.
    """
    known = settings(cls)
    for name in values:
        if name not in known:
            raise unknown(f"field {where}{name}", name, known)
    return {name: known[name].check(value, where) for name, value in values.items()}


def build(cls: type, values: Mapping[str, Any], where: str = "") -> Any:
    """Make an instance whose leaves are strongly typed scalars (a weak type would compile the program twice).

    Args:
      cls: a task or an agent class.
      values: the fields that differ from their defaults, by name.
      where: as in `checked`.

    Returns:
      The instance; its float leaves are `np.float32`, whole numbers `np.int32`, flags `np.bool_`.

    Raises:
      ValueError: as `checked`.
    """
    known = settings(cls)
    complete = {name: known[name].default for name in known} | dict(values)
    plain = checked(cls, complete, where)
    return cls(**{name: strong(known[name], value) for name, value in plain.items()})


def strong(field: Setting, value: Any) -> Any:
    """A leaf's value with a strong type; a static field's value as it is."""
    if field.static or value is None:
        return value
    return {float: np.float32, int: np.int32, bool: np.bool_}[field.type](value)


def plain_values(instance: Any) -> dict[str, Any]:
    """The declared fields of an instance as plain Python values, for `config.json` and for messages."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.floating):
            return float(str(value))  # 0.2, not 0.20000000298: the shortest decimal that is the same float32
        return value.item() if hasattr(value, "item") else value

    return {name: plain(getattr(instance, name)) for name in settings(type(instance))}
