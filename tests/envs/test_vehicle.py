from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import envs
from benchmarks.vehicle_reference import START, random_actions, solve
from envs.vehicle import path

KEY = jax.random.key(0)


def make(**fields) -> Any:
    return envs.make("vehicle", **fields)


def rollout(env, actions) -> Any:
    """The states after each of the actions (steps, 2), leaves (steps, ...)."""

    def step(state, action):
        state = env.step(state, action)
        return state, state

    return jax.lax.scan(step, env.reset(KEY), actions)[1]


single = jax.jit(rollout)
first_step = jax.jit(lambda env, action: env.step(env.reset(KEY), action))
vehicle_slope = jax.jit(lambda env, action, motion: env.slope(action, motion))
batched = jax.jit(jax.vmap(rollout, (None, 0)))


def wrapped(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


def target_positions(steps):
    """(steps + 1, 2), by a loop and scipy."""
    corners = -np.pi / 4 - 2 * np.pi * np.arange(9) / 8
    points = 10 * np.stack([np.cos(corners), np.sin(corners)], 1)
    lengths = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    spline = CubicSpline(lengths, points, bc_type="natural")
    arcs = [13.0]
    for step in range(steps):
        arcs.append(arcs[-1] + (0.1 * min(6, 1 + 0.1 * 0.1 * step) if step < 109 else 0))
    return spline(arcs)


# Accuracy


@pytest.mark.parametrize("hold", [1, 20])
@pytest.mark.parametrize(("tyres", "metres", "radians"), [("published", 0.02, 2e-3), ("road", 0.01, 1e-3)])
def test_car_is_where_the_equations_lead_after_20_seconds(tyres, metres, radians, hold):
    actions = random_actions(np.random.default_rng(7), 20, tyres, hold).astype(np.float32)
    exact = np.stack([solve(sequence, tyres) for sequence in actions])
    states = batched(make(tyres=tyres), actions)
    car = states.pipeline_state.physics
    pose, velocity = np.asarray(car.pose), np.asarray(car.velocity)
    if tyres == "road":
        assert exact[:, :, 3].min() > 1  # the premise of the bound
    assert np.hypot(*(pose[:, -1, :2] - exact[:, -1, :2]).T).max() < metres / 2
    assert np.abs(wrapped(pose[:, -1, 2] - exact[:, -1, 2])).max() < radians / 2
    np.testing.assert_allclose(velocity, exact[:, 1:, 3:], atol=5e-3)

    # and what an agent sees of it, computed apart
    position, yaw = exact[:, 1:, :2], exact[:, 1:, 2]
    target = target_positions(200)[1:]
    front = position + 2.9 * np.stack([np.cos(yaw), np.sin(yaw)], -1)
    off_path = np.abs((position**2).sum(-1) - 100)
    reward = -0.3 * off_path - np.linalg.norm(target - position, axis=-1)
    np.testing.assert_allclose(states.obs[..., :2], target - front, atol=0.02)
    np.testing.assert_allclose(wrapped(states.obs[..., 2] - yaw), 0, atol=2e-3)
    np.testing.assert_allclose(states.obs[..., 3:], exact[:, 1:, 3:], atol=5e-3)
    np.testing.assert_allclose(states.reward, reward, rtol=2e-3, atol=0.1)


def test_masses_in_one_program_equal_masses_one_by_one_and_the_equations():
    masses = np.array([1000.0, 1500.0, 2200.0], np.float32)
    actions = random_actions(np.random.default_rng(3), 1, "road")[0].astype(np.float32)
    env = make(tyres="road")
    last_pose = lambda mass: rollout(env.replace(mass=mass), actions).pipeline_state.physics.pose[-1]  # noqa: E731
    together = jax.jit(jax.vmap(last_pose))(masses)
    alone = [single(make(tyres="road", mass=m), actions).pipeline_state.physics.pose[-1] for m in masses]
    exact = [solve(actions, "road", mass=float(mass))[-1] for mass in masses]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert np.hypot(*(np.asarray(together) - np.stack(exact)[:, :3])[:, :2].T).max() < 0.01
    assert np.hypot(*(np.asarray(together)[0] - np.asarray(together)[2])[:2]) > 0.5  # the mass matters


def test_yaw_inertia_is_felt():
    # the same torque turns twice the inertia half as much
    rates = [
        float(one_step((0.1, 0.3), start_yaw_rate=0, yaw_inertia=inertia).pipeline_state.physics.velocity[2])
        for inertia in (2250.0, 4500.0)
    ]
    assert rates[0] == pytest.approx(2 * rates[1], rel=1e-2)
    assert rates[0] > 0


# Forces, signs and frames


def one_step(action=(0.0, 0.0), **fields) -> Any:
    return first_step(make(**fields), jnp.array(action))


@pytest.mark.parametrize(
    ("forward", "divisor"),
    [(0.0, 1e-3), (-0.0, 1e-3), (9e-4, 1e-3), (-9e-4, -1e-3), (1.1e-3, 1.1e-3), (-0.02, -0.02), (3.0, 3.0)],
)
def test_forces_and_the_slip_rule_near_standstill(forward, divisor):
    leftward, rate, throttle, steering = 0.002, 1e-4, 0.5, 0.3
    front = -32 * np.arctan((leftward + 1.45 * rate) / divisor - steering)
    rear = -34 * np.arctan((leftward - 1.45 * rate) / divisor)
    along = 1500 * throttle - front * np.sin(steering) - 1.36 * forward**2 - 0.01 * forward
    across = front * np.cos(steering) + rear
    torque = 1.45 * front * np.cos(steering) - 1.45 * rear
    yaw = 0.7  # turned in the frame at rest, so the velocity must be turned back and the force turned
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    motion = np.concatenate([[4.0, -3.0, yaw], turn @ [forward, leftward], [rate]])
    if forward == 0:
        motion[2], turn = 0.0, np.eye(2)
        motion[3:5] = forward, leftward  # rounding in the turn would give the zero a sign
    slope = vehicle_slope(make(), jnp.array([throttle, steering]), jnp.asarray(motion, jnp.float32))
    np.testing.assert_allclose(slope[:3], motion[3:], rtol=1e-6)
    np.testing.assert_allclose(slope[3:5], turn @ [along, across] / 1500, rtol=2e-4)
    np.testing.assert_allclose(slope[5], torque / 2250, rtol=2e-4)


def test_positive_steering_turns_left_and_positive_throttle_speeds_up():
    straight = one_step((1.0, 0.0), start_yaw_rate=0).pipeline_state.physics
    left = one_step((0.0, 0.2), start_yaw_rate=0).pipeline_state.physics
    assert float(straight.velocity[0]) > 3.09
    assert float(straight.pose[2]) == pytest.approx(START[2], abs=1e-5)
    assert float(left.pose[2]) > START[2]
    assert float(left.velocity[2]) > 0


def test_car_moves_along_its_axes():
    free = {"stiffness_front": 0, "stiffness_rear": 0, "aero_drag": 0, "rolling_drag": 0, "start_yaw_rate": 0}
    along = np.array([np.cos(START[2]), np.sin(START[2])])
    leftwards = np.array([-along[1], along[0]])
    car = one_step(**free, start_forward=2.0, start_leftward=0.5).pipeline_state.physics
    np.testing.assert_allclose(car.pose[:2], START[:2] + 0.2 * along + 0.05 * leftwards, atol=1e-5)
    np.testing.assert_allclose(car.velocity, [2.0, 0.5, 0], atol=1e-5)
    # what slides without force keeps its course while the car turns
    turning = one_step(**(free | {"start_yaw_rate": 2.0}), start_forward=2.0).pipeline_state.physics
    np.testing.assert_allclose(turning.pose[:2], START[:2] + 0.2 * along, atol=1e-5)
    np.testing.assert_allclose(turning.velocity, [2 * np.cos(0.2), -2 * np.sin(0.2), 2.0], atol=1e-5)


# Path, observation, reward


def test_path_is_the_spline_through_the_octagon():
    np.testing.assert_allclose(path(0.0, 10.0)[0], 10 * np.sqrt(0.5) * np.array([1, -1]), atol=1e-5)
    np.testing.assert_allclose(path(61.2293, 10.0)[0], path(0.0, 10.0)[0], atol=2e-4)  # the total length
    corners = -np.pi / 4 - 2 * np.pi * np.arange(9) / 8
    spline = CubicSpline(
        np.linspace(0, 61.22934917841437, 9), 10 * np.stack([np.cos(corners), np.sin(corners)], 1), bc_type="natural"
    )
    arcs = np.linspace(0, 61.2, 500)
    positions, directions = jax.vmap(lambda arc: path(arc, 10.0))(jnp.float32(arcs))
    np.testing.assert_allclose(positions, spline(arcs), atol=3e-5)
    np.testing.assert_allclose(directions, spline(arcs, 1), atol=3e-5)


def test_reset_is_the_published_start():
    env = make()
    state = env.reset(KEY)
    np.testing.assert_allclose(state.pipeline_state.physics.pose, [-1.3294, -9.9461, 3.0173], atol=1e-4)
    np.testing.assert_allclose(state.obs[2:], [3.0173, 3, 0, -1], atol=1e-4)
    front = np.array([-1.3294, -9.9461]) + 2.9 * np.array([np.cos(3.0173), np.sin(3.0173)])
    np.testing.assert_allclose(state.obs[:2], np.array([-5.1766, -8.5607]) - front, atol=2e-4)
    np.testing.assert_array_equal(state.obs, env.reset(jax.random.key(9)).obs)


def test_target_stops_after_109_steps():
    states = single(make(), jnp.zeros((200, 2)))
    yaw = np.asarray(states.obs[:, 2])
    front = states.pipeline_state.physics.pose[:, :2] + 2.9 * np.stack([np.cos(yaw), np.sin(yaw)], 1)
    target = states.obs[:, :2] + front
    np.testing.assert_allclose(target, target_positions(200)[1:], atol=1e-4)
    np.testing.assert_allclose(target[108:], np.tile([-7.643, 6.445], (92, 1)), atol=1e-3)
    assert np.hypot(*(target[107] - target[108])) > 0.1
    assert float(states.reward.sum()) == pytest.approx(-77.4e3, abs=200)


def test_reward_weights():
    whole, double, distance = (float(one_step(path_weight=weight).reward) for weight in (0.3, 0.6, 0.0))
    assert double - distance == pytest.approx(2 * (whole - distance), rel=1e-5)
    assert float(one_step(path_weight=0.0, distance_weight=2.0).reward) == pytest.approx(2 * distance, rel=1e-5)
    assert float(one_step(path_weight=0.0, distance_weight=0.0).reward) == 0


def test_path_radius_scales_path_start_and_reward():
    env = make(path_radius=20.0, start_arc=18.0)
    np.testing.assert_allclose(env.reset(KEY).pipeline_state.physics.pose, [*(2 * START[:2]), START[2]], atol=1e-4)
    state = first_step(env, jnp.zeros(2))
    expected = -0.3 * abs(float(jnp.sum(state.pipeline_state.physics.pose[:2] ** 2)) - 400)
    assert float(first_step(env.replace(distance_weight=np.float32(0)), jnp.zeros(2)).reward) == pytest.approx(
        expected, rel=1e-4
    )


# Whole episodes


@pytest.mark.parametrize("tyres", ["published", pytest.param("road", marks=pytest.mark.slow)])
def test_100_k_random_steps(tyres):
    actions = jax.random.uniform(KEY, (512, 200, 2), minval=-1.0)
    states = batched(make(tyres=tyres), actions)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states))
    assert np.abs(states.obs[..., 3:5]).max() <= 30
    assert np.abs(states.obs[..., 2]).max() <= np.pi + 1e-6
    if tyres == "published":
        returns = np.asarray(states.reward).sum(1)
        assert returns.mean() == pytest.approx(-78.6e3, abs=2.5e3)  # four standard errors
        assert returns.std() == pytest.approx(14e3, rel=0.2)


def test_speed_is_bounded_and_the_task_goes_on_after_its_end():
    env = make(start_yaw_rate=0.0)
    states = single(env, jnp.tile(jnp.array([1.0, 0.0]), (1000, 1)))
    assert float(states.obs[-1, 3]) == 30
    assert np.asarray(states.obs[:, 3]).max() == 30
    assert np.all(np.asarray(states.done) == 0)
    assert np.isfinite(states.reward).all()


def test_time_limit_is_a_termination_as_published():
    assert bool(make().timeout_is_termination)
    assert int(envs.spec("vehicle").horizon) == 200
