"""The switching rule on trial: where SAC-AdaEnt and SAC go, is the plain choice better, and does similarity tell?

SAC is SAC-AdaEnt with threshold -1: it learns the plain critics beside and never listens to them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from experiments import agreeing, published, yardsticks
from experiments.agreeing import Compared
from experiments.captions import budget, judged, limits
from experiments.outcome import record
from maxent_jax import api, plots, stats
from maxent_jax.agents import SACAdaEnt
from maxent_jax.faults import Fault
from maxent_jax.result import Result
from maxent_jax.rule import figure, scores, study
from maxent_jax.rule.study import Study
from maxent_jax.rule.subject import NEVER, Subject

TASKS = ("toy", "vehicle", "quadrotor", "pendulum")
SEEDS = {"quick": 5, "cpu": 5, "paper": 10}
STEPS = {
    ("quick", "toy"): 10_000,
    ("quick", "vehicle"): 6_000,
    ("quick", "quadrotor"): 6_000,
    ("quick", "pendulum"): 3_000,
    ("cpu", "vehicle"): 120_000,
    ("cpu", "quadrotor"): 120_000,
}
"""Where a preset's own steps would take too long: twice the seeds are trained, and every choice is tried. Those of
`cpu` are the steps of `control`, so that the rule is tried on the agents that are compared there."""
EPISODES = 5
TESTED = {"quick": 40, "cpu": 200, "paper": 200}
"""States of a policy in which choices are tried."""
DRAWS = 4
SHOWN = {
    "share_soft_loses": "soft choice loses",
    "share_soft_wins": "soft choice wins",
    "share_same_choice": "same choice",
    "rank_correlation": "rank correlation",
    "auc_where_choices_differ": "AUC, choices differ",
    "auc": "AUC, all states",
    "share_switched": "below the threshold",
    "sensitivity": "sensitivity there",
    "specificity": "specificity there",
    "advantage_where_switched": "advantage, switched",
    "advantage_where_kept": "advantage, kept",
}
SHORT = "it speaks of these policies, not of fully trained ones"
"""What captions say of fewer steps than are published."""
MAIN = ("anywhere", "mean", "undiscounted")
"""The way that the figure and the caption speak of: chosen among all candidates, then the mean action."""


@dataclasses.dataclass(frozen=True)
class Tried:
    """All policies of one kind.

    Attributes:
      name: what they are.
      studies: one a seed.
      threshold: of the rule.
      compared: the similarities at the states of each study, found in several ways.
    """

    name: str
    studies: Sequence[Study]
    threshold: float
    compared: Sequence[Compared]

    @property
    def by_exact_comparison(self) -> list[Study]:
        """The same studies, judged by what the exact comparison finds, as published."""
        return [
            dataclasses.replace(one, similarity=compared.exact)
            for one, compared in zip(self.studies, self.compared, strict=True)
        ]

    def row(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """As JSON."""
        checks = [one.value_check() for one in self.studies]
        tested = study.pooled(self.studies, *MAIN)
        published = study.pooled(self.by_exact_comparison, *MAIN)
        return {
            "agent": self.name,
            "return_deterministic": summary["return_deterministic"],
            "scores": study.score(self.studies, self.threshold),
            "by_exact_comparison": scores.score(published, self.threshold),
            **agreeing.shares(
                [
                    each.alike(self.threshold)[:, one.evenly]
                    for each, one in zip(self.compared, self.studies, strict=True)
                ]
            ),
            "rank_correlation_of_values_with_returns": {
                name: [check[name] for check in checks] for name in self.studies[0].landscapes
            },
            "states": {field.name: study.short(getattr(tested, field.name)) for field in dataclasses.fields(tested)},
        }


def run(task: str, path: Path, preset: str, console: Console | None) -> None:
    """Train both on one task, try their landscapes' choices, draw what comes out; everything goes below `path`."""
    row = published.row("sac_adaent", task, preset)
    assert isinstance(row.agent, SACAdaEnt)
    usual = float(row.agent.threshold)
    result = api.sweep(
        "sac_adaent",
        task,
        {"threshold": (NEVER, usual)},
        seeds=SEEDS[preset],
        steps=STEPS.get((preset, task)),
        preset=preset,
        agent_fields={} if preset == "paper" else published.FAST,
        evaluations=5 if preset == "quick" else 20,
        out=path / "sac_adaent",
        resume=True,
        console=console,
    )
    names = {NEVER: f"SAC (threshold {NEVER:g})", usual: f"SAC-AdaEnt (threshold {usual:g})"}
    kinds = [
        tried(result, index, names[entry["grid"]["threshold"]], usual, TESTED[preset])
        for index, entry in enumerate(result.config["configurations"])
    ]
    rows = [kind.row(summary) for kind, summary in zip(kinds, result.summary["configurations"], strict=True)]
    record(path / "outcome.json", preset, [result], rows)
    figures = path / "figures"
    figures.mkdir(exist_ok=True)
    draw(task, kinds, figures / "rule.png", caption(task, preset, result, rows))
    for kind, stem in zip(kinds, ("sac", "sac_adaent"), strict=True):
        about = f"{kind.name} on {task}, first seed, preset {preset}. {budget([result])} {limits([result], SHORT)}"
        figure.draw(kind.studies[0], usual, figures / f"landscapes-{stem}.png", about)
    about = f"Preset {preset}: {budget([result])} {judged([result])} {limits([result], SHORT)}"
    lines = yardsticks.lines(task) if task in yardsticks.KNOWING else {}
    plots.curves([result], figures / "curves.png", lines, about)
    if console is not None:
        table = Table("", *(kind.name for kind in kinds), title=f"{task}, preset {preset}: the rule below {usual:g}")
        for cells in told(rows):
            table.add_row(*cells)
        console.print(table)


