"""Steps that are refused as unstable are those under which what should come to rest grows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import fields, mechanics
from envs.acrobot import AcrobotState
from envs.fields import InvalidSetting
from envs.pendulum import PendulumState


def physics_after(env, physics, action, steps):
    """What `steps` control steps under one action make of a state."""
    return jax.jit(lambda: jax.lax.fori_loop(0, steps, lambda _, at: env.advance(at, action)[0], physics))()


def pendulum(step_seconds):
    env = fields.build(envs.registry.task("pendulum"), {"step_seconds": step_seconds})
    after = physics_after(env, PendulumState(jnp.float32(np.pi + 1e-3), jnp.zeros(())), jnp.zeros(1), 100)
    return env, abs(float(after.theta) - np.pi) / 1e-3


def acrobot(step_seconds):
    values = {"step_seconds": step_seconds, "mass_2": 2.0, "max_speed_1": 1e9, "max_speed_2": 1e9}
    env = fields.build(envs.registry.task("acrobot"), values)
    physics = AcrobotState(jnp.array([-np.pi / 2, 1e-3], jnp.float32), jnp.zeros(2))
    return env, float(jnp.abs(physics_after(env, physics, jnp.zeros(1), 100).angles[1])) / 1e-3


def vehicle(tyres, stiffness):
    """Slip and yaw decay alike: the axles lie a radius of gyration from the centre of mass."""
    values = {"stiffness_front": stiffness, "stiffness_rear": stiffness, "yaw_inertia": 1500 * 1.45**2}
    env = fields.build(envs.registry.task("vehicle"), {"tyres": tyres, **values})
    start = env.start(jax.random.key(0)).replace(velocity=jnp.array([30.0, 1e-2, 0.0]))
    after = physics_after(env, start, jnp.array([1.0, 0.0]), 10)
    return env, float(jnp.abs(after.velocity[1:]).max()) / 1e-2


def road(stiffness):
    return vehicle("road", stiffness)


def published(stiffness):
    return vehicle("published", stiffness)


def hopper(damping):
    """One joint moves; the floor is far away."""
    env = fields.build(envs.registry.task("hopper"), {"damping": damping, "gravity": 0.0, "mass_scale": 1e-3})
    start = mechanics.at(jnp.array([0.0, 9.0, 0.0, -1.0, -1.0, 0.0]), jnp.array([0.0, 0.0, 0.0, 0.0, 0.0, 1e-2]))
    after = physics_after(env, start, jnp.zeros(3), 10)
    return env, float(jnp.abs(after.qvel[5])) / 1e-2


def quadruped(servo_stiffness):
    """In the air, one joint a degree off its target; limbs that weigh next to nothing, servos with little damping."""
    values = {"servo_stiffness": servo_stiffness, "servo_rate": 1e4, "servo_torque": 100.0}
    values |= {"gravity": 0.0, "mass_scale": 1e-3}
    env = fields.build(envs.registry.task("quadruped"), {**values, "target_from": "commanded"})
    start = env.start(jax.random.key(0))
    qpos = start.motion.qpos.at[2].set(1.0).at[8].add(np.deg2rad(1.0))
    after = physics_after(env, start.replace(motion=mechanics.at(qpos, jnp.zeros(14))), jnp.zeros(8), 20)
    return env, float(jnp.abs(after.motion.qpos[8] - np.deg2rad(start.commanded[1, 1]))) / np.deg2rad(1.0)


# The longest step that is allowed: from the definition of each rule's stability, and the task's own equations.
SWING = np.sqrt(1.5 * 10.0)
SLIDE = 2 / (1500 * 30)  # rate of decay for a stiffness of 1 at each axle
CASES = {
    pendulum: 2 / SWING,
    road: 2.785 / (0.02 * 1000 * SLIDE),
    published: 4 / (0.1 / 3 * SLIDE),
    acrobot: None,
    hopper: 2.785 / 0.002,
    quadruped: 4 * 1e-4 * 240**2 / (1 - 2 * 240 / 1e4),
}
SLOW = (hopper, quadruped)


@pytest.mark.parametrize("task", [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def test_what_is_refused_grows_and_what_is_not_comes_to_rest(task):
    longest = CASES[task] or acrobot_limit()
    env, size = task(0.95 * longest)
    env.validate()
    assert size < 3, size
    env, size = task(1.1 * longest)
    assert not size < 30, size
    with pytest.raises(InvalidSetting, match=r"env\.\w+ = \S+: makes steps of \S+ s unstable; they must be <="):
        env.validate()


def acrobot_limit():
    """RK4 and the faster of the two frequencies, from the linearised slope."""
    env = envs.make("acrobot", mass_2=2.0)
    hanging = jnp.array([-np.pi / 2, 0.0, 0.0, 0.0])
    matrix = jax.jacfwd(lambda motion: jnp.stack(env.slope(motion, jnp.zeros(()))))(hanging)
    return np.sqrt(8) / np.abs(np.linalg.eigvals(np.asarray(matrix, np.float64))).max()


def test_a_grid_is_refused_where_one_of_its_steps_is_unstable():
    steps = np.float32([0.05, 0.1])
    envs.make("pendulum").replace(step_seconds=steps).validate()
    with pytest.raises(InvalidSetting, match="unstable"):
        envs.make("pendulum").replace(step_seconds=10 * steps).validate()


@pytest.mark.parametrize("name", ["pendulum", "vehicle", "acrobot", "hopper", "quadruped"])
def test_default_steps_keep_a_distance(name):
    """Physics that is randomised by half of its value in either direction stays allowed."""
    env = envs.make(name)
    fast = {"pendulum": "gravity", "acrobot": "gravity", "hopper": "damping", "quadruped": "servo_stiffness"}
    field = fast.get(name, "stiffness_front")
    env.replace(**{field: 1.5 * getattr(env, field)}).validate()
