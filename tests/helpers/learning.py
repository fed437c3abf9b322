"""Batches, states in mid-training, and the gradient that an Adam step took."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from maxent_jax.agents.base import Transition


def batch_of(spec, size, seed):
    """Transitions with some terminations and with steps of duration 0, 1 and 2."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return Transition(
        obs=normal(size, spec.observation_size),
        action=jnp.tanh(normal(size, spec.action_size)),
        reward=normal(size),
        terminated=jnp.asarray(np.arange(size) % 3 == 0, jnp.float32),
        duration=jnp.asarray(np.arange(size) % 4 % 3, jnp.float32),
        next_obs=normal(size, spec.observation_size),
    )


def jitter(state, seed, scale=0.3):
    """The same state with every float but the optimisers' moved a little, each in its own way."""
    rng = np.random.default_rng(seed)
    path_of = lambda path: jax.tree_util.keystr(path)  # noqa: E731

    def move(path, leaf):
        if ".opt" in path_of(path) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return leaf + jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(move, state)


def first_moments(params, opt):
    """Adam's running means of the gradients, as a tree like the parameters."""
    return ravel_pytree(params)[1](optax.tree.get(opt, "mu"))


def first_gradient(before, after, lr, eps=1e-8):
    """The gradient of a learner's first Adam step, from Adam's own memory; checks the step taken from it."""
    gradient = jax.tree.map(lambda mu: np.float64(mu) / 0.1, first_moments(after.params, after.opt))

    def check(old, new, g):
        expected = np.float64(old) - lr * g / (np.abs(g) + eps)
        np.testing.assert_allclose(np.asarray(new), expected, rtol=1e-5, atol=1e-2 * lr)

    jax.tree.map(check, before.params, after.params, gradient)
    return gradient
