import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from envs.fields import build
from maxent_jax.agents import AGENTS


def agent(name, **values):
    return build(AGENTS[name], tiny.FIELDS[name] | values)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("sac", {}, True),
        ("sac", {"alpha": 0.0}, False),
        ("sac", {"alpha": 0.0, "auto_alpha": True}, True),
        ("sac_adaent", {}, True),
        ("sac_adaent", {"alpha": 0.0}, False),
        ("sac_annealed", {}, True),
        ("sac_lite", {}, True),
        ("sac_lite", {"alpha": 0.0}, False),
        ("sql", {}, True),
        ("td3", {}, False),
        ("ddpg", {}, False),
        ("ppo", {}, False),
        ("ppo", {"entropy_coef": 0.01}, True),
    ],
)
def test_who_maximises_entropy(name, values, expected):
    assert agent(name, **values).maximises_entropy is expected


def test_one_of_several_stacked_runs_is_enough():
    sac = agent("sac")
    assert sac.replace(alpha=np.array([0.0, 0.2], np.float32)).maximises_entropy
    assert not sac.replace(alpha=np.array([0.0, 0.0], np.float32)).maximises_entropy


@pytest.mark.parametrize("name", AGENTS)
def test_only_a_schedule_changes_with_progress(name):
    before = agent(name)
    after = before.scheduled(jnp.float32(0.25))
    changed = [field for field in vars(before) if not np.array_equal(getattr(before, field), getattr(after, field))]
    assert changed == (["alpha"] if name == "sac_annealed" else [])
