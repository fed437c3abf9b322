"""The smallest runs that still are runs: what a test pays is compiling, so that equal ones are shared."""

import pytest

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


def agents(main=("sac", "sac_adaent", "ppo")):
    """All agents, for a test that compiles their programs; what stands beside the main ones is slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in main)) for name in FIELDS]
