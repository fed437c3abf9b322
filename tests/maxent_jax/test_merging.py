"""Shards of a sweep, and the directory that they make together."""

import functools
import json
import shutil

import jax
import numpy as np
import pytest
import runs_compared
import tiny

from envs.fields import InvalidSetting
from maxent_jax import runs, sweep
from maxent_jax.cli import main
from maxent_jax.merging import merge

pytestmark = pytest.mark.usefixtures("quick_compile")

GRID = {"alpha": [0.1, 0.2], "batch_size": [4, 8]}
"""Two programs of two configurations."""


def train(out, **options):
    return sweep(
        "sac", "toy", GRID, agent_fields=tiny.FIELDS["sac"], seeds=2, steps=32, evaluations=2, out=out, **options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_compile):
    return train(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def shards(tmp_path_factory, quick_compile):
    folder = tmp_path_factory.mktemp("shards")
    for index in (3, 1, 2):
        train(folder, shard=f"{index}/3")
    return folder


@pytest.fixture
def copy(shards, tmp_path):
    return shutil.copytree(shards, tmp_path / "copy")


def test_shards_share_the_runs_out(shards):
    trained = [[info.run for info in runs.load(shards / f"shard-{i}-of-3").runs] for i in (1, 2, 3)]
    assert trained == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_merged_shards_are_what_one_host_writes(whole, copy):
    merged = merge([copy])
    assert merged.path == copy
    ours, theirs = (runs_compared.lines(result.path) for result in (merged, whole))
    assert [(line["run"], line["seed"], line["env_steps"]) for line in ours] == [
        (line["run"], line["seed"], line["env_steps"]) for line in theirs
    ]
    for name, values in whole.metrics.items():
        if name not in runs.CLOCKS:  # how many runs a program maps moves the rounding
            np.testing.assert_allclose(merged.metrics[name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    for info in whole.runs:
        close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
        jax.tree.map(close, merged.agent_state(info.run), whole.agent_state(info.run))
    configs = [json.loads((path / "config.json").read_text()) for path in (copy, whole.path)]
    for config in configs:
        del config["command"]
    assert configs[0] == configs[1]
    summaries = [json.loads((path / "summary.json").read_text()) for path in (copy, whole.path)]
    assert summaries[0].keys() == summaries[1].keys()
    assert summaries[0]["complete"] is True
    assert (copy / "figures" / "curves.png").exists()


def test_several_folders_are_merged_into_another(copy, tmp_path, capsys):
    parts = [str(copy / f"shard-{i}-of-3") for i in (2, 3, 1)]
    assert main(["merge", *parts, "--out", str(tmp_path / "all")]) == 0
    assert len(runs.load(tmp_path / "all").runs) == 8
    assert "8 runs of 3 shards" in " ".join(capsys.readouterr().out.split())
    assert main(["status", str(copy)]) == 0
    assert "3 shards, 3 finished" in capsys.readouterr().out


def unfinished(folder):
    path = folder / "shard-2-of-3" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"complete": False}))


def another(folder):
    path = folder / "shard-2-of-3" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seeds": [4, 5]}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (unfinished, "is not finished"),
        (another, "must be"),
        (lambda folder: shutil.rmtree(folder / "shard-2-of-3"), "shard 2/3: is missing"),
        (lambda folder: shutil.copytree(folder / "shard-2-of-3", folder / "shard-9-of-9"), "is there twice"),
        (lambda folder: [shutil.rmtree(path) for path in folder.iterdir()], "holds no shard"),
    ],
)
def test_what_cannot_be_merged_is_named_and_nothing_is_written(spoil, told, copy):
    spoil(copy)
    before = sorted(path.name for path in copy.iterdir())
    with pytest.raises(InvalidSetting, match=told):
        merge([copy])
    assert sorted(path.name for path in copy.iterdir()) == before


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2"])
def test_a_shard_that_is_none_is_refused(shard, tmp_path):
    with pytest.raises(InvalidSetting, match="must be I/N"):
        train(tmp_path / "run", shard=shard)
    assert not (tmp_path / "run").exists()


def test_a_shard_without_runs_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match="has no run; must be one of 8 shards or fewer"):
        train(tmp_path / "run", shard="9/9")


def test_a_shard_is_resumed_where_it_lies(copy, tmp_path):
    (copy / "shard-1-of-3" / "summary.json").unlink()
    assert main(["resume", str(copy / "shard-1-of-3")]) == 0
    assert (copy / "shard-1-of-3" / "summary.json").exists()
    shutil.copytree(copy / "shard-1-of-3", tmp_path / "renamed")
    assert main(["resume", str(tmp_path / "renamed")]) == 2
