"""Experiments by name. A new experiment is one new file with a `run` and one line here."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from envs import fields
from envs.fields import InvalidSetting
from experiments import (
    bifurcation,
    control,
    dynamics,
    landscape,
    long,
    published,
    rlhf,
    theory,
    threshold,
    toy,
    vehicle,
)
from maxent_jax.faults import Fault
from maxent_jax.runs import check_out

Experiment = Callable[[Path, str, Console | None], Any]
EXPERIMENTS: dict[str, Experiment] = {
    "toy": toy.run,
    "vehicle": vehicle.run,
    "theory": theory.run,
    "bifurcation": bifurcation.run,
    "rlhf": rlhf.run,
}
BY_TASK: dict[str, dict[str, Experiment]] = {
    "control": {task: functools.partial(control.run, task) for task in control.TASKS} | {"vehicle": vehicle.run},
    "landscape": {task: functools.partial(landscape.run, task) for task in landscape.TASKS},
    "threshold": {task: functools.partial(threshold.run, task) for task in threshold.GRIDS},
    "dynamics": {task: functools.partial(dynamics.run, task) for task in dynamics.VARIANTS},
    "long": {task: functools.partial(long.run, task) for task in long.TASKS},
}
"""Experiments that are repeated on several tasks, each in a folder of its own."""
QUICK = ("toy", "vehicle")
"""What `reproduce quick` runs, each with the preset `quick`."""
MINUTES = {
    "rlhf": 1,
    "theory": 4,
    "toy": 39,
    "landscape-pendulum": 5,
    "landscape-toy": 10,
    "landscape-vehicle": 50,
    "landscape-quadrotor": 58,
    "control-obstacle2d": 22,
    "control-vehicle": 79,
    "control-acrobot": 51,
    "control-quadrotor": 89,
    "control-hopper": 74,
    "control-quadruped": 114,
    "dynamics-vehicle": 67,
    "dynamics-quadruped": 69,
    "dynamics-quadrotor": 88,
    "threshold-vehicle": 95,
    "threshold-quadrotor": 84,
    "threshold-toy": 103,
    "long-vehicle": 147,
    "long-quadrotor": 151,
    "bifurcation": 125,
}
"""What each part takes with `cpu`, on one core or two: `reproduce all` runs the cheapest first."""

NEEDED = 20_000_000
"""Bytes that must be free on the disk."""


def names() -> list[str]:
    """The names that `reproduce` takes."""
    return [*EXPERIMENTS, *BY_TASK, "quick", "all"]


def reproduce(
    name: str,
    preset: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    console: Console | None = None,
    env: str | None = None,
) -> list[Path]:
    """Run an experiment, or say where its results are.

    Args:
      name: one of `names()`.
      preset: `quick`, `cpu` or `paper`; None: `cpu`, but `quick` for the experiment of that name.
      out: the folder to make; None: `reproduced/NAME-PRESET`, which is repeated only where it is unfinished or forced.
        Several parts or tasks have a folder each, below `out` or `reproduced`.
      force: repeat what is there already. Otherwise what is finished stays, and what was stopped goes on from its runs'
        newest checkpoints.
      console: where progress goes; None: silent.
      env: which task, of an experiment on several; None: all of them.

    Returns:
      The folders with the results.

    Raises:
      InvalidSetting: no such experiment, preset or task; a folder holds something else, or was begun with other
        settings.
      Fault: an experiment stopped for damage, or because nothing is left to show.
      Of several experiments the others are run before either is told of one.
    """
    if name not in names():
        raise fields.unknown(f"experiment {name!r}", name, names())
    preset = preset or ("quick" if name == "quick" else "cpu")
    if preset not in published.PRESETS:
        raise fields.unknown(f"preset {preset!r}", preset, published.PRESETS)
    if name == "quick" != preset:
        raise InvalidSetting(f"preset = {preset!r}: must be 'quick' for reproduce quick; name the experiment instead")
    chosen = parts(name, env)
    if out is not None and len(chosen) == 1:
        paths = [Path(out)]
    else:
        paths = [Path(out or "reproduced") / f"{part}-{preset}" for part in chosen]
        if out is not None and not force and not any(map(_begun, paths)):
            check_out(Path(out), needed=NEEDED)
    for path in paths:  # all of them, before the first is run for hours
        if not _begun(path):
            check_out(path, needed=NEEDED)
    stopped: dict[Path, Fault | InvalidSetting] = {}
    for run, path in zip(chosen.values(), paths, strict=True):
        try:
            _one(run, preset, path, force, console)
        except (Fault, InvalidSetting) as error:
            if len(paths) == 1:
                raise
            stopped[path] = error
    if stopped:
        kind = Fault if any(isinstance(error, Fault) for error in stopped.values()) else InvalidSetting
        causes = "; ".join(f"{path}: {error}" for path, error in stopped.items())
        raise kind(f"{len(stopped)} of {len(paths)} experiments stopped, the others are finished; {causes}")
    return paths


def parts(name: str, env: str | None = None) -> dict[str, Experiment]:
    """What has to be run, by the name of its folder."""
    if name not in BY_TASK:
        if env is not None:
            raise InvalidSetting(f"env = {env!r}: {name} has no choice of tasks; must be left out")
        if name == "all":
            every = {part: run for each in (*EXPERIMENTS, *BY_TASK) for part, run in parts(each).items()}
            return {part: every[part] for part in sorted(MINUTES, key=MINUTES.__getitem__)}
        return {part: EXPERIMENTS[part] for part in (QUICK if name == "quick" else (name,))}
    tasks = BY_TASK[name]
    if env is not None and env not in tasks:
        raise fields.unknown(f"env {env!r}", env, tasks)
    return {f"{name}-{task}": run for task, run in tasks.items() if env in (None, task)}


def _begun(path: Path) -> bool:
    """Whether `reproduce` has made a folder."""
    return any((path / mark).exists() for mark in ("started", "finished"))


def _one(experiment: Experiment, preset: str, path: Path, force: bool, console: Console | None) -> None:
    say = console.print if console else lambda *_, **__: None
    finished = path / "finished"
    if finished.exists() and not force:
        say(f"{path}: already there; results in {path}/figures (repeat with --force)", highlight=False, soft_wrap=True)
        return
    if _begun(path):
        say(f"{path}: {'starting over' if force else 'going on where it stopped'}", highlight=False)
        if force:
            shutil.rmtree(path)
    if not path.exists():
        check_out(path, needed=NEEDED)
    path.mkdir(parents=True, exist_ok=True)
    (path / "started").touch()
    experiment(path, preset, console)
    finished.touch()
    say(f"{path}: results in {path}/figures", highlight=False, soft_wrap=True)
