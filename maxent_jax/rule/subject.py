"""A trained policy with the landscapes that it can be judged by: its agent's own, and plain ones learned beside it.

Not every agent learns both landscapes. Where one has soft critics only, or none, plain ones are learned for the policy
as it is now, by policy evaluation: the regression and the target of SAC-AdaEnt's plain critics, with a policy that
stands still.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from maxent_jax import landscape, networks, replay, trainer
from maxent_jax.agents import TD3, SACAdaEnt
from maxent_jax.agents.base import Agent
from maxent_jax.agents.critics import QAgent, Tracked
from maxent_jax.networks import Params

SAMPLES = 100
"""Draws of the policy at a state, for an agent that does not say how many it compares."""
ENVS = 16
"""Environments in which a policy's data are gathered."""
EXPLORED = 0.1
"""Share of uniformly random actions in these data: a critic should know something of what the policy would not do."""
TAU = 0.05
"""How fast targets follow a critic whose policy stands still: ten times SAC's, for it has to get there in thousands of
updates from nothing."""
TRANSITIONS_PER_UPDATE = 4
NEVER = -1.0
"""A threshold below which no similarity lies, by any measure."""


class Subject(flax.struct.PyTreeNode):
    """One run's trained policy and its landscapes.

    Attributes:
      agent: the agent.
      state: the run's agent state.
      plain: plain twins that were learned beside it; None where the agent's own are all.
    """

    agent: Agent
    state: Any
    plain: Params | None = None

    @property
    def gamma(self) -> Any:
        """The discount."""
        return self.agent.gamma

    @property
    def samples(self) -> int:
        """Draws of the policy in a comparison."""
        return self.agent.n_samples if isinstance(self.agent, SACAdaEnt) else SAMPLES

    @property
    def threshold(self) -> float:
        """Where the rule is judged: the agent's threshold; SAC-AdaEnt's usual one for an agent that never switches."""
        if isinstance(self.agent, SACAdaEnt) and self.agent.switches:
            return round(float(self.agent.threshold), 6)  # which is a float32 in the agent
        return SACAdaEnt().threshold

    def act(self, obs: jax.Array, key: jax.Array, deterministic: bool = False) -> jax.Array:
        """Actions (..., a) at observations (..., o), as the task takes them."""
        return jnp.clip(self.agent.act(self.state, obs, key, deterministic), -1.0, 1.0)

    def landscapes(self, obs: jax.Array, action: jax.Array) -> dict[str, jax.Array]:
        """Values (...) of actions (..., a) by name: `soft` and `plain`, of which an agent may lack either or both."""
        found = self.agent.q_landscapes(self.state, obs, action)
        if self.plain is None:
            return found
        return found | {"plain": evaluator(self.agent).min_q(self.plain, obs, action)}

    def similarity(self, obs: jax.Array, key: jax.Array) -> jax.Array | None:
        """How alike soft and plain are at states (b, o), as the agent itself finds in an update: (b,).

        Over draws of the policy where the agent does not compare; None where it has not both.
        """
        if isinstance(self.agent, SACAdaEnt):
            return self.agent.compare(self.state, obs, key)
        repeated = jnp.broadcast_to(obs[:, None], (len(obs), self.samples, obs.shape[-1]))
        q = self.landscapes(repeated, self.act(repeated, key))
        return landscape.cosine(q["soft"], q["plain"]) if {"soft", "plain"} <= set(q) else None


def names(subject: Subject, env: Any) -> tuple[str, ...]:
    """The landscapes that a subject has, in order."""
    spec = env.spec
    shapes = (
        jax.ShapeDtypeStruct((spec.observation_size,), jnp.float32),
        jax.ShapeDtypeStruct((spec.action_size,), jnp.float32),
    )
    found = jax.eval_shape(Subject.landscapes, subject, *shapes)
    return tuple(name for name in ("soft", "plain") if name in found)


def evaluator(agent: Agent) -> QAgent:
    """Whose nets, learning rate and batch evaluate a policy: its agent's own, or where that has no critics TD3's."""
    return agent if isinstance(agent, QAgent) else TD3(gamma=agent.gamma)


