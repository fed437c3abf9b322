"""The run directory: what training writes and everything else reads.

config.json      all that is needed to repeat the run, with versions and device
metrics.jsonl    one line per run and chunk
summary.json     final returns per configuration, with intervals
checkpoints/     the agents' states, one Orbax checkpoint per program, and the state of training: see checkpoints.py
figures/         curves.png, landscape.png
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import envs
from envs.fields import InvalidSetting
from maxent_jax import checkpoints, freezing
from maxent_jax.agents.base import METRICS
from maxent_jax.compiled import Chunk
from maxent_jax.devices import Share
from maxent_jax.memory import gigabytes
from maxent_jax.programs import Program

COUNTS = ("env_steps", "updates")
EPISODES = ("return_deterministic", "return_stochastic", "return_training", "nonfinite")
CLOCKS = ("elapsed_seconds", "env_steps_per_second", "updates_per_second")
COLUMNS = (*COUNTS, *EPISODES, *METRICS, *CLOCKS)
"""The numbers that a line of metrics.jsonl holds beside `run` and `seed`; the rates are one run's.

A line also holds `failed`: null, or since which step and by which cause the run is frozen (see `freezing`).
"""


def free_name(parent: Path, stem: str) -> Path:
    """`parent/stem-NUMBER` with the smallest number that is not taken; what not every disk takes becomes a hyphen."""
    stem = re.sub(r"[^\w.-]+", "-", stem)
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"


def check_out(path: Path, needed: int) -> None:
    """Refuse a place where a run directory cannot be made; nothing is written.

    Args:
      path: the run directory to be.
      needed: bytes that it will hold, about.

    Raises:
      InvalidSetting: the path is taken, cannot be written, or its disk is full.
    """
    if "\0" in str(path):
        raise InvalidSetting(f"out = {str(path)!r}: cannot be a name; must be a new or an empty folder")
    try:
        if path.is_dir() and any(path.iterdir()):
            raise InvalidSetting(f"out = {str(path)!r}: the folder is not empty; must be a new or an empty folder")
        parent = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    except OSError as error:  # a folder on the way that may not be entered, or a name that is too long
        reason = error.strerror or "cannot be made"
        raise InvalidSetting(f"out = {str(path)!r}: {reason}; must be a new or an empty folder") from None
    if path.is_symlink() and not path.exists():
        raise InvalidSetting(f"out = {str(path)!r}: is a link to nothing; must be a new or an empty folder")
    if not parent.is_dir():
        raise InvalidSetting(f"out = {str(path)!r}: {str(parent)!r} is a file; must be a new or an empty folder")
    if not os.access(parent, os.W_OK | os.X_OK) or os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise InvalidSetting(f"out = {str(path)!r}: {str(parent)!r} cannot be written; must be a writable folder")
    free = shutil.disk_usage(parent).free
    if free < needed:
        have, want = gigabytes(free), gigabytes(needed)
        raise InvalidSetting(f"out = {str(path)!r}: {have} are free on its disk; must be at least {want}")


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    names = ("maxent-jax", "jax", "jaxlib", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "numpy")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "not installed"
    return {"python": platform.python_version(), **found, "code": code()}


@functools.cache
def code() -> str:
    """A fingerprint of our own source: a checkout changes more often than its version."""
    digest = hashlib.sha256()
    for package in (Path(__file__).parent, Path(envs.__file__).parent):
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def device() -> str:
    """The first device and how many there are, in words."""
    first = jax.local_devices()[0]
    return f"{first.platform}: {first.device_kind} x {jax.device_count()}"


def write_json(path: Path, value: Any) -> None:
    """As `write_whole`."""
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or leave what is there as it was.

    Raises:
      OSError: it cannot be written, as on a full disk; the file is named, which Python's own error does not always do.
    """
    draft = path.with_suffix(".part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


def number(value: Any) -> float | None:
    """A float32 as the shortest decimal that is the same float32; None where it is not finite."""
    return float(str(np.float32(value))) if math.isfinite(value) else None


def to_line(values: Mapping[str, Any]) -> str:
    """A line of metrics.jsonl."""
    return json.dumps(values, allow_nan=False) + "\n"


def metric_lines(program: Program, chunk: Chunk, elapsed: float) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl for one chunk, one a run."""
    plan = program.schedule
    steps = plan.chunk_steps if chunk.index else plan.envs * plan.prefill
    updates = plan.iterations * plan.updates * program.agent.gradient_steps if chunk.index else 0
    shared = {"env_steps": chunk.env_steps, "updates": chunk.updates}
    clocks = {
        "elapsed_seconds": round(elapsed, 3),
        "env_steps_per_second": round(steps / chunk.seconds, 1),
        "updates_per_second": round(updates / chunk.seconds, 1),
    }
    return [
        {"run": info.run, "seed": info.seed}
        | shared
        | {name: number(chunk.metrics[name][row]) for name in (*EPISODES, *METRICS)}
        | {"failed": freezing.describe(chunk.metrics, row)}
        | clocks
        for row, info in enumerate(program.runs)
    ]


def save_agents(directory: Path, index: int, state: Any, share: Share | None = None) -> None:
    """Write the states of the agents of program `index`, a process's share of them; None: all."""
    share = share or Share(0, 1, 0, len(jax.tree.leaves(state)[0]))
    state = jax.tree.map(np.asarray, state)  # of no device
    checkpoints.save_agents(directory / checkpoints.FOLDER / f"program_{index}", state, share)


def is_directory_of_run(path: Path) -> bool:
    """Whether a path has a config.json, whatever that is; a name that no disk takes has none."""
    return os.path.exists(path / "config.json")  # Path's own raises for a name that is too long
