"""Experiments by name. A new experiment is one new file with a `run` and one line here."""

import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from envs import fields
from envs.fields import InvalidSetting
from experiments import published, toy, vehicle
from maxent_jax.runs import check_out

Experiment = Callable[[Path, str, Console | None], None]
EXPERIMENTS: dict[str, Experiment] = {"toy": toy.run, "vehicle": vehicle.run}
QUICK = ("toy", "vehicle")
"""What `reproduce quick` runs, each with the preset `quick`."""


def names() -> list[str]:
    """The names that `reproduce` takes."""
    return [*EXPERIMENTS, "quick"]


def reproduce(
    name: str,
    preset: str = "cpu",
    out: str | Path | None = None,
    force: bool = False,
    console: Console | None = None,
) -> list[Path]:
    """Run an experiment, or say where its results are.

    Args:
      name: one of `names()`.
      preset: `quick`, `cpu` or `paper`.
      out: the folder to make; None: `reproduced/NAME-PRESET`, which is repeated only where it is unfinished or forced.
      force: repeat what is there already.
      console: where progress goes; None: silent.

    Returns:
      The folders with the results.

    Raises:
      InvalidSetting: no such experiment or preset, or `out` is not empty.
    """
    if name not in names():
        raise fields.unknown(f"experiment {name!r}", name, names())
    if preset not in published.PRESETS:
        raise fields.unknown(f"preset {preset!r}", preset, published.PRESETS)
    if out is not None and not force:
        check_out(Path(out), needed=20_000_000)
    if name == "quick":
        root = Path(out) if out is not None else Path("reproduced")
        return [_one(part, "quick", root / f"{part}-quick", force, console) for part in QUICK]
    return [
        _one(name, preset, Path(out) if out is not None else Path("reproduced") / f"{name}-{preset}", force, console)
    ]


def _one(name: str, preset: str, path: Path, force: bool, console: Console | None) -> Path:
    say = console.print if console else lambda *_, **__: None
    finished = path / "finished"
    if finished.exists() and not force:
        say(f"{path}: already there; results in {path}/figures (repeat with --force)", highlight=False, soft_wrap=True)
        return path
    if path.exists() and any(path.iterdir()):
        if not (finished.exists() or (path / "started").exists()):
            raise InvalidSetting(f"out = {str(path)!r}: holds something else; must be a new or an empty folder")
        say(f"{path}: starting over", highlight=False)
        shutil.rmtree(path)
    check_out(path, needed=20_000_000)
    path.mkdir(parents=True, exist_ok=True)
    (path / "started").touch()
    EXPERIMENTS[name](path, preset, console)
    finished.touch()
    say(f"{path}: results in {path}/figures", highlight=False, soft_wrap=True)
    return path
