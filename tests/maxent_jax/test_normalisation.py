import jax.numpy as jnp
import numpy as np

from maxent_jax import normalisation


def test_statistics_of_batches_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    batches = [rng.normal(5, 3, (n, 2)).astype(np.float32) * [1, 100] for n in (7, 1, 50)]
    statistics = normalisation.init(2)
    for batch in batches:
        statistics = normalisation.update(statistics, jnp.asarray(batch))
    rows = np.concatenate(batches)
    np.testing.assert_allclose(statistics.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics.variance, rows.var(0), rtol=1e-5)
    assert statistics.count == len(rows)
    scaled = (rows[:3] - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(normalisation.normalise(statistics, jnp.asarray(rows[:3])), scaled, rtol=1e-4, atol=1e-5)


def test_first_statistics_change_nothing_within_ten():
    obs = jnp.array([[-3.0, 0.5, 9.0]])
    np.testing.assert_allclose(normalisation.normalise(normalisation.init(3), obs), obs, rtol=1e-6)
    assert normalisation.normalise(normalisation.init(2), jnp.array([-50.0, 50.0])).tolist() == [-10.0, 10.0]


def test_a_constant_observation_stays_finite():
    statistics = normalisation.update(normalisation.init(1), jnp.full((4, 1), 2.5))
    assert normalisation.normalise(statistics, jnp.array([2.5])).tolist() == [0.0]
