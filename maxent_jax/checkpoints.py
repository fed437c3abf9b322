"""Checkpoints of training itself: with one of them a run goes on as if it had never been cut off, bit for bit.

    checkpoints/program_P/             the agents of a program that ended, or was told to (`save_agents`)
        part_0000/agents/              the agents' states, by Orbax
    checkpoints/state_PPPPPP_CCCCCC/   the whole state of program P after its chunk C
        manifest.json                  where training stood
        part_0000/agents/              the agents' states, as above
        part_0000/rest/                everything else: environments, replay, keys, counters

Each process writes the runs that it holds into a part of its own; a folder is there when all its parts are, and has
checksums of everything (see `wholes`). Orbax stores numbers and JSON: reading a checkpoint runs no code from it.
"""

import contextlib
import dataclasses
import hashlib
import math
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax import arrays, devices, wholes
from maxent_jax.devices import Share
from maxent_jax.faults import Fault
from maxent_jax.trainer import Counters, Run, no_steps
from maxent_jax.wholes import SPOILT

SCHEMA = 2
FOLDER = "checkpoints"
COUNTER = "counter_"
NAME = re.compile(r"state_(\d{6,})_(\d{6,})")


class Unsaved(RuntimeError):
    """A checkpoint could not be written; those before it stay."""


@contextlib.contextmanager
def saving(name: str) -> Iterator[None]:
    """Write a checkpoint of this name in the block.

    Raises:
      Unsaved: it cannot be written, for whatever reason.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # the last two are TensorStore's for a full disk
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())[:160]
        raise Unsaved(f"checkpoint {name} cannot be written ({reason})") from error


@dataclasses.dataclass(frozen=True)
class Place:
    """Where training stands.

    Attributes:
      program: the number of the program in flight; all before it have ended.
      chunk: its last chunk that ran, 0 is the prefill.
      metrics_bytes: the length of metrics.jsonl.
      metrics_sha256: the checksum of that much of it.
      elapsed_seconds: wall time so far, over all processes that trained here.
    """

    program: int
    chunk: int
    metrics_bytes: int
    metrics_sha256: str
    elapsed_seconds: float

    @property
    def name(self) -> str:
        """What the checkpoint's folder is called; names are in the order of time."""
        return f"state_{self.program:06}_{self.chunk:06}"


@dataclasses.dataclass(frozen=True)
class State:
    """The whole state of a program in flight, on the host: what this process holds of it, keys as numbers."""

    run: Run
    counters: Counters
    share: Share


def to_host(run: Run, counters: Counters, runs: int) -> State:
    """A copy that outlives the next chunk, of so many runs; what follows them is padding.

    The next chunk is given `run` to keep: its buffers are written over as soon as it starts. So this returns when the
    copy is made, before that chunk is dispatched. On a CPU with one device `np.asarray` would be a view of the very
    buffer, and as long as it lives, the buffer cannot be given away (the chunk would copy all of it): there a compiled
    program copies, and we view the copy. Of several devices the host makes a copy anyway, to join what they hold.
    Replay is kept as far as it is filled.
    """
    plain = jax.tree.map(lambda x: jax.random.key_data(x) if devices.is_key(x) else x, (run, counters))
    viewed = jax.local_devices()[0].platform == "cpu" and devices.sharing(runs) == 1
    kept, counts = _duplicate(plain) if viewed else plain
    kept, counts = devices.to_host(kept, runs), jax.tree.map(np.asarray, counts)
    if kept.rows is not None:
        kept = kept.replace(rows=kept.rows[:, : int(counts.env_steps)])
    return State(kept, counts, devices.share(runs))


