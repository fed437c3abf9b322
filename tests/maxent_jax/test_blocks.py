"""Blocks change how environments are stepped, never where they get."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stubs

from envs import fields, for_training
from maxent_jax import blocks

pytestmark = pytest.mark.usefixtures("quick_compile")


def step(env, state, action):
    return for_training(env).step(state, action)


def plain(env, state, action):
    return jax.vmap(step, (None, 0, 0))(env, state, action)


def walks(shape, edge):
    """Environments that end often: a first state each, and actions of some steps."""
    env = fields.build(stubs.Walk, {}).replace(edge=jnp.float32(edge))
    keys = jax.random.split(jax.random.key(0), shape)
    reset = for_training(env).reset
    for _ in shape:
        reset = jax.vmap(reset)
    return env, reset(keys), jax.random.uniform(jax.random.key(1), (7, *shape, 1), minval=-1.0)


def played(function, env, state, actions):
    """All states after each of the actions."""

    @jax.jit
    def play(env, state):
        return jax.lax.scan(lambda state, action: (function(env, state, action),) * 2, state, actions)[1]

    return play(env, state)


def same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [1, 64, 96, 127, 256])
def test_one_run(count):
    env, state, actions = walks((count,), 1.5)
    found = played(blocks.mapped(step), env, state, actions)
    assert 0 < float(found.done.mean()) < 1
    same(found, played(plain, env, state, actions))


@pytest.mark.parametrize("shape", [(3, 2), (8, 20), (40, 4), (2, 192), (67, 1)])
@pytest.mark.parametrize("axis", [None, 0])
def test_several_runs_of_one_task_or_of_a_grid_of_them(shape, axis):
    env, state, actions = walks(shape, 1.5)
    axes = jax.tree.map(lambda _: None, env)
    if axis == 0:
        env, axes = env.replace(edge=jnp.linspace(1.0, 2.0, shape[0])), axes.replace(edge=0)
    runs = [jax.vmap(function, (axes, 0, 0)) for function in (blocks.mapped(step), plain)]
    same(*(played(function, env, state, actions) for function in runs))


def test_no_block_is_too_large_or_very_small():
    for count in range(1, 300):
        for each in (1, 3, 20, 64, 1000):
            size = blocks.together(count, each)
            assert count % size == 0
            assert size in (1, count) or blocks.BLOCK // 4 <= size * each <= blocks.BLOCK
    assert [blocks.together(*given) for given in ((1024,), (100,), (127,), (8, 20), (8, 1000))] == [64, 50, 127, 2, 1]
