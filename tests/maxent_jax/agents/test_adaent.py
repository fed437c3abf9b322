import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import scipy.stats
from learning import batch_of, first_gradient, jitter

import envs
from envs.base import EnvSpec
from envs.fields import build
from maxent_jax import trainer
from maxent_jax.agents import SAC, SACAdaEnt

SPEC = EnvSpec(3, 2, -jnp.ones(2), jnp.ones(2), 100)
BATCH = batch_of(SPEC, size=12, seed=0)
KEY = jax.random.key(5)
N = 6


@pytest.fixture(scope="module")
def updated():
    """State before and after one update at a threshold that splits the batch, metrics, similarities by numpy."""
    agent = build(
        SACAdaEnt,
        {"hidden": (7, 5), "lr": 1e-2, "tau": 0.1, "gamma": 0.9, "alpha": 0.7, "batch_size": 12, "n_samples": N},
    )
    before = jitter(agent.init(jax.random.key(1), SPEC), seed=2)
    update = jax.jit(lambda threshold: agent.replace(threshold=threshold).update(before, BATCH, KEY))

    _, actor_key = jax.random.split(KEY)
    noise = np.float64(jax.random.normal(jax.random.fold_in(actor_key, 1), (12, N, 2)))
    obs = np.repeat(np.float64(BATCH.obs)[:, None], N, 1)
    action, _ = reference.squashed_sample(reference.float64(before.actor.params), obs, noise)

    def similarities(state):
        soft, plain = (
            reference.twins(reference.float64(critic.params), obs, action).min(0)
            for critic in (state.critic, state.plain_critic)
        )
        return np.array([reference.similarity(u, v) for u, v in zip(soft, plain, strict=True)])

    after, _ = update(jnp.float32(0.5))
    ordered = np.sort(similarities(after))  # the critics that the comparison sees do not depend on the threshold
    threshold = (ordered[4] + ordered[5]) / 2
    assert ordered[5] - ordered[4] > 1e-3
    after, metrics = update(jnp.float32(threshold))
    return before, after, metrics, similarities(after), threshold


def test_plain_critic_step_knows_no_entropy(updated):
    before, after, metrics, _, _ = updated
    next_key, _ = jax.random.split(KEY)
    actor, target, batch = reference.float64((before.actor.params, before.plain_critic.target, BATCH))
    noise = np.float64(jax.random.normal(next_key, (12, 2)))
    action, _ = reference.squashed_sample(actor, batch.next_obs, noise)
    next_value = reference.twins(target, batch.next_obs, action).min(0)
    goal = batch.reward + 0.9**batch.duration * (1 - batch.terminated) * next_value

    def loss(params):
        return 0.5 * np.mean((reference.twins(params, batch.obs, batch.action) - goal) ** 2, axis=1).sum()

    params = reference.float64(before.plain_critic.params)
    assert metrics["plain_critic_loss"] == pytest.approx(loss(params), rel=1e-4)
    mean = reference.twins(params, batch.obs, batch.action).mean()
    assert metrics["plain_q_mean"] == pytest.approx(mean, rel=1e-4)
    gradient = first_gradient(before.plain_critic, after.plain_critic, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_actor_climbs_the_plain_critic_where_switched_and_the_soft_one_elsewhere(updated):
    before, after, metrics, similarity, threshold = updated
    switched = similarity < threshold
    assert switched.sum() == 5
    _, actor_key = jax.random.split(KEY)
    noise = np.float64(jax.random.normal(actor_key, (12, 2)))
    soft, plain, obs = reference.float64((after.critic.params, after.plain_critic.params, BATCH.obs))

    def loss(params):
        action, log_prob = reference.squashed_sample(params, obs, noise)
        q = np.where(switched, reference.twins(plain, obs, action).min(0), reference.twins(soft, obs, action).min(0))
        return np.mean(0.7 * log_prob - q)  # the entropy term stays in both cases

    params = reference.float64(before.actor.params)
    assert metrics["actor_loss"] == pytest.approx(loss(params), rel=1e-4)
    gradient = first_gradient(before.actor, after.actor, lr=1e-2)
    reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_metrics_of_the_comparison(updated):
    _, _, metrics, similarity, _ = updated
    assert metrics["switched_share"] == pytest.approx(5 / 12)
    for name, share in (("similarity_q05", 0.05), ("similarity_q50", 0.5), ("similarity_q95", 0.95)):
        assert metrics[name] == pytest.approx(np.quantile(similarity, share), abs=1e-4)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_what_is_compared_is_the_metric_that_is_named(metric):
    """Against scipy, on the landscapes over the draws that the update makes."""
    agent = build(SACAdaEnt, {"hidden": (7, 5), "batch_size": 12, "n_samples": N, "metric": metric, "threshold": 0.2})
    before = jitter(agent.init(jax.random.key(1), SPEC), seed=2)
    after, metrics = jax.jit(agent.update)(before, BATCH, KEY)
    draw_key = jax.random.fold_in(jax.random.split(KEY)[1], 1)
    obs = jnp.repeat(BATCH.obs[:, None], N, axis=1)
    action = agent.act(before, obs, draw_key)
    q = agent.q_landscapes(after, obs, action)
    theirs = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}[metric]
    found = np.array([theirs(u, v).statistic for u, v in zip(q["soft"], q["plain"], strict=True)])
    assert metrics["similarity_q50"] == pytest.approx(np.median(found), abs=1e-5)
    assert metrics["switched_share"] == pytest.approx(np.mean(found < 0.2))
    assert 0 < metrics["switched_share"] < 1


