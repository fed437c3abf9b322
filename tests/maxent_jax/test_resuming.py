"""An interrupted run ends in the same numbers as one that was left alone; what cannot go on is said, and stays."""

import json
import shutil

import compilations
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs_compared
import stubs
import tiny
from cut_off import CALL, killed, train

import maxent_jax
from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import api, checkpoints, cli, memory, resuming, runs
from maxent_jax.result import load

assert_equal = runs_compared.assert_equal_runs
pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")


@flax.struct.dataclass
class Counted(stubs.Counting):
    """A user's own agent; its state is how often it was updated."""

    def log_prob(self, state, obs, action):
        return jnp.zeros(obs.shape[:-1])


@pytest.mark.parametrize(
    "agent", [pytest.param(name, marks=[pytest.mark.slow] * (name != "sac")) for name in tiny.FIELDS]
)
def test_a_killed_run_ends_in_the_same_numbers(agent, straight, tmp_path):
    killed(tmp_path / "run", 2, agent)
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight(agent))


def test_the_whole_state_is_the_same_in_the_end(straight, tmp_path):
    killed(tmp_path / "run", 2)
    maxent_jax.resume(tmp_path / "run")
    (program,) = api.prepare("sac", "toy", **CALL, agent_fields=tiny.FIELDS["sac"], out=tmp_path / "x").sweep.programs
    states = []
    for path in (tmp_path / "run", straight().path):
        place, notes = checkpoints.newest(path)
        assert place is not None
        assert (place.chunk, notes) == (3, [])
        states.append(checkpoints.load(path, place, memory.shapes(program)))
    plain = [jax.tree.map(lambda x: jax.random.key_data(x) if x.dtype.name.startswith("key") else x, s) for s in states]
    jax.tree.map(np.testing.assert_array_equal, *plain)
    assert np.any(np.asarray(plain[0][0].rows))


def test_resumed_and_killed_again_and_again(straight, tmp_path):
    killed(tmp_path / "run", 1)
    killed(tmp_path / "run", 1, call=maxent_jax.resume)
    assert load(tmp_path / "run").agent_state(1) is not None  # of the run in flight
    killed(tmp_path / "run", 1, call=maxent_jax.resume)
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_sweep_goes_on_in_the_program_that_was_cut_off(straight, tmp_path):
    grid = {"hidden": ((8,), (4,)), "alpha": (0.1, 0.3)}
    killed(tmp_path / "run", 6, grid=grid)  # the second chunk of the second program
    with compilations.heard() as compiled:
        result = train(tmp_path / "run", grid=grid, resume=True)
    assert compiled.count("train") == 1  # the first program is not touched again
    assert_equal(result, straight(grid=grid))
    with pytest.raises(InvalidSetting, match=r"steps = 200: must be 96, .* of them only agents are kept"):
        maxent_jax.resume(tmp_path / "run", steps=200)


def test_lines_after_the_checkpoint_are_written_anew(straight, tmp_path):
    killed(tmp_path / "run", 3, checkpoint_every=2)  # saved after chunk 0 and chunk 2
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"run": 0, "se')
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_run_without_a_checkpoint_starts_from_the_beginning(straight, tmp_path, capsys):
    killed(tmp_path / "run", 2)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert cli.main(["resume", str(tmp_path / "run")]) == 0
    assert "starts from the beginning: no checkpoint yet" in capsys.readouterr().out
    assert_equal(load(tmp_path / "run"), straight())


def test_a_run_without_a_config_is_begun_by_resume_option_only(straight, tmp_path, capsys):
    (tmp_path / "run" / "figures").mkdir(parents=True)
    (tmp_path / "run" / "config.part").write_text("{")
    assert cli.main(["resume", str(tmp_path / "run")]) == 2
    assert "has no config.json, which says what to train; must be begun by" in capsys.readouterr().err
    assert_equal(train(tmp_path / "run", resume=True), straight())


def test_a_folder_of_something_else_is_not_begun(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(InvalidSetting, match="the folder is not empty"):
        train(tmp_path / "run", resume=True)


def test_a_finished_run_stays_as_it_is(straight, capsys):
    path = straight().path
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    with compilations.heard() as compiled:
        assert cli.main(["resume", str(path)]) == 0
        train(path, resume=True)
    assert "finished already; nothing to do" in capsys.readouterr().out
    assert compiled == []
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*") if file != path} == {
        file: time for file, time in before.items() if file != path
    }


