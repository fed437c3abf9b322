"""Float64 numpy twins of networks, densities and losses, written from the formulas; gradients by finite differences."""

import jax
import numpy as np

LOG_2_PI = np.log(2 * np.pi)


def float64(tree):
    """Any tree of arrays as float64 numpy."""
    return jax.tree.map(lambda x: np.array(x, np.float64), tree)


def gradient(loss, params, eps=1e-6):
    """Central differences of a scalar function of a float64 tree."""
    leaves, structure = jax.tree.flatten(float64(params))

    def slope(leaf, index):
        old = leaf[index]
        ends = []
        for sign in (1, -1):
            leaf[index] = old + sign * eps
            ends.append(loss(structure.unflatten(leaves)))
        leaf[index] = old
        return (ends[0] - ends[1]) / (2 * eps)

    slopes = [np.array([slope(leaf, i) for i in np.ndindex(leaf.shape)]).reshape(leaf.shape) for leaf in leaves]
    return structure.unflatten(slopes)


def assert_close(ours, reference, rtol, atol):
    """Two trees of the same structure, leaf by leaf."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(np.asarray(a), b, rtol=rtol, atol=atol), ours, reference)


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def hidden(layers, x, activation):
    """The layers before the heads."""
    for name in sorted(name for name in layers if name.startswith("Dense")):
        x = activation(dense(layers[name], x))
    return x


def scalar_net(params, x, activation):
    """A net whose last layer gives one number: (..., inputs) -> (...)."""
    layers = dict(params["params"])
    last = layers.pop(max(layers))
    return dense(last, hidden(layers, x, activation))[..., 0]


def relu(x):
    return np.maximum(x, 0)


def critic(params, obs, action):
    """(..., o), (..., a) -> (...) of one critic."""
    return scalar_net(params, np.concatenate([obs, action], -1), relu)


def twins(params, obs, action):
    """(2, ...) values of stacked critics, or of how many there are."""
    count = len(jax.tree.leaves(params)[0])
    return np.stack([critic(jax.tree.map(lambda x, i=i: x[i], params), obs, action) for i in range(count)])


def deterministic_policy(params, obs):
    """DDPG's and TD3's action."""
    layers = params["params"]
    return np.tanh(dense(layers["mean"], hidden(layers, obs, relu)))


def squashed_policy(params, obs):
    """Mean and log-std before tanh."""
    layers = params["params"]
    x = hidden(layers, obs, relu)
    return dense(layers["mean"], x), np.clip(dense(layers["log_std"], x), -20, 2)


def squashed_sample(params, obs, noise):
    """Action and log-density for given standard normal noise; the density by the textbook formula."""
    mean, log_std = squashed_policy(params, obs)
    x = mean + np.exp(log_std) * noise
    log_prob = np.sum(normal_log_density(x, mean, log_std) - np.log(1 - np.tanh(x) ** 2), -1)
    return np.tanh(x), log_prob


def normal_log_density(x, mean, log_std):
    """Elementwise."""
    return -0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * LOG_2_PI


def value(params, obs):
    """PPO's V: (..., o) -> (...)."""
    return scalar_net(params, obs, np.tanh)


def gaussian_policy(params, obs):
    """PPO's mean and log-std, state-dependent or not."""
    layers = params["params"]
    x = hidden(layers, obs, np.tanh)
    mean = dense(layers["mean"], x)
    if isinstance(layers["log_std"], dict):
        return mean, np.clip(dense(layers["log_std"], x), -20, 2)
    return mean, np.broadcast_to(layers["log_std"], mean.shape)


def similarity(soft, plain):
    """The published cosine, one state at a time: two (n,) landscapes -> a number."""
    u, v = soft - soft.min(), plain - plain.min()
    if not u.any() and not v.any():
        return 1.0
    if not u.any() or not v.any():
        return 0.0
    return u @ v / np.sqrt((u @ u) * (v @ v))
