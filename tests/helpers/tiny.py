"""The smallest runs that still are runs: what a test pays is compiling, so that equal ones are shared."""

import pytest

import envs
from envs import fields
from maxent_jax.agents import AGENTS
from maxent_jax.programs import expand

OFF_POLICY = {"hidden": (8,), "batch_size": 8, "buffer_size": 64}
FIELDS = {
    "sac": OFF_POLICY,
    "sac_adaent": OFF_POLICY | {"n_samples": 4},
    "ppo": {"hidden": (8,), "batch_size": 16, "rollout_steps": 32, "passes": 2},
    "td3": OFF_POLICY,
    "ddpg": OFF_POLICY,
    "sql": OFF_POLICY | {"n_samples": 4},
    "sac_annealed": OFF_POLICY,
    "sac_lite": OFF_POLICY,
}
RUNS = {"seeds": 3, "steps": 64, "evaluations": 2}


def flags(fields):
    """Fields of an agent as options of the command line."""
    text = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in fields.items()}
    return [f"--agent.{name}={value}" for name, value in text.items()]


def agents():
    """All agents, for a test that compiles their programs; SAC-AdaEnt, which holds SAC, and PPO are not slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("sac_adaent", "ppo"))) for name in FIELDS]


def lay_out(agent, env="pendulum", seeds=(0,), grid=None, steps=100, parallel=1, evaluations=2, mass=1.0, **values):
    """A sweep of tiny runs."""
    built = fields.build(AGENTS[agent], FIELDS[agent] | values, "agent.")
    task = envs.make(env, mass=mass) if env != "toy" else envs.make(env)
    return expand(built, task, seeds, grid or {}, steps, parallel, evaluations)
