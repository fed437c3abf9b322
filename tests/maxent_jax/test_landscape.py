import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import scipy.stats

from maxent_jax import landscape


def expected(soft, plain):
    shape = np.shape(soft)[:-1]
    return np.array([reference.similarity(np.float64(soft[i]), np.float64(plain[i])) for i in np.ndindex(shape)])


@pytest.mark.parametrize(
    ("soft", "plain", "similarity"),
    [
        ([0.0, 1.0], [0.0, 2.0], 1.0),
        ([0.0, 1.0], [1.0, 0.0], 0.0),
        ([0.0, 1.0, 1.0], [0.0, 0.0, 1.0], 2**-0.5),
        ([-3.0, -2.0, -1.0], [7.0, 6.0, 5.0], 1 / 5),  # (0, 1, 2) and (2, 1, 0)
        ([4.0, 4.0, 4.0], [1.0, 2.0, 3.0], 0.0),  # one constant
        ([1.0, 2.0, 3.0], [-8.0, -8.0, -8.0], 0.0),
        ([4.0, 4.0, 4.0], [-1e9, -1e9, -1e9], 1.0),  # both constant
        ([0.0, 0.0], [0.0, 0.0], 1.0),
        ([5], [3], 1.0),  # one sample is a constant landscape, whole numbers are numbers
    ],
)
def test_similarity_by_hand(soft, plain, similarity):
    assert float(landscape.cosine(jnp.array(soft), jnp.array(plain))) == pytest.approx(similarity, abs=1e-6)


@pytest.mark.parametrize("shape", [(2,), (16,), (3, 100), (2, 4, 7)])
def test_similarity_agrees_with_float64(shape):
    rng = np.random.default_rng(len(shape))
    for scale, offset in itertools.product((1e-3, 1.0, 300.0), (0.0, -1e3)):
        soft = (scale * rng.normal(size=shape) + offset).astype(np.float32)
        plain = (soft + scale * rng.standard_t(2, size=shape)).astype(np.float32)
        soft.reshape(-1, shape[-1])[0] = 1.5  # a constant row among others
        ours = landscape.cosine(soft, plain)
        assert ours.shape == shape[:-1]
        np.testing.assert_allclose(ours.reshape(-1), expected(soft, plain).reshape(-1), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e37])
def test_similarity_of_huge_and_tiny_values(scale):
    soft, plain = (np.random.default_rng(0).uniform(1, 2, (2, 5, 30)) * scale).astype(np.float32)
    np.testing.assert_allclose(landscape.cosine(soft, plain), expected(soft, plain), rtol=1e-5)


def test_similarity_is_symmetric_and_blind_to_shift_and_positive_scale():
    soft, plain = np.random.default_rng(0).integers(-50, 50, (2, 20, 9)).astype(np.float32)  # exact in float32
    similarity = landscape.cosine(soft, plain)
    np.testing.assert_allclose(landscape.cosine(plain, soft), similarity, rtol=1e-6)
    np.testing.assert_allclose(landscape.cosine(8 * soft + 1000, plain - 77), similarity, rtol=1e-6)
    np.testing.assert_allclose(landscape.cosine(soft, 3 * soft - 5), 1.0, rtol=1e-6)
    assert np.all((similarity >= 0) & (similarity <= 1))


def test_unrelated_normal_landscapes_of_100_samples_are_alike_by_0_86():
    soft, plain = np.random.default_rng(0).normal(size=(2, 20_000, 100)).astype(np.float32)
    similarity = landscape.cosine(soft, plain)
    assert float(similarity.mean()) == pytest.approx(0.86, abs=0.005)
    np.testing.assert_allclose(np.quantile(similarity, [0.05, 0.95]), [0.81, 0.90], atol=0.006)


def test_similarity_is_the_diluted_correlation():
    # (rho + m_u m_v) / sqrt((1 + m_u^2)(1 + m_v^2)) with m = (mean - minimum) / standard deviation
    u, v = np.random.default_rng(0).normal(size=(2, 40))
    v += u
    m_u, m_v = ((x.mean() - x.min()) / x.std() for x in (u, v))
    diluted = (np.corrcoef(u, v)[0, 1] + m_u * m_v) / np.sqrt((1 + m_u**2) * (1 + m_v**2))
    assert float(landscape.cosine(u, v)) == pytest.approx(diluted, abs=1e-6)


@pytest.mark.parametrize("shape", [(2,), (16,), (3, 100), (2, 4, 7)])
def test_correlations_agree_with_scipy(shape):
    """Values are whole numbers from a small range, so that many are equal."""
    rng = np.random.default_rng(len(shape))
    soft = rng.integers(0, 6, shape).astype(np.float32)
    plain = rng.integers(0, 6, shape) + soft
    rows = list(np.ndindex(shape[:-1]))
    for ours, theirs in ((landscape.pearson, scipy.stats.pearsonr), (landscape.spearman, scipy.stats.spearmanr)):
        found = ours(jnp.array(soft), jnp.array(plain))
        assert found.shape == shape[:-1]
        expected = [theirs(soft[row], plain[row]).statistic for row in rows]
        np.testing.assert_allclose([found[row] for row in rows], expected, atol=1e-6)


@pytest.mark.parametrize("metric", [landscape.pearson, landscape.spearman])
def test_correlations_of_flat_landscapes_count_as_the_cosine_does(metric):
    flat, slope = jnp.full(3, 1e6), jnp.arange(3.0)
    assert [float(metric(*pair)) for pair in ((flat, slope), (slope, flat), (flat, -flat))] == [0, 0, 1]


@pytest.mark.parametrize(
    ("soft", "plain", "kept"),
    [
        ([0.0, 3.0, 2.0], [-10.0, 10.0, 0.0], 1.0),
        ([0.0, 2.0, 3.0], [-10.0, 10.0, 0.0], 0.5),
        ([3.0, 2.0, 0.0], [-10.0, 10.0, 0.0], 0.0),
        ([1.0, 1.0, 0.0], [2.0, 4.0, 0.0], 0.5),  # the first of equal ones
        ([0.0, 1.0], [7.0, 7.0], 1.0),  # nothing to lose
    ],
)
def test_regret_by_hand(soft, plain, kept):
    assert float(landscape.regret(jnp.array(soft), jnp.array(plain))) == pytest.approx(kept)


@pytest.mark.parametrize("name", landscape.METRICS)
def test_every_metric_finds_a_landscape_like_itself_at_any_scale(name):
    q = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    metric = jax.jit(jax.vmap(landscape.METRICS[name]))
    for scale in (1e-20, 1.0, 1e20):
        np.testing.assert_allclose(metric(scale * q, 3 * scale * q), 1.0, rtol=1e-6)
    assert np.all(metric(q, -q) < 0.9)


def test_misled_below_the_threshold_only():
    similarity = jnp.array([0.0, 0.5, 0.8999, 0.9, 1.0])
    assert landscape.misled(similarity, 0.9).tolist() == [True, True, True, False, False]
    assert not landscape.misled(similarity, 0.0).any()
    assert not landscape.misled(similarity, -1.0).any()
    assert landscape.misled(similarity, 2.0).all()


def test_similarity_under_jit_and_vmap():
    soft, plain = np.random.default_rng(0).normal(size=(2, 4, 6, 8)).astype(np.float32)
    mapped = jax.jit(jax.vmap(landscape.cosine))(soft, plain)
    np.testing.assert_allclose(mapped, landscape.cosine(soft, plain), rtol=1e-6)
