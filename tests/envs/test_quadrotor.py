from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import envs
from benchmarks.quadrotor_reference import HOVER, random_actions, solve
from envs.fields import InvalidSetting
from envs.quadrotor import QuadrotorState, angles, rotate

KEY = jax.random.key(0)
STILL = {"start_beside": 0, "start_height": 0, "start_speed": 0, "reference_speed": 0}


def make(**fields) -> Any:
    return envs.make("quadrotor", **fields)


def fly(env, state, actions) -> Any:
    """The states after each of the actions (steps, 4)."""

    def step(state, action):
        state = env.step(state, action)
        return state, state

    return jax.lax.scan(step, state, actions)[1]


reset = jax.jit(lambda env, key: env.reset(key))
one = jax.jit(fly)
many = jax.jit(jax.vmap(fly, (None, 0, 0)))
one_step = jax.jit(lambda env, physics, action: env.step(env.begin(physics), action))


def body(state) -> Any:
    return state.pipeline_state.physics


def rotors(*speeds) -> jax.Array:
    """The action that commands four rotor speeds, in 1/s."""
    return jnp.array(speeds, jnp.float32) / 5 - 1


def held(env, action, key=KEY) -> Any:
    """The states after each of 40 steps of a constant action: always 40, so that it compiles once."""
    return one(env, reset(env, key), jnp.broadcast_to(action, (40, 4)))


def wrapped(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


# Physics


@pytest.mark.parametrize(
    ("spread", "metres", "radians"),
    [(0.3, 2e-4, 1e-5), (2.0, 0.02, 2e-3)],
    ids=["around hover", "random"],
)
def test_quadrotor_is_where_the_rigid_body_equations_lead_within_4_seconds(spread, metres, radians):
    actions = random_actions(np.random.default_rng(0), 20, spread)
    env = make(observe_rates=True)
    start = jax.vmap(env.reset)(jax.random.split(KEY, 20))
    states = many(env, start, actions)
    places, speeds = np.asarray(body(start).position, float), np.asarray(body(start).velocity, float)
    paths = [solve(*case) for case in zip(places, speeds, actions, strict=True)]
    exact = {name: np.stack([path[name] for path in paths]) for name in paths[0]}
    assert np.abs(exact["rates"]).max() > 0.5, "it turns"
    assert np.abs(exact["angles"]).max(axis=(0, 1)).min() > 0.5, "about all axes"
    found = body(states)
    np.testing.assert_allclose(found.position, exact["position"], atol=metres)
    np.testing.assert_allclose(found.velocity, exact["velocity"], atol=2 * metres)
    np.testing.assert_allclose(found.rates, exact["rates"], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.attitude, axis=-1), 1, atol=1e-6)

    # and what an agent sees of it, computed apart
    reference = 0.15 * np.maximum(np.arange(1, 41) - 1, 0)
    error = np.stack([reference, 0 * reference, 0 * reference], axis=1) - exact["position"]
    np.testing.assert_allclose(states.obs[..., :3], error, atol=metres)
    np.testing.assert_allclose(wrapped(states.obs[..., 3:6] - exact["angles"]), 0, atol=radians)
    np.testing.assert_allclose(states.obs[..., 6:9], np.array([1.5, 0, 0]) - exact["velocity"], atol=2 * metres)
    np.testing.assert_allclose(states.obs[..., 9:], exact["rates"], atol=1e-5)
    cost = 5 * np.abs(error).sum(-1) + np.abs(exact["angles"]).sum(-1)
    np.testing.assert_allclose(states.reward, -cost, rtol=1e-4, atol=20 * metres + 3 * radians)


def test_acceleration_is_newtons_and_eulers():
    env = make(mass=0.4, inertia_x=0.5, inertia_y=0.8, inertia_z=1.1)
    inertia, rates = np.array([0.5, 0.8, 1.1]), np.array([3.0, -2.0, 1.5])
    force, torque = np.array([1.0, -2.0, 4.0]), np.array([0.3, 0.2, -0.7])
    turning = (torque - np.cross(rates, inertia * rates)) / inertia
    found = env.accelerate(*map(jnp.float32, (rates, force, torque)))
    np.testing.assert_allclose(found, [*(force / 0.4), *turning], rtol=1e-5)


@pytest.mark.parametrize("kind", ["full", "simplified"])
def test_it_hovers_on_the_spot_under_the_idle_action(kind):
    env = make(dynamics=kind, **STILL)
    states = held(env, env.idle)
    np.testing.assert_allclose(body(states).position, 0, atol=1e-3)
    np.testing.assert_allclose(states.obs[:, 3:6], 0, atol=1e-5)
    np.testing.assert_allclose(states.reward, 0, atol=6e-3)


