"""The numbers that our agents draw from a key in one update, to hand them over.

Keys are split here as the agents split them. Where an agent comes to do so differently the comparison fails, loudly.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxent_jax.agents import DDPG, PPO, SAC, SQL, TD3, SACAdaEnt
from maxent_jax.agents.sql import INSIDE

Arrays = dict[str, np.ndarray]


def of(agent: Any, key: jax.Array, batch: int, actions: int) -> Arrays:
    """The draws of `agent.update` on a batch of so many transitions with so many actions, by name."""
    kinds = {PPO: of_ppo, SAC: of_sac, DDPG: of_ddpg}
    draws: Any = next(function for kind, function in kinds.items() if isinstance(agent, kind))
    return {name: np.asarray(x) for name, x in draws(agent, key, (batch, actions)).items()}


def of_sac(agent: SAC, key: jax.Array, shape: tuple[int, int]) -> dict[str, jax.Array]:
    """Standard normals at next observations, at observations, and of the landscapes; SQL's even actions."""
    next_key, actor_key = jax.random.split(key)
    dtype = jnp.zeros(()).dtype
    noise = {"actor": jax.random.normal(actor_key, shape, dtype)}
    if isinstance(agent, SQL):
        draw_key, even_key = jax.random.split(next_key)
        half = agent.n_samples // 2
        even = jax.random.uniform(even_key, (agent.n_samples - half, *shape), dtype, -INSIDE, INSIDE)
        return noise | {"next": jax.random.normal(draw_key, (half, *shape), dtype), "even": even}
    noise["next"] = jax.random.normal(next_key, shape, dtype)
    if isinstance(agent, SACAdaEnt):
        many = (shape[0], agent.n_samples, shape[1])
        noise["landscape"] = jax.random.normal(jax.random.fold_in(actor_key, 1), many, dtype)
    return noise


def of_ddpg(agent: DDPG, key: jax.Array, shape: tuple[int, int]) -> dict[str, jax.Array]:
    """Standard normals on TD3's target actions; DDPG draws nothing."""
    return {"next": jax.random.normal(key, shape, jnp.zeros(()).dtype)} if isinstance(agent, TD3) else {}


def of_ppo(agent: PPO, key: jax.Array, shape: tuple[int, int]) -> dict[str, jax.Array]:
    """The (passes, rollout_steps) orders in which the rows t * ENVS + n of a rollout are visited."""
    del shape
    orders = [jax.random.permutation(k, agent.rollout_steps) for k in jax.random.split(key, agent.passes)]
    return {"order": jnp.stack(orders)}
