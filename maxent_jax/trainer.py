"""One run as pure functions: begin, prefill, train for a chunk, evaluate. `compiled.py` maps them over many runs.

Counters are shared by all runs of a program and never batched: a batched buffer position would make every write a
scatter, a batched condition would run both of its branches.
"""

import dataclasses
import functools
import math
from fractions import Fraction
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from envs.fields import InvalidSetting
from envs.training import are_finite, for_training, is_finite
from maxent_jax import blocks, freezing, replay
from maxent_jax.agents.base import METRICS, Agent, Metrics, OffPolicyAgent, OnPolicyAgent, Rollout, Transition
from maxent_jax.freezing import Failure

EVALUATION_EPISODES = 10
MOST_STEPS_OR_UPDATES = 32
"""The rarer of steps and updates happens at most this often in an iteration: training should not come in lumps."""

# Steps of many environments, (env, states, actions) -> states: with what training adds, and the bare task's.
step_all = blocks.mapped(lambda env, state, action: for_training(env).step(state, action))
step_bare = blocks.mapped(lambda env, state, action: env.step(state, action))


class Counters(flax.struct.PyTreeNode):
    """Steps of all environments of a run, and optimiser steps; shared by all runs of a program."""

    env_steps: jax.Array
    updates: jax.Array


class Run(flax.struct.PyTreeNode):
    """Everything that one run changes.

    Attributes:
      agent: the agent's state.
      env: (N, ...) states of the environments.
      episode_return: (N,) rewards of the episodes in progress.
      rows: replay, or nothing for an on-policy agent.
      key: the run's own randomness.
      failure: when and why it failed; a failed run's agent is frozen, see `freezing`.
    """

    agent: Any
    env: Any
    episode_return: jax.Array
    rows: jax.Array | None
    key: jax.Array
    failure: Failure


