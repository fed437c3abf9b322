"""Saved policies evaluated again: more episodes, other physics, noise or delay."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import stats, trainer
from maxent_jax.result import Result

AT_ONCE = 4096
"""Most environments that are stepped at once."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Returns of one configuration's saved policies.

    Attributes:
      configuration: its number.
      seeds: of the runs that count; those that failed do not.
      deterministic: (runs, episodes) returns by the mean action; NaN where the physics broke down.
      stochastic: (runs, episodes) returns by draws.
    """

    configuration: int
    seeds: tuple[int, ...]
    deterministic: np.ndarray
    stochastic: np.ndarray

    @property
    def broken(self) -> int:
        """Episodes in which the physics broke down; they count in no mean."""
        return int(sum(np.isnan(returns).sum() for returns in (self.deterministic, self.stochastic)))


def evaluate(
    result: Result, episodes: int, env_fields: Mapping[str, Any] | None = None, seed: int = 0
) -> list[Evaluation]:
    """Roll every saved policy out on fresh episodes of the bare task.

    Args:
      result: the run directory.
      episodes: how many for each run, by the mean action, and as many by draws; all runs begin in the same states.
      env_fields: fields of the task to change, on top of each configuration's own.
      seed: of the episodes.

    Returns:
      One evaluation a configuration of which a run did not fail.

    Raises:
      InvalidSetting: an unknown field or a value that is not allowed; a task that shows or takes other numbers; or
        nothing was saved.
    """
    tasks = [changed(env, env_fields or {}) for env in result.envs]
    found = []
    for configuration, task in enumerate(tasks):
        sound = [result.runs[row] for row in result.sound(configuration)]
        if not sound:
            continue
        states = [result.agent_row(info.run) for info in sound]
        returns = _returns(result.agents[configuration], task, states, episodes, seed)
        found.append(Evaluation(configuration, tuple(info.seed for info in sound), returns[:, 0], returns[:, 1]))
    return found


def changed(env: Any, values: Mapping[str, Any]) -> Any:
    """A task with some of its fields changed, for policies that know it unchanged.

    Raises:
      InvalidSetting: an unknown field, a value that is not allowed, or other observations or actions than the policies
        know.
    """
    if not values:
        return env
    checked = fields.checked(type(env), values, "env.")
    task = fields.build(type(env), fields.plain_values(env) | checked, where="env.")
    if isinstance(task, envs.Task):
        task.validate()
    for name in ("observation_size", "action_size"):
        one, other = getattr(env.spec, name), getattr(task.spec, name)
        if one != other:
            listed = ", ".join(f"env.{field} = {fields.show(value)}" for field, value in checked.items())
            raise InvalidSetting(f"{listed}: {name} would be {other}; must stay {one}, which the policies know")
    return task


def _returns(agent: Any, env: Any, states: Sequence[Any], episodes: int, seed: int) -> np.ndarray:
    """(runs, 2, episodes) returns, a few runs at a time."""
    size = min(len(states), max(1, AT_ONCE // (2 * episodes)))
    parts = []
    for begin in range(0, len(states), size):
        group = list(states[begin : begin + size])
        padded = group + group[-1:] * (size - len(group))  # one shape: compiled once
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *padded)
        found = _roll_out(agent, env, stacked, jax.random.key(seed), episodes=episodes)
        parts.append(np.asarray(found)[: len(group)])
    return np.concatenate(parts).astype(np.float64)


@functools.partial(jax.jit, static_argnames="episodes")
def _roll_out(agent: Any, env: Any, states: Any, key: jax.Array, *, episodes: int) -> jax.Array:
    return jax.vmap(lambda state: trainer.episode_returns(agent, env, state, key, episodes))(states)


def means(returns: np.ndarray) -> np.ndarray:
    """(runs,) mean returns of (runs, episodes); what is NaN does not count, and all NaN is NaN."""
    count = np.isfinite(returns).sum(axis=1)
    return np.where(count > 0, np.nansum(returns, axis=1) / np.maximum(count, 1), np.nan)


def as_json(found: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Everything as JSON holds it: every return, and the mean and interquartile mean over runs with their intervals."""
    return [
        {
            "configuration": each.configuration,
            "seeds": list(each.seeds),
            **{
                name: dataclasses.asdict(stats.interval(means(returns)))
                | {"returns": [[float(x) if np.isfinite(x) else None for x in row] for row in returns]}
                for name, returns in (("deterministic", each.deterministic), ("stochastic", each.stochastic))
            },
        }
        for each in found
    ]
