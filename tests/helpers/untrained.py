"""A run directory in memory whose agents never learned, so that nothing is compiled for it or read."""

from pathlib import Path

import jax
import numpy as np
import tiny

import envs
from envs import fields
from maxent_jax import runs
from maxent_jax.agents import AGENTS
from maxent_jax.programs import RunInfo
from maxent_jax.result import Result


class Untrained(Result):
    """A `Result` whose states are fresh ones."""

    def agent_state(self, run):
        return jax.jit(self.agents[0].init)(jax.random.key(run), self.envs[0].spec)


def result(agent="sac", env="toy", values=((-1.0, 1.0, 2.0), (-3.0, 2.0, np.nan)), grid=None):
    """One configuration; one seed a row of `values`, its returns by chunk."""
    returns = np.array(values)
    metrics = dict.fromkeys(runs.COLUMNS, np.full(returns.shape, np.nan))
    metrics |= {"return_deterministic": returns, "return_stochastic": returns, "elapsed_seconds": returns}
    metrics["env_steps"] = np.broadcast_to(10.0 * np.arange(returns.shape[1]), returns.shape)
    built = fields.build(AGENTS[agent], tiny.FIELDS[agent])
    config = {
        "agent": agent,
        "env": env,
        "seeds": [5 + row for row in range(len(returns))],
        "steps": 20,
        "envs": 1,
        "evaluations": 2,
        "agent_fields": fields.plain_values(built),
        "configurations": [{"grid": grid or {}, "overrides": {"alpha": 1.0, "tau": 0.5}}],
        "runs": [{"run": row, "seed": 5 + row, "configuration": 0, "program": 0} for row in range(len(returns))],
    }
    infos = tuple(RunInfo(row, 5 + row, 0) for row in range(len(returns)))
    return Untrained(Path("nowhere"), config, infos, metrics, (built,), (envs.make(env, horizon=4),))
