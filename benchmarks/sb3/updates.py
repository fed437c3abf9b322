"""One update of our agents, and what a torch computation needs to repeat it: weights, Adam's moments, batch, noise."""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from benchmarks.sb3 import draws, environment
from envs import fields
from envs.base import EnvSpec
from maxent_jax.agents import DDPG, PPO, SAC, SQL, TD3, Agent, SACAdaEnt, SACAnnealed, SACLite
from maxent_jax.agents.base import Rollout, Transition

Arrays = dict[str, np.ndarray]

OBSERVATIONS, ACTIONS, BATCH = 6, 2, 256
STEPS, ENVS = 64, 4
WARM_UP = 20
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
"""Largest difference of a parameter. That in 64 bits is the one that finds faults: a step of Adam is 1e-3 at most."""
MOMENTS_TOLERANCE = {"float32": 1e-3, "float64": 1e-10}
"""The same of Adam's moments, relative; Stable-Baselines3 adds 1e-6 inside the logarithm of its log-density."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
      agent: ours; numbers that float32 holds exactly, so that 64 bits compare as well.
      sb3: compare with Stable-Baselines3's own `train()` too.
      warm_up: updates on other batches before the one that is compared. Adam's first step hardly depends on the size
        of a gradient, only on its sign: moments make the comparison strict.
      half_steps: some transitions take no time (`duration` 0), which Stable-Baselines3 does not know.
      progress: the share of a run's updates that are made, for agents with a schedule.
    """

    agent: Agent
    sb3: bool = True
    warm_up: int = WARM_UP
    half_steps: bool = False
    progress: float = 0.0


_SAC = SAC(hidden=(64, 64), lr=2**-10, alpha_lr=2**-10, tau=2**-8, gamma=0.96875, alpha=0.25)
_ADAENT = SACAdaEnt(**fields.plain_values(_SAC))
_PLAIN = {name: getattr(_SAC, name) for name in ("hidden", "lr", "tau", "gamma")}
_TD3 = TD3(**_PLAIN, target_std=0.25, target_clip=0.25)
_PPO = PPO(
    hidden=(64, 64),
    lr=2**-10,
    adam_eps=2**-17,
    clip=0.125,
    gamma=0.96875,
    gae_lambda=0.9375,
    entropy_coef=2**-6,
    rollout_steps=STEPS * ENVS,
    batch_size=64,
    passes=4,
    recompute_advantages=False,
)
_ONE_STEP = _PPO.replace(passes=1, batch_size=STEPS * ENVS)

CASES: dict[str, Case] = {
    "sac, fixed alpha": Case(_SAC),
    "sac, auto alpha": Case(_SAC.replace(auto_alpha=True)),
    "sac, from the start": Case(_SAC.replace(auto_alpha=True), warm_up=0),
    "sac, half-steps": Case(_SAC.replace(auto_alpha=True), sb3=False, half_steps=True),
    "sac_adaent, fixed alpha": Case(_ADAENT, sb3=False),
    "sac_adaent, auto alpha": Case(_ADAENT.replace(auto_alpha=True), sb3=False),
    "sac, alpha 0": Case(_SAC.replace(alpha=0.0)),
    "sac_annealed, halfway": Case(SACAnnealed(**fields.plain_values(_SAC)), sb3=False, progress=0.25),
    "sac_annealed, alpha 0": Case(SACAnnealed(**fields.plain_values(_SAC)), sb3=False, progress=0.75),
    "sac_lite, fixed alpha": Case(SACLite(**fields.plain_values(_SAC)), sb3=False),
    "sac_lite, half-steps": Case(SACLite(**fields.plain_values(_SAC)), sb3=False, half_steps=True),
    "sql, fixed alpha": Case(SQL(**fields.plain_values(_SAC)), sb3=False),
    "sql, half-steps": Case(SQL(**fields.plain_values(_SAC)), sb3=False, half_steps=True),
    "ddpg": Case(DDPG(**_PLAIN)),
    "ddpg, half-steps": Case(DDPG(**_PLAIN), sb3=False, half_steps=True),
    "td3, actor waits": Case(_TD3),
    "td3, actor moves": Case(_TD3, warm_up=WARM_UP + 1),
    "td3, half-steps": Case(_TD3, sb3=False, warm_up=WARM_UP + 1, half_steps=True),
    "ppo, one gradient step": Case(_ONE_STEP, warm_up=1),
    "ppo, one step, normalised": Case(_ONE_STEP.replace(normalise_advantages=True), warm_up=1),
    "ppo, full update": Case(_PPO, warm_up=1),
    "ppo, full, normalised": Case(_PPO.replace(normalise_advantages=True), warm_up=1),
    "ppo, from the start": Case(_PPO, warm_up=0),
    "ppo, advantages recomputed": Case(_PPO.replace(recompute_advantages=True), sb3=False, warm_up=1),
    "ppo, std head, half-steps": Case(_PPO.replace(state_dependent_std=True), sb3=False, warm_up=1, half_steps=True),
}


