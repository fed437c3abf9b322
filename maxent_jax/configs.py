"""config.json: what a run was started with, checked here, where it is read, before anything is made of it."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from envs import fields
from maxent_jax.programs import Shard

SCHEMA = 1

Rule = tuple[str, Callable[[Any], bool]]
"""What a value must be, in words, and whether one is that."""


def _whole(value: Any, low: int = 0, below: int = 2**31) -> bool:
    return type(value) is int and low <= value < below


def _or_none(rule: Rule) -> Rule:
    allowed, fits = rule
    return f"{allowed}, or null", lambda value: value is None or fits(value)


def _list_of(what: str, fits: Callable[[Any], bool], least: int = 1) -> Rule:
    return f"a list of {what}", lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _is_configuration(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), dict) for name in ("grid", "overrides"))


def _is_break(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("versions", {}), dict)


def _is_grid(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(values, list) for values in value.values())


TEXT: Rule = ("a text", lambda value: isinstance(value, str))
VALUES: Rule = ("values by name", lambda value: isinstance(value, dict))
COUNT: Rule = ("a whole number >= 1", lambda value: _whole(value, 1))
NEEDED: Mapping[str, Rule] = {
    "schema": (str(SCHEMA), lambda value: value == SCHEMA),
    "agent": TEXT,
    "env": TEXT,
    "agent_fields": VALUES,
    "env_fields": VALUES,
    "grid": ("lists of values by name", _is_grid),
    "seeds": _list_of("whole numbers", lambda value: _whole(value, below=2**32)),
    "steps": COUNT,
    "envs": COUNT,
    "evaluations": COUNT,
    "configurations": _list_of("objects with grid and overrides", _is_configuration),
    "runs": _list_of("objects", lambda value: isinstance(value, dict)),
    "versions": VALUES,
    "device": TEXT,
}
OPTIONAL: Mapping[str, Rule] = {
    "shard": _or_none(TEXT),
    "preset": _or_none(TEXT),
    "checkpoint_every": _or_none(COUNT),
    "keep": COUNT,
    "command": _list_of("texts", lambda value: isinstance(value, str), least=0),
    "prolonged_from": COUNT,
    "continued_with": _list_of("objects with versions", _is_break, least=0),
}
"""What older directories, and those that were never prolonged or moved, do not have."""


def read(directory: Path) -> dict[str, Any]:
    """config.json of a run directory.

    Args:
      directory: the run directory.

    Returns:
      Its content; what is in `NEEDED` is there, and all fields are what they must be.

    Raises:
      One of `wholes.SPOILT`: it cannot be read, or a field is none; the message names that.
    """
    config = json.loads((directory / "config.json").read_text(), parse_float=_finite, parse_constant=_finite)
    if not isinstance(config, dict):
        raise TypeError("it is no object")
    for name, (allowed, fits) in {**NEEDED, **OPTIONAL}.items():
        if name not in config and name in NEEDED:
            raise ValueError(f"{name} is missing; must be {allowed}")
        if name in config and not fits(config[name]):
            raise ValueError(f"{name} = {fields.show(config[name])}; must be {allowed}")
    Shard.parse(config.get("shard"))
    _check_runs(config)
    return config


def _finite(text: str) -> float:
    """A number as JSON has it: what is none, or too large, could not be written again."""
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:80]} is no number")
    return float(text)


def _check_runs(config: Mapping[str, Any]) -> None:
    """Refuse numbers of runs, programs and configurations that are none: they name rows, and folders of checkpoints."""
    before = -1
    for place, entry in enumerate(config["runs"]):
        numbers = [entry.get(name) for name in ("run", "seed", "configuration", "program")]
        if not all(_whole(number, below=2**32) for number in numbers):
            raise ValueError(f"runs[{place}] = {fields.show(entry)}; must be whole numbers")
        # a shard has some of the numbers only
        if entry["run"] <= before or entry["configuration"] >= len(config["configurations"]):
            raise ValueError(f"runs[{place}] does not fit the list of runs and configurations")
        before = entry["run"]