def test_hover_speed_is_the_published_one():
    np.testing.assert_allclose(make().idle, rotors(*4 * [HOVER]), atol=1e-4)


def test_rotors_off_it_falls():
    states = held(make(**STILL), -jnp.ones(4))
    np.testing.assert_allclose(body(states).position[-1], [0, 0, -0.5 * 9.81 * 16], rtol=1e-5)


# Frames and signs


def tilt(*speeds, **fields) -> Any:
    """The body after 4 s in which the rotors run only a little apart."""
    return jax.tree.map(lambda x: x[-1], body(held(make(**STILL, **fields), rotors(*speeds))))


def test_positive_pitch_accelerates_towards_positive_x():
    state = tilt(HOVER, HOVER + 0.01, HOVER, HOVER - 0.01)
    roll, pitch, _ = np.asarray(angles(state.attitude))
    assert 0.02 < pitch < 0.5
    assert abs(roll) < 1e-5
    assert state.rates[1] > 0
    assert state.velocity[0] > 0.1
    assert abs(state.velocity[1]) < 1e-4


def test_positive_roll_accelerates_towards_negative_y():
    state = tilt(HOVER + 0.01, HOVER, HOVER - 0.01, HOVER)
    roll, pitch, _ = np.asarray(angles(state.attitude))
    assert 0.02 < roll < 0.5
    assert abs(pitch) < 1e-5
    assert state.rates[0] > 0
    assert state.velocity[1] < -0.1
    assert abs(state.velocity[0]) < 1e-4


def test_rotors_1_and_3_yaw_counter_clockwise():
    fast, slow = np.sqrt(HOVER**2 + 1), np.sqrt(HOVER**2 - 1)
    state = tilt(fast, slow, fast, slow)
    roll, pitch, yaw = np.asarray(angles(state.attitude))
    acceleration = 0.23 * 7.5e-4 * 4 / 1.3
    assert yaw == pytest.approx(acceleration * 8, rel=1e-3)
    np.testing.assert_allclose([roll, pitch, *state.velocity], 0, atol=1e-3)


def test_angles_are_in_the_order_yaw_pitch_roll():
    turns = Rotation.random(200, rng=np.random.default_rng(0))
    yaw, pitch, roll = turns.as_euler("ZYX").T
    quaternions = jnp.asarray(turns.as_quat(scalar_first=True), jnp.float32)
    np.testing.assert_allclose(jax.vmap(angles)(quaternions), np.stack([roll, pitch, yaw], 1), atol=2e-3)
    vectors = np.random.default_rng(1).normal(size=(200, 3))
    np.testing.assert_allclose(jax.vmap(rotate)(quaternions, jnp.float32(vectors)), turns.apply(vectors), atol=1e-5)


@pytest.mark.parametrize(("pitch", "sign"), [(np.pi / 2, 1), (-np.pi / 2, -1)])
def test_angles_stay_finite_where_the_nose_points_up_or_down(pitch, sign):
    found = angles(jnp.array([np.cos(pitch / 2), 0, np.sin(pitch / 2), 0], jnp.float32))
    assert np.isfinite(found).all()
    assert float(found[1]) == pytest.approx(sign * np.pi / 2, abs=1e-3)


# The action


def test_rotor_map():
    thrust, torque = make().wrench(rotors(1.0, 2.0, 3.0, 4.0))
    squares = np.array([1, 4, 9, 16])
    assert float(thrust) == pytest.approx(0.313 * 30, rel=1e-5)
    expected = [0.23 * 0.313 * (1 - 9), 0.23 * 0.313 * (4 - 16), 0.23 * 7.5e-4 * (squares @ [1, -1, 1, -1])]
    np.testing.assert_allclose(torque, expected, rtol=1e-4)
    np.testing.assert_allclose(make().wrench(jnp.ones(4))[0] / (0.65 * 9.81), 19.6, atol=0.05)


