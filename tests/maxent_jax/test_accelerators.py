"""Every agent's chunk on every task can be lowered for accelerators, and never talks to the host."""

import jax
import pytest
import tiny

import envs
from envs import fields
from maxent_jax import trainer
from maxent_jax.agents import AGENTS
from maxent_jax.agents.base import OffPolicyAgent
from maxent_jax.compiled import Compiled
from maxent_jax.programs import expand

pytestmark = pytest.mark.usefixtures("quick_compile")

OFF_POLICY = {"hidden": (8, 8), "batch_size": 4, "buffer_size": 64}
ON_POLICY = {"hidden": (8, 8), "rollout_steps": 16, "batch_size": 8}


def programs(agent, task):
    """Two seeds of two environments, small."""
    kind = AGENTS[agent]
    values = OFF_POLICY if issubclass(kind, OffPolicyAgent) else ON_POLICY
    (program,) = expand(fields.build(kind, values), envs.make(task), (0, 1), {}, 32, 2, 1).programs
    return program


def chunk(program):
    """The chunk that `Compiled` compiles, and shapes of its arguments."""
    arguments = (program.agent, program.env)

    def begin(seed):
        return trainer.begin(*arguments, seed, program.schedule)

    def train(agent, env, run, counters):
        return trainer.train(agent, env, run, counters, program.schedule)

    run = jax.eval_shape(jax.vmap(begin), jax.numpy.arange(2, dtype=jax.numpy.uint32))
    axes = {"in_axes": (None, None, 0, None), "out_axes": (0, None, 0)}
    return jax.jit(jax.vmap(train, **axes)), (*arguments, run, trainer.no_steps())


def cases():
    """Every agent on every task; a task is traced alike for all agents, and contacts take long."""
    for agent in AGENTS:
        for task in envs.names():
            hard = task if agent in ("sac", "sac_adaent", "ppo") else "hopper"
            slow = task != "toy" and hard in ("hopper", "quadruped")
            yield pytest.param(agent, task, marks=[pytest.mark.slow] * slow)


@pytest.mark.parametrize(("agent", "task"), list(cases()))
def test_chunk_lowers_for_accelerators_without_calls_to_the_host(agent, task):
    train, arguments = chunk(programs(agent, task))
    exported = jax.export.export(train, platforms=("cuda", "tpu"))(*arguments)
    text = exported.mlir_module()
    assert exported.platforms == ("cuda", "tpu")
    assert "callback" not in text
    assert "infeed" not in text
    assert "outfeed" not in text


@pytest.mark.parametrize("agent", tiny.agents())
def test_nothing_is_transferred_inside_a_chunk(agent):
    compiled = Compiled(programs(agent, "toy"))
    with jax.transfer_guard("allow"):
        arguments = jax.device_put((compiled.program.agent, compiled.program.env))
        run = compiled.begin(*arguments, jax.numpy.arange(2, dtype=jax.numpy.uint32))
        counters = jax.device_put(trainer.no_steps())
    with jax.transfer_guard("disallow"):
        run, counters, metrics = compiled.prefill(*arguments, run, counters)
        run, counters, metrics = compiled.train(*arguments, run, counters)
    assert int(counters.env_steps) == 32
    assert metrics["return_training"].shape == (2,)
