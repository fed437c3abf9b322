"""The page as a whole: what it opens with, its sections in order, and what is known of each run directory."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from maxent_jax import resuming, tables
from maxent_jax.report import figures, sections
from maxent_jax.result import Result
from maxent_jax.tables import Entry
from maxent_jax.verdict import Verdict, Yardsticks, comparable

HERE = Path(__file__).parent


def page(found: Sequence[Entry], yardsticks: Mapping[str, Yardsticks], judged: Sequence[Verdict]) -> str:
    """Everything about some configurations.

    Args:
      found: configurations of any run directories, on any tasks, see `tables.entries`.
      yardsticks: what is known without learning, by task.
      judged: what is said of them, see `verdict.judge`.

    Returns:
      A whole HTML document that fetches nothing.

    Raises:
      Fault: a picture or a film in a run directory is damaged.
    """
    results = list({id(entry.result): entry.result for entry in found}.values())
    tasks = list(dict.fromkeys(entry.task for entry in found))
    title = f"{', '.join(dict.fromkeys(str(result.config['agent']) for result in results))} on {', '.join(tasks)}"
    parts = {"verdict": ("What the numbers say", sections.verdicts(judged))}
    for number, task in enumerate(tasks):
        here = [entry for entry in found if entry.task == task]
        known = yardsticks.get(task)
        if known is not None and not all(known.fit(entry) for entry in here):
            known = None
        parts[f"task-{number}"] = (task, _warning(here) + sections.learning(here, known))
    parts["figures"] = ("Landscapes and films", _figures(results))
    parts["settings"] = ("Settings", _settings(found))
    parts["failed"] = ("Failed runs", _failed(results))
    parts["origin"] = ("Where it comes from", _origin(results))
    links = "".join(f'<a href="#{name}">{escape(head)}</a>' for name, (head, _) in parts.items())
    body = "".join(
        f'<section id="{name}"><h2>{escape(head)}</h2>{text}</section>' for name, (head, text) in parts.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_part('style.css')}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{_opening(results)}\n<nav>{links}</nav>\n{_SWITCH}\n{body}\n</main>\n"
        f"<script>\n{_part('script.js')}</script>\n</body>\n</html>\n"
    )


_SWITCH = (
    '<fieldset class="switch"><label><input type="radio" name="x" id="by-steps" checked> by environment steps</label>'
    '<label><input type="radio" name="x" id="by-minutes"> by minutes</label></fieldset>'
)


def _part(name: str) -> str:
    return (HERE / name).read_text()


def _opening(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        steps, most = max(entry.steps for entry in tables.entries([result])), int(result.config["steps"])
        state = "finished" if resuming.is_finished(result.path) else f"not finished: {steps:,} of {most:,} steps"
        what = f"{result.config['agent']} on {result.config['env']}"
        size = f"{tables.count(len(result.agents), 'configuration')}, {tables.count(len(result.runs), 'run')}"
        rows.append(f"<li><code>{escape(str(result.path))}</code>: {escape(what)}, {size}, {state}</li>")
    return f"<ul>{''.join(rows)}</ul>"


def _warning(here: Sequence[Entry]) -> str:
    if all(comparable(here[0], other) for other in here):
        return ""
    return '<p class="verdict">Physics, noise or rewards differ between these: their returns do not mean the same.</p>'


def _figures(results: Sequence[Result]) -> str:
    parts = []
    for result in results:
        found = figures.embedded(result.path)
        where = escape(str(result.path))
        missing = f"<p>None: <code>maxent-jax landscape {where}</code> and <code>film</code> make some.</p>"
        parts.append(f"<h3>{where}</h3>{found or missing}")
    return "".join(parts)


def _settings(found: Sequence[Entry]) -> str:
    """What differs, the longer list downwards; then what all share."""
    every = [entry.settings for entry in found]
    apart = tables.differing(every)
    rows = [
        ("configuration", *apart),
        *(
            (entry.name, *(tables.show(own.get(name, tables.MISSING)) for name in apart))
            for entry, own in zip(found, every, strict=True)
        ),
    ]
    if len(apart) > len(found):
        rows = list(zip(*rows, strict=True))
    differ = sections.table(rows[0], rows[1:]) if apart else "<p>There is one configuration.</p>"
    alike = [(name, tables.show(value)) for name, value in every[0].items() if name not in apart]
    shared = sections.table(("setting", "value"), alike)
    return f"<h3>That differ</h3>{differ}<h3>Alike in all</h3>{shared}"


def _failed(results: Sequence[Result]) -> str:
    rows = [
        (str(result.path), one["run"], one["seed"], f"{one['step']:,}", one["cause"])
        for result in results
        for one in result.failures()
    ]
    if not rows:
        return "<p>None.</p>"
    return sections.table(("run directory", "run", "seed", "since step", "cause"), rows)


def _origin(results: Sequence[Result]) -> str:
    """Versions, device and command of each run directory; those that all share in one column."""
    columns = [_surroundings(result) for result in results]
    names = dict.fromkeys(name for column in columns for name in column)
    same = len(columns) == 1 or not tables.differing(columns)
    heads = ("", *(["all"] if same else [result.path.name for result in results]))
    shown = columns[:1] if same else columns
    rows = [(name, *(column.get(name, "") for column in shown)) for name in names]
    commands = "".join(
        f"<li><code>{escape(' '.join(map(str, result.config.get('command', []))))}</code></li>" for result in results
    )
    return f"{sections.table(heads, rows)}<h3>Commands</h3><ul>{commands}</ul>"


def _surroundings(result: Result) -> dict[str, Any]:
    config = result.config
    more = len(config.get("continued_with", []))
    resumed = {"gone on with, by other code or devices": f"{more} times"} if more else {}
    return {"device": config.get("device", ""), **config.get("versions", {}), **resumed}
