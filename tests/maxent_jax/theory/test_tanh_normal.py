import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

import envs
from maxent_jax.theory import tanh_normal

TOY = (1, 0.1, 1.0, -20.0)


@pytest.mark.parametrize("std", [0.01, 0.3, 1.0, 3.0])
def test_entropy_is_minus_the_mean_log_density(std):
    def integrand(action):
        x = np.arctanh(action)
        log_density = scipy.stats.norm.logpdf(x, scale=std) - np.log1p(-(action**2))
        return -np.exp(log_density) * log_density

    inside = np.tanh(8 * std)
    found, _ = scipy.integrate.quad(integrand, -min(inside, 1 - 1e-15), min(inside, 1 - 1e-15), limit=500)
    np.testing.assert_allclose(tanh_normal.entropy(std), found, atol=2e-5)


def test_toy_as_known():
    """The numbers that were found for the toy by other means."""
    assert tanh_normal.best_in_box(*TOY, alpha=1.0).value == pytest.approx(-1.018, abs=5e-4)
    assert tanh_normal.best_anywhere(1, -1.0, alpha=1.0).value == pytest.approx(-0.316, abs=1e-3)
    assert tanh_normal.crossing(*TOY, safe=-1.0) == pytest.approx(0.731, abs=5e-4)


@pytest.mark.parametrize("alpha", [0.4, 0.8, 1.5])
def test_no_other_squashed_normal_of_two_numbers_is_better(alpha):
    """Means and standard deviations are free, from many beginnings; values by another quadrature."""
    half, hit, miss = 0.36, 1.0, -4.0
    edge = np.arctanh(half)
    x, weight = np.polynomial.hermite_e.hermegauss(60)

    def negative(free):
        mean, std = free[:2], np.exp(free[2:])
        inside = scipy.stats.norm.cdf((edge - mean) / std) - scipy.stats.norm.cdf((-edge - mean) / std)
        u = mean[:, None] + std[:, None] * x
        slope = (np.log1p(-(np.tanh(np.clip(u, -15, 15)) ** 2)) @ weight) / weight.sum()
        entropy = np.sum(0.5 * np.log(2 * np.pi * np.e) + free[2:] + slope)
        return -(miss + (hit - miss) * np.prod(inside) + alpha * entropy)

    rng = np.random.default_rng(0)
    starts = np.concatenate([rng.normal(0, 0.7, (20, 2)), rng.uniform(-3, 1, (20, 2))], axis=1)
    bounds = [(-3, 3)] * 2 + [(-5, 1.5)] * 2
    best = -min(scipy.optimize.minimize(negative, start, method="L-BFGS-B", bounds=bounds).fun for start in starts)
    assert tanh_normal.best_in_box(2, half, hit, miss, alpha).value == pytest.approx(best, abs=2e-4)


@pytest.mark.parametrize("half", [1e-3, 1e-6, 1e-9])
def test_a_tiny_box_is_found(half):
    """There tanh is the identity: a normal in an interval, by another search."""
    alpha, hit, miss = 0.1, 1.0, -4.0

    def negative(log_ratio):
        std = half * np.exp(log_ratio)
        inside = 2 * scipy.stats.norm.cdf(half / std) - 1
        return -(miss + (hit - miss) * inside + alpha * (0.5 * np.log(2 * np.pi * np.e) + np.log(std)))

    best = -scipy.optimize.minimize_scalar(negative, bounds=(-4, 1), method="bounded").fun
    found = tanh_normal.best_in_box(1, half, hit, miss, alpha)
    assert found.value == pytest.approx(best, abs=1e-5)
    assert 0 < tanh_normal.crossing(1, half, hit, miss, -1.0) < 2 / np.log(1 / half)  # that of exact policies, about


def test_it_turns_before_the_exact_soft_policy_and_earlier_with_more_numbers():
    found = []
    for size in (1, 2, 4, 8, 16):
        env = envs.make("bandit_chain", size=size, crossing=1.0)
        found.append(tanh_normal.crossing(size, float(env.half_width), 1.0, -4.0, -1.0))
    assert found[0] < 1.0
    assert np.all(np.diff(found) < 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"safe": 2.0}, "safe = 2: must be between miss, which is -4, and hit, which is 1"),
        ({"half_width": 1.0}, r"half_width = 1: must be in \(0, 1\)"),
        ({"half_width": 0.95, "safe": -3.9}, r"half_width = 0\.95: one room is better at every temperature"),
        ({"size": 0}, "size = 0: must be a whole number >= 1"),
    ],
)
def test_mistakes(values, said):
    with pytest.raises(ValueError, match=said):
        tanh_normal.crossing(**({"size": 1, "half_width": 0.5, "hit": 1.0, "miss": -4.0, "safe": -1.0} | values))


def test_temperatures_and_standard_deviations_that_are_none():
    with pytest.raises(ValueError, match="alpha = -1: must be >= 0"):
        tanh_normal.best_anywhere(1, 0.0, -1.0)
    with pytest.raises(ValueError, match="std = 0: must be > 0"):
        tanh_normal.entropy([1.0, 0.0])
