"""The quadruped against C MuJoCo on the same scene, with control, reward and observation written again in numpy."""

from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import envs
from envs.quadruped import JOINTS

STEPS = 100
RUNS = 16
START = np.tile([50.0, 0.0], 4)


def make(**values) -> Any:
    return envs.make("quadruped", **values)


def c_model() -> Any:
    """The scene with MuJoCo's own, larger numbers of solver iterations, and no limit to contacts."""
    text = make().mjcf.replace('iterations="8" ls_iterations="8"', "")
    assert text != make().mjcf
    return mujoco.MjModel.from_xml_string(text)


@jax.jit
@jax.vmap
def rollout(env, state, actions):
    """The last state, and after each action: positions, velocities, targets, observation, reward, termination."""

    def step(state, action):
        state = env.step(state, action)
        robot = state.pipeline_state.physics
        row = {"qpos": robot.motion.qpos, "qvel": robot.motion.qvel, "target": robot.commanded[1]}
        return state, row | {"obs": state.obs, "reward": state.reward, "done": state.done, "contacts": robot.contacts}

    return jax.lax.scan(step, state, actions)


def stack(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def play(tasks, actions, height=0.08) -> Any:
    """`rollout` of 16 tasks from the start: always the same shapes, one compilation."""
    physics = make().start(jax.random.key(0))
    motion = physics.motion.replace(qpos=physics.motion.qpos.at[2].set(height))
    states = [task.begin(physics.replace(motion=motion)) for task in tasks]
    return rollout(stack(tasks), stack(states), np.asarray(actions, np.float32))


def reference(actions, model, stiffness=3.0, torque=0.2, penalty=0.025):
    """What `rollout` returns, by MuJoCo's C code and numpy."""
    data = mujoco.MjData(model)
    data.qpos[:] = *(0, 0, 0.08, 1, 0, 0, 0), *np.deg2rad(START)
    targets, samples, contacts, rows = [START, START], [START] * 30, 0, []
    for number, action in enumerate(actions):
        target = np.round(np.clip(np.rad2deg(data.qpos[7:]) + 11 * action, -110, 110))
        before = data.qpos[0]
        for substep in range(3):
            wanted = np.deg2rad(targets[-1] if substep == 0 else target)
            # a torque of stiffness * (target - angle - speed / 24), bounded, turned into the target that gives it
            balance = data.qpos[7:] + data.qvel[6:] / 24
            data.ctrl[:] = balance + np.clip(stiffness * (wanted - balance), -torque, torque) / stiffness
            mujoco.mj_step(model, data)
        targets.append(target)
        if number % 2 == 0:
            samples = [*samples[1:], target]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        for contact in data.contact[: data.ncon]:
            names = [model.geom(geom).name for geom in contact.geom]
            contacts += contact.dist < 0 and any(name.startswith("elbow") for name in names)
        rotation = Rotation.from_quat(data.qpos[[4, 5, 6, 3]])
        rates = np.clip(0.1 * data.qvel[3:5], -1, 1)
        _, pitch, roll = rotation.as_euler("ZYX")
        done = max(abs(pitch), abs(roll)) > 1.3
        first = (targets[-1] - targets[-2]) / 110
        second = first - (targets[-2] - targets[-3]) / 110
        cost = (first**2).sum() + (second**2).sum() + 0.1 * (rates**2).sum() + 0.01 * contacts
        rows.append(
            {
                "qpos": data.qpos.copy(),
                "qvel": data.qvel.copy(),
                "target": target,
                "obs": np.concatenate([data.qpos[[4, 5, 6, 3]], rates, np.ravel(samples) / 110]),
                "reward": 0.0 if done else 1000 * (data.qpos[0] - before) - penalty * cost,
                "done": done,
                "contacts": contacts,
            }
        )
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def random_actions():
    """(RUNS, STEPS, 8): small and large, quick and slow."""
    actions = np.random.default_rng(0).uniform(-1, 1, (RUNS, STEPS, 8)) * np.tile([0.1, 0.3, 1, 1], 4)[:, None, None]
    actions[8:] = np.repeat(actions[8:, ::10], 10, axis=1)
    return actions.astype(np.float32)


def compare(ours, theirs):
    """How many of the first 60 steps were compared: until a target, rounded to a degree, falls to the other side."""
    same = np.all(ours["target"] == theirs["target"], axis=1)[:60]  # later, contacts have magnified the rounding
    end = len(same) if same.all() else int(np.argmin(same))
    tolerances = {"qpos": 1e-4, "qvel": 0.02, "obs": 3e-3, "reward": 0.1, "done": 0, "contacts": 0}
    for name, tolerance in tolerances.items():
        np.testing.assert_allclose(ours[name][:end], theirs[name][:end], rtol=0, atol=tolerance, err_msg=name)
    return end


def test_motion_observation_reward_and_end_are_those_of_c_mujoco():
    actions, model = random_actions(), c_model()
    ours = play([make()] * RUNS, actions)[1]
    theirs = [reference(run, model) for run in actions]
    lengths = [compare({k: np.asarray(v[run]) for k, v in ours.items()}, theirs[run]) for run in range(RUNS)]
    assert np.sort(lengths)[4] == 60  # a few end earlier
    assert max(run["contacts"][-1] for run in theirs) > 3  # the premise: elbows touch, too
    assert np.abs([run["qpos"][-1, :2] for run in theirs]).max() > 0.05  # and the robot moves


def test_fields_of_each_environment_are_felt_as_c_mujoco_says():
    actions = np.repeat(random_actions()[13:14], RUNS, axis=0)
    changes: list[dict] = [
        {},
        {"mass_scale": 1.5},
        {"paw_friction": 0.3, "body_friction": 0.3},
        {"servo_stiffness": 1.5},
        {"servo_torque": 0.03},
        {"gravity": 3.7},
        {"penalty": 0.5},
        {"mass_scale": 0.7},
    ]
    changes *= 2
    tasks = [make(**change) for change in changes]
    together = play(tasks, actions)[1]
    rewards = []
    for run, change in enumerate(changes[:8]):
        model, scale = c_model(), change.get("mass_scale", 1)
        for name in ("body_mass", "body_inertia", "body_subtreemass"):
            getattr(model, name)[:] *= scale
        model.opt.gravity[2] = -change.get("gravity", 9.81)
        if "paw_friction" in change:
            model.geom_friction[1:, 0] = 0.3
        stiffness = change.get("servo_stiffness", 3)
        model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1] = stiffness, -stiffness
        model.actuator_biasprm[:, 2] = -stiffness / 24
        torque, penalty = change.get("servo_torque", 0.2), change.get("penalty", 0.025)
        theirs = reference(actions[run], model, stiffness, torque, penalty)
        rewards.append(theirs["reward"].sum())
        assert compare({k: np.asarray(v[run]) for k, v in together.items()}, theirs) >= 15
        np.testing.assert_allclose(together["qpos"][run, :15], together["qpos"][run + 8, :15], atol=1e-5)
    assert np.abs(np.array(rewards[1:]) - rewards[0]).min() > 0.05  # it matters
    alone = play([tasks[1]] * RUNS, actions)[1]
    np.testing.assert_allclose(together["qpos"][1, :20], alone["qpos"][0, :20], atol=1e-5)


