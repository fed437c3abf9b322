import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiny
from learning import batch_of

import envs
from envs.fields import build
from maxent_jax import trainer
from maxent_jax.agents import SAC, SACAnnealed

pytestmark = pytest.mark.usefixtures("quick_compile")


def annealed(**values):
    return build(SACAnnealed, tiny.FIELDS["sac_annealed"] | values)


@pytest.mark.parametrize(
    ("share", "progress", "left"),
    [(0.5, 0.0, 1.0), (0.5, 0.125, 0.75), (0.5, 0.5, 0.0), (0.5, 0.9, 0.0), (1.0, 0.75, 0.25)],
)
def test_alpha_falls_linearly_within_its_share(share, progress, left):
    agent = annealed(alpha=0.8, anneal_share=share).scheduled(jnp.float32(progress))
    assert agent.alpha == pytest.approx(0.8 * left, abs=1e-6)
    assert agent.alpha.dtype == jnp.float32  # a weak type would compile a second time


@pytest.mark.slow
def test_training_reports_the_alpha_of_each_chunk_and_learns_with_it():
    """Four chunks of 10 updates, alpha at 0 after 20 of them."""
    agent, env = annealed(alpha=0.8, anneal_share=0.5), envs.make("toy")
    plan = trainer.schedule(agent, steps=40, evaluations=4)
    train = jax.jit(functools.partial(trainer.train, plan=plan))
    run, counters = trainer.begin(agent, env, jnp.uint32(3), plan), trainer.no_steps()
    seen = []
    for _ in range(plan.chunks):
        run, counters, metrics = train(agent, env, run, counters)
        seen.append(metrics["alpha"])
    by_update = 0.8 * np.maximum(0, 1 - np.arange(40) / 20)
    np.testing.assert_allclose(seen, by_update.reshape(4, 10).mean(1), atol=1e-6)
    assert counters.updates == 40


def test_an_update_is_that_of_sac_with_the_alpha_of_the_moment():
    spec = envs.spec("toy")
    agent, sac = annealed(alpha=0.8), build(SAC, tiny.FIELDS["sac"] | {"alpha": 0.4})
    state = jax.jit(lambda: sac.init(jax.random.key(0), spec))()
    batch, key = batch_of(spec, size=8, seed=0), jax.random.key(1)
    found = jax.jit(lambda progress: agent.scheduled(progress).update(state, batch, key))(0.25)
    reference.assert_close(found, jax.jit(sac.update)(state, batch, key), rtol=1e-6, atol=1e-7)
