"""The command line: parse, call, print. The same functions are one import away in Python.

Options are parsed in two passes. The first finds AGENT, `--env` and `--preset`; the second knows their fields, so that
`--help` shows them and a mistake is one line that names what is allowed.
"""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

import envs
import experiments
from envs import fields
from envs.fields import InvalidSetting, Setting
from experiments import published
from maxent_jax import api, interrupts, plots, runs
from maxent_jax.agents import AGENTS, agent_class

PROGRAM = "maxent-jax"
CONSOLE = Console()


def option(name: str, kind: type, help: str, default: Any = None, **limits: Any) -> Setting:  # noqa: A002
    """An option of a command, declared as the fields of agents and tasks are."""
    return Setting(name, kind, default is None, default, help, True, **limits)


ENV = Setting("env", str, False, None, "the task", True, choices=tuple(envs.names()))
PRESET = option("preset", str, "settings to start from", "paper", choices=published.PRESETS)
TRAINING = (
    ENV,
    option("seeds", str, "how many (8: 0 to 7), or which, with a comma (7, or 101,102)", "1"),
    option("steps", int, "environment steps a run, after the random prefill; none: the preset's", low=1),
    option("envs", int, "environments a run steps in parallel; none: the preset's", low=1),
    option("evaluations", int, "evaluations, evenly spread", 20, low=1),
    PRESET,
    option("out", str, "run directory to make; none: runs/AGENT-ENV-NUMBER"),
)
GRID = option("grid", str, "FIELD=a,b,...: values of a field; env.FIELD for the task's; repeatable")
FORCE = Setting("force", bool, False, False, "repeat what is there already", True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: the words after the program's name; None: from the shell.

    Returns:
      The exit code: 0; 2 for a user's mistake; 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help"):
            _print_commands()
            return 0
        if words[0] not in COMMANDS:
            raise fields.unknown(f"command {words[0]!r}", words[0], COMMANDS)
        COMMANDS[words[0]](words[1:])
    except InvalidSetting as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except interrupts.Interrupted:
        return interrupts.EXIT_CODE
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return interrupts.EXIT_CODE
    except SystemExit as stop:  # tyro's: --help
        return int(stop.code or 0)
    return 0


def train_command(words: list[str]) -> None:
    """Train an agent on a task with many seeds at once."""
    _train("train", words, ())


def sweep_command(words: list[str]) -> None:
    """The same over a grid of fields: one program for all seeds and values."""
    _train("sweep", words, (GRID,))


def _train(command: str, words: list[str], more: tuple[Setting, ...]) -> None:
    known = (*TRAINING, *more)
    agent, env, preset = _first_pass(words)
    if agent is None or env is None:
        about = f"AGENT: {', '.join(AGENTS)}. Name AGENT and --env to see their fields, too."
        _parse(f"{command} AGENT", words, known, about=about, positional=("AGENT",))
        raise InvalidSetting("AGENT and --env must both be given")
    row = published.row(agent, env, preset)
    given = _parse(
        command,
        words,
        known,
        about=f"Defaults of {agent} on {env}, preset {preset}: {row.steps:,} steps, {row.envs} environments a run.",
        positional=("AGENT",),
        agent=_with_defaults(type(row.agent), fields.plain_values(row.agent)),
        env=_with_defaults(envs.task(env), {}),
    )
    grid = _grid(given.lists.get("grid", []), type(row.agent), envs.task(env))
    if command == "sweep" and not grid:
        raise InvalidSetting("grid: must be given at least once, as FIELD=a,b,...")
    options = given.options
    api.train(
        agent,
        env,
        seeds=_seeds(options["seeds"]),
        steps=options["steps"],
        envs=options["envs"],
        evaluations=options["evaluations"],
        preset=preset,
        agent_fields=given.agent,
        env_fields=given.env,
        grid=grid,
        out=options["out"],
        console=CONSOLE,
    )


def reproduce_command(words: list[str]) -> None:
    """Repeat an experiment of the paper: runs, figures, captions."""
    known = (
        option("preset", str, "budget", "cpu", choices=published.PRESETS),
        option("out", str, "folder to make; none: reproduced/NAME-PRESET"),
        FORCE,
    )
    about = f"NAME: {', '.join(experiments.names())}."
    given = _parse("reproduce", words, known, about=about, positional=("NAME",))
    experiments.reproduce(
        given.positional[0],
        preset=given.options["preset"],
        out=given.options["out"],
        force=given.options["force"],
        console=CONSOLE,
    )


def landscape_command(words: list[str]) -> None:
    """Draw the soft and the plain landscape where a trained agent finds them most unlike."""
    known = (
        option("run", int, "which run of the directory", 0, low=0),
        option("out", str, "PNG to write; none: RUN_DIR/figures/landscape.png"),
    )
    given = _parse("landscape", words, known, positional=("RUN_DIR",))
    directory = Path(given.positional[0])
    result = runs.load(directory)
    path = Path(given.options["out"] or directory / "figures" / "landscape.png")
    if not path.parent.is_dir():
        raise InvalidSetting(f"out = {str(path)!r}: its folder does not exist; must be a PNG in an existing folder")
    plots.landscape(result, path, given.options["run"])
    CONSOLE.print(str(path), highlight=False, soft_wrap=True)


def envs_command(words: list[str]) -> None:
    """List the tasks; with --env, the fields of one."""
    known = (dataclasses.replace(ENV, optional=True),)
    name = _parse("envs", words, known).options["env"]
    if name is not None:
        table = Table("field", "default", "allowed", "meaning", title=name)
        for field in fields.settings(envs.task(name)).values():
            table.add_row(field.name, str(field.default), field.allowed, field.help)
    else:
        table = Table("task", "observation", "action", "horizon", "about")
        for name in envs.names():
            spec, about = envs.spec(name), (envs.task(name).__doc__ or "").splitlines()[0]
            table.add_row(name, str(spec.observation_size), str(spec.action_size), str(spec.horizon), about)
    CONSOLE.print(table)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train_command,
    "sweep": sweep_command,
    "reproduce": reproduce_command,
    "landscape": landscape_command,
    "envs": envs_command,
}


