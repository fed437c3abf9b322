import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate
import scipy.special

import envs
from envs.base import Task
from envs.fields import InvalidSetting
from envs.pendulum import PendulumState
from maxent_jax.theory import Axis, discretise, solve, solve_soft
from maxent_jax.theory.discretise import interpolate

EDGE = float(np.float32(0.1))
TOY = ([Axis(np.arange(6.0))], lambda x: x[0].astype(jnp.int32), [[-1, -EDGE, 0, EDGE, 1]])


def pendulum(bins, cells=5, **fields):
    axes = [Axis(2 * np.pi * np.arange(bins) / bins, 2 * np.pi), Axis(np.linspace(-8, 8, bins))]
    edges = [np.linspace(-1, 1, cells + 1)]
    return axes, discretise(envs.make("pendulum", **fields), axes, lambda x: PendulumState(x[0], x[1]), edges)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_toy_has_its_closed_form_values(gamma):
    at = discretise(envs.make("toy"), *TOY, gamma=gamma)
    np.testing.assert_allclose(at.model.measure[0], [1 - EDGE, EDGE, EDGE, 1 - EDGE])
    np.testing.assert_array_equal(at.start, [1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(solve(at.model).value, [gamma, 1, -1, 0, 0, 0])
    for alpha in (0.3, 1.0, 4.0):
        good = alpha * np.log(2 * EDGE * np.exp(1 / alpha) + (2 - 2 * EDGE) * np.exp(-20 / alpha))
        bad = -1 + alpha * np.log(2)
        start = alpha * np.log(np.exp(gamma * good / alpha) + np.exp(gamma * bad / alpha))
        ends = alpha * np.log(2)
        np.testing.assert_allclose(solve_soft(at.model, alpha).value, [start, good, bad, *[ends] * 3], rtol=1e-12)


def test_toy_crosses_at_two_over_log_ten():
    model = discretise(envs.make("toy"), *TOY, gamma=1.0).model
    for factor, side in ((0.99, 1), (1.01, -1)):
        value = solve_soft(model, factor * 2 / np.log(10)).value
        assert np.sign(value[1] - value[2]) == side


def test_pendulum_steps_are_those_of_its_equations():
    axes, at = pendulum(5)
    model = at.model
    assert model.transition.shape == (25, 5, 25)
    np.testing.assert_allclose(model.measure, 0.4)
    np.testing.assert_allclose(model.discount, 0.99)
    np.testing.assert_allclose(at.actions[:, 0], [-0.8, -0.4, 0, 0.4, 0.8], atol=1e-15)
    row = {angle: np.append(angle, angle[0] + 2 * np.pi) for angle in [tuple(axes[0].points)]}
    (angles,) = row.values()
    for s, (theta, speed) in enumerate(at.states):
        for a, action in enumerate(np.float64(np.float32(at.actions[:, 0]))):
            wrapped = (theta + np.pi) % (2 * np.pi) - np.pi
            cost = wrapped**2 + 0.1 * speed**2 + 0.001 * (2 * action) ** 2
            np.testing.assert_allclose(model.reward[s, a], -cost, rtol=1e-6)
            after = np.clip(speed + (15 * np.sin(theta) + 3 * 2 * action) * 0.05, -8, 8)
            turned = (theta + 0.05 * after) % (2 * np.pi)
            for t in range(25):  # the weight of a corner: scipy's interpolation of that corner's indicator
                corner = np.eye(25)[t].reshape(5, 5)
                corner = np.vstack([corner, corner[:1]])
                weight = scipy.interpolate.RegularGridInterpolator((angles, axes[1].points), corner)
                assert model.transition[s, a, t] == pytest.approx(weight([turned, after])[0], abs=1e-6)


def test_pendulum_starts_where_the_task_starts():
    _, at = pendulum(21)
    angles = at.start.reshape(21, 21).sum(axis=1)
    np.testing.assert_allclose(angles, 1 / 21, atol=0.015)  # 4096 draws
    speeds = at.start.reshape(21, 21).sum(axis=0)
    uniform = np.random.default_rng(0).uniform(-1, 1, 100_000)
    grid = np.linspace(-8, 8, 21)
    expected = np.maximum(0, 1 - np.abs(uniform[:, None] - grid) / 0.8).mean(axis=0)
    np.testing.assert_allclose(speeds, expected, atol=0.02)


def test_soft_values_of_the_pendulum_are_those_of_value_iteration():
    model = pendulum(7)[1].model
    value = np.zeros(49)
    for _ in range(4000):
        q = model.reward + 0.99 * np.einsum("sat,t->sa", model.transition, value)
        value = 0.7 * scipy.special.logsumexp(q / 0.7, b=model.measure, axis=1)
    np.testing.assert_allclose(solve_soft(model, 0.7).value, value, atol=1e-9)


def test_interpolation_is_exact_for_what_is_linear_in_each_coordinate():
    rng = np.random.default_rng(0)
    axes = [Axis(np.array([-1.0, 0.5, 2.0])), Axis(np.array([0.0, 1.0])), Axis(np.array([3.0]))]
    points = np.stack([rng.uniform(-1, 2, 50), rng.uniform(0, 1, 50), np.full(50, 3.0)], axis=-1)
    weights = interpolate(axes, points)
    corners = np.stack([m.ravel() for m in np.meshgrid(*(a.points for a in axes), indexing="ij")], -1)

    def f(x):
        return 1 + 2 * x[:, 0] - 3 * x[:, 1]

    np.testing.assert_allclose(weights @ f(corners), f(points), rtol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_beyond_the_grid_is_its_edge_and_a_period_leads_around():
    weights = interpolate([Axis(np.array([0.0, 1.0]))], np.array([[-5.0], [7.0]]))
    np.testing.assert_array_equal(weights, [[1, 0], [0, 1]])
    around = interpolate([Axis(np.array([0.0, 1.0, 2.0]), 4.0)], np.array([[3.0], [-0.5], [9.0]]))
    np.testing.assert_allclose(around, [[0.5, 0, 0.5], [0.75, 0, 0.25], [0, 1, 0]])


class Halves(Task):
    """Two states; each step from the first is a half-step without duration. Two actions, and a fixed end."""

    @property
    def observes(self):
        return ("where",)

    @property
    def acts(self):
        return ("one", "two")

    def start(self, key):
        return jnp.zeros(())

    def advance(self, physics, action):
        return physics + 1, action[0] - action[1], physics >= 1

    def observe(self, physics):
        return physics[None]

    def step(self, state, action):
        after = super().step(state, action)
        at_first = state.obs[0] == 0
        return after.replace(info=after.info | {"duration": jnp.where(at_first, 0, 1)})


def test_half_steps_are_not_discounted_and_cells_are_products():
    edges = [[-1, 0, 1], [-1, 0.5, 1]]
    at = discretise(Halves(), [Axis(np.array([0.0, 1.0]))], lambda x: x[0], edges, gamma=0.5)
    np.testing.assert_array_equal(at.model.discount, [[1] * 4, [0] * 4])
    np.testing.assert_allclose(at.model.measure[0], [1.5, 0.5, 1.5, 0.5])
    np.testing.assert_allclose(at.actions, [[-0.5, -0.25], [-0.5, 0.75], [0.5, -0.25], [0.5, 0.75]])
    np.testing.assert_allclose(at.model.reward[0], at.actions[:, 0] - at.actions[:, 1])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"process_noise": 0.1}, "env.process_noise, env.observation_noise: must be none"),
        ({"observation_noise": 0.1}, "env.process_noise, env.observation_noise: must be none"),
        ({"action_delay": 1}, "env.action_delay = 1: must be 0"),
        ({"timeout_is_termination": True}, "env.timeout_is_termination = True: must be false"),
    ],
)
def test_tasks_that_are_no_finite_models_are_refused(fields, said):
    with pytest.raises(InvalidSetting, match=said):
        discretise(envs.make("toy", **fields), *TOY)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"states": [Axis(np.array([1.0, 1.0]))]}, "points of an axis must increase"),
        ({"states": [Axis(np.arange(6.0), 5.0)]}, r"period = 5: must be > 5"),
        ({"actions": [[-1, 0.0]]}, "edges must increase from -1 to 1"),
        ({"actions": [[-1, 1], [-1, 1]]}, "2 lists of edges: must be 1"),
        ({"gamma": 1.5}, r"gamma = 1\.5: must be a number in \[0, 1\]"),
        ({"gamma": [0.9, 0.8]}, r"gamma = \[0\.9 0\.8\]: must be a number"),
        ({"states": []}, "states: must have an axis"),
        ({"states": [Axis(np.arange(6.0))] * 2}, "states: 2 axes: must be one for each of the 1 coordinates"),
        ({"volumes": [2.0]}, r"actions of shape \(1, 5\): must be \(1, 1\)"),
        ({"actions": [[0.0], [0.5]], "volumes": [1.0, 0.5]}, "volumes: must be > 0 and sum to 2"),
        ({"actions": [[0.0], [1.5]], "volumes": [1.0, 1.0]}, r"must be \(2, 1\), in \[-1, 1\]"),
        ({"states": [Axis(np.arange(5001.0))]}, "5001 states and 4 actions make 1e.08 numbers; must be at most"),
    ],
)
def test_grids_that_make_no_sense_are_refused(changed, said):
    given = dict(zip(("states", "set_state", "actions"), TOY, strict=True)) | changed
    with pytest.raises(ValueError, match=said):
        discretise(envs.make("toy"), **given)


