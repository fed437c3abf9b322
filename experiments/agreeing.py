"""How often the fast comparison decides as the exact one does, in the very runs that used it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from maxent_jax import rollout
from maxent_jax.agents import SACAdaEnt
from maxent_jax.result import Result
from maxent_jax.rule import trials
from maxent_jax.rule.subject import Subject

EPISODES = 3
MOST = 500
"""States a run."""


@dataclasses.dataclass(frozen=True)
class Compared:
    """Similarities at the same n states, found in three ways.

    Attributes:
      fast: (n,) as `comparison="fast"` finds them.
      exact: (n,) as `comparison="exact"` does.
      again: (n,) the same with other draws: no approximation can agree better than the exact one with itself.
    """

    fast: np.ndarray
    exact: np.ndarray
    again: np.ndarray

    def alike(self, threshold: float) -> np.ndarray:
        """(2, n) whether the fast comparison decides as the exact one does, and whether that one does so again."""
        exact = self.exact < threshold
        return np.stack([(self.fast < threshold) == exact, (self.again < threshold) == exact])


def compare(agent: SACAdaEnt, state: Any, obs: Any, key: jax.Array) -> Compared:
    """Similarities at observations (n, o)."""

    def alike(comparison: str, key: jax.Array) -> Any:
        return rollout.similarity(dataclasses.replace(agent, comparison=comparison), state, obs, key)

    one, other = jax.random.split(key)
    return Compared(alike("fast", one), alike("exact", one), alike("exact", other))


TOLD = "fast agrees with exact (exact with itself)"
NAMES = ("agreement_with_exact_comparison", "agreement_of_exact_with_itself")


def shares(alike: Sequence[np.ndarray]) -> dict[str, float | None]:
    """Both shares over all states, of parts (2, n) from `Compared.alike`; None where there are none."""
    found = np.concatenate(alike, axis=1).mean(axis=1).tolist() if alike else (None, None)
    return dict(zip(NAMES, found, strict=True))


def told(row: Mapping[str, Any]) -> str:
    """A cell of a table, `TOLD` its name: both shares of a row of an outcome; nothing where it has none."""
    agrees, at_best = (row.get(name) for name in NAMES)
    return "" if agrees is None or at_best is None else f"{agrees:.1%} ({at_best:.1%})"


def of_configuration(result: Result, configuration: int = 0) -> dict[str, float | None]:
    """Shares of the states on trained policies' ways at which comparisons decide alike, over all seeds.

    Args:
      result: a run directory.
      configuration: which of it; failed runs are left out.

    Returns:
      Both `shares`; of None for an agent that does not compare fast.
    """
    agent, env = result.agents[configuration], result.envs[configuration]
    if not isinstance(agent, SACAdaEnt) or agent.comparison != "fast":
        return shares([])
    found = []
    for row in result.sound(configuration):
        info = result.runs[row]
        state = result.agent_state(info.run)
        visit_key, compare_key = jax.random.split(jax.random.key(info.seed))
        seen = trials.visit(Subject(agent, state), env, visit_key, EPISODES)
        found.append(compare(agent, state, seen.obs[seen.evenly(MOST)], compare_key).alike(float(agent.threshold)))
    return shares(found)
