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
from maxent_jax import networks, ridges, trainer
from maxent_jax.agents import SAC, SACAdaEnt

pytestmark = pytest.mark.usefixtures("quick_compile")

SPEC = EnvSpec(3, 2, -jnp.ones(2), jnp.ones(2), 100)
BATCH = batch_of(SPEC, size=12, seed=0)
KEY = jax.random.key(5)
N = 6


@pytest.fixture(scope="module")
def updated(quick_compile):
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
    agent = build(SACAdaEnt, {"hidden": (7, 5), "batch_size": 12, "n_samples": N, "metric": metric, "threshold": 0.21})
    before = jitter(agent.init(jax.random.key(1), SPEC), seed=2)
    after, metrics = jax.jit(agent.update)(before, BATCH, KEY)
    draw_key = jax.random.fold_in(jax.random.split(KEY)[1], 1)
    obs = jnp.repeat(BATCH.obs[:, None], N, axis=1)
    action = agent.act(before, obs, draw_key)
    q = agent.q_landscapes(after, obs, action)
    theirs = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}[metric]
    found = np.array([theirs(u, v).statistic for u, v in zip(q["soft"], q["plain"], strict=True)])
    assert metrics["similarity_q50"] == pytest.approx(np.median(found), abs=1e-5)
    assert metrics["switched_share"] == pytest.approx(np.mean(found < 0.21))  # no rank correlation of six is that
    assert 0 < metrics["switched_share"] < 1


def fast_update(size, threshold, n_samples=N):
    """A state, 24 observations, and what one update of the actor that compares fast leaves and says."""
    spec = EnvSpec(3, size, -jnp.ones(size), jnp.ones(size), 100)
    values = {
        "hidden": (7, 5),
        "batch_size": 24,
        "comparison": "fast",
        "n_samples": n_samples,
        "lr": 1e-2,
        "alpha": 0.7,
    }
    agent = build(SACAdaEnt, values)
    before = jitter(agent.init(jax.random.key(1), spec), seed=2)
    obs = jax.random.normal(jax.random.key(3), (24, 3))
    after, metrics = jax.jit(agent.replace(threshold=threshold).update_actor)(before, obs, KEY)
    return before, obs, after, metrics


@pytest.mark.parametrize("size", [1, 3])
def test_fast_comparison_changes_nothing_but_the_verdicts(size):
    """Value and gradient of the loss are the critics' own, whatever the landscapes were taken from."""
    for threshold, name in ((-1.0, "critic"), (2.0, "plain_critic")):
        before, obs, after, metrics = fast_update(size, threshold)
        assert metrics["switched_share"] == (name == "plain_critic")
        noise = np.float64(jax.random.normal(KEY, (24, size)))
        critic, obs = reference.float64((getattr(before, name).params, obs))

        def loss(params, critic=critic, obs=obs, noise=noise):
            action, log_prob = reference.squashed_sample(params, obs, noise)
            return np.mean(0.7 * log_prob - reference.twins(critic, obs, action).min(0))

        params = reference.float64(before.actor.params)
        assert metrics["actor_loss"] == pytest.approx(loss(params), rel=1e-4)
        gradient = first_gradient(before.actor, after.actor, lr=1e-2)
        reference.assert_close(gradient, reference.gradient(loss, params), rtol=2e-3, atol=2e-5)


def test_fast_comparison_is_the_metric_over_draws_of_a_landscape_of_ridges():
    """Along the one axis of an action the landscape is what numpy interpolates; verdicts and metrics follow."""
    before, obs, _, metrics = fast_update(1, 0.9, n_samples=50)
    knots = np.array([-2.0, -1.3, -0.75, -0.3, 0.0, 0.3, 0.75, 1.3, 2.0])
    draws = ridges.draws(1, 50)[..., 0]
    actor, *critics = reference.float64((before.actor.params, before.critic.params, before.plain_critic.params))
    found = []
    for at in np.asarray(obs, float):
        action, _ = reference.squashed_sample(actor, np.repeat(at[None], 9, 0), knots[:, None])
        q = [reference.twins(critic, np.repeat(at[None], 9, 0), action) for critic in critics]
        lines = [[interpolate(draws, knots, twin) for twin in twins] for twins in q]
        soft, plain = (np.min(twins, axis=0) for twins in lines)
        found.append(np.mean([reference.similarity(u, v) for u, v in zip(soft, plain, strict=True)]))
    for name, share in (("similarity_q05", 0.05), ("similarity_q50", 0.5), ("similarity_q95", 0.95)):
        assert metrics[name] == pytest.approx(np.quantile(found, share), abs=1e-4)
    assert metrics["switched_share"] == pytest.approx(np.mean(np.array(found) < 0.9))


def interpolate(x, knots, values):
    """`numpy.interp`, with its outer lines going on."""
    inside = np.interp(x, knots, values)
    low, high = ((values[i] - values[j]) / (knots[i] - knots[j]) for i, j in ((1, 0), (-1, -2)))
    return inside + low * np.minimum(x - knots[0], 0) + high * np.maximum(x - knots[-1], 0)


def test_fast_comparison_decides_as_the_exact_one_where_critics_are_nearly_linear_in_the_features():
    """A narrow policy: tangents and ridges are then the landscapes themselves, but for what the draws do."""
    spec = EnvSpec(3, 3, -jnp.ones(3), jnp.ones(3), 100)
    agent = build(SACAdaEnt, {"hidden": (32, 32), "comparison": "fast"})
    state = jitter(agent.init(jax.random.key(1), spec), seed=2, scale=0.1)
    narrow = networks.shift(state.actor.params, ("log_std", "bias"), jnp.full(3, -4.0))
    state = state.replace(actor=state.actor.replace(params=narrow))
    obs = jax.random.normal(jax.random.key(3), (512, 3))
    fast = agent.similarity_from_points(state, obs, *agent.twins(state, obs, KEY))
    exact = np.mean([agent.similarity(state, obs, key) for key in jax.random.split(KEY, 8)], axis=0)
    assert 0.1 < np.mean(exact < 0.9) < 0.9
    assert np.quantile(np.abs(fast - exact), 0.9) < 0.05
    assert np.mean((fast < 0.9) == (exact < 0.9)) > 0.95


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
def trained(quick_compile):
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
