from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.bifurcated import bifurcated, is_good
from envs.fields import InvalidSetting, build
from envs.toy import GOOD, Toy


def feedback(env, obs):
    """Swing up by energy, then hold: good enough to stay in the region."""
    cosine, sine, speed = obs[0], obs[1], obs[2]
    missing = 5.0 - (speed**2 / 6 + 5.0 * cosine)  # J of the 5 J upright at rest
    swing = jnp.sign(missing * speed)
    hold = -(8.0 * jnp.arctan2(sine, cosine) + 2.0 * speed) / env.max_torque
    return jnp.clip(jnp.where(cosine > 0.95, hold, swing), -1, 1)[None]


def drive(env, obs):
    """Towards the target, braking where it is near."""
    del env
    near = jnp.hypot(obs[0], obs[1]) < 3.5
    return jnp.stack([jnp.where(near, -0.6, 0.8), 0.3 * jnp.sin(obs[2])])


CONTROLLERS = {"pendulum": feedback, "vehicle": drive}


def returns(env, act, repeat):
    """Return, number of half-steps and held actions of an episode; `repeat(held)` answers a half-step."""
    step = jax.jit(env.step)
    state, total, time, halves = env.reset(jax.random.key(3)), 0.0, 0, 0
    held = []
    while time < int(env.horizon):
        physics = state.pipeline_state.physics
        waiting = bool(getattr(physics, "waiting", False))
        action = repeat(physics.held) if waiting else act(env, state.obs)
        held += [float(physics.held[0])] if waiting else []
        state = step(state, action)
        total, time = total + float(state.reward), time + int(state.info["duration"])
        halves += int(state.info["duration"]) == 0
    return total, halves, np.array(held)


@pytest.mark.parametrize("task", CONTROLLERS)
def test_a_policy_that_repeats_what_it_chose_earns_what_it_earned_before(task):
    act = CONTROLLERS[task]
    before, none, _ = returns(envs.make(task), act, None)
    env = envs.make(f"bifurcated_{task}", share=0.01)
    after, halves, _ = returns(env, act, lambda held: held)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert none == 0
    assert halves >= 10  # it was in the region


def test_who_does_not_repeat_pays_for_fiddly_actions_only():
    env = envs.make("bifurcated_pendulum", share=0.2, penalty=7.0)
    act = CONTROLLERS["pendulum"]
    best, halves, _ = returns(env, act, lambda held: held)
    other, again, held = returns(env, act, lambda held: jnp.where(held > 0, held - 0.9, held + 0.9))
    assert again == halves == len(held)  # the held action acts, whatever comes next
    fiddly = int(np.sum(np.abs(held) < 0.95))
    assert 0 < fiddly < halves
    np.testing.assert_allclose(best - other, 7.0 * fiddly, rtol=1e-5)
    free, _, _ = returns(env.replace(share=np.float32(1.0)), act, lambda held: -held)
    np.testing.assert_allclose(free, best, rtol=1e-5)


def test_half_step_holds_the_action_and_takes_no_time():
    env = envs.make("bifurcated_pendulum")
    plain = envs.make("pendulum")
    physics = plain.start(jax.random.key(0)).replace(theta=jnp.float32(0.1), speed=jnp.float32(0.0))
    state = env.begin(env._free(physics))
    np.testing.assert_allclose(state.obs, [np.cos(0.1), np.sin(0.1), 0, 0, 0], atol=1e-6)
    held = env.step(state, jnp.array([-0.5]))
    np.testing.assert_allclose(held.obs, [np.cos(0.1), np.sin(0.1), 0, 1, -0.5], atol=1e-6)
    world: Any = held.pipeline_state
    assert (float(held.reward), int(held.info["duration"]), int(world.steps)) == (0, 0, 0)
    after, alone = env.step(held, jnp.array([-0.5])), plain.step(plain.begin(physics), jnp.array([-0.5]))
    np.testing.assert_allclose(after.obs[:3], alone.obs, atol=1e-6)
    np.testing.assert_allclose(after.reward, alone.reward, atol=1e-6)
    world = after.pipeline_state
    assert (int(after.info["duration"]), int(world.steps)) == (1, 1)
    missed = env.step(held, jnp.array([0.5]))
    np.testing.assert_allclose(missed.reward, alone.reward - 10.0, atol=1e-5)
    np.testing.assert_array_equal(missed.obs, after.obs)


def everywhere(env, physics):
    del env
    return jnp.ones_like(physics, bool)


def at_the_good_state(env, physics, action):
    del env, action
    return physics == GOOD


def play(env, actions):
    """Observation, reward, duration and kind of end after each action, in training."""
    env = envs.for_training(env)
    state, step, seen = env.reset(jax.random.key(0)), jax.jit(env.step), []
    for action in actions:
        state = step(state, jnp.array([action]))
        ends = (float(state.info["terminated"]), float(state.info["truncation"]))
        seen.append((np.asarray(state.info["final_obs"])[6:].tolist(), float(state.reward), *ends))
        seen[-1] += (int(state.info["duration"]), int(state.info["steps"]))
    return state, seen


def test_an_episode_has_its_steps_of_time_and_as_many_half_steps():
    """The toy with a half-step before each step: it ends where the held action ends it, and begins anew."""
    env = build(bifurcated(Toy, everywhere, at_the_good_state, "everywhere"), {"penalty": 5.0})
    choices = [-0.5, 0.9, 0.0, 0.5]  # what is held: to the good state, and a hit; beyond 0.1 of it all is a miss
    state, seen = play(env, choices)
    held, nothing = [1.0, np.float32(-0.5)], [0.0, 0.0]
    assert seen == [
        (held, 0, 0, 0, 0, 0),
        (nothing, 0, 0, 0, 1, 1),
        ([1, 0], 0, 0, 0, 0, 1),
        (nothing, 1 - 5, 1, 0, 1, 0),
    ]
    np.testing.assert_array_equal(state.obs, [1, 0, 0, 0, 0, 0, 0, 0])  # a fresh start, at which nothing waits
    _, seen = play(env, [*choices[:3], 0.05])
    assert seen[-1][1] == 1


def test_the_time_limit_counts_whole_steps():
    env = build(bifurcated(Toy, everywhere, at_the_good_state, "everywhere"), {"horizon": 1})
    _, seen = play(env, [-0.5, 0.9, -0.5])
    assert [(row[2:]) for row in seen] == [(0, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize("size", [1, 3])
def test_good_set_has_the_volume_that_is_asked_for(size):
    draws = jax.random.uniform(jax.random.key(0), (200_000, size), minval=-1.0)
    for held in (jnp.zeros(size), jnp.ones(size), jnp.full(size, -0.7)):
        good = np.asarray(jax.vmap(lambda a, held=held: is_good(held, a, 0.1))(draws))
        assert good.mean() == pytest.approx(0.1, abs=0.004)
        assert bool(is_good(held, held, 0.1))  # and the held action itself is in it


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"process_noise": 0.1}, r"env.process_noise = 0\.1: a bifurcated task has none; must be None"),
        ({"action_delay": 2}, "env.action_delay = 2: a bifurcated task has none; must be 0"),
    ],
)
def test_noise_and_delay_are_refused(field, said):
    with pytest.raises(InvalidSetting, match=said):
        envs.make("bifurcated_pendulum", **field)


def test_noise_is_refused_in_a_grid_too():
    """A grid's fields come stacked."""
    env = envs.make("bifurcated_pendulum").replace(process_noise=np.array([0.5, 0.25]))
    with pytest.raises(InvalidSetting, match=r"env.process_noise = .*0\.5.*: a bifurcated task has none"):
        env.validate()
