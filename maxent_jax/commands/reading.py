"""The commands that show what was trained."""

import contextlib
from pathlib import Path
from typing import Any

import jax
from rich.table import Column, Table

from envs.fields import InvalidSetting
from maxent_jax import cache, plots, runs, stats, video
from maxent_jax.commands import common
from maxent_jax.options import NO_CACHE, option, parse
from maxent_jax.programs import RunInfo
from maxent_jax.result import Result, load
from maxent_jax.rule import figure, study
from maxent_jax.rule.study import Study
from maxent_jax.rule.subject import EXPLORED, names, subject_of

DRAWS = 8
LANDSCAPE = (
    option("run", int, "which run of the directory; none: the first", low=0),
    option("seed", int, "the same by its seed", low=0),
    option("states", int, "states to draw: those where the landscapes are least alike", 3, low=1, high=20),
    option("dims", tuple, "one or two action dimensions of the landscapes; none: the first two", low=0),
    option("episodes", int, "episodes to roll out by the mean action", 10, low=1, high=1000),
    option(
        "tested", int, "their states, evenly spread, at which the rule is tested, at most", 200, low=2, high=100_000
    ),
    option("updates", int, "of plain critics, where they have to be learned beside the agent", 5000, low=1),
    option("out", str, "PNG to write, and a .json beside it; none: RUN_DIR/figures/landscape.png"),
    NO_CACHE,
)
SHOWN = (
    "share_soft_loses",
    "share_soft_wins",
    "share_same_choice",
    "mean_advantage",
    "rank_correlation",
    "auc",
    "auc_where_choices_differ",
    "share_switched",
    "sensitivity",
    "specificity",
    "advantage_where_switched",
    "advantage_where_kept",
)
WAYS = (("anywhere", "mean", "undiscounted"), ("near", "mean", "undiscounted"), ("anywhere", "draws", "discounted"))


def landscape_command(words: list[str]) -> None:
    """Draw soft and plain landscapes where they are least alike, and test there whose choice is truly better."""
    given = parse(f"{common.PROGRAM} landscape", words, LANDSCAPE, positional=(common.RUN_DIR,))
    options = given.options
    cache.use(not options["no_cache"])
    directory = Path(given.positional[0])
    result = load(directory)
    info = result.check_run(_which_run(result, options["run"], options["seed"]))
    agent, env = result.agents[info.configuration], result.envs[info.configuration]
    dims = study.check_dims(options["dims"], env)
    path = common.file_to_write(options["out"] or _in_figures(directory, "landscape.png"), ".png")
    numbers = common.file_to_write(path.with_suffix(".json"), ".json")
    beside_key, key = jax.random.split(jax.random.key(info.seed))
    subject, beside = subject_of(agent, env, result.agent_state(info.run), beside_key, options["updates"])
    found = study.study(
        subject,
        env,
        key,
        names(subject, env),
        dims,
        options["episodes"],
        options["tested"],
        draws=DRAWS,
        shown=options["states"],
    )
    about = _about(result, info, found, beside)
    caption = f"{plots.label(result, info.configuration)} on {about['env']}, seed {info.seed}. {_caption(about)}"
    figure.draw(found, subject.threshold, path, caption)
    runs.write_json(numbers, about)
    if about["scores"] is not None:
        common.CONSOLE.print(_table(about["scores"]))
    for written in (path, numbers):
        common.say_file(written)


def _about(result: Result, info: RunInfo, found: Study, beside: dict[str, Any]) -> dict[str, Any]:
    """The numbers behind the figure."""
    threshold = found.subject.threshold
    return {
        "agent": result.config["agent"],
        "env": result.config["env"],
        "overrides": result.configurations[info.configuration],
        "run": info.run,
        "seed": info.seed,
        "failed": result.failed.get(info.run),
        "landscapes": list(found.landscapes),
        "learned_beside": beside or None,
        "threshold": threshold,
        "dims": list(found.views.dims),
        "episodes": len(found.visits.returns),
        "rank_correlation_of_values_with_returns": found.value_check(),
        "scores": study.score([found], threshold) if found.compared else None,
        "states": found.columns(),
        "device": runs.device(),
        "versions": runs.versions(),
    }


def _which_run(result: Result, run: int | None, seed: int | None) -> int:
    """The number of the run that is asked for by its number or by its seed."""
    if seed is None:
        return result.runs[0].run if run is None else run
    if run is not None:
        raise InvalidSetting(f"seed = {seed}: must be left out beside run = {run}")
    found = [info.run for info in result.runs if info.seed == seed]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidSetting(f"seed = {seed}: belongs to several runs; must be one run = {', '.join(map(str, found))}")
    known = sorted({info.seed for info in result.runs})
    raise InvalidSetting(f"seed = {seed}: must be one of {', '.join(map(str, known[:20]))}")


def _caption(about: dict[str, Any]) -> str:
    """What the reader must know of what is seen."""
    dims = " and ".join(map(str, about["dims"]))
    words = [
        f"{sum(about['states']['evenly'])} states of {about['episodes']} different episodes by the mean action.",
        f"Landscapes over action {dims}, the smaller of each pair of twins, other dimensions at the policy's mean.",
    ]
    if about["learned_beside"]:
        learned = about["learned_beside"]
        words.append(
            f"The agent has no plain critics: these were learned beside it, {learned['updates']:,} updates on "
            f"{learned['transitions']:,} transitions of its own draws and {EXPLORED:.0%} random actions."
        )
    if about["scores"] is None:
        words.append(f"There is a {about['landscapes'][0]} landscape only: nothing is compared.")
    if about["failed"]:
        words.append(f"The run has failed at step {about['failed']['step']:,}, and is frozen.")
    return " ".join(words)


def _table(found: dict[str, Any]) -> Table:
    """The measures of the rule, in the ways that say most."""
    shown = Table(Column("", no_wrap=True), *(f"choice {reach}, then {acting}, {way}" for reach, acting, way in WAYS))
    for name in SHOWN:
        entries = (found[reach][acting][way][name] for reach, acting, way in WAYS)
        shown.add_row(name.replace("_", " "), *map(stats.shown, entries))
    return shown


def film_command(words: list[str]) -> None:
    """Film an episode of a trained policy, with its reward, entropy and similarity."""
    known = (
        option("run", int, "which run of the directory; none: the first", low=0),
        option("beside", str, "another run directory, filmed beside it"),
        option("out", str, "file to write, .mp4 or .gif; none: RUN_DIR/figures/film.mp4, or .gif without an encoder"),
        NO_CACHE,
    )
    given = parse(f"{common.PROGRAM} film", words, known, positional=(common.RUN_DIR,))
    cache.use(not given.options["no_cache"])
    directory, run = Path(given.positional[0]), given.options["run"]
    beside = given.options["beside"]
    results = [load(folder) for folder in (directory, beside) if folder is not None]
    path = given.options["out"] or _in_figures(directory, f"film{video.kind()}")
    path = common.file_to_write(path, ".mp4", ".gif")
    common.say_file(video.film(results, path, run))


def _in_figures(directory: Path, name: str) -> Path:
    """A file in `figures` of a run directory, which a run that was killed has not made."""
    folder = directory / "figures"
    with contextlib.suppress(OSError):  # that it cannot be written is told as of any other file
        folder.mkdir(exist_ok=True)
    return folder / name
