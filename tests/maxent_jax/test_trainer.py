import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from stubs import Counting, Remembering, ScheduledOffPolicy, ScheduledOnPolicy, Walk

import envs
from envs.fields import build
from maxent_jax import replay, trainer
from maxent_jax.agents import PPO, SAC

pytestmark = pytest.mark.usefixtures("quick_compile")


@functools.partial(jax.jit, static_argnames="plan")
def prefilled(agent, env, seed, plan):
    return trainer.prefill(agent, env, trainer.begin(agent, env, seed, plan), trainer.no_steps(), plan)


def trained(agent, env, plan, chunks=1, seed=0):
    """The run, the counters and each chunk's metrics, after the prefill and some chunks."""
    run, counters, metrics = prefilled(agent, env, seed, plan)
    train, reports = jax.jit(trainer.train, static_argnames="plan"), [metrics]
    for _ in range(chunks):
        run, counters, metrics = train(agent, env, run, counters, plan)
        reports.append(metrics)
    return run, counters, reports


def stored(run, env, count):
    """The first `count` rows of replay as transitions, in the order in which they were made."""
    return jax.tree.map(np.asarray, replay.unpack(run.rows[:count], env))


@pytest.mark.parametrize(
    ("envs_", "updates_per_step", "steps", "expected"),  # per iteration: steps of every environment, updates
    [
        (1, 1.0, 100, (1, 1)),
        (1, 0.25, 100, (4, 1)),
        (1, 2.5, 100, (2, 5)),
        (4, 1.0, 100, (1, 4)),
        (4, 0.25, 100, (1, 1)),
        (4, 0.125, 96, (2, 1)),
        (3, 1 / 3, 99, (1, 1)),
        (3, 0.1, 90, (10, 3)),
    ],
)
def test_schedule_off_policy(envs_, updates_per_step, steps, expected):
    agent = build(SAC, {"updates_per_step": updates_per_step, "prefill_steps": 10})
    plan = trainer.schedule(agent, steps, envs_, evaluations=4)
    assert (plan.steps, plan.updates) == expected
    assert plan.updates / (plan.steps * plan.envs) == pytest.approx(updates_per_step)
    trained_steps = plan.chunks * plan.chunk_steps
    assert steps <= trained_steps < steps + plan.chunk_steps
    assert 1 <= plan.chunks <= 4
    assert 10 <= plan.envs * plan.prefill < 10 + envs_
    assert plan.capacity == plan.total_steps == trained_steps + plan.envs * plan.prefill


@pytest.mark.parametrize(
    ("updates_per_step", "envs_", "expected"),
    [
        (0.3333, 1, (3, 1)),
        (0.0833, 12, (1, 1)),
        (0.333, 3, (1, 1)),
        (1.0 / 7, 1, (7, 1)),
        (3.7, 2, (5, 37)),
        (1e-4, 1, (10_000, 1)),
    ],
)
def test_schedule_does_not_lump_where_a_fraction_was_rounded(updates_per_step, envs_, expected):
    agent = build(SAC, {"updates_per_step": updates_per_step})
    plan = trainer.schedule(agent, 20_000, envs_)
    assert (plan.steps, plan.updates) == expected
    assert plan.updates / (plan.steps * envs_) == pytest.approx(updates_per_step, rel=0.02)


def test_schedule_bounds_replay_by_the_buffer_in_whole_steps():
    plan = trainer.schedule(build(SAC, {"buffer_size": 50, "batch_size": 8}), steps=1000, envs=8)
    assert plan.capacity == 48
    with pytest.raises(ValueError, match=r"envs = 64.*buffer_size, which is 50"):
        trainer.schedule(build(SAC, {"buffer_size": 50, "batch_size": 8}), steps=1000, envs=64)


def test_schedule_on_policy():
    plan = trainer.schedule(build(PPO, {"rollout_steps": 256}), steps=1000, envs=8, evaluations=20)
    assert (plan.prefill, plan.steps, plan.updates, plan.capacity) == (0, 32, 1, 0)
    assert (plan.iterations, plan.chunks, plan.total_steps) == (1, 4, 1024)
    with pytest.raises(ValueError, match=r"envs = 3.*rollout_steps, which is 256"):
        trainer.schedule(build(PPO, {"rollout_steps": 256}), steps=1000, envs=3)


