import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from maxent_jax import distributions

CASES = [(0.0, 0.0), (0.3, -3.0), (-2.0, 1.6), (4.0, -0.5), (0.0, 2.0), (-1.0, -6.0)]  # mean, log_std


@pytest.mark.parametrize(("mean", "log_std"), CASES)
def test_tanh_log_prob_integrates_to_one(mean, log_std):
    # over x with da = (1 - tanh(x)^2) dx, on a grid dense enough for the narrowest case
    std = np.exp(log_std)
    x = np.linspace(mean - 9 * std, mean + 9 * std, 20_001, dtype=np.float32).astype(np.float64)
    density = np.exp(np.float64(distributions.tanh_log_prob(x[:, None], jnp.full(1, mean), jnp.full(1, log_std))))
    assert scipy.integrate.trapezoid(density / np.cosh(x) ** 2, x) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("mean", "log_std"), CASES)
def test_tanh_log_prob_is_the_density_of_the_squashed_draw(mean, log_std):
    # probability of an interval of actions, from the normal's distribution function
    normal = scipy.stats.norm(mean, np.exp(log_std))
    x = np.linspace(*normal.ppf([0.3, 0.6]), 4001, dtype=np.float32)
    density = np.exp(np.float64(distributions.tanh_log_prob(x[:, None], jnp.full(1, mean), jnp.full(1, log_std))))
    action = np.tanh(x.astype(np.float64))
    assert scipy.integrate.trapezoid(density, action) == pytest.approx(0.3, abs=2e-4)


def test_tanh_log_prob_and_its_gradient_far_out():
    # tanh rounds to 1 from x = 9 on in float32; the exact log-density there is the normal's + 2 |x| - 2 log 2
    x = jnp.array([[-1e4], [-60.0], [-20.0], [20.0], [60.0], [1e4]])
    mean, log_std = jnp.zeros(1), jnp.full(1, 2.0)
    z = np.float64(x[:, 0]) / np.exp(2.0)
    expected = -0.5 * z**2 - 2.0 - 0.5 * np.log(2 * np.pi) + 2 * np.abs(np.float64(x[:, 0])) - 2 * np.log(2)
    np.testing.assert_allclose(distributions.tanh_log_prob(x, mean, log_std), expected, rtol=1e-5)
    slopes = jax.grad(lambda *args: distributions.tanh_log_prob(*args).sum(), argnums=(0, 1, 2))(x, mean, log_std)
    exact = -np.float64(x) / np.exp(4.0) + 2 * np.sign(x)
    np.testing.assert_allclose(slopes[0], exact, rtol=1e-5)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_log_prob_and_entropy_of_several_actions():
    rng = np.random.default_rng(0)
    x, mean, log_std = rng.normal(size=(3, 5, 4, 2)).astype(np.float32)
    normal = scipy.stats.norm(np.float64(mean), np.exp(np.float64(log_std)))
    expected = normal.logpdf(x).sum(-1)
    np.testing.assert_allclose(distributions.normal_log_prob(x, mean, log_std), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(distributions.normal_entropy(log_std), normal.entropy().sum(-1), rtol=1e-5, atol=1e-5)
    squashed = expected - np.log(1 - np.tanh(np.float64(x)) ** 2).sum(-1)
    np.testing.assert_allclose(distributions.tanh_log_prob(x, mean, log_std), squashed, rtol=1e-5, atol=1e-5)


def test_normal_sample_has_the_mean_and_std_and_carries_gradients():
    mean, log_std = jnp.array([1.0, -2.0]), jnp.array([0.5, -1.0])
    draws = distributions.normal_sample(
        jnp.broadcast_to(mean, (20_000, 2)), jnp.broadcast_to(log_std, (20_000, 2)), jax.random.key(0)
    )
    for i in range(2):
        assert scipy.stats.kstest(draws[:, i], scipy.stats.norm(mean[i], np.exp(log_std[i])).cdf).pvalue > 1e-3
    jacobian = jax.jacobian(distributions.normal_sample, argnums=(0, 1))(mean, log_std, jax.random.key(0))
    np.testing.assert_allclose(jacobian[0], np.eye(2))
    offset = distributions.normal_sample(mean, log_std, jax.random.key(0)) - mean  # std times noise
    np.testing.assert_allclose(jacobian[1], np.diag(offset), rtol=1e-5)
