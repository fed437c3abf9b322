"""A walk and an agent whose landscapes disagree left of a place, where what each choice earns can be counted."""

import flax.struct
import jax.numpy as jnp
import stubs

from envs import fields
from maxent_jax.rule.subject import Subject


@flax.struct.dataclass
class Walker(stubs.Counting):
    """Soft values are highest at action -0.5, plain ones at 0.5; alike where the position is beyond 1."""

    def q_landscapes(self, state, obs, action):
        sign = jnp.where(obs[..., 0] > 1, 1.0, -1.0)
        plain = -((action[..., 0] - 0.5) ** 2)
        return {"soft": -((action[..., 0] - 0.5 * sign) ** 2), "plain": plain}


def walker(**values):
    """The agent, trained."""
    return Subject(fields.build(Walker, {"mean": 0.5, "noise": 1.0, "gamma": 0.9} | values), jnp.zeros((), jnp.int32))


def walk(**values):
    """The task; four steps."""
    return fields.build(stubs.Walk, {"horizon": 4} | values)
