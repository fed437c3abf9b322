from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv, rk4

import envs
from envs.acrobot import AcrobotState

KEY = jax.random.key(0)
FREE = {"max_speed_1": 1e9, "max_speed_2": 1e9}
UNEQUAL = {"mass_1": 1.3, "mass_2": 0.6, "length_1": 1.2, "centre_1": 0.7, "centre_2": 0.4, "gravity": 9.8}


def make(**fields) -> Any:
    return envs.make("acrobot", **fields)


def put(motion) -> AcrobotState:
    """The state with two angles and two speeds."""
    return AcrobotState(jnp.float32(motion[:2]), jnp.float32(motion[2:]))


@jax.jit
def step(env, motion, action) -> Any:
    return env.step(env.begin(put(motion)), action)


@jax.jit
def steps(env, motions, actions) -> Any:
    return jax.vmap(lambda motion, action: env.step(env.begin(put(motion)), action))(motions, actions)


def found(state) -> np.ndarray:
    """(..., 4) angles and speeds."""
    physics = state.pipeline_state.physics
    return np.concatenate([physics.angles, physics.speeds], axis=-1)


def reference(motion, torque, seconds=0.2, inertia=1.0, **fields) -> np.ndarray:
    """One Runge-Kutta step of Gymnasium's equations, whose angle of link 1 is zero where it hangs."""
    values = {"mass_1": 1.0, "mass_2": 1.0, "length_1": 1.0, "centre_1": 0.5, "centre_2": 0.5} | fields
    gym: Any = AcrobotEnv()
    gym.book_or_nips = "book"
    gym.LINK_MASS_1, gym.LINK_MASS_2, gym.LINK_LENGTH_1 = (values[k] for k in ("mass_1", "mass_2", "length_1"))
    gym.LINK_COM_POS_1, gym.LINK_COM_POS_2, gym.LINK_MOI = values["centre_1"], values["centre_2"], inertia
    hanging = np.array([np.pi / 2, 0, 0, 0])
    return rk4(gym._dsdt, np.append(motion + hanging, torque), [0, seconds])[:4] - hanging


def wrapped(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


def random_motions(count, speed) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(-np.pi, np.pi, (count, 2)), rng.uniform(-speed, speed, (count, 2))], axis=1)


@pytest.mark.parametrize("fields", [{}, UNEQUAL, UNEQUAL | {"inertia_1": 0.3, "inertia_2": 0.3}])
def test_step_is_one_runge_kutta_step_of_gymnasiums_equations(fields):
    motions = random_motions(200, 4.0)
    actions = np.random.default_rng(1).uniform(-1, 1, (200, 1)).astype(np.float32)
    inertia = fields.get("inertia_1", 1.0)
    values = {name: value for name, value in fields.items() if name in UNEQUAL and name != "gravity"}
    pairs = zip(motions, 20 * actions[:, 0], strict=True)
    expected = np.stack([reference(motion, torque, inertia=inertia, **values) for motion, torque in pairs])
    after = found(steps(make(**fields, **FREE), motions, actions))
    np.testing.assert_allclose(wrapped(after[:, :2] - expected[:, :2]), 0, atol=1e-4)
    np.testing.assert_allclose(after[:, 2:], expected[:, 2:], atol=2e-4)
    assert np.abs(after[:, :2]).max() <= np.pi + 1e-6


def test_substeps_are_shorter_steps():
    motion = np.array([0.3, -1.2, 2.0, -3.0])
    expected = motion
    for _ in range(4):
        expected = reference(expected, 15.0, seconds=0.05)
    after = found(step(make(substeps=4, **FREE), motion, jnp.array([0.75])))
    np.testing.assert_allclose(wrapped(after - expected), 0, atol=1e-4)
    assert np.abs(after - found(step(make(**FREE), motion, jnp.array([0.75])))).max() > 1e-3


def energy(motion, mass_1, mass_2, length_1, centre_1, centre_2, gravity, inertia_1, inertia_2):
    """Kinetic and potential energy, by the velocities of the two centres of mass."""
    first, second, speed_1, speed_2 = np.asarray(motion, np.float64).T
    turn = speed_1 + speed_2
    velocity_1 = centre_1 * speed_1
    velocity_2 = np.stack(
        [
            -length_1 * np.sin(first) * speed_1 - centre_2 * np.sin(first + second) * turn,
            length_1 * np.cos(first) * speed_1 + centre_2 * np.cos(first + second) * turn,
        ]
    )
    kinetic = mass_1 * velocity_1**2 + mass_2 * (velocity_2**2).sum(0) + inertia_1 * speed_1**2 + inertia_2 * turn**2
    height_2 = length_1 * np.sin(first) + centre_2 * np.sin(first + second)
    return 0.5 * kinetic + gravity * (mass_1 * centre_1 * np.sin(first) + mass_2 * height_2)