def _print_commands() -> None:
    print(f"usage: {PROGRAM} COMMAND ...   ({PROGRAM} COMMAND --help tells more)\n")
    for name, command in COMMANDS.items():
        print(f"  {name:10} {(command.__doc__ or '').splitlines()[0]}")


@dataclasses.dataclass(frozen=True)
class Given:
    """A parsed command line: only the agent's and the task's fields that differ from their defaults are named."""

    positional: tuple[str, ...]
    options: Mapping[str, Any]
    lists: Mapping[str, list[str]]
    agent: Mapping[str, Any]
    env: Mapping[str, Any]


def _first_pass(words: Sequence[str]) -> tuple[str | None, str | None, str]:
    """AGENT, `--env` and `--preset`, checked; None where not given."""
    found: dict[str, str] = {}
    agent = None
    index = 0
    while index < len(words):
        word = words[index]
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            if not equals:
                index += 1
                value = words[index] if index < len(words) else ""
            found[name] = value
        elif not word.startswith("-") and agent is None:
            agent = word
        index += 1
    if agent is not None:
        agent_class(agent)
    if "--env" in found:
        envs.task(found["--env"])
    preset = found.get("--preset", "paper")
    return agent, found.get("--env"), PRESET.check(preset) if agent else preset


def _with_defaults(cls: type, defaults: Mapping[str, Any]) -> tuple[Setting, ...]:
    return tuple(
        dataclasses.replace(field, default=defaults.get(name, field.default))
        for name, field in fields.settings(cls).items()
    )


