"""What the commands share: the words that several of them take, and what is made of them."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import envs
from envs import external, fields
from envs.fields import InvalidSetting, Setting
from experiments import published
from maxent_jax import api, runs
from maxent_jax.agents import AGENTS, agent_class
from maxent_jax.options import Given, option, parse, required, take_apart

PROGRAM = "maxent-jax"
CONSOLE = Console()
AGENT = required("AGENT", "the agent", AGENTS)
ENV = required("env", "the task", (*envs.names(), *external.FORMS))
RUN_DIR = required("RUN_DIR", "a folder that train or sweep made")
RUNS = (
    ENV,
    option("seeds", str, "how many (8: 0 to 7), or which, with a comma (7, or 101,102)", "1"),
    api.STEPS,
    api.ENVS,
    option("preset", str, "settings to start from", "paper", choices=published.PRESETS),
)


def read_request(
    command: str, words: list[str], known: tuple[Setting, ...]
) -> tuple[str, str, Given, tuple[type, type]] | None:
    """A command line of AGENT, `--env` and their fields: names, all that was given, classes; None after help."""
    taken = take_apart(words)
    chosen = dict(taken.options)
    agent = next((word for word in taken.positional if not word.startswith("-")), None)
    env, preset = chosen.get("--env"), chosen.get("--preset") or "paper"
    if agent is not None:
        agent_class(agent)
    if env is not None:
        envs.task(env)  # knows more names than can be listed
        known = (dataclasses.replace(ENV, choices=(*envs.names(), env)), *known[1:])
    command = f"{PROGRAM} {command}"
    if agent is None or env is None:  # prints help, or says what is missing
        about = f"AGENT: {', '.join(AGENTS)}. Name AGENT and --env to see their fields, too."
        parse(command, words, known, about, (AGENT,))
        return None
    row = published.row(agent, env, preset)
    given = parse(
        command,
        words,
        known,
        about=f"Defaults of {agent} on {env}, preset {preset}: {row.steps:,} steps, {row.envs} environments a run.",
        positional=(AGENT,),
        agent=with_defaults(type(row.agent), fields.plain_values(row.agent)),
        env=with_defaults(envs.task(env), {}),
    )
    return agent, env, given, (type(row.agent), envs.task(env))


def asked_of_training(given: Given) -> dict[str, Any]:
    """The part of a request that `api.train` and `api.prepare` share."""
    options = {name: given.options[name] for name in ("steps", "envs", "preset")}
    return options | {
        "seeds": parse_seeds(given.options["seeds"]),
        "agent_fields": given.agent,
        "env_fields": given.env,
    }


def parse_grid(texts: Sequence[str], agent: type, env: type) -> dict[str, list[Any]]:
    """`FIELD=a,b` texts as values by field; a field whose own values have commas separates its values by semicolons."""
    known = {**fields.settings(agent)} | {f"env.{name}": field for name, field in fields.settings(env).items()}
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        name = name.strip().replace("-", "_")
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


def parse_seeds(text: str) -> Any:
    """A number, or a list where there is a comma; what is neither is left for `train` to refuse."""
    try:
        return [int(part) for part in text.split(",") if part.strip()] or text if "," in text else int(text)
    except ValueError:
        return text


def repeated(one: Setting, given: Sequence[str]) -> tuple[Setting, ...]:
    """A word that may be given several times, as many times as it was."""
    return (one, *(dataclasses.replace(one, name=f"{one.name}_{i}") for i in range(2, len(given) + 1)))


def with_defaults(cls: type, defaults: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The fields of an agent or a task, with the defaults of this command line."""
    return tuple(
        dataclasses.replace(field, default=defaults.get(name, field.default))
        for name, field in fields.settings(cls).items()
    )


def file_to_write(text: str | Path, *suffixes: str, name: str = "out") -> Path:
    """The path of a file that is to be written, which option `name` asked for."""
    path = Path(text)
    if path.suffix not in suffixes or path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        allowed = " or ".join(suffixes)
        raise InvalidSetting(f"{name} = {str(path)!r}: must be a {allowed} in an existing folder that can be written")
    if path.name in ("config.json", "summary.json") and runs.is_directory_of_run(path.parent):
        raise InvalidSetting(f"{name} = {str(path)!r}: is a part of that run directory; must have another name")
    return path


@contextlib.contextmanager
def folder_to_write(text: str) -> Iterator[Path]:
    """A folder to write into, made where it is missing; folders that are still empty when it goes wrong go, too."""
    path = Path(text)
    try:
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSetting(f"out = {text!r}: must be a folder that can be written") from error
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):  # the first that is not empty
            for folder in made:
                folder.rmdir()
        raise


def say_file(path: Path) -> None:
    """Print where something was written, as it is: in one line, to be copied or piped."""
    CONSOLE.print(str(path), markup=False, highlight=False, soft_wrap=True)
