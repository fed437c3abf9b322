from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from envs import mechanics
from envs.mechanics import at

# A hinge (a pendulum with a motor), with every integrator; and a ball above the floor, with a free joint.
PENDULUM = """
<mujoco>
  <option timestep="0.01" integrator="{integrator}"/>
  <worldbody>
    <body>
      <joint name="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="1"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" gear="2"/></actuator>
</mujoco>
"""
BALL = """
<mujoco>
  <option timestep="0.01" integrator="{integrator}"/>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1"/>
    <body pos="0 0 0.3"><freejoint/><geom name="ball" size="0.1"/></body>
  </worldbody>
</mujoco>
"""


def swing(model, controls, substeps=3):
    def step(motion, control):
        motion = mechanics.advance(model, motion, control, substeps)
        return motion, jnp.append(motion.qpos, motion.qvel)

    return jax.lax.scan(step, at(jnp.array([0.4]), jnp.array([-1.0])), controls)[1]


def in_c(text, controls, substeps=3, **changed):
    model = mujoco.MjModel.from_xml_string(text)
    for name, factor in changed.items():
        getattr(model, name)[:] *= factor
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = 0.4, -1.0
    rows = []
    for control in controls:
        for one in np.broadcast_to(control, (substeps, 1)):
            data.ctrl[:] = one
            mujoco.mj_step(model, data)
        rows.append(np.append(data.qpos, data.qvel))
    return np.stack(rows)


@pytest.mark.parametrize("integrator", ["Euler", "RK4", "implicitfast"])
def test_motion_is_that_of_c_mujoco(integrator):
    text = PENDULUM.format(integrator=integrator)
    controls = np.random.default_rng(0).uniform(-1, 1, (50, 1)).astype(np.float32)
    ours = jax.jit(swing)(mechanics.load(text), controls)
    np.testing.assert_allclose(ours, in_c(text, controls), atol=2e-5)


def test_control_may_differ_between_substeps():
    text = PENDULUM.format(integrator="Euler")
    controls = np.random.default_rng(0).uniform(-1, 1, (10, 3, 1)).astype(np.float32)
    ours = jax.jit(swing)(mechanics.load(text), controls)
    np.testing.assert_allclose(ours, in_c(text, controls), atol=2e-5)


def test_masses_in_one_program_equal_masses_one_by_one_and_c_mujoco():
    text = PENDULUM.format(integrator="RK4")
    controls = np.ones((30, 1), np.float32)

    @jax.jit
    def with_mass(mass):
        model = mechanics.load(text)
        values = {"body_mass": mass * model.body_mass, "body_inertia": mass * model.body_inertia}
        return swing(mechanics.put(model, values), controls)

    masses = np.array([0.5, 2.0], np.float32)
    together = jax.jit(jax.vmap(with_mass))(masses)
    for mass, motion in zip(masses, together, strict=True):
        np.testing.assert_allclose(motion, with_mass(mass), atol=1e-5)
        np.testing.assert_allclose(motion, in_c(text, controls, body_mass=mass, body_inertia=mass), atol=2e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_a_scene_is_compiled_once_even_from_within_a_trace():
    text = PENDULUM.format(integrator="Euler").replace("0.5", "0.45")
    inside = jax.jit(lambda x: x * mechanics.load(text).body_mass.sum())(2.0)
    assert float(inside) == pytest.approx(2)
    assert mechanics.load(text) is mechanics.load(text)
    assert not isinstance(mechanics.load(text).body_mass, jax.core.Tracer)
    assert mechanics.load(text).opt.jacobian == mujoco.mjtJacobian.mjJAC_SPARSE


def test_a_scene_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="XML"):
        mechanics.load("<mujoco><nonsense/></mujoco>")


@pytest.mark.parametrize("integrator", ["Euler", pytest.param("RK4", marks=pytest.mark.slow)])
def test_a_ball_falls_as_balls_do_and_touches(integrator):
    model = mechanics.load(BALL.format(integrator=integrator))
    start = at(jnp.array([0, 0, 0.3, 1, 0, 0, 0]), jnp.zeros(6))
    fall = jax.jit(lambda motion: mechanics.advance(model, motion, jnp.zeros(0), 15))
    falling = fall(start)
    assert float(falling.qpos[2]) == pytest.approx(
        0.3 - 0.5 * 9.81 * 0.15**2, abs=1e-4 if integrator == "RK4" else 0.01
    )
    assert not np.any(mechanics.touching(model, falling)[1])
    landed = fall(falling)
    geoms, touches = mechanics.touching(model, landed)
    assert np.any(touches)
    assert set(np.ravel(geoms)) == {0, 1}


def test_process_noise_pushes_all_velocities():
    for name, motion in (("hopper", lambda physics: physics), ("quadruped", lambda physics: physics.motion)):
        env = envs.make(name)
        physics = env.start(jax.random.key(0))
        pushed, action = env.disturb(physics, jnp.zeros(env.action_size), lambda x: x + 0.5)
        np.testing.assert_allclose(motion(pushed).qvel, motion(physics).qvel + 0.5)
        np.testing.assert_array_equal(motion(pushed).qpos, motion(physics).qpos)
        np.testing.assert_array_equal(action, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hopper", "quadruped"])
def test_100_000_random_steps_are_finite_bounded_and_never_stuck(name):
    env = envs.for_training(envs.make(name))
    keys = jax.random.split(jax.random.key(0), 256)

    @jax.jit
    def play(states: Any, key):
        def step(states, key):
            actions = jax.random.uniform(key, (256, env.action_size), minval=-1.0)
            before = states
            states = jax.vmap(env.step)(states, actions)
            moved = jax.tree.map(lambda new, old: jnp.any(new != old), states.obs, before.obs)
            flags = states.metrics["nonfinite"].sum(), jnp.stack(jax.tree.leaves(moved)).any(), states.done.sum()
            return states, (*flags, jnp.abs(states.info["final_obs"]).max(), jnp.abs(states.reward).max())

        return jax.lax.scan(step, states, jax.random.split(key, 100))

    states = jax.jit(jax.vmap(env.reset))(keys)
    ends = 0.0
    for chunk in range(4):
        states, (nonfinite, moved, done, largest, reward) = play(states, jax.random.key(chunk))
        assert nonfinite.sum() == 0
        assert moved.all()
        assert largest.max() < 200
        assert reward.max() < 200
        ends += float(done.sum())
    assert ends >= 256  # episodes end and begin again everywhere
    assert np.ptp(states.info["steps"]) > 0 or name == "quadruped"
