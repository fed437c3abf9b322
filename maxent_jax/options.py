"""A command line taken apart: options are declared as `Setting`s, like the fields of agents and tasks.

tyro prints `--help` and reads the words; names are checked before it and values after it, so that a mistake is one line
that names what is allowed, the same line as in Python.
"""

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import tyro

from envs import fields
from envs.fields import InvalidSetting, Setting

HELP = ("-h", "--help")


def option(name: str, kind: type, help: str, default: Any = None, **limits: Any) -> Setting:  # noqa: A002
    """An option that may be left out."""
    return Setting(name, kind, default is None, default, help, True, **limits)


def required(name: str, help: str, choices: Iterable[str] = ()) -> Setting:  # noqa: A002
    """A word that must be given."""
    return Setting(name, str, False, None, help, True, choices=tuple(choices))


GRID = option(
    "grid",
    str,
    "FIELD=a,b,...: values of a field; env.FIELD for the task's; tuples: 'hidden=64,64;256,256'; repeatable",
)
FORCE = Setting("force", bool, False, False, "repeat what is there already", True)
NO_CACHE = Setting("no_cache", bool, False, False, "compile anew; keep no compiled program on disk", True)
RESUME = Setting("resume", bool, False, False, "go on with the run directory --out where it was begun already", True)
WATCH = Setting("watch", bool, False, False, "repeat until training ends", True)
TENSORBOARD = Setting(
    "tensorboard", bool, False, False, "also write event files for TensorBoard to OUT/tensorboard", True
)
WANDB = Setting("wandb", bool, False, False, "also log to Weights & Biases; WANDB_MODE=offline keeps it here", True)
FLAGS = {f"--{field.name}": field for field in (FORCE, NO_CACHE, RESUME, WATCH, TENSORBOARD, WANDB)}
"""Options without a value."""


def _must_be_given(field: Setting) -> bool:
    return field.default is None and not field.optional


@dataclasses.dataclass(frozen=True)
class Words:
    """What was typed, before anything is known of it.

    Attributes:
      positional: words that belong to no option.
      options: names with two hyphens and underscores, and their values; None where there is none.
      help: whether help was asked for.
    """

    positional: tuple[str, ...]
    options: tuple[tuple[str, str | None], ...]
    help: bool


def take_apart(words: Sequence[str]) -> Words:
    """The first pass: all that it knows is that options begin with two hyphens and that flags have no value."""
    positional: list[str] = []
    options: list[tuple[str, str | None]] = []
    left = [word for word in words if word not in HELP]
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            positional.append(word)
            continue
        name, equals, text = word.partition("=")
        name = "--" + name[2:].replace("-", "_")
        value = text if equals else None
        if not equals and name not in FLAGS and left and not left[0].startswith("--"):
            value = left.pop(0)
        options.append((name, value))
    return Words(tuple(positional), tuple(options), help=any(word in HELP for word in words))


@dataclasses.dataclass(frozen=True)
class Given:
    """A parsed command line: only the agent's and the task's fields that differ from their defaults are named."""

    positional: tuple[str, ...]
    options: Mapping[str, Any]
    grid: tuple[str, ...]
    agent: Mapping[str, Any]
    env: Mapping[str, Any]


def parse(
    command: str,
    words: Sequence[str],
    known: Sequence[Setting],
    about: str = "",
    positional: Sequence[Setting] = (),
    agent: Sequence[Setting] = (),
    env: Sequence[Setting] = (),
) -> Given:
    """The second pass: everything is known.

    Args:
      command: what comes before the words.
      words: what was typed after it.
      known: the options.
      about: the first lines of `--help`.
      positional: the words that must be given, in order.
      agent: the fields behind `--agent.`, their defaults those of this command line.
      env: likewise behind `--env.`.

    Returns:
      Everything by name, as plain values.

    Raises:
      InvalidSetting: a word is missing, unknown or too many, or a value is wrong.
      SystemExit: after `--help`.
    """
    groups = {"agent": agent, "env": env}
    taken = take_apart(words)
    if not taken.help:
        _check_names(taken, known, positional, groups)
    shape = _shape(known, positional, groups)
    parsed = _run_tyro(shape, command, ["--help"] if taken.help else words, about)  # tyro's help hides what it has read
    texts = {field.name: getattr(parsed, field.name) for field in known}
    changed = {
        group: {
            field.name: value
            for field in own
            if (value := field.parse(getattr(getattr(parsed, f"{group}_fields"), field.name), f"{group}."))
            != field.default
        }
        for group, own in groups.items()
    }
    return Given(
        positional=tuple(getattr(parsed, field.name) for field in positional),
        options={field.name: _value(field, texts[field.name]) for field in known if field is not GRID},
        grid=texts.get(GRID.name, ()),
        **changed,
    )