def subject_of(agent: Agent, env: Any, state: Any, key: jax.Array, updates: int) -> tuple[Subject, dict[str, Any]]:
    """A trained policy with all landscapes that make sense for it.

    Args:
      agent: the agent.
      env: the bare task.
      state: one run's agent state.
      key: randomness of critics that have to be learned.
      updates: how many updates these get.

    Returns:
      The subject, and what was learned beside it: updates, transitions, the last loss; empty where nothing was.
    """
    subject = Subject(agent, state)
    if "plain" in names(subject, env):
        return subject, {}
    critic, loss = learn_plain(agent, env, state, key, updates=updates)
    about = {"updates": updates, "transitions": updates * TRANSITIONS_PER_UPDATE, "loss": float(loss)}
    return Subject(agent, state, critic.params), about


def learn_plain(
    agent: Agent, env: Any, state: Any, key: jax.Array, updates: int, explored: float = EXPLORED
) -> tuple[Tracked, jax.Array]:
    """Plain twins for a policy that stands still, learned from what it does.

    Args:
      agent: whose policy it is; see `evaluator` for the nets.
      env: the bare task.
      state: the run's agent state.
      key: randomness.
      updates: how many; four transitions are gathered for each.
      explored: share of uniformly random actions among those that are learned from.

    Returns:
      The critics, and the mean loss of the last tenth of the updates.
    """
    return _learn_plain(agent, env, state, key, jnp.asarray(explored, jnp.float32), updates)


def _gathered(subject: Subject, env: Any, key: jax.Array, explored: jax.Array, steps: int) -> Any:
    """Replay rows (steps * ENVS, words) of the policy's draws."""
    begin_key, key = jax.random.split(key)
    seed = jax.random.bits(begin_key, dtype=jnp.uint32)
    plan = trainer.Schedule(ENVS, 0, 1, 0, steps, 1, capacity=steps * ENVS)
    run = trainer.begin(subject.agent, env, seed, plan)

    def one_step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        run, counters = carry
        act_key, which_key, what_key = jax.random.split(key, 3)
        action = subject.act(run.env.obs, act_key)
        other = jax.random.uniform(what_key, action.shape, minval=-1.0, maxval=1.0)
        action = jnp.where(jax.random.bernoulli(which_key, explored, (ENVS, 1)), other, action)
        run, transition, _, _ = trainer.step_environments(env, run, action)
        return trainer.remember(env, run, counters, transition), None

    (run, _), _ = jax.lax.scan(one_step, (run, trainer.no_steps()), jax.random.split(key, steps))
    return run.rows


@functools.partial(jax.jit, static_argnames=("updates",))
def _learn_plain(
    agent: Agent, env: Any, state: Any, key: jax.Array, explored: jax.Array, updates: int
) -> tuple[Tracked, jax.Array]:
    subject, critics = Subject(agent, state), evaluator(agent)
    gather_key, init_key, update_key = jax.random.split(key, 3)
    rows = _gathered(subject, env, gather_key, explored, steps=-(-updates * TRANSITIONS_PER_UPDATE // ENVS))
    full = jnp.asarray(rows.shape[0], jnp.int32)

    def one_update(critic: Tracked, key: jax.Array) -> tuple[Tracked, jax.Array]:
        batch_key, act_key = jax.random.split(key)
        batch = replay.sample(rows, full, batch_key, critics.batch_size, env)
        next_q = critics.min_q(critic.target, batch.next_obs, subject.act(batch.next_obs, act_key))
        critic, metrics = critics.fit_critic(critic, batch, next_q)
        return critic.replace(target=networks.polyak(critic.target, critic.params, TAU)), metrics["critic_loss"]

    keys = jax.random.split(update_key, updates)
    critic, losses = jax.lax.scan(one_update, critics.init_critic(init_key, env.spec), keys)
    return critic, jnp.mean(losses[-max(1, updates // 10) :])
