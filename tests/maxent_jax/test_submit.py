"""Shards on engines: what they train is what one process trains."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from envs.fields import InvalidSetting
from maxent_jax import runs, submit
from maxent_jax.cli import main
from maxent_jax.faults import Fault
from maxent_jax.merging import merge

ROOT = Path(__file__).parents[2]
RUN = ("--env=toy", "--seeds=2", "--steps=32", "--evaluations=2")
WORDS = ("train", "sac", *RUN, *tiny.flags(tiny.FIELDS["sac"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*WORDS, "--out", str(out)]) == 0
    return runs.load(out)


def assert_as_whole(folder, whole):
    merged = merge([folder])
    for name, values in whole.metrics.items():
        if name not in runs.CLOCKS:
            np.testing.assert_allclose(merged.metrics[name], values, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_processes_of_this_machine(whole, tmp_path, capsys):
    out = tmp_path / "shards"
    assert main(["submit", *WORDS, "--out", str(out), "--shards", "2", "--at-once", "2", "--watch"]) == 0
    told = capsys.readouterr().out
    assert "2 shards, 2 finished" in told
    assert f"maxent-jax merge {out}" in told.replace("\n", "")
    assert_as_whole(out, whole)


def test_a_killed_process_is_started_again_and_a_mistaken_one_is_not(tmp_path, monkeypatch):
    codes = {"1/2": [-signal.SIGKILL, 143, 0], "2/2": [0]}
    started = []

    def run(words, stdout):
        assert stdout is None  # it tells its progress
        shard = words[words.index("--shard") + 1]
        started.append(shard)
        return subprocess.CompletedProcess(words, codes[shard].pop(0))

    monkeypatch.setattr(submit.subprocess, "run", run)
    shards = submit.Shards(("train", "sac"), tmp_path, 2)
    submit.local(shards)
    assert started == ["1/2", "1/2", "1/2", "2/2"]
    codes |= {"1/2": [1], "2/2": [0]}
    with pytest.raises(Fault, match="shard 1/2: ended with 1"):
        submit.local(shards)
    codes |= {"1/2": [-9] * 5, "2/2": [0]}
    with pytest.raises(Fault, match="ended with -9"):
        submit.local(shards, retries=3)
    assert len(codes["1/2"]) == 1


@pytest.mark.slow
def test_submitit_trains_an_array_of_shards(whole, tmp_path):
    pytest.importorskip("submitit")
    shards = submit.Shards(WORDS, tmp_path / "shards", 2)
    jobs = submit.slurm(shards, minutes=10, parameters={}, cluster="local")
    assert [job.result() for job in jobs] == ["1/2", "2/2"]
    assert_as_whole(tmp_path / "shards", whole)


def test_what_slurm_takes_away_is_queued_again_as_it_was(tmp_path):
    pytest.importorskip("submitit")
    task = submit.Task(submit.Shards(WORDS, tmp_path, 2).of(2))
    again = task.checkpoint()
    assert again.function is task
    assert "--resume" in task.words


@pytest.mark.slow
def test_ray_goes_on_elsewhere_when_a_node_is_killed(tmp_path):
    """Two nodes, one shard each; one is killed when both have a checkpoint and neither is finished."""
    pytest.importorskip("ray")
    words = [*WORDS, "--steps=6400", "--evaluations=40", "--checkpoint-every=1"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_DEDUP_LOGS": "0", "RAY_worker_niceness": "0"}
    command = [sys.executable, str(ROOT / "tests" / "helpers" / "ray_cluster.py"), str(tmp_path / "shards"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"failed": [], "finished_before": [False, False], "dead": 1}
    assert_as_whole(tmp_path / "shards", runs.load(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--shards", "0"], "shards = 0"),
        (["--shards", "3"], "has no run; must be one of 2 shards or fewer"),
        (["--cluster", "moon"], "cluster 'moon'"),
        (["--cluster", "slurm", "--slurm", "gpu"], "must be NAME=VALUE"),
        (["--stepz", "3"], "option --stepz is unknown"),
    ],
)
def test_a_mistake_is_told_before_anything_is_submitted(options, told, tmp_path, capsys):
    assert main(["submit", *WORDS, "--out", str(tmp_path / "shards"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "shards" / "shard-1-of-2").exists()


def test_a_missing_engine_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InvalidSetting, match=r"pip install 'maxent-jax\[slurm\]'"):
        submit.slurm(submit.Shards(WORDS, tmp_path, 2), 10, {})
