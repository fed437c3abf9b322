"""What the off-policy agents share: learners with slow copies, and critics that are fitted to targets."""

from typing import Any, ClassVar, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from envs.fields import setting
from maxent_jax import networks
from maxent_jax.agents.base import Metrics, OffPolicyAgent, Transition
from maxent_jax.networks import Params


class Learner(flax.struct.PyTreeNode):
    """Parameters and their optimiser."""

    params: Params
    opt: optax.OptState


class Tracked(Learner):
    """A learner with a slow copy of its parameters, which targets are made with."""

    target: Params


L = TypeVar("L", bound=Learner)


def optimiser(lr: Any) -> optax.GradientTransformation:
    """Adam over all parameters as one vector: it compiles sooner, and a GPU launches fewer kernels."""
    return optax.flatten(optax.adam(lr))


def learner(params: Params, lr: Any) -> Learner:
    """Fresh parameters, and Adam before its first step."""
    return Learner(params, optimiser(lr).init(params))


def tracked(params: Params, lr: Any) -> Tracked:
    """The same with a copy that equals them."""
    return Tracked(params, optimiser(lr).init(params), jax.tree.map(jnp.copy, params))


def descend(learner: L, grads: Params, lr: Any) -> L:
    """One Adam step."""
    updates, opt = optimiser(lr).update(grads, learner.opt)
    return learner.replace(params=optax.apply_updates(learner.params, updates), opt=opt)


class QAgent(OffPolicyAgent):
    """An agent with critics, and an actor whose actions are squashed by tanh."""

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    lr: float = setting(3e-4, "learning rate of actor and critics", above=0)
    tau: float = setting(0.005, "share of the online networks in each update of their slow copies", low=0, high=1)

    critics: ClassVar[int] = 2

    @property
    def critic_net(self) -> networks.Critic:
        """The shape of every critic."""
        return networks.Critic(self.hidden)

    def init_critic(self, key: jax.Array, spec: EnvSpec) -> Tracked:
        """Fresh critics, stacked along a leading axis."""
        obs, action = jnp.zeros(spec.observation_size), jnp.zeros(spec.action_size)
        return tracked(networks.twin_init(self.critic_net, key, obs, action, self.critics), self.lr)

    def leaning(self, actor: Params, spec: EnvSpec) -> Params:
        """An actor that leans towards `init_mean`; no nearer than 0.99 to the end of a range, far away before tanh."""
        mean = jnp.clip(self.initial_mean(spec), -0.99, 0.99)
        return networks.shift(actor, ("mean", "bias"), jnp.arctanh(mean))

    def min_q(self, critic: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """The smallest of the critics' values: (..., o), (..., a) -> (...)."""
        return networks.twin_apply(self.critic_net, critic, obs, action).min(axis=0)

    def bootstrap(self, batch: Transition, next_value: jax.Array) -> jax.Array:
        """(batch,) targets from (batch,) values of the next observations."""
        return batch.reward + self.gamma**batch.duration * (1.0 - batch.terminated) * next_value

    def fit_critic(self, critic: Tracked, batch: Transition, next_value: jax.Array) -> tuple[Tracked, Metrics]:
        """One step of stacked critics towards r + gamma^d (1 - terminated) `next_value`, (batch,)."""
        target = self.bootstrap(batch, next_value)

        def loss(params: Params) -> tuple[jax.Array, jax.Array]:
            q = networks.twin_apply(self.critic_net, params, batch.obs, batch.action)
            return 0.5 * jnp.mean(jnp.sum((q - target) ** 2, axis=0)), jnp.mean(q)

        (value, q_mean), grads = jax.value_and_grad(loss, has_aux=True)(critic.params)
        return descend(critic, grads, self.lr), {"critic_loss": value, "q_mean": q_mean}

    def follow(self, learner: Tracked) -> Tracked:
        """Let the slow copy follow."""
        return learner.replace(target=networks.polyak(learner.target, learner.params, self.tau))
