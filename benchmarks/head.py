"""A small net that is taught similarities by examples, as one of the cheaper comparisons that are tried."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

WIDTH, STEPS, BATCH, LR = 64, 2000, 256, 1e-3


class Head(nn.Module):
    """One hidden layer."""

    @nn.compact
    def __call__(self, seen: jax.Array) -> jax.Array:
        """(..., f) -> (...)."""
        return nn.Dense(1)(nn.relu(nn.Dense(WIDTH)(seen)))[..., 0]


def learned(seen: jax.Array, alike: jax.Array, asked: jax.Array, key: jax.Array) -> jax.Array:
    """Similarities (m,) that a head foretells where it sees (m, f), taught by those (n,) found where it saw (n, f).

    It minimises the mean squared error by Adam; all numbers are scaled by what is seen in the examples.
    """
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    seen, asked = (seen - mean) / deviation, (asked - mean) / deviation
    head, adam = Head(), optax.adam(LR)
    init_key, key = jax.random.split(key)
    params = head.init(init_key, seen)

    def loss(params: optax.Params, rows: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(head.apply(params, seen[rows]) - alike[rows]))

    def step(
        carry: tuple[optax.Params, optax.OptState], key: jax.Array
    ) -> tuple[tuple[optax.Params, optax.OptState], None]:
        params, memory = carry
        slope = jax.grad(loss)(params, jax.random.randint(key, (BATCH,), 0, len(seen)))
        change, memory = adam.update(slope, memory)
        return (optax.apply_updates(params, change), memory), None

    (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), jax.random.split(key, STEPS))
    found = head.apply(params, asked)
    assert isinstance(found, jax.Array)
    return found
