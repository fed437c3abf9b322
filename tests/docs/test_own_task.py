"""The page's code runs as it is printed, and its physics are C MuJoCo's."""

import re
from pathlib import Path
from typing import Any

import jax
import mujoco
import numpy as np
import pytest

import envs
import maxent_jax
from maxent_jax import api

pytestmark = pytest.mark.usefixtures("quick_compile")

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"


@pytest.fixture(scope="module")
def page(quick_compile, tmp_path_factory):
    """What the code block defines; its last line is checked as far as it goes without training."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    jobs: list[Any] = []
    out = tmp_path_factory.mktemp("page") / "run"

    def sweep(agent, env, grid, **options):
        jobs.append(api.prepare(agent, env, grid=grid, out=out, **options))

    names: dict[str, Any] = {"__name__": "own_task"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maxent_jax, "sweep", sweep)
        exec(compile(code, PAGE.name, "exec"), names)
    return names, jobs


def test_its_sweep_is_one_program(page):
    _, (job,) = page
    assert len(job.sweep.programs) == 1
    assert len(job.sweep.runs) == 16


def test_its_physics_are_mujocos(page):
    names, _ = page
    env = names["CartPole"](friction=0.5)
    state: Any = jax.jit(env.reset)(jax.random.key(0))
    model = mujoco.MjModel.from_xml_string(names["SCENE"])
    model.dof_damping[:] = [0.5, 0.0]
    data = mujoco.MjData(model)
    data.qpos[:] = state.pipeline_state.physics.qpos
    step = jax.jit(env.step)
    for action in np.random.default_rng(0).uniform(-1, 1, (50, 1)).astype(np.float32):
        state = step(state, action)
        data.ctrl[:] = 10 * action
        mujoco.mj_step(model, data, nstep=2)
        x, angle = data.qpos
        np.testing.assert_allclose(state.obs, [x, np.cos(angle), np.sin(angle), *data.qvel], atol=2e-3)
        np.testing.assert_allclose(state.reward, np.cos(angle) - 0.1 * x**2, atol=2e-3)


def test_it_keeps_the_contract(page):
    names, _ = page
    env = envs.for_training(names["CartPole"](rail=0.01))
    state: Any = jax.eval_shape(env.reset, jax.random.key(0))
    after = jax.eval_shape(env.step, state, jax.ShapeDtypeStruct((1,), np.float32))
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(after)] == [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
    assert env.observation_size == state.obs.shape[0]
