import numpy as np
import pytest

from maxent_jax import landscape, ridges


@pytest.mark.parametrize("size", [1, 2, 4])
def test_landscapes_that_are_ridges_are_taken_from_their_points_without_loss(size):
    """A sum over axes of lines that bend at the points: its values at draws, from those at the points."""
    near, far = 0.5 * np.sqrt(size), 0.75 + np.sqrt(size)
    sides = [0.3, 0.75, 1.3, 2.0] if size == 1 else [near, far]
    bends = np.array([*np.negative(sides[::-1]), 0.0, *sides])
    generator = np.random.default_rng(1)
    slopes = generator.normal(size=(len(bends), size))

    def landscape(x):
        inner = np.clip(x[:, None, :] - bends[:, None], 0, None)
        inner[:, 0] = x - bends[0]  # the first line goes on to the left, and no line bends at the outer points
        inner[:, -1] = 0
        return 3 + np.sum(inner * slopes, axis=(1, 2))

    points = ridges.points(size)
    assert points.shape == (2 * len(sides) * size + 1, size)
    found = ridges.at_draws(np.float32(landscape(points)), size, 30)
    draws = ridges.draws(size, 30)
    assert draws.shape == (ridges.SETS, 30, size)
    np.testing.assert_allclose(found, [landscape(sample) for sample in draws], rtol=1e-4, atol=1e-3)


def test_points_lie_as_far_out_as_draws_do():
    """In every dimension, by the distance of most draws from the middle; a single axis has nearer and farther ones."""
    for size in (1, 3, 8):
        distance = np.linalg.norm(ridges.points(size), axis=1)
        usual = np.sqrt(np.mean(np.sum(np.random.default_rng(2).normal(size=(1000, size)) ** 2, axis=1)))
        assert distance[-1] == 0
        inner, outer = (0.25, 2.1) if size == 1 else (0.4, 1.8)
        assert inner * usual < np.min(distance[:-1]) < usual < np.max(distance) < outer * usual


def test_what_is_flat_at_the_points_is_flat_everywhere():
    found = ridges.at_draws(np.full((3, 9), np.float32(-123.4567)), 2, 20)
    np.testing.assert_array_equal(found, np.float32(-123.4567))


@pytest.mark.parametrize("size", [2, 4, 12])
def test_chosen_samples_are_nearer_to_the_average_of_many_than_samples_as_they_fall(size):
    """On landscapes that they were not chosen by: curved ones, about as alike as a usual threshold."""
    random = np.random.default_rng(3)
    soft, other = random.normal(size=(2, 2, size, 600))
    share = random.uniform(size=600)

    def similarity(draws):
        of = lambda slope, bend: draws @ slope + 0.2 * draws**2 @ bend  # noqa: E731
        plain = share * of(*soft) + (1 - share) * of(*other)
        return np.asarray(landscape.cosine(of(*soft).swapaxes(-1, -2), plain.swapaxes(-1, -2)))

    many = similarity(random.normal(size=(256, 100, size)))
    expected = many.mean(axis=0)
    near = (expected > 0.8) & (expected < 0.98)
    error = lambda found: np.sqrt(np.mean((found - expected)[..., near] ** 2))  # noqa: E731
    usual = error(many[: 250 // ridges.SETS * ridges.SETS].reshape(-1, ridges.SETS, 600).mean(axis=1))
    assert error(similarity(ridges.draws(size, 100)).mean(axis=0)) < 0.85 * usual


@pytest.mark.parametrize(("size", "samples"), [(1, 2), (3, 2), (2, 7)])
def test_samples_have_any_size(size, samples):
    found = ridges.draws(size, samples)
    assert found.shape == (ridges.SETS, samples, size)
    assert np.all(np.isfinite(found))
