import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from maxent_jax import networks

OBS, ACTION = jnp.linspace(-1, 1, 21).reshape(7, 3), jnp.linspace(-0.9, 0.8, 14).reshape(7, 2)


def test_twins_are_two_different_critics():
    critic = networks.Critic((8, 6))
    params = networks.twin_init(critic, jax.random.key(0), OBS[0], ACTION[0])
    q = networks.twin_apply(critic, params, OBS, ACTION)
    assert q.shape == (2, 7)
    assert np.abs(q[0] - q[1]).min() > 1e-3
    np.testing.assert_allclose(q, reference.twins(reference.float64(params), OBS, ACTION), rtol=1e-5, atol=1e-6)


def test_squashed_actor_starts_with_std_one_and_clips_its_log_std():
    actor = networks.SquashedActor((64, 64), 2)
    params = actor.init(jax.random.key(0), OBS)
    mean, log_std = actor.apply(params, OBS)
    assert mean.shape == log_std.shape == (7, 2)
    assert 0 < np.abs(log_std).max() < 0.05  # weights x 0.01, bias 0
    assert np.std(params["params"]["log_std"]["kernel"]) == pytest.approx(0.01 / 8, rel=0.2)
    assert np.std(params["params"]["mean"]["kernel"]) == pytest.approx(1 / 8, rel=0.2)
    expected = reference.squashed_policy(reference.float64(params), np.float64(OBS))
    np.testing.assert_allclose((mean, log_std), expected, rtol=1e-4, atol=1e-6)
    for bias, clipped in ((50.0, 2.0), (-50.0, -20.0)):
        assert np.all(actor.apply(networks.shift(params, ("log_std", "bias"), jnp.full(2, bias)), OBS)[1] == clipped)


@pytest.mark.parametrize("state_dependent_std", [False, True])
def test_gaussian_actor_starts_near_zero_with_std_one(state_dependent_std):
    actor = networks.GaussianActor((16, 16), 2, state_dependent_std)
    params = actor.init(jax.random.key(0), OBS)
    mean, log_std = actor.apply(params, OBS)
    expected = reference.gaussian_policy(reference.float64(params), np.float64(OBS))
    np.testing.assert_allclose((mean, log_std), expected, rtol=1e-4, atol=1e-6)
    assert 0 < np.abs(mean).max() < 0.05
    assert np.abs(log_std).max() < 0.05
    hidden = np.asarray(params["params"]["Dense_1"]["kernel"])
    np.testing.assert_allclose(hidden @ hidden.T, 2 * np.eye(16), atol=1e-5)  # orthogonal, gain sqrt 2
    head = np.asarray(params["params"]["mean"]["kernel"])
    np.testing.assert_allclose(head.T @ head, 1e-4 * np.eye(2), atol=1e-9)
    assert not np.any(params["params"]["Dense_0"]["bias"])


def test_value_agrees_with_float64():
    params = networks.Value((8, 6)).init(jax.random.key(0), OBS)
    expected = reference.value(reference.float64(params), np.float64(OBS))
    np.testing.assert_allclose(networks.Value((8, 6)).apply(params, OBS), expected, rtol=1e-5, atol=1e-6)


def test_polyak_moves_by_tau():
    target, online = {"a": jnp.array([0.0, 8.0])}, {"a": jnp.array([4.0, 0.0])}
    assert networks.polyak(target, online, 0.25)["a"].tolist() == [1.0, 6.0]
    assert networks.polyak(target, online, 0.0)["a"].tolist() == [0.0, 8.0]
    assert networks.polyak(target, online, 1.0)["a"].tolist() == [4.0, 0.0]


def test_shift_changes_one_array_only():
    params = {"params": {"mean": {"bias": jnp.zeros(2), "kernel": jnp.ones(2)}, "x": jnp.ones(1)}}
    shifted = networks.shift(params, ("mean", "bias"), jnp.array([1.0, 2.0]))
    assert shifted["params"]["mean"]["bias"].tolist() == [1.0, 2.0]
    assert shifted["params"]["mean"]["kernel"].tolist() == [1.0, 1.0]
    assert params["params"]["mean"]["bias"].tolist() == [0.0, 0.0]


def test_tangent_of_twins_is_their_own_first_layer_and_a_line_beyond():
    critic = networks.Critic((8, 6))
    params = networks.twin_init(critic, jax.random.key(0), OBS[0], ACTION[0])
    tangent = networks.twin_tangent(critic, params, OBS, ACTION)
    others = jnp.stack([ACTION, -ACTION, 0.5 * ACTION], axis=1)
    found = jax.jit(lambda action: tangent(action))(others)

    layers = [jax.tree.map(np.float64, params["params"][f"Dense_{i}"]) for i in range(3)]
    first, second, last = ((layer["kernel"], layer["bias"]) for layer in layers)
    for twin in range(2):
        for state in range(len(OBS)):
            features = [
                np.maximum(np.concatenate([OBS[state], action]) @ first[0][twin] + first[1][twin], 0)
                for action in (ACTION[state], *others[state])
            ]
            hidden = features[0] @ second[0][twin] + second[1][twin]
            slope = second[0][twin] @ ((hidden > 0) * last[0][twin][:, 0])
            value = np.maximum(hidden, 0) @ last[0][twin][:, 0] + last[1][twin][0]
            expected = [value + slope @ (x - features[0]) for x in features[1:]]
            np.testing.assert_allclose(found[state, twin], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, :, 0].T, networks.twin_apply(critic, params, OBS, ACTION), rtol=1e-5)
