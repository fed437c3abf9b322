"""Which cheaper rule decides as the exact comparison of landscapes does, and what does it cost?

`python -m benchmarks.comparison` writes `benchmarks/results/comparison.json` and prints its tables.

SAC-AdaEnt is trained (64-64 nets, batch 256, exact rule with 16 samples); at several stages its critics are asked about
states from replay. The truth at a state is the majority of 40 fresh draws of the exact rule with 100 samples and the
published threshold. A rule gives each state a score. Rules that mean what the exact one means are judged at its
threshold; for others a cut is fitted to the verdicts of single exact draws on half of the states, by the fewest
errors. All are judged on the other half: sensitivity (switched, of those that should be) and specificity (not switched,
of those that should not). A single fresh draw of the exact rule is judged likewise.

Two rules ask the exact one about a sixteenth of every minibatch only: kept verdicts, which stay with a transition in
replay until it is asked about again (here as old as they are on average, when one was updated for every step: a
sixteenth of the training so far), and a head, a small net that is taught similarities by those states and sees of the
others what the actor's loss shows of all critics (here taught at once, by as many states as 512 updates ask about).

What a rule costs is counted in passes of one critic over the minibatch, forward or backward, beyond those that the
actor's loss makes anyway, which evaluates all four critics and their gradients at one sampled action. An update of SAC
is about 16 passes, the plain critics add 12, the exact rule 400. `benchmarks.fast` measures what that is in seconds.
"""

import dataclasses
import functools
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
from benchmarks import head
from benchmarks.timing import kept, save
from envs import fields
from experiments import published
from maxent_jax import landscape, networks, replay, ridges, trainer
from maxent_jax.agents import SACAdaEnt
from maxent_jax.agents.adaent import Twins, at

TASKS = {
    "toy": 20_000,
    "vehicle": 20_000,
    "quadrotor": 20_000,
    "quadruped": 10_000,
    "pendulum": 15_000,
    "acrobot": 15_000,
    "obstacle2d": 15_000,
    "hopper": 10_000,
}
"""Steps of training; the first four are those that the goal names."""
STAGES = 4
ASKED = 16
"""Two rules ask the exact one about one in so many states of a minibatch."""
STATES, DRAWS, SAMPLES, TAUGHT = 2048, 40, 100, 8192
SETS = 4
"""Samples over which a rule that costs no passes averages."""
RESULT = Path(__file__).parent / "results" / "comparison.json"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a rule may look at: the agent and its state at observations (n, o), the policy there, keys of its own.

    `exact` and `fast` are soft and plain twins as each comparison has them, see `SACAdaEnt.twins`.
    """

    agent: SACAdaEnt
    state: Any
    obs: jax.Array
    mean: jax.Array
    log_std: jax.Array
    key: jax.Array

    @property
    def size(self) -> int:
        """Dimensions of an action."""
        return self.mean.shape[-1]

    def twins(self, comparison: str) -> tuple[Twins, Twins]:
        """Soft and plain twins."""
        return self.agent.replace(comparison=comparison).twins(self.state, self.obs, self.key)

    def draws(self, samples: int) -> jax.Array:
        """(n, samples, a) noise."""
        return jax.random.normal(jax.random.fold_in(self.key, 1), (len(self.obs), samples, self.size))

    @property
    def noise(self) -> jax.Array:
        """(n, a) noise of the action that the actor's loss asks about."""
        return jax.random.normal(self.key, self.mean.shape)

    @property
    def tangents(self) -> tuple[networks.TwinTangent, networks.TwinTangent]:
        """Soft and plain twins, linear beyond their first layer at the action that the actor's loss asks about."""
        return self.agent.tangents(self.state, self.obs, self.key)

    def compare(self, twins: tuple[Twins, Twins], noise: jax.Array, metric: landscape.Metric) -> jax.Array:
        """(n,) a metric of both landscapes over actions by their noise (n, p, a) or (p, a)."""
        action = at(self.mean, self.log_std, noise)
        return metric(*(pair(action).min(axis=1) for pair in twins))


def star(size: int) -> jax.Array:
    """(2 size, size) one point on each side of the middle along each axis, as far out as most draws; 4 for one axis."""
    if size == 1:
        return jnp.array([[-1.5], [-0.6], [0.6], [1.5]])
    return jnp.sqrt(float(size)) * jnp.concatenate([jnp.eye(size), -jnp.eye(size)])


