"""What runs hold on a device, and whether there is room for them."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import psutil

from envs.fields import InvalidSetting
from maxent_jax import devices, trainer
from maxent_jax.programs import Program, Sweep


def held_bytes(program: Program) -> int:
    """Bytes that a program holds on the device: replay, parameters, optimisers, environment states of all its runs."""
    return tree_bytes(shapes(program))


def agent_bytes(program: Program) -> int:
    """Bytes of the agents' states alone: what a checkpoint holds."""
    return tree_bytes(shapes(program).agent)


def shapes(program: Program) -> trainer.Run:
    """What a program holds on the device, as shapes; without padding."""
    runs = len(program.runs)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((runs, *leaf.shape[1:]), leaf.dtype), program.shapes)


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree, or of their shapes; a typed key counts 8."""

    def size(leaf: Any) -> int:
        return leaf.size * (8 if devices.is_key(leaf) else leaf.dtype.itemsize)

    return sum(size(leaf) for leaf in jax.tree.leaves(tree))


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Bytes in a memory while a compiled program runs, on all devices that share it.

    Attributes:
      arguments: of what it is given.
      outputs: of what it returns.
      aliased: of what it returns where an argument was.
      temporaries: of everything between.
    """

    arguments: int
    outputs: int
    aliased: int
    temporaries: int

    @property
    def needed(self) -> int:
        """All of it, nothing twice."""
        return self.arguments + self.outputs - self.aliased + self.temporaries


def footprint(compiled: Any, runs: int) -> Footprint:
    """What a compiled program of so many runs takes, by XLA's account of one device."""
    own, times = compiled.memory_analysis(), devices.sharing(runs)
    names = ("argument", "output", "alias", "temp")
    return Footprint(*(times * int(getattr(own, f"{name}_size_in_bytes")) for name in names))


def free_bytes() -> int:
    """Bytes that the first device can still hold: its own count where it has one, else the machine's free memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return min([psutil.virtual_memory().available, *container_bytes()])


def container_bytes(folder: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Bytes that a container's limit leaves; nothing where there is none."""
    try:
        limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such files, or "max"
        return []
    return [limit - used + int(stat.get("inactive_file", 0))]  # files that were read stay until their room is needed


def usable(free: float) -> float:
    """What of the bytes that are free may be planned with: some are for programs and for what they do meanwhile."""
    return 0.9 * free


def check_memory(sweep: Sweep, free: float | None = None) -> int:
    """The bytes that the largest program of a sweep holds; `free` bytes are there, by default what a device has.

    Raises:
      InvalidSetting: it does not fit; the message says which buffer would.
    """
    needed, program = max(((tree_bytes(p.shapes), p) for p in sweep.programs), key=lambda pair: pair[0])
    free = devices.memories() * (free_bytes() if free is None else free)
    if needed <= usable(free):
        return held_bytes(program)
    plan, fits = program.schedule, 0
    if agent_bytes(program) > 0.5 * needed:
        what = f"agent.hidden = {getattr(program.agent, 'hidden', ())}"
    elif plan.capacity:
        what = f"agent.buffer_size = {getattr(program.agent, 'buffer_size', 0)}"
        rows = tree_bytes(program.shapes.rows)
        fits = max(0, int((usable(free) - (needed - rows)) // (rows / plan.capacity)))
    else:
        what = f"envs = {plan.envs}"
    raise InvalidSetting(
        f"{what}: {len(program.runs)} run(s) need {gigabytes(needed)} of the {gigabytes(free)} that are free; "
        + (f"must be <= {fits}, or fewer runs" if fits else "must be smaller, or fewer runs")
    )


def gigabytes(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