def test_robot_stands_still_under_a_zero_action():
    still = np.zeros((RUNS, STEPS, 8), np.float32)
    tasks = [make()] * RUNS
    state, _ = play(tasks, still)  # 1.25 s
    places = []
    for _ in range(3):  # 3.75 s
        state, rows = rollout(stack(tasks), state, still)
        places.append(rows["qpos"][0])
        assert not np.any(rows["contacts"])
    places = np.concatenate(places)
    assert np.all(np.abs(places[:, 2] - 0.074) < 0.002)
    assert np.linalg.norm(places[-1, :3] - places[0, :3]) < 1e-3 * len(places) / 80  # 1 mm/s
    assert np.abs(np.diff(places[:, :3], axis=0)).max() * 80 < 1e-3
    assert np.abs(np.rad2deg(places[:, 7:]) - START).max() < 0.5  # or else the target would move


def test_a_full_action_turns_a_joint_by_2_75_degrees_a_step():
    # in the air, where nothing is in the way; the first two steps speed up
    signs = np.where(np.arange(RUNS) < 8, 1, -1)
    actions = np.zeros((RUNS, STEPS, 8))
    for run in range(RUNS):
        actions[run, :, run % 8] = signs[run]
    angles = np.rad2deg(play([make()] * RUNS, actions, height=50)[1]["qpos"])[..., 7:]
    for run in range(RUNS):
        turned = signs[run] * np.diff(angles[run, 2:9, run % 8])
        assert np.all(np.abs(turned - 2.75) < 0.3)
        others = np.delete(angles[run, :9], run % 8, axis=1) - np.delete(START, run % 8)
        assert np.abs(others).max() < 1


