"""Many of the same in blocks: on a CPU a few environments, or states, at a time are faster than all at once.

A step of one vehicle or quadrotor is hundreds of small operations. Mapped over many environments each of them streams
its arrays through the caches, and beyond about a hundred environments a step costs two to four times more for each. So
blocks of at most `BLOCK` are stepped in turn, whether the environments are those of one run or of several. A task of
a few operations, like the pendulum, loses up to a quarter of its millions of steps a second, which training does not
feel. Other devices want as many as possible at once. The numbers are the same either way.
"""

from collections.abc import Callable
from typing import Any

import jax

BLOCK = 64
"""Most environments that are stepped at once on a CPU."""

Step = Callable[[Any, Any, jax.Array], Any]


def mapped(step: Step) -> Step:
    """A step of one environment, made one of many.

    Args:
      step: `step(env, state, action) -> state`.

    Returns:
      The same over states and actions with a leading axis; a surrounding `vmap` over runs is put in blocks, too.
    """
    traced = jax.jit(step)  # once for all programs: a step with contacts takes seconds to trace

    def at_once(env: Any, state: Any, action: jax.Array) -> Any:
        return jax.vmap(traced, (None, 0, 0))(env, state, action)

    @jax.custom_batching.custom_vmap
    def in_blocks(env: Any, state: Any, action: jax.Array) -> Any:
        return in_turn(lambda block: at_once(env, *block), (state, action), together(len(action)))

    @in_blocks.def_vmap
    def _runs_in_blocks(runs: int, batched: Any, env: Any, state: Any, action: jax.Array) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten((env, state, action))
        flags = jax.tree.leaves(batched)
        size = together(runs, action.shape[-2])

        def one_run(own: list[jax.Array]) -> Any:
            left = iter(own)
            whole = [next(left) if flag else leaf for flag, leaf in zip(flags, leaves, strict=True)]
            return (in_blocks if size == 1 else at_once)(*jax.tree.unflatten(tree, whole))

        own = [leaf for flag, leaf in zip(flags, leaves, strict=True) if flag]
        after = jax.lax.map(one_run, own) if size == 1 else in_turn(jax.vmap(one_run), own, size)
        return after, jax.tree.map(lambda _: True, after)

    return in_blocks


def together(count: int, each: int = 1) -> int:
    """How many of `count` runs of `each` environments are stepped at once: a divisor of `count`."""
    if jax.default_backend() != "cpu" or count * each <= BLOCK:
        return count
    size = max(n for n in range(1, BLOCK + 1) if count % n == 0 and (n == 1 or n * each <= BLOCK))
    return size if size * each >= BLOCK // 4 else count  # a prime number in turns of one would be slower still


def few(count: int, most: int) -> int:
    """On a CPU the largest divisor of `count` that is at most `most`; elsewhere all."""
    if jax.default_backend() != "cpu":
        return count
    return max(size for size in range(1, max(most, 1) + 1) if count % size == 0)


def in_turn(function: Callable[[Any], Any], args: Any, size: int) -> Any:
    """A function of arrays with a leading axis, applied to `size` of it at a time; `size` divides its length."""
    count = jax.tree.leaves(args)[0].shape[0]
    if size == count:
        return function(args)
    cut = jax.tree.map(lambda leaf: leaf.reshape(count // size, size, *leaf.shape[1:]), args)
    return jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), jax.lax.map(function, cut))
