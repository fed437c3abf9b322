"""A one-legged robot that hops, in MJX: Gymnasium's Hopper-v4 after its documentation."""

import jax
import jax.numpy as jnp

from envs import mechanics
from envs.base import Key, Push, Task
from envs.fields import setting
from envs.integrators import RUNGE_KUTTA_DECAY, check_stable
from envs.mechanics import Motion

SUBSTEPS = 4
SECONDS = 0.002

# Only the foot collides, and only with the floor. As long as the episode goes on (torso above 0.7 m and within 0.2 rad
# of upright) no pose of the joints brings another part down to the floor: the torso stays 0.45 m above it, the end of
# the thigh 0.5 mm, the shank 10 mm. Nor did Gymnasium's own scene, where all parts collide, show any other contact in
# 40 k steps of random play.
SCENE = """
<mujoco model="hopper">
  <compiler angle="degree" autolimits="true"/>
  <option timestep="{timestep}" integrator="{integrator}" iterations="{iterations}" ls_iterations="{line_search}"
    jacobian="sparse"/>
  <default>
    <joint armature="{armature}" damping="1"/>
    <geom type="capsule" contype="0" conaffinity="0" margin="0.001" solimp="0.8 0.8 0.01" friction="0.9"
      rgba="0.8 0.5 0.3 1"/>
  </default>
  <asset>
    <texture name="squares" type="2d" builtin="checker" rgb1="0.85 0.87 0.9" rgb2="0.75 0.78 0.82" width="64"
      height="64"/>
    <material name="squares" texture="squares" texrepeat="40 40"/>
  </asset>
  <worldbody>
    <light directional="true" pos="0 0 3" dir="0 0 -1"/>
    <geom name="floor" type="plane" size="20 20 1" conaffinity="1" friction="1" material="squares" rgba="1 1 1 1"/>
    <body name="torso" pos="0 0 1.25">
      <camera name="film" mode="trackcom" pos="0 -3 -0.1" xyaxes="1 0 0 0 0 1"/>
      <joint name="forward" type="slide" axis="1 0 0" armature="0" damping="0"/>
      <joint name="up" type="slide" axis="0 0 1" ref="1.25" armature="0" damping="0"/>
      <joint name="pitch" axis="0 1 0" armature="0" damping="0"/>
      <geom name="torso" size="0.05 0.2"/>
      <body name="thigh" pos="0 0 -0.2">
        <joint name="hip" axis="0 -1 0" range="-150 0"/>
        <geom name="thigh" fromto="0 0 0 0 0 -0.45" size="0.05"/>
        <body name="shank" pos="0 0 -0.45">
          <joint name="knee" axis="0 -1 0" range="-150 0"/>
          <geom name="shank" fromto="0 0 0 0 0 -0.5" size="0.04"/>
          <body name="foot" pos="0 0 -0.5">
            <joint name="ankle" axis="0 -1 0" range="-45 45"/>
            <geom name="foot" fromto="-0.13 0 0 0.26 0 0" size="0.06" contype="1" friction="2"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="hip"/>
    <motor joint="knee"/>
    <motor joint="ankle"/>
  </actuator>
</mujoco>
"""
FLOOR, FOOT = 0, 4  # geoms, in the order of the scene
ARMATURE = 1.0
"""Inertia that every joint has of its own, kg m^2: what is damped is at least as heavy."""
INTEGRATORS = {"rk4": "RK4", "euler": "Euler"}


