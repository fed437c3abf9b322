"""Final returns on the pendulum, ours and Stable-Baselines3's, with the same settings."""

import dataclasses
import functools
import hashlib
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import envs
import maxent_jax
from benchmarks.sb3 import environment
from envs import fields
from envs.pendulum import PendulumState
from maxent_jax import trainer
from maxent_jax.agents import PPO, SAC, Agent

CURVE_EPISODES = trainer.EVALUATION_EPISODES
RANDOM_EPISODES = 1000
STARTS = np.random.default_rng(0).uniform((-math.pi, -1.0), (math.pi, 1.0), (100, 2)).round(6)
"""Angles and angular velocities at which the final episodes of every seed begin, on both sides."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One algorithm with the same settings on both sides.

    Attributes:
      agent: ours.
      theirs: arguments of Stable-Baselines3's constructor; where one is missing, its default is the same as ours.
      steps: environment steps a run in all, random ones included; rounded up to whole rollouts on both sides.
      envs: environments in parallel.
      share: how much of the random-to-best range the interval of the difference may reach.
      evaluations: points of the learning curve.
      theirs_normalised: let Stable-Baselines3 act in [-1, 1] as ours do; without it in torques, -2 to 2.
    """

    agent: Agent
    theirs: dict[str, Any]
    steps: int
    envs: int
    share: float
    evaluations: int
    theirs_normalised: bool = False


SAC_SETTING = Setting(
    SAC(
        hidden=(64, 64),
        lr=1e-3,
        gamma=0.99,
        tau=0.005,
        batch_size=256,
        prefill_steps=100,
        auto_alpha=True,
        alpha_lr=1e-3,
    ),
    {
        "policy_kwargs": {"net_arch": [64, 64]},
        "learning_rate": 1e-3,
        "gamma": 0.99,
        "tau": 0.005,
        "batch_size": 256,
        "learning_starts": 100,
        "train_freq": 1,
        "gradient_steps": 1,
        "ent_coef": "auto",
    },
    steps=10_000,
    envs=1,
    share=0.10,
    evaluations=10,
)

PPO_THEIRS = {
    "learning_rate": 1e-3,
    "n_steps": 1024,
    "n_epochs": 10,
    "batch_size": 64,
    "gamma": 0.9,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "normalize_advantage": True,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
}

PPO_SETTING = Setting(
    PPO(
        hidden=(64, 64),
        lr=1e-3,
        adam_eps=1e-5,
        rollout_steps=4096,
        passes=10,
        batch_size=64,
        gamma=0.9,
        gae_lambda=0.95,
        clip=0.2,
        normalise_advantages=True,
        recompute_advantages=False,
        entropy_coef=0.0,
        value_coef=0.5,
        max_grad_norm=0.5,
        init_std=1.0,
        init_units="environment",
    ),
    PPO_THEIRS,
    steps=100_000,
    envs=4,
    share=0.15,
    evaluations=5,
)

SETTINGS = {
    "sac": SAC_SETTING,
    "ppo": PPO_SETTING,
    "ppo_normalised": dataclasses.replace(
        PPO_SETTING,
        theirs=PPO_THEIRS | {"policy_kwargs": {"log_std_init": math.log(0.5)}},
        theirs_normalised=True,
    ),
}


def their_settings(setting: Setting) -> dict[str, Any]:
    """What `scripts/train.py` is told."""
    plan = schedule(setting)
    return {
        "algorithm": type(setting.agent).__name__,
        "arguments": setting.theirs,
        "normalised": setting.theirs_normalised,
        "envs": setting.envs,
        "steps": setting.steps,
        "every": plan.total_steps // setting.evaluations,
        "curve_episodes": CURVE_EPISODES,
        "starts": STARTS.tolist(),
    }


def schedule(setting: Setting) -> trainer.Schedule:
    """How our trainer lays the steps out; `steps` counts the random ones, the trainer's does not."""
    steps = setting.steps - getattr(setting.agent, "prefill_steps", 0)
    return trainer.schedule(setting.agent, steps, setting.envs, setting.evaluations)