class Finished(flax.struct.PyTreeNode):
    """Episodes that ended: how many, and the sum of their returns; and how many states that are not finite ended."""

    count: jax.Array
    total: jax.Array
    nonfinite: jax.Array


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The static shape of a run.

    An *iteration* is the smallest whole unit of training: some steps of every environment, then some updates.

    Attributes:
      envs: environments a run steps in parallel.
      prefill: random steps of every environment before training.
      steps: steps of every environment in an iteration.
      updates: calls of `agent.update` in an iteration.
      iterations: iterations in a chunk.
      chunks: chunks after the prefill.
      capacity: rows of replay; 0 for an on-policy agent.
    """

    envs: int
    prefill: int
    steps: int
    updates: int
    iterations: int
    chunks: int
    capacity: int

    @property
    def chunk_steps(self) -> int:
        """Steps of all environments of a run in a chunk."""
        return self.envs * self.steps * self.iterations

    @property
    def total_steps(self) -> int:
        """Steps of all environments of a run, prefill included."""
        return self.envs * self.prefill + self.chunks * self.chunk_steps

    @property
    def total_updates(self) -> int:
        """Calls of `agent.update` in a run."""
        return self.chunks * self.iterations * self.updates


def schedule(agent: Agent, steps: int, envs: int = 1, evaluations: int = 20) -> Schedule:
    """Lay `steps` steps (after the prefill) out in equal chunks, one per evaluation.

    Args:
      agent: says how much it steps between updates.
      steps: steps of all environments of a run; rounded up to whole chunks.
      envs: environments stepped in parallel.
      evaluations: chunks wanted; fewer where an iteration is longer than a chunk would be.

    Returns:
      The schedule.

    Raises:
      ValueError: the environments do not tile the agent's rollout or its buffer.
    """
    if isinstance(agent, OnPolicyAgent):
        if agent.rollout_steps % envs:
            raise InvalidSetting(f"envs = {envs}: must divide agent.rollout_steps, which is {agent.rollout_steps}")
        prefill, per_iteration, updates = 0, agent.rollout_steps // envs, 1
    else:
        assert isinstance(agent, OffPolicyAgent), "an agent is an OffPolicyAgent or an OnPolicyAgent"
        per_iteration, updates = _steps_and_updates(agent.updates_per_step * envs)
        prefill = math.ceil(agent.prefill_steps / envs)
        if agent.buffer_size < envs:
            raise InvalidSetting(f"envs = {envs}: must be <= agent.buffer_size, which is {agent.buffer_size}")
    iterations = math.ceil(steps / (envs * per_iteration))
    per_chunk = math.ceil(iterations / min(evaluations, iterations))
    chunks = math.ceil(iterations / per_chunk)
    plan = Schedule(envs, prefill, per_iteration, updates, per_chunk, chunks, capacity=0)
    return dataclasses.replace(plan, capacity=capacity(agent, plan))


def capacity(agent: Agent, plan: Schedule) -> int:
    """Rows of a run's replay: whole steps of all environments, and no more than are ever taken; 0 without replay."""
    if not isinstance(agent, OffPolicyAgent):
        return 0
    return min(agent.buffer_size // plan.envs * plan.envs, plan.total_steps)


def _steps_and_updates(ratio: float) -> tuple[int, int]:
    """Small whole numbers of steps and updates whose ratio is nearly this: within 1.6 %, exact for simple ones."""
    if ratio < 1:
        updates, steps = _steps_and_updates(1 / ratio)
        return steps, updates
    found = Fraction(ratio).limit_denominator(MOST_STEPS_OR_UPDATES)
    return found.denominator, found.numerator


def no_steps() -> Counters:
    """Counters of a run that has not begun."""
    return Counters(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def begin(agent: Agent, env: Any, seed: jax.Array, plan: Schedule) -> Run:
    """A fresh run; all its randomness comes from its seed."""
    agent_key, env_key, key = jax.random.split(jax.random.key(seed), 3)
    rows = replay.init(plan.capacity, env) if plan.capacity else None
    run = Run(
        agent=agent.init(agent_key, env.spec),
        env=jax.vmap(for_training(env).reset)(jax.random.split(env_key, plan.envs)),
        episode_return=jnp.zeros(plan.envs),
        rows=rows,
        key=key,
        failure=freezing.none(),
    )
    return run.replace(failure=watch(run, no_steps()))


def prefill(agent: Agent, env: Any, run: Run, counters: Counters, plan: Schedule) -> tuple[Run, Counters, Metrics]:
    """Fill replay with uniformly random steps; nothing is learned."""
    del agent
    if not plan.prefill:
        return run, counters, report({}, no_episodes(), run.failure)

    def one_step(carry: Any, _: Any) -> tuple[Any, None]:
        run, counters, finished = carry
        key, action_key = jax.random.split(run.key)
        action = jax.random.uniform(action_key, (plan.envs, env.action_size), minval=-1.0, maxval=1.0)
        run, transition, _, ended = step_environments(env, run.replace(key=key), action)
        return (*remember(env, run, counters, transition), add_finished(finished, ended)), None

    carry = (run, counters, no_episodes())
    (run, counters, finished), _ = jax.lax.scan(one_step, carry, length=plan.prefill)
    return run, counters, report({}, finished, run.failure)


def train(agent: Agent, env: Any, run: Run, counters: Counters, plan: Schedule) -> tuple[Run, Counters, Metrics]:
    """One chunk: `plan.iterations` times collect and learn; a run that fails keeps the agent that it came with."""
    before = run.agent
    one: Any = on_policy_iteration if isinstance(agent, OnPolicyAgent) else off_policy_iteration
    iteration = jax.jit(functools.partial(one, plan=plan))  # its shapes and its use share one trace
    shapes = jax.eval_shape(lambda: iteration(agent, env, run, counters)[2])
    means = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def body(carry: Any, done: jax.Array) -> tuple[Any, None]:
        run, counters, means, finished = carry
        now = agent.scheduled(counters.updates / (plan.total_updates * agent.gradient_steps))
        run, counters, metrics, ended = iteration(now, env, run, counters)
        means = jax.tree.map(lambda mean, new: mean + (new - mean) / (done + 1.0), means, metrics)
        return (run, counters, means, add_finished(finished, ended)), None

    carry = (run, counters, means, no_episodes())
    (run, counters, means, finished), _ = jax.lax.scan(body, carry, jnp.arange(plan.iterations, dtype=jnp.float32))
    state, failure = freezing.keep(before, run.agent, run.failure, counters.env_steps)
    return run.replace(agent=state, failure=failure), counters, report(means, finished, failure)


def off_policy_iteration(
    agent: OffPolicyAgent, env: Any, run: Run, counters: Counters, plan: Schedule
) -> tuple[Run, Counters, Metrics, Finished]:
    """`plan.steps` steps of every environment into replay, then `plan.updates` updates from it."""

    def one_step(carry: Any, _: Any) -> tuple[Any, Finished]:
        run, counters = carry
        run, action = act(agent, run, counters)
        run, transition, _, ended = step_environments(env, run, action)
        return remember(env, run, counters, transition), ended

    def one_update(run: Run, _: Any) -> tuple[Run, Metrics]:
        assert run.rows is not None
        key, batch_key, update_key = jax.random.split(run.key, 3)
        batch = replay.sample(run.rows, counters.env_steps, batch_key, agent.batch_size, env)
        state, metrics = agent.update(run.agent, batch, update_key)
        failure = freezing.look(run.failure, metrics, counters.env_steps)
        return run.replace(agent=state, key=key, failure=failure), metrics

    (run, counters), ended = jax.lax.scan(one_step, (run, counters), length=plan.steps)
    run, metrics = jax.lax.scan(one_update, run, length=plan.updates)
    counters = counters.replace(updates=counters.updates + plan.updates * agent.gradient_steps)
    return run, counters, jax.tree.map(jnp.mean, metrics), jax.tree.map(jnp.sum, ended)


def on_policy_iteration(
    agent: OnPolicyAgent, env: Any, run: Run, counters: Counters, plan: Schedule
) -> tuple[Run, Counters, Metrics, Finished]:
    """A rollout of `plan.steps` steps of every environment, then one update from it."""

    def one_step(run: Run, _: Any) -> tuple[Run, tuple[Rollout, Finished]]:
        run, action = act(agent, run, counters)
        run, transition, done, ended = step_environments(env, run, action)
        return run, (Rollout(transition, done), ended)

    run, (rollout, ended) = jax.lax.scan(one_step, run, length=plan.steps)
    key, update_key = jax.random.split(run.key)
    counters = Counters(
        env_steps=counters.env_steps + plan.steps * plan.envs,
        updates=counters.updates + agent.gradient_steps,
    )
    state, metrics = agent.update(run.agent, rollout, update_key)
    failure = freezing.look(run.failure, metrics, counters.env_steps)
    return run.replace(agent=state, key=key, failure=failure), counters, metrics, jax.tree.map(jnp.sum, ended)


def act(agent: Agent, run: Run, counters: Counters) -> tuple[Run, jax.Array]:
    """A draw of the policy for every environment, (N, a); the run fails where its policy or environment is broken."""
    key, action_key = jax.random.split(run.key)
    action = agent.act(run.agent, run.env.obs, action_key)
    failure = watch(run, counters, action)
    return run.replace(key=key, failure=failure), freezing.only_finite(action)


def watch(run: Run, counters: Counters, action: jax.Array | None = None) -> Failure:
    """The run's failure, after a look at its environments and at the actions in hand."""
    wild = False if action is None else ~are_finite(action)
    cause = jnp.where(
        jnp.any(run.env.info["broken"] > 0), freezing.ENVIRONMENT, jnp.where(wild, freezing.PARAMETERS, 0)
    )
    return freezing.note(run.failure, cause, counters.env_steps)


def step_environments(env: Any, run: Run, action: jax.Array) -> tuple[Run, Transition, jax.Array, Finished]:
    """Step all environments of a run by (N, a) actions; also transitions, (N,) ends and the episodes that ended."""
    state = step_all(env, run.env, action)
    transition = Transition(
        obs=run.env.obs,
        action=action,
        reward=state.reward,
        terminated=state.info["terminated"],
        duration=state.info["duration"].astype(jnp.float32),
        next_obs=state.info["final_obs"],
    )
    episode_return = run.episode_return + state.reward
    over, broken = state.done.astype(bool), state.metrics["nonfinite"].astype(bool)
    whole = over & ~broken  # a part of a return is no return
    ended = Finished(
        whole.sum(dtype=jnp.float32), jnp.sum(jnp.where(whole, episode_return, 0.0)), broken.sum(dtype=jnp.float32)
    )
    run = run.replace(env=state, episode_return=jnp.where(over, 0.0, episode_return))
    return run, transition, state.done, ended


def remember(env: Any, run: Run, counters: Counters, transition: Transition) -> tuple[Run, Counters]:
    """Put one step of every environment into replay."""
    assert run.rows is not None
    rows = replay.add(run.rows, transition, counters.env_steps, env)
    return run.replace(rows=rows), counters.replace(env_steps=counters.env_steps + transition.reward.shape[0])


def no_episodes() -> Finished:
    """Nothing has ended yet."""
    return Finished(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


def add_finished(a: Finished, b: Finished) -> Finished:
    """Both together."""
    return jax.tree.map(jnp.add, a, b)


def report(means: Metrics, finished: Finished, failure: Failure) -> Metrics:
    """The metrics of a chunk: `METRICS`, of the episodes, and the failure.

    NaN is "does not have" and "mean over nothing". A failed run has learned nothing: its `METRICS` are NaN.
    """
    nothing = jnp.full((), jnp.nan)
    mean_return = jnp.where(finished.count > 0, finished.total / finished.count, jnp.nan)
    episodes = {"return_training": mean_return, "nonfinite": finished.nonfinite}
    learned = {name: jnp.where(freezing.failed(failure), nothing, means.get(name, nothing)) for name in METRICS}
    return episodes | learned | {"failed_step": failure.step, "failed_cause": failure.cause}


def evaluate(agent: Agent, env: Any, run: Run, counters: Counters) -> Metrics:
    """Mean returns of the policy's mean action and of its draws, over 10 fresh episodes each, undiscounted."""
    # The run itself goes on as if it had not been looked at. The offset keeps clear of what `split` makes of the key:
    # its n-th child is the same as `fold_in(key, n)`.
    key = jax.random.fold_in(run.key, counters.env_steps.astype(jnp.uint32) + jnp.uint32(2**31))
    returns = jnp.nanmean(episode_returns(agent, env, run.agent, key, EVALUATION_EPISODES), axis=-1)
    return {"return_deterministic": returns[0], "return_stochastic": returns[1]}


def step_of_episode(
    env: Any, state: Any, action: jax.Array, time: jax.Array
) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
    """A step of the bare task, and whether the episode goes on.

    Args:
      env: the bare task.
      state: (n,) environments.
      action: (n, a).
      time: (n,) control steps that are gone.

    Returns:
      States and times after it, rewards (n,), NaN where the physics broke down, and (n,) whether neither that, nor a
      terminal state, nor the time limit ends the episode here.
    """
    state = step_bare(env, state, action)
    time = time + state.info["duration"]
    sound = jax.vmap(is_finite)(state)
    going_on = sound & (state.info["terminated"] == 0) & (time < env.horizon)
    return state, time, jnp.where(sound, state.reward, jnp.nan), going_on


def episode_returns(agent: Agent, env: Any, agent_state: Any, key: jax.Array, episodes: int) -> jax.Array:
    """Returns of whole episodes of the bare task: (2, episodes), by the mean action and by draws.

    NaN where the physics broke down.
    """
    reset_key, act_key = jax.random.split(key)
    start = jax.vmap(env.reset)(jax.random.split(reset_key, 2 * episodes))

    def going(carry: Any) -> jax.Array:
        return jnp.any(carry[3])

    def one_step(carry: Any) -> Any:
        state, time, total, alive, key = carry
        key, draw_key = jax.random.split(key)
        mean, draw = state.obs[:episodes], state.obs[episodes:]
        action = jnp.concatenate(
            [agent.act(agent_state, mean, draw_key, deterministic=True), agent.act(agent_state, draw, draw_key)]
        )
        state, time, reward, going_on = step_of_episode(env, state, action, time)
        return state, time, total + jnp.where(alive, reward, 0.0), alive & going_on, key

    zeros = jnp.zeros(2 * episodes)
    carry = (start, zeros.astype(jnp.int32), zeros, zeros == 0, act_key)
    return jax.lax.while_loop(going, one_step, carry)[2].reshape(2, episodes)
