"""What a caption owns up to."""

import dataclasses

import pytest
import untrained

from experiments import captions, published
from maxent_jax import api

BEGIN = "it shows how the agents begin, not who wins in the end."
SMALL = "it shows what such nets learn, not what larger ones would."


def trained(agent, env, preset, steps=None):
    """What `train` makes by a preset, as far as captions look."""
    job = api.prepare(agent, env, preset=preset, steps=steps)
    return dataclasses.replace(untrained.result(agent, env), config=job.config)


@pytest.mark.parametrize(
    ("env", "preset", "steps", "expected"),
    [
        ("vehicle", "paper", None, "Published budget."),
        ("pendulum", "paper", None, "Usual budget."),
        ("toy", "cpu", None, f"That is 20 % of the published steps: {BEGIN}"),
        ("obstacle2d", "cpu", 50_000, f"That is 100 % of the published steps, with smaller nets: {SMALL}"),
        ("quadrotor", "cpu", 120_000, f"That is 6 % of the published steps, with smaller nets: {BEGIN}"),
    ],
)
def test_limits_compare_steps_and_nets_with_what_is_published(env, preset, steps, expected):
    assert captions.limits([trained("sac", env, preset, steps)]) == expected


def test_limits_of_agents_with_other_budgets():
    results = [untrained.result(agent, "acrobot") for agent in ("sac", "ppo")]
    results[1].config["steps"] = 500_000
    said = captions.limits(results, "it is short")
    assert said == "That is 0.002 to 50 % of the published steps, with smaller nets: it is short."


def test_our_own_tasks_are_known():
    assert set(published.OURS) < set(published.SAC_ROWS)
