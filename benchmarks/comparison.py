"""Which cheaper rule decides as the exact comparison of landscapes does, and what does it cost?

`python -m benchmarks.comparison` writes `benchmarks/results/comparison.json` and prints its tables.

SAC-AdaEnt is trained (64-64 nets, batch 256, exact rule with 16 samples); at several stages its critics are asked about
states from replay. The truth at a state is the majority of 40 fresh draws of the exact rule with 100 samples and the
published threshold. A rule gives each state a score; its cut is fitted to the verdicts of single exact draws on half of
the states, by the fewest errors, and judged on the other half: sensitivity (switched, of those that should be) and
specificity (not switched, of those that should not). A single fresh draw of the exact rule is judged likewise.

What a rule costs is counted in passes of one critic over the minibatch, forward or backward, beyond those that the
actor's loss makes anyway, which evaluates all four critics and their gradients at one sampled action. An update of SAC
is about 16 passes, the plain critics add 12, the exact rule 400. `benchmarks.fast` measures what that is in seconds.
"""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import describe
from envs import fields
from experiments import published
from maxent_jax import landscape, networks, replay, trainer
from maxent_jax.agents import SACAdaEnt

TASKS = {"toy": 20_000, "vehicle": 20_000, "quadrotor": 20_000, "quadruped": 10_000}
"""Steps of training."""
STAGES = 4
STATES, DRAWS, SAMPLES = 2048, 40, 100
TWO_RADII = (0.6, 1.5)
UNDECIDED = {"eighth": 8, "quarter": 4}
RESULT = Path(__file__).parent / "results" / "comparison.json"

Scores = dict[str, Any]
"""(n,) scores by rule, in JAX or numpy; low ones say that the landscapes disagree."""


def over_draws(
    agent: SACAdaEnt, state: Any, obs: jax.Array, key: jax.Array, samples: int = SAMPLES, metric: str = "cosine"
) -> jax.Array:
    """(n,) similarities over fresh samples; the published ones where nothing is said."""
    return agent.replace(n_samples=samples, metric=metric).similarity(state, obs, key)


def over_two_stars(agent: SACAdaEnt, state: Any, obs: jax.Array, metric: landscape.Metric) -> jax.Array:
    """(n,) a metric over the points of two stars with other radii than `landscape.star`."""
    size = agent.action_size(state)
    ends = jnp.sqrt(float(size)) * jnp.concatenate([jnp.eye(size), -jnp.eye(size)])
    return metric(*agent.landscapes_at(state, obs, jnp.concatenate([radius * ends for radius in TWO_RADII])))


