import numpy as np
import pytest

from maxent_jax import ridges


@pytest.mark.parametrize("size", [1, 2, 4])
def test_landscapes_that_are_ridges_are_taken_from_their_points_without_loss(size):
    """A sum over axes of lines that bend at the points: its values at draws, from those at the points."""
    near, far = 0.5 * np.sqrt(size), 0.75 + np.sqrt(size)
    bends = np.array([-far, -near, 0.0, near, far])
    generator = np.random.default_rng(1)
    slopes = generator.normal(size=(5, size))

    def landscape(x):
        inner = np.clip(x[:, None, :] - bends[:, None], 0, None)
        inner[:, 0] = x - bends[0]  # the first line goes on to the left, and no line bends at the outer points
        inner[:, -1] = 0
        return 3 + np.sum(inner * slopes, axis=(1, 2))

    points = ridges.points(size)
    assert points.shape == (4 * size + 1, size)
    found = ridges.at_draws(np.float32(landscape(points)), size, 30)
    draws = np.random.default_rng(0).normal(size=(8 * 30, size))
    np.testing.assert_allclose(np.asarray(found), landscape(draws).reshape(8, 30), rtol=1e-4, atol=1e-3)


def test_points_lie_as_far_out_as_draws_do():
    """In every dimension, by the distance of most draws from the middle."""
    for size in (1, 3, 8):
        distance = np.linalg.norm(ridges.points(size), axis=1)
        usual = np.sqrt(np.mean(np.sum(np.random.default_rng(2).normal(size=(1000, size)) ** 2, axis=1)))
        assert distance[-1] == 0
        assert 0.4 * usual < np.min(distance[:-1]) < usual < np.max(distance) < 1.8 * usual


def test_what_is_flat_at_the_points_is_flat_everywhere():
    found = ridges.at_draws(np.full((3, 9), np.float32(-123.4567)), 2, 20)
    np.testing.assert_array_equal(found, np.float32(-123.4567))
