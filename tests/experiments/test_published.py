import math

import pytest

import envs
from envs import fields
from experiments import published
from maxent_jax.agents import AGENTS

# What the published code has in common for all tasks, then by task.
SAC = {
    "gamma": 0.99,
    "tau": 0.005,
    "buffer_size": 1_000_000,
    "batch_size": 256,
    "updates_per_step": 1.0,
    "auto_alpha": False,
    "init_mean": 0.0,
    "init_std": 1.0,
}
PPO = {
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip": 0.2,
    "max_grad_norm": 0.5,
    "entropy_coef": 0.0,
    "batch_size": 64,
    "passes": 10,
    "rollout_steps": 2048,
    "value_coef": 0.25,
    "init_mean": 0.0,
    "normalise_advantages": False,
    "normalise_observations": False,
    "recompute_advantages": True,
}
TABLE = {
    ("sac", "toy"): {
        **SAC,
        "hidden": (32, 32),
        "lr": 1e-3,
        "alpha": 1.0,
        "alpha_lr": 1e-3,
        "prefill_steps": 0,
        "steps": 100_000,
    },
    ("sac", "vehicle"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 1e-3,
        "alpha": 0.2,
        "alpha_lr": 1e-3,
        "prefill_steps": 10_000,
        "steps": 2_000_000,
    },
    ("sac_adaent", "toy"): {
        **SAC,
        "hidden": (32, 32),
        "lr": 1e-3,
        "alpha": 1.0,
        "alpha_lr": 1e-4,
        "prefill_steps": 0,
        "steps": 100_000,
        "threshold": 0.9,
        "n_samples": 100,
    },
    ("sac_adaent", "vehicle"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 1e-3,
        "alpha": 0.2,
        "prefill_steps": 10_000,
        "steps": 2_000_000,
        "threshold": 0.8,
        "n_samples": 100,
    },
    ("sac", "obstacle2d"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 1e-3,
        "alpha": 0.2,
        "alpha_lr": 1e-3,
        "prefill_steps": 25_000,
        "steps": 50_000,
    },
    ("sac_adaent", "obstacle2d"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 1e-3,
        "alpha": 0.2,
        "alpha_lr": 1e-3,
        "prefill_steps": 25_000,
        "steps": 50_000,
        "threshold": 0.9,
        "n_samples": 100,
    },
    ("sac", "acrobot"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 1e-3,
        "alpha": 0.2,
        "alpha_lr": 1e-3,
        "prefill_steps": 25_000,
        "steps": 1_000_000,
    },
    ("sac_adaent", "acrobot"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 1e-3,
        "alpha": 0.2,
        "alpha_lr": 3e-4,
        "prefill_steps": 25_000,
        "steps": 1_000_000,
        "threshold": 0.7,
        "n_samples": 100,
    },
    ("sac", "quadrotor"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 3e-4,
        "alpha": 0.2,
        "alpha_lr": 3e-4,
        "prefill_steps": 10_000,
        "steps": 2_000_000,
    },
    ("sac_adaent", "quadrotor"): {
        **SAC,
        "hidden": (256, 256),
        "lr": 3e-4,
        "alpha": 0.2,
        "alpha_lr": 3e-4,
        "prefill_steps": 10_000,
        "steps": 2_000_000,
        "threshold": 0.9,
        "n_samples": 100,
    },
    ("ppo", "toy"): {**PPO, "hidden": (64, 64), "lr": 1e-5, "state_dependent_std": True, "steps": 100_000},
    ("ppo", "vehicle"): {
        **PPO,
        "hidden": (256, 256),
        "lr": 3e-4,
        "state_dependent_std": False,
        "init_std": math.exp(-1.0),
        "init_units": "environment",
        "steps": 2_000_000,
    },
    ("ppo", "obstacle2d"): {
        **PPO,
        "hidden": (256, 256),
        "lr": 3e-4,
        "value_coef": 0.5,
        "recompute_advantages": False,
        "init_std": math.exp(-0.5),
        "init_units": "environment",
        "steps": 50_000,
        "envs": 16,
    },
    ("ppo", "acrobot"): {
        **PPO,
        "hidden": (256, 256),
        "lr": 3e-4,
        "init_std": math.exp(-0.5),
        "init_units": "environment",
        "steps": 1_000_000,
        "envs": 16,
    },
    ("ppo", "quadrotor"): {
        **PPO,
        "hidden": (256, 256),
        "lr": 3e-4,
        "init_std": math.exp(-1.0),
        "init_units": "environment",
        "steps": 2_000_000,
        "envs": 16,
    },
}


@pytest.mark.parametrize(("agent", "env"), TABLE)
def test_row_is_the_published_one(agent, env):
    row = published.row(agent, env)
    found = fields.plain_values(row.agent) | {"steps": row.steps, "envs": row.envs}
    expected = {"envs": 1} | TABLE[agent, env]
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("env", envs.names())
@pytest.mark.parametrize("preset", published.PRESETS)
def test_every_row_is_allowed(agent, env, preset):
    row = published.row(agent, env, preset)
    assert type(row.agent) is AGENTS[agent]
    fields.build(type(row.agent), fields.plain_values(row.agent)).validate()
    assert row.steps >= 1
    assert env in published.ROWS[agent], "no task of ours falls back to an agent's defaults unnoticed"


@pytest.mark.parametrize("agent", ["td3", "ddpg", "sql", "sac_annealed", "sac_lite"])
@pytest.mark.parametrize("env", envs.names())
def test_what_is_not_published_is_trained_on_the_terms_of_sac(agent, env):
    row, sac = published.row(agent, env), published.row("sac", env)
    assert (row.steps, row.envs) == (sac.steps, sac.envs)
    found, wanted = fields.plain_values(row.agent), fields.plain_values(sac.agent)
    shared = set(found) & set(wanted) - ({"auto_alpha"} if agent == "sac_annealed" else set())
    assert {"hidden", "lr", "tau", "gamma", "batch_size", "prefill_steps"} <= shared
    assert {name: found[name] for name in shared} == {name: wanted[name] for name in shared}


@pytest.mark.parametrize("preset", ["cpu", "quick"])
@pytest.mark.parametrize(("agent", "env"), TABLE)
def test_presets_replace_steps_nets_batch_prefill_and_samples_only(agent, env, preset):
    paper, small = published.row(agent, env), published.row(agent, env, preset)
    before, after = (fields.plain_values(row.agent) for row in (paper, small))
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"hidden", "batch_size", "prefill_steps", "n_samples"}
    assert "batch_size" not in changed or agent != "ppo"
    assert small.steps <= paper.steps
    assert small.envs == paper.envs


def test_quick_vehicle():
    small = published.row("sac_adaent", "vehicle", "quick")
    changed = (small.agent.hidden, small.agent.batch_size, small.agent.prefill_steps, small.agent.n_samples)
    assert changed == ((64, 64), 64, 1000, 16)
    assert small.agent.threshold == 0.8


def test_a_task_without_a_row_gets_the_defaults():
    assert published.row("sac", "theirs") == published.Row(AGENTS["sac"](), steps=1_000_000)
    quick = published.row("sac", "theirs", "quick")
    assert (quick.steps, quick.agent.hidden) == (10_000, (64, 64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sax", "toy"), r"agent 'sax' is unknown; did you mean 'sac'\?"),
        (("sac", "toy", "papre"), r"preset 'papre' is unknown; did you mean 'paper'\? allowed: paper, cpu, quick"),
    ],
)
def test_unknown_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        published.row(*arguments)