def train_theirs(setting: Setting, seeds: Sequence[int], python: Path, cache: Path, jobs: int) -> list[dict[str, Any]]:
    """Train with Stable-Baselines3, one seed a process; seeds that the cache holds are not trained again.

    Args:
      setting: the settings.
      seeds: which.
      python: of the environment that Stable-Baselines3 is in.
      cache: a folder; one file per setting, version and seed.
      jobs: processes at a time.

    Returns:
      What `scripts/train.py` wrote, by seed.

    Raises:
      RuntimeError: a seed failed; the others are in the cache.
    """
    settings = json.dumps(their_settings(setting), sort_keys=True)
    versions = environment.REQUIREMENTS.read_text() + (environment.SCRIPTS / "train.py").read_text()
    folder = cache / hashlib.sha256((settings + versions).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = {seed: folder / f"seed_{seed}.json" for seed in seeds}
    waiting = [seed for seed, file in files.items() if not file.exists()]
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            seed = waiting.pop(0)
            running.append(environment.start(python, "train.py", settings, str(seed), str(files[seed])))
        time.sleep(0.2)
        running = [process for process in running if process.poll() is None]
    missing = [seed for seed, file in files.items() if not file.exists()]
    if missing:
        raise RuntimeError(f"Stable-Baselines3 failed on seeds {missing}")
    return [json.loads(file.read_text()) for file in files.values()]


def train_ours(setting: Setting, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Train our agent, all seeds in one program; the same fields as theirs."""
    env = envs.make("pendulum")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = maxent_jax.train(
            setting.agent,
            env,
            seeds=seeds,
            steps=setting.steps - getattr(setting.agent, "prefill_steps", 0),
            envs=setting.envs,
            evaluations=setting.evaluations,
            out=Path(folder) / "run",
        )
        states = [result.agent_state(info.run) for info in result.runs]
    seconds = time.perf_counter() - started
    final = jax.jit(functools.partial(final_return, setting.agent, env))
    steps, curves = result.metrics["env_steps"], result.metrics["return_deterministic"]
    return [
        {
            "seed": seed,
            "return": float(final(state)),
            "curve": [[int(step), float(value)] for step, value in zip(steps[row], curves[row], strict=True)][1:],
            "env_steps": int(steps[row, -1]),
            "train_and_evaluate_seconds": seconds / len(states),
        }
        for row, (seed, state) in enumerate(zip(seeds, states, strict=True))
    ]


def final_return(agent: Agent, env: Any, agent_state: Any) -> jax.Array:
    """Mean return of the episodes that begin at `STARTS`, by the mean action."""
    key = jax.random.key(0)
    start = jax.vmap(env.begin)(PendulumState(*jnp.asarray(STARTS, jnp.float32).T))

    def step(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = jax.vmap(env.step)(state, agent.act(agent_state, state.obs, key, deterministic=True))
        return state, state.reward

    return jax.lax.scan(step, start, length=env.horizon)[1].sum(axis=0).mean()


def measure(setting: Setting, python: Path, cache: Path, jobs: int, seed_counts: Sequence[int]) -> dict[str, Any]:
    """Train both sides, with more seeds until the difference is known well enough.

    Args:
      setting: the settings.
      python: of the environment that Stable-Baselines3 is in.
      cache: see `train_theirs`.
      jobs: likewise.
      seed_counts: how many seeds to try, growing.

    Returns:
      Settings, returns per seed, the difference with its intervals, whether they lie within the share, and in `looks`
      what was known with fewer seeds: who looks until an interval is narrow should say how often.
    """
    lowest = random_return()
    mine: list[dict[str, Any]] = []
    entry: dict[str, Any] = {}
    looks: list[dict[str, Any]] = []
    for count in seed_counts:
        theirs = train_theirs(setting, range(count), python, cache, jobs)
        mine += train_ours(setting, range(len(mine), count))
        final_ours, final_theirs = [x["return"] for x in mine], [x["return"] for x in theirs]
        best = max(np.mean(final_ours), np.mean(final_theirs))
        allowed = setting.share * float(best - lowest)
        gap = difference(final_ours, final_theirs)
        reach = max(abs(end) for interval in ("welch", "bootstrap") for end in gap[interval])
        looks.append({"seeds": count, "difference": gap, "reach": reach, "allowed": allowed})
        entry = {
            "seeds": list(range(count)),
            "env_steps": {"ours": mine[0]["env_steps"], "sb3": theirs[0]["env_steps"]},
            "envs": setting.envs,
            "settings": {"ours": fields.plain_values(setting.agent), "sb3": their_settings(setting)},
            "versions": theirs[0]["versions"],
            "ours": summary(mine),
            "sb3": summary(theirs),
            "random_return": lowest,
            "best_return": float(best),
            "difference": gap,
            "share": setting.share,
            "allowed": allowed,
            "reach": reach,
            "looks": looks,
            "held": bool(reach <= allowed),
        }
        if entry["held"]:
            break
    return entry


def random_return() -> float:
    """Mean return of uniformly random actions."""
    env = envs.make("pendulum")

    def episode(key: jax.Array) -> jax.Array:
        reset_key, act_key = jax.random.split(key)
        actions = jax.random.uniform(act_key, (env.horizon, env.action_size), minval=-1.0, maxval=1.0)

        def step(state: Any, action: jax.Array) -> tuple[Any, jax.Array]:
            state = env.step(state, action)
            return state, state.reward

        return jax.lax.scan(step, env.reset(reset_key), actions)[1].sum()

    keys = jax.random.split(jax.random.key(0), RANDOM_EPISODES)
    return float(jax.jit(jax.vmap(episode))(keys).mean())


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Final returns, and the learning curve's mean over seeds."""
    final = np.array([result["return"] for result in results])
    curves = np.array([result["curve"] for result in results])
    return {
        "returns": [round(float(x), 3) for x in final],
        "mean": float(final.mean()),
        "standard_deviation": float(final.std(ddof=1)),
        "median": float(np.median(final)),
        "curve_env_steps": curves[0, :, 0].astype(int).tolist(),
        "curve_mean": [round(float(x), 1) for x in curves[:, :, 1].mean(axis=0)],
        "seconds_per_seed": float(np.mean([result["train_and_evaluate_seconds"] for result in results])),
    }


def difference(mine: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Difference of the means, ours less theirs, with two 95 % intervals: Welch's and a percentile bootstrap."""
    welch = scipy.stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval(0.95)
    generator = np.random.default_rng(0)
    means = [generator.choice(side, (10_000, len(side))).mean(axis=1) for side in (mine, theirs)]
    low, high = np.percentile(means[0] - means[1], (2.5, 97.5))
    return {
        "mean": float(np.mean(mine) - np.mean(theirs)),
        "welch": [float(welch.low), float(welch.high)],
        "bootstrap": [float(low), float(high)],
    }
