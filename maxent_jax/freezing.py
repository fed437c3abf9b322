"""Faults contained: a run whose numbers stop being finite is frozen and marked; the runs beside it go on as before.

A run fails by

* its loss: an update reports a loss that is not finite;
* its parameters: at the end of a chunk some number of the agent's state is not finite, or its policy gives such an
  action;
* its environment: even the first state of an episode is not finite, so that there is nothing to act on. Physics that
  break on the way are no failure: such episodes are truncated and counted (see `envs.training`).

What a run keeps is the agent's state with which the chunk began in which it failed. Its environments go on, driven by
that policy, and so do its evaluations; it learns nothing more. Nothing that is not finite reaches replay. (To keep the
state before the very update would cost a copy of it in each update: on a CPU 5 % of the time of wide networks, and 10
to 15 % of that of eight small ones.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.training import are_finite

LOSS, PARAMETERS, ENVIRONMENT = 1, 2, 3
SHOWN = 5
CAUSES = {LOSS: "loss", PARAMETERS: "parameters", ENVIRONMENT: "environment"}


class Failure(flax.struct.PyTreeNode):
    """Whether, when and why a run failed; its own, unlike the counters, which all runs of a program share.

    Attributes:
      step: () int32 environment steps of the run at which it failed; -1 while it is sound.
      cause: () int32 one of `CAUSES`; 0 while it is sound.
    """

    step: jax.Array
    cause: jax.Array


def none() -> Failure:
    """A sound run."""
    return Failure(jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.int32))


def failed(failure: Failure) -> jax.Array:
    """() whether the run has failed."""
    return failure.step >= 0


def note(failure: Failure, cause: jax.Array, step: jax.Array) -> Failure:
    """Take a cause (0: none) down; the first one counts."""
    new = (cause > 0) & ~failed(failure)
    return Failure(jnp.where(new, step, failure.step), jnp.where(new, cause, failure.cause))


def look(failure: Failure, metrics: Mapping[str, jax.Array], step: jax.Array) -> Failure:
    """The failure after an update, by the losses that it reports."""
    losses = [value for name, value in metrics.items() if name.endswith("_loss")]
    return note(failure, jnp.where(are_finite(losses), 0, LOSS), step)


def keep(before: Any, after: Any, failure: Failure, step: jax.Array) -> tuple[Any, Failure]:
    """The agent's state after a chunk, or that before it where the run has failed; and the failure."""
    failure = note(failure, jnp.where(are_finite(after), 0, PARAMETERS), step)
    return jax.tree.map(lambda old, new: jnp.where(failed(failure), old, new), before, after), failure


def only_finite(x: jax.Array) -> jax.Array:
    """The same numbers with 0 for what is not finite."""
    return jnp.where(jnp.isfinite(x), x, jnp.zeros_like(x))


def describe(metrics: Mapping[str, np.ndarray], row: int) -> dict[str, Any] | None:
    """What metrics.jsonl says of the failure of one run of a chunk: step and cause; None while it is sound."""
    if metrics["failed_step"][row] < 0:
        return None
    return {"step": int(metrics["failed_step"][row]), "cause": CAUSES[int(metrics["failed_cause"][row])]}


def words(failures: Sequence[Mapping[str, Any]], total: int) -> str:
    """How many of so many runs failed, which, when and why; "" where none did."""
    if not failures:
        return ""
    shown = [f"run {one['run']} at step {one['step']:,}: {one['cause']}" for one in failures[:SHOWN]]
    more = [f"and {len(failures) - SHOWN} more"] * (len(failures) > SHOWN)
    return f"failed: {len(failures)} of {total} ({'; '.join(shown + more)})"
