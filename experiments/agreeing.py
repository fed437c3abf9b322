"""How often the fast comparison decides as the exact one does, in the very runs that used it."""

import dataclasses
from typing import Any

import jax
import numpy as np

from maxent_jax import trials
from maxent_jax.agents import SACAdaEnt
from maxent_jax.runs import Result
from maxent_jax.subject import Subject

EPISODES = 3
MOST = 500
"""States a run."""


def verdicts(agent: SACAdaEnt, state: Any, obs: Any, key: jax.Array) -> np.ndarray:
    """(n,) whether one fast and one exact comparison at observations (n, o) are on the same side of the threshold."""
    fast, exact = (
        np.asarray(Subject(dataclasses.replace(agent, comparison=way), state).similarity(obs, key)) < agent.threshold
        for way in ("fast", "exact")
    )
    return fast == exact


def of_runs(results: list[Result]) -> dict[str, float]:
    """Share of the states on trained policies' ways at which both decide alike, by run directory.

    Args:
      results: runs; those of other agents, and failed ones, are left out.

    Returns:
      The shares, each over all seeds of the first configuration.
    """
    found = {}
    for result in results:
        agent = result.agents[0]
        if not isinstance(agent, SACAdaEnt):
            continue
        alike = []
        for row in result.rows(0):
            info = result.runs[row]
            if info.run not in result.failed:
                key, state = jax.random.key(info.seed), result.agent_state(info.run)
                seen = trials.visit(Subject(agent, state), result.envs[0], key, EPISODES).evenly(MOST)
                alike.append(verdicts(agent, state, seen.obs, jax.random.fold_in(key, 1)))
        if alike:
            found[result.path.name] = float(np.mean(np.concatenate(alike)))
    return found