def gradients(agent: SACAdaEnt, state: Any, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(n, a) slopes of the soft and of the plain landscape in units of the policy's deviation, at noise (n, a)."""

    def total(noise: jax.Array, index: int) -> jax.Array:
        return agent.landscapes_at(state, obs, noise[:, None])[index].sum()

    return jax.grad(functools.partial(total, index=0))(noise), jax.grad(functools.partial(total, index=1))(noise)


def angle(u: jax.Array, v: jax.Array) -> jax.Array:
    """(n,) cosines between vectors (n, a)."""
    return jnp.sum(u * v, axis=-1) / (jnp.linalg.norm(u, axis=-1) * jnp.linalg.norm(v, axis=-1) + 1e-30)


def linearised(agent: SACAdaEnt, state: Any, obs: jax.Array, noise: jax.Array, key: jax.Array) -> jax.Array:
    """(n,) published similarities, mean of 8 draws of 100, each twin replaced by its tangent at noise (n, a)."""
    samples = jax.random.normal(key, (8 * SAMPLES, noise.shape[-1]))
    mean, log_std = agent.policy(state.actor.params, obs)
    critic = networks.Critic(agent.hidden)

    def tangents(params: Any) -> jax.Array:
        def twins(noise: jax.Array) -> jax.Array:
            return networks.twin_apply(critic, params, obs, jnp.tanh(mean + jnp.exp(log_std) * noise))

        q, back = jax.vjp(twins, noise)
        slopes = jnp.stack([back(jnp.zeros_like(q).at[twin].set(1.0))[0] for twin in (0, 1)])
        away = samples[None] - noise[:, None]
        return (q[..., None] + jnp.einsum("tna,nsa->tns", slopes, away)).min(axis=0).reshape(len(obs), 8, SAMPLES)

    return landscape.cosine(tangents(state.critic.params), tangents(state.plain_critic.params)).mean(axis=-1)


RULES: dict[str, tuple[int, Callable[..., jax.Array]]] = {
    "cosine of 16": (64, lambda agent, state, obs, key: over_draws(agent, state, obs, key, 16)),
    "pearson of 100": (400, lambda agent, state, obs, key: over_draws(agent, state, obs, key, 100, "pearson")),
    "pearson of 16": (64, lambda agent, state, obs, key: over_draws(agent, state, obs, key, 16, "pearson")),
    "pearson of 4": (16, lambda agent, state, obs, key: over_draws(agent, state, obs, key, 4, "pearson")),
}


def scores(agent: SACAdaEnt, state: Any, obs: jax.Array, key: jax.Array) -> Scores:
    """What every rule but those in two stages says of states (n, o)."""
    keys = iter(jax.random.split(key, len(RULES) + 2))
    noise = jax.random.normal(next(keys), (len(obs), agent.action_size(state)))
    here, opposite, middle = (gradients(agent, state, obs, sign * noise) for sign in (1.0, -1.0, 0.0))
    mirrored = (own + other for own, other in zip(here, opposite, strict=True))
    tangent = functools.partial(linearised, agent, state, obs, key=next(keys))
    return {
        **{name: rule(agent, state, obs, next(keys)) for name, (_, rule) in RULES.items()},
        "pearson of the star": agent.replace(metric="pearson").similarity_at_points(state, obs),
        "cosine of the star": agent.similarity_at_points(state, obs),
        "pearson of two stars": over_two_stars(agent, state, obs, landscape.pearson),
        "cosine of two stars": over_two_stars(agent, state, obs, landscape.cosine),
        "slopes at the mean": angle(*middle),
        "slopes at a sample": angle(*here),
        "slopes at a sample and its mirror": angle(*mirrored),
        "tangents at the mean": tangent(jnp.zeros_like(noise)),
        "tangents at a sample": tangent(noise),
    }


def passes(name: str, size: int) -> float:
    """What a rule costs beyond the actor's loss, in passes of one critic over the minibatch."""
    of_star = 8.0 * max(size, 2)
    first, _, second = name.partition(", then the star for ")
    if second:
        share = UNDECIDED[second.removeprefix("an ").removeprefix("a ")]
        return passes(first, size) + of_star / share
    known = {name: float(cost) for name, (cost, _) in RULES.items()}
    known |= {"pearson of the star": of_star, "cosine of the star": of_star}
    known |= {"pearson of two stars": 16.0 * size, "cosine of two stars": 16.0 * size}
    known |= {"slopes at a sample": 0, "tangents at a sample": 0, "never": 0, "always": 0}
    known |= {"a fresh exact draw": 4.0 * SAMPLES}
    return known.get(name, 8.0)


def in_two_stages(first: np.ndarray, first_cut: float, second: np.ndarray, second_cut: float, share: int) -> np.ndarray:
    """Verdicts by the first score, but by the second for the 1/share of every 256 states nearest to the cut."""
    verdict = first < first_cut
    for begin in range(0, len(first), 256):
        near = begin + np.argsort(np.abs(first[begin : begin + 256] - first_cut))[: 256 // share]
        verdict[near] = second[near] < second_cut
    return verdict


def fitted(score: np.ndarray, label: np.ndarray) -> float:
    """The cut with the fewest errors."""
    cuts = np.quantile(score, np.linspace(0, 1, 201))
    return float(cuts[np.argmin([np.mean((score < cut) != label) for cut in cuts])])


def agreement(verdict: Any, truth: np.ndarray) -> list[float | None]:
    """Sensitivity and specificity; None where no state is such a one."""
    found = ((verdict & truth).sum(), truth.sum()), ((~verdict & ~truth).sum(), (~truth).sum())
    return [float(right / count) if count else None for right, count in found]


def judge(found: Scores, truth: np.ndarray, fresh: np.ndarray, label: np.ndarray) -> dict[str, list[float | None]]:
    """By rule: sensitivity and specificity on the second half of the states."""
    half = len(truth) // 2
    cuts = {name: fitted(score[:half], label[:half]) for name, score in found.items()}
    rest = {name: score[half:] for name, score in found.items()}
    verdicts = {name: score < cuts[name] for name, score in rest.items()}
    second = "pearson of the star"
    for first in ("slopes at a sample", "slopes at a sample and its mirror", "tangents at a sample"):
        for word, share in UNDECIDED.items():
            article = "an" if word == "eighth" else "a"
            verdicts[f"{first}, then the star for {article} {word}"] = in_two_stages(
                rest[first], cuts[first], rest[second], cuts[second], share
            )
    verdicts |= {"a fresh exact draw": fresh[half:], "never": np.zeros(half, bool), "always": np.ones(half, bool)}
    return {name: agreement(verdict, truth[half:]) for name, verdict in verdicts.items()}


def ask(agent: SACAdaEnt, env: Any, run: Any, counters: Any) -> tuple[Scores, jax.Array, jax.Array, jax.Array]:
    """Scores, truth (majority of draws), a fresh verdict and a label at states from replay."""
    keys = jax.random.split(jax.random.key(99), 3)
    obs = replay.sample(run.rows, counters.env_steps, keys[0], STATES, env).obs
    blocks = obs.reshape(-1, 256, obs.shape[-1])

    def draw(key: jax.Array) -> jax.Array:
        each = jax.random.split(key, len(blocks))
        alike = jax.lax.map(lambda block: over_draws(agent, run.agent, *block), (blocks, each))
        return alike.reshape(-1) < agent.threshold

    drawn = jax.lax.map(draw, jax.random.split(keys[1], DRAWS + 2))
    return scores(agent, run.agent, obs, keys[2]), drawn[2:].mean(axis=0) > 0.5, drawn[0], drawn[1]


def measure(task: str, seed: int, stages: int = STAGES) -> list[dict[str, Any]]:
    """Train with one seed; by stage, what `judge` says and how many states should be switched."""
    env = envs.make(task)
    row = published.row("sac_adaent", task, "quick")
    own = fields.plain_values(row.agent) | {"n_samples": 16, "batch_size": 256}
    agent = fields.build(SACAdaEnt, own)
    plan = trainer.schedule(agent, TASKS[task], 1, stages)
    train, prefill, look = (
        jax.jit(functools.partial(function, agent, env, **more))
        for function, more in ((trainer.train, {"plan": plan}), (trainer.prefill, {"plan": plan}), (ask, {}))
    )
    run, counters, _ = prefill(trainer.begin(agent, env, jnp.uint32(seed), plan), trainer.no_steps())
    rows = []
    for _ in range(plan.chunks):
        run, counters, _ = train(run, counters)
        found, truth, fresh, label = jax.tree.map(np.asarray, look(run, counters))
        rules = judge(found, truth, fresh, label)
        rows.append({"env_steps": int(counters.env_steps), "should_switch": float(truth.mean()), "rules": rules})
    return rows


def summary(rows: Mapping[str, Mapping[int, list[dict[str, Any]]]]) -> dict[str, dict[str, Any]]:
    """By rule: mean sensitivity and specificity by task, and how far both fall behind a fresh draw, over all."""
    by_rule: dict[str, dict[str, Any]] = {}
    names = list(next(iter(next(iter(rows.values())).values()))[0]["rules"])
    for name in names:
        tasks, behind = {}, []
        for task, seeds in rows.items():
            stages = [stage["rules"] for stages in seeds.values() for stage in stages]
            pairs = np.array([stage[name] for stage in stages], float)
            fresh = np.array([stage["a fresh exact draw"] for stage in stages], float)
            tasks[task] = [round(float(value), 3) for value in np.nanmean(pairs, axis=0)]
            behind.append(np.nanmean(pairs - fresh, axis=0))
        by_rule[name] = {
            "passes_at_4_actions": passes(name, 4),
            "by_task": tasks,
            "behind_a_fresh_draw": [round(float(value), 3) for value in np.mean(behind, axis=0)],
        }
    return by_rule


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line a rule, the best first."""
    shown = Table(title="sensitivity / specificity")
    for column in ("rule", "passes, 4 actions", *TASKS, "against a fresh draw"):
        shown.add_column(column, justify="left" if column == "rule" else "right")
    for name, row in sorted(found.items(), key=lambda item: -sum(item[1]["behind_a_fresh_draw"])):
        pairs = [" / ".join(f"{value:.2f}" for value in row["by_task"].get(task, ())) for task in TASKS]
        behind = " / ".join(f"{value:+.3f}" for value in row["behind_a_fresh_draw"])
        shown.add_row(name, f"{row['passes_at_4_actions']:g}", *pairs, behind)
    return shown


def main(only: tuple[str, ...] = (), seeds: int = 1, out: Path = RESULT) -> None:
    """Train, judge, write the JSON, print the table.

    Args:
      only: tasks; none: all.
      seeds: trainings of each task.
      out: the JSON to write.
    """
    rows: dict[str, dict[int, Any]] = {}
    for task in only or TASKS:
        rows[task] = {seed: measure(task, seed) for seed in range(seeds)}
        found = summary(rows)
        about = f"truth: majority of {DRAWS} draws of {SAMPLES} samples; {STATES} states from replay at each stage"
        text = {"about": about, "where": describe(), "rules": found, "stages": rows}
        out.write_text(json.dumps(text, indent=1) + "\n")
        Console(width=170).print(table(found))


if __name__ == "__main__":
    tyro.cli(main)
