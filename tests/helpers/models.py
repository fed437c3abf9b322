"""Random finite models."""

import numpy as np

from maxent_jax.theory import TabularMDP


def random_model(rng, states, actions, lead=(), deterministic=False, discount=0.95):
    """A model with random cells, some of them not available, and discounts that differ by action."""
    shape = (*lead, states, actions)
    if deterministic:
        transition = np.eye(states)[rng.integers(states, size=shape)]
    else:
        transition = rng.dirichlet(np.ones(states), size=shape)
    available = rng.uniform(size=shape) < 0.8
    available[..., 0] = True
    return TabularMDP(
        transition * available[..., None],
        rng.normal(size=shape) * available,
        discount * rng.uniform(0.5, 1, size=shape) * available,
        rng.uniform(0.1, 2.0, size=shape) * available,
    )


def toy(discount=1.0):
    """The paper's toy problem with the cells (-1, 0), (0, 1) at the start and the hit, miss of the good state.

    States: start, good, bad, end.
    """
    transition = np.zeros((4, 2, 4))
    transition[0, 0, 1] = transition[0, 1, 2] = 1
    transition[1:, :, 3] = 1
    reward = np.array([[0.0, 0.0], [1.0, -20.0], [-1.0, -1.0], [0.0, 0.0]])
    discounts = np.array([[discount] * 2, [0, 0], [0, 0], [0, 0]])
    measure = np.array([[1.0, 1.0], [0.2, 1.8], [1.0, 1.0], [1.0, 1.0]])
    return TabularMDP(transition, reward, discounts, measure)
