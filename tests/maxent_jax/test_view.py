import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.pendulum import PendulumState
from maxent_jax import view


def look(env, physics, flat):
    (picture,) = view.pictures(env.mjcf, np.asarray(env.qpos(physics))[None], flat)
    assert picture.shape == (*view.SIZE, 3)
    assert picture.dtype == np.uint8
    return picture.astype(int)


def reddish(picture):
    """Rows and columns of the red pixels."""
    return np.nonzero((picture[..., 0] > 1.5 * picture[..., 1]) & (picture[..., 0] > 1.5 * picture[..., 2]))


@pytest.fixture(scope="module")
def opengl():
    try:
        view.rendered(view.load(envs.make("pendulum").mjcf))
    except view.NoOpenGL as reason:
        pytest.skip(f"no OpenGL here: {reason}")


@pytest.fixture(params=["rendered", "flat"])
def flat(request):
    if request.param == "rendered":
        request.getfixturevalue("opengl")
    return request.param == "flat"


@pytest.mark.parametrize(
    ("theta", "rows", "columns"),
    [(0.0, -1, 0), (np.pi, 1, 0), (np.pi / 2, 0, -1), (-np.pi / 2, 0, 1)],  # upright, hanging, left, right
)
def test_pendulum_points_where_its_angle_says(flat, theta, rows, columns):
    env = envs.make("pendulum")
    picture = look(env, PendulumState(jnp.float32(theta), jnp.zeros(())), flat)
    offset = [np.mean(index) - size / 2 for index, size in zip(reddish(picture), view.SIZE, strict=True)]
    np.testing.assert_allclose(np.array(offset) / 55, [rows, columns], atol=0.25)


def test_drawn_and_rendered_pictures_show_the_same_places(opengl):
    env = envs.make("vehicle")
    physics = env.start(jax.random.key(0))
    centres = [np.mean(reddish(look(env, physics, kind)), axis=1) for kind in (False, True)]
    np.testing.assert_allclose(centres[0], centres[1], atol=3)


def test_toys_piece_stands_on_its_state(flat):
    env = envs.make("toy")
    seen = []
    for state in range(6):
        picture = look(env, jnp.int32(state), flat)
        rows, columns = np.nonzero(picture.max(axis=-1) < 45)
        seen.append((np.mean(rows), np.mean(columns)))
    rows, columns = np.array(seen).T
    assert rows[0] > rows[1] > rows[3]  # the way goes up the picture
    assert columns[1] < columns[0] < columns[2]  # good on the left, bad on the right
    assert columns[3] < columns[4] < columns[5]


@pytest.mark.parametrize("name", envs.names())
def test_every_task_has_a_scene_that_its_state_fits(name):
    env = envs.make(name)
    model = view.load(env.mjcf)
    physics = env.start(jax.random.key(0))
    assert env.qpos(physics).shape == (model.nq,)
    picture = look(env, physics, flat=True)
    assert 0.002 < np.mean(np.any(picture < 200, axis=-1)) < 0.9  # something is seen, and something around it
