"""What training would need, before it is begun: bytes, arithmetic, how many runs fit, and on a CPU how long it takes.

Everything but the minutes is read off the compiled programs: nothing of the real size is allocated.
"""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
from rich.table import Table

from envs import for_training
from envs.fields import InvalidSetting
from maxent_jax import replay, trainer
from maxent_jax.agents.base import Agent, OffPolicyAgent, OnPolicyAgent, Rollout
from maxent_jax.compiled import Compiled, lower
from maxent_jax.memory import footprint, gigabytes, held_bytes
from maxent_jax.programs import Program

TRIED_SECONDS = 3.0
"""How long training is tried, to say how long all of it takes."""
TRIED_UPDATES = 200


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one call of a compiled program does: floating-point operations, and bytes read and written."""

    flops: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a program of many runs needs.

    Attributes:
      runs: how many there are.
      held: bytes of replay, parameters, optimisers and environments of all runs.
      needed: bytes on the device while a chunk runs: those, its temporaries and what it returns.
      fits: how many runs the memory has room for.
      update: an update of all runs.
      step: a step of all environments of all runs.
      updates: updates a run makes.
      seconds: of compiling, training and evaluating on this CPU; None on an accelerator, where nobody measured it.
    """

    runs: int
    held: int
    needed: int
    fits: int
    update: Cost
    step: Cost
    updates: int
    seconds: float | None


def estimate(program: Program, memory: float) -> Plan:
    """Compile a program and read off what it needs; on a CPU also train with it for a few seconds.

    Args:
      program: the runs, see `programs.expand`.
      memory: bytes that the device has.

    Returns:
      The plan.

    Raises:
      InvalidSetting: the runs do not fit.
    """
    runs = len(program.runs)
    began = time.perf_counter()
    compiled = lower(program, "train").compile()
    compiling = time.perf_counter() - began
    needed = footprint(compiled, runs).needed
    fits = int(memory * runs / needed)
    if fits < runs:
        raise InvalidSetting(
            f"seeds = {runs}: need {gigabytes(needed)} of {gigabytes(memory)}; "
            + (f"must be <= {fits}" if fits > 0 else "not even one fits: agent.buffer_size or envs must be smaller")
        )
    return Plan(
        runs=runs,
        held=held_bytes(program),
        needed=needed,
        fits=fits,
        update=_cost(lower_update(program.agent, program.env, runs)),
        step=_cost(lower_step(program.env, runs * program.schedule.envs)),
        updates=program.total_updates,
        seconds=seconds(program, compiling) if jax.default_backend() == "cpu" else None,
    )


def table(found: Plan, memory: float) -> Table:
    """A plan for people; `memory` is what it was made for."""
    shown = Table(show_header=False)
    a_run = f"{gigabytes(found.held / found.runs)} a run"
    shown.add_row("runs", f"{found.runs}")
    shown.add_row("held: replay, parameters, optimisers, environments", f"{gigabytes(found.held)}, {a_run}")
    shown.add_row("on the device while a chunk runs", gigabytes(found.needed))
    shown.add_row(f"runs that fit into {gigabytes(memory)}", f"{found.fits:,}")
    for name, cost in (("an update of all runs", found.update), ("a step of all environments", found.step)):
        shown.add_row(name, f"{cost.flops / 1e6:,.3g} MFLOP, {cost.bytes / 1e6:,.3g} MB moved")
    shown.add_row("updates a run", f"{found.updates:,}")
    told = "not measured" if found.seconds is None else f"{found.seconds / 60:,.1f} minutes, from a few seconds of it"
    shown.add_row("takes", told)
    return shown


def lower_update(agent: Agent, env: Any, runs: int) -> jax.stages.Lowered:
    """One call of `agent.update` in each of several runs, ready to compile."""

    def example(key: jax.Array) -> tuple[Any, Any]:
        if isinstance(agent, OffPolicyAgent):
            batch = replay.sample(replay.init(1, env), jnp.int32(1), key, agent.batch_size, env)
        else:
            assert isinstance(agent, OnPolicyAgent)
            one = replay.sample(replay.init(1, env), jnp.int32(1), key, agent.rollout_steps, env)
            batch = jax.tree.map(lambda leaf: leaf[:, None], Rollout(one, one.terminated))
        return agent.init(key, env.spec), batch

    keys = jax.random.split(jax.random.key(0), runs)
    arguments = jax.eval_shape(jax.vmap(example), keys)
    return jax.jit(jax.vmap(agent.update)).lower(*arguments, keys)


def lower_step(env: Any, environments: int) -> jax.stages.Lowered:
    """A training step of several environments, ready to compile."""
    training = for_training(env)
    states = jax.eval_shape(jax.vmap(training.reset), jax.random.split(jax.random.key(0), environments))
    actions = jax.ShapeDtypeStruct((environments, env.action_size), jnp.float32)
    return jax.jit(jax.vmap(training.step)).lower(states, actions)


def _cost(lowered: jax.stages.Lowered) -> Cost:
    found: Any = lowered.compile().cost_analysis()
    return Cost(float(found["flops"]), float(found["bytes accessed"]))


def seconds(program: Program, compiling: float = 0.0) -> float:
    """Seconds of all of it on this device, from training for a moment on a replay as full as it gets by then.

    Args:
      program: the runs.
      compiling: seconds that the training chunk took to compile, if that is known already.
    """
    plan = program.schedule
    small = _tried(program)
    given = (small.agent, small.env)
    began = time.perf_counter()
    compiled = Compiled(small)
    compiling = max(compiling, time.perf_counter() - began)  # the others are as those of the real size
    run, counters = compiled.begin(*given, small.seeds), trainer.no_steps()
    prefilling, (run, counters, _) = _timed(compiled.prefill, *given, run, counters)
    _, (run, counters, _) = _timed(compiled.train, *given, run, counters)
    looking, _ = _timed(compiled.evaluate, *given, run, counters)
    calls = training = 0
    while training < TRIED_SECONDS:
        took, (run, counters, _) = _timed(compiled.train, *given, run, counters)
        calls, training = calls + 1, training + took
    an_iteration = training / (calls * small.schedule.iterations)
    return compiling + prefilling + plan.chunks * (plan.iterations * an_iteration + looking)


def _tried(program: Program) -> Program:
    """The same program with one short chunk."""
    plan = program.schedule
    iterations = min(plan.iterations, max(1, TRIED_UPDATES // (plan.updates * program.agent.gradient_steps)))
    short = dataclasses.replace(plan, iterations=iterations, chunks=1)
    capacity = trainer.capacity(program.agent, short)
    return dataclasses.replace(program, schedule=dataclasses.replace(short, capacity=capacity))


def _timed(function: Any, *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began, found