def test_energy_is_conserved_without_torque_and_bounds():
    values = UNEQUAL | {"inertia_1": 0.4, "inertia_2": 0.7}
    env = make(**values, **FREE, substeps=40)
    motions = random_motions(16, 6.0)

    def run(motion):
        def one(state, _):
            state = env.step(state, jnp.zeros(1))
            return state, state

        return jax.lax.scan(one, env.begin(put(motion)), length=50)[1]

    path = found(jax.jit(jax.vmap(run))(motions))
    before = energy(motions.astype(np.float32), **values)
    moved = np.abs(path[:, -1] - motions).max()
    assert moved > 1
    for index in range(16):
        drift = np.abs(energy(path[index], **values) - before[index])
        assert drift.max() < 1e-3 * (abs(before[index]) + 10), index


def test_positive_torque_bends_the_elbow_counter_clockwise_and_pushes_link_1_back():
    after = found(step(make(gravity=0.0), np.zeros(4), jnp.array([0.05])))
    assert after[3] > 0
    assert after[2] < 0


def test_upright_is_unstable_and_hanging_is_not():
    motions = np.array([[np.pi / 2, 0, 0, 0], [np.pi / 2 + 0.01, 0, 0, 0], [0.01 - np.pi / 2, 0, 0, 0]])
    after = found(steps(make(), motions, np.zeros((3, 1), np.float32)))
    np.testing.assert_allclose(after[0], motions[0], atol=1e-5)
    assert after[1, 0] > motions[1, 0]  # falls further to the side it leans
    assert after[2, 0] < motions[2, 0]  # swings back


def test_speeds_are_bounded_after_the_step():
    motion = np.array([0.0, 0.0, 12.0, 28.0])
    assert np.abs(reference(motion, 20.0)[2:]).max() > 9 * np.pi
    state = step(make(), motion, jnp.ones(1))
    assert np.all(np.abs(found(state)[2:]) <= np.float32([4 * np.pi, 9 * np.pi]))
    np.testing.assert_allclose(np.abs(found(step(make(max_speed_2=0.5), motion, jnp.ones(1))))[3], 0.5)


def test_observation_and_reward():
    state = step(make(), np.array([2.9, -2.0, 3.0, 1.0]), jnp.array([0.3]))
    first, second, speed_1, speed_2 = found(state)
    np.testing.assert_allclose(
        state.obs, [np.cos(first), np.sin(first), np.cos(second), np.sin(second), speed_1, speed_2], atol=1e-6
    )
    angles = wrapped(first - np.pi / 2) ** 2 + wrapped(second) ** 2
    assert float(state.reward) == pytest.approx(-(angles + 0.1 * (speed_1**2 + speed_2**2)), rel=1e-5)
    assert first < -np.pi / 2, "the case is one in which the difference from upright must be wrapped"
    heavy = step(make(angle_weight=3.0, speed_weight=0.0), np.array([2.9, -2.0, 3.0, 1.0]), jnp.array([0.3]))
    assert float(heavy.reward) == pytest.approx(-3 * angles, rel=1e-5)
    assert float(state.done) == 0


def test_start():
    env = make()
    motions = found(jax.vmap(env.reset)(jax.random.split(KEY, 2000)))
    low, high = np.array([np.pi / 4, -0.1, -0.1, -0.1]), np.array([3 * np.pi / 4, 0.1, 0.1, 0.1])
    assert np.all((motions >= low) & (motions <= high))
    np.testing.assert_allclose(motions.mean(axis=0), (low + high) / 2, atol=0.04)
    np.testing.assert_allclose(motions.std(axis=0), (high - low) / np.sqrt(12), rtol=0.06)
    np.testing.assert_allclose(np.corrcoef(motions.T), np.eye(4), atol=0.1)


def test_time_limit_is_a_truncation_as_published():
    assert not bool(make().timeout_is_termination)
    assert int(make().horizon) == 400


def test_100_k_random_steps():
    env = envs.for_training(make())

    def one(state, key):
        state = env.step(state, jax.random.uniform(key, (1,), minval=-1.0))
        return state, (state.info["final_obs"], state.reward, state.done, state.metrics["nonfinite"])

    run = lambda key: jax.lax.scan(one, env.reset(key), jax.random.split(key, 400))[1]  # noqa: E731
    obs, reward, done, nonfinite = map(np.asarray, jax.jit(jax.vmap(run))(jax.random.split(KEY, 256)))
    assert np.isfinite(obs).all()
    assert not nonfinite.any()
    assert np.all(np.abs(obs[..., 4:]) <= np.float32([4 * np.pi, 9 * np.pi]))
    assert np.all((reward < 0) & (reward > -2 * np.pi**2 - 0.1 * (16 + 81) * np.pi**2))
    np.testing.assert_array_equal(done.sum(axis=1), 1)
    assert np.std(obs[:, -1], axis=0).min() > 0.1, "never stuck"
