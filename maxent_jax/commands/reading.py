"""The commands that show what was trained."""

from pathlib import Path

from maxent_jax import cache, plots, runs, video
from maxent_jax.commands import common
from maxent_jax.options import NO_CACHE, option, parse


def landscape_command(words: list[str]) -> None:
    """Draw the soft and the plain landscape where a trained agent finds them most unlike."""
    known = (
        option("run", int, "which run of the directory", 0, low=0),
        option("out", str, "PNG to write; none: RUN_DIR/figures/landscape.png"),
        NO_CACHE,
    )
    given = parse(f"{common.PROGRAM} landscape", words, known, positional=(common.RUN_DIR,))
    cache.use(not given.options["no_cache"])
    directory = Path(given.positional[0])
    result = runs.load(directory)
    result.check_run(given.options["run"])
    path = common.file_to_write(given.options["out"] or directory / "figures" / "landscape.png", ".png")
    plots.landscape(result, path, given.options["run"])
    common.say_file(path)


def film_command(words: list[str]) -> None:
    """Film an episode of a trained policy, with its reward, entropy and similarity."""
    known = (
        option("run", int, "which run of the directory", 0, low=0),
        option("beside", str, "another run directory, filmed beside it"),
        option("out", str, "file to write, .mp4 or .gif; none: RUN_DIR/figures/film.mp4"),
        NO_CACHE,
    )
    given = parse(f"{common.PROGRAM} film", words, known, positional=(common.RUN_DIR,))
    cache.use(not given.options["no_cache"])
    directory, run = Path(given.positional[0]), given.options["run"]
    beside = given.options["beside"]
    results = [runs.load(folder) for folder in (directory, beside) if folder is not None]
    path = common.file_to_write(given.options["out"] or directory / "figures" / "film.mp4", ".mp4", ".gif")
    common.say_file(video.film(results, path, run))
