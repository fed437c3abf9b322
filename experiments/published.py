"""The published hyper-parameters, one row per agent and task, and the presets that shrink them.

Every row of SAC, SAC-AdaEnt and PPO follows the published code of "When Maximum Entropy Misleads Policy Optimization"
(ICML 2025). Rows marked `ours` are for tasks that it does not have. What the published code shares between tasks is the
agents' own defaults. The other agents are trained on the terms of SAC.
"""

import dataclasses
import math
from typing import Any

from envs import fields
from maxent_jax.agents import AGENTS, DDPG, PPO, SAC, SQL, TD3, Agent, SACAdaEnt, SACAnnealed, SACLite, agent_class

PRESETS = ("paper", "cpu", "quick")


@dataclasses.dataclass(frozen=True)
class Row:
    """How an agent is run on a task: its fields, environment steps a run, and environments in parallel."""

    agent: Agent
    steps: int
    envs: int = 1


@dataclasses.dataclass(frozen=True)
class Shrink:
    """What a preset replaces in a published row; PPO keeps its batch, and `None` keeps what is published."""

    steps: int
    hidden: tuple[int, ...] | None = None
    batch_size: int | None = None
    prefill_steps: int | None = None
    n_samples: int | None = None


SAC_ROWS = {
    "toy": Row(SAC(hidden=(32, 32), lr=1e-3, alpha=1.0, alpha_lr=1e-3), steps=100_000),
    "vehicle": Row(SAC(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=10_000), steps=2_000_000),
    "obstacle2d": Row(SAC(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=25_000), steps=50_000),
    "acrobot": Row(SAC(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=25_000), steps=1_000_000),
    "quadrotor": Row(SAC(lr=3e-4, alpha=0.2, alpha_lr=3e-4, prefill_steps=10_000), steps=2_000_000),
    "hopper": Row(SAC(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=10_000), steps=2_000_000),
    "quadruped": Row(SAC(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=10_000), steps=2_000_000),
    "pendulum": Row(SAC(hidden=(64, 64), lr=1e-3, auto_alpha=True, alpha_lr=1e-3, prefill_steps=100), steps=10_000),
    "bandit_chain": Row(SAC(hidden=(32, 32), lr=1e-3, alpha=1.0, alpha_lr=1e-3, prefill_steps=1_000), steps=100_000),
}
OURS = ("pendulum", "bandit_chain")
"""Tasks of which nothing is published: pendulum has Stable-Baselines3's usual values, bandit_chain is the toy with
random steps first."""

ADAENT_ROWS = {
    "toy": Row(SACAdaEnt(hidden=(32, 32), lr=1e-3, alpha=1.0, alpha_lr=1e-4, threshold=0.9), steps=100_000),
    "vehicle": Row(SACAdaEnt(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=10_000, threshold=0.8), steps=2_000_000),
    "obstacle2d": Row(SACAdaEnt(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=25_000, threshold=0.9), steps=50_000),
    "acrobot": Row(SACAdaEnt(lr=1e-3, alpha=0.2, alpha_lr=3e-4, prefill_steps=25_000, threshold=0.7), steps=1_000_000),
    "quadrotor": Row(
        SACAdaEnt(lr=3e-4, alpha=0.2, alpha_lr=3e-4, prefill_steps=10_000, threshold=0.9), steps=2_000_000
    ),
    "hopper": Row(SACAdaEnt(lr=1e-3, alpha=0.2, alpha_lr=3e-4, prefill_steps=10_000, threshold=0.9), steps=2_000_000),
    "quadruped": Row(
        SACAdaEnt(lr=1e-3, alpha=0.2, alpha_lr=1e-3, prefill_steps=10_000, threshold=0.9), steps=2_000_000
    ),
    "pendulum": Row(
        SACAdaEnt(hidden=(64, 64), lr=1e-3, auto_alpha=True, alpha_lr=1e-3, prefill_steps=100, n_samples=16),
        steps=10_000,
    ),
    "bandit_chain": Row(
        SACAdaEnt(hidden=(32, 32), lr=1e-3, alpha=1.0, alpha_lr=1e-3, prefill_steps=1_000, threshold=0.9),
        steps=100_000,
    ),
}

