import jax
import numpy as np
import pytest
import untrained

import envs
from experiments import vehicle

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_paths_are_those_that_the_task_drives(tmp_path, monkeypatch):
    result, env = untrained.result("sac", env="vehicle"), envs.make("vehicle", horizon=3)
    positions = vehicle.drive(result, env, 0)
    act, step, state = result.policy(0), jax.jit(env.step), env.reset(jax.random.key(0))
    for position in positions:
        np.testing.assert_allclose(position, vehicle.position(state), rtol=1e-5)
        state = step(state, act(state.obs))
    monkeypatch.setattr(vehicle, "drive", lambda *_: positions)
    vehicle.draw_paths([result], env, tmp_path / "paths.png", "quick")
    assert (tmp_path / "paths.png").read_bytes()[:4] == b"\x89PNG"