def test_measures_and_masses():
    model = c_model()
    np.testing.assert_allclose(model.body_mass[1:], [0.179, *([0.005, 0.0175] * 4)])
    assert [model.joint(joint).name for joint in range(1, 9)] == list(JOINTS)
    assert [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]] == list(JOINTS)
    data = mujoco.MjData(model)
    data.qpos[2] = 0
    mujoco.mj_kinematics(model, data)
    place = lambda name: data.geom(name).xpos  # noqa: E731
    np.testing.assert_allclose(place("paw front left"), [0.105, 0.035, -0.045], atol=1e-12)
    np.testing.assert_allclose(place("paw back right"), [-0.005, -0.035, -0.045], atol=1e-12)
    np.testing.assert_allclose(place("elbow right"), [0.055, -0.035, -0.045], atol=1e-12)
    np.testing.assert_allclose(place("battery"), [0, 0, -0.015], atol=1e-12)
    limits = [[-1.57, 1.57]] * 4 + [[-1.57, 2.0], [-1.57, 1.57]] * 2
    np.testing.assert_allclose(model.jnt_range[1:], limits)


@pytest.mark.parametrize(("roll", "pitch"), [(0, 1.29), (0, -1.31), (1.31, 0), (-1.29, 0.3), (-1.31, 0.3), (0.4, 1.31)])
@pytest.mark.parametrize("yaw", [0.0, 2.5])
def test_robot_has_fallen_beyond_1_3_rad(roll, pitch, yaw):
    motion = make().start(jax.random.key(0)).motion
    quaternion = Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_quat()[[3, 0, 1, 2]]
    fallen = make().fallen(motion.replace(qpos=motion.qpos.at[3:7].set(quaternion)))
    assert bool(fallen) == (max(abs(roll), abs(pitch)) > 1.3)


def test_observations_on_the_way_are_restored_to_the_bit():
    reaches = [110, 97.3, 127, 52, 33.3, 7.7, 1, 0.1, *np.random.default_rng(1).uniform(30, 127, 8)]
    tasks = [make(reach=reach) for reach in reaches]
    obs = np.asarray(play(tasks, random_actions())[1]["obs"])
    store, restore = (
        jax.jit(jax.vmap(lambda env, *x, way=way: jax.vmap(getattr(env, way))(*x))) for way in ("store", "restore")
    )
    sensed, degrees, _ = stored = store(stack(tasks), obs)
    again = np.asarray(restore(stack(tasks), stored))
    np.testing.assert_array_equal(obs.view(np.uint32), again.view(np.uint32))
    assert (sensed.shape[-1], degrees.shape[-1], degrees.dtype) == (6, 240, np.int8)
    assert len(np.unique(degrees)) > 100  # the premise: the targets move
    start = jnp.stack([task.begin(task.start(jax.random.key(0))).obs for task in tasks])  # not compiled as one program
    again = np.asarray(restore(stack(tasks), store(stack(tasks), start[:, None])))[:, 0]
    np.testing.assert_array_equal(np.asarray(start).view(np.uint32), again.view(np.uint32))


def test_targets_beyond_a_byte_are_refused():
    make(reach=127)
    with pytest.raises(ValueError, match=r"env\.reach = 127\.1: must be a number > 0 and <= 127"):
        make(reach=127.1)


def test_targets_start_from_the_angles_or_from_the_last_targets():
    physics = make().start(jax.random.key(0))
    motion = physics.motion.replace(qpos=physics.motion.qpos.at[7:].set(np.deg2rad(START + 3.3)))
    physics = physics.replace(motion=motion)
    action = jnp.array([0, 0.5, 1, -1, 0.1, 0, 0, -0.04])
    measured, commanded = (make(target_from=word).targets(physics, action) for word in ("measured", "commanded"))
    np.testing.assert_allclose(measured, [53, 9, 64, -8, 54, 3, 53, 3])
    np.testing.assert_allclose(commanded, [50, 6, 61, -11, 51, 0, 50, 0])
    np.testing.assert_allclose(make(reach=52).targets(physics, jnp.ones(8)), [52, 14] * 4)
