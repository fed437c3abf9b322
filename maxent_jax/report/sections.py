"""The parts of the page about learning: curves, final returns, verdicts."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from maxent_jax import compare, stats, tables, verdict
from maxent_jax.report import charts
from maxent_jax.runs import EPISODES
from maxent_jax.tables import Entry
from maxent_jax.verdict import Verdict, Yardsticks

MOST_VERDICTS = 8
"""Verdicts with their reasons, the gravest first; `compare` gives them for all."""
MOST_CURVES = 24
"""Configurations in a chart; the table has all of them."""
MANY = 12
"""Columns of a table beyond which a printed page breaks words."""
MOST_SEEDS = 20
"""Thin lines of one of them."""
COLUMNS = {EPISODES[0]: "mean action", EPISODES[1]: "sampled actions"}
AXES = {"steps": ("env_steps", "environment steps"), "minutes": ("minutes", "minutes of training")}


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; the first cell of a row is its name."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=name' if place == 0 else ''}>{escape(str(cell))}</td>" for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    many = " many" if len(heads) > MANY else ""
    return f'<div class="wide{many}"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def verdicts(found: Sequence[Verdict]) -> str:
    """What is said of each configuration that maximises entropy."""
    if not found:
        return "<p>No configuration here maximises entropy without letting go of it: there is nothing to judge.</p>"
    ranked = sorted(found, key=lambda each: verdict.WORDS.index(each.word))
    said = "".join(
        f'<p class="verdict"><b>{escape(each.about)}: {escape(each.word)}.</b> {escape(" ".join(each.reasons))}</p>'
        for each in ranked[:MOST_VERDICTS]
    )
    for word in verdict.WORDS:
        if rest := [each.about for each in ranked[MOST_VERDICTS:] if each.word == word]:
            said += f"<p>Also {escape(word)}: {escape('; '.join(rest))}.</p>"
    rule = (
        '<p class="note">The rule: a verdict only where a yardstick or another configuration is clearly better within '
        "the same steps (interval of the difference of interquartile means above "
        f"{verdict.MARGIN:.0%} of the task's range); then “{verdict.MISLEADS}” where one that differs in entropy alone "
        f"is, “{verdict.TOO_SMALL}” where the return still rises, “{verdict.NO_EVIDENCE}” otherwise.</p>"
    )
    return said + rule


def learning(found: Sequence[Entry], yardsticks: Yardsticks | None) -> str:
    """Curves, legend, profile and final returns of the configurations on one task."""
    shown = _best(found)
    lines = {} if yardsticks is None else _means(yardsticks)
    parts = [figure for column in COLUMNS for figure in _curves(shown, column, lines)]
    legend = "".join(
        f"<li>{charts.swatch(number)}{escape(entry.name)}, {tables.count(len(entry.sound), 'seed')}</li>"
        for number, entry in enumerate(shown)
    )
    left_out = len(found) - len(shown)
    note = (
        "Bold: interquartile mean over seeds; band: its 95 % stratified bootstrap interval; thin: every seed. Failed "
        "runs are left out. Minutes are those of all runs of a program, which train together."
        + (
            f" In the table only: {tables.count(left_out, 'configuration')} with the lowest returns."
            if left_out
            else ""
        )
    )
    profile = f"<figure>{_profile(shown)}<figcaption>Share of seeds whose final return is higher.</figcaption></figure>"
    return (
        f'<ul class="legend">{legend}</ul><div class="charts">{"".join(parts)}{profile}</div>'
        f'<p class="note">{note}</p>{final_returns(found, yardsticks)}'
    )


def _best(found: Sequence[Entry]) -> list[Entry]:
    """The configurations worth drawing, in their order."""
    if len(found) <= MOST_CURVES:
        return list(found)
    ranked = sorted(found, key=lambda entry: -_or_lowest(stats.estimate([entry.finals()]).value))
    best = {id(entry) for entry in ranked[:MOST_CURVES]}
    return [entry for entry in found if id(entry) in best]


def _or_lowest(value: float | None) -> float:
    return -np.inf if value is None else value


def _means(yardsticks: Yardsticks) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in yardsticks.returns.items()}


def _curves(shown: Sequence[Entry], column: str, lines: Mapping[str, float]) -> list[str]:
    """A figure along each of `AXES`."""
    drawn: dict[str, list[charts.Curve]] = {x: [] for x in AXES}
    for number, entry in enumerate(shown):
        _, values = entry.curve(column)
        middle, low, high = stats.bands(values, statistic=stats.iqm)
        said = [stats.Estimate(*_plain(*ends)) for ends in zip(middle, low, high, strict=True)]
        for x, (name, label) in AXES.items():
            across, _ = entry.curve(column, name)
            told = [f"{entry.name}: {charts.short(a)} {label}, {each}" for a, each in zip(across, said, strict=True)]
            if len(across):
                seeds = values[:MOST_SEEDS]
                drawn[x].append(charts.Curve(entry.name, number, across, middle, low, high, seeds, told))
    caption, label = f"<figcaption>Return by {COLUMNS[column]}.</figcaption>", f"return, {COLUMNS[column]}"
    svgs = {x: charts.chart(curves, AXES[x][1], label, lines) for x, curves in drawn.items()}
    return [f'<figure class="by-{x}">{svg}{caption}</figure>' for x, svg in svgs.items()]


def _plain(*values: float) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _profile(shown: Sequence[Entry]) -> str:
    """Performance profiles of the final returns."""
    finals = {number: np.sort([x for x in entry.finals() if np.isfinite(x)]) for number, entry in enumerate(shown)}
    known = np.concatenate([*finals.values(), np.zeros(0)])
    if not known.size:
        return ""
    ends = (known.min() - 1e-9 * abs(known.min()), known.max())
    drawn = []
    for number, values in finals.items():
        if len(values):
            at = np.unique([*ends, *values])
            share = stats.performance_profile([values], at)
            told = [f"{shown[number].name}: {s:.0%} of seeds above {x:,.4g}" for s, x in zip(share, at, strict=True)]
            drawn.append(charts.Curve(shown[number].name, number, at, share, told=told))
    return charts.chart(drawn, f"final return, {COLUMNS[EPISODES[0]]}", "share of seeds above", stairs=True)


def final_returns(found: Sequence[Entry], yardsticks: Yardsticks | None) -> str:
    """A row per configuration and yardstick."""
    reference = next((entry for entry in found if entry.agent.maximises_entropy), found[0])
    heads = (
        "configuration",
        "seeds",
        "steps",
        "minutes",
        "mean action: IQM",
        "mean",
        "sampled actions: IQM",
        f"P(better than {reference.name}), same steps",
        "switched",
        "failed",
    )
    rows = []
    for entry in found:
        by_mean, by_draws = (entry.finals(column) for column in COLUMNS)
        better = "" if entry is reference else compare.improvement(reference, entry)
        share = entry.finals("switched_share")
        known = [value for value in share if np.isfinite(value)]
        rows.append(
            (
                entry.name,
                len(entry.sound),
                f"{entry.steps:,}",
                f"{entry.minutes:.3g}",
                stats.estimate([by_mean]),
                stats.estimate([by_mean], stats.mean),
                stats.estimate([by_draws]),
                better,
                f"{np.mean(known):.1%}" if known else "",
                len(entry.rows) - len(entry.sound) or "",
            )
        )
    for name, values in (yardsticks.returns if yardsticks else {}).items():
        about = (f"yardstick: {name}", f"{len(values)} episodes", "", "")
        rows.append((*about, stats.estimate([values]), stats.estimate([values], stats.mean), "", "", "", ""))
    note = '<p class="note">Final returns, with 95 % intervals over seeds; IQM: interquartile mean.</p>'
    return table(heads, rows) + note
