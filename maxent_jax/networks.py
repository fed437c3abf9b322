"""The networks of all agents: tanh nets for PPO, ReLU nets for all others.

PPO's initialisation is the published one. What is published of the SAC family's is the shrunk log-std head; the rest
has flax's defaults (on the toy problem SAC finds the optimum earlier with them than with torch's).
"""

import functools
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from maxent_jax import blocks

Params = Any
LOG_STD_RANGE = (-20.0, 2.0)


class Critic(nn.Module):
    """Q(observation, action)."""

    hidden: tuple[int, ...]

    def setup(self) -> None:
        """Layers `Dense_0`, `Dense_1`, ..., the last one to the value."""
        for index, width in enumerate((*self.hidden, 1)):
            setattr(self, f"Dense_{index}", nn.Dense(width))

    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """(..., o), (..., a) -> (...)."""
        return self.top(nn.relu(self.first(obs, action)))

    def first(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """The first layer, before its activation: (..., o), (..., a) -> (..., h)."""
        return self.Dense_0(jnp.concatenate([obs, action], axis=-1))

    def top(self, features: jax.Array) -> jax.Array:
        """What the other layers make of it: (..., h) -> (...)."""
        for index in range(1, len(self.hidden)):
            features = nn.relu(getattr(self, f"Dense_{index}")(features))
        return getattr(self, f"Dense_{len(self.hidden)}")(features)[..., 0]


class SquashedActor(nn.Module):
    """Mean and log standard deviation of the action before tanh."""

    hidden: tuple[int, ...]
    action_size: int

    @nn.compact
    def __call__(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(..., o) -> (..., a), (..., a)."""
        x = relu_layers(obs, self.hidden)
        mean = nn.Dense(self.action_size, name="mean")(x)
        # Shrunk, so that the first standard deviation is the same everywhere.
        shrunk = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
        log_std = nn.Dense(self.action_size, kernel_init=shrunk, name="log_std")(x)
        return mean, jnp.clip(log_std, *LOG_STD_RANGE)


class DeterministicActor(nn.Module):
    """The action before tanh."""

    hidden: tuple[int, ...]
    action_size: int

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """(..., o) -> (..., a)."""
        return nn.Dense(self.action_size, name="mean")(relu_layers(obs, self.hidden))


class GaussianActor(nn.Module):
    """Mean and log standard deviation of an unsquashed normal policy."""

    hidden: tuple[int, ...]
    action_size: int
    state_dependent_std: bool

    @nn.compact
    def __call__(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(..., o) -> (..., a), (..., a)."""
        x = tanh_layers(obs, self.hidden)
        mean = orthogonal_layer(self.action_size, 0.01, name="mean")(x)
        if self.state_dependent_std:
            return mean, jnp.clip(orthogonal_layer(self.action_size, 0.01, name="log_std")(x), *LOG_STD_RANGE)
        log_std = self.param("log_std", nn.initializers.zeros, (self.action_size,))
        return mean, jnp.broadcast_to(log_std, mean.shape)


class Value(nn.Module):
    """V(observation)."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """(..., o) -> (...)."""
        x = tanh_layers(obs, self.hidden)  # first, so that the layers are numbered in their order
        return orthogonal_layer(1, 1.0)(x)[..., 0]


def orthogonal_layer(features: int, gain: float, name: str | None = None) -> nn.Dense:
    """A linear layer with orthogonal weights and zero bias."""
    return nn.Dense(features, kernel_init=functools.partial(orthogonal_matrix, gain), name=name)


def orthogonal_matrix(gain: float, key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """flax's, but one after another under `vmap`.

    Batched factorisations of several layers are calls of LAPACK that run at the same time, and on two cores each may
    wait for ever for the other's thread (jaxlib 0.10.2; see `envs.quadruped`).
    """

    def one(key: jax.Array) -> jax.Array:
        return nn.initializers.orthogonal(gain)(key, shape, dtype)

    return jax.custom_batching.sequential_vmap(one)(key)


def relu_layers(x: jax.Array, hidden: tuple[int, ...]) -> jax.Array:
    """The torso of the SAC family's actors; call inside a compact module."""
    for width in hidden:
        x = nn.relu(nn.Dense(width)(x))
    return x


def tanh_layers(x: jax.Array, hidden: tuple[int, ...]) -> jax.Array:
    """The torso of PPO's networks; call inside a compact module."""
    for width in hidden:
        x = nn.tanh(orthogonal_layer(width, 2**0.5)(x))
    return x


def twin_init(critic: Critic, key: jax.Array, obs: jax.Array, action: jax.Array, count: int = 2) -> Params:
    """Parameters of two (`count`) independent critics, stacked along a leading axis."""
    return jax.vmap(critic.init, (0, None, None))(jax.random.split(key, count), obs, action)


def twin_apply(critic: Critic, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
    """The values of all stacked critics: (..., o), (..., a) -> (2, ...)."""
    return jax.vmap(critic.apply, (0, None, None))(params, obs, action)  # pyright: ignore[reportReturnType]


AT_ONCE = 512
"""Most actions that a tangent is asked about at once on a CPU, see `maxent_jax.blocks`."""


class TwinTangent(flax.struct.PyTreeNode):
    """Both critics near an action: their first layer as it is, what comes after it by its tangent there.

    At the action itself values and gradients are the critics' own; elsewhere a value costs no more than the first
    layer.

    Attributes:
      action: (b, a) where it touches, an action in each of b states.
      value: (b, 2) there.
      first: (b, 2, h) the first layer there, before its activation.
      slope: (b, 2, h) by how much each of its features raises the value.
      kernel: (2, a, h) what the first layer makes of an action.
    """

    action: jax.Array
    value: jax.Array
    first: jax.Array
    slope: jax.Array
    kernel: jax.Array

    def __call__(self, action: jax.Array) -> jax.Array:
        """Values (b, 2, p) of p actions (b, p, a) in each state."""

        def values(block: tuple[jax.Array, ...]) -> jax.Array:
            moved, value, first, slope = block
            # sums of products of numbers and vectors are fused; a matrix product as small as this is written out
            shift = sum(moved[:, None, :, i, None] * self.kernel[:, None, i] for i in range(moved.shape[-1]))
            features = nn.relu(first[:, :, None] + shift) - nn.relu(first)[:, :, None]
            return value[..., None] + jnp.einsum("btph,bth->btp", features, slope)

        moved = action - self.action[:, None]
        size = blocks.few(len(action), AT_ONCE // action.shape[1])
        return blocks.in_turn(values, (moved, self.value, self.first, self.slope), size)


def twin_tangent(critic: Critic, params: Params, obs: jax.Array, action: jax.Array) -> TwinTangent:
    """Touch both critics at actions: (b, o), (b, a), one for each state."""
    first: Any = jax.vmap(lambda p: critic.apply(p, obs, action, method="first"), out_axes=1)(params)
    top: Any = jax.vmap(lambda p, x: critic.apply(p, x, method="top"), (0, 1), 1)
    value, back = jax.vjp(functools.partial(top, params), nn.relu(first))
    (slope,) = back(jnp.ones_like(value))
    kernel = params["params"]["Dense_0"]["kernel"][:, obs.shape[-1] :]
    return TwinTangent(action, value, first, slope, kernel)


def action_size(actor: Params) -> int:
    """Of any actor, read from its last layer."""
    return actor["params"]["mean"]["bias"].shape[-1]


def polyak(target: Params, online: Params, tau: jax.Array | float) -> Params:
    """The moving average (1 - tau) target + tau online."""
    return jax.tree.map(lambda slow, fast: slow + tau * (fast - slow), target, online)


def shift(params: Params, path: tuple[str, ...], by: jax.Array) -> Params:
    """Add `by` to one array of a flax parameter tree, named by its path below `params`."""

    def at(tree: Params, keys: tuple[str, ...]) -> Params:
        if not keys:
            return tree + by
        return tree | {keys[0]: at(tree[keys[0]], keys[1:])}

    return at(params, ("params", *path))
