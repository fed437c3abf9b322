"""Who is compared on the control tasks, and how each is trained."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import published
from maxent_jax import api
from maxent_jax.result import Result

SEEDS = {"quick": 3, "cpu": 5, "paper": 10}
CONTACTS = ("quadruped", "hopper")
"""Tasks whose steps cost a hundred times as much."""
EVALUATIONS = {"quick": 8, "cpu": 10}
"""How often a preset evaluates on these: with the usual 20 times it would take longer than training."""
STEPS = {("cpu", "ppo"): 500_000, "cpu": 120_000}
"""Environment steps by preset, or by preset and agent, at most the published ones: an hour or two a task on two
cores, in which PPO makes as many more steps as it needs to take about as long as SAC."""
CONTACT_STEPS = {("cpu", "ppo"): 150_000, "cpu": 50_000}
"""Likewise on tasks with contacts."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One line of the comparison.

    Attributes:
      folder: its run directory.
      agent: a registered agent.
      fields: what is not as published for the task.
    """

    folder: str
    agent: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


CONTESTANTS = (
    Contestant("sac", "sac"),
    Contestant("sac-auto", "sac", {"auto_alpha": True}),
    Contestant("sac-plain", "sac", {"alpha": 0.0}),
    Contestant("sac_adaent", "sac_adaent"),
    Contestant("ppo", "ppo"),
    Contestant("td3", "td3"),
    Contestant("ddpg", "ddpg"),
    Contestant("sql", "sql"),
)
SMOKE = ("sac", "sac_adaent", "ppo")
"""Those of the preset `quick`."""


def of_preset(preset: str) -> tuple[Contestant, ...]:
    """Who is trained."""
    return tuple(one for one in CONTESTANTS if preset != "quick" or one.folder in SMOKE)


def train(
    contestant: Contestant,
    task: str,
    out: Path,
    preset: str,
    console: Console | None,
    env_fields: Mapping[str, Any] | None = None,
) -> Result:
    """One line of the comparison on one task, or on a variant of it; it goes on where it was stopped."""
    return api.train(**asked(contestant, task, preset, env_fields), out=out, resume=True, console=console)


def asked(
    contestant: Contestant, task: str, preset: str, env_fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The arguments of `maxent_jax.train`, and of `api.prepare`, that make one line of the comparison."""
    fast = published.FAST if contestant.agent == "sac_adaent" and preset != "paper" else {}
    return {
        "agent": contestant.agent,
        "env": task,
        "seeds": SEEDS[preset],
        "steps": steps(contestant.agent, task, preset),
        "evaluations": EVALUATIONS.get(preset, 20) if task in CONTACTS else 20,
        "preset": preset,
        "agent_fields": {**fast, **contestant.fields},
        "env_fields": env_fields,
    }


def steps(agent: str, task: str, preset: str) -> int | None:
    """Environment steps a run, never more than published; None: the preset's own."""
    most = CONTACT_STEPS if task in CONTACTS else STEPS
    asked = most.get((preset, agent), most.get(preset))
    return None if asked is None else min(asked, published.row(agent, task).steps)