def over_draws(asked: Asked, samples: int, metric: landscape.Metric) -> jax.Array:
    """A metric over fresh draws."""
    return asked.compare(asked.twins("exact"), asked.draws(samples), metric)


def over_star(asked: Asked, metric: landscape.Metric) -> jax.Array:
    """A metric over the star."""
    return asked.compare(asked.twins("exact"), star(asked.size), metric)


def from_ridges(asked: Asked, comparison: str) -> jax.Array:
    """The published similarity over draws of a landscape of ridges."""
    return asked.agent.similarity_from_points(asked.state, asked.obs, *asked.twins(comparison))


def in_features(asked: Asked) -> jax.Array:
    """The published similarity, mean over samples, of twins that are linear beyond their first layer."""
    twins = asked.tangents
    each = [asked.compare(twins, asked.draws(SETS * SAMPLES)[:, i::SETS], landscape.cosine) for i in range(SETS)]
    return jnp.mean(jnp.stack(each), axis=0)


def seen(asked: Asked) -> jax.Array:
    """(n, f) what a head sees: the policy, and features and slopes of all critics where the actor's loss asks them."""
    shown = [part for pair in asked.tangents for part in (jax.nn.relu(pair.first), pair.slope)]
    return jnp.concatenate([asked.mean, asked.log_std, *(part.reshape(len(part), -1) for part in shown)], axis=-1)


def slopes(asked: Asked, noise: jax.Array) -> jax.Array:
    """(n,) cosines between the gradients of both landscapes, in units of the policy's deviation, at noise (n, a)."""

    def total(noise: jax.Array, pair: Twins) -> jax.Array:
        return pair(at(asked.mean, asked.log_std, noise[:, None])).min(axis=1).sum()

    u, v = (jax.grad(total)(noise, pair) for pair in asked.twins("exact"))
    return jnp.sum(u * v, axis=-1) / (jnp.linalg.norm(u, axis=-1) * jnp.linalg.norm(v, axis=-1) + 1e-30)


def planes(asked: Asked, noise: jax.Array) -> jax.Array:
    """(n,) published similarities, mean over samples, each twin replaced by its tangent plane at noise (n, a)."""
    samples = jax.random.normal(asked.key, (SETS * SAMPLES, asked.size))

    def plane(pair: Twins) -> jax.Array:
        q, back = jax.vjp(lambda noise: pair(at(asked.mean, asked.log_std, noise[:, None]))[..., 0], noise)
        slope = jnp.stack([back(jnp.zeros_like(q).at[:, twin].set(1.0))[0] for twin in (0, 1)], axis=1)
        value = q[..., None] + jnp.einsum("nta,nsa->nts", slope, samples[None] - noise[:, None])
        return value.min(axis=1).reshape(len(q), SETS, SAMPLES)

    soft, plain = map(plane, asked.twins("exact"))
    return landscape.cosine(soft, plain).mean(axis=-1)


@dataclasses.dataclass(frozen=True)
class Rule:
    """A way to decide.

    Attributes:
      passes: what it costs, by the dimensions of an action.
      score: (n,) numbers; low ones say that the landscapes disagree.
      fitted: whether its cut is; else it is the exact rule's threshold.
    """

    passes: Callable[[int], float]
    score: Callable[[Asked], jax.Array]
    fitted: bool = True


