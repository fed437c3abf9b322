"""What the reader of a figure or a table must know of the runs behind it, in sentences."""

from typing import Any

import numpy as np

from experiments import published, yardsticks
from maxent_jax import freezing, stats, tables, trainer, verdict
from maxent_jax.agents import SACAdaEnt
from maxent_jax.result import Result
from maxent_jax.verdict import Verdict


def verdicts(results: list[Result]) -> list[Verdict]:
    """Whether entropy misleads, of every configuration that maximises it: see `maxent_jax.verdict`."""
    found = tables.entries(results)
    return verdict.judge(found, yardsticks.for_verdicts(found))


def judged(results: list[Result]) -> str:
    """The verdicts in words, without their reasons, which are in the JSON."""
    return " ".join(f"{each.about}: {each.word}." for each in verdicts(results))


def budget(results: list[Result]) -> str:
    """Steps, nets, batch, samples and failed runs of every agent, in words."""
    parts = []
    for result in results:
        steps, fields = int(np.nanmax(result.metrics["env_steps"])), result.config["agent_fields"]
        words = [
            f"{result.config['agent']}: {steps:,} steps",
            f"nets {'-'.join(map(str, fields['hidden']))}",
            f"batch {fields['batch_size']}",
            *_sampled(result),
        ]
        failures = freezing.words(result.failures(), len(result.runs))
        parts.append(", ".join(words + ([f"{failures}, left out"] if failures else [])))
    return "; ".join(dict.fromkeys(parts)) + "."


def limits(results: list[Result], short: str = "it shows how the agents begin, not who wins in the end") -> str:
    """What a budget does not show.

    Args:
      results: the runs.
      short: what is to be said of fewer steps than are published.

    Returns:
      A sentence: the share of the published steps, and whether the nets are smaller than published.
    """
    rows = [published.row(result.config["agent"], result.config["env"]) for result in results]
    shares = [_trained(result) / row.steps for result, row in zip(results, rows, strict=True)]
    smaller = any(
        tuple(result.config["agent_fields"]["hidden"]) != getattr(row.agent, "hidden", None)
        for result, row in zip(results, rows, strict=True)
    )
    kind = "usual" if results[0].config["env"] in published.OURS else "published"
    if min(shares) >= 1 and not smaller:
        return f"{kind.capitalize()} budget."
    amount = " to ".join(dict.fromkeys(f"{100 * min(1.0, share):.3g}" for share in (min(shares), max(shares))))
    nets = ", with smaller nets" if smaller else ""
    shown = short if min(shares) < 1 else "it shows what such nets learn, not what larger ones would"
    return f"That is {amount} % of the {kind} steps{nets}: {shown}."


def _trained(result: Result) -> int:
    """Environment steps of a run after its random ones: whole rollouts and chunks may be more than was asked for."""
    asked = (result.config[name] for name in ("steps", "envs", "evaluations"))
    plan = trainer.schedule(result.agents[0], *asked)
    return plan.chunks * plan.chunk_steps


def _sampled(result: Result) -> list[str]:
    """How many actions an agent draws in a state, and how SAC-AdaEnt compares over them."""
    samples = sorted({agent.n_samples for agent in result.agents if hasattr(agent, "n_samples")})  # pyright: ignore
    ways = sorted({f"{agent.comparison} comparison" for agent in result.agents if isinstance(agent, SACAdaEnt)})
    return ([f"n_samples {', '.join(map(str, samples))}"] if samples else []) + ways


def comparison(preset: str, results: list[Result], rows: list[dict[str, Any]]) -> str:
    """Budget and nets, who ends highest, the verdicts, and what all that does not show."""
    known = [row for row in rows if row["deterministic"].get("iqm") is not None]  # no yardstick has one
    best = max(known, key=lambda row: row["deterministic"]["iqm"], default=None)
    found = "All seeds of all agents failed." if best is None else _highest(best)
    return f"Preset {preset}: {budget(results)} {found} {judged(results)} {limits(results)}"


def _highest(row: dict[str, Any]) -> str:
    final = stats.shown(row["deterministic"])
    return f"Highest final interquartile mean: {row['agent']}, {final}, after {row['steps']:,} steps."
