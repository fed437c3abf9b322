"""config.json is refused where a field is none, before anything is made of it; the line names the field."""

import json

import pytest
import tiny

from maxent_jax import api, cli, configs

JUNK = {
    "agent": 3,
    "env": None,
    "agent_fields": [],
    "env_fields": "x",
    "grid": {"alpha": 0.1},
    "seeds": [0, -1],
    "steps": 0,
    "envs": 10**30,
    "evaluations": True,
    "configurations": [{"grid": {}}],
    "versions": [],
    "device": 1,
    "shard": 3,
    "preset": 1,
    "checkpoint_every": 0.5,
    "keep": None,
    "command": "x",
    "prolonged_from": "x",
    "continued_with": 1,
}


@pytest.fixture
def directory(tmp_path):
    """A run directory that has a config.json and nothing else."""
    job = api.prepare("sac", "toy", **tiny.RUNS, agent_fields=tiny.FIELDS["sac"], out=tmp_path / "run")
    job.out.mkdir()
    (job.out / "config.json").write_text(json.dumps(job.config))
    return job.out


def change(directory, **values):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_training_writes_is_read_as_it_is(directory):
    assert configs.read(directory) == json.loads((directory / "config.json").read_text())


def test_every_field_is_tried():
    assert {*JUNK, "schema", "runs"} == {*configs.NEEDED, *configs.OPTIONAL}


@pytest.mark.parametrize(("name", "value"), JUNK.items(), ids=JUNK)
def test_junk_is_named_and_nothing_is_done(name, value, directory, capsys):
    change(directory, **{name: value})
    before = (directory / "config.json").read_bytes()
    for command in ("resume", "merge", "status"):
        assert cli.main([command, str(directory)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{name} = " in line
        assert "must be" in line
    assert [path.name for path in directory.iterdir()] == ["config.json"]
    assert (directory / "config.json").read_bytes() == before


@pytest.mark.parametrize("name", configs.NEEDED)
def test_what_is_missing_is_named(name, directory):
    config = json.loads((directory / "config.json").read_text())
    del config[name]
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"{name} is missing; must be"):
        configs.read(directory)


@pytest.mark.parametrize("name", configs.OPTIONAL)
def test_an_older_directory_may_lack_what_came_later(name, directory):
    config = json.loads((directory / "config.json").read_text())
    config.pop(name, None)
    (directory / "config.json").write_text(json.dumps(config))
    assert name not in configs.read(directory)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], r"runs = \[\]; must be a list"),
        ([3], "runs = "),
        ([{"run": "0", "seed": 0, "configuration": 0, "program": 0}], r"runs\[0\] = .*; must be whole numbers"),
        ([{"run": 0, "seed": 0, "configuration": 1, "program": 0}], r"runs\[0\] does not fit"),
        ([{"run": 1, "seed": 0, "configuration": 0, "program": 0}] * 2, r"runs\[1\] does not fit"),
    ],
)
def test_runs_that_are_none_are_refused(entries, told, directory):
    change(directory, runs=entries)
    with pytest.raises(ValueError, match=told):
        configs.read(directory)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_refused(text, directory):
    path = directory / "config.json"
    path.write_text(path.read_text().replace('"device"', f'"more": {text}, "device"'))
    with pytest.raises(ValueError, match=f"{text} is no number"):
        configs.read(directory)
