from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs.base import Task
from envs.fields import build, setting


class Walk(Task):
    """Starts anywhere in [0, 1), moves by the action, ends beyond 2; an action below -0.5 takes no time.

    Beyond `cliff` its position is not finite.
    """

    horizon: int = setting(5, "steps")
    cliff: float = setting(1e9, "where the physics breaks down")

    @property
    def observes(self):
        return ("position",)

    @property
    def acts(self):
        return ("way",)

    def start(self, key):
        return jax.random.uniform(key)

    def advance(self, physics, action):
        position = physics + 3.0 * action[0]
        position = jnp.where(position > self.cliff, jnp.nan, position)
        return position, 3.0 * action[0], position > 2

    def observe(self, physics):
        return physics[None]

    def step(self, state, action):
        after: Any = super().step(state, action)
        duration = jnp.where(action[0] < -0.5, 0, 1).astype(jnp.int32)
        return after.replace(info=after.info | {"duration": duration})


def walk(**values):
    return envs.for_training(build(Walk, values))


def play(env, actions, seed=0) -> list[Any]:
    """All states, the reset's first, after actions (steps, action_size)."""
    step = jax.jit(env.step)
    states = [env.reset(jax.random.key(seed))]
    for action in actions:
        states.append(step(states[-1], jnp.atleast_1d(jnp.float32(action))))
    return states


def test_time_limit_is_a_truncation():
    states = play(walk(), [0.0] * 6)
    assert [float(state.done) for state in states] == [0, 0, 0, 0, 0, 1, 0]
    assert [float(state.info["truncation"]) for state in states] == [0, 0, 0, 0, 0, 1, 0]
    assert [float(state.info["terminated"]) for state in states] == [0] * 7
    assert [int(state.info["steps"]) for state in states] == [0, 1, 2, 3, 4, 0, 1]


def test_time_limit_is_a_termination_where_the_task_says_so():
    states = play(walk(timeout_is_termination=True), [0.0] * 5)
    assert float(states[-1].done) == float(states[-1].info["terminated"]) == 1
    assert float(states[-1].info["truncation"]) == 0


def test_termination_at_the_last_step_is_no_truncation():
    states = play(walk(), [0.0, 0.0, 0.0, 0.0, 1.0])
    assert float(states[-1].done) == float(states[-1].info["terminated"]) == 1
    assert float(states[-1].info["truncation"]) == 0


def test_time_limit_counts_durations():
    states = play(walk(), [-1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    assert [int(state.info["steps"]) for state in states] == [0, 0, 1, 1, 2, 3, 4, 0]
    assert [float(state.done) for state in states] == [0] * 7 + [1]


def test_final_obs_is_what_the_step_led_to_and_obs_the_next_episode():
    before, after = play(walk(), [1.0])
    np.testing.assert_allclose(after.info["final_obs"], before.obs + 3.0, rtol=1e-6)
    assert 0 <= float(after.obs[0]) < 1
    assert float(after.obs[0]) != float(before.obs[0])
    assert float(after.pipeline_state.physics) == float(after.obs[0])
    assert float(after.reward) == 3.0


def test_final_obs_is_obs_while_the_episode_runs():
    state = play(walk(), [0.3])[-1]
    np.testing.assert_array_equal(state.info["final_obs"], state.obs)


def test_every_episode_starts_in_a_state_of_its_own():
    states = play(walk(horizon=1), [0.0] * 50)
    starts = np.array([float(state.obs[0]) for state in states])
    assert len(set(starts)) == len(starts)
    assert 0.35 < starts.mean() < 0.65  # uniform on [0, 1): standard error 0.04


def test_same_key_repeats_and_other_keys_differ():
    actions = np.linspace(-0.1, 0.3, 20)
    runs = {seed: np.array([s.obs for s in play(walk(), actions, seed)]) for seed in (0, 1)}
    np.testing.assert_array_equal(runs[0], [s.obs for s in play(walk(), actions, 0)])
    assert np.all(runs[0] != runs[1])


def test_environments_of_a_batch_begin_anew_each_for_itself():
    env = walk()
    keys = jax.random.split(jax.random.key(0), 3)
    batch = jax.vmap(env.reset)(keys)
    alone = [env.reset(key) for key in keys]
    many, one = jax.jit(jax.vmap(env.step)), jax.jit(env.step)
    for step in range(12):
        actions = jnp.array([[0.0], [0.2], [0.9 if step % 2 else 0.0]])
        batch = many(batch, actions)
        alone = [one(state, action) for state, action in zip(alone, actions, strict=True)]
        for i, state in enumerate(alone):
            mine = jax.tree.map(lambda x, i=i: x[i], batch)
            np.testing.assert_array_equal(jax.random.key_data(mine.info["key"]), jax.random.key_data(state.info["key"]))
            for field in ("obs", "reward", "done"):
                np.testing.assert_array_equal(getattr(mine, field), getattr(state, field))


def test_reset_is_a_branch_and_not_a_select_under_two_vmaps():
    env = walk()
    states = jax.vmap(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), (2, 3)))
    step = jax.vmap(jax.vmap(env.step))
    equations = jax.make_jaxpr(step)(states, jnp.zeros((2, 3, 1))).eqns
    (cond,) = [equation for equation in equations if equation.primitive.name == "cond"]
    assert cond.invars[0].aval.shape == ()  # what is asked is not batched
    assert "random_split" not in {equation.primitive.name for equation in equations}
    assert "random_split" in str(cond.params["branches"])


def test_state_that_is_not_finite_ends_the_episode_and_teaches_nothing():
    states = play(walk(cliff=1.5), [0.1, 0.5, 0.1])
    before, broken, after = states[1:]
    assert [float(state.metrics["nonfinite"]) for state in states] == [0, 0, 1, 0]
    assert float(broken.done) == float(broken.info["truncation"]) == 1
    assert float(broken.info["terminated"]) == float(broken.reward) == int(broken.info["duration"]) == 0
    np.testing.assert_array_equal(broken.info["final_obs"], before.obs)
    assert 0 <= float(broken.obs[0]) < 1
    assert float(broken.obs[0]) != float(states[0].obs[0])
    np.testing.assert_allclose(after.obs, broken.obs + 0.3, rtol=1e-6)


def test_a_first_state_that_is_not_finite_is_marked_and_shown_as_zeros():
    class Lost(Walk):
        def start(self, key):
            return jnp.nan * jax.random.uniform(key)

    states = play(envs.for_training(build(Lost, {})), [0.1, 0.1])
    assert [float(state.info["broken"]) for state in states] == [1, 1, 1]
    assert [float(state.obs[0]) for state in states] == [0, 0, 0]
    assert [float(state.reward) for state in states] == [0, 0, 0]
    assert np.isfinite(states[-1].info["final_obs"]).all()
    assert [float(state.info["broken"]) for state in play(walk(cliff=1.5), [0.1, 0.5, 0.1])] == [0, 0, 0, 0]