def _check_names(
    taken: Words, known: Sequence[Setting], positional: Sequence[Setting], groups: Mapping[str, Sequence[Setting]]
) -> None:
    options = {f"--{field.name}": field for field in known}
    members = {f"--{group}.{field.name}": field for group, own in groups.items() for field in own}
    listed = [*options, *(f"--{group}.FIELD" for group, own in groups.items() if own)]
    given = dict(taken.options)
    for word in taken.positional:
        if word.startswith("-"):
            raise fields.unknown(f"option {word}", f"-{word}", [*options, *members], listed)
    for field in positional[len(taken.positional) :]:
        raise InvalidSetting(f"{field.name} is missing; must be {field.allowed}: {field.help}")
    for name, field in options.items():
        if _must_be_given(field) and name not in given:
            raise InvalidSetting(f"{name} is missing; must be {field.allowed}")
    for word in taken.positional[len(positional) :]:
        allowed = " and ".join([*(field.name for field in positional), "options"])
        raise InvalidSetting(f"{word!r} is one word too many; allowed: {allowed}")
    for name, value in taken.options:
        group, dot, member = name[2:].partition(".")
        if dot and group in groups and name not in members:
            raise fields.unknown(f"field {group}.{member}", member, [field.name for field in groups[group]])
        if name not in options and name not in members:
            raise fields.unknown(f"option {name}", name, [*options, *members], listed)
        if name in FLAGS:
            if value is not None:
                raise InvalidSetting(f"{name} = {value!r}: takes no value")
        elif value is None:
            raise InvalidSetting(f"{name} has no value; must be {(options | members)[name].allowed}")
        elif value[:1] == "-" and value[1:2].isalpha() and (options | members)[name].type is str:
            # tyro would take it for an option
            raise InvalidSetting(f"{name} = {value!r}: must be {(options | members)[name].allowed} without a leading -")


def _value(field: Setting, text: Any) -> Any:
    if isinstance(text, bool):
        return text
    if field.choices and text not in (*field.choices, _text(field.default)):
        raise fields.unknown(f"{field.name} {text!r}", text, field.choices)
    return field.parse(text)


def _shape(known: Sequence[Setting], positional: Sequence[Setting], groups: Mapping[str, Sequence[Setting]]) -> type:
    """The dataclass that tyro makes a parser of. Every value is a text to it: `Setting.parse` reads it."""
    parts: list[tuple[str, Any, Any]] = [
        (field.name, Annotated[str, tyro.conf.Positional, _named(field, field.name)], dataclasses.field())
        for field in positional
    ]
    parts += [_argument(field) for field in sorted(known, key=lambda field: not _must_be_given(field))]
    for group, own in groups.items():
        inner = dataclasses.make_dataclass(group, [_argument(field) for field in own])
        parts.append((f"{group}_fields", Annotated[inner, tyro.conf.arg(name=group)], _default(inner)))
    return dataclasses.make_dataclass("Options", parts)


def _argument(field: Setting) -> tuple[str, Any, Any]:
    if field is GRID:
        kind: Any = tyro.conf.UseAppendAction[tuple[str, ...]]
        return field.name, Annotated[kind, _named(field, "FIELD=a,b")], _default(tuple)
    if f"--{field.name}" in FLAGS:
        return field.name, Annotated[bool, tyro.conf.FlagCreatePairsOff, _named(field)], _default(bool)
    default = dataclasses.field() if _must_be_given(field) else dataclasses.field(default=_text(field.default))
    kind = "|".join(field.choices) or {float: "NUMBER", int: "N", bool: "true|false", tuple: "N,N,..."}.get(field.type)
    return field.name, Annotated[str, _named(field, kind or field.name.upper())], default


def _named(field: Setting, metavar: str | None = None) -> Any:
    """The help of an argument: what it means and, where that is more than its type, what is allowed."""
    limits = "" if field.choices or field.type in (str, bool) else f"; {field.allowed}"
    return tyro.conf.arg(help=field.help + limits, metavar=metavar)


def _default(factory: Any) -> Any:
    return dataclasses.field(default_factory=factory)


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(str(part) for part in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _run_tyro(shape: type, prog: str, words: Sequence[str], about: str) -> Any:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(shape, prog=prog, description=about, args=list(words), use_underscores=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InvalidSetting(" ".join(complaint.getvalue().split())) from None  # not seen yet: names are checked before