def ours(case: Case, seed: int = 0) -> tuple[Agent, Arrays]:
    """Everything that one update of ours starts from, and all that it leads to.

    Args:
      case: which.
      seed: of the weights, batches and noise.

    Returns:
      The agent; SAC-AdaEnt's threshold is the median similarity of the batch, so that half of the states switch.
      Arrays by name: `start/...` and `end/...` as `learners` names them, `batch/...`, `noise/...`, `seen/...`.
    """
    agent: Any = case.agent
    generator = np.random.default_rng(seed)
    spec = EnvSpec(OBSERVATIONS, ACTIONS, -np.ones(ACTIONS), np.ones(ACTIONS), 1000)
    state = jax.tree.map(widest, agent.init(jax.random.key(seed), spec))
    make: Any = rollout if isinstance(agent, PPO) else transitions
    update = jax.jit(lambda agent, state, batch, key: agent.scheduled(case.progress).update(state, batch, key))
    for key in jax.random.split(jax.random.key(seed + 1), case.warm_up):
        state, _ = update(agent, state, make(generator, agent, state, False)[0], key)
    batch, extra = make(generator, agent, state, case.half_steps)
    key = jax.random.key(seed + 2)
    noise = draws.of(agent, key, BATCH, ACTIONS)
    seen = {}
    if isinstance(agent, SACAdaEnt):
        seen["similarity"] = similarities(agent, state, batch, key)
        agent = agent.replace(threshold=float(jnp.median(seen["similarity"])))
    end, metrics = update(agent, state, batch, key)
    seen |= {name: metrics[name] for name in ("clipped_share", "switched_share") if name in metrics}
    parts = {
        "start": learners(state),
        "end": learners(end),
        "batch": named(batch) | extra,
        "noise": noise,
        "seen": seen,
    }
    return agent, {f"{part}/{name}": np.asarray(x) for part, arrays in parts.items() for name, x in arrays.items()}


def widest(x: jax.Array) -> jax.Array:
    """Floats in 64 bits where these are enabled."""
    return x.astype(jnp.zeros(()).dtype) if x.dtype.kind == "f" else x


def similarities(agent: SACAdaEnt, state: Any, batch: Transition, key: jax.Array) -> jax.Array:
    """(BATCH,) what the actor's update compares, once the critics were updated."""
    next_key, actor_key = jax.random.split(key)
    state, _ = agent.update_critics(state, batch, next_key)
    return agent.similarity(state, batch.obs, jax.random.fold_in(actor_key, 1))


