"""Trees of arrays on disk, by Orbax. They are numbers and JSON: reading them runs no code.

Orbax takes the processes of a `jax.distributed` job for writers of one checkpoint: the first would write arrays of the
host, all would wait for each other. Here each process writes and reads folders of its own, so Orbax is told that it is
alone.
"""

import contextlib
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

_HOSTS = importlib.import_module("orbax.checkpoint._src.multihost.multihost")
_ALONE = threading.Lock()


def write(path: Path, tree: Any) -> None:
    """Write a tree of numpy arrays, none of them empty (Orbax refuses those), to a new folder."""
    kinds = ocp.type_handlers
    once = kinds.create_type_handler_registry(
        (np.ndarray, kinds.NumpyHandler(deepcopy_host_arrays=False)), (jax.Array, kinds.ArrayHandler())
    )
    # Replay is as good as random: compressing it takes time only. And Orbax would copy it once more.
    handler = ocp.PyTreeCheckpointHandler(use_compression=False, type_handler_registry=once)
    with _alone(), ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(tree))


def read(path: Path, like: Any = None) -> Any:
    """Read such a tree.

    Args:
      path: the folder.
      like: the tree of shapes; None: nested dictionaries by name, of what is there.

    Returns:
      Arrays of the host.

    Raises:
      ValueError, KeyError, TypeError, OSError: it is not there, or of another shape.
    """
    with _alone():
        if like is None:
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
                return checkpointer.restore(path.absolute())
        with ocp.StandardCheckpointer() as checkpointer:
            # of no device: shapes alone would be read onto the first device of the first process
            target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
            return checkpointer.restore(path.absolute(), target)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    told = {"process_index": lambda: 0, "process_count": lambda: 1, "should_skip_process_sync": lambda *_: True}
    with _ALONE:
        before = {name: getattr(_HOSTS, name) for name in told}
        _HOSTS.__dict__.update(told)
        try:
            yield
        finally:
            _HOSTS.__dict__.update(before)
