"""Runs spread over all devices: one program a device, which never talk to each other.

Runs need nothing of one another, so each device holds and trains its share. One device is a mesh of one, and devices
of several processes (`jax.distributed`) are a mesh like those of one: there is a single way through this module.

On a CPU a device is a core, see `one_a_core`: two cores that train runs of their own are faster than two that share
every small matrix product.
"""

import base64
import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import distributed  # what other libraries join by, too
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "runs"


def is_key(leaf: Any) -> bool:
    """Whether an array, or its shape, is of typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


PATIENCE_MS = 30 * 24 * 3600 * 1000
"""A process waits for others as long as they live; one that does not ends the job, see `hosts`."""


@dataclasses.dataclass(frozen=True)
class Share:
    """The runs of a program that one process holds, padding aside.

    Attributes:
      part: its number among those that hold any.
      parts: how many hold any.
      first: its first run, as a row of the program.
      count: how many they are; 0: this process has padding only.
    """

    part: int
    parts: int
    first: int
    count: int

    @property
    def needs(self) -> range:
        """The runs whose numbers its devices need: padding is copies of the last."""
        return range(self.first, self.first + max(1, self.count))


def one_a_core() -> None:
    """Make a device of every core that there is for us, if jax has not begun and nobody said how many there are."""
    asked: Any = jax.config.values["jax_num_cpu_devices"]
    told = asked >= 0 or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told:
        with contextlib.suppress(RuntimeError):  # it has begun
            jax.config.update("jax_num_cpu_devices", cores())


def cores(container: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores of the CPU that this process is bound to, no more than its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, (container / "cpu.max").read_text().split())
    except (OSError, ValueError):  # no such file, or "max"
        return bound
    return min(bound, math.ceil(quota / period))


def mesh(runs: int) -> Mesh:
    """The devices that hold so many runs, in a row: they never talk, and a process's runs follow each other."""
    return Mesh(np.array(_row(runs)), (AXIS,), axis_types=(AxisType.Auto,))