FREE, FOUR = lambda size: 0.0, lambda size: 8.0  # at the sampled action, and at another one
POINTS = lambda size: 4.0 * len(ridges.points(size))  # noqa: E731
STAR = lambda size: 8.0 * max(size, 2)  # noqa: E731
DRAW = lambda samples: lambda size: 4.0 * samples  # noqa: E731
RULES = {
    "fast": Rule(lambda size: POINTS(1) if size == 1 else 0.0, lambda asked: from_ridges(asked, "fast"), fitted=False),
    "ridges of the critics": Rule(POINTS, lambda asked: from_ridges(asked, "exact"), fitted=False),
    "linear beyond the first layer, 400 draws": Rule(FREE, in_features, fitted=False),
    "cosine of 16": Rule(DRAW(16), lambda asked: over_draws(asked, 16, landscape.cosine)),
    "pearson of 100": Rule(DRAW(100), lambda asked: over_draws(asked, 100, landscape.pearson)),
    "spearman of 100": Rule(DRAW(100), lambda asked: over_draws(asked, 100, landscape.spearman)),
    "regret of 100": Rule(DRAW(100), lambda asked: over_draws(asked, 100, landscape.regret)),
    "pearson of 16": Rule(DRAW(16), lambda asked: over_draws(asked, 16, landscape.pearson)),
    "pearson of 4": Rule(DRAW(4), lambda asked: over_draws(asked, 4, landscape.pearson)),
    "cosine of the star": Rule(STAR, lambda asked: over_star(asked, landscape.cosine)),
    "pearson of the star": Rule(STAR, lambda asked: over_star(asked, landscape.pearson)),
    "slopes at the mean": Rule(FOUR, lambda asked: slopes(asked, jnp.zeros_like(asked.mean))),
    "slopes at a sample": Rule(FREE, lambda asked: slopes(asked, asked.noise)),
    "planes at the mean": Rule(FOUR, lambda asked: planes(asked, jnp.zeros_like(asked.mean)), fitted=False),
    "planes at a sample": Rule(FREE, lambda asked: planes(asked, asked.noise), fitted=False),
}
IN_TWO_STAGES = ("planes at a sample", "cosine of the star", 4)
"""A rule, the one that decides instead where the first is least sure, and the share of states where it does: 1/4."""
HEAD, KEPT = f"a head, taught by 1/{ASKED}", f"kept verdicts, 1/{ASKED} anew"
OTHERS = {HEAD: 4.0 * SAMPLES / ASKED, KEPT: 4.0 * SAMPLES / ASKED, "a fresh exact draw": 4.0 * SAMPLES}
OTHERS |= {"never": 0.0, "always": 0.0}
"""What else stands in the table, and what it costs."""