def transitions(
    generator: np.random.Generator, agent: Agent, state: Any, half_steps: bool
) -> tuple[Transition, Arrays]:
    """A replayed batch; some transitions terminated, some others were truncated, which the agent is not told."""
    del agent, state
    terminated, truncated = ends(generator, (BATCH,))
    numbers = generator.standard_normal
    batch = Transition(
        obs=float32(numbers((BATCH, OBSERVATIONS))),
        action=float32(generator.uniform(-1.0, 1.0, (BATCH, ACTIONS))),
        reward=float32(numbers(BATCH)),
        terminated=float32(terminated),
        duration=float32(durations(generator, (BATCH,), half_steps)),
        next_obs=float32(numbers((BATCH, OBSERVATIONS))),
    )
    return batch, {"truncated": truncated}


def rollout(generator: np.random.Generator, agent: PPO, state: Any, half_steps: bool) -> tuple[Rollout, Arrays]:
    """A rollout of the policy through a task that is nothing but noise."""
    shape = (STEPS, ENVS)
    terminated, truncated = ends(generator, shape)
    done = terminated + truncated
    next_obs, fresh = (float32(generator.standard_normal((*shape, OBSERVATIONS))) for _ in range(2))
    obs = jnp.roll(jnp.where(done[..., None] > 0, fresh, next_obs), 1, axis=0)
    noise = float32(generator.standard_normal((*shape, ACTIONS)))
    mean, log_std = agent.policy(state.params["actor"], obs)
    step = Transition(
        obs=obs,
        action=float32(mean + jnp.exp(log_std) * noise),
        reward=float32(generator.standard_normal(shape)),
        terminated=float32(terminated),
        duration=float32(durations(generator, shape, half_steps)),
        next_obs=next_obs,
    )
    extra = {"truncated": truncated, "fresh": np.asarray(fresh), "action_noise": np.asarray(noise)}
    return Rollout(step, float32(done)), extra


