"""Runs spread over all devices: one program a device, which never talk to each other.

Runs need nothing of one another, so each device holds and trains its share. One device is a mesh of one, and devices
of several processes (`jax.distributed`) are a mesh like those of one: there is a single way through this module.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "runs"


def mesh() -> Mesh:
    """All devices of all processes in a row."""
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def padding(runs: int) -> int:
    """How many more runs there must be for every device to have equally many."""
    return -runs % jax.device_count()


def memories() -> int:
    """How many memories runs are spread over: one a device, but all of a CPU's devices share the machine's."""
    return 1 if jax.local_devices()[0].platform == "cpu" else jax.device_count()


def spread(function: Callable[..., Any], in_axes: Any, out_axes: Any, donate: tuple[int, ...] = ()) -> Any:
    """A function of many runs, compiled as one program for each device's share of them.

    Args:
      function: of arrays with a leading axis of runs, each run by itself.
      in_axes: for each argument, as for `vmap`: 0 where there is an axis of runs, None where there is none.
      out_axes: likewise of what it returns; what has no such axis is the same on all devices.
      donate: arguments that are replaced.

    Returns:
      The function under `jit`, ready to lower.
    """
    own, other = _specs(in_axes), _specs(out_axes)
    # nothing checks that what has no axis is the same on all devices: counters are, and a check would cost a collective
    local = jax.shard_map(function, mesh=mesh(), in_specs=own, out_specs=other, check_vma=False)
    local.__name__ = function.__name__
    return jax.jit(local, in_shardings=_shardings(own), out_shardings=_shardings(other), donate_argnums=donate)


def place(tree: Any, axes: Any) -> Any:
    """Arrays of the host, the same in every process, on the devices; axes as for `spread`."""

    def put(axis: int | None, leaf: Any) -> Any:
        def one(array: Any) -> jax.Array:
            array, sharding = np.asarray(array), NamedSharding(mesh(), _spec(axis))
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

        return jax.tree.map(one, leaf)

    return jax.tree.map(put, axes, tree, is_leaf=_is_none)


def cut(tree: Any, runs: int) -> Any:
    """The first runs: what is left when padding is taken off."""
    return jax.tree.map(lambda leaf: leaf if len(leaf) == runs else leaf[:runs], tree)


def pad(tree: Any, more: int) -> Any:
    """The runs of one device and `more` copies of the last."""
    return jax.tree.map(lambda x: jnp.concatenate([x, *[x[-1:]] * more]), tree) if more else tree


def move(tree: Any, axis: int | None) -> Any:
    """Arrays of one device, the same in every process, as `place` has them; what they were is gone."""
    return jax.device_put(tree, NamedSharding(mesh(), _spec(axis)), donate=True)


def gather(tree: Any) -> Any:
    """Arrays of the devices as numpy, whole in every process; waits for the devices."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def _spec(axis: int | None) -> PartitionSpec:
    return PartitionSpec() if axis is None else PartitionSpec(AXIS)


def _specs(axes: Any) -> Any:
    return jax.tree.map(_spec, axes, is_leaf=_is_none)


def _shardings(specs: Any) -> Any:
    whole = mesh()
    is_spec = lambda spec: isinstance(spec, PartitionSpec)  # noqa: E731
    return jax.tree.map(lambda spec: NamedSharding(whole, spec), specs, is_leaf=is_spec)


def _is_none(axis: Any) -> bool:
    return axis is None
