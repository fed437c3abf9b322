"""A car that slides: dynamic bicycle with lateral slip, as a planar MJX body, following a point around a circle.

The constants are those of the environment published with the paper, the integrator is not: after 20 s its Euler steps
are about a metre from where the equations lead, ours a millimetre, rarely a centimetre
(`benchmarks.vehicle_convergence`).
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from envs.base import Key, Push, Task
from envs.fields import setting
from envs.integrators import MIDPOINT_DECAY, RUNGE_KUTTA_DECAY, Scheme, Slope, check_stable, runge_kutta, wrap
from envs.rigid_body import forward_dynamics

# Below this forward speed (m/s) the slip angles are those at this speed: they divide by it.
SLOWEST = 1e-3

# The body slides and turns in the plane.
JOINTS = '<joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint type="hinge" axis="0 0 1"/>'


class VehicleState(flax.struct.PyTreeNode):
    """Where the car and its target are.

    Attributes:
      pose: (3,) x, y of the centre of mass (m) and yaw (rad, in [-pi, pi]).
      velocity: (3,) forward and leftward speed of the centre of mass in the car's axes (m/s) and yaw rate (rad/s).
      target_arc: how far along the path the target is (m).
      steps: control steps since the reset, the target's clock.
    """

    pose: jax.Array
    velocity: jax.Array
    target_arc: jax.Array
    steps: jax.Array


class Vehicle(Task):
    """Follow a point that runs clockwise around a circle, in a car that has (almost) no grip.

    The action is throttle and steering, each in [-1, 1]. The observation (6) is the target minus the car's front point
    (m, world axes), yaw in [-pi, pi] (rad), forward and leftward speed (m/s) and yaw rate (rad/s). The reward is
    -path_weight |x^2 + y^2 - path_radius^2| - distance_weight (distance from the centre of mass to the target), both
    after the step. Nothing is random and nothing ends the episode but the time limit.

    Source: facts of the environment published with arXiv 2506.05615.
    """

    horizon: int = setting(200, "control steps until the time limit", low=1)
    timeout_is_termination: bool = setting(True, "treat the time limit as a termination: no bootstrap there")
    tyres: str = setting(
        "published", "stiffness as published (a car on ice) or 1000 times that", choices=("published", "road")
    )
    mass: float = setting(1500.0, "mass, kg", above=0)
    yaw_inertia: float = setting(2250.0, "moment of inertia about the vertical, kg m^2", above=0)
    wheelbase: float = setting(2.9, "distance between the axles, m", above=0)
    front_share: float = setting(0.5, "distance from the front axle to the centre of mass, wheelbases", low=0, high=1)
    stiffness_front: float = setting(32.0, "cornering stiffness in front, N/rad (road tyres: times 1000)", low=0)
    stiffness_rear: float = setting(34.0, "cornering stiffness at the rear, N/rad (road tyres: times 1000)", low=0)
    aero_drag: float = setting(1.36, "aerodynamic drag at 1 m/s, N s^2/m^2", low=0)
    rolling_drag: float = setting(0.01, "rolling drag at 1 m/s, N s/m", low=0)
    max_throttle: float = setting(1.0, "acceleration by the engine at action 1, m/s^2", above=0)
    max_steering: float = setting(1.0, "steering angle at action 1, rad", above=0)
    max_speed: float = setting(30.0, "bound of the forward and of the leftward speed, m/s", above=0)
    step_seconds: float = setting(0.1, "control step, s", above=0)
    start_arc: float = setting(9.0, "where on the path the car starts, m", low=0)
    start_forward: float = setting(3.0, "forward speed at the start, m/s")
    start_leftward: float = setting(0.0, "leftward speed at the start, m/s")
    start_yaw_rate: float = setting(-1.0, "yaw rate at the start, rad/s")
    path_radius: float = setting(10.0, "radius of the circle, m", above=0)
    target_arc: float = setting(13.0, "where on the path the target starts, m", low=0)
    target_speed: float = setting(1.0, "speed of the target at the start, m/s", low=0)
    target_acceleration: float = setting(0.1, "acceleration of the target, m/s^2", low=0)
    target_max_speed: float = setting(6.0, "highest speed of the target, m/s", low=0)
    target_steps: int = setting(109, "control steps after which the target stands still", low=0)
    look_ahead: float = setting(2.9, "distance from the centre of mass to the front point that is observed, m")
    path_weight: float = setting(0.3, "reward: weight of |x^2 + y^2 - path_radius^2|, 1/m^2")
    distance_weight: float = setting(1.0, "reward: weight of the distance to the target, 1/m")

    def validate(self) -> None:
        """Straight ahead at the highest speed, where the tyres' forces decay most slowly, sliding must decay."""
        scheme, substeps = self.integration
        seconds = np.divide(self.step_seconds, substeps)
        longest = 2 * MIDPOINT_DECAY if scheme is split_midpoint else RUNGE_KUTTA_DECAY
        check_stable("step_seconds", self.step_seconds, self.slide_rate, seconds, longest)

    @property
    def slide_rate(self) -> np.ndarray:
        """Mean of the two rates at which slip and yaw decay straight ahead at `max_speed`, 1/s: one is as fast."""
        front, rear = (self.grip * np.asarray(stiffness) for stiffness in (self.stiffness_front, self.stiffness_rear))
        ahead, behind = self.axles
        slip, turn = (front + rear) / self.mass, (front * ahead**2 + rear * behind**2) / self.yaw_inertia
        return 0.5 * (slip + turn) / self.max_speed

    @property
    def axles(self) -> tuple[Any, Any]:
        """How far the front axle is ahead of the centre of mass, and the rear one behind it, m."""
        ahead = self.front_share * self.wheelbase
        return ahead, self.wheelbase - ahead

    @property
    def grip(self) -> float:
        """What the stiffness of the tyres is multiplied by."""
        return 1000.0 if self.tyres == "road" else 1.0

    @property
    def observes(self) -> tuple[str, ...]:
        """The target as the driver would look for it, and the car's own motion."""
        return (
            "x of the target from the car's front point, m",
            "y of the target from the car's front point, m",
            "yaw in [-pi, pi], rad",
            "forward speed, m/s",
            "leftward speed, m/s",
            "yaw rate, rad/s",
        )

    @property
    def acts(self) -> tuple[str, ...]:
        """Throttle and steering."""
        return ("acceleration by the engine, m/s^2", "steering angle, rad")

    @property
    def backend(self) -> str:
        """The physics behind the task, as Brax asks it."""
        return "mjx"

    @property
    def action_high(self) -> jax.Array:
        """Throttle in m/s^2, steering in rad."""
        return jnp.stack([jnp.float32(self.max_throttle), jnp.float32(self.max_steering)])

    @property
    def mjcf(self) -> str:
        """The circle, the car with its front in black, and the target as a red ball."""
        radius, half = float(self.path_radius), 0.5 * float(self.wheelbase)
        return f"""
        <mujoco>
          <worldbody>
            <camera name="film" pos="0 {-2.6 * radius} {2.6 * radius}" xyaxes="1 0 0 0 0.71 0.71"/>
            <geom type="plane" size="100 100 1" pos="0 0 -0.1" rgba="0.85 0.9 0.85 1"/>
            <geom type="cylinder" size="{radius + 0.4} 0.01" rgba="0.5 0.5 0.5 1"/>
            <geom type="cylinder" size="{radius - 0.4} 0.02" rgba="0.85 0.9 0.85 1"/>
            <body pos="0 0 0.6">
              <joint type="slide" axis="1 0 0"/>
              <joint type="slide" axis="0 1 0"/>
              <joint type="hinge" axis="0 0 1"/>
              <geom type="box" size="{half + 0.6} 0.9 0.5" rgba="0.2 0.4 0.8 1"/>
              <geom type="box" size="0.4 0.8 0.5" pos="{half} 0 0.1" rgba="0.1 0.1 0.1 1"/>
            </body>
            <body pos="0 0 0.6">
              <joint type="slide" axis="1 0 0"/>
              <joint type="slide" axis="0 1 0"/>
              <geom size="0.6" rgba="0.9 0.2 0.2 1"/>
            </body>
          </worldbody>
        </mujoco>
        """

    def qpos(self, physics: VehicleState) -> jax.Array:
        """(5,) the car's pose and the target's position."""
        return jnp.append(physics.pose, self._target(physics))

    def start(self, key: Key) -> VehicleState:
        """On the path, along it, spinning; the same every time."""
        del key
        position, direction = path(self.start_arc, self.path_radius)
        yaw = jnp.arctan2(direction[1], direction[0])
        return VehicleState(
            pose=jnp.append(position, yaw),
            velocity=jnp.stack([self.start_forward, self.start_leftward, self.start_yaw_rate]).astype(jnp.float32),
            target_arc=jnp.asarray(self.target_arc, jnp.float32),
            steps=jnp.zeros((), jnp.int32),
        )

    def disturb(self, physics: VehicleState, action: jax.Array, push: Push) -> tuple[VehicleState, jax.Array]:
        """Noise on forward speed, leftward speed (m/s) and yaw rate (rad/s)."""
        return physics.replace(velocity=push(physics.velocity)), action

    def advance(self, physics: VehicleState, action: jax.Array) -> tuple[VehicleState, jax.Array, jax.Array]:
        """Drive for one control step while the target moves on."""
        car = physics
        shift, velocity = self.drive(car.velocity, action * self.action_high)
        yaw = car.pose[2] + shift[2]
        speed = jnp.minimum(
            self.target_max_speed, self.target_speed + self.target_acceleration * self.step_seconds * car.steps
        )
        car = VehicleState(
            pose=jnp.append(car.pose[:2] + rotate(car.pose[2], shift[:2]), wrap(yaw)),
            velocity=velocity.at[:2].set(jnp.clip(velocity[:2], -self.max_speed, self.max_speed)),
            target_arc=car.target_arc + jnp.where(car.steps < self.target_steps, speed * self.step_seconds, 0.0),
            steps=car.steps + 1,
        )
        return car, self._reward(car), jnp.zeros((), bool)

    def observe(self, physics: VehicleState) -> jax.Array:
        """The target from the front point, yaw, speeds, yaw rate."""
        yaw = physics.pose[2]
        front = physics.pose[:2] + self.look_ahead * jnp.stack([jnp.cos(yaw), jnp.sin(yaw)])
        return jnp.concatenate([self._target(physics) - front, yaw[None], physics.velocity])

    @property
    def integration(self) -> tuple[Scheme, int]:
        """The rule that integrates the equations of motion, and how many steps of it make a control step."""
        return INTEGRATION[self.tyres]

    def drive(self, velocity: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Integrate the equations of motion over one control step under a held action.

        All happens in the frame at rest in which the car's pose is zero at the start: positions stay small, so that
        32 bits lose nothing, and the velocities there are those that the state holds.

        Args:
          velocity: (3,) forward, leftward speed (m/s) and yaw rate (rad/s).
          action: (2,) throttle (m/s^2) and steering (rad).

        Returns:
          (3,) the change of pose in that frame, and (3,) the velocity at the end in the car's axes of then.
        """
        scheme, substeps = self.integration
        seconds = jnp.asarray(self.step_seconds / substeps, jnp.float32)
        slope = functools.partial(self.slope, action)
        start = jnp.concatenate([jnp.zeros(3), velocity])
        end = jax.lax.fori_loop(0, substeps, lambda _, motion: scheme(slope, motion, seconds), start)
        return end[:3], car_velocity(end)

    def slope(self, action: jax.Array, motion: jax.Array) -> jax.Array:
        """The time derivative of `motion`: (6,) pose and velocity in a frame at rest."""
        throttle, steering = action
        velocity = car_velocity(motion)
        forward, leftward, yaw_rate = velocity
        ahead, behind = self.axles

        divisor = jnp.where(jnp.abs(forward) < SLOWEST, jnp.where(forward < 0, -SLOWEST, SLOWEST), forward)
        front = -self.grip * self.stiffness_front * jnp.arctan((leftward + ahead * yaw_rate) / divisor - steering)
        rear = -self.grip * self.stiffness_rear * jnp.arctan((leftward - behind * yaw_rate) / divisor)
        drag = self.aero_drag * forward**2 + self.rolling_drag * forward
        force = jnp.stack(
            [
                self.mass * throttle - front * jnp.sin(steering) - drag,
                front * jnp.cos(steering) + rear,
                ahead * front * jnp.cos(steering) - behind * rear,
            ]
        )
        acceleration = self.accelerate(velocity, force)
        return jnp.concatenate([motion[3:], rotate(motion[2], acceleration[:2]), acceleration[2:]])

    def accelerate(self, velocity: jax.Array, force: jax.Array) -> jax.Array:
        """(3,) acceleration that MJX gives for a velocity (3,) and a force (3,), see `forward_dynamics`."""
        inertia = jnp.full(3, self.yaw_inertia, jnp.float32)  # only the third is felt
        return forward_dynamics(JOINTS, self.mass, inertia, velocity, force)

    def _target(self, car: VehicleState) -> jax.Array:
        return path(car.target_arc, self.path_radius)[0]

    def _reward(self, car: VehicleState) -> jax.Array:
        position = car.pose[:2]
        off_path = jnp.abs(position @ position - self.path_radius**2)
        distance = jnp.linalg.norm(self._target(car) - position)
        return -self.path_weight * off_path - self.distance_weight * distance


def split_midpoint(slope: Slope, motion: jax.Array, seconds: jax.Array) -> jax.Array:
    """Two midpoint steps that meet where the forward speed crosses zero, or halfway where it does not.

    The slip forces jump there. A step across the jump is first order whatever the rule; these two look only to their
    own side of it.
    """

    def half(index: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        motion, left = carry
        first = slope(motion)
        forward, rate = jax.jvp(lambda motion: car_velocity(motion)[0], (motion,), (first,))
        until_zero = -forward / jnp.where(rate == 0, 1.0, rate)
        part = jnp.where((until_zero > 0) & (until_zero < left), until_zero, 0.5 * left)
        part = jnp.where(index == 0, part, left)
        return motion + part * slope(motion + 0.5 * part * first), left - part

    # A loop because each place that asks MJX adds about a second of compilation.
    return jax.lax.fori_loop(0, 2, half, (motion, seconds))[0]


# Bounds after 20 s: 2 cm and 2e-3 rad (published), 1 cm and 1e-3 rad (road). Where random actions change every step
# these are far inside (0.04 and 0.2 cm). Two split steps would be, too, but where actions are held for 2 s the car may
# linger near zero speed, and they come close to the bound: benchmarks/results/vehicle_convergence.json.
INTEGRATION: dict[str, tuple[Scheme, int]] = {"published": (split_midpoint, 3), "road": (runge_kutta, 5)}


def rotate(angle: jax.Array, vector: jax.Array) -> jax.Array:
    """A vector (2,) turned counter-clockwise by an angle in rad."""
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    return jnp.stack([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]])


def car_velocity(motion: jax.Array) -> jax.Array:
    """(3,) velocity in the car's axes from (6,) pose and velocity in a frame at rest."""
    return jnp.concatenate([rotate(-motion[2], motion[3:5]), motion[5:]])


def _unit_path() -> tuple[np.ndarray, float]:
    """Coefficients (4, 8, 2) and knot distance of a natural cubic spline through the corners of a regular octagon."""
    corners = -np.pi / 4 - 2 * np.pi * np.arange(9) / 8
    chord = 2 * np.sin(np.pi / 8)
    spline = CubicSpline(chord * np.arange(9), np.stack([np.cos(corners), np.sin(corners)], 1), bc_type="natural")
    return spline.c.astype(np.float32), float(chord)


COEFFICIENTS, CHORD = _unit_path()


def path(arc: Any, radius: Any) -> tuple[jax.Array, jax.Array]:
    """The path that the car should follow: clockwise around the origin, from -45 degrees.

    Args:
      arc: distance along the path, by chords, in m; after 61.2 m (at radius 10) the next lap begins.
      radius: of the circle, in m.

    Returns:
      (2,) the position in m and (2,) its derivative by `arc`.
    """
    arc = jnp.mod(jnp.asarray(arc, jnp.float32) / radius, 8 * CHORD)
    piece = jnp.clip(jnp.floor(arc / CHORD), 0, 7).astype(jnp.int32)  # the remainder may round up to a whole lap
    t = arc - CHORD * piece
    a, b, c, d = jnp.asarray(COEFFICIENTS)[:, piece]
    return radius * (((a * t + b) * t + c) * t + d), (3 * a * t + 2 * b) * t + c
