"""What is known of the tasks, as tables for the terminal. It is all read from the task classes."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

import envs
from envs import external, fields

STILLS = Path(envs.__file__).parents[1] / "docs" / "stills"


def listing() -> Group:
    """All tasks of ours, one a line, and where others come from."""
    table = Table(Column("task", no_wrap=True), "observation", "action", "horizon", "about", "source")
    for name in envs.names():
        cls, spec = envs.task(name), envs.spec(name)
        sizes = (spec.observation_size, spec.action_size, spec.horizon)
        table.add_row(name, *map(str, sizes), about(cls), source(cls))
    return Group(table, Text(f"Other libraries' tasks: {', '.join(external.FORMS)}. envs NAME shows one in full."))


def card(name: str) -> Group:
    """Everything about one task: what it is, what it pays, every number it shows and takes, every field.

    Raises:
      InvalidSetting: there is no such task, or its library is missing.
    """
    cls, env = envs.task(name), envs.make(name)
    parts: list[Any] = [Text(name, style="bold"), Text(_unwrapped(_doc(cls))), *_numbers(env), _fields(cls)]
    still = STILLS / f"{name}.png"
    if still.exists():
        parts.append(Text(f"A picture: {still}", overflow="fold"))
    return Group(*(part for each in parts for part in (each, Text())))


def about(cls: type) -> str:
    """The first line of a task's documentation."""
    return _doc(cls).partition("\n")[0]


def source(cls: type) -> str:
    """Where a task comes from: what its documentation says after `Source:`."""
    return " ".join(_doc(cls).partition("Source:")[2].partition("\n\n")[0].split())


def _doc(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _unwrapped(text: str) -> str:
    """A text whose paragraphs are one line each: the terminal has a width of its own."""
    return re.sub(r"(?<!\n)\n(?![\n *])", " ", text)


def _numbers(env: envs.Task) -> list[Table]:
    """The observation and the action, number by number."""
    observation = Table("", "meaning and unit", title="observation", title_justify="left")
    for index, meaning in enumerate(env.observes):
        observation.add_row(str(index), meaning)
    action = Table("", "meaning and unit", "at -1", "at 1", title="action", title_justify="left")
    bounds = zip(env.acts, np.asarray(env.action_low), np.asarray(env.action_high), strict=True)
    for index, (meaning, low, high) in enumerate(bounds):
        action.add_row(str(index), meaning, f"{low:g}", f"{high:g}")
    return [observation, action]


def _fields(cls: type) -> Table:
    table = Table(Column("field", no_wrap=True), "default", "allowed", "meaning", title="fields", title_justify="left")
    for field in fields.settings(cls).values():
        table.add_row(field.name, str(field.default).lower(), field.allowed, field.help)
    return table
