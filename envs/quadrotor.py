"""A quadrotor that must follow a point along a straight line: the full rigid body in MJX.

The constants are those of the environment published with the paper, the motion is not: there the angles of roll, pitch
and yaw grow with the body rates as if these were their derivatives, in Euler steps of 0.1 s.
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Key, Push, Task
from envs.fields import InvalidSetting, setting, show
from envs.integrators import runge_kutta
from envs.rigid_body import angles, forward_dynamics


class QuadrotorState(flax.struct.PyTreeNode):
    """Where the quadrotor is and how it moves.

    Attributes:
      position: (3,) of the centre of mass, world axes, z up (m).
      attitude: (4,) unit quaternion w, x, y, z that turns body axes into world axes.
      velocity: (3,) of the centre of mass, world axes (m/s).
      rates: (3,) angular velocity, body axes (rad/s).
      steps: control steps since the reset, the reference's clock.
    """

    position: jax.Array
    attitude: jax.Array
    velocity: jax.Array
    rates: jax.Array
    steps: jax.Array


class Quadrotor(Task):
    """Fly after a point that moves along x at constant speed.

    Body axes: x forward, y left, z up. Rotor 1 sits at +y, 2 at -x, 3 at -y, 4 at +x, each at distance `arm`; 1 and 3
    turn against 2 and 4. So with thrusts f_i = thrust_coefficient w_i^2 the torques are, about x, y and z,
    arm (f_1 - f_3), arm (f_2 - f_4) and arm drag_coefficient (w_1^2 - w_2^2 + w_3^2 - w_4^2). Roll, pitch and yaw turn
    the body in the order Z-Y-X (yaw first), so positive pitch accelerates towards +x and positive roll towards -y.

    `dynamics` says what the action (4) is:

    * `full`: the speeds of the four rotors, from 0 at -1 to `max_rotor_speed` at 1. Action 0 is mid-range, which is
      4.9 times the weight; `idle` is the speed at which it hovers.
    * `simplified`: collective thrust and the torques about x, y and z, with no rotors between. Thrust is the weight
      times 1 + action, so that action 0 hovers. Action 1 is, for roll and pitch, the torque of one pair of opposite
      rotors that carries half of the weight on one rotor alone, and for yaw that of one pair that carries it all: what
      the rotors can give while they carry the weight. Rigid body, reference and reward are the same.

    The observation (9) is reference minus actual position (m), roll, pitch, yaw (rad), reference minus actual velocity
    (m/s), all in world axes; with `observe_rates` also the body rates (rad/s). The reward, after the step, is
    -position_weight (|ex| + |ey| + |ez|) - attitude_weight (|roll| + |pitch| + |yaw|), e the position error. Roll and
    yaw are in [-pi, pi], pitch in [-pi/2, pi/2]: near pitch +-pi/2 roll and yaw jump. The start is level and random in
    position and velocity. Nothing ends the episode but the time limit.

    Two integration steps leave 0.1 mm after 4 s around hover, 4 mm under random actions, and, where these are held for
    a second and it tumbles at up to 30 rad/s, decimetres (`benchmarks.quadrotor_convergence`).

    Source: facts of the environment published with arXiv 2506.05615.
    """

    horizon: int = setting(40, "control steps until the time limit", low=1)
    timeout_is_termination: bool = setting(True, "treat the time limit as a termination: no bootstrap there")
    dynamics: str = setting(
        "full", "the action: rotor speeds, or thrust and torques directly", choices=("full", "simplified")
    )
    observe_rates: bool = setting(False, "observe the body rates, too", static=True)
    substeps: int = setting(2, "Runge-Kutta steps per control step", low=1, high=1000, static=True)
    mass: float = setting(0.65, "mass, kg", above=0)
    inertia_x: float = setting(0.75, "moment of inertia about the body's x, kg m^2", above=0)
    inertia_y: float = setting(0.75, "moment of inertia about the body's y, kg m^2", above=0)
    inertia_z: float = setting(1.3, "moment of inertia about the body's z, kg m^2", above=0)
    arm: float = setting(0.23, "distance from the centre of mass to each rotor, m", above=0)
    thrust_coefficient: float = setting(0.313, "thrust of a rotor at speed 1, N s^2", above=0)
    drag_coefficient: float = setting(7.5e-4, "torque about z of a rotor at speed 1 and arm 1 m, N s^2", above=0)
    gravity: float = setting(9.81, "gravity, m/s^2", above=0)
    max_rotor_speed: float = setting(10.0, "rotor speed at action 1, 1/s", above=0)
    step_seconds: float = setting(0.1, "control step, s", above=0)
    start_beside: float = setting(0.1, "x and y start uniformly within this, m", low=0)
    start_height: float = setting(1.0, "z starts uniformly within this, m", low=0)
    start_speed: float = setting(0.1, "each velocity starts uniformly within this, m/s", low=0)
    reference_speed: float = setting(1.5, "speed of the reference along x, m/s")
    reference_lag: int = setting(1, "control steps that the reference waits at its start", low=0)
    position_weight: float = setting(5.0, "reward: weight of the absolute position errors, 1/m")
    attitude_weight: float = setting(1.0, "reward: weight of the absolute angles, 1/rad")

    def validate(self) -> None:
        """It must be able to hover (simplified: to carry twice its weight), and to exist."""
        most = 4 * np.multiply(self.thrust_coefficient, np.square(self.max_rotor_speed))
        needed = np.multiply(self.mass, self.gravity) * (2 if self.dynamics == "simplified" else 1)
        if np.any(most < needed):
            raise InvalidSetting(
                f"env.max_rotor_speed = {show(self.max_rotor_speed)}: all rotors must give >= {show(needed)} N, "
                f"but give {show(most)}"
            )
        inertia = {axis: np.asarray(getattr(self, f"inertia_{axis}")) for axis in "xyz"}
        for axis, value in inertia.items():
            others = sum(inertia[other] for other in "xyz" if other != axis)
            if np.any(value > others * (1 + 1e-6)):
                raise InvalidSetting(
                    f"env.inertia_{axis} = {show(value)}: must be <= the sum of the other two, {show(others)}"
                )

    @property
    def observes(self) -> tuple[str, ...]:
        """How far it is from where it should be, and how it is turned."""
        axes = ("x", "y", "z")
        return (
            *(f"{axis} of the reference from the quadrotor, m" for axis in axes),
            *(f"{angle}, rad" for angle in ("roll", "pitch", "yaw")),
            *(f"velocity of the reference against the quadrotor along {axis}, m/s" for axis in axes),
            *(f"angular velocity about the body's {axis}, rad/s" for axis in axes if self.observe_rates),
        )

    @property
    def acts(self) -> tuple[str, ...]:
        """Rotor speeds, or thrust and torques."""
        if self.dynamics == "full":
            return tuple(f"speed of rotor {rotor}, 1/s" for rotor in (1, 2, 3, 4))
        return ("thrust, N", *(f"torque about the body's {axis}, N m" for axis in ("x", "y", "z")))

    @property
    def backend(self) -> str:
        """The physics behind the task, as Brax asks it."""
        return "mjx"

    @property
    def action_low(self) -> jax.Array:
        """Rotors off, or no thrust and the torques negative."""
        if self.dynamics == "full":
            return jnp.zeros(4)
        return self.action_high * jnp.array([0.0, -1.0, -1.0, -1.0])

    @property
    def action_high(self) -> jax.Array:
        """Rotor speeds in 1/s, or thrust in N and torques in N m."""
        if self.dynamics == "full":
            return jnp.full(4, self.max_rotor_speed)
        weight = jnp.asarray(self.mass * self.gravity, jnp.float32)
        tilt = 0.5 * weight * self.arm
        turn = weight / self.thrust_coefficient * self.arm * self.drag_coefficient
        return jnp.stack([2 * weight, tilt, tilt, turn])

    @property
    def idle(self) -> jax.Array:
        """(4,) the action that hovers."""
        if self.dynamics == "simplified":
            return jnp.zeros(4)
        speed = jnp.sqrt(0.25 * self.mass * self.gravity / self.thrust_coefficient)
        return jnp.full(4, 2 * speed / self.max_rotor_speed - 1)

    @property
    def mjcf(self) -> str:
        """The four rotors, the front one in black, the reference as a red ball, and squares of 1 m behind them."""
        arm, blue = float(self.arm), "0.2 0.4 0.8"
        rotors = "".join(
            f'<geom type="cylinder" size="{0.5 * arm} 0.01" pos="{x * arm} {y * arm} 0.03" rgba="{colour} 1"/>'
            for x, y, colour in ((0, 1, blue), (-1, 0, blue), (0, -1, blue), (1, 0, "0.1 0.1 0.1"))
        )
        return f"""
        <mujoco>
          <asset>
            <texture name="squares" type="2d" builtin="checker" rgb1="0.75 0.78 0.82" rgb2="0.65 0.68 0.72" width="64"
              height="64"/>
            <material name="squares" texture="squares" texrepeat="0.5 0.5" texuniform="true"/>
          </asset>
          <worldbody>
            <camera name="film" mode="trackcom" pos="0 -4 1.5" xyaxes="1 0 0 0 0.35 0.94"/>
            <geom type="plane" size="0 0 1" pos="0 4 0" zaxis="0 -1 0" material="squares"/>
            <body>
              <freejoint/>
              <geom type="box" size="{arm} 0.02 0.02" rgba="0.4 0.4 0.4 1"/>
              <geom type="box" size="0.02 {arm} 0.02" rgba="0.4 0.4 0.4 1"/>
              {rotors}
            </body>
            <body>
              <joint type="slide" axis="1 0 0"/>
              <geom size="0.08" rgba="0.9 0.2 0.2 1" mass="0.001"/>
            </body>
          </worldbody>
        </mujoco>
        """

    def qpos(self, physics: QuadrotorState) -> jax.Array:
        """(8,) position and attitude, and how far along x the reference is."""
        off, _ = self._errors(physics)
        return jnp.concatenate([physics.position, physics.attitude, (off + physics.position)[:1]])

    def start(self, key: Key) -> QuadrotorState:
        """Level and without rotation, near the origin, at any height."""
        draw = jax.random.uniform(key, (2, 3), minval=-1.0, maxval=1.0)
        return QuadrotorState(
            position=draw[0] * jnp.stack([self.start_beside, self.start_beside, self.start_height]),
            attitude=jnp.array([1.0, 0.0, 0.0, 0.0]),
            velocity=draw[1] * self.start_speed,
            rates=jnp.zeros(3),
            steps=jnp.zeros((), jnp.int32),
        )

    def disturb(self, physics: QuadrotorState, action: jax.Array, push: Push) -> tuple[QuadrotorState, jax.Array]:
        """Noise on velocity (m/s) and body rates (rad/s)."""
        moving = push(jnp.concatenate([physics.velocity, physics.rates]))
        return physics.replace(velocity=moving[:3], rates=moving[3:]), action

    def advance(self, physics: QuadrotorState, action: jax.Array) -> tuple[QuadrotorState, jax.Array, jax.Array]:
        """Fly for one control step while the reference moves on."""
        body = physics
        slope = functools.partial(self.slope, *self.wrench(action))
        seconds = jnp.asarray(self.step_seconds / self.substeps, jnp.float32)

        def substep(_: int, motion: jax.Array) -> jax.Array:
            motion = runge_kutta(slope, motion, seconds)
            return motion.at[3:7].divide(jnp.linalg.norm(motion[3:7]))

        motion = jnp.concatenate([body.position, body.attitude, body.velocity, body.rates])
        motion = jax.lax.fori_loop(0, self.substeps, substep, motion)
        body = QuadrotorState(motion[:3], motion[3:7], motion[7:10], motion[10:], body.steps + 1)
        off, _ = self._errors(body)
        cost = self.position_weight * jnp.abs(off).sum() + self.attitude_weight * jnp.abs(angles(body.attitude)).sum()
        return body, -cost, jnp.zeros((), bool)

    def observe(self, physics: QuadrotorState) -> jax.Array:
        """Position error, angles, velocity error, and perhaps body rates."""
        position, velocity = self._errors(physics)
        rates = [physics.rates] if self.observe_rates else []
        return jnp.concatenate([position, angles(physics.attitude), velocity, *rates])

    def wrench(self, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The thrust along the body's z (N) and the torque (3,) about its axes (N m) of an action (4,) in [-1, 1]."""
        command = self.in_units(action)
        if self.dynamics == "simplified":
            return command[0], command[1:]
        squares = command**2
        tilting = self.arm * self.thrust_coefficient * (squares[:2] - squares[2:])
        turning = self.arm * self.drag_coefficient * (squares[0] - squares[1] + squares[2] - squares[3])
        return self.thrust_coefficient * squares.sum(), jnp.append(tilting, turning)

    def slope(self, thrust: jax.Array, torque: jax.Array, motion: jax.Array) -> jax.Array:
        """The time derivative of `motion`: (13,) position, attitude, velocity, body rates."""
        attitude, velocity, rates = motion[3:7], motion[7:10], motion[10:]
        acceleration = self.accelerate(rates, jnp.stack([0.0, 0.0, thrust]), torque)
        scalar, vector = attitude[0], attitude[1:]
        turning = 0.5 * jnp.append(-vector @ rates, scalar * rates + jnp.cross(vector, rates))
        falling = rotate(attitude, acceleration[:3]) - jnp.stack([0.0, 0.0, self.gravity])
        return jnp.concatenate([velocity, turning, falling, acceleration[3:]])

    def accelerate(self, rates: jax.Array, force: jax.Array, torque: jax.Array) -> jax.Array:
        """(6,) acceleration that MJX gives for rates, a force and a torque (3,) each, see `forward_dynamics`."""
        inertia = jnp.stack([self.inertia_x, self.inertia_y, self.inertia_z])
        velocity = jnp.concatenate([jnp.zeros(3), rates])  # how fast it moves along makes no difference
        return forward_dynamics("<freejoint/>", self.mass, inertia, velocity, jnp.concatenate([force, torque]))

    def _errors(self, body: QuadrotorState) -> tuple[jax.Array, jax.Array]:
        """(3,) reference minus actual position (m) and velocity (m/s)."""
        speed = jnp.array([1.0, 0.0, 0.0]) * self.reference_speed
        seconds = jnp.maximum(body.steps - self.reference_lag, 0) * self.step_seconds
        return speed * seconds - body.position, speed - body.velocity


def rotate(attitude: jax.Array, vector: jax.Array) -> jax.Array:
    """A vector (3,) in body axes brought to world axes by a unit quaternion (4,)."""
    across = 2 * jnp.cross(attitude[1:], vector)
    return vector + attitude[0] * across + jnp.cross(attitude[1:], across)
