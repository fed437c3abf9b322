"""A small net that is taught similarities by examples, as one of the cheaper comparisons that are tried."""

from typing import Any

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

    It minimises the mean squared error by Adam; all numbers are scaled by their mean and deviation in the examples.
    """
    (low, unit), (middle, spread) = ((x.mean(axis=0), x.std(axis=0) + 1e-6) for x in (seen, alike))
    seen, alike, asked = (seen - low) / unit, (alike - middle) / spread, (asked - low) / unit
    predict: Any = Head().apply
    adam = optax.adam(LR)
    init_key, key = jax.random.split(key)
    params: Any = Head().init(init_key, seen)

    def loss(params: Any, rows: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(predict(params, seen[rows]) - alike[rows]))

    def step(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        params, memory = carry
        slope = jax.grad(loss)(params, jax.random.randint(key, (BATCH,), 0, len(seen)))
        change, memory = adam.update(slope, memory)
        return (optax.apply_updates(params, change), memory), None

    (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), jax.random.split(key, STEPS))
    return middle + spread * predict(params, asked)
