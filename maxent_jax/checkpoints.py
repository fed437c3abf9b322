"""Checkpoints of training itself: with one of them a run goes on as if it had never been cut off, bit for bit.

    checkpoints/program_P/             the agents of a program that ended, or was told to (`save_agents`)
    checkpoints/state_PPPPPP_CCCCCC/   the whole state of program P after its chunk C
        manifest.json                  where training stood, and the size and checksum of every file beside it
        agents/                        the agents' states, as above
        rest/                          everything else: environments, replay, keys, counters

A checkpoint is written into a folder with another name, which is renamed when it is whole. Orbax stores numbers and
JSON: reading a checkpoint runs no code from it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from maxent_jax.faults import Fault
from maxent_jax.trainer import Counters, Run, no_steps

SCHEMA = 1
FOLDER = "checkpoints"
PART = ".part"
NAME = re.compile(r"state_(\d{6,})_(\d{6,})")
SPOILT = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file that anything was written into may raise."""


class Unsaved(RuntimeError):
    """A checkpoint could not be written; those before it stay."""


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
    """The whole state of a program in flight, on the host."""

    run: Run
    counters: Counters


def to_host(run: Run, counters: Counters) -> State:
    """A copy that outlives the next chunk.

    The next chunk is given `run` to keep: its buffers are written over as soon as it starts. So this returns when the
    copy is made, before that chunk is dispatched. On a CPU `np.asarray` would be a view of the very buffer, and as long
    as it lives, the buffer cannot be given away (the chunk would copy all of it): there a compiled program copies, and
    we view the copy. Replay is kept as far as it is filled.
    """
    plain = jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, (run, counters))
    on_host = jax.local_devices()[0].platform == "cpu"
    kept, counts = jax.tree.map(np.asarray, _duplicate(plain) if on_host else plain)
    if kept.rows is not None:
        kept = kept.replace(rows=kept.rows[:, : int(counts.env_steps)])
    return State(kept, counts)


@jax.jit
def _duplicate(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def save_agents(path: Path, state: Any) -> None:
    """Write agents' states with a leading axis of runs as one Orbax checkpoint, in place of what is there."""
    with _part(path) as part, ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(part, {"agents": jax.tree.map(np.asarray, state)})  # of no device


def load_agents(path: Path, shapes: Any) -> Any:
    """Read them back; `shapes` is the tree of their shapes."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), {"agents": shapes})["agents"]


def save(directory: Path, place: Place, state: State, keep: int) -> Path:
    """Write a checkpoint, then remove all but the newest `keep`."""
    path = directory / FOLDER / place.name
    with _part(path) as part:
        save_agents(part / "agents", state.run.agent)
        numbers = {f"{i:04}": np.atleast_1d(x) for i, x in enumerate(_rest(state.run, state.counters))}
        numbers |= {} if state.run.rows is None else {"rows": state.run.rows}
        numbers = {name: x for name, x in numbers.items() if x.size}  # Orbax refuses empty arrays
        kinds = ocp.type_handlers
        once = kinds.create_type_handler_registry(
            (np.ndarray, kinds.NumpyHandler(deepcopy_host_arrays=False)), (jax.Array, kinds.ArrayHandler())
        )
        # Replay is as good as random: compressing it takes time only. And Orbax would copy it once more.
        handler = ocp.PyTreeCheckpointHandler(use_compression=False, type_handler_registry=once)
        with ocp.Checkpointer(handler) as checkpointer:
            checkpointer.save(part / "rest", args=ocp.args.PyTreeSave(numbers))
        files = {name: [file.stat().st_size, _checksum(file)] for name, file in _files(part).items()}
        manifest = {"schema": SCHEMA, **dataclasses.asdict(place), "files": files}
        with open(part / "manifest.json", "w") as file:
            file.write(json.dumps(manifest, indent=1))
            file.flush()
            os.fsync(file.fileno())
    for old in names(directory)[:-keep]:
        shutil.rmtree(directory / FOLDER / old)
    return path


def load(directory: Path, place: Place, shapes: Run) -> tuple[Run, Counters]:
    """Read a checkpoint that `newest` found whole.

    Args:
      directory: the run directory.
      place: which.
      shapes: the run of the program, as shapes; replay may be longer there than it was.

    Returns:
      The run and its counters on the device, in buffers of their own: the next chunk may keep them.

    Raises:
      Fault: it holds something else than this program does.
    """
    path = (directory / FOLDER / place.name).absolute()
    counters = jax.eval_shape(no_steps)
    like = _rest(shapes, counters)
    try:
        agent = load_agents(path / "agents", shapes.agent)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            numbers = checkpointer.restore(path / "rest")
        rows = _fill_up(numbers.pop("rows", None), shapes.rows)
        leaves = [_fit(numbers.pop(f"{i:04}", None), leaf) for i, leaf in enumerate(like)]
        if numbers:
            raise ValueError(f"{len(numbers)} arrays too many")
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise Fault(f"checkpoint {str(path)!r}: is of another program than this one ({reason})") from error
    tree = jax.tree.structure((shapes.replace(agent=None, rows=None), counters))
    rest, counters = jax.tree.unflatten(tree, leaves)
    return rest.replace(agent=jax.tree.map(_to_device, agent), rows=rows), counters


def _rest(run: Run, counters: Counters) -> list[Any]:
    """All arrays but the agents' and the replay."""
    return jax.tree.leaves((run.replace(agent=None, rows=None), counters))


def _fill_up(found: np.ndarray | None, like: Any) -> jax.Array | None:
    """Replay as the program wants it: what was not filled yet, and what a longer run has more, is zeros."""
    if like is None and found is None:
        return None
    if like is None:
        raise ValueError("replay is there")
    found = np.zeros((like.shape[0], 0, like.shape[2]), like.dtype) if found is None else np.asarray(found)
    missing = like.shape[1] - found.shape[1]
    if missing < 0:
        raise ValueError(f"replay holds {found.shape[1]} transitions, not {like.shape[1]}")
    return _fit(np.pad(found, ((0, 0), (0, missing), (0, 0))) if missing else found, like)


def _fit(found: np.ndarray | None, like: Any) -> jax.Array:
    """An array of a checkpoint as the program wants it: keys are wrapped."""
    if _is_key(like) and found is not None:
        return jax.random.wrap_key_data(_to_device(found))
    if found is None and like.size:
        raise ValueError("an array is missing")
    data = np.zeros(like.shape, like.dtype) if found is None else np.asarray(found)
    if data.dtype != like.dtype or data.size != like.size:
        raise ValueError(f"an array is {data.dtype} {data.shape}, not {like.dtype} {like.shape}")
    return _to_device(data.reshape(like.shape))


def _to_device(leaf: Any) -> jax.Array:
    return jnp.array(leaf, copy=True)


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
    """The agents of a program that was killed, as its newest checkpoint has them."""
    place = peek(directory)
    return directory / FOLDER / place.name / "agents" if place is not None and place.program == program else None


def go_back(directory: Path, place: Place | None) -> None:
    """Remove what came after a checkpoint: damaged ones, the agents of its program, and what was never finished."""
    folder = directory / FOLDER
    found = names(directory)
    later = found if place is None else found[found.index(place.name) + 1 :]
    stale = [] if place is None else [f"program_{place.program}"]
    parts = [path.name for path in folder.iterdir() if PART in path.name] if folder.is_dir() else []
    for name in {*later, *stale, *parts}:
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            shutil.rmtree(folder / name)


def _place(path: Path) -> tuple[Place, dict[str, Any]]:
    """What a checkpoint's manifest says."""
    if (path / "manifest.json").is_symlink():
        raise ValueError("manifest.json is a link")
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Place)}
        place = Place(**{name: kind(manifest[name]) for name, kind in kinds.items()})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"manifest.json cannot be read ({error})") from error
    if place.name != path.name:
        raise ValueError(f"manifest.json is that of {place.name[:40]!r}")
    return place, manifest