class Hopper(Task):
    """Hop forward without falling.

    The action (3) is the torque at hip, knee and ankle as a share of `torque`. The observation (11) is the height and
    the pitch of the torso, the three joint angles, and the six velocities, these clipped to [-10, 10]. The reward is
    `forward_weight` times the mean forward speed over the step (m/s), plus `alive_reward`, minus `control_weight` times
    the sum of squared actions. The episode ends where the torso is not above `lowest`, is `steepest` or more from
    upright, or any number of the state but the position is 100 or more.

    `integrator="rk4"` is what Hopper-v4 uses; with `"euler"`, which is four times faster, it is Brax's hopper.

    Source: the documentation of Gymnasium's Hopper-v4, and the measures in its scene.
    """

    integrator: str = setting("rk4", "how MuJoCo integrates over its steps of 2 ms", choices=("rk4", "euler"))
    gravity: float = setting(9.81, "gravity, m/s^2", low=0)
    mass_scale: float = setting(1.0, "what all masses and inertias are multiplied by (in all 15.8 kg)", above=0)
    friction: float = setting(2.0, "sliding friction between foot and floor", above=0)
    damping: float = setting(1.0, "damping of the three joints, N m s/rad", low=0)
    torque: float = setting(200.0, "torque at action 1, N m", above=0)
    forward_weight: float = setting(1.0, "reward: weight of the forward speed, s/m")
    alive_reward: float = setting(1.0, "reward: for every step")
    control_weight: float = setting(1e-3, "reward: weight of the sum of squared actions")
    lowest: float = setting(0.7, "the episode ends where the torso is not above this, m")
    steepest: float = setting(0.2, "the episode ends at this angle from upright, rad", above=0)
    start_noise: float = setting(5e-3, "every position and velocity starts this far at most from standing still", low=0)

    def validate(self) -> None:
        """Joints that are damped must come to rest."""
        if self.integrator == "rk4":  # Euler's rule treats damping implicitly
            check_stable("damping", self.damping, self.damping / ARMATURE, SECONDS, RUNGE_KUTTA_DECAY)

    @property
    def observes(self) -> tuple[str, ...]:
        """Pose without the position along the floor, and motion."""
        joints = ("hip", "knee", "ankle")
        return (
            "height of the torso, m",
            "pitch of the torso, rad",
            *(f"angle of the {joint}, rad" for joint in joints),
            "forward speed, m/s",
            "upward speed, m/s",
            "pitch rate, rad/s",
            *(f"angular velocity of the {joint}, rad/s" for joint in joints),
        )

    @property
    def acts(self) -> tuple[str, ...]:
        """Three torques."""
        return tuple(f"torque at the {joint}, share of the largest" for joint in ("hip", "knee", "ankle"))

    @property
    def backend(self) -> str:
        """The physics behind the task, as Brax asks it."""
        return "mjx"

    @property
    def dt(self) -> float:
        """Seconds of a control step."""
        return SUBSTEPS * SECONDS

    @property
    def mjcf(self) -> str:
        """The scene. Four iterations as Brax's; what that and six line searches cost is in the tests: nothing."""
        return SCENE.format(
            timestep=SECONDS,
            armature=ARMATURE,
            integrator=INTEGRATORS[self.integrator],
            iterations=4,
            line_search=6,
        )

    def qpos(self, physics: Motion) -> jax.Array:
        """The joint positions in the scene, (6,)."""
        return physics.qpos

    def start(self, key: Key) -> Motion:
        """Standing, give or take `start_noise`."""
        low_or_high = jax.random.uniform(key, (2, 6), minval=-1.0, maxval=1.0)
        qpos, qvel = self.start_noise * low_or_high
        return mechanics.at(qpos.at[1].add(1.25), qvel)

    def disturb(self, physics: Motion, action: jax.Array, push: Push) -> tuple[Motion, jax.Array]:
        """Noise on all velocities (m/s, rad/s)."""
        return physics.replace(qvel=push(physics.qvel)), action

    def advance(self, physics: Motion, action: jax.Array) -> tuple[Motion, jax.Array, jax.Array]:
        """Four steps of 2 ms."""
        after = mechanics.advance(self.model, physics, self.torque * action, SUBSTEPS)
        forward = (after.qpos[0] - physics.qpos[0]) / jnp.float32(self.dt)
        reward = self.forward_weight * forward + self.alive_reward - self.control_weight * jnp.sum(action**2)
        return after, reward, self.ends(after)

    def observe(self, physics: Motion) -> jax.Array:
        """Height, pitch, joints; velocities."""
        return jnp.concatenate([physics.qpos[1:], jnp.clip(physics.qvel, -10, 10)])

    @property
    def model(self) -> mechanics.Model:
        """The scene with the fields in it."""
        model = mechanics.load(self.mjcf)
        friction = jnp.asarray(self.friction, jnp.float32)
        return mechanics.put(
            model,
            {
                **mechanics.weights(model, self.gravity, self.mass_scale),
                "dof_damping": model.dof_damping.at[3:].set(self.damping),
                "geom_friction": model.geom_friction.at[jnp.array([FLOOR, FOOT]), 0].set(friction),  # the larger counts
            },
        )

    def ends(self, physics: Motion) -> jax.Array:
        """Whether a state ends the episode: too low, too steep, or beyond all bounds."""
        height, pitch = physics.qpos[1], physics.qpos[2]
        bounded = jnp.all(jnp.abs(jnp.append(physics.qpos[2:], physics.qvel)) < 100)
        return ~(bounded & (height > self.lowest) & (jnp.abs(pitch) < self.steepest))
