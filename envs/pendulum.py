"""Gymnasium's Pendulum-v1 with actions scaled to [-1, 1]: the standard task on which agents are compared."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key, Push, Task
from envs.fields import setting
from envs.integrators import SEMI_IMPLICIT_SWING, check_stable


class PendulumState(flax.struct.PyTreeNode):
    """Angle from upright (rad, not wrapped) and angular velocity (rad/s)."""

    theta: jax.Array
    speed: jax.Array


class Pendulum(Task):
    """Swing a pendulum up and hold it.

    The observation is cos, sin of the angle from upright and the angular velocity (rad/s); the action is the torque as
    a share of `max_torque`. The reward is -(theta^2 + 0.1 speed^2 + 0.001 torque^2), theta wrapped, before the step.

    Source: Gymnasium's Pendulum-v1.
    """

    horizon: int = setting(200, "control steps until the time limit", low=1)
    gravity: float = setting(10.0, "gravity, m/s^2", low=0)
    mass: float = setting(1.0, "mass, kg", above=0)
    length: float = setting(1.0, "length, m", above=0)
    max_torque: float = setting(2.0, "torque at action 1, N m", above=0)
    max_speed: float = setting(8.0, "bound of the angular velocity, rad/s", above=0)
    step_seconds: float = setting(0.05, "control step, s", above=0)

    def validate(self) -> None:
        """Hanging, it must be able to swing."""
        frequency = np.sqrt(1.5 * np.divide(self.gravity, self.length))
        check_stable("step_seconds", self.step_seconds, frequency, self.step_seconds, SEMI_IMPLICIT_SWING)

    @property
    def observes(self) -> tuple[str, ...]:
        """Where it points, and how fast it turns."""
        return ("cosine of the angle from upright", "sine of the angle from upright", "angular velocity, rad/s")

    @property
    def acts(self) -> tuple[str, ...]:
        """One torque."""
        return ("torque, N m",)

    @property
    def action_high(self) -> jax.Array:
        """Torque in N m."""
        return jnp.full(1, self.max_torque)

    @property
    def mjcf(self) -> str:
        """A rod on a hinge."""
        return f"""
        <mujoco>
          <worldbody>
            <camera name="film" pos="0 {-4 * float(self.length)} 0" xyaxes="1 0 0 0 0 1"/>
            <body>
              <joint axis="0 1 0"/>
              <geom type="capsule" size="0.06" fromto="0 0 0 0 0 {float(self.length)}" rgba="0.8 0.3 0.3 1"/>
              <geom type="sphere" size="0.08" rgba="0.2 0.2 0.2 1"/>
            </body>
          </worldbody>
        </mujoco>
        """

    def qpos(self, physics: PendulumState) -> jax.Array:
        """(1,) the angle; turned over, because the picture's right is the hinge's left."""
        return -physics.theta[None]

    def start(self, key: Key) -> PendulumState:
        """Angle uniform in [-pi, pi], angular velocity uniform in [-1, 1]."""
        draw = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return PendulumState(theta=jnp.pi * draw[0], speed=draw[1])

    def disturb(self, physics: PendulumState, action: jax.Array, push: Push) -> tuple[PendulumState, jax.Array]:
        """Noise on the angular velocity, rad/s."""
        return physics.replace(speed=push(physics.speed)), action

    def advance(self, physics: PendulumState, action: jax.Array) -> tuple[PendulumState, jax.Array, jax.Array]:
        """One semi-implicit Euler step, as Gymnasium's."""
        theta, speed = physics.theta, physics.speed
        torque = self.max_torque * action[0]
        wrapped = jnp.mod(theta + jnp.pi, 2 * jnp.pi) - jnp.pi
        reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)

        gravity = 1.5 * self.gravity / self.length * jnp.sin(theta)
        acceleration = gravity + 3.0 / (self.mass * self.length**2) * torque
        speed = jnp.clip(speed + acceleration * self.step_seconds, -self.max_speed, self.max_speed)
        physics = PendulumState(theta=theta + speed * self.step_seconds, speed=speed)
        return physics, reward, jnp.zeros((), bool)

    def observe(self, physics: PendulumState) -> jax.Array:
        """cos, sin of the angle from upright, angular velocity."""
        return jnp.stack([jnp.cos(physics.theta), jnp.sin(physics.theta), physics.speed])