def _checked(directory: Path, name: str) -> tuple[Place, Any]:
    """Where a checkpoint stands, if all of it and its part of metrics.jsonl is there as it was written; its schema."""
    path = directory / FOLDER / name
    place, manifest = _place(path)
    found = _files(path)
    # Only files that lie in the checkpoint are opened, whatever names the manifest has.
    for file in sorted({*manifest["files"], *found} - {"manifest.json"}):
        if file not in found:
            raise ValueError(f"{file} is missing")
        if file not in manifest["files"]:
            raise ValueError(f"{file} is not in its manifest")
        size, checksum = manifest["files"][file]
        if found[file].stat().st_size != size:
            raise ValueError(f"{file} has {found[file].stat().st_size} bytes of {size}")
        if _checksum(found[file]) != checksum:
            raise ValueError(f"{file} has other bytes than were written")
    if prefix_checksum(directory / "metrics.jsonl", place.metrics_bytes) != place.metrics_sha256:
        raise ValueError("metrics.jsonl has other lines than it had then")
    return place, manifest.get("schema")


def prefix_checksum(path: Path, size: int) -> str:
    """The checksum of a file's first `size` bytes; it may be shorter, or missing."""
    digest = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        while size > 0 and (block := file.read(min(size, 2**20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest() if size <= 0 else ""


def _files(path: Path) -> dict[str, Path]:
    """The files below a folder by relative name; links are not followed, and are no files."""
    inside = (Path(root) / name for root, _, files in os.walk(path) for name in files)
    return {file.relative_to(path).as_posix(): file for file in inside if not file.is_symlink()}


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _part(path: Path) -> Iterator[Path]:
    """A folder to fill that gets its real name, and is on the disk, only when the block ends well."""
    path = path.absolute()
    part = path.with_name(path.name + PART)
    if part.exists():
        shutil.rmtree(part)
    part.parent.mkdir(exist_ok=True)  # and not its parents: a run directory that vanished stays so
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # a full disk needs the room
        raise
    for file in _files(part).values():
        _sync(file)
    if path.exists():
        shutil.rmtree(path)
    part.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk: a machine may lose its power, too."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
