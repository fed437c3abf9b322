"""The hopper against Gymnasium's, which runs MuJoCo's C code in 64 bits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.hopper_v4 import HopperEnv

import envs
from envs import mechanics

STEPS = 100
# A feedback (found by random search) under which the hopper stays up, so that a comparison can last.
FEEDBACK = np.zeros((3, 11))
FEEDBACK[0, [2, 6]] = -0.36, 0.04
FEEDBACK[1, [2, 4, 6, 7, 9, 10]] = -0.16, -0.57, 0.05, -0.07, -0.06, 0.41
FEEDBACK[2, [1, 3, 5, 6, 7, 9, 10]] = 0.08, -0.6, -0.01, 0.01, 0.08, -0.46, -0.47


def make(**values) -> Any:
    return envs.make("hopper", **values)


@functools.cache
def gymnasium_hopper() -> Any:
    return HopperEnv()


def test_a_control_step_lasts_as_long_as_gymnasiums():
    assert make().dt == pytest.approx(gymnasium_hopper().dt)


def reference(seed, policy, integrator="rk4", **changed):
    """A rollout in Gymnasium: actions (STEPS, 3), start, and what `rollout` returns; zero after its end."""
    env = gymnasium_hopper()
    model, original = env.model, {name: getattr(env.model, name).copy() for name in changed}
    model.opt.integrator = {"euler": 0, "rk4": 1}[integrator]
    for name, factor in changed.items():
        getattr(model, name)[:] *= factor
    obs, _ = env.reset(seed=seed)
    start = np.concatenate([env.data.qpos, env.data.qvel]).astype(np.float32)
    env.set_state(start[:6].astype(float), start[6:].astype(float))
    obs = env._get_obs()
    actions, rows = np.zeros((STEPS, 3), np.float32), np.zeros((STEPS, 25))
    for step in range(STEPS):
        actions[step] = np.clip(policy(step, obs), -1, 1)
        obs, reward, terminated, _, _ = env.step(actions[step])
        rows[step] = *env.data.qpos, *env.data.qvel, *obs, reward, terminated
        if terminated:
            break
    for name, value in original.items():
        getattr(model, name)[:] = value
    return actions, start, rows, step + 1


@jax.jit
@jax.vmap
def rollout(env, start, actions):
    """(STEPS, 25): positions, velocities, observation, reward, termination after each action."""

    def step(state, action):
        state = env.step(state, action)
        motion = state.pipeline_state.physics
        return state, jnp.concatenate([motion.qpos, motion.qvel, state.obs, jnp.stack([state.reward, state.done])])

    return jax.lax.scan(step, env.begin(mechanics.at(start[:6], start[6:])), actions)[1]


def run(tasks, starts, actions):
    """`rollout` of 16 tasks: always the same shapes, one compilation for each integrator."""
    tasks = jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)
    return np.asarray(rollout(tasks, np.stack(starts), np.stack(actions)))


def staying_up(seed):
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, (STEPS, 3))
    return lambda step, obs: FEEDBACK @ obs + noise[step]


def random_play(seed, hold):
    actions = np.random.default_rng(seed).uniform(-1, 1, (STEPS, 3))
    return lambda step, _: actions[step // hold]


def test_scene_is_that_of_gymnasium():
    theirs: Any = gymnasium_hopper().model
    ours: Any = mujoco.MjModel.from_xml_string(make().mjcf)
    for name in (
        *("body_mass", "body_inertia", "body_invweight0", "dof_invweight0", "dof_damping", "dof_armature"),
        *("jnt_type", "jnt_range", "jnt_limited", "jnt_solref", "jnt_solimp", "qpos0"),
        *("geom_type", "geom_margin", "geom_solref", "geom_solimp", "geom_friction"),
    ):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.geom_size[1:], theirs.geom_size[1:])
    assert (ours.opt.timestep, ours.opt.integrator) == (theirs.opt.timestep, theirs.opt.integrator)
    np.testing.assert_array_equal(ours.actuator_trnid, theirs.actuator_trnid)
    np.testing.assert_allclose(make().torque, theirs.actuator_gear[:, 0])
    poses = [mujoco.MjData(model) for model in (ours, theirs)]
    for model, data in zip((ours, theirs), poses, strict=True):
        data.qpos[:] = 0.3, 1.4, 0.1, -0.5, -0.7, 0.2
        mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(poses[0].geom_xpos, poses[1].geom_xpos, atol=1e-12)
    np.testing.assert_allclose(
        np.abs(poses[0].geom_xmat[:, [2, 5, 8]]), np.abs(poses[1].geom_xmat[:, [2, 5, 8]]), atol=1e-7
    )


@pytest.mark.parametrize("integrator", ["rk4", pytest.param("euler", marks=pytest.mark.slow)])
def test_hopper_is_gymnasiums_for_100_steps(integrator):
    policies = [*(staying_up(seed) for seed in range(8)), *(random_play(seed, 1 + 9 * (seed % 2)) for seed in range(8))]
    played = [reference(seed, policy, integrator) for seed, policy in enumerate(policies)]
    actions, starts, rows, ends = map(np.stack, zip(*played, strict=True))
    assert np.all(ends[:8] == STEPS)  # the premise: these stay up
    assert np.all(ends[8:] < STEPS)  # and these fall
    ours = run([make(integrator=integrator)] * 16, starts, actions)
    for end, row, our in zip(ends, rows, ours, strict=True):
        difference = np.abs(our[:end] - row[:end])
        assert difference[:, :6].max() < 1e-4  # m, rad
        assert difference[:, 6:23].max() < 5e-3  # m/s, rad/s and the observation
        assert difference[:, 23].max() < 1e-3  # reward
        np.testing.assert_array_equal(our[:end, 24], row[:end, 24])


def masses(factor):
    return {"body_mass": factor, "body_inertia": factor, "body_subtreemass": factor}


@pytest.mark.slow
def test_masses_friction_and_torque_of_each_environment_are_those_of_c_mujoco():
    changes = [
        ({}, {}),
        ({"mass_scale": 1.5}, masses(1.5)),
        ({"mass_scale": 0.6}, masses(0.6)),
        ({"friction": 0.5}, {"geom_friction": [[0.25]] * 5}),
        ({"torque": 100}, {"actuator_gear": 0.5}),
        ({"damping": 3}, {"dof_damping": 3}),
    ]
    changes = (changes * 3)[:16]
    played = [reference(4, random_play(4, 10), "euler", **theirs) for _, theirs in changes]
    actions, starts, rows, ends = map(np.stack, zip(*played, strict=True))
    tasks = [make(integrator="euler", **ours) for ours, _ in changes]
    together = run(tasks, starts, actions)
    for index in range(6):
        end = ends[index]
        assert np.abs(together[index] - rows[index])[:end, :6].max() < 1e-4
        if index:
            assert np.abs(rows[index] - rows[0])[:end, :6].max() > 0.01  # it matters
        alone = run([tasks[index]] * 16, [starts[index]] * 16, [actions[index]] * 16)
        np.testing.assert_allclose(together[index, :end], alone[0, :end], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("index", "value", "ends"),
    [
        (1, 0.701, False),
        (1, 0.699, True),
        (2, 0.199, False),
        (2, 0.201, True),
        (2, -0.201, True),
        (4, -99.0, False),
        (4, -101.0, True),
        (9, 99.0, False),
        (9, 101.0, True),
        (0, 1e6, False),
    ],
)
def test_what_ends_an_episode(index, value, ends):
    state = np.array([0, 1.25, 0, -0.1, -0.1, 0.1, 0, 0, 0, 0, 0, 0])
    state[index] = value
    gym = gymnasium_hopper()
    gym.set_state(state[:6], state[6:])
    motion = mechanics.at(state[:6], state[6:])
    assert bool(make().ends(motion)) == bool(gym.terminated) == ends
    np.testing.assert_allclose(make().observe(motion), gym._get_obs(), rtol=1e-6)


def test_reset_is_standing_give_or_take_the_noise():
    states = jax.vmap(make().reset)(jax.random.split(jax.random.key(0), 2000))
    motion: Any = states.pipeline_state.physics
    for numbers, middle in ((motion.qpos, [0, 1.25, 0, 0, 0, 0]), (motion.qvel, np.zeros(6))):
        offsets = np.asarray(numbers) - middle
        assert np.abs(offsets).max() <= 5e-3 + 1e-6
        np.testing.assert_allclose(offsets.std(axis=0), 5e-3 / np.sqrt(3), rtol=0.05)
    assert np.abs(np.corrcoef(np.hstack([motion.qpos, motion.qvel]).T) - np.eye(12)).max() < 0.1


def test_no_part_but_the_foot_can_reach_the_floor():
    """The premise of the contact list: two million poses, by trigonometry."""
    draw = np.random.default_rng(0).uniform
    count = 2_000_000
    height, pitch = 0.7 + draw(0, 0.8, count), draw(-0.2, 0.2, count)
    hip, knee, ankle = (
        -draw(0, np.deg2rad(150), count),
        -draw(0, np.deg2rad(150), count),
        draw(-np.pi / 4, np.pi / 4, count),
    )
    thigh = pitch - hip  # all joints turn about -y
    shank, foot = thigh - knee, thigh - knee - ankle
    top = height - 0.2 * np.cos(pitch)
    middle = top - 0.45 * np.cos(thigh)
    low = middle - 0.5 * np.cos(shank)
    sole = np.minimum(low + 0.13 * np.sin(foot), low - 0.26 * np.sin(foot)) - 0.06
    possible = sole > -0.005
    assert (np.minimum(top, middle) - 0.05)[possible].min() > 0
    assert (np.minimum(middle, low) - 0.04)[possible].min() > 0
