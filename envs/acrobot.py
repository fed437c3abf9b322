"""Two links that hang from each other, to be held upright by a motor in the elbow."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key, Push, Task
from envs.fields import setting
from envs.integrators import RUNGE_KUTTA_SWING, Motion, check_stable, runge_kutta, wrap


class AcrobotState(flax.struct.PyTreeNode):
    """How the links are bent and how fast they turn.

    Attributes:
      angles: (2,) link 1 from the horizontal, counter-clockwise, and link 2 from link 1, both in [-pi, pi] (rad).
      speeds: (2,) their derivatives (rad/s).
    """

    angles: jax.Array
    speeds: jax.Array


class Acrobot(Task):
    """Bring a two-link arm upright and hold it there with a motor in the elbow alone.

    The action is the torque on the elbow as a share of `max_torque`, held over the control step. The observation (6)
    is cosine and sine of each angle and both speeds. The reward, after the step, is
    -[angle_weight ((theta1 - pi/2)^2 + theta2^2) + speed_weight (dtheta1^2 + dtheta2^2)], the angles wrapped to
    [-pi, pi]. Link 1 starts within 45 degrees of upright, the rest nearly at rest. Nothing ends the episode but the
    time limit.

    A control step is `substeps` steps of the classical Runge-Kutta rule: one as published, which is coarse where the
    links turn fast. After each control step the speeds are cut to their bounds; a bound of 1e9 lifts it.

    Source: facts of the environment published with arXiv 2506.05615.
    """

    horizon: int = setting(400, "control steps until the time limit", low=1)
    substeps: int = setting(1, "integration steps per control step", low=1, high=1000, static=True)
    step_seconds: float = setting(0.2, "control step, s", above=0)
    max_torque: float = setting(20.0, "torque at action 1, N m", above=0)
    mass_1: float = setting(1.0, "mass of link 1, kg", above=0)
    mass_2: float = setting(1.0, "mass of link 2, kg", above=0)
    length_1: float = setting(1.0, "length of link 1, m (that of link 2 has no effect)", above=0)
    centre_1: float = setting(0.5, "distance from the shoulder to the centre of mass of link 1, m", low=0)
    centre_2: float = setting(0.5, "distance from the elbow to the centre of mass of link 2, m", low=0)
    inertia_1: float = setting(1.0, "moment of inertia of link 1 about its centre of mass, kg m^2", above=0)
    inertia_2: float = setting(1.0, "moment of inertia of link 2 about its centre of mass, kg m^2", above=0)
    gravity: float = setting(9.8, "gravity, m/s^2", low=0)
    max_speed_1: float = setting(4 * np.pi, "bound of the speed of link 1, rad/s", above=0)
    max_speed_2: float = setting(9 * np.pi, "bound of the speed of link 2 against link 1, rad/s", above=0)
    start_spread: float = setting(np.pi / 4, "link 1 starts uniformly this far from upright, rad", low=0)
    start_noise: float = setting(0.1, "the other angle and both speeds start uniformly within this, rad, rad/s", low=0)
    angle_weight: float = setting(1.0, "reward: weight of the squared angles, 1/rad^2")
    speed_weight: float = setting(0.1, "reward: weight of the squared speeds, s^2/rad^2")

    def validate(self) -> None:
        """Hanging, it must be able to swing."""
        seconds = np.divide(self.step_seconds, self.substeps)
        check_stable("step_seconds", self.step_seconds, self.swing_frequency, seconds, RUNGE_KUTTA_SWING)

    @property
    def swing_frequency(self) -> np.ndarray:
        """Of the faster of the two small oscillations while both links hang, rad/s."""
        arm, forearm, upper = (np.asarray(part, np.float64) for part in self._inertias)
        whole, coupled = upper + forearm + 2 * arm, forearm + arm
        weight_1, weight_2 = (np.asarray(part, np.float64) for part in self._weights)
        # inertia @ acceleration = -weight @ angles: the squares are the eigenvalues of inertia^-1 @ weight
        determinant = whole * forearm - coupled**2
        product = weight_1 * weight_2 / determinant
        half_sum = 0.5 * (forearm * weight_1 + (whole + forearm - 2 * coupled) * weight_2) / determinant
        return np.sqrt(half_sum + np.sqrt(np.maximum(half_sum**2 - product, 0.0)))

    @property
    def observes(self) -> tuple[str, ...]:
        """Where the links point, and how fast they turn."""
        return (
            "cosine of link 1's angle from the horizontal",
            "sine of link 1's angle from the horizontal",
            "cosine of link 2's angle from link 1",
            "sine of link 2's angle from link 1",
            "speed of link 1, rad/s",
            "speed of link 2 against link 1, rad/s",
        )

    @property
    def acts(self) -> tuple[str, ...]:
        """One torque."""
        return ("torque on the elbow, N m",)

    @property
    def action_high(self) -> jax.Array:
        """Torque in N m."""
        return jnp.full(1, self.max_torque)

    @property
    def mjcf(self) -> str:
        """Two rods, the elbow in black; the second is drawn as long as the first."""
        length = float(self.length_1)
        return f"""
        <mujoco>
          <worldbody>
            <camera name="film" pos="0 {-6 * length} 0" xyaxes="1 0 0 0 0 1"/>
            <body>
              <joint axis="0 -1 0"/>
              <geom type="capsule" size="0.06" fromto="0 0 0 {length} 0 0" rgba="0.2 0.4 0.8 1"/>
              <geom size="0.08" rgba="0.5 0.5 0.5 1"/>
              <body pos="{length} 0 0">
                <joint axis="0 -1 0"/>
                <geom type="capsule" size="0.06" fromto="0 0 0 {length} 0 0" rgba="0.8 0.3 0.3 1"/>
                <geom size="0.08" rgba="0.1 0.1 0.1 1"/>
              </body>
            </body>
          </worldbody>
        </mujoco>
        """

    def qpos(self, physics: AcrobotState) -> jax.Array:
        """(2,) the angles."""
        return physics.angles

    def start(self, key: Key) -> AcrobotState:
        """Link 1 near upright, link 2 nearly in line with it, both nearly at rest."""
        draw = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
        spread = jnp.stack([self.start_spread, self.start_noise, self.start_noise, self.start_noise])
        motion = spread * draw + jnp.array([np.pi / 2, 0.0, 0.0, 0.0], jnp.float32)
        return AcrobotState(angles=motion[:2], speeds=motion[2:])

    def disturb(self, physics: AcrobotState, action: jax.Array, push: Push) -> tuple[AcrobotState, jax.Array]:
        """Noise on both speeds, rad/s."""
        return physics.replace(speeds=push(physics.speeds)), action

    def advance(self, physics: AcrobotState, action: jax.Array) -> tuple[AcrobotState, jax.Array, jax.Array]:
        """Integrate under the held torque, then bound the speeds."""
        torque = self.max_torque * action[0]
        seconds = jnp.asarray(self.step_seconds / self.substeps, jnp.float32)
        move = lambda _, motion: runge_kutta(lambda m: self.slope(m, torque), motion, seconds, unroll=True)  # noqa: E731
        # Four scalars and not a vector: thousands of arms are then four arrays whose neighbours in memory are computed
        # together.
        motion = jnp.stack(jax.lax.fori_loop(0, self.substeps, move, (*physics.angles, *physics.speeds)))
        bound = jnp.stack([self.max_speed_1, self.max_speed_2])
        after = AcrobotState(angles=wrap(motion[:2]), speeds=jnp.clip(motion[2:], -bound, bound))
        upright = wrap(after.angles - jnp.array([np.pi / 2, 0.0], jnp.float32))
        reward = -self.angle_weight * (upright @ upright) - self.speed_weight * (after.speeds @ after.speeds)
        return after, reward, jnp.zeros((), bool)

    def observe(self, physics: AcrobotState) -> jax.Array:
        """Cosine and sine of each angle, both speeds."""
        cosines, sines = jnp.cos(physics.angles), jnp.sin(physics.angles)
        return jnp.concatenate([jnp.stack([cosines, sines], axis=1).ravel(), physics.speeds])

    def slope(self, motion: Motion, torque: jax.Array) -> Motion:
        """The time derivatives of two angles and two speeds: mass matrix times acceleration equals the torques."""
        first, second, speed_1, speed_2 = motion
        arm, forearm, upper = self._inertias
        coupled = forearm + arm * jnp.cos(second)
        whole = upper + forearm + 2 * arm * jnp.cos(second)

        weight_1, weight_2 = self._weights
        weight_1, weight_2 = weight_1 * jnp.cos(first), weight_2 * jnp.cos(first + second)
        swing = arm * jnp.sin(second)
        shoulder = swing * (2 * speed_1 + speed_2) * speed_2 - weight_1 - weight_2
        elbow = torque - swing * speed_1**2 - weight_2

        determinant = whole * forearm - coupled**2
        acceleration_1 = (forearm * shoulder - coupled * elbow) / determinant
        acceleration_2 = (whole * elbow - coupled * shoulder) / determinant
        return speed_1, speed_2, acceleration_1, acceleration_2

    @property
    def _inertias(self) -> tuple[Any, Any, Any]:
        """What couples the links at right angles, link 2 about the elbow, link 1 with link 2's mass at its end."""
        arm = self.mass_2 * self.length_1 * self.centre_2
        forearm = self.inertia_2 + self.mass_2 * self.centre_2**2
        return arm, forearm, self.inertia_1 + self.mass_1 * self.centre_1**2 + self.mass_2 * self.length_1**2

    @property
    def _weights(self) -> tuple[Any, Any]:
        """The largest torques of gravity: on the shoulder without link 2's turning, and on the elbow (N m)."""
        first = self.mass_1 * self.centre_1 + self.mass_2 * self.length_1
        return self.gravity * first, self.gravity * self.mass_2 * self.centre_2