def tried(result: Result, configuration: int, name: str, threshold: float, most: int) -> Tried:
    """Study every seed of a configuration that did not fail.

    Raises:
      Fault: all of them failed.
    """
    agent, env = result.agents[configuration], result.envs[configuration]
    assert isinstance(agent, SACAdaEnt)
    studies, compared = [], []
    for row in result.sound(configuration):
        info = result.runs[row]
        state = result.agent_state(info.run)
        study_key, compare_key = jax.random.split(jax.random.key(info.seed))
        dims = study.check_dims(None, env)
        one = study.study(Subject(agent, state), env, study_key, ("soft", "plain"), dims, EPISODES, most, DRAWS)
        studies.append(one)
        compared.append(agreeing.compare(agent, state, one.visits.obs, compare_key))
    if not studies:
        raise Fault(f"run directory {str(result.path)!r}: all seeds of {name} failed; there is no policy to study")
    return Tried(name, studies, threshold, compared)


def main(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the figure tells of a row."""
    reach, acting, way = MAIN
    return row["scores"][reach][acting][way]


def told(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The table of the rule: what each line is, and its numbers for each of the rows of an outcome."""
    lines = [[words, *(stats.shown(main(row)[key]) for row in rows)] for key, words in SHOWN.items()]
    if all("by_exact_comparison" in row for row in rows):  # older outcomes have none
        exact = (row["by_exact_comparison"]["auc_where_choices_differ"] for row in rows)
        lines.append(["AUC, choices differ, exact", *map(stats.shown, exact)])
        lines.append([agreeing.TOLD, *map(agreeing.told, rows)])
    return lines


def caption(task: str, preset: str, result: Result, rows: Sequence[Mapping[str, Any]]) -> str:
    """What came out and what it does not show."""
    words = []
    for row in rows:
        found = main(row)
        area = found["auc_where_choices_differ"]
        said = "has no AUC (the soft choice loses everywhere or nowhere)"
        if area["value"] is not None:
            chance = area["low"] is not None and area["low"] <= 0.5 <= area["high"]
            said = f"has an AUC of {stats.shown(area)}{', chance included' if chance else ''}"
        loses, wins = (found[f"share_soft_{name}"]["value"] or 0.0 for name in ("loses", "wins"))
        words.append(
            f"{row['agent']}: of {found['states']} states the soft choice loses in {loses:.0%} and wins in {wins:.0%}; "
            f"where choices differ the rule {said}."
        )
    return (
        f"{task}, preset {preset}. {budget([result])} {SEEDS[preset]} seeds each; intervals resample seeds. One action "
        f"is exchanged, the policy's mean follows. "
        f"{' '.join(words)} {limits([result], SHORT)}"
    )


def draw(task: str, kinds: Sequence[Tried], path: Path, words: str) -> None:
    """Similarity against true advantage, and the rule's curves.

    Args:
      task: for the title.
      kinds: what was tried.
      path: the PNG to write.
      words: the caption.
    """
    drawn, axes = plots.figure(1, len(kinds) + 1, width=4.6, height=4.6)
    for kind, ax, colour in zip(kinds, axes[0], plots.COLOURS, strict=False):
        tested = study.pooled(kind.studies, *MAIN)
        figure.draw_scatter(ax, tested, kind.threshold, colour=colour)
        ax.set_title(f"{task}, {kind.name}", fontsize=9)
        figure.draw_roc(axes[0, -1], tested, kind.threshold, kind.name, colour)
    figure.finish_roc(axes[0, -1])
    plots.finish(drawn, words, path)
