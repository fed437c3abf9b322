"""The commands about tasks alone: nothing is trained."""

import dataclasses

import envs
from envs import fields
from envs.fields import InvalidSetting
from experiments import grids, misleading
from maxent_jax import cards, runs, video
from maxent_jax.commands import common
from maxent_jax.options import option, parse, take_apart

TASK = dataclasses.replace(common.ENV, name="TASK")


def envs_command(words: list[str]) -> None:
    """List the tasks; with a task's name, all that is known of it."""
    taken = take_apart(words)
    named = (TASK,) if taken.positional or taken.options else ()
    known = (option("still", str, "PNG to write: the task where an episode begins"),) if named else ()
    about = "TASK: shows one in full: its numbers and units, its reward, its fields."
    given = parse(f"{common.PROGRAM} envs", words, known, about, named)
    if not named:
        common.CONSOLE.print(cards.listing())
    elif (still := given.options["still"]) is not None:
        video.still(envs.make(given.positional[0]), common.file_to_write(still, ".png"))
    else:
        common.CONSOLE.print(cards.card(given.positional[0]))


def theory_command(words: list[str]) -> None:
    """Solve a small task exactly: what maximum entropy costs there, by temperature and by state."""
    known = (
        option("alpha", str, "temperatures: a number, or LOW:HIGH:COUNT, equal factors apart", "0.01:10:40"),
        option(
            "bins",
            int,
            "grid points a coordinate (11: seconds, 21: minutes); toy has its own states",
            11,
            low=3,
            high=41,
        ),
        option("gamma", float, "discount of a control step", 0.99, low=0, high=1),
        option("out", str, "folder for TASK.png and TASK.json", "theory"),
    )
    task = next((word for word in take_apart(words).positional if not word.startswith("-")), None)
    if task is not None and task not in grids.GRIDS:
        raise fields.unknown(f"grid of TASK {task!r}", task, grids.GRIDS)
    own = () if task is None else common.with_defaults(envs.task(task), {})
    named = (dataclasses.replace(TASK, choices=tuple(grids.GRIDS)),)
    given = parse(f"{common.PROGRAM} theory", words, known, f"TASK: {', '.join(grids.GRIDS)}.", named, env=own)
    options, task = given.options, given.positional[0]
    alpha = misleading.alphas(options["alpha"])
    at = grids.model(task, envs.make(task, **given.env), options["bins"], options["gamma"])
    with common.folder_to_write(options["out"]) as folder:
        picture, numbers = (common.file_to_write(folder / f"{task}{suffix}", suffix) for suffix in (".png", ".json"))
        try:
            found = misleading.Found(task, at, alpha)
        except ValueError as error:  # the one thing left that may be wrong: values that are not finite, or not known
            reason = f"{task} cannot be solved exactly with it; {error}"
            raise InvalidSetting(f"gamma = {options['gamma']}: {reason}") from error
        for table in misleading.tables(found):
            common.CONSOLE.print(table)
        runs.write_json(numbers, found.rows())
        misleading.draw(found, picture)
        for path in (picture, numbers):
            common.say_file(path)