def _row(runs: int) -> list[Any]:
    """Process by process, of each as many as are needed if all processes give equally many."""
    _, filled = _split(runs, jax.device_count())
    each = -(-filled // jax.process_count())
    own = lambda process: sorted(jax.local_devices(process), key=lambda device: device.id)[:each]  # noqa: E731
    return [device for process in range(jax.process_count()) for device in own(process)]


def _split(runs: int, count: int) -> tuple[int, int]:
    """How many runs each of so many devices has room for, and how many of the devices then hold any."""
    each = -(-runs // count)
    return each, -(-runs // each)


def share(runs: int) -> Share:
    """What this process holds of a program of so many runs."""
    return _share(runs, [device.process_index for device in _row(runs)], jax.process_index())


def _share(runs: int, row: Sequence[int], process: int) -> Share:
    """What a process holds, where the devices in a row are those of processes so numbered."""
    each, filled = _split(runs, len(row))
    holders = list(dict.fromkeys(row[:filled]))
    if process not in holders:
        return Share(len(holders), len(holders), runs - 1, 0)
    first = row.index(process) * each
    return Share(holders.index(process), len(holders), first, min(each * row.count(process), runs - first))


def padding(runs: int) -> int:
    """How many more runs there must be for every device to have equally many."""
    return -runs % len(_row(runs))


def memories() -> int:
    """How many memories runs are spread over: one a device, but all of a CPU's devices share the machine's."""
    return 1 if _share_memory() else jax.device_count()


def sharing(runs: int) -> int:
    """How many of the devices that hold so many runs share this process's memory."""
    own = sum(device.process_index == jax.process_index() for device in _row(runs))
    return own if _share_memory() else 1


def _share_memory() -> bool:
    return jax.local_devices()[0].platform == "cpu"


def spread(function: Callable[..., Any], runs: int, in_axes: Any, out_axes: Any, donate: tuple[int, ...] = ()) -> Any:
    """A function of many runs, compiled as one program for each device's share of them.

    Args:
      function: of arrays with a leading axis of runs, each run by itself.
      runs: how many there are, with or without padding.
      in_axes: for each argument, as for `vmap`: 0 where there is an axis of runs, None where there is none.
      out_axes: likewise of what it returns; what has no such axis is the same on all devices.
      donate: arguments that are replaced.

    Returns:
      The function under `jit`, ready to lower.
    """
    own, other, over = _specs(in_axes), _specs(out_axes), mesh(runs)
    # nothing checks that what has no axis is the same on all devices: counters are, and a check would cost a collective
    local = jax.shard_map(function, mesh=over, in_specs=own, out_specs=other, check_vma=False)
    local.__name__ = function.__name__
    given, found = _shardings(own, over), _shardings(other, over)
    return jax.jit(local, in_shardings=given, out_shardings=found, donate_argnums=donate)


def place(tree: Any, runs: int, axes: Any) -> Any:
    """Arrays of the host, the same in every process, on the devices; runs and axes as for `spread`."""

    def put(axis: int | None, leaf: Any) -> Any:
        def one(array: Any) -> jax.Array:
            array, sharding = np.asarray(array), NamedSharding(mesh(runs), _spec(axis))
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

        return jax.tree.map(one, leaf)

    return jax.tree.map(put, axes, tree, is_leaf=_is_none)


def laid_out(tree: Any, runs: int, axes: Any) -> Any:
    """Arrays of the devices as `spread` takes them, copied where they are not laid out so; runs and axes as there."""
    return jax.device_put(tree, _shardings(_specs(axes), mesh(runs)))


def cut(tree: Any, runs: int) -> Any:
    """The first runs: what is left when padding is taken off."""
    return jax.tree.map(lambda leaf: leaf if len(leaf) == runs else leaf[:runs], tree)


def put_rows(tree: Any, runs: int) -> Any:
    """Arrays of the host, padded, on the devices, in buffers of their own.

    Args:
      tree: rows of the runs that this process needs, see `Share.needs`.
      runs: how many there are in all processes.
    """
    row, more, sharding = _row(runs), padding(runs), NamedSharding(mesh(runs), _spec(0))
    each, first = (runs + more) // len(row), share(runs).needs.start
    own = [(index, device) for index, device in enumerate(row) if device.process_index == jax.process_index()]

    def put(leaf: np.ndarray) -> jax.Array:
        def block(index: int) -> np.ndarray:
            start, stop = index * each, (index + 1) * each
            if stop <= runs:
                return leaf[start - first : stop - first]
            return leaf[np.minimum(np.arange(start, stop), runs - 1) - first]

        blocks = [jax.device_put(block(index), device, may_alias=False) for index, device in own]
        return jax.make_array_from_single_device_arrays((runs + more, *leaf.shape[1:]), sharding, blocks)

    return jax.tree.map(put, tree)


def to_host(tree: Any, runs: int) -> Any:
    """The runs that this process holds, as numpy, padding taken off; views where one device holds them on a CPU."""
    count = share(runs).count

    def get(leaf: jax.Array) -> np.ndarray:
        blocks = sorted(leaf.addressable_shards, key=lambda block: block.index[0].start or 0)
        found = [np.asarray(block.data) for block in blocks]
        return (found[0] if len(found) == 1 else np.concatenate(found))[:count]

    return jax.tree.map(get, tree)


def gather(tree: Any, runs: int) -> Any:
    """Small arrays of the devices as numpy, of all runs in every process, padding taken off; waits for the devices."""
    own = to_host(tree, runs)
    if jax.process_count() == 1:
        return own
    leaves, treedef = jax.tree.flatten(own)
    said = tell(base64.b64encode(b"".join(leaf.tobytes() for leaf in leaves)).decode())
    sizes = [leaf.itemsize * math.prod(leaf.shape[1:]) for leaf in leaves]
    blocks = []
    for data in map(base64.b64decode, said):
        count, at, block = len(data) // sum(sizes), 0, []
        for leaf, size in zip(leaves, sizes, strict=True):
            block.append(np.frombuffer(data, leaf.dtype, offset=at, count=count * size // leaf.itemsize))
            at += count * size
        blocks.append(block)
    whole = [
        np.concatenate(parts).reshape(-1, *leaf.shape[1:])
        for leaf, parts in zip(leaves, zip(*blocks, strict=True), strict=True)
    ]
    return jax.tree.unflatten(treedef, whole)


_meetings = itertools.count()


def tell(text: str) -> list[str]:
    """What every process says, by its number; all must call this at the same point, and none goes on before.

    It goes through JAX's service that joins the processes, not through the devices: they may be computing, and what
    connects them gives up after half a minute, which compiling or a figure may take.
    """
    if jax.process_count() == 1:
        return [text]
    client: Any = distributed.global_state.client
    meeting = next(_meetings)
    folder = f"maxent_jax/{meeting:012}"
    client.key_value_set(f"{folder}/{jax.process_index():06}", text)
    client.wait_at_barrier(f"maxent_jax {meeting}", PATIENCE_MS)
    said = [value for _, value in sorted(client.key_value_dir_get(folder))]
    if meeting and jax.process_index() == 0:
        client.key_value_delete(f"maxent_jax/{meeting - 1:012}")  # all have read it, or they would not be here
    return said


def _spec(axis: int | None) -> PartitionSpec:
    return PartitionSpec() if axis is None else PartitionSpec(AXIS)


def _specs(axes: Any) -> Any:
    return jax.tree.map(_spec, axes, is_leaf=_is_none)


def _shardings(specs: Any, over: Mesh) -> Any:
    is_spec = lambda spec: isinstance(spec, PartitionSpec)  # noqa: E731
    return jax.tree.map(lambda spec: NamedSharding(over, spec), specs, is_leaf=is_spec)


def _is_none(axis: Any) -> bool:
    return axis is None
