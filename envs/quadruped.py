"""A small walking robot with eight servos (the size of a Petoi Bittle) in MJX.

Measures, masses, control and reward are those of the environment published with the paper; the scene is ours, and so is
the contact model, which is MuJoCo's.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs import mechanics
from envs.base import Key, Push, Task
from envs.fields import setting
from envs.integrators import SEMI_IMPLICIT_SWING, check_stable
from envs.mechanics import Motion
from envs.rigid_body import angles

SUBSTEPS = 3
SECONDS = 1 / 240
ARMATURE = 1e-4
"""Inertia that every joint has of its own, kg m^2: what a servo turns is at least as heavy."""
SAMPLES = 30
START = np.tile(np.array([50, 0], np.float32), 4)
SENSED = 6
"""Numbers in an observation before the targets."""
JOINTS = (
    *("shoulder left", "elbow left", "shoulder right", "elbow right"),
    *("hip right", "knee right", "hip left", "knee left"),
)

# Eight solver iterations with as many line searches give what C MuJoCo's hundred with fifty give, to 32 bits; four with
# six left joints up to 0.5 degrees off, twenty with thirty took four times as long.
# What collides, and only with the floor: the paws (spheres instead of short cylinders: one contact each), the elbows
# and knees (spheres of the limbs' radius: they are the lowest points of upper and lower limbs where the paw is not),
# the corners of the torso (spheres of half its thickness) and the battery below it (a capsule). Limbs do not collide
# with each other, nor did they where this was published. Of these 14 contacts the 8 deepest count; upright robots never
# have more.
# The Jacobian is sparse because then the mass matrix is factored by plain arithmetic. With a dense one, two batched
# calls of LAPACK may run at once, and on two cores each waits for the other's thread: jaxlib 0.10.2 never returns.
LEG = """
      <body name="upper {name}" pos="{x} {y} 0">
        <joint name="{upper}" range="-1.57 {limit}"/>
        <geom class="limb" mass="0.005" fromto="0 0 0 0 0 -0.045" size="0.003"/>
        <body name="lower {name}" pos="0 {inward} -0.045">
          <joint name="{lower}" range="-1.57 1.57"/>
          <geom class="limb" mass="0.017" fromto="0 0 0 0.05 0 0" size="0.003"/>
          <geom class="limb" mass="0.0005" fromto="0.05 -0.0025 0 0.05 0.0025 0" size="0.006" rgba="0.9 0.5 0.1 1"/>
          <geom class="touching" name="{lower}" size="0.003"/>
          <geom class="touching" name="paw {name}" size="0.006" pos="0.05 0 0" friction="1"/>
        </body>
      </body>"""
SCENE = """
<mujoco model="quadruped">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{timestep}" integrator="implicitfast" iterations="8" ls_iterations="8" jacobian="sparse"/>
  <custom>
    <numeric name="max_contact_points" data="8"/>
  </custom>
  <default>
    <joint axis="0 1 0" armature="{armature}"/>
    <geom contype="0" conaffinity="0" rgba="0.3 0.3 0.35 1"/>
    <position kp="3" kv="0.125"/>
    <default class="limb">
      <geom type="cylinder"/>
    </default>
    <default class="touching">
      <geom type="sphere" mass="0" contype="1" friction="0.5" rgba="0 0 0 0"/>
    </default>
  </default>
  <asset>
    <texture name="squares" type="2d" builtin="checker" rgb1="0.85 0.87 0.9" rgb2="0.75 0.78 0.82" width="64"
      height="64"/>
    <material name="squares" texture="squares" texrepeat="50 50"/>
  </asset>
  <worldbody>
    <light directional="true" pos="0 0 1" dir="0 0 -1" diffuse="0.15 0.15 0.15"/>
    <geom name="floor" type="plane" size="5 5 1" conaffinity="1" friction="0" material="squares" rgba="1 1 1 1"/>
    <body name="torso" pos="0 0 0.08">
      <freejoint/>
      <camera name="film" mode="trackcom" pos="0.1 -0.4 0.15" xyaxes="1 0.25 0 -0.09 0.36 1"/>
      <geom name="torso" type="box" mass="0.111" size="0.0525 0.04 0.01"/>
      <geom name="battery" type="box" mass="0.068" size="0.045 0.02 0.0075" pos="0 0 -0.015" rgba="0.2 0.4 0.8 1"/>
      <geom class="touching" type="capsule" fromto="-0.0375 0 -0.015 0.0375 0 -0.015" size="0.0075"/>
      <geom class="touching" size="0.01" pos="0.0425 0.03 0"/>
      <geom class="touching" size="0.01" pos="0.0425 -0.03 0"/>
      <geom class="touching" size="0.01" pos="-0.0425 0.03 0"/>
      <geom class="touching" size="0.01" pos="-0.0425 -0.03 0"/>{legs}
    </body>
  </worldbody>
  <actuator>{servos}
  </actuator>
