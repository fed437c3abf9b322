import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import head


def test_a_head_learns_what_can_be_seen_and_nothing_where_nothing_can():
    key = jax.random.key(0)
    seen = 50 + jnp.array([10.0, 0.1, 1.0]) * jax.random.normal(key, (4000, 3))  # of any scale
    alike = 0.9 + 0.1 * jnp.tanh((seen[:, 0] - 50) / 10 * (seen[:, 1] - 50) / 0.1)
    taught, asked = seen[:3000], seen[3000:]
    told = head.learned(taught, alike[:3000], asked, jax.random.key(1))
    assert np.corrcoef(told, alike[3000:])[0, 1] > 0.95
    mixed = jax.random.permutation(jax.random.key(2), alike[:3000])
    assert abs(np.corrcoef(head.learned(taught, mixed, asked, jax.random.key(1)), alike[3000:])[0, 1]) < 0.3
