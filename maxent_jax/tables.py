"""Run directories side by side: configurations by name, what tells them apart, and their metrics as one tidy table."""

import collections
import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs import fields
from envs.fields import InvalidSetting
from maxent_jax.agents import Agent
from maxent_jax.result import Result, last
from maxent_jax.runs import COLUMNS, COUNTS, EPISODES, write_whole

MOST_IN_A_NAME = 3
"""Settings that an entry's name holds."""
MISSING = "\N{EN DASH}"
"""Stands for the value of a field that one of several does not have."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One configuration of one run directory.

    Attributes:
      result: the run directory.
      index: the number of the configuration.
      name: what it is called beside the others.
    """

    result: Result
    index: int
    name: str = ""

    @property
    def agent(self) -> Agent:
        """The agent, its fields set."""
        return self.result.agents[self.index]

    @property
    def task(self) -> str:
        """The name of the task."""
        return str(self.result.config["env"])

    @property
    def rows(self) -> list[int]:
        """Its runs, as rows of `result.metrics`."""
        return self.result.rows(self.index)

    @property
    def sound(self) -> list[int]:
        """Those that did not fail."""
        return self.result.sound(self.index)

    @property
    def settings(self) -> dict[str, Any]:
        """Every field by name, `env.` before those of the task, and the size of the training."""
        config = self.result.config
        return {
            "agent": config["agent"],
            "env": self.task,
            **fields.plain_values(self.agent),
            **{f"env.{name}": value for name, value in self.env_fields.items()},
            "steps": config["steps"],
            "envs": config["envs"],
            "evaluations": config["evaluations"],
        }

    @property
    def env_fields(self) -> dict[str, Any]:
        """The fields of the task."""
        return fields.plain_values(self.result.envs[self.index])

    @property
    def steps(self) -> int:
        """Environment steps at its last evaluation so far."""
        return int(np.nanmax(self.result.metrics["env_steps"][self.rows]))

    @property
    def minutes(self) -> float:
        """Minutes that its program has trained so far."""
        return float(np.nanmax(self._minutes))

    @property
    def _minutes(self) -> np.ndarray:
        """(runs, chunks) minutes since its program began; the clock of metrics.jsonl runs through all programs.

        Merged shards bring clocks of their own. Where another host's program ends after this one's first evaluation it
        counts for nothing; where it ends before, what is wrong is at most the time from the begin to that evaluation.
        """
        clock = self.result.metrics["elapsed_seconds"]
        programs = {entry["run"]: entry["program"] for entry in self.result.config["runs"]}
        own = programs[self.result.runs[self.rows[0]].run]
        before = [row for row, info in enumerate(self.result.runs) if programs[info.run] < own]
        ends = np.nanmax(clock[before], axis=1, initial=0.0, where=np.isfinite(clock[before]))
        first = np.nanmin(clock[self.rows], axis=1, initial=np.inf, where=np.isfinite(clock[self.rows]))
        began = np.max(np.where(ends <= first[:, None], ends, 0.0), axis=1, initial=0.0)
        return (clock[self.rows] - began[:, None]) / 60

    def curve(self, column: str, x: str = "env_steps", steps: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
        """Evaluations up to a number of environment steps.

        Args:
          column: of metrics.jsonl.
          x: `env_steps` or `minutes`.
          steps: the most.

        Returns:
          x (times,), and the column of the runs that did not fail, (seeds, times).
        """
        metrics = self.result.metrics
        taken = metrics["env_steps"][self.sound]
        values = np.where(taken <= steps, metrics[column][self.sound], np.nan)
        known = np.isfinite(values).any(axis=0)
        if not known.any():
            return np.zeros(0), values[:, known]
        clock = metrics["env_steps"][self.rows] if x == "env_steps" else self._minutes
        return np.nanmax(clock[:, known], axis=0), values[:, known]

    def finals(self, column: str = EPISODES[0], steps: float = math.inf) -> list[float]:
        """The last value of each sound run, at most so many environment steps in; NaN where there is none."""
        return [last(values) for values in self.curve(column, steps=steps)[1]]


def check(result: Result) -> Result:
    """Refuse a run directory without a single evaluation.

    Raises:
      InvalidSetting: there is none.
    """
    if not np.isfinite(result.metrics["env_steps"]).any():
        raise InvalidSetting(f"run directory {str(result.path)!r}: has no evaluation yet; must hold at least one")
    return result


def entries(results: Sequence[Result]) -> list[Entry]:
    """All configurations of run directories, each with a name of its own.

    A name is the agent's, with the settings that tell it from the same agent's other configurations on the task, and
    the folder where that is not enough.
    """
    found = [
        Entry(result, index)
        for result in results
        for index in range(len(result.agents))
        if np.isfinite(result.metrics["env_steps"][result.rows(index)]).any()
    ]
    families = collections.defaultdict(list)
    for entry in found:
        families[entry.task, entry.result.config["agent"]].append(entry)
    names: dict[int, str] = {}
    for (_, agent), family in families.items():
        apart = differing([entry.settings for entry in family])
        texts = [_name(agent, [(name, entry.settings.get(name)) for name in apart]) for entry in family]
        folders = [entry.result.path for entry in family]
        for places in ([path.name for path in folders], folders):
            twice = {text for text, count in collections.Counter(texts).items() if count > 1}
            texts = [f"{text}, {place}" if text in twice else text for text, place in zip(texts, places, strict=True)]
        names |= {id(entry): text for entry, text in zip(family, texts, strict=True)}
    return [dataclasses.replace(entry, name=names[id(entry)]) for entry in found]


def _name(agent: str, values: Sequence[tuple[str, Any]]) -> str:
    shown = ", ".join(f"{name} {show(value)}" for name, value in values[:MOST_IN_A_NAME])
    more = ", ..." if len(values) > MOST_IN_A_NAME else ""
    return f"{agent} ({shown}{more})" if values else agent


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of settings that not all have alike, in the order in which they come."""
    names = dict.fromkeys(name for each in settings for name in each)
    first = settings[0]
    return [name for name in names if any(each.get(name, MISSING) != first.get(name, MISSING) for each in settings)]


def show(value: Any) -> str:
    """A value of a setting, for people."""
    if isinstance(value, (tuple, list)):
        return "x".join(str(part) for part in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def count(number: int, word: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def tidy(found: Iterable[Entry]) -> tuple[list[str], list[list[Any]]]:
    """One table of everything that was measured: a row per run and chunk.

    Args:
      found: configurations.

    Returns:
      The names of the columns, and the rows: who it is, every setting that tells configurations apart (agent and task
      always), the columns of metrics.jsonl, and the step and the cause of its run's failure. None where there is none.
    """
    found = list(found)
    settings = [entry.settings for entry in found]
    apart = [name for name in differing(settings) if name not in ("agent", "env")]
    columns = [_column(name, found) for name in apart]
    names = ["directory", "configuration", "name", "agent", "env", *columns, "run", "seed", "chunk", *COLUMNS]
    rows = []
    for entry, own in zip(found, settings, strict=True):
        result = entry.result
        about = [str(result.path), entry.index, entry.name, own["agent"], own["env"], *(own.get(x) for x in apart)]
        for row in entry.rows:
            info = result.runs[row]
            lost = result.failed.get(info.run, {})
            for chunk in np.flatnonzero(np.isfinite(result.metrics["env_steps"][row])):
                numbers = [_plain(name, result.metrics[name][row, chunk]) for name in COLUMNS]
                rows.append([*about, info.run, info.seed, int(chunk), *numbers, lost.get("step"), lost.get("cause")])
    return [*names, "failed_step", "failed_cause"], rows


def _column(name: str, found: Sequence[Entry]) -> str:
    """`agent.` leads an agent's fields: alpha is a metric, too."""
    return f"agent.{name}" if any(name in fields.settings(type(entry.agent)) for entry in found) else name


def _plain(name: str, value: float) -> int | float | None:
    if not math.isfinite(value):
        return None
    return int(value) if name in COUNTS else float(value)


def write_csv(found: Iterable[Entry], path: Path) -> None:
    """Write `tidy`, whole or not at all."""
    write_whole(path, csv_text(found).encode())


def csv_text(found: Iterable[Entry]) -> str:
    """`tidy` as CSV."""
    names, rows = tidy(found)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([["" if value is None else _cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return show(value) if isinstance(value, (bool, tuple, list)) else value
