"""Gymnasium's Pendulum-v1 with actions scaled to [-1, 1]: the standard task on which agents are compared."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from envs.base import Key, State, Task, initial_state, next_state
from envs.fields import setting


class PendulumState(flax.struct.PyTreeNode):
    """Angle from upright (rad, not wrapped) and angular velocity (rad/s)."""

    theta: jax.Array
    speed: jax.Array


class Pendulum(Task):
    """Swing a pendulum up and hold it.

    The observation is cos, sin of the angle from upright and the angular velocity (rad/s); the action is the torque as
    a share of `max_torque`. The reward is -(theta^2 + 0.1 speed^2 + 0.001 torque^2), theta wrapped, before the step.
    """

    horizon: int = setting(200, "control steps until the time limit", low=1)
    gravity: float = setting(10.0, "gravity, m/s^2", low=0)
    mass: float = setting(1.0, "mass, kg", above=0)
    length: float = setting(1.0, "length, m", above=0)
    max_torque: float = setting(2.0, "torque at action 1, N m", above=0)
    max_speed: float = setting(8.0, "bound of the angular velocity, rad/s", above=0)
    step_seconds: float = setting(0.05, "control step, s", above=0)

    @property
    def observation_size(self) -> int:
        """cos, sin, angular velocity."""
        return 3

    @property
    def action_size(self) -> int:
        """One torque."""
        return 1

    @property
    def action_low(self) -> jax.Array:
        """Torque in N m."""
        return -jnp.full(1, self.max_torque)

    @property
    def action_high(self) -> jax.Array:
        """Torque in N m."""
        return jnp.full(1, self.max_torque)

    def reset(self, rng: Key) -> State:
        """Angle uniform in [-pi, pi], angular velocity uniform in [-1, 1]."""
        draw = jax.random.uniform(rng, (2,), minval=-1.0, maxval=1.0)
        pendulum = PendulumState(theta=jnp.pi * draw[0], speed=draw[1])
        return initial_state(pendulum, self._observe(pendulum))

    def step(self, state: State, action: jax.Array) -> State:
        """One semi-implicit Euler step, as Gymnasium's."""
        before: Any = state.pipeline_state
        theta, speed = before.theta, before.speed
        torque = self.max_torque * jnp.clip(action[0], -1.0, 1.0)
        wrapped = jnp.mod(theta + jnp.pi, 2 * jnp.pi) - jnp.pi
        reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)

        gravity = 1.5 * self.gravity / self.length * jnp.sin(theta)
        acceleration = gravity + 3.0 / (self.mass * self.length**2) * torque
        speed = jnp.clip(speed + acceleration * self.step_seconds, -self.max_speed, self.max_speed)
        pendulum = PendulumState(theta=theta + speed * self.step_seconds, speed=speed)
        return next_state(state, pendulum, self._observe(pendulum), reward, jnp.zeros((), bool))

    def _observe(self, pendulum: PendulumState) -> jax.Array:
        return jnp.stack([jnp.cos(pendulum.theta), jnp.sin(pendulum.theta), pendulum.speed])
