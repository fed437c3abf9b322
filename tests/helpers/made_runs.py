"""Run directories on disk that were never trained: made of returns that a test chooses, and of fresh agents."""

import jax
import numpy as np
import tiny

from maxent_jax import api, runs
from maxent_jax.result import load

STEPS = 10
"""Environment steps from one evaluation to the next."""


def make(
    path, values, agent="sac", env="toy", seeds=None, failed=None, finished=True, grid=None, env_fields=None, **own
):
    """Write a run directory.

    Args:
      path: the folder to make.
      values: (runs, chunks) returns; draws return 1 less; NaN is null.
      agent: its name; its fields are tiny, but for those in `own`.
      env: the task.
      seeds: which; None: 0, 1, ...
      failed: run to (step, cause).
      finished: whether it says so.
      grid: as for `sweep`; runs are those of its first configuration first.
      env_fields: of the task.
      own: fields of the agent.
    """
    values = np.asarray(values, float)
    count = len(values) // int(np.prod([len(column) for column in (grid or {}).values()] or [1]))
    chunks = values.shape[1]
    job = api.prepare(
        agent,
        env,
        seeds=seeds or count,
        steps=STEPS * (chunks - 1) if agent != "ppo" else 32 * (chunks - 1),
        evaluations=chunks - 1,
        agent_fields=tiny.FIELDS[agent] | own,
        env_fields=env_fields,
        grid=grid,
        out=path,
    )
    (path / "figures").mkdir(parents=True)
    runs.write_json(path / "config.json", job.config)
    with (path / "metrics.jsonl").open("w") as file:
        for chunk in range(chunks):
            for info in job.config["runs"]:
                file.write(runs.to_line(_line(info, chunk, values[info["run"], chunk], failed or {})))
    if finished:
        runs.write_json(path / "summary.json", {"complete": True})
    return path


def _line(info, chunk, value, failed):
    known = dict.fromkeys(runs.COLUMNS) | {
        "env_steps": STEPS * chunk,
        "updates": STEPS * chunk,
        "return_deterministic": runs.number(value),
        "return_stochastic": runs.number(value - 1),
        "nonfinite": 0.0,
        "elapsed_seconds": 60.0 * chunk,
    }
    step, cause = failed.get(info["run"], (None, None))
    lost = {"step": step, "cause": cause} if step is not None and STEPS * chunk >= step else None
    return {"run": info["run"], "seed": info["seed"], **known, "failed": lost}


def with_agents(path):
    """Give every program of a directory's the states of fresh agents; the directory."""
    result = load(path)
    programs = {entry["program"] for entry in result.config["runs"]}
    for program in programs:
        members = [entry for entry in result.config["runs"] if entry["program"] == program]
        agent, env = (side[members[0]["configuration"]] for side in (result.agents, result.envs))
        keys = jax.vmap(jax.random.key)(np.array([entry["seed"] for entry in members], np.uint32))
        runs.save_agents(path, program, jax.jit(jax.vmap(agent.init, in_axes=(0, None)))(keys, env.spec))
    return path
