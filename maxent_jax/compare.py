"""Two run directories on one task: who is better, by how much, how surely, and what differs between them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.fields import InvalidSetting
from maxent_jax import stats, tables
from maxent_jax.result import Result
from maxent_jax.runs import EPISODES
from maxent_jax.tables import Entry

MOST_PAIRS = 100


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two configurations at the same number of environment steps, by their mean actions or by draws.

    Attributes:
      one: the first.
      other: the second.
      column: which return.
      steps: environment steps at the first's last evaluation that counts, and at the second's: neither counts what
        comes after the end of the shorter one.
      first: interquartile mean of the first's seeds.
      second: likewise.
      difference: the second's less the first's.
      improvement: probability that a seed of the second is better than one of the first.
    """

    one: Entry
    other: Entry
    column: str
    steps: tuple[int, int]
    first: stats.Estimate
    second: stats.Estimate
    difference: stats.Estimate
    improvement: stats.Estimate


def compare(one: Entry, other: Entry, column: str = EPISODES[0]) -> Comparison:
    """Compare two configurations at the steps that both have; seeds that failed do not count."""
    most, first, second = _where_both_are(one, other, column)
    ends = [each.curve(column, steps=most)[0] for each in (one, other)]
    return Comparison(
        one,
        other,
        column,
        (int(ends[0].max(initial=0)), int(ends[1].max(initial=0))),
        stats.estimate([first]),
        stats.estimate([second]),
        stats.estimate([second, first], stats.iqm_difference),
        stats.probability_of_improvement([(second, first)]),
    )


def improvement(one: Entry, other: Entry, column: str = EPISODES[0]) -> stats.Estimate:
    """The probability that a seed of the second is better than one of the first, at the steps that both have."""
    _, first, second = _where_both_are(one, other, column)
    return stats.probability_of_improvement([(second, first)])


def _where_both_are(one: Entry, other: Entry, column: str) -> tuple[int, list[float], list[float]]:
    """The most environment steps that both have, and the returns of the seeds of each there."""
    most = min(one.steps, other.steps)
    return most, one.finals(column, most), other.finals(column, most)


def pairs(one: Result, other: Result) -> list[tuple[Entry, Entry]]:
    """Which configurations are compared.

    Those with the same values of the same grid are; with other grids each of the first with each of the second; within
    one directory each with each.

    Raises:
      InvalidSetting: they are on different tasks, there is nothing to compare, or too much.
    """
    if one.config["env"] != other.config["env"]:
        tasks = f"env = {other.config['env']!r}: must be {one.config['env']!r}, as in {str(one.path)!r}"
        raise InvalidSetting(f"run directory {str(other.path)!r}: {tasks}")
    same = _place(one.path) == _place(other.path)
    found = tables.entries([one] if same else [one, other])
    mine, theirs = ([entry for entry in found if entry.result is each] for each in (one, other))
    grids = [[entry.result.config["configurations"][entry.index]["grid"] for entry in side] for side in (mine, theirs)]
    if same:
        listed = list(itertools.combinations(found, 2))
    elif grids[0] == grids[1]:
        listed = list(zip(mine, theirs, strict=True))
    else:
        listed = list(itertools.product(mine, theirs))
    if not listed:
        raise InvalidSetting(f"run directory {str(other.path)!r}: is the same one; must be another")
    if len(listed) > MOST_PAIRS:
        raise InvalidSetting(
            f"run directory {str(other.path)!r}: makes {len(listed)} pairs of configurations; must make at most "
            f"{MOST_PAIRS}: see `report`"
        )
    return listed


def _place(path: Path) -> Path:
    return path.resolve()


def differences(listed: Sequence[tuple[Entry, Entry]]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ in every pair, and each time by the same values; `MISSING` where a side has no such field.

    What differs in some pairs only is in the names of the configurations.
    """
    found = []
    for one, other in listed:
        mine, theirs = one.settings, other.settings
        found.append(_apart(mine, theirs))
    return {name: value for name, value in found[0].items() if all(each.get(name) == value for each in found)}


def surroundings(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs around two trainings, from their `config.json`: versions, device, seeds."""
    sides = [
        {"device": each.get("device"), "seeds": ", ".join(map(str, each.get("seeds", [])))}
        | {f"version of {name}": value for name, value in each.get("versions", {}).items()}
        for each in (one, other)
    ]
    return _apart(*sides)


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    missing = tables.MISSING
    return {name: (one.get(name, missing), other.get(name, missing)) for name in tables.differing([one, other])}
