"""What all libraries' tasks share, seen on Brax's smallest, and the objects that Python may give."""

import json
from typing import Any

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from brax.envs.fast import Fast, ObservationMode
from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper, VmapWrapper

import envs
import maxent_jax
from envs import external, fields
from envs.external.base import Library, vector_length
from envs.fields import InvalidSetting
from maxent_jax import api

pytestmark = pytest.mark.usefixtures("quick_compile")


class Halves(Fast):
    """Says, as our contract has it, that it ends after the second step, and that every second step takes no time."""

    def reset(self, rng):
        state = super().reset(rng)
        return state.replace(info={"terminated": jnp.zeros(()), "duration": jnp.ones((), jnp.int32)})

    def step(self, state, action):
        after = super().step(state, action)
        steps = jnp.round(after.obs[1] / self._dt)
        ended = {"terminated": (steps >= 2) * 1.0, "duration": (steps % 2).astype(jnp.int32)}
        return after.replace(info=state.info | ended, done=jnp.ones(()))


class Writing(Fast):
    """Writes into the state's own dictionary, as Brax's environments do."""

    def reset(self, rng):
        return super().reset(rng).replace(metrics={"steps": jnp.zeros(())})

    def step(self, state, action):
        state.metrics.update(steps=state.metrics["steps"] + 1)
        return super().step(state, action)


def shapes(tree):
    return [(x.shape, x.dtype, getattr(x, "weak_type", False)) for x in jax.tree.leaves(tree)]


def test_keeps_the_contract():
    env = envs.for_training(envs.make("brax:fast", process_noise=0.1, action_delay=1))
    state = jax.eval_shape(env.reset, jax.random.key(0))
    after = jax.eval_shape(env.step, state, jax.ShapeDtypeStruct((1,), jnp.float32))
    assert shapes(after) == shapes(state)
    assert not any(weak for *_, weak in shapes(after))
    assert set(jax.eval_shape(env.env.reset, jax.random.key(0)).info) == {"terminated", "duration"}


def test_what_every_task_can_have_works_on_anothers():
    env: Any = envs.make("brax:fast", horizon=4, reward_scale=10.0, observe_time=True, action_delay=2)
    plain = envs.make("brax:fast")
    step, step_plainly = jax.jit(env.step), jax.jit(plain.step)
    state, other = env.reset(jax.random.key(0)), plain.reset(jax.random.key(0))
    assert env.observation_size == plain.observation_size + 1
    for index in range(4):
        state = step(state, jnp.ones(1))
        other = step_plainly(other, jnp.ones(1) if index >= 2 else jnp.zeros(1))
        np.testing.assert_allclose(state.obs, [*other.obs, (index + 1) / 4], rtol=1e-6)
        np.testing.assert_allclose(state.reward, 10 * other.reward, rtol=1e-6)
    assert float(other.reward) > 0


def test_stepping_leaves_the_state_as_it_was():
    env = envs.as_task(Writing())
    step: Any = env.step
    state: Any = env.reset(jax.random.key(0))
    assert float(step(state, jnp.ones(1)).pipeline_state.physics.metrics["steps"]) == 1
    assert float(state.pipeline_state.physics.metrics["steps"]) == 0


def test_an_object_with_braxs_interface_trains_and_loads(tmp_path):
    env = Fast()
    settings = {"agent_fields": tiny.FIELDS["sac"] | {"prefill_steps": 9}, "steps": 18, "evaluations": 1}
    mine = maxent_jax.train("sac", env, env_fields={"horizon": 9}, out=tmp_path / "run", **settings)
    assert mine.config["env"] == "Fast"
    assert np.isfinite(mine.metrics["return_deterministic"]).all()
    loaded = maxent_jax.load(mine.path, env=env)
    assert loaded.envs[0].horizon == 9
    assert loaded.policy()(jnp.zeros(2)).shape == (1,)


def test_a_name_stands_in_the_run_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = api.prepare("sac", "brax:fast", env_fields={"horizon": 9}, steps=20)
    assert job.config["env"] == "brax:fast"
    assert job.out.name == "sac-brax-fast-1"
    again = envs.make(job.config["env"], **json.loads(json.dumps(job.config["env_fields"])))
    assert type(again) is type(job.env)
    assert fields.plain_values(again) == fields.plain_values(job.env)


def test_an_object_with_our_contract_says_when_it_ends_and_how_long_a_step_takes():
    env = envs.as_task(Halves())
    state, step = env.reset(jax.random.key(0)), jax.jit(env.step)
    for duration, terminated in ((1, 0), (0, 1)):
        state = step(state, jnp.ones(1))
        assert (int(state.info["duration"]), float(state.info["terminated"])) == (duration, terminated)
        assert float(state.done) == terminated


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Fast(obs_mode=ObservationMode.DICT_STATE), r"env 'Fast': observes a dictionary \(state\); must be one vector"),
        (EpisodeWrapper(Fast(), 10, 1), "env 'EpisodeWrapper': is wrapped in EpisodeWrapper; must be bare"),
        (AutoResetWrapper(VmapWrapper(Fast())), "'AutoResetWrapper': is wrapped in AutoResetWrapper; must be bare"),
        (envs.for_training(envs.make("toy")), "env 'Training': is wrapped in Training; must be bare"),
        (object(), "env = <object object at .*: must be a task's name, an envs.Task or a Brax Env"),
    ],
)
def test_objects_with_other_conventions_are_refused(env, message, tmp_path):
    with pytest.raises(InvalidSetting, match=message):
        api.prepare("sac", env, steps=8, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_observation_that_is_no_vector_is_refused():
    with pytest.raises(InvalidSetting, match=r"env 'x': observes an array of shape \(8, 8, 3\); must be one vector"):
        vector_length("x", jnp.zeros((8, 8, 3)))
    with pytest.raises(InvalidSetting, match="env 'x': observes tuple; must be one vector"):
        vector_length("x", (jnp.zeros(3), jnp.zeros(2)))


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (
            Library("no-such-package", "no_such", "1.2", "2"),
            "no-such-package is not installed; must be no-such-package >= 1.2, < 2: "
            "pip install -e '.[no-such-package]'",
        ),
        (Library("numpy", "numpy", "0.1", "1"), f"numpy {np.__version__} is installed; must be numpy >= 0.1, < 1: "),
        (
            Library("numpy", "no_such", "1", "9"),
            "numpy cannot be imported (No module named 'no_such'); must be numpy >= 1, < 9: ",
        ),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_versions(library, message):
    with pytest.raises(InvalidSetting) as error:
        library.load("lib:x")
    assert str(error.value).startswith(f"env 'lib:x': {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["brux:hopper", ":hopper", "brax:", "brax:hoper"])
def test_unknown_names_list_what_exists(name):
    with pytest.raises(InvalidSetting, match=f"env '{name}' is unknown; .*allowed: brax:"):
        envs.make(name)
    assert all(form.endswith(":NAME") for form in external.FORMS)


def test_our_own_tasks_are_not_braxs():
    assert "vehicle" in brax.envs._envs
    with pytest.raises(InvalidSetting, match="env 'brax:vehicle' is unknown"):
        envs.make("brax:vehicle")
