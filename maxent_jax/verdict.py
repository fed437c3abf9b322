"""Does entropy mislead an agent here? A verdict in words, by a rule.

Judged is every configuration that maximises entropy and never lets go of it, at its own budget, if it has at least
two seeds. The rule, in this order:

1. *Was better possible in that budget?* Yes, where a yardstick that knows the task, or another configuration on the
   same task within the same environment steps, is clearly better (of many, the five with the highest returns and all
   counterparts are asked). If not: **no verdict**: a return that nothing has
   beaten accuses nobody.
2. **entropy misleads here**, where a *counterpart* is clearly better: the same agent without entropy, or one that lets
   go of it, state by state (`sac_adaent`) or in time (`sac_annealed`), from the same temperature; all other settings
   alike. Only that isolates entropy.
3. **budget too small**, where the configuration is still improving: the mean over its last quarter of evaluations
   lies above that over the quarter before, with the whole interval above the same margin.
4. **no evidence** otherwise: better was possible, and it is not shown that entropy is what stands in the way. The
   reason says whether a counterpart is missing, is no better, or has too few seeds to tell.

*Clearly better*: the 95 % interval of the difference of interquartile means lies above the margin, 1 % of the task's
range, which is the best yardstick's return less the best of the policies that see nothing; above 0 where a task has no
yardsticks. The margin is small because such policies can be absurd: on the vehicle all of them lose a hundred times
what a planner loses, and 5 % of that range is more than lies between any learner and the planner. Seeds that failed do
not count. Yardsticks and runs with other physics, noise or rewards prove nothing and are left out.

Several counterparts are several chances to convict an agent that they are no better than: three of them do it in 2 of
100 simulated cases with 5 seeds (in less than 4 with 10), because the intervals' ends are conservative; so each is
asked at 95 %.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs import fields
from maxent_jax import stats, tables
from maxent_jax.agents import SAC, Agent, SACAdaEnt
from maxent_jax.agents.sac_annealed import SACAnnealed
from maxent_jax.tables import Entry

MISLEADS = "entropy misleads here"
TOO_SMALL = "budget too small"
NO_EVIDENCE = "no evidence"
NO_VERDICT = "no verdict"
WORDS = (MISLEADS, TOO_SMALL, NO_EVIDENCE, NO_VERDICT)
MARGIN = 0.01
"""How much of the task's range a clear difference is, and what is gained in a quarter of a budget that is too small."""
MOST_RIVALS = 5
"""Configurations with the highest returns that are asked whether better was possible: a sweep may have hundreds."""
NAMED = 5
"""Configurations that a sentence names, for the same reason."""
OF_ENTROPY = ("alpha", "auto_alpha", "target_entropy", "alpha_lr", "entropy_coef", "threshold")
"""Fields in which a counterpart may differ; one that lets go of entropy must begin at the same temperature."""
OF_LEARNING = ("timeout_is_termination", "observe_time", "observe_rates")
"""Fields of a task that change how it is learned, and not what a return means."""


@dataclasses.dataclass(frozen=True)
class Yardsticks:
    """What is known of a task without learning.

    Attributes:
      knowing: returns by name of controllers that know the task.
      blind: returns by name of policies that see nothing, such as random actions.
      env_fields: the task that they were measured on.
    """

    knowing: Mapping[str, Sequence[float]]
    blind: Mapping[str, Sequence[float]]
    env_fields: Mapping[str, Any]

    @property
    def returns(self) -> dict[str, Sequence[float]]:
        """Of all of them, by name, those that know the task first."""
        return {**self.knowing, **self.blind}

    @property
    def range(self) -> float:
        """The best mean return less the best of those that see nothing."""
        best, worst = (max(np.mean(values) for values in side.values()) for side in (self.knowing, self.blind))
        return max(0.0, float(best - worst))

    def fit(self, entry: Entry) -> bool:
        """Whether returns of a configuration on this task mean the same."""
        return _same_returns(entry.env_fields, self.env_fields)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said of one configuration.

    Attributes:
      about: its name and task.
      word: one of `MISLEADS`, `TOO_SMALL`, `NO_EVIDENCE`, `NO_VERDICT`.
      reasons: the sentences behind it, with their numbers.
    """

    about: str
    word: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        return f"{self.about}: {self.word}. {' '.join(self.reasons)}"


def lets_go(agent: Agent) -> bool:
    """Whether an agent maximises entropy only where landscapes agree, or only for a while."""
    if isinstance(agent, SACAdaEnt):
        return agent.switches
    return isinstance(agent, SACAnnealed)


def judge(found: Sequence[Entry], yardsticks: Mapping[str, Yardsticks] | None = None) -> list[Verdict]:
    """The verdicts on all configurations that maximise entropy and never let go of it.

    Args:
      found: configurations, on any tasks; each is judged beside those on its own.
      yardsticks: by task.

    Returns:
      One a configuration, in their order.
    """
    verdicts = []
    for entry in found:
        if entry.agent.maximises_entropy and not lets_go(entry.agent):
            others = [other for other in found if other is not entry and comparable(entry, other)]
            known = (yardsticks or {}).get(entry.task)
            if known is not None and not known.fit(entry):
                known = None
            verdicts.append(_judge(entry, others, known))
    return verdicts


def comparable(one: Entry, other: Entry) -> bool:
    """Whether returns of two configurations mean the same."""
    return one.task == other.task and _same_returns(one.env_fields, other.env_fields)


def counterpart(entry: Entry, other: Entry) -> bool:
    """Whether another configuration differs from one that maximises entropy in nothing but entropy."""
    judged = SAC if isinstance(entry.agent, SACAdaEnt) else type(entry.agent)  # one that never switches is SAC
    without = type(other.agent) in (judged, type(entry.agent)) and not other.agent.maximises_entropy
    one, two = fields.plain_values(entry.agent), fields.plain_values(other.agent)
    released = isinstance(other.agent, judged) and lets_go(other.agent) and _temperature(one) == _temperature(two)
    alike = all(one[name] == two[name] for name in one.keys() & two.keys() if name not in OF_ENTROPY)
    size = all(entry.result.config[name] == other.result.config[name] for name in ("steps", "envs"))
    return (without or released) and alike and size and entry.env_fields == other.env_fields


def _temperature(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The fields that set how much entropy is worth."""
    learned = (values["target_entropy"], values["alpha_lr"]) if values["auto_alpha"] else ()
    return values["alpha"], values["auto_alpha"], *learned


