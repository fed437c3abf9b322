from typing import Any

import pytest

import envs
from envs.base import Task


def test_names_lists_the_tasks():
    assert {"toy", "pendulum", "vehicle"} <= set(envs.names())
    assert all(isinstance(envs.make(name), Task) for name in envs.names())


@pytest.mark.parametrize(
    ("name", "observation_size", "action_size", "horizon"),
    [
        ("toy", 6, 1, 2),
        ("pendulum", 3, 1, 200),
        ("vehicle", 6, 2, 200),
        ("obstacle2d", 2, 2, 51),
        ("acrobot", 6, 1, 400),
        ("quadrotor", 9, 4, 40),
        ("hopper", 11, 3, 1000),
        ("quadruped", 246, 8, 251),
    ],
)
def test_spec_says_the_sizes(name, observation_size, action_size, horizon):
    spec = envs.spec(name)
    assert (spec.observation_size, spec.action_size, int(spec.horizon)) == (observation_size, action_size, horizon)


def test_fields_reach_the_task():
    env: Any = envs.make("vehicle", mass=1200, tyres="road")
    assert float(env.mass) == 1200.0
    assert env.tyres == "road"


@pytest.mark.parametrize("function", [envs.make, envs.spec, envs.task])
def test_unknown_name_lists_what_exists(function):
    with pytest.raises(ValueError, match=r"env 'vehicel' is unknown; did you mean 'vehicle'\?.*toy, pendulum, vehicle"):
        function("vehicel")


def test_unknown_field_lists_what_exists():
    with pytest.raises(ValueError, match=r"env\.mas is unknown; did you mean 'mass'\?.*tyres, mass, yaw_inertia"):
        envs.make("vehicle", mas=1.0)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("vehicle", {"mass": 0}, r"env\.mass = 0: must be a number > 0"),
        ("vehicle", {"tyres": "snow"}, r"env\.tyres = 'snow': must be one of published, road"),
        ("toy", {"half_width": 2}, r"env\.half_width = 2: must be a number in \[0, 1\]"),
        ("pendulum", {"horizon": 1.5}, r"env\.horizon = 1\.5: must be a whole number >= 1"),
    ],
)
def test_bad_value_says_what_is_allowed(name, values, message):
    with pytest.raises(ValueError, match=message):
        envs.make(name, **values)