def _parse(
    command: str,
    words: list[str],
    known: Iterable[Setting],
    about: str = "",
    positional: tuple[str, ...] = (),
    agent: tuple[Setting, ...] = (),
    env: tuple[Setting, ...] = (),
) -> Given:
    """Let tyro take the words apart and print `--help`; names and values are checked by `Setting`.

    Raises:
      InvalidSetting: an unknown option, a missing or a wrong value.
      SystemExit: after `--help`.
    """
    known = tuple(known)
    names = [f"--{field.name}" for field in known]
    names += [f"--{group}.{field.name}" for group, own in (("agent", agent), ("env", env)) for field in own]
    if not {"-h", "--help"} & set(words):
        for word in words:
            name = word.partition("=")[0]
            if name.startswith("--") and name.replace("-", "_").replace("__", "--", 1) not in names:
                raise fields.unknown(f"option {name}", name, names)
    parts: list[tuple[str, Any, Any]] = [
        (name, Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar=name, help="")], dataclasses.field())
        for name in positional
    ]
    required = [field for field in known if field.default is None and not field.optional]
    parts += [_argument(field) for field in (*required, *(f for f in known if f not in required))]
    for group, own in (("agent", agent), ("env", env)):
        if own:
            inner = dataclasses.make_dataclass(group, [_argument(field) for field in own])
            parts.append((f"{group}_fields", Annotated[inner, tyro.conf.arg(name=group)], _default_of(inner)))
    shape = dataclasses.make_dataclass("Options", parts)
    parsed = _run_tyro(shape, command, words, about)
    texts = {field.name: getattr(parsed, field.name) for field in known}
    values = {
        field.name: _value(field, texts[field.name]) for field in known if not isinstance(texts[field.name], tuple)
    }
    changed = {
        group: {
            field.name: value
            for field in own
            if (value := field.parse(getattr(getattr(parsed, f"{group}_fields"), field.name), f"{group}."))
            != field.default
        }
        for group, own in (("agent", agent), ("env", env))
    }
    lists = {name: list(text) for name, text in texts.items() if isinstance(text, tuple)}
    return Given(tuple(getattr(parsed, name) for name in positional), values, lists, changed["agent"], changed["env"])


def _default_of(cls: type) -> Any:
    return dataclasses.field(default_factory=cls)


def _value(field: Setting, text: Any) -> Any:
    return text if isinstance(text, bool) else field.parse(text)


def _argument(field: Setting) -> tuple[str, Any, Any]:
    """A tyro argument that takes a text, whatever the field's type: `Setting.parse` reads it."""
    if field.name == "grid":
        kind: Any = tyro.conf.UseAppendAction[tuple[str, ...]]
        return (
            field.name,
            Annotated[kind, tyro.conf.arg(help=field.help, metavar="FIELD=a,b")],
            dataclasses.field(default=()),
        )
    if field.name == "force":
        return (
            field.name,
            Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help=field.help)],
            dataclasses.field(default=False),
        )
    about = tyro.conf.arg(help=field.help, metavar=field.allowed.replace(" ", "-"))
    default = (
        dataclasses.field()
        if field.default is None and not field.optional
        else dataclasses.field(default=_text(field.default))
    )
    return field.name, Annotated[str, about], default


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(str(part) for part in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _run_tyro(shape: type, command: str, words: list[str], about: str) -> Any:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(shape, prog=f"{PROGRAM} {command}", description=about, args=words, use_underscores=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InvalidSetting(_one_line(complaint.getvalue())) from None


def _one_line(box: str) -> str:
    """The message inside tyro's box, without its frame and its hints."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()]
    body = [line for line in lines[1:] if line]
    return " ".join(body[:2]) if body else "the command line cannot be read"


def _seeds(text: str) -> int | list[int]:
    parts = [part for part in text.split(",") if part.strip()]
    try:
        numbers = [int(part) for part in parts]
        return numbers if "," in text else numbers[0]
    except (ValueError, IndexError):
        rule = "must be a whole number >= 1, or different whole numbers separated by commas"
        raise InvalidSetting(f"seeds = {text!r}: {rule}") from None


def _grid(texts: Sequence[str], agent: type, env: type) -> dict[str, list[Any]]:
    """`FIELD=a,b` texts as values by field; a field whose own values have commas separates its values by semicolons."""
    known = {**fields.settings(agent)} | {f"env.{name}": field for name, field in fields.settings(env).items()}
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        name = name.strip()
        if name not in known:
            raise fields.unknown(f"grid field {name!r}", name, known)
        if name in grid:
            raise InvalidSetting(f"grid {name} = {listed!r}: is given twice; must be given once")
        values = [part for part in listed.split(";" if known[name].type is tuple else ",") if part.strip()]
        if not equals or not values:
            raise InvalidSetting(f"grid {name} = {listed!r}: must be values separated by commas, at least one")
        where = "grid env." if name.startswith("env.") else "grid "
        grid[name] = [known[name].parse(value, where) for value in values]
    return grid


if __name__ == "__main__":
    sys.exit(main())