def in_two_stages(first: np.ndarray, first_cut: float, second: np.ndarray, second_cut: float, share: int) -> np.ndarray:
    """Verdicts by the first score, but by the second for the 1/share of every 256 states nearest to the cut."""
    verdict = first < first_cut
    for begin in range(0, len(first), 256):
        near = begin + np.argsort(np.abs(first[begin : begin + 256] - first_cut))[: 256 // share]
        verdict[near] = second[near] < second_cut
    return verdict


def passes(name: str, size: int) -> float:
    """What a rule of the table costs."""
    if name == two_stages():
        first, second, share = IN_TWO_STAGES
        return RULES[first].passes(size) + RULES[second].passes(size) / share
    return RULES[name].passes(size) if name in RULES else OTHERS[name]


def two_stages() -> str:
    """The name of the rule in two stages."""
    first, second, share = IN_TWO_STAGES
    return f"{first}, then the {second} for 1/{share}"


def fitted(score: np.ndarray, label: np.ndarray) -> float:
    """The cut with the fewest errors."""
    cuts = np.quantile(score, np.linspace(0, 1, 201))
    return float(cuts[np.argmin([np.mean((score < cut) != label) for cut in cuts])])


def agreement(verdict: Any, truth: np.ndarray) -> list[float | None]:
    """Sensitivity and specificity; None where no state is such a one."""
    found = ((verdict & truth).sum(), truth.sum()), ((~verdict & ~truth).sum(), (~truth).sum())
    return [float(right / count) if count else None for right, count in found]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was found at n states from replay; verdicts say which to switch.

    Attributes:
      scores: by rule.
      truth: the majority of many exact draws.
      fresh: one of them.
      kept: one of an earlier stage.
      label: one for fitting cuts.
    """

    scores: Mapping[str, np.ndarray]
    truth: np.ndarray
    fresh: np.ndarray
    kept: np.ndarray
    label: np.ndarray


def judge(answers: Answers, threshold: float) -> dict[str, list[float | None]]:
    """By rule: sensitivity and specificity on the second half of the states."""
    half = len(answers.truth) // 2
    fit = {name: fitted(score[:half], answers.label[:half]) for name, score in answers.scores.items()}
    cuts = {name: fit[name] if name == HEAD or RULES[name].fitted else threshold for name in answers.scores}
    rest = {name: score[half:] for name, score in answers.scores.items()}
    verdicts = {name: score < cuts[name] for name, score in rest.items()}
    first, second, share = IN_TWO_STAGES
    verdicts[two_stages()] = in_two_stages(rest[first], fit[first], rest[second], fit[second], share)
    verdicts |= {KEPT: answers.kept[half:], "a fresh exact draw": answers.fresh[half:]}
    verdicts |= {"never": np.zeros(half, bool), "always": np.ones(half, bool)}
    return {name: agreement(verdict, answers.truth[half:]) for name, verdict in verdicts.items()}


def ask(agent: SACAdaEnt, env: Any, run: Any, before: Any, counters: Any) -> dict[str, Any]:
    """The fields of `Answers` at states from replay, where `before` is the agent's state of an earlier stage."""
    keys = jax.random.split(jax.random.key(99), 7)
    published = agent.replace(n_samples=SAMPLES)

    def sampled(key: jax.Array, states: int) -> jax.Array:
        obs = replay.sample(run.rows, counters.env_steps, key, states, env).obs
        return obs.reshape(-1, 256, obs.shape[-1])

    def each(function: Callable[[jax.Array, jax.Array], Any], obs: jax.Array, key: jax.Array) -> Any:
        """What a function of a minibatch and a key says of all states."""
        found = jax.lax.map(lambda block: function(*block), (obs, jax.random.split(key, len(obs))))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)

    def alike(state: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return each(functools.partial(published.similarity, state), obs, key)

    def asked(obs: jax.Array, key: jax.Array) -> Asked:
        return Asked(published, run.agent, obs, *published.policy(run.agent.actor.params, obs), key)

    def answer(obs: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        return {name: rule.score(asked(obs, key)) for name, rule in RULES.items()}

    def see(obs: jax.Array, key: jax.Array) -> jax.Array:
        return seen(asked(obs, key))

    obs, taught = sampled(keys[0], STATES), sampled(keys[3], TAUGHT)
    drawn = jax.lax.map(lambda key: alike(run.agent, obs, key) < agent.threshold, jax.random.split(keys[1], DRAWS + 2))
    told = alike(run.agent, taught, keys[4])
    foretold = head.learned(each(see, taught, keys[5]), told, each(see, obs, keys[2]), keys[6])
    return {
        "scores": each(answer, obs, keys[2]) | {HEAD: foretold},
        "truth": drawn[2:].mean(axis=0) > 0.5,
        "fresh": drawn[0],
        "kept": alike(before, obs, keys[1]) < agent.threshold,
        "label": drawn[1],
    }


def measure(task: str, seed: int, stages: int = STAGES) -> list[dict[str, Any]]:
    """Train with one seed; by stage, what `judge` says and how many states should be switched."""
    env = envs.make(task)
    row = published.row("sac_adaent", task, "quick")
    own = fields.plain_values(row.agent) | {"n_samples": 16, "batch_size": 256}
    agent = fields.build(SACAdaEnt, own)
    plan = trainer.schedule(agent, TASKS[task], 1, stages * ASKED)
    train, prefill, look = (
        jax.jit(functools.partial(function, agent, env, **more))
        for function, more in ((trainer.train, {"plan": plan}), (trainer.prefill, {"plan": plan}), (ask, {}))
    )
    run, counters, _ = prefill(trainer.begin(agent, env, jnp.uint32(seed), plan), trainer.no_steps())
    rows, before = [], run.agent
    for chunk in range(1, plan.chunks + 1):
        run, counters, _ = train(run, counters)
        if chunk % (ASKED - 1) == 0:
            before = run.agent  # of the stage that ends when a sixteenth more was trained
        if chunk % ASKED == 0:
            answers = Answers(**jax.tree.map(np.asarray, look(run, before, counters)))
            rules, share = judge(answers, float(agent.threshold)), float(answers.truth.mean())
            rows.append({"env_steps": int(counters.env_steps), "should_switch": share, "rules": rules})
    return rows


def summary(rows: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> dict[str, dict[str, Any]]:
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
      out: the JSON to write; tasks that it holds by the same rules, and that are not measured now, stay in it.
    """
    before = kept(out)
    same = set(before.get("rules", {})) == {*RULES, two_stages(), *OTHERS}
    rows: dict[str, dict[str, Any]] = before["stages"] if same else {}
    for task in only or TASKS:
        rows[task] = {str(seed): measure(task, seed) for seed in range(seeds)}
        found = summary(rows)
        about = f"truth: majority of {DRAWS} draws of {SAMPLES} samples; {STATES} states from replay at each stage"
        save(out, about, rules=found, stages=rows)
        Console(width=170).print(table(found))


if __name__ == "__main__":
    tyro.cli(main)