@pytest.mark.parametrize("buffer", [64, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_prolonged_run_is_one_that_was_begun_with_more_steps(buffer, straight, tmp_path):
    """The buffer of 1000 is cut to the steps of the run and grows; that of 64 is a ring all along."""
    own = {"agent_fields": tiny.FIELDS["sac"] | {"buffer_size": buffer}}
    train(tmp_path / "run", **own)
    killed(tmp_path / "run", 1, call=maxent_jax.resume, steps=192)
    result = maxent_jax.resume(tmp_path / "run")
    longer = straight(**own, steps=192, evaluations=6)
    assert (result.config["steps"], result.config["prolonged_from"]) == (192, 96)
    assert_equal(result, longer)
    assert_equal(train(tmp_path / "run", **own, resume=True), longer)  # the first command again: nothing to do
    with pytest.raises(InvalidSetting, match=r"steps = 128: must be >= 192, which '.*run' was started with"):
        maxent_jax.resume(tmp_path / "run", steps=128)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"agent_fields": tiny.FIELDS["sac"] | {"alpha": 0.7}},
            r"agent\.alpha = 0\.7: must be [\d.]+, which '.*run' was started with",
        ),
        ({"env_fields": {"reward_hit": 3.0}}, r"env\.reward_hit = 3\.0: must be "),
        ({"seeds": 3}, r"seeds = \[0, 1, 2\]: must be \[0, 1\], which"),
        ({"envs": 2}, r"envs = 2: must be 1, which"),
        ({"evaluations": 4}, r"evaluations = 4: must be 3, which"),
        ({"grid": {"alpha": (0.1, 0.2)}}, r"grid alpha = \[0\.1, 0\.2\]: must be None, which"),
        ({"steps": 32}, r"steps = 32: must be >= 96, which"),
        ({"agent": "ppo", "agent_fields": {}}, r"agent = 'ppo': must be 'sac', which"),
    ],
)
def test_other_settings_are_refused_and_named(options, line, broken):
    before = {file: file.stat().st_mtime_ns for file in broken.rglob("*")}
    with pytest.raises(InvalidSetting, match=line):
        train(broken, resume=True, **options)
    assert {file: file.stat().st_mtime_ns for file in broken.rglob("*")} == before


def test_an_option_to_resume_needs_a_directory():
    with pytest.raises(InvalidSetting, match="resume = true: needs out, the run directory to go on with"):
        train(None, resume=True)


def test_other_versions_are_a_warning_and_are_kept(broken, straight, capsys):
    config = json.loads((broken / "config.json").read_text())
    config["versions"] |= {"jax": "0.0.1", "code": "abc"}
    (broken / "config.json").write_text(json.dumps(config | {"device": "abacus"}))
    assert cli.main(["resume", str(broken)]) == 0
    out = capsys.readouterr().out
    assert f"warning: not as it was started: jax {jax.__version__} (0.0.1), code {runs.code()} (abc), device" in out
    result = load(broken)
    assert result.config["continued_with"][0]["versions"] == runs.versions()
    assert_equal(result, straight())


def without(directory, side, field):
    """As an older version would have left it, which did not know the field."""
    config = json.loads((directory / "config.json").read_text())
    del config[side][field]
    (directory / "config.json").write_text(json.dumps(config))


def test_a_field_that_is_new_is_a_warning_where_it_stands_at_its_default(broken, straight, capsys):
    without(broken, "agent_fields", "auto_alpha")
    without(broken, "env_fields", "reward_hit")
    assert cli.main(["resume", str(broken)]) == 0
    told = "warning: started before there was agent.auto_alpha = False, env.reward_hit = "
    assert told in capsys.readouterr().out
    assert_equal(load(broken), straight())
    assert load(broken).config["agent_fields"] == straight().config["agent_fields"]


def test_a_field_that_is_new_is_refused_where_it_does_not_stand_at_its_default(broken):
    without(broken, "agent_fields", "batch_size")
    with pytest.raises(InvalidSetting, match=r"agent\.batch_size = 8: must be 256, which '.*run' was started with"):
        train(broken, resume=True)


def test_a_grid_in_another_order_is_refused():
    """Its order numbers the configurations."""
    grid = {"alpha": [0.1, 0.2], "gamma": [0.9, 0.99]}
    started = dict.fromkeys(resuming.SAME) | {"agent_fields": {}, "env_fields": {}, "grid": grid}
    resuming.check_same("x", started, started)
    other = started | {"grid": dict(reversed(grid.items()))}
    with pytest.raises(
        InvalidSetting, match=r"grid's order = \['gamma', 'alpha'\]: must be \['alpha', 'gamma'\], which"
    ):
        resuming.check_same("x", started, other)


def test_own_agent_and_own_task(tmp_path):
    agent, env = fields.build(Counted, {"batch_size": 4}), fields.build(stubs.Walk, {"horizon": 3})

    def begin(out):
        return maxent_jax.train(agent, env, steps=60, evaluations=3, checkpoint_every=1, out=out)

    killed(tmp_path / "run", 2, call=begin)
    result = maxent_jax.resume(tmp_path / "run", agent=agent, env=env)
    assert result.agent_state(0) == 60
    whole = begin(tmp_path / "whole")
    assert runs_compared.lines(result.path) == runs_compared.lines(whole.path)


def test_first_steps_are_those_before_any_prolonging():
    assert resuming.first_steps({"steps": 5}) == 5
    assert resuming.first_steps({"steps": 9, "prolonged_from": 5}) == 5