def ends(generator: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Terminations and truncations, one in eight each, never both."""
    drawn = generator.uniform(size=shape)
    return (drawn < 0.125).astype(np.float32), (drawn > 0.875).astype(np.float32)


def durations(generator: np.random.Generator, shape: tuple[int, ...], half_steps: bool) -> np.ndarray:
    """Ones, or ones and zeros."""
    return generator.integers(0, 2, shape).astype(np.float32) if half_steps else np.ones(shape, np.float32)


def float32(x: Any) -> jax.Array:
    """As the trainer hands data over, in any precision of the weights."""
    return jnp.asarray(x, jnp.float32)


def learners(state: Any) -> Arrays:
    """All that learning changes, as `LEARNER.PART/PATH`; parts: params, target, and Adam's mu, nu and count."""
    if hasattr(state, "params"):
        parts = {"policy": state}
    else:
        kinds = ("actor", "critic", "plain_critic", "temperature")
        parts = {name: getattr(state, name) for name in kinds if hasattr(state, name)}
    found: Arrays = {}
    for name, learner in parts.items():
        trees = {"params": learner.params, "target": getattr(learner, "target", {})}
        as_tree = ravel_pytree(learner.params)[1]  # Adam has all parameters as one vector
        trees |= {part: as_tree(optax.tree.get(learner.opt, part)) for part in ("mu", "nu")}
        trees["count"] = optax.tree.get(learner.opt, "count")
        for part, tree in trees.items():
            found |= {f"{name}.{part}/{path}": x for path, x in named(tree).items()}
    return found


def named(tree: Any) -> Arrays:
    """The arrays of a tree by path; `value` where the tree is one array."""

    def path(keys: Any) -> str:
        words = "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in keys)
        return words.replace("params/", "") or "value"

    return {path(keys): np.asarray(x) for keys, x in jax.tree_util.tree_leaves_with_path(tree)}


def run(python: Path, folder: Path) -> list[dict[str, Any]]:
    """Compute every case here and with torch, and compare.

    Args:
      python: of the environment that torch is in.
      folder: for the files between the two.

    Returns:
      One entry per case, peer and precision.
    """
    made: dict[tuple[str, str], tuple[Agent, Arrays]] = {}
    for bits in ("float32", "float64"):
        with jax.enable_x64(bits == "float64"):
            for name, case in CASES.items():
                made[name, bits] = ours(case)
    jobs = []
    for (name, bits), (agent, arrays) in made.items():
        peers = ["torch"] + ["sb3"] * (CASES[name].sb3 and bits == "float32")
        stem = re.sub(r"\W+", "_", name) + f".{bits}"
        given: Any = {name: x for name, x in arrays.items() if not name.startswith(("end/", "seen/"))}
        np.savez(folder / f"{stem}.npz", **given)
        told = {
            "algorithm": type(agent).__name__,
            "fields": fields.plain_values(agent),
            "progress": CASES[name].progress,
        }
        jobs += [told | {"case": name, "bits": bits, "peer": peer, "stem": stem} for peer in peers]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    for peer in ("torch", "sb3"):
        environment.run(python, f"{peer}_update.py", str(folder))
    results = []
    for job in jobs:
        with np.load(folder / f"{job['stem']}.{job['peer']}.npz") as theirs:
            results.append(compare(job, made[job["case"], job["bits"]][1], dict(theirs)))
    return results


def compare(job: Mapping[str, Any], mine: Arrays, theirs: Arrays) -> dict[str, Any]:
    """How far two updates are apart, group by group.

    Args:
      job: case, precision and peer.
      mine: what `ours` returned.
      theirs: the peer's `LEARNER.PART/PATH` after the update, and `similarity`.

    Returns:
      Largest absolute differences of the parameters, largest differences of Adam's moments relative to the largest
      moment, how far the update moved the parameters, the counts of switched states, and whether all holds.
    """
    end = {name.removeprefix("end/"): x for name, x in mine.items() if name.startswith("end/")}
    groups = sorted({group(name) for name in end})
    members = {g: [name for name in end if group(name) == g] for g in groups}

    def largest(names: list[str], of: Callable[[str], np.ndarray]) -> float:
        return max(float(np.max(np.abs(of(name)), initial=0.0)) for name in names)

    parameters, moved, moments = {}, {}, {}
    for g, names in members.items():
        names = [name for name in names if name in theirs]
        if not names or g.endswith("count"):
            continue
        apart = largest(names, lambda name: end[name] - theirs[name])
        if g.endswith((".mu", ".nu")):
            moments[g] = apart / max(largest(names, lambda name: theirs[name]), 1e-30)
        else:
            parameters[g] = apart
            moved[g] = largest(names, lambda name: end[name] - mine[f"start/{name}"])
    entry = {
        "case": job["case"],
        "peer": job["peer"],
        "precision": job["bits"],
        "parameters": parameters,
        "moments_relative": moments,
        "moved": moved,
        "largest": max(parameters.values()),
    }
    tolerance = TOLERANCE[job["bits"]]
    held = max(parameters.values()) <= tolerance and max(moments.values()) <= MOMENTS_TOLERANCE[job["bits"]]
    if "seen/clipped_share" in mine:
        entry["clipped_share"] = float(mine["seen/clipped_share"])
    if "similarity" in theirs:
        threshold = job["fields"]["threshold"]
        alike = mine["seen/similarity"]
        entry["similarity"] = float(np.max(np.abs(alike - theirs["similarity"])))
        entry["switched"] = round(float(mine["seen/switched_share"]) * BATCH)
        entry["switched_differently"] = int(np.sum((alike < threshold) != (theirs["similarity"] < threshold)))
        entry["closest_to_threshold"] = float(np.min(np.abs(alike - threshold)))
        held &= entry["similarity"] <= tolerance and not entry["switched_differently"]
    return entry | {"held": bool(held)}


def group(name: str) -> str:
    """What a parameter is reported under: `LEARNER.PART`; PPO's single learner is told apart by network."""
    learner, _, path = name.partition("/")
    return f"{path.partition('/')[0]}.{learner.partition('.')[2]}" if learner.startswith("policy") else learner
