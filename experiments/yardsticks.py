"""What each task yields to those who know it, and to those who know nothing: without these a return says little.

The controllers are chosen here; `python -m benchmarks.yardsticks` measures them and writes `docs/yardsticks.json`,
which all figures read.
"""

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import envs
from envs import fields
from experiments.controllers import Constant, Controller, Idle, Random, returns
from experiments.feedback import Feedback
from experiments.planner import Planner
from maxent_jax import runs, stats
from maxent_jax.tables import Entry
from maxent_jax.verdict import Yardsticks

SEEDS = tuple(range(20))
"""Episode i begins from `jax.random.key(SEEDS[i])`, whoever acts."""

PLACES = (Path(__file__).parents[1] / "docs" / "yardsticks.json", Path(__file__).with_name("yardsticks.json"))
"""Where the record lies in a checkout, and where in an installed package."""

BLIND: dict[str, Controller] = {"zero action": Constant(), "random actions": Random()}

KNOWING: dict[str, dict[str, Controller]] = {
    "pendulum": {"planner": Planner(actions=20, samples=64)},
    "vehicle": {"planner": Planner(hold=2, actions=20, samples=64)},
    "quadrotor": {"planner": Planner(actions=15, samples=128, elites=16, rounds=4, spread=0.3), "hover": Idle()},
    "acrobot": {"planner": Planner(actions=15, samples=256, elites=16, rounds=8)},
    "quadruped": {"gait": Feedback(period=20)},
    "hopper": {
        "gait": Feedback(
            features=tuple(range(11)),
            period=60,
            rounds=50,
            extra=0.05,
            search_fields=(("integrator", "euler"), ("forward_weight", 3.0)),
        )
    },
    "obstacle2d": {"planner": Planner(actions=8, samples=256, elites=16, rounds=8, spread=1.0)},
}
"""Found by trying a few dozen settings at a minute each, not by a search: better ones may exist."""


def controllers(task: str) -> dict[str, Controller]:
    """Who is measured on a task, the best first.

    Raises:
      InvalidSetting: no such task, or none is chosen for it.
    """
    if task not in KNOWING:
        raise fields.unknown(f"yardstick {task!r}", task, KNOWING)
    return {**KNOWING[task], **BLIND}


def measure(task: str) -> dict[str, Any]:
    """All controllers of a task, each on the same episodes.

    Args:
      task: its name.

    Returns:
      What `docs/yardsticks.json` holds of it: for each controller its settings, what it found out before its first
      episode, the seconds it took (compiling included), every return and their mean, with a 95 % bootstrap interval.
    """
    env = envs.make(task)
    rows = {}
    for name, controller in controllers(task).items():
        begin = time.perf_counter()
        prepared = controller.prepare(env)
        values = returns(prepared, env, SEEDS)
        seconds = round(time.perf_counter() - begin, 1)
        rows[name] = {"controller": settings(controller), "seconds": seconds, **summary(values)}
        if prepared != controller:
            rows[name]["prepared"] = settings(prepared)
    about = {"env_fields": fields.plain_values(env), "device": runs.device(), "versions": runs.versions()}
    return {**about, "seeds": list(SEEDS), "rows": rows}


def settings(controller: Controller) -> dict[str, Any]:
    """A controller's name and fields, as JSON holds them."""
    return json.loads(json.dumps({"name": type(controller).__name__, **dataclasses.asdict(controller)}))


def summary(values: np.ndarray) -> dict[str, Any]:
    """Mean, interval, standard deviation and every value of (episodes,) returns."""
    found = stats.interval(values)
    ends = {"mean": found.mean, "low": found.low, "high": found.high, "std": float(np.std(values))}
    return {**ends, "per_seed": [runs.number(value) for value in values]}


def recorded(task: str) -> Mapping[str, Mapping[str, Any]]:
    """What was measured on a task: rows by controller, the best first.

    Raises:
      InvalidSetting: nothing was.
    """
    known = record()
    if task not in known:
        raise fields.unknown(f"yardstick {task!r}", task, known)
    return known[task]["rows"]


def record() -> dict[str, Any]:
    """The whole record by task; empty where there is none."""
    path = next((path for path in PLACES if path.exists()), None)
    return {} if path is None else json.loads(path.read_text())


def lines(task: str) -> dict[str, float]:
    """What a figure of learning curves draws."""
    return {name: row["mean"] for name, row in recorded(task).items()}


def for_verdicts(found: Iterable[Entry]) -> dict[str, Yardsticks]:
    """What verdicts on configurations ask, by task; tasks of which nothing was measured are left out."""
    known, tasks = record(), {entry.task for entry in found}
    return {task: _for_verdict(known[task]) for task in tasks if task in known}


def _for_verdict(measured: Mapping[str, Any]) -> Yardsticks:
    returns = {name: row["per_seed"] for name, row in measured["rows"].items()}
    knowing = {name: values for name, values in returns.items() if name not in BLIND}
    blind = {name: values for name, values in returns.items() if name in BLIND}
    return Yardsticks(knowing, blind, measured["env_fields"])