@jax.jit
def _duplicate(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def save_agents(path: Path, state: Any, share: Share) -> None:
    """Write the agents' states that this process holds, numpy by run, in place of what is there."""
    if share.count:
        about = {"schema": SCHEMA}
        wholes.write(path, lambda part: _write_agents(part, state), about, share.part, share.parts, _own(share))


def _write_agents(part: Path, state: Any) -> None:
    arrays.write(part / "agents", {"agents": state})


def _own(share: Share) -> dict[str, int]:
    return {"first": share.first, "count": share.count}


def load_agents(path: Path, shapes: Any) -> Any:
    """Read agents' states.

    Args:
      path: what `save_agents` or `save` wrote.
      shapes: the tree of their shapes, with a leading axis of runs.

    Returns:
      Numpy arrays, of all processes' parts.

    Raises:
      ValueError, KeyError, TypeError, OSError: they are not whole, or of something else.
    """
    if path.is_symlink():
        raise ValueError("is a link")
    wholes.check(path, inside="agents/")
    runs = len(jax.tree.leaves(shapes)[0])
    return _agents(_overlapping(path, range(runs), runs), range(runs), shapes)


def save(directory: Path, place: Place, state: State, keep: int, stop: threading.Event | None = None) -> Path:
    """Write a checkpoint, or this process's part of it; then remove all but the newest `keep`.

    `stop` ends the first process's waiting for the parts of others.
    """
    path, share = directory / FOLDER / place.name, state.share
    if not share.count:
        return path

    def fill(part: Path) -> None:
        _write_agents(part, state.run.agent)
        numbers = {f"{i:04}": x for i, x in enumerate(_rest(state.run))}
        numbers |= {f"{COUNTER}{i}": np.atleast_1d(x) for i, x in enumerate(jax.tree.leaves(state.counters))}
        numbers |= {} if state.run.rows is None else {"rows": state.run.rows}
        arrays.write(part / "rest", {name: x for name, x in numbers.items() if x.size})

    if place.metrics_bytes:  # where power is lost, what it counts on must not be lost alone
        for needed in (directory / "config.json", directory / "metrics.jsonl", directory):
            wholes.sync(needed)
    about = {"schema": SCHEMA, **dataclasses.asdict(place)}
    wholes.write(path, fill, about, share.part, share.parts, _own(share), stop)
    if share.part == 0:
        for old in names(directory)[:-keep]:
            shutil.rmtree(directory / FOLDER / old)
    return path


def load(directory: Path, place: Place, shapes: Run) -> tuple[Run, Counters]:
    """Read a checkpoint that `newest` found whole; each process reads the parts that it needs.

    Args:
      directory: the run directory.
      place: which.
      shapes: the runs of the program, as shapes, without padding; replay may be longer there than it was.

    Returns:
      The runs, padded, and their counters on the devices, in buffers of their own: the next chunk may keep them.

    Raises:
      Fault: it holds something else than this program does.
    """
    path = (directory / FOLDER / place.name).absolute()
    runs = len(shapes.key)
    needs = devices.share(runs).needs
    try:
        parts = _overlapping(path, needs, runs)
        agent = _agents(parts, needs, shapes.agent)
        numbers = [arrays.read(part / "rest") for part in parts]
        if len({*map(frozenset, numbers)}) > 1:
            raise ValueError("its parts hold different arrays")
        shared = jax.eval_shape(no_steps)
        counts = [_fit(numbers[0][f"{COUNTER}{i}"], leaf) for i, leaf in enumerate(jax.tree.leaves(shared))]
        counters = jax.tree.unflatten(jax.tree.structure(shared), counts)
        by_run = [name for name in numbers[0] if not name.startswith(COUNTER)]
        own = {name: _join([one[name] for one in numbers], parts, needs) for name in by_run}
        rows = _fill_up(own.pop("rows", None), shapes.rows, len(needs))
        leaves = [_fit(own.pop(f"{i:04}", None), leaf, len(needs)) for i, leaf in enumerate(_rest(shapes))]
        if own:
            raise ValueError(f"{len(own)} arrays too many")
    except SPOILT as error:
        reason = " ".join(str(error).split())[:120]
        raise Fault(f"checkpoint {str(path)!r}: is of another program than this one ({reason})") from error
    rest = jax.tree.unflatten(jax.tree.structure(shapes.replace(agent=None, rows=None)), leaves)
    placed = devices.put_rows(rest.replace(agent=agent, rows=rows), runs)
    wrapped = jax.tree.map(lambda x, like: jax.random.wrap_key_data(x) if devices.is_key(like) else x, placed, shapes)
    return wrapped, devices.place(counters, runs, None)


def _rest(run: Run) -> list[Any]:
    """All arrays but the agents' and the replay."""
    return jax.tree.leaves(run.replace(agent=None, rows=None))


def _overlapping(path: Path, needs: range, runs: int) -> dict[Path, range]:
    """The parts of a folder that hold some of these runs, and which ones each of them holds.

    Raises:
      ValueError: they do not hold so many runs.
    """
    found, after = {}, 0
    for index, about in enumerate(wholes.parts(path)):
        first, count = about["first"], about["count"]
        if type(first) is not int or type(count) is not int or first != after or count < 1:
            raise ValueError(f"{wholes.part_name(index)} does not hold the runs that follow")
        after += count
        if first < needs.stop and after > needs.start:
            found[path / wholes.part_name(index)] = range(first, after)
    if after != runs:
        raise ValueError(f"it holds {after} runs, not {runs}")
    return found


def _agents(parts: Mapping[Path, range], needs: range, shapes: Any) -> Any:
    """The agents' states of these runs."""

    def read(part: Path, count: int) -> Any:
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), shapes)
        return arrays.read(part / "agents", {"agents": like})["agents"]

    found = [read(part, len(held)) for part, held in parts.items()]
    return jax.tree.map(lambda *leaves: _join(leaves, parts, needs), *found)


def _join(leaves: Sequence[np.ndarray], parts: Mapping[Path, range], needs: range) -> np.ndarray:
    """The rows of these runs, of one array in several parts."""
    before = next(iter(parts.values())).start
    whole = leaves[0] if len(leaves) == 1 else np.concatenate(leaves)
    return whole[needs.start - before : needs.stop - before]