</mujoco>
"""


class QuadrupedState(flax.struct.PyTreeNode):
    """The robot and what was asked of it; angles are in degrees, in the order of `JOINTS`.

    Attributes:
      motion: of the torso (7 positions, 6 velocities) and the joints.
      commanded: (2, 8) the last two vectors of servo targets, the older one first.
      history: (30, 8) every second vector of servo targets, the oldest first; int8: they are whole.
      steps: control steps since the reset.
      contacts: how often a front limb touched the floor since the reset.
    """

    motion: Motion
    commanded: jax.Array
    history: jax.Array
    steps: jax.Array
    contacts: jax.Array


class Quadruped(Task):
    """Walk forward on four legs, by small changes of the joints' angles.

    The action (8) turns each servo's target away from the joint's angle by up to `turn`; targets are whole degrees.
    The observation (246) is the torso's orientation, a tenth of its roll and pitch rates clipped to [-1, 1], and every
    second of the last 60 vectors of targets as shares of `reach`, the oldest first; they are there before the first
    step, too, as those of the start. The reward is `forward_weight` times the way forward in this step (m), minus
    `penalty` times the sum of: the squares of first and second differences of the targets (shares of `reach`);
    `rate_weight` times the squares of the observed rates; `contact_weight` times how often elbows have touched the
    floor since the start, counted once a step. The episode ends where roll or pitch is beyond `steepest`; that step
    earns nothing.

    With `target_from="measured"`, as published, targets start from where the joints are; a leg that gives way under a
    load stays there. With `"commanded"` they start from the last targets.

    Source: facts of the environment published with arXiv 2506.05615. The rates are a gyroscope's, in the torso's axes.
    """

    horizon: int = setting(251, "control steps until the time limit", low=1)
    target_from: str = setting(
        "measured", "what an action turns a target away from: angle or last target", choices=("measured", "commanded")
    )
    turn: float = setting(11.0, "a target is this far from where it starts from at action 1, degrees", above=0)
    reach: float = setting(110.0, "bound of the targets, degrees; whole ones fit into a byte", above=0, high=127)
    servo_torque: float = setting(0.2, "largest torque of a servo, N m", above=0)
    servo_stiffness: float = setting(3.0, "torque of a servo for being off its target, N m/rad", above=0)
    servo_rate: float = setting(
        24.0, "speed at which an unloaded servo returns, for being off its target, 1/s", above=0
    )
    gravity: float = setting(9.81, "gravity, m/s^2", low=0)
    mass_scale: float = setting(1.0, "what all masses and inertias are multiplied by (in all 0.269 kg)", above=0)
    paw_friction: float = setting(1.0, "sliding friction of the paws on the floor", above=0)
    body_friction: float = setting(0.5, "sliding friction of all else on the floor", above=0)
    forward_weight: float = setting(1000.0, "reward: weight of the way forward, 1/m")
    penalty: float = setting(0.025, "reward: weight of all that is subtracted")
    rate_weight: float = setting(0.1, "reward: weight of the squared observed rates in the penalty")
    contact_weight: float = setting(0.01, "reward: weight of the running count of contacts in the penalty")
    steepest: float = setting(1.3, "the episode ends at this roll or pitch, rad", above=0)

    def validate(self) -> None:
        """Servos must find their targets; their damping, which is treated implicitly, helps."""
        undamped = np.maximum(1 - 2 / np.multiply(self.servo_rate, SECONDS), 0)
        frequency = np.sqrt(np.multiply(self.servo_stiffness, undamped) / ARMATURE)
        check_stable("servo_stiffness", self.servo_stiffness, frequency, SECONDS, SEMI_IMPLICIT_SWING)

    @property
    def observes(self) -> tuple[str, ...]:
        """Orientation, rates, targets."""
        return (
            *(f"{part} of the torso's quaternion" for part in "xyzw"),
            "roll rate, 10 rad/s",
            "pitch rate, 10 rad/s",
            *(f"target of {joint}, sample {number}" for number in range(1, SAMPLES + 1) for joint in JOINTS),
        )

    @property
    def acts(self) -> tuple[str, ...]:
        """One turn for each joint."""
        return tuple(f"turn of {joint}, share of the largest" for joint in JOINTS)

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
        """The scene."""
        return scene()

    def qpos(self, physics: QuadrupedState) -> jax.Array:
        """The joint positions in the scene, (15,)."""
        return physics.motion.qpos

    def start(self, key: Key) -> QuadrupedState:
        """Level, 6 mm above where it will stand; the same every time."""
        del key
        torso = jnp.array([0, 0, 0.08, 1, 0, 0, 0])
        return QuadrupedState(
            motion=mechanics.at(jnp.concatenate([torso, jnp.deg2rad(START)]), jnp.zeros(14)),
            commanded=jnp.tile(START, (2, 1)),
            history=jnp.tile(START.astype(np.int8), (SAMPLES, 1)),
            steps=jnp.zeros((), jnp.int32),
            contacts=jnp.zeros((), jnp.int32),
        )

    def disturb(self, physics: QuadrupedState, action: jax.Array, push: Push) -> tuple[QuadrupedState, jax.Array]:
        """Noise on all velocities (m/s, rad/s)."""
        return physics.replace(motion=physics.motion.replace(qvel=push(physics.motion.qvel))), action

    def advance(self, physics: QuadrupedState, action: jax.Array) -> tuple[QuadrupedState, jax.Array, jax.Array]:
        """Three steps of 1/240 s; the new targets are set after the first."""
        before, last = physics.commanded
        target = self.targets(physics, action)
        motion, model = physics.motion, self.model

        def substep(motion: Motion, target: jax.Array) -> tuple[Motion, None]:
            return mechanics.advance(model, motion, self.servo(motion, target), 1), None

        motion, _ = jax.lax.scan(substep, motion, jnp.stack([last, target, target]))
        longer = jnp.append(physics.history, target[None].astype(jnp.int8), 0)
        history = jnp.where(physics.steps % 2 == 0, longer[1:], longer[:-1])
        after = QuadrupedState(
            motion=motion,
            commanded=jnp.stack([last, target]),
            history=history,
            steps=physics.steps + 1,
            contacts=physics.contacts + self.front_contacts(motion),
        )
        jerks = jnp.sum((target - last) ** 2 + (target - 2 * last + before) ** 2) / self.reach**2
        rates = self.rate_weight * jnp.sum(self._rates(motion) ** 2)
        penalty = jerks + rates + self.contact_weight * after.contacts
        forward = motion.qpos[0] - physics.motion.qpos[0]
        fallen = self.fallen(motion)
        return after, jnp.where(fallen, 0.0, self.forward_weight * forward - self.penalty * penalty), fallen

    def observe(self, physics: QuadrupedState) -> jax.Array:
        """Quaternion x, y, z, w; rates; targets."""
        quaternion = jnp.roll(physics.motion.qpos[3:7], -1)
        return jnp.concatenate([quaternion, self._rates(physics.motion), self._shares(physics.history.ravel())])

    def store(self, obs: jax.Array) -> Any:
        """The targets as whole degrees, a byte each, where no noise is on them."""
        if self.observation_noise is not None:
            return obs
        sensed, shares, time = jnp.split(obs, (SENSED, SENSED + SAMPLES * len(JOINTS)))
        return sensed, jnp.round(shares * self.reach).astype(jnp.int8), time

    def restore(self, stored: Any) -> jax.Array:
        """The same shares as `observe` makes of the same degrees."""
        if self.observation_noise is not None:
            return stored
        sensed, degrees, time = stored
        return jnp.concatenate([sensed, self._shares(degrees), time])

    def _shares(self, degrees: jax.Array) -> jax.Array:
        # times a reciprocal: XLA divides a vector by a number in one program and does this in the next, to other bits
        return degrees.astype(jnp.float32) * (1.0 / jnp.asarray(self.reach, jnp.float32))

    def targets(self, physics: QuadrupedState, action: jax.Array) -> jax.Array:
        """(8,) whole degrees that an action (8,) asks of the servos."""
        start = jnp.rad2deg(physics.motion.qpos[7:]) if self.target_from == "measured" else physics.commanded[1]
        return jnp.round(jnp.clip(start + self.turn * action, -self.reach, self.reach))

    def servo(self, motion: Motion, target: jax.Array) -> jax.Array:
        """The nearest targets (8,) in rad that ask for no more than `servo_torque`, from those wanted (8,) in degrees.

        A servo's torque is stiffness * (target - angle - speed / rate). MuJoCo can bound it, too, but its C code then
        treats the speed in another way than MJX does.
        """
        balance = motion.qpos[7:] + motion.qvel[6:] / self.servo_rate
        slack = self.servo_torque / self.servo_stiffness
        return jnp.clip(jnp.deg2rad(target), balance - slack, balance + slack)

    @property
    def model(self) -> mechanics.Model:
        """The scene with the fields in it."""
        model, names = mechanics.load(self.mjcf), geoms()
        stiffness, damping = self.servo_stiffness, self.servo_stiffness / self.servo_rate
        paws, floor = (
            np.array([name.startswith("paw") for name in names]),
            np.array([name == "floor" for name in names]),
        )
        # the larger one of two counts, so the floor has none
        sliding = jnp.where(floor, 0.0, jnp.where(paws, self.paw_friction, self.body_friction))
        return mechanics.put(
            model,
            {
                **mechanics.weights(model, self.gravity, self.mass_scale),
                "geom_friction": model.geom_friction.at[:, 0].set(sliding.astype(jnp.float32)),
                "actuator_gainprm": model.actuator_gainprm.at[:, 0].set(stiffness),
                "actuator_biasprm": model.actuator_biasprm.at[:, 1].set(-stiffness).at[:, 2].set(-damping),
            },
        )

    def front_contacts(self, motion: Motion) -> jax.Array:
        """How many of the two front limbs touch the floor with something else than the paw."""
        geom, touches = mechanics.touching(self.model, motion)
        elbows = jnp.array([geoms().index(name) for name in ("elbow left", "elbow right")])
        return jnp.sum(touches & jnp.isin(geom, elbows).any(axis=1), dtype=jnp.int32)

    def fallen(self, motion: Motion) -> jax.Array:
        """Whether roll or pitch is beyond `steepest`."""
        return jnp.any(jnp.abs(angles(motion.qpos[3:7])[:2]) > self.steepest)

    def _rates(self, motion: Motion) -> jax.Array:
        return jnp.clip(0.1 * motion.qvel[3:5], -1, 1)


@functools.cache
def scene() -> str:
    """The MJCF of robot and floor."""
    front, back = ("shoulder", "elbow", 0.055, 1.57), ("hip", "knee", -0.055, 2.0)
    legs = ""
    for name, (upper, lower, x, limit), side in (
        ("front left", front, 1),
        ("front right", front, -1),
        ("back right", back, -1),
        ("back left", back, 1),
    ):
        word = name.split()[1]
        places = {"x": x, "y": side * 0.05, "inward": -side * 0.015, "limit": limit}
        legs += LEG.format(name=name, upper=f"{upper} {word}", lower=f"{lower} {word}", **places)
    servos = "".join(f'\n    <position joint="{joint}"/>' for joint in JOINTS)
    return SCENE.format(timestep=SECONDS, armature=ARMATURE, legs=legs, servos=servos)


@functools.cache
def geoms() -> list[str]:
    """The names of the scene's geoms in MuJoCo's order; an empty string where one has none."""
    model: Any = mujoco.MjModel.from_xml_string(scene())  # pyright: ignore[reportAttributeAccessIssue] - a C type
    return [model.geom(index).name for index in range(model.ngeom)]
