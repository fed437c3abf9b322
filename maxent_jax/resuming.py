"""Going on with a run directory: whether what is asked for is what it was started with, and from where it goes on."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import checkpoints, configs, locks, runs, trainer
from maxent_jax.faults import Fault
from maxent_jax.programs import Program, Sweep
from maxent_jax.wholes import SPOILT

SAME = ("agent", "env", "agent_fields", "env_fields", "grid", "seeds", "envs", "evaluations", "shard")
"""What a run keeps to its end. `steps` may grow."""
LEFT_OVER = {locks.NAME, "config.part", "figures"}
"""All that is in a directory whose training was killed before config.json."""


def started_with(directory: Path) -> dict[str, Any] | None:
    """What a directory was started with: its config.json; None where there is none yet.

    Raises:
      Fault: its config.json cannot be read, or a field of it is none.
    """
    if not runs.is_directory_of_run(directory):
        return None
    try:
        return configs.read(directory)
    except SPOILT as error:
        reason = " ".join(str(error).split())[:200]
        raise Fault(f"run directory {str(directory)!r}: config.json cannot be read ({reason})") from error


def nothing_yet(directory: Path) -> bool:
    """Whether all that a directory holds is what a training leaves that was killed before it wrote config.json."""
    try:
        names = {path.name for path in directory.iterdir() if not path.name.startswith(f"{locks.NAME}-")}
        return directory.is_dir() and names <= LEFT_OVER
    except OSError:
        return False


def with_new_fields(started: Mapping[str, Any], agent: Any, env: Any) -> dict[str, Any]:
    """config.json with the fields that the agent and the task have had since then only, at their defaults."""
    return dict(started) | {
        name: json.loads(json.dumps(fields.plain_values(fields.build(type(owner), {})))) | started[name]
        for name, owner in (("agent_fields", agent), ("env_fields", env))
    }


def new_fields(started: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a run does not know to have been started with, a line where there is something.

    Args:
      started: config.json as it was found.
      now: the same from `with_new_fields`.
    """
    added = [
        f"{prefix}{field} = {fields.show(value)}"
        for name, prefix in (("agent_fields", "agent."), ("env_fields", "env."))
        for field, value in now[name].items()
        if field not in started[name]
    ]
    return [f"started before there was {', '.join(added)}; numbers may differ from then on"] if added else []


def check_same(directory: Path, started: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings.

    Args:
      directory: the run directory.
      started: its config.json.
      asked: the same names; only those of `SAME` are compared.

    Raises:
      InvalidSetting: one differs; the message names it.
    """
    started = {"shard": None, **started}  # older directories have none
    asked = json.loads(json.dumps({name: asked[name] for name in SAME}))  # tuples as lists, as a file has them
    pairs = [*zip(_flat(started, asked), _flat(asked, started), strict=True)]
    pairs.append((("grid's order", list(started["grid"])), ("", list(asked["grid"]))))  # it numbers the runs
    for (name, was), (_, now) in pairs:
        if was != now:
            raise InvalidSetting(
                f"{name} = {fields.show(now)}: must be {fields.show(was)}, which {str(directory)!r} was started with"
            )


def check_runs(directory: Path, started: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Refuse to go on where the runs in config.json are not those of its settings: nothing could read them in the end.

    Args:
      directory: the run directory.
      started: its config.json.
      made: config.json as its settings make it.

    Raises:
      Fault: they differ.
    """
    made = json.loads(json.dumps(made))
    were, are = ((config["runs"], [entry["grid"] for entry in config["configurations"]]) for config in (started, made))
    if were != are:
        raise Fault(
            f"run directory {str(directory)!r}: config.json is damaged: its runs and configurations are not those "
            "of its settings"
        )


def _flat(values: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings as a user names them; a name that only the other has is None here."""
    for name in SAME:
        prefix = {"agent_fields": "agent.", "env_fields": "env.", "grid": "grid "}.get(name)
        if prefix is None:
            yield name, values[name]
            continue
        for field in sorted({*values[name], *other[name]}):
            yield prefix + field, values[name].get(field)


def first_steps(started: Mapping[str, Any]) -> int:
    """The steps that a run was begun with, whose chunks it keeps however far it is prolonged."""
    return started.get("prolonged_from", started["steps"])


def prolong(directory: Path, sweep: Sweep, started: Mapping[str, Any], steps: int) -> tuple[Sweep, dict[str, Any]]:
    """More steps, in chunks of the size that the run has.

    Args:
      directory: the run directory.
      sweep: the programs of `first_steps`.
      started: config.json.
      steps: how many a run is asked for now.

    Returns:
      The programs as they are now, and config.json as it is now.

    Raises:
      InvalidSetting: fewer steps than it has, or programs that ended, of which only the agents are kept.
    """
    before, first = started["steps"], first_steps(started)
    was, now, asked = (longer(sweep, count) for count in (before, max(before, steps), steps))
    if steps != first and _chunks(asked) < _chunks(was):
        raise InvalidSetting(f"steps = {steps}: must be >= {before}, which {str(directory)!r} was started with")
    if _chunks(now) == _chunks(was):
        return was, dict(started)
    place = checkpoints.peek(directory)
    if place is not None and place.program > 0:
        raise InvalidSetting(
            f"steps = {steps}: must be {before}, for programs of {str(directory)!r} have ended; "
            "of them only agents are kept"
        )
    return now, dict(started) | {"steps": steps, "prolonged_from": first}


def longer(sweep: Sweep, steps: int) -> Sweep:
    """The programs of `first_steps` with as many chunks as so many steps a run need."""
    return Sweep(sweep.configurations, tuple(_longer(program, steps) for program in sweep.programs))


def _longer(program: Program, steps: int) -> Program:
    """A program with another number of chunks; replay grows as far as the agent's buffer may."""
    plan = program.schedule
    chunks = math.ceil(math.ceil(steps / (plan.envs * plan.steps)) / plan.iterations)
    plan = dataclasses.replace(plan, chunks=chunks)
    capacity = trainer.capacity(program.agent, plan)
    return dataclasses.replace(program, schedule=dataclasses.replace(plan, capacity=capacity))


def _chunks(sweep: Sweep) -> list[int]:
    return [program.schedule.chunks for program in sweep.programs]


def is_finished(directory: Path) -> bool:
    """Whether summary.json says that training came to its end."""
    try:
        return json.loads((directory / "summary.json").read_text())["complete"] is True
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return False


def reopen(directory: Path) -> None:
    """What summary.json says is not the end any more."""
    if is_finished(directory):
        summary = json.loads((directory / "summary.json").read_text())
        runs.write_json(directory / "summary.json", summary | {"complete": False})


def differences(started: Mapping[str, Any], versions: Mapping[str, str], device: str) -> list[str]:
    """What is not as it was when a run was started, and may change its numbers, a line where there is something."""
    changed = changes(started, {"versions": versions, "device": device})
    if not changed:
        return []
    return [f"not as it was started: {', '.join(changed)}; numbers may differ from those of a run without a break"]


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the versions and the device of two config.json, or of what is in their `continued_with`."""
    was, names = then.get("versions", {}), now.get("versions", {})
    changed = [f"{name} {version} ({was.get(name)})" for name, version in names.items() if was.get(name) != version]
    if then.get("device") != now.get("device"):
        changed.append(f"device {now.get('device')} ({then.get('device')})")
    return changed
