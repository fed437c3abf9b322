import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from envs.fields import InvalidSetting
from envs.gymnasium_env import TaskEnv, TaskVectorEnv

pytestmark = pytest.mark.usefixtures("quick_compile")

QUICK = ("toy", "pendulum")
SB3 = Path(__file__).parents[2] / ".venv-sb3" / "bin" / "python"
PENDULUM = gymnasium.spec("maxent_jax/Pendulum-v0")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in envs.names()]
)
def test_gymnasium_finds_nothing_wrong(name):  # warnings are errors
    env = gymnasium.make(f"maxent_jax/{envs.task(name).__name__}-v0")
    check_env(env.unwrapped)
    assert env.observation_space.shape == (envs.spec(name).observation_size,)
    env.close()


def test_steps_are_those_of_the_task_until_its_time_limit():
    env, bare = gymnasium.make(PENDULUM, horizon=4, mass=2.0), envs.make("pendulum", mass=2.0)
    begun: Any = bare.reset(jax.random.key(0))
    obs, info = env.reset(seed=5)
    assert info == {}
    step = jax.jit(bare.step)
    angle = np.arctan2(obs[1], obs[0]).astype(np.float32)
    state = bare.begin(begun.pipeline_state.physics.replace(theta=jnp.asarray(angle), speed=jnp.asarray(obs[2])))
    for index, action in enumerate(np.linspace(-1, 1, 4, dtype=np.float32)):
        obs, reward, terminated, truncated, _ = env.step(np.array([action]))
        state = step(state, jnp.array([action]))
        np.testing.assert_allclose(obs, state.obs, atol=1e-5)
        np.testing.assert_allclose(reward, state.reward, rtol=1e-5)
        assert (terminated, truncated) == (False, index == 3)


def test_time_limit_that_is_a_termination_is_reported_as_one():
    env = TaskEnv(envs.make("pendulum", horizon=1, timeout_is_termination=True))
    env.reset(seed=0)
    assert env.step(np.zeros(1))[2:4] == (True, False)


def test_same_seed_repeats_and_another_differs():
    env = TaskEnv("pendulum")
    first, later = env.reset(seed=1)[0], env.reset()[0]
    assert np.any(first != later)
    assert np.any(env.reset(seed=2)[0] != first)
    np.testing.assert_array_equal(env.reset(seed=1)[0], first)
    np.testing.assert_array_equal(env.reset()[0], later)


@pytest.mark.parametrize("action", [[np.nan], [np.inf], [0.0, 0.0], 0.0])
def test_actions_that_make_no_sense_are_refused(action):
    env, many = TaskEnv("pendulum"), TaskVectorEnv("pendulum", num_envs=1)
    env.reset(seed=0)
    many.reset(seed=0)
    with pytest.raises(InvalidSetting, match=r"action .*must"):
        env.step(action)
    with pytest.raises(InvalidSetting, match=r"action .*must"):
        many.step([action])


def test_actions_out_of_range_are_clipped():
    env = TaskEnv("pendulum")
    env.reset(seed=0)
    far = env.step(np.array([7.0]))
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(np.array([1.0]))[0], far[0])


def test_fields_of_a_finished_task_are_refused():
    with pytest.raises(InvalidSetting, match=r"fields mass: must be set in the task"):
        TaskEnv(envs.make("pendulum"), mass=2.0)
    with pytest.raises(InvalidSetting, match=r"env\.mass = 0: must be a number > 0"):
        gymnasium.make(PENDULUM, mass=0)


def test_many_are_one_program_that_resets_within_the_step():
    many = gymnasium.make_vec(PENDULUM, num_envs=3, horizon=2)
    assert isinstance(many, TaskVectorEnv)
    assert many.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    obs, _ = many.reset(seed=1)
    assert obs.shape == many.observation_space.shape == (3, 3)
    assert len(np.unique(obs[:, 2])) == 3
    bare = envs.make("pendulum")
    step = jax.jit(jax.vmap(bare.step))
    begun: Any = jax.vmap(bare.reset)(jax.random.split(jax.random.key(0), 3))
    angle, speed = np.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2]
    state = jax.vmap(bare.begin)(begun.pipeline_state.physics.replace(theta=jnp.asarray(angle), speed=speed))
    actions = np.array([[0.1], [-2.0], [0.7]], np.float32)
    for index in range(2):
        obs, reward, terminated, truncated, infos = many.step(actions)
        state = step(state, actions)
        np.testing.assert_allclose(reward, state.reward, rtol=1e-4)
        assert terminated.tolist() == [False] * 3
        assert truncated.tolist() == [index == 1] * 3
    assert infos["_final_obs"].all()
    np.testing.assert_allclose(np.stack(infos["final_obs"]), state.obs, atol=1e-4)
    assert np.all(np.abs(obs - np.stack(infos["final_obs"])).max(axis=1) > 1e-3)
    assert np.all(np.abs(obs[:, 2]) <= 1)  # an episode begins slowly
    assert many.step(actions)[4] == {}
    many.close()


def test_gymnasiums_own_vector_wrappers_work_on_it():
    many = gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec("maxent_jax/Toy-v0", num_envs=4))
    many.reset(seed=0)
    left = np.full((4, 1), -1.0, np.float32)
    assert many.step(left)[4] == {}
    obs, reward, terminated, _, infos = many.step(np.zeros((4, 1), np.float32))
    np.testing.assert_array_equal(reward, 1.0)
    assert terminated.all()
    np.testing.assert_array_equal(infos["episode"]["r"], 1.0)
    np.testing.assert_array_equal(infos["episode"]["l"], 2)
    np.testing.assert_array_equal(obs[:, 0], 1)  # at the start again


@pytest.mark.slow
@pytest.mark.skipif(not SB3.exists(), reason="needs .venv-sb3, which `python -m benchmarks.agreement` makes")
def test_stable_baselines3_learns_on_our_pendulum():
    """PPO with usual settings and few steps: far better than at first, when it is like acting at random (-1200)."""
    checkout = Path(envs.__file__).parents[1]
    script = checkout / "benchmarks" / "sb3" / "scripts" / "ppo_on_ours.py"
    ours = [str(checkout), *(path for path in sys.path if path.endswith("site-packages"))]
    command = [SB3, script, "maxent_jax/Pendulum-v0", "40000", *ours]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.splitlines()[-1].split())
    assert before < -900
    assert after > -500