def test_too_many_cells_are_refused_before_they_are_made():
    size = 40
    with pytest.raises(ValueError, match="must be at most"):
        discretise(envs.make("bandit_chain", size=size), [Axis(np.arange(4.0))], TOY[1], [[-1, -0.5, 0.5, 1]] * size)


def test_cells_may_be_given_by_their_volumes():
    volumes = [0.5 - EDGE, 2 * EDGE, 0.5 - EDGE, 1.0]
    at = discretise(envs.make("toy"), TOY[0], TOY[1], [[-0.4], [0.0], [0.4], [0.7]], volumes=volumes)
    np.testing.assert_array_equal(at.model.measure, np.tile(volumes, (6, 1)))
    np.testing.assert_array_equal(at.actions[:, 0], [-0.4, 0, 0.4, 0.7])
    np.testing.assert_array_equal(at.model.reward[1], [-20, 1, -20, -20])


def test_tracers_are_refused():
    with pytest.raises(ValueError, match="gamma: must be numbers, not what jit or vmap traces"):
        jax.jit(lambda gamma: discretise(envs.make("toy"), *TOY, gamma=gamma).start)(0.9)
    with pytest.raises(ValueError, match="env: must hold numbers, not what jit or vmap traces"):
        jax.jit(lambda env: discretise(env, *TOY).start)(envs.make("toy"))
