import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stubs
import tiny

import envs
from envs import fields
from maxent_jax import landscape, rollout, trainer
from maxent_jax.agents import AGENTS

pytestmark = pytest.mark.usefixtures("quick_compile")


@flax.struct.dataclass
class Walker(stubs.Counting):
    """Walks on; its landscapes are alike at even steps and unlike at odd ones."""

    similar: bool = fields.setting(False, "whether it has landscapes", static=True)

    def log_prob(self, state, obs, action):
        return -jnp.abs(action).sum(-1)

    def q_landscapes(self, state, obs, action):
        if not self.similar:
            return {}
        sign = jnp.where(obs[..., 1] % 2 == 0, 1.0, -1.0)
        return {"soft": action[..., 0], "plain": sign * action[..., 0]}


def walk(agent=None, **task):
    agent = fields.build(Walker, {"mean": 0.5, "noise": 1.0} | (agent or {}))
    return rollout.episode(agent, fields.build(stubs.Walk, task), jnp.zeros((), jnp.int32), jax.random.key(0))


def test_an_episode_lasts_until_its_time_is_up():
    seen = walk(horizon=4)
    assert seen.obs.shape == (4, 2)
    assert seen.action.shape == (4, 1)
    np.testing.assert_array_equal(seen.obs[:, 1], [0, 1, 2, 3])
    np.testing.assert_allclose(np.diff(seen.obs[:, 0]), 0.5, rtol=1e-6)
    np.testing.assert_allclose(seen.reward, seen.obs[:, 0] + 0.5, rtol=1e-6)
    assert seen.similarity is None


def test_an_episode_ends_where_it_terminates_even_if_the_task_would_go_on():
    seen = walk({"mean": -1.0}, horizon=9, edge=1.5)  # from [0, 1] beyond -1.5 after two or three steps
    assert len(seen.reward) in (2, 3)
    assert seen.reward[-1] < -1.5
    assert np.all(seen.reward[:-1] >= -1.5)


def test_an_episode_ends_where_the_physics_breaks_down():
    seen = walk({"mean": 1.0}, horizon=9, cliff=2.5)  # from [0, 1], so after two or three steps
    assert len(seen.reward) in (2, 3)
    assert np.isfinite(seen.obs).all()
    np.testing.assert_array_equal(np.isnan(seen.reward[-2:]), [False, True])


def test_pending_half_steps_take_no_time():
    seen = walk(horizon=4, half_steps=True)
    np.testing.assert_array_equal(seen.obs[:, 1], range(8))


def test_an_episode_knows_where_the_landscapes_agree():
    seen = walk({"similar": True}, horizon=4)
    assert seen.similarity is not None
    np.testing.assert_allclose(seen.similarity[::2], 1.0, rtol=1e-6)
    assert np.all(seen.similarity[1::2] < 0.9)


@pytest.mark.parametrize("env", ["toy", "pendulum"])
def test_the_return_is_the_one_that_evaluation_gives(env):
    task = envs.make(env)
    agent = fields.build(AGENTS["sac"], tiny.FIELDS["sac"])
    state = jax.jit(agent.init)(jax.random.key(1), task.spec)

    class Same(type(task)):
        """Every episode begins where ours does."""

        def reset(self, rng):
            return task.reset(jax.random.split(jax.random.key(7), 3)[0])

    same = fields.build(Same, {})
    returns = jax.jit(lambda key: trainer.episode_returns(agent, same, state, key, 2))(jax.random.key(3))
    seen = rollout.episode(agent, task, state, jax.random.key(7))
    np.testing.assert_allclose(returns[0], seen.reward.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("metric", "comparison"), [*((metric, "exact") for metric in landscape.METRICS), ("cosine", "fast")]
)
def test_similarity_is_what_an_update_finds(metric, comparison):
    own = {"metric": metric, "comparison": comparison, "threshold": 0.6}
    agent, spec = fields.build(AGENTS["sac_adaent"], tiny.FIELDS["sac_adaent"] | own), envs.spec("vehicle")
    state = jax.jit(agent.init)(jax.random.key(1), spec)
    obs, key = jax.random.normal(jax.random.key(3), (9, spec.observation_size)), jax.random.key(2)
    found = rollout.similarity(agent, state, obs, key)
    _, metrics = jax.jit(agent.update_actor)(state, obs, key)
    assert found is not None
    np.testing.assert_allclose(np.median(found), metrics["similarity_q50"], rtol=1e-4)
    np.testing.assert_allclose(np.mean(found < 0.6), metrics["switched_share"], rtol=1e-6)


@pytest.mark.parametrize(
    ("agent", "env", "landscapes"),
    [("sac", "pendulum", {"soft"}), ("sac_adaent", "vehicle", {"soft", "plain"}), ("ppo", "vehicle", set())],
)
def test_a_slice_cuts_one_dimension_and_holds_the_others(agent, env, landscapes):
    task = envs.make(env)
    agent = fields.build(AGENTS[agent], tiny.FIELDS[agent] | {"init_std": 0.3})
    state = jax.jit(agent.init)(jax.random.key(1), task.spec)
    obs = jnp.linspace(-1.0, 1.0, task.observation_size)
    last = task.action_size - 1
    cut = rollout.action_slice(agent, state, obs, last, points=51)
    mean = np.asarray(jax.jit(lambda: agent.act(state, obs, jax.random.key(0), deterministic=True))())
    assert cut.mean == pytest.approx(mean[last], abs=1e-6)
    assert (cut.action[0], cut.action[-1]) == pytest.approx((-0.999, 0.999))
    assert np.trapezoid(cut.density, cut.action) == pytest.approx(1.0, abs=0.03)

    at = 17
    action = jnp.asarray(mean).at[last].set(cut.action[at])
    q = jax.jit(agent.q_landscapes)(state, obs, action)
    assert set(cut.q) == set(q) == landscapes
    for name, values in q.items():
        assert cut.q[name].shape == (51,)
        assert cut.q[name][at] == pytest.approx(float(values), rel=1e-4, abs=1e-6)
    log_prob = jax.jit(agent.log_prob)
    one, two = (float(log_prob(state, obs, jnp.asarray(mean).at[last].set(cut.action[i]))) for i in (at, at + 9))
    assert np.log(cut.density[at] / cut.density[at + 9]) == pytest.approx(one - two, abs=1e-3)


def test_switched_share_is_the_share_of_draws_below_the_threshold():
    agent = fields.build(AGENTS["sac_adaent"], tiny.FIELDS["sac_adaent"])
    state = jax.jit(agent.init)(jax.random.key(1), envs.spec("pendulum"))
    obs = np.zeros(3, np.float32)
    share = lambda threshold: rollout.switched_share(agent.replace(threshold=threshold), state, obs, 50)  # noqa: E731
    alike = rollout.similarity(agent, state, np.zeros((50, 3), np.float32))
    assert np.std(alike) > 0  # pyright: ignore[reportArgumentType] - every draw is a fresh one
    median = np.float32(np.median(alike))  # pyright: ignore[reportArgumentType]
    assert (share(-1.0), share(2.0)) == (0, 1)
    assert share(median) == pytest.approx(0.5, abs=0.05)
    ppo = fields.build(AGENTS["ppo"], tiny.FIELDS["ppo"])
    learned = jax.jit(ppo.init)(jax.random.key(1), envs.spec("pendulum"))
    assert rollout.switched_share(ppo, learned, obs) is None