def test_simplified_commands_thrust_and_torques_within_what_the_rotors_give():
    simple, full, weight = make(dynamics="simplified"), make(), 0.65 * 9.81
    for action, thrust, torque in [
        ([0, 0, 0, 0], weight, [0, 0, 0]),
        ([-1, 0, 0, 0], 0, [0, 0, 0]),
        ([1, 0, 0, 0], 2 * weight, [0, 0, 0]),
        ([0, 1, 0, 0], weight, [0.5 * weight * 0.23, 0, 0]),
        ([0, 0, -1, 0], weight, [0, -0.5 * weight * 0.23, 0]),
        ([0, 0, 0, 1], weight, [0, 0, 0.23 * 7.5e-4 * weight / 0.313]),
    ]:
        found = simple.wrench(jnp.float32(action))
        np.testing.assert_allclose(found[0], thrust, rtol=1e-5)
        np.testing.assert_allclose(found[1], torque, rtol=1e-5)
        # rotors exist that give it: solve for the squares of their speeds
        matrix = np.array(
            [[0.313] * 4, [0.07199, 0, -0.07199, 0], [0, 0.07199, 0, -0.07199], [1.725e-4, -1.725e-4] * 2]
        )
        squares = np.linalg.solve(matrix, [float(found[0]), *np.asarray(found[1])])
        assert np.all((squares > -1e-3) & (squares <= 100))
        given = full.wrench(rotors(*np.sqrt(np.maximum(squares, 0))))
        np.testing.assert_allclose(given[0], thrust, atol=1e-4)
        np.testing.assert_allclose(given[1], torque, atol=1e-4)
    np.testing.assert_allclose(simple.action_low, [0, *(-simple.action_high[1:])])
    np.testing.assert_allclose(full.action_low, 0)
    np.testing.assert_allclose(full.action_high, 10)


def test_simplified_turns_as_told():
    action = jnp.array([0.0, 0.0, 0.1, 0.0])
    states = held(make(dynamics="simplified", **STILL), action)
    acceleration = 0.1 * 0.5 * 0.65 * 9.81 * 0.23 / 0.75
    np.testing.assert_allclose(states.obs[:, 4], 0.5 * acceleration * (0.1 * np.arange(1, 41)) ** 2, rtol=1e-3)
    assert body(states).velocity[-1, 0] > 0


def test_hover_acts_while_the_first_action_is_on_its_way():
    states = held(make(action_delay=2, **STILL), -jnp.ones(4))
    np.testing.assert_allclose(body(states).velocity[:3, 2], [0, 0, -0.981], atol=1e-4)


# Reset, reference, observation, reward


def test_start():
    states = jax.vmap(make().reset)(jax.random.split(KEY, 2000))
    start = body(states)
    drawn = np.concatenate([start.position, start.velocity], axis=1)
    reach = np.array([0.1, 0.1, 1, 0.1, 0.1, 0.1])
    assert np.all(np.abs(drawn) <= reach)
    np.testing.assert_allclose(drawn.std(axis=0), reach / np.sqrt(3), rtol=0.06)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.eye(6), atol=0.1)
    np.testing.assert_array_equal(start.attitude, np.tile([1, 0, 0, 0], (2000, 1)))
    np.testing.assert_array_equal(start.rates, 0)
    np.testing.assert_allclose(states.obs[:, 6:], np.array([1.5, 0, 0]) - start.velocity, rtol=1e-6)


