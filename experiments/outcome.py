"""What an experiment found: a table of returns, printed, and written with what is behind it."""

import dataclasses
import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import agreeing
from experiments.captions import budget, verdicts
from maxent_jax import compare, plots, runs, stats, tables
from maxent_jax.result import Result


def record(path: Path, preset: str, results: list[Result], rows: list[dict[str, Any]], **more: Any) -> None:
    """Write a table of results and what is behind it.

    Args:
      path: the JSON to write: the rows, budget, seeds, minutes, device, versions, verdicts, and what is `more`. Beside
        it comes `metrics.csv.gz`, a row per run and chunk of all that was measured.
      preset: by which the runs were made.
      results: the runs.
      rows: the table.
      **more: by name.
    """
    about = {
        "preset": preset,
        "budget": budget(results),
        "seeds": {result.config["agent"]: result.config["seeds"] for result in results},
        "minutes": sum(result.summary["elapsed_seconds"] for result in results) / 60,
        "device": runs.device(),
        "versions": runs.versions(),
        "verdicts": [dataclasses.asdict(each) for each in verdicts(results)],
    }
    write_metrics(results, path.with_name("metrics.csv.gz"))
    runs.write_json(path, about | {"rows": rows} | more)


def write_metrics(results: list[Result], path: Path) -> None:
    """Every evaluation of every run as compressed CSV; equal runs give equal bytes, wherever their folder is."""
    below = [dataclasses.replace(each, path=Path(os.path.relpath(each.path, path.parent))) for each in results]
    text = tables.csv_text(tables.entries(below))
    runs.write_whole(path, gzip.compress(text.encode(), mtime=0))


def table(found: Sequence[tables.Entry], known: Any) -> list[dict[str, Any]]:
    """Final returns, agents and yardsticks alike.

    Args:
      found: the configurations, SAC first.
      known: rows of `yardsticks.recorded`.

    Returns:
      One row each; whether an agent's seeds are better than SAC's is asked at the steps that both have. Minutes are
      those of the whole run directory. What the controllers that were not trained return has no second way of acting,
      no minutes, and no seeds.
    """
    ways = {"deterministic": "return_deterministic", "stochastic": "return_stochastic"}
    rows = []
    for entry in found:
        result, final = entry.result, entry.result.summary["configurations"][entry.index]
        better = None if entry is found[0] else compare.improvement(found[0], entry)
        rows.append(
            {
                "agent": plots.label(result, entry.index),
                **{way: final[column] for way, column in ways.items()},
                "better_than_sac": None if better is None else dataclasses.asdict(better),
                "switched_share": final["switched_share"],
                "steps": result.summary["env_steps"],
                "minutes": result.summary["elapsed_seconds"] / 60,
                **agreeing.of_configuration(result, entry.index),
            }
        )
    nothing = dict.fromkeys(("stochastic", "better_than_sac", "switched_share", "steps", "minutes"))
    for name, row in known.items():
        numbers = {key: row[key] for key in ("mean", "low", "high", "std")}
        rows.append({"agent": name, "deterministic": numbers, **nothing})
    return rows


def show(console: Console | None, rows: list[dict[str, Any]], title: str) -> None:
    """Print who ends where."""
    if console is None:
        return
    shown = Table(
        *("agent", "mean action: IQM, 95 % interval", "sampled", "better than sac, probability", "minutes"),
        title=title,
    )
    for row in rows:
        returns = (stats.shown(row[key]) for key in ("deterministic", "stochastic", "better_than_sac"))
        shown.add_row(row["agent"], *returns, stats.digits(row["minutes"]))
    console.print(shown)