@pytest.mark.parametrize(("envs_", "updates_per_step"), [(1, 0.5), (4, 1.0), (3, 0.2)])
def test_counters_tell_what_was_done(envs_, updates_per_step):
    agent = build(Counting, {"updates_per_step": updates_per_step, "prefill_steps": 10, "batch_size": 4})
    env = build(Walk, {})
    plan = trainer.schedule(agent, 60, envs_, evaluations=2)
    run, counters, _ = trained(agent, env, plan, chunks=2)
    assert counters.env_steps == plan.total_steps
    assert counters.updates == run.agent == round(updates_per_step * (plan.total_steps - plan.prefill * envs_))
    assert np.all(stored(run, env, plan.total_steps).duration == 1)  # every row was written
    for name, leaf in (("obs", run.env.obs), ("episode_return", run.episode_return)):
        assert leaf.shape[0] == envs_, name


def test_prefill_acts_uniformly_and_learns_nothing():
    agent = build(Counting, {"prefill_steps": 4000, "batch_size": 4, "draw": 7.0})
    env = build(Walk, {})
    plan = trainer.schedule(agent, 4, 4, evaluations=1)
    run, counters, _ = trained(agent, env, plan, chunks=0)
    assert (run.agent, counters.updates, counters.env_steps) == (0, 0, 4000)
    actions = stored(run, env, 4000).action[:, 0]
    assert scipy.stats.kstest(actions, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3
    run, _, _ = trained(agent, env, plan, chunks=1)
    assert np.all(stored(run, env, 4004).action[4000:] == 7.0)  # then it is the agent that acts


@pytest.mark.parametrize("timeout_is_termination", [False, True])
def test_training_returns_and_transitions_against_a_plain_loop(timeout_is_termination):
    # noisy steps to the right: some episodes pass the edge, the others meet the time limit
    agent = build(Counting, {"draw": 0.3, "noise": 0.5, "batch_size": 4})
    env = build(Walk, {"horizon": 6, "edge": 2.2, "timeout_is_termination": timeout_is_termination})
    plan = trainer.schedule(agent, steps=240, envs=3, evaluations=2)
    run, _, (_, *reports) = trained(agent, env, plan, chunks=2)
    rows = jax.tree.map(lambda x: x.reshape(80, 3, *x.shape[1:]), stored(run, env, 240))

    returns, starts, kinds = [[], []], [], set()
    for i in range(3):
        total, steps = 0.0, 0
        for t in range(80):
            obs, next_obs = rows.obs[t, i], rows.next_obs[t, i]
            if steps == 0:
                starts.append(obs[0])
            assert obs[1] == steps
            np.testing.assert_allclose(next_obs, [obs[0] + rows.action[t, i, 0], steps + 1], rtol=1e-5)
            assert rows.reward[t, i] == next_obs[0]  # the reward is the new position
            total, steps = total + rows.reward[t, i], steps + 1
            beyond, late = abs(next_obs[0]) > 2.2, steps == 6
            assert rows.terminated[t, i] == (beyond or (late and timeout_is_termination))
            if beyond or late:
                kinds.add("beyond" if beyond else "late")
                returns[t >= 40].append(total)  # by the chunk in which it ended
                total, steps = 0.0, 0
            elif t < 79:
                np.testing.assert_array_equal(rows.obs[t + 1, i], next_obs)
    assert kinds == {"beyond", "late"}
    assert len(set(starts)) == len(starts)  # every episode from a fresh state
    for chunk in range(2):
        assert reports[chunk]["return_training"] == pytest.approx(np.mean(returns[chunk]), rel=1e-5)


def test_metrics_are_means_over_the_updates_and_nan_for_nothing():
    agent = build(Counting, {"draw": 1.0, "batch_size": 4})
    env = build(Walk, {"horizon": 1000})
    plan = trainer.schedule(agent, steps=3, evaluations=1)
    run, _, (_, report) = trained(agent, env, plan)
    assert np.isnan(report["return_training"])  # no episode has ended
    assert np.isnan(report["actor_loss"])  # this agent has none
    # three updates from one, two, three rows: each mean lies between the rewards known by then
    rewards = stored(run, env, 3).reward
    assert rewards[0] < report["q_mean"] < (rewards[0] + rewards[1] + rewards[2]) / 3 + 1e-6


def test_updates_see_only_what_was_stored():
    agent = build(Counting, {"draw": 1.0, "batch_size": 64})
    env = build(Walk, {"horizon": 1000})
    plan = trainer.schedule(agent, steps=400, evaluations=400)
    _, _, (_, report) = trained(agent, env, plan)
    assert report["q_mean"] > 1.0  # one row so far, the 399 others empty


@pytest.mark.parametrize("timeout_is_termination", [False, True])
def test_time_outs_and_terminations_from_the_task_to_the_target(timeout_is_termination):
    env = envs.make("toy", horizon=1, timeout_is_termination=timeout_is_termination)
    reached = _toy_rows(env, actions=[-0.5, 0.5])
    assert reached.next_obs[:, 1].tolist() == [1, 0]  # what the step led to, not the start of the next episode
    assert reached.next_obs[:, 2].tolist() == [0, 1]
    agent = build(SAC, {"gamma": 0.5})
    bootstrap = 0.0 if timeout_is_termination else 0.5 * 8
    assert agent.bootstrap(reached, jnp.full(2, 8.0)).tolist() == [bootstrap, bootstrap]


def test_a_termination_at_the_time_limit_is_a_termination():
    env = envs.make("toy")  # ends for good after 2 steps, which is also its time limit
    rows = _toy_rows(env, actions=[-0.5, 0.0, -0.4, 0.9])
    assert rows.terminated.tolist() == [0, 1, 0, 1]
    assert rows.reward.tolist() == [0, 1, 0, -20]
    target = build(SAC, {"gamma": 0.5}).bootstrap(rows, jnp.full(4, 8.0))
    assert target.tolist() == [4, 1, 4, -20]


def _toy_rows(env, actions):
    """One environment's transitions by these (different) actions, drawn from replay until each came up, in order."""
    plan = trainer.Schedule(envs=1, prefill=0, steps=1, updates=1, iterations=1, chunks=1, capacity=8)
    agent, actions = build(Counting, {}), jnp.asarray(actions, jnp.float32)

    @jax.jit
    def draw():
        run, counters = trainer.begin(agent, env, 0, plan), trainer.no_steps()
        for action in actions:
            run, transition, _, _ = trainer.step_environments(env, run, jnp.full((1, 1), action))
            run, counters = trainer.remember(env, run, counters, transition)
        return replay.sample(run.rows, counters.env_steps, jax.random.key(0), 100, env)

    batch = draw()
    assert set(np.asarray(batch.action[:, 0])) == set(np.asarray(actions))
    first = np.argmax(np.asarray(batch.action) == np.asarray(actions), axis=0)
    return jax.tree.map(lambda x: x[first], batch)


@pytest.mark.slow
def test_the_quadruped_trains_from_bytes_that_are_its_observations():
    agent = build(SAC, {"hidden": (8,), "batch_size": 8, "buffer_size": 64, "prefill_steps": 8})
    env = envs.make("quadruped", horizon=10)
    plan = trainer.schedule(agent, steps=16, evaluations=1)
    run, _, (_, report) = trained(agent, env, plan)
    rows = stored(run, env, 24)
    begun = trainer.begin(agent, env, 0, plan).env.obs[0]
    np.testing.assert_array_equal(rows.obs[[0, 10, 20]], np.stack([begun] * 3))
    same = np.delete(np.arange(23), [9, 19])  # there, an episode ended
    np.testing.assert_array_equal(rows.obs[same + 1].view(np.uint32), rows.next_obs[same].view(np.uint32))
    np.testing.assert_array_equal(rows.next_obs[-1].view(np.uint32), np.asarray(run.env.obs[0]).view(np.uint32))
    assert len(np.unique(rows.next_obs[-1, 6:])) > 10  # the premise: targets moved
    assert np.isfinite(report["q_mean"])
    assert run.rows.nbytes <= plan.capacity * 4 * (2 * 246 + 8 + 3) / 3


def test_pending_half_steps_take_no_time():
    agent = build(Counting, {"draw": 1.0, "batch_size": 4})
    env = build(Walk, {"horizon": 3, "half_steps": True})
    plan = trainer.schedule(agent, steps=14, evaluations=1)
    run, _, (_, report) = trained(agent, env, plan)
    rows = stored(run, env, 14)
    assert rows.duration.tolist() == [0, 1] * 7
    assert rows.obs[:, 1].tolist() == [*range(6), *range(6), 0, 1]  # three of time are six steps
    first, second = rows.reward[:6].sum(), rows.reward[6:12].sum()
    assert report["return_training"] == pytest.approx((first + second) / 2)
    returns = trainer.episode_returns(agent, env, run.agent, jax.random.key(0), 2)
    assert np.all((returns[1] >= 21) & (returns[1] <= 27))  # 1 + ... + 6, and six times a start in [0, 1]


@pytest.mark.parametrize(
    ("mean", "draw", "expected"), [(0.0, 0.5, (1, -1)), (-0.5, 0.05, (-20, -1)), (1.0, -1.0, (-1, -20))]
)
def test_evaluation_returns_of_the_toy(mean, draw, expected):
    agent = build(Counting, {"mean": mean, "draw": draw})
    env = envs.make("toy")
    run = trainer.begin(agent, env, 0, trainer.schedule(agent, steps=10))
    metrics = trainer.evaluate(agent, env, run, trainer.no_steps())
    assert (metrics["return_deterministic"], metrics["return_stochastic"]) == expected


def test_evaluation_ends_at_the_edge_or_the_horizon():
    agent = build(Counting, {"mean": 1.0, "draw": 0.0})
    for edge, horizon, steps in ((3.0, 50, 3), (100.0, 4, 4)):
        env = build(Walk, {"edge": edge, "horizon": horizon})
        returns = np.asarray(trainer.episode_returns(agent, env, jnp.int32(0), jax.random.key(1), 20))
        start = returns[1] / horizon  # standing still, always to the horizon
        assert len(set(start)) == 20
        assert np.all((start > 0) & (start < 1))
        triangle = steps * (steps + 1) / 2
        assert np.all((returns[0] > triangle) & (returns[0] < triangle + steps))  # other starts, the same steps


def test_rollouts_go_on_where_the_last_one_ended():
    agent = build(Remembering, {"rollout_steps": 16, "envs": 2, "noise": 1.0})
    env = build(Walk, {"horizon": 5})
    plan = trainer.schedule(agent, steps=64, envs=2, evaluations=1)
    run, counters, (_, report) = trained(agent, env, plan)
    assert (counters.env_steps, counters.updates) == (64, 4 * 3)  # four rollouts, three gradient steps each
    assert run.rows is None
    older, newer = run.agent
    joined = jax.tree.map(lambda *x: np.concatenate(x), older, newer)
    step, done = joined.transition, joined.done
    assert step.obs.shape == (16, 2, 2)
    np.testing.assert_array_equal(done[:, 0], (16 + np.arange(16)) % 5 == 4)  # steps 16 to 31
    for t in range(15):
        for i in range(2):
            if done[t, i]:
                assert step.obs[t + 1, i, 1] == 0
                assert step.next_obs[t, i, 1] == 5  # what the step led to
            else:
                np.testing.assert_array_equal(step.obs[t + 1, i], step.next_obs[t, i])
    np.testing.assert_array_equal(run.env.obs[~done[-1].astype(bool)], step.next_obs[-1][~done[-1].astype(bool)])
    assert not np.any(step.terminated)
    assert np.isfinite(report["value_mean"])


def test_a_run_follows_its_seed_alone():
    agent = build(Counting, {"noise": 1.0, "batch_size": 4, "prefill_steps": 5})
    env = build(Walk, {})
    plan = trainer.schedule(agent, steps=20, evaluations=1)
    rows = [stored(trained(agent, env, plan, seed=seed)[0], env, 25) for seed in (3, 3, 4)]
    jax.tree.map(np.testing.assert_array_equal, rows[0], rows[1])
    assert not np.any(rows[0].action == rows[2].action)


def test_states_that_are_not_finite_are_counted_and_reach_neither_replay_nor_statistics():
    env = build(Walk, {"horizon": 6, "cliff": 2.2})
    agent = build(Counting, {"mean": 1.0, "draw": 1.0, "noise": 0.1, "batch_size": 4})
    plan = trainer.schedule(agent, steps=60, evaluations=1)
    run, _, (_, report) = trained(agent, env, plan)
    rows = stored(run, env, 60)
    assert all(np.all(np.isfinite(column)) for column in jax.tree.leaves(rows))
    broken = rows.duration == 0
    assert float(report["nonfinite"]) == broken.sum() > 3
    np.testing.assert_array_equal(rows.next_obs[broken], rows.obs[broken])
    assert np.all(rows.reward[broken] == 0)
    assert np.all(rows.terminated == 0)
    assert np.isnan(report["return_training"])  # not one episode reached its end
    returns = trainer.episode_returns(agent, env, run.agent, jax.random.key(0), 3)
    assert np.all(np.isnan(returns))


@pytest.mark.parametrize(
    ("kind", "values", "iterations"),
    [
        (ScheduledOffPolicy, {"updates_per_step": 1.0, "prefill_steps": 4}, 12),
        (ScheduledOnPolicy, {"rollout_steps": 6}, 4),
    ],
)
def test_agents_are_told_which_share_of_their_updates_is_made(kind, values, iterations):
    """Two environments, 24 steps in two chunks; a prefill is none of them."""
    agent = build(kind, values)
    plan = trainer.schedule(agent, steps=24, envs=2, evaluations=2)
    _, counters, (_, *reports) = trained(agent, build(Walk, {}), plan, chunks=2)
    shares = (np.arange(iterations) / iterations).reshape(2, -1)
    np.testing.assert_allclose([report["alpha"] for report in reports], shares.mean(1), atol=1e-6)
    assert counters.updates == plan.total_updates * agent.gradient_steps
