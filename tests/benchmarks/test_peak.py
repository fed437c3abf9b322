"""The operations of an update, counted by hand and by XLA."""

import jax
import pytest

import envs
from benchmarks import peak
from envs import fields
from maxent_jax.agents import SAC
from maxent_jax.agents.base import Transition
from maxent_jax.programs import Program


def test_products_of_a_tiny_network():
    # 2 observations, 1 action, one hidden layer of 4, batch 3: actor 2-4-2, critics 3-4-1
    actor, critic = 2 * 3 * (2 * 4 + 4 * 2), 2 * 3 * (3 * 4 + 4 * 1)
    last_actor, last_critic, action = 2 * 3 * 4 * 2, 2 * 3 * 4 * 1, 2 * 3 * 1 * 4
    assert peak.update_flops(2, 1, (4,), 3) == {
        "critics": actor + 2 * (2 * critic) + 2 * (critic + last_critic),
        "actor": actor + 2 * critic + 2 * (last_critic + action) + actor + last_actor,
    }


@pytest.mark.usefixtures("quick_compile")
def test_xla_counts_little_beyond_the_products():
    agent, spec = fields.build(SAC, {"hidden": (256, 256)}), envs.make("vehicle").spec

    def example(key: jax.Array) -> tuple:
        own = lambda *size: jax.random.uniform(key, (256, *size))  # noqa: E731
        o, a = spec.observation_size, spec.action_size
        return agent.init(key, spec), Transition(own(o), own(a), own(), own(), own(), own(o))

    carry = jax.eval_shape(jax.vmap(example), jax.random.split(jax.random.key(0), 2))
    program = Program(agent, None, None, None, (None, None), 0, None)
    counted = peak.xla_flops(program, carry)
    by_hand = 2 * sum(peak.update_flops(spec.observation_size, spec.action_size, agent.hidden, 256).values())
    assert by_hand == pytest.approx(counted, rel=0.03)
    assert by_hand < counted