@pytest.fixture(scope="module")
def fast():
    """An agent that compares fast, a state whose landscapes agree here and disagree there, and 512 observations."""
    agent = build(SACAdaEnt, {"hidden": (7, 5), "batch_size": 512, "comparison": "fast", "threshold": 0.8})
    state = jitter(agent.init(jax.random.key(1), SPEC), seed=2).replace(cut=jnp.float32(0.8))
    return agent, state, jax.random.normal(jax.random.key(3), (512, 3))


def test_fast_comparison_looks_at_chosen_points_of_the_policy(fast):
    agent, state, obs = fast
    found = jax.jit(agent.similarity_at_points)(state, obs[:20])
    actor, soft, plain = reference.float64((state.actor.params, state.critic.params, state.plain_critic.params))
    axes = np.sqrt(2) * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    for i, at in enumerate(np.float64(obs[:20])):
        repeated = np.repeat(at[None], 4, 0)
        action, _ = reference.squashed_sample(actor, repeated, axes)
        q = [reference.twins(params, repeated, action).min(0) for params in (soft, plain)]
        assert found[i] == pytest.approx(reference.similarity(*q), abs=1e-4)


def test_fast_comparison_learns_to_switch_as_many_states_as_the_exact_one(fast):
    agent, state, obs = fast

    @jax.jit
    def many(state):
        def once(state, key):
            rows_key, key = jax.random.split(key)
            rows = jax.random.choice(rows_key, obs, (4,))
            return agent.compare(state, rows, key)[0], None

        return jax.lax.scan(once, state, jax.random.split(jax.random.key(4), 4000))[0]

    exact = np.mean(jax.jit(agent.similarity)(state, obs, jax.random.key(5)) < 0.8)
    before = np.mean(agent.similarity_at_points(state, obs) < 0.8)
    after = np.mean(agent.similarity_at_points(state, obs) < many(state).cut)
    assert 0.1 < exact < 0.9
    assert abs(before - exact) > 0.1
    assert abs(after - exact) < 0.05


def test_fast_comparison_climbs_the_plain_critic_where_it_switches(fast):
    """The switch is all that differs: the same loss as the exact comparison's at verdicts of its own."""
    agent, state, obs = fast
    key = jax.random.key(6)
    _, metrics = jax.jit(agent.update_actor)(state, obs, key)
    _, alike, switch = agent.compare(state, obs, jax.random.fold_in(key, 1))
    assert metrics["switched_share"] == pytest.approx(np.mean(switch))
    assert 0.1 < metrics["switched_share"] < 0.9
    assert metrics["similarity_q50"] == pytest.approx(np.median(alike), abs=1e-6)
    noise = np.float64(jax.random.normal(key, (512, 2)))
    actor, soft, plain = reference.float64((state.actor.params, state.critic.params, state.plain_critic.params))
    action, log_prob = reference.squashed_sample(actor, np.float64(obs), noise)
    both = [reference.twins(params, np.float64(obs), action).min(0) for params in (plain, soft)]
    assert metrics["actor_loss"] == pytest.approx(np.mean(0.2 * log_prob - np.where(switch, *both)), rel=1e-4)


def test_both_pairs_of_targets_follow(updated):
    before, after, _, _, _ = updated
    for name in ("critic", "plain_critic"):
        old, new = getattr(before, name), getattr(after, name)
        expected = jax.tree.map(
            lambda slow, fast: 0.9 * np.float64(slow) + 0.1 * np.float64(fast), old.target, new.params
        )
        reference.assert_close(new.target, expected, rtol=1e-5, atol=1e-6)


def test_plain_twins_begin_as_critics_of_their_own():
    agent = build(SACAdaEnt, {"hidden": (7, 5)})
    state = agent.init(jax.random.key(0), SPEC)
    jax.tree.map(np.testing.assert_array_equal, state.plain_critic.target, state.plain_critic.params)
    soft, plain = agent.q_landscapes(state, BATCH.obs, BATCH.action).values()
    assert np.abs(soft - plain).min() > 1e-4


@pytest.fixture(scope="module")
def trained():
    """Agents' states after 100 updates on the pendulum, by `sac` or the threshold, and the metrics."""
    env = envs.make("pendulum")
    values = {"hidden": (16, 16), "batch_size": 32, "lr": 1e-3, "prefill_steps": 40}
    results = {}

    @functools.partial(jax.jit, static_argnames="plan")
    def run(agent, plan):
        state, counters, _ = trainer.prefill(agent, env, trainer.begin(agent, env, 3, plan), trainer.no_steps(), plan)
        state, counters, metrics = trainer.train(agent, env, state, counters, plan)
        return state.agent, counters, metrics

    for name, agent in [("sac", build(SAC, values))] + [
        (threshold, build(SACAdaEnt, values | {"threshold": threshold, "n_samples": 4})) for threshold in (-1.0, 2.0)
    ]:
        results[name] = run(agent, trainer.schedule(agent, steps=100, evaluations=1))
        assert results[name][1].updates == 100
    return results


def test_threshold_minus_one_is_sac(trained):
    sac, adaent = trained["sac"][0], trained[-1.0][0]
    assert trained[-1.0][2]["switched_share"] == 0.0
    for name in ("actor", "critic", "temperature"):
        reference.assert_close(getattr(adaent, name), getattr(sac, name), rtol=0, atol=1e-5)
    start = build(SAC, {"hidden": (16, 16)}).init(jax.random.key(0), envs.spec("pendulum"))
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), sac.actor.params, start.actor.params)
    assert max(jax.tree.leaves(moved)) > 0.01


def test_threshold_two_switches_every_state(trained):
    assert trained[2.0][2]["switched_share"] == 1.0
    different = jax.tree.map(lambda a, b: np.abs(a - b).max(), trained["sac"][0].actor, trained[2.0][0].actor)
    assert max(jax.tree.leaves(different)) > 1e-3
