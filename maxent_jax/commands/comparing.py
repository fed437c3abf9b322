"""The commands that put runs side by side, and that try saved policies again."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from envs import fields
from envs.fields import InvalidSetting
from experiments import yardsticks
from maxent_jax import cache, compare, evaluate, report, runs, stats, tables, verdict
from maxent_jax.commands import common
from maxent_jax.options import NO_CACHE, option, parse, required, take_apart
from maxent_jax.result import Result, load

EVERY = dataclasses.replace(common.RUN_DIR, help="a folder that train or sweep made; repeatable")
RUN_A = required("RUN_A", "a folder that train or sweep made")
RUN_B = required("RUN_B", "another one, on the same task; the same one: its configurations with each other")


def report_command(words: list[str]) -> None:
    """One page that shows it all: curves, table, verdicts, landscapes, films, differences, failures."""
    known = (
        option("out", str, "HTML to write; none: report.html in the first RUN_DIR"),
        option("csv", str, "also write one tidy table, a row per run and chunk, to this .csv file"),
    )
    named = common.repeated(EVERY, take_apart(words).positional)
    given = parse(f"{common.PROGRAM} report", words, known, positional=named)
    results = [tables.check(load(folder)) for folder in _different(given.positional)]
    table = given.options["csv"] and common.file_to_write(given.options["csv"], ".csv", name="csv")
    path = common.file_to_write(given.options["out"] or results[0].path / "report.html", ".html")
    found = tables.entries(results)
    known_yardsticks = yardsticks.for_verdicts(found)
    text = report.page(found, known_yardsticks, verdict.judge(found, known_yardsticks))
    runs.write_whole(path, text.encode())
    common.say_file(path)
    if table:
        tables.write_csv(found, table)
        common.say_file(table)


def _different(folders: Sequence[str]) -> list[str]:
    places = [Path(folder).resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise InvalidSetting(f"run directory {folder!r}: is given twice; must be given once")
    return list(folders)


def compare_command(words: list[str]) -> None:
    """Two runs on one task: the difference with its interval, probability of improvement, fields that differ."""
    given = parse(f"{common.PROGRAM} compare", words, (), positional=(RUN_A, RUN_B))
    one, other = (tables.check(load(folder)) for folder in given.positional)
    listed = compare.pairs(one, other)
    for pair in listed:
        _print_pair(*pair)
    _print_differences("settings that differ", compare.differences(listed))
    _print_differences("around them", compare.surroundings(one.config, other.config))
    if not verdict.comparable(*listed[0]):
        _say("The physics, noise or rewards differ: the returns do not mean the same.")
    found = list({entry.name: entry for pair in listed for entry in pair}.values())
    for each in verdict.judge(found, yardsticks.for_verdicts(found)):
        _say(str(each))


def _print_pair(one: tables.Entry, other: tables.Entry) -> None:
    rows = {
        "return, mean action": compare.compare(one, other),
        "return, sampled actions": compare.compare(one, other, runs.EPISODES[1]),
    }
    first, second = next(iter(rows.values())).steps
    when = f"at {first:,} steps" if first == second else f"A at {first:,} steps, B at {second:,}"
    _say(f"A: {_counted(one)}\nB: {_counted(other)}")
    table = Table(when, "A", "B", "B - A", "P(B better)")
    for name, each in rows.items():
        table.add_row(name, *map(str, (each.first, each.second, each.difference, each.improvement)))
    table.caption = "interquartile means over seeds, with 95 % intervals"
    common.CONSOLE.print(table)


def _counted(entry: tables.Entry) -> str:
    lost = len(entry.rows) - len(entry.sound)
    return f"{entry.name}, {tables.count(len(entry.sound), 'seed')}" + (f", {lost} failed" if lost else "")


def _print_differences(title: str, found: Mapping[str, tuple[Any, Any]]) -> None:
    if not found:
        return
    table = Table("", "A", "B", title=title, title_justify="left")
    for name, values in found.items():
        table.add_row(name, *map(tables.show, values))
    common.CONSOLE.print(table)


def _say(text: str) -> None:
    common.CONSOLE.print(Text(text))


def evaluate_command(words: list[str]) -> None:
    """Evaluate saved policies again, also under changed physics or noise, with intervals."""
    known = (
        option("episodes", int, "episodes a run, by the mean action, and as many by draws", 100, low=1, high=100_000),
        option("seed", int, "of the episodes, the same ones for all runs", 0, low=0),
        option("out", str, "JSON to write with every return; none: only the table"),
        NO_CACHE,
    )
    taken = take_apart(words)
    about = "Name RUN_DIR to see the fields of its task, which --env.FIELD changes."
    if not taken.positional or taken.positional[0].startswith("-"):  # prints help, or says what is missing
        parse(f"{common.PROGRAM} evaluate", words, known, about, (common.RUN_DIR,))
        return
    result = tables.check(load(taken.positional[0]))
    task = type(result.envs[0])
    given = parse(
        f"{common.PROGRAM} evaluate", words, known, about, (common.RUN_DIR,), env=common.with_defaults(task, {})
    )
    options, members = given.options, fields.settings(task)
    fresh = {name.removeprefix("--env."): text for name, text in taken.options if name.startswith("--env.")}
    # also where a value is the task's default: the policies may have been trained with another one
    changes = {name: members[name].parse(text or "", "env.") for name, text in fresh.items()}
    path = options["out"] and common.file_to_write(options["out"], ".json")
    cache.use(not options["no_cache"])
    rounds = {"as trained": evaluate.evaluate(result, options["episodes"], seed=options["seed"])}
    if changes:
        listed = ", ".join(f"{name} {tables.show(value)}" for name, value in changes.items())
        rounds[listed] = evaluate.evaluate(result, options["episodes"], changes, options["seed"])
    common.CONSOLE.print(_evaluations(result, rounds, options["episodes"]))
    if path:
        found = {name: evaluate.as_json(each) for name, each in rounds.items()}
        about_it = {"run_directory": str(result.path), "episodes": options["episodes"], "seed": options["seed"]}
        runs.write_json(path, {**about_it, "changes": changes, "evaluations": found})
        common.say_file(path)


def _evaluations(result: Result, rounds: Mapping[str, Sequence[evaluate.Evaluation]], episodes: int) -> Table:
    """A row per configuration and round, and how much each run changed."""
    title = f"{result.config['env']}: returns over {episodes} episodes a run; mean over runs, 95 % intervals"
    table = Table("configuration", "task", "runs", "mean action", "sampled actions", "broke down", title=title)
    names = {entry.index: entry.name for entry in tables.entries([result])}
    first = {each.configuration: each for each in next(iter(rounds.values()))}
    for configuration in first:
        for place, (round_name, found) in enumerate(rounds.items()):
            each = next(one for one in found if one.configuration == configuration)
            sides = [evaluate.means(returns) for returns in (each.deterministic, each.stochastic)]
            numbers = [str(stats.estimate([side], stats.mean)) for side in sides]
            table.add_row(names[configuration], round_name, str(len(each.seeds)), *numbers, str(each.broken))
            if place:
                before = [
                    evaluate.means(returns)
                    for returns in (first[configuration].deterministic, first[configuration].stochastic)
                ]
                changes = [
                    str(stats.estimate([now - then], stats.mean)) for now, then in zip(sides, before, strict=True)
                ]
                table.add_row("", "change", "", *changes, "")
    return table