def _fill_up(found: np.ndarray | None, like: Any, runs: int) -> np.ndarray | None:
    """Replay as the program wants it: what was not filled yet, and what a longer run has more, is zeros."""
    if like is None and found is None:
        return None
    if like is None:
        raise ValueError("replay is there")
    found = np.zeros((runs, 0, like.shape[2]), like.dtype) if found is None else found
    missing = like.shape[1] - found.shape[1]
    if missing < 0:
        raise ValueError(f"replay holds {found.shape[1]} transitions, not {like.shape[1]}")
    return _fit(np.pad(found, ((0, 0), (0, missing), (0, 0))) if missing else found, like, runs)


def _fit(found: np.ndarray | None, like: Any, runs: int | None = None) -> np.ndarray:
    """An array of a checkpoint as the program wants it, of so many runs; keys stay numbers."""
    shape = like.shape if runs is None else (runs, *like.shape[1:])
    if devices.is_key(like):
        like = jax.eval_shape(jax.random.key_data, like)
        shape = (*shape, *like.shape[len(shape) :])
    if found is None and like.size:
        raise ValueError("an array is missing")
    data = np.zeros(shape, like.dtype) if found is None else found
    if data.dtype != like.dtype or data.size != math.prod(shape):
        raise ValueError(f"an array is {data.dtype} {data.shape}, not {like.dtype} {shape}")
    return data.reshape(shape)


def names(directory: Path) -> list[str]:
    """The checkpoints of a run directory, oldest first; none of them is looked into."""
    folder = directory / FOLDER
    inside = folder.iterdir() if folder.is_dir() else ()
    found = [path.name for path in inside if NAME.fullmatch(path.name) and not path.is_symlink()]
    return sorted(found, key=lambda name: tuple(map(int, name.split("_")[1:])))


def newest(directory: Path) -> tuple[Place | None, list[str]]:
    """The newest checkpoint that is whole.

    Returns:
      Where it stands, None where there is no checkpoint at all; and what a user must know of it and of newer ones that
      are not whole, a line each.

    Raises:
      Fault: there are checkpoints, and none is whole.
    """
    damaged = []
    for name in reversed(names(directory)):
        try:
            place, schema = _checked(directory, name)
        except SPOILT as error:
            damaged.append(f"{name}: {' '.join(str(error).split())[:200]}")
            continue
        notes = [f"damaged: {line}" for line in damaged]
        if schema != SCHEMA:
            notes.append(f"{name}: its schema is {schema}, ours is {SCHEMA}: what it holds may mean something else")
        return place, notes
    if damaged:
        raise Fault(
            f"run directory {str(directory)!r}: no checkpoint is whole ({'; '.join(damaged)}); nothing was changed"
        )
    return None, []


def peek(directory: Path) -> Place | None:
    """Where the newest checkpoint says that it stands; its files are not checked."""
    for name in reversed(names(directory)):
        with contextlib.suppress(*SPOILT):
            return _place(directory / FOLDER / name)[0]
    return None


def agents_in_flight(directory: Path, program: int) -> Path | None:
    """Where the agents of a program that was killed are: its newest checkpoint."""
    place = peek(directory)
    return directory / FOLDER / place.name if place is not None and place.program == program else None


def go_back(directory: Path, place: Place | None) -> None:
    """Remove what came after a checkpoint: damaged ones, the agents of its program, and what was never finished."""
    folder = directory / FOLDER
    found = names(directory)
    later = found if place is None else found[found.index(place.name) + 1 :]
    stale = [] if place is None else [f"program_{place.program}"]
    for path in {*(folder / name for name in (*later, *stale)), *wholes.drafts(folder)}:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _place(path: Path) -> tuple[Place, Any]:
    """Where a checkpoint's manifest says that it stands; its schema."""
    manifest = wholes.manifest(path)
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Place)}
    try:
        place = Place(**{name: kind(manifest[name]) for name, kind in kinds.items()})
    except SPOILT as error:
        raise ValueError(f"{wholes.MANIFEST} says not where it stands ({error})") from error
    if place.name != path.name:
        raise ValueError(f"{wholes.MANIFEST} is that of {place.name[:40]!r}")
    return place, manifest.get("schema")


def _checked(directory: Path, name: str) -> tuple[Place, Any]:
    """Where a checkpoint stands, if all of it and its part of metrics.jsonl is there as it was written; its schema."""
    path = directory / FOLDER / name
    place, schema = _place(path)
    wholes.check(path)
    if prefix_checksum(directory / "metrics.jsonl", place.metrics_bytes) != place.metrics_sha256:
        raise ValueError("metrics.jsonl has other lines than it had then")
    return place, schema


def prefix_checksum(path: Path, size: int) -> str:
    """The checksum of a file's first `size` bytes; it may be shorter, or missing."""
    digest = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        while size > 0 and (block := file.read(min(size, 2**20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest() if size <= 0 else ""
