import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import envs
from envs import fields
from envs.toy import BAD, GOOD, START
from maxent_jax.agents import AGENTS
from maxent_jax.rule.subject import Subject, learn_plain, names, subject_of

pytestmark = pytest.mark.usefixtures("quick_compile")
TOY = envs.make("toy", reward_miss=-2.0, half_width=0.5)


def untrained(name, env=TOY, **values):
    agent = fields.build(AGENTS[name], tiny.FIELDS[name] | values)
    return agent, jax.jit(agent.init)(jax.random.key(1), env.spec)


def test_plain_critics_beside_a_policy_have_its_values_and_know_no_entropy():
    """On the toy problem these are in closed form but for how often the policy's draws hit the band."""
    values = {"hidden": (32, 32), "batch_size": 64, "lr": 3e-3}
    learned = []
    for alpha in (0.0, 10.0):
        agent, state = untrained("sac", alpha=alpha, **values)
        learned.append(learn_plain(agent, TOY, state, jax.random.key(2), updates=1500)[0])
    critic, same = learned
    jax.tree.map(np.testing.assert_array_equal, critic.params, same.params)

    def q(place, action):
        obs = jnp.broadcast_to(jnp.eye(6)[place], (len(action), 6))
        return np.asarray(agent.min_q(critic.params, obs, jnp.asarray(action)[:, None]))

    drawn = agent.act(state, jnp.broadcast_to(jnp.eye(6)[GOOD], (10_000, 6)), jax.random.key(3))
    hits = float(np.mean(np.abs(drawn) < 0.5))
    np.testing.assert_allclose(q(BAD, [-0.5, 0.0, 0.5]), -1.0, atol=0.1)
    np.testing.assert_allclose(q(GOOD, [-0.9, 0.0, 0.9]), [-2.0, 1.0, -2.0], atol=0.4)
    np.testing.assert_allclose(q(START, [-0.8, -0.4]), 0.99 * (hits - 2 * (1 - hits)), atol=0.25)
    np.testing.assert_allclose(q(START, [0.4, 0.8]), -0.99, atol=0.25)


def shapes(name):
    """An agent and the shapes of its state, for which nothing is compiled."""
    agent = fields.build(AGENTS[name], tiny.FIELDS[name])
    return agent, jax.eval_shape(agent.init, jax.random.key(1), TOY.spec)


@pytest.mark.parametrize(
    ("name", "has"),
    [("sac", ("soft",)), ("sac_adaent", ("soft", "plain")), ("sql", ("soft",)), ("td3", ("plain",)), ("ppo", ())],
)
def test_who_has_which_landscapes(name, has):
    assert names(Subject(*shapes(name)), TOY) == has


@pytest.mark.parametrize(
    ("values", "judged"),
    [
        ({"threshold": 0.8}, 0.8),
        ({"threshold": -1.0}, 0.9),  # no similarity lies below: it never switches
        ({"threshold": 0.0}, 0.9),
        ({"threshold": 0.0, "metric": "regret"}, 0.9),
        ({"threshold": 0.0, "metric": "pearson"}, 0.0),
        ({"threshold": -1.0, "metric": "pearson"}, 0.9),
    ],
)
def test_where_the_rule_is_judged(values, judged):
    assert Subject(fields.build(AGENTS["sac_adaent"], values), None).threshold == judged


def test_what_an_agent_lacks_is_learned_beside_it():
    agent, state = untrained("sac")
    both, its_state = shapes("sac_adaent")
    own, nothing = subject_of(both, TOY, its_state, jax.random.key(0), 3)
    assert own.plain is None
    assert nothing == {}
    found, about = subject_of(agent, TOY, state, jax.random.key(0), 3)
    assert names(found, TOY) == ("soft", "plain")
    assert (about["updates"], about["transitions"]) == (3, 12)
    assert found.threshold == 0.9
    obs = jnp.eye(6)[:2]
    alike = found.similarity(obs, jax.random.key(1))
    assert alike is not None
    assert alike.shape == (2,)
    assert np.all((alike >= 0) & (alike <= 1))


def test_an_agent_without_critics_gets_plain_ones_of_what_it_does():
    """The normal policy's draws beyond the ends are what the task makes of them."""
    agent, state = untrained("ppo", init_std=2.0)
    subject, about = subject_of(agent, TOY, state, jax.random.key(2), updates=800)
    assert names(subject, TOY) == ("plain",)
    assert about["updates"] == 800
    drawn = subject.act(jnp.broadcast_to(jnp.eye(6)[GOOD], (10_000, 6)), jax.random.key(3))
    assert (drawn.min(), drawn.max()) == (-1.0, 1.0)
    hits = float(np.mean(np.abs(drawn) < 0.5))
    places = jnp.eye(6)[jnp.array([BAD, GOOD, GOOD, START, START])]
    q = subject.landscapes(places, jnp.array([0.0, 0.0, 0.9, -0.6, 0.6])[:, None])["plain"]
    np.testing.assert_allclose(q, [-1.0, 1.0, -2.0, 0.99 * (hits - 2 * (1 - hits)), -0.99], atol=0.25)
    assert subject.similarity(places, jax.random.key(4)) is None


@pytest.mark.parametrize("comparison", ["exact", "fast"])
def test_an_agent_compares_as_it_does_in_an_update(comparison):
    agent, state = untrained("sac_adaent", comparison=comparison)
    obs, key = jax.random.normal(jax.random.key(4), (8, 6)), jax.random.key(5)
    alike = np.asarray(Subject(agent, state).similarity(obs, key))
    _, metrics = agent.update_actor(state, obs, key)
    np.testing.assert_allclose(np.quantile(alike, 0.5), metrics["similarity_q50"], rtol=1e-5)
    assert metrics["switched_share"] == np.mean(alike < 0.9)