PPO_ROWS = {
    "toy": Row(PPO(hidden=(64, 64), lr=1e-5, value_coef=0.25, state_dependent_std=True), steps=100_000),
    "vehicle": Row(
        PPO(hidden=(256, 256), value_coef=0.25, init_std=math.exp(-1.0), init_units="environment"), steps=2_000_000
    ),
    "obstacle2d": Row(
        PPO(
            hidden=(256, 256),
            value_coef=0.5,
            recompute_advantages=False,
            init_std=math.exp(-0.5),
            init_units="environment",
        ),
        steps=50_000,
        envs=16,
    ),
    "acrobot": Row(
        PPO(hidden=(256, 256), value_coef=0.25, init_std=math.exp(-0.5), init_units="environment"),
        steps=1_000_000,
        envs=16,
    ),
    "quadrotor": Row(
        PPO(hidden=(256, 256), value_coef=0.25, init_std=math.exp(-1.0), init_units="environment"),
        steps=2_000_000,
        envs=16,
    ),
    "hopper": Row(
        PPO(hidden=(256, 256), value_coef=0.25, init_std=math.exp(-0.5), init_units="environment"),
        steps=2_000_000,
        envs=64,
    ),
    "quadruped": Row(
        PPO(
            hidden=(256, 256),
            lr=1e-4,
            value_coef=0.5,
            normalise_observations=True,
            init_std=math.exp(-0.5),
            init_units="environment",
        ),
        steps=2_000_000,
        envs=16,
    ),
    "pendulum": Row(
        PPO(
            lr=1e-3,
            gamma=0.9,
            adam_eps=1e-5,
            rollout_steps=4096,
            normalise_advantages=True,
            recompute_advantages=False,
            init_units="environment",
        ),
        steps=100_000,
        envs=4,
    ),
    "bandit_chain": Row(PPO(hidden=(32, 32), lr=1e-3, rollout_steps=512), steps=100_000, envs=8),
}


def beside_sac(cls: type[Agent], **own: Any) -> dict[str, Row]:
    """An agent that the published code does not have, on the same terms as SAC: what fields both have, and the budget.

    Args:
      cls: the agent.
      **own: fields that it has otherwise on every task.

    Returns:
      Rows by task.
    """
    known = fields.settings(cls)

    def like(agent: Agent) -> Agent:
        shared = {name: value for name, value in fields.plain_values(agent).items() if name in known}
        return cls(**shared | own)

    return {task: dataclasses.replace(row, agent=like(row.agent)) for task, row in SAC_ROWS.items()}


ROWS = {
    "sac": SAC_ROWS,
    "sac_adaent": ADAENT_ROWS,
    "ppo": PPO_ROWS,
    "td3": beside_sac(TD3),
    "ddpg": beside_sac(DDPG),
    "sql": beside_sac(SQL),
    "sac_annealed": beside_sac(SACAnnealed, auto_alpha=False),
    "sac_lite": beside_sac(SACLite),
}
"""All but the first three are ours."""

for table in ROWS.values():  # a bifurcated task is trained as the task itself
    table |= {f"bifurcated_{task}": table[task] for task in ("pendulum", "vehicle")}

FAST = {"comparison": "fast", "n_samples": 100}
"""How SAC-AdaEnt compares in experiments below the published steps: cheaply, over as many draws as is published."""

SHRINKS = {
    ("cpu", "toy"): Shrink(steps=20_000),
    ("cpu", "bandit_chain"): Shrink(steps=20_000),
    ("quick", "bandit_chain"): Shrink(steps=4_000, batch_size=128, n_samples=32),
    ("quick", "toy"): Shrink(steps=20_000, batch_size=64, n_samples=16),
    ("cpu", "vehicle"): Shrink(steps=100_000, hidden=(64, 64), batch_size=128, n_samples=16),
    **{
        ("quick", task): Shrink(steps=steps, hidden=(64, 64), batch_size=64, prefill_steps=1_000, n_samples=16)
        for task, steps in {
            "vehicle": 20_000,
            "quadrotor": 20_000,
            "acrobot": 20_000,
            "obstacle2d": 20_000,
            "hopper": 10_000,
            "quadruped": 8_000,
        }.items()
    },
}
"""In `cpu` half of the published batch pays for nearly twice as many steps; the toy problem keeps its own: with smaller
ones some seeds of SAC need more steps at alpha 0.2."""
ANY_TASK = {
    "cpu": Shrink(steps=200_000, hidden=(64, 64), batch_size=128, n_samples=16),
    "quick": Shrink(steps=10_000, hidden=(64, 64), batch_size=64, prefill_steps=500, n_samples=16),
}


def row(agent: str, env: str, preset: str = "paper") -> Row:
    """How an agent is run on a task.

    Args:
      agent: a registered agent.
      env: a task's name; an unlisted one gets the agent's defaults and a million steps.
      preset: `paper` is the published table; `cpu` and `quick` replace steps, nets, batch, prefill and samples.

    Returns:
      The row.

    Raises:
      InvalidSetting: no such agent or preset.
    """
    if preset not in PRESETS:
        raise fields.unknown(f"preset {preset!r}", preset, PRESETS)
    published = ROWS.get(agent, {}).get(env) or Row(agent_class(agent)(), steps=1_000_000)
    if preset == "paper":
        return published
    shrink = SHRINKS.get((preset, env), ANY_TASK[preset])
    known = fields.settings(type(published.agent))
    replaced = {
        name: value
        for name, value in dataclasses.asdict(shrink).items()
        if value is not None and name in known and not (name == "batch_size" and agent == "ppo")
    }
    if "prefill_steps" in replaced:  # a preset makes smaller, never larger
        replaced["prefill_steps"] = min(replaced["prefill_steps"], getattr(published.agent, "prefill_steps", 0))
    return dataclasses.replace(
        published, agent=dataclasses.replace(published.agent, **replaced), steps=min(shrink.steps, published.steps)
    )


assert set(ROWS) == set(AGENTS), "every agent has a table"