def _same_returns(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    names = (one.keys() | other.keys()) - set(OF_LEARNING)
    return all(one.get(name) == other.get(name) for name in names)


@dataclasses.dataclass(frozen=True)
class Ahead:
    """How much higher than one configuration others end, by name.

    Attributes:
      counterparts: those that differ from it in entropy alone.
      rivals: the same, and the best of the others.
      known: yardsticks that know the task.
    """

    counterparts: Mapping[str, stats.Estimate]
    rivals: Mapping[str, stats.Estimate]
    known: Mapping[str, stats.Estimate]


def _ahead_of(entry: Entry, others: Sequence[Entry], yardsticks: Yardsticks | None) -> Ahead:
    own = entry.finals()

    def ahead(values: Sequence[float]) -> stats.Estimate:
        return stats.estimate([values, own], stats.iqm_difference)

    finals = {other.name: other.finals(steps=entry.steps) for other in others}
    counterparts = {other.name: ahead(finals[other.name]) for other in others if counterpart(entry, other)}
    best = sorted(finals, key=lambda name: _middle(finals[name]), reverse=True)[:MOST_RIVALS]
    rivals = {name: counterparts.get(name) or ahead(finals[name]) for name in dict.fromkeys([*counterparts, *best])}
    knowing = yardsticks.knowing if yardsticks else {}
    return Ahead(counterparts, rivals, {name: ahead(values) for name, values in knowing.items()})


def _judge(entry: Entry, others: Sequence[Entry], yardsticks: Yardsticks | None) -> Verdict:
    """The rule, branch by branch."""
    about, steps = f"{entry.name} on {entry.task}", entry.steps
    margin = MARGIN * yardsticks.range if yardsticks else 0.0
    if np.isfinite(entry.finals()).sum() < 2:
        return Verdict(about, NO_VERDICT, ("It needs at least two seeds that did not fail.",))
    found = _ahead_of(entry, others, yardsticks)
    better = _named({name: more for name, more in found.rivals.items() if _above(more, margin)})
    better += [f"the yardstick {name} by {more}" for name, more in found.known.items() if _above(more, margin)]
    needed = f"at least {margin:.4g}, {MARGIN:.0%} of the task's range" if margin else "the interval above 0"
    if not better:
        seen = f"{tables.count(len(others), 'other configuration')} and {tables.count(len(found.known), 'yardstick')}"
        why = f"Nothing beside it shows that better was possible within {steps:,} steps ({seen}; needed: {needed})."
        return Verdict(about, NO_VERDICT, (why,))
    possible = f"Better was possible within {steps:,} steps: {'; '.join(better)} (needed: {needed})."
    causes = _named({name: more for name, more in found.counterparts.items() if _above(more, margin)})
    if causes:
        why = f"With all else alike, but for entropy, it is better: {'; '.join(causes)} (needed: {needed})."
        return Verdict(about, MISLEADS, (why,))
    rise = still_rising(entry)
    if _above(rise, margin):
        why = f"It still improves: by {rise} in the last quarter of its evaluations."
        return Verdict(about, TOO_SMALL, (possible, why))
    return Verdict(about, NO_EVIDENCE, (possible, _no_cause(found.counterparts, margin)))


def _no_cause(counterparts: Mapping[str, stats.Estimate], margin: float) -> str:
    """Why nothing is known of entropy's part."""
    if not counterparts:
        return "That entropy is why is not shown: no run beside it differs from it in entropy alone."
    open_ones = [name for name, more in counterparts.items() if more.high is None or more.high > margin]
    listed = "; ".join(_named(counterparts))
    if open_ones:
        return f"Without entropy it is not clearly better: {listed}; more seeds could show it."
    return f"Without entropy it is no better: {listed}; something else stands in the way."


def _named(differences: Mapping[str, stats.Estimate]) -> list[str]:
    """Configurations and how much they are better, in words; of very many the first ones."""
    words = [f"{name} by {more}" for name, more in differences.items()]
    return words if len(words) <= NAMED else [*words[:NAMED], f"and {len(words) - NAMED} more"]


def still_rising(entry: Entry) -> stats.Estimate:
    """How much higher the last quarter of the evaluations lies than the quarter before, mean over seeds."""
    _, values = entry.curve("return_deterministic")
    quarter = values.shape[1] // 4
    if not quarter:
        return stats.Estimate(None, None, None)
    late, before = values[:, -quarter:], values[:, -2 * quarter : -quarter]
    return stats.estimate([late.mean(axis=1) - before.mean(axis=1)], stats.mean)


def _middle(values: Sequence[float]) -> float:
    """Interquartile mean of what is finite; the lowest of all where nothing is."""
    finite = np.array([value for value in values if np.isfinite(value)])
    return float(stats.iqm([finite])) if finite.size else -np.inf


def _above(difference: stats.Estimate, margin: float) -> bool:
    return difference.low is not None and difference.low > margin