@pytest.mark.parametrize(("lag", "waits"), [(0, 0), (1, 1), (5, 5)])
def test_reference_runs_ahead_after_its_lag(lag, waits):
    env = make(reference_lag=lag, **(STILL | {"reference_speed": 1.5}))
    start, states = reset(env, KEY), held(env, env.idle)
    expected = 0.15 * np.maximum(np.arange(1, 41) - waits, 0)
    assert float(start.obs[0]) == 0
    np.testing.assert_allclose(states.obs[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(states.obs[:, 6], 1.5, atol=1e-4)


def test_reward_by_hand():
    turn = Rotation.from_euler("ZYX", [0.3, -0.2, 0.1])
    physics = QuadrotorState(
        position=jnp.array([0.4, -0.3, 0.2]),
        attitude=jnp.asarray(turn.as_quat(scalar_first=True), jnp.float32),
        velocity=jnp.array([1.0, 2.0, -0.5]),
        rates=jnp.zeros(3),
        steps=jnp.int32(9),
    )
    # so short a step that nothing moves but the reference, which has waited for one step of ten
    env = make(step_seconds=1e-6, reference_speed=1e5)
    state = one_step(env, physics, env.idle)
    cost = 5 * (abs(0.9 - 0.4) + 0.3 + 0.2) + 0.1 + 0.2 + 0.3
    assert float(state.reward) == pytest.approx(-cost, rel=1e-4)
    np.testing.assert_allclose(state.obs[:6], [0.5, 0.3, -0.2, 0.1, -0.2, 0.3], atol=1e-4)
    weighted = env.replace(position_weight=np.float32(1), attitude_weight=np.float32(10))
    assert float(one_step(weighted, physics, env.idle).reward) == pytest.approx(-(1.0 + 6.0), rel=1e-4)


def test_body_rates_are_hidden_unless_wanted():
    assert make().observation_size == 9
    assert make(observe_rates=True).observes[9:] == tuple(
        f"angular velocity about the body's {a}, rad/s" for a in "xyz"
    )


def test_masses_in_one_program_equal_masses_one_by_one():
    masses, inertias = np.float32([0.5, 0.65, 0.8]), np.float32([0.7, 0.75, 1.2])
    action = rotors(2.5, 2.2, 2.0, 2.3)
    run = lambda mass, inertia: body(held(make(**STILL).replace(mass=mass, inertia_x=inertia), action)).position[-1]  # noqa: E731
    together = jax.vmap(run)(masses, inertias)
    np.testing.assert_allclose(together, [run(*case) for case in zip(masses, inertias, strict=True)], rtol=1e-4)
    assert np.linalg.norm(together[0] - together[2]) > 1


# Whole episodes


def test_returns_of_constants_and_of_random_actions():
    env = make(observe_rates=True)
    start = jax.vmap(env.reset)(jax.random.split(KEY, 20))
    constant = lambda action: jnp.broadcast_to(action, (20, 40, 4))  # noqa: E731
    returns = lambda actions: np.asarray(many(env, start, actions).reward).sum(1)  # noqa: E731
    assert returns(constant(make().idle)).mean() == pytest.approx(-722, abs=45)
    assert returns(constant(-jnp.ones(4))).mean() == pytest.approx(-6200, rel=0.1)
    assert returns(constant(jnp.zeros(4))).mean() == pytest.approx(-22600, rel=0.1)


def test_time_limit_is_a_termination_as_published():
    assert bool(make().timeout_is_termination)
    assert int(make().horizon) == 40


def test_100_k_random_steps():
    env = envs.for_training(make())

    def one(state, key):
        state = env.step(state, jax.random.uniform(key, (4,), minval=-1.0))
        return state, (state.info["final_obs"], state.reward, state.done, state.metrics["nonfinite"])

    run = lambda key: jax.lax.scan(one, env.reset(key), jax.random.split(key, 400))[1]  # noqa: E731
    obs, reward, done, nonfinite = map(np.asarray, jax.jit(jax.vmap(run))(jax.random.split(KEY, 256)))
    assert np.isfinite(obs).all()
    assert not nonfinite.any()
    assert np.abs(obs[..., :3]).max() < 0.5 * 19.6 * 9.81 * 16
    assert np.all(np.abs(obs[..., 3:6]) <= np.pi + 1e-6)
    assert np.all(reward < 0)
    np.testing.assert_array_equal(done.sum(axis=1), 10)
    assert np.std(obs[:, 39], axis=0).min() > 0.1, "never stuck"


def test_the_bare_task_stays_finite_long_after_its_end():
    env = make()
    state = reset(env, KEY)
    for _ in range(50):
        state = jax.tree.map(lambda leaf: leaf[-1], one(env, state, jnp.tile(rotors(10.0, 0.0, 0.0, 0.0), (40, 1))))
    assert np.isfinite(state.obs).all()
    assert np.isfinite(state.reward)
    assert np.abs(body(state).rates).max() > 50


# Bad input


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mass": 13.0}, r"env\.max_rotor_speed = 10\.0: all rotors must give >= 127\.5\S* N, but give 125\.2"),
        ({"mass": 6.5, "dynamics": "simplified"}, r"all rotors must give >= 127\.5\S* N"),
        ({"inertia_z": 1.6}, r"env\.inertia_z = 1\.6: must be <= the sum of the other two, 1\.5"),
        ({"dynamics": "simple"}, r"env\.dynamics = 'simple': must be one of full, simplified"),
        ({"mass": 0}, r"env\.mass = 0: must be a number > 0"),
    ],
)
def test_bodies_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(InvalidSetting, match=message):
        make(**fields)


def test_a_grid_is_refused_where_one_of_its_bodies_makes_no_sense():
    make(mass=6.5).validate()
    make().replace(mass=np.float32([0.5, 0.8])).validate()
    with pytest.raises(InvalidSetting, match="all rotors"):
        make().replace(mass=np.float32([0.5, 20.0])).validate()
