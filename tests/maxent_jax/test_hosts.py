"""One training over two processes, as a user starts it; both are processes of this machine."""

import json
import os
import signal
import socket
import time

import commands
import jax
import numpy as np
import pytest
import runs_compared
import tiny

from envs.fields import InvalidSetting
from maxent_jax import checkpoints, cli, hosts
from maxent_jax.hosts import Place
from maxent_jax.result import load

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

WORDS = ("train", "sac", "--env=toy", "--seeds=5", "--checkpoint-every=1", *tiny.flags(tiny.FIELDS["sac"]))
SHORT = (*WORDS, "--steps=96", "--evaluations=3")
LONG = (*WORDS, "--steps=1280", "--evaluations=40")
WITHIN = 2 * hosts.SECONDS_UNTIL_LOST + 60
"""Seconds, of a busy machine, within which a lost process has ended the others."""


def test_a_place_is_read():
    assert Place.parse("2/4@10.0.0.1:8476") == Place(2, 4, "10.0.0.1:8476")
    assert Place.parse("1/1@[::1]:80") == Place(1, 1, "[::1]:80")
    assert Place.parse("auto") is None


@pytest.mark.parametrize("text", ["", "x", "1/2", "0/2@h:1", "3/2@h:1", "1/2@h", "1/2@:1:", "-1/2@h:1", "1/2@h p:1"])
def test_another_text_is_one_line(text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*SHORT, f"--distributed={text}"]) == 2
    assert "distributed = " in capsys.readouterr().err
    assert os.listdir() == []


def test_nobody_who_knows_is_one_line(monkeypatch):
    def refuse(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    with pytest.raises(InvalidSetting, match="'auto': must be I/N@HOST:PORT where neither Slurm"):
        hosts.join("auto")


def test_a_shard_is_one_process(tmp_path, capsys):
    words = ["submit", *SHORT, "--out", str(tmp_path / "out"), "--distributed", "1/2@127.0.0.1:1"]
    assert cli.main(words) == 2
    assert "distributed = '1/2@127.0.0.1:1': must be left out here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def one(words, folder, devices=4):
    """A process with so many devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cpu")
        patch.setenv("XLA_FLAGS", f"--xla_force_host_platform_device_count={devices}")
        return commands.start(words, folder)


def start(words, folder):
    """Both processes of a job, of two devices each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [one([*words, f"--distributed={i}/2@127.0.0.1:{port}"], folder, devices=2) for i in (1, 2)]


def finish(processes):
    """The exit codes of processes, and what they say."""
    told = [process.communicate(timeout=600) for process in processes]
    return [process.returncode for process in processes], ["".join(texts) for texts in told]


def assert_same_directories(ours, theirs):
    """To the bit, but for clocks and the command."""
    configs = [json.loads((path / "config.json").read_text()) for path in (ours, theirs)]
    for config in configs:
        del config["command"]
    assert configs[0] == configs[1]
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in theirs.iterdir())
    assert runs_compared.lines(ours) == runs_compared.lines(theirs)
    one, other = load(ours), load(theirs)
    for info in other.runs:
        jax.tree.map(np.testing.assert_array_equal, one.agent_state(info.run), other.agent_state(info.run))
    summaries = [json.loads((path / "summary.json").read_text()) for path in (ours, theirs)]
    for summary in summaries:
        del summary["elapsed_seconds"]
    assert summaries[0] == summaries[1]
    assert summaries[0]["complete"] is True


@pytest.mark.slow
def test_two_processes_of_two_devices_write_what_one_of_four_writes(tmp_path):
    codes, told = finish(start([*SHORT, "--out=two"], tmp_path))
    assert codes == [0, 0], told
    assert "480 of 480 steps" in told[0]
    assert "steps/s" not in told[1]  # one of them is heard
    assert finish([one([*SHORT, "--out=one"], tmp_path)])[0] == [0]
    assert_same_directories(tmp_path / "two", tmp_path / "one")
    state = tmp_path / "two" / "checkpoints" / checkpoints.names(tmp_path / "two")[-1]
    held = [json.loads((state / f"part_000{i}" / "manifest.json").read_text()) for i in range(2)]
    assert [(part["first"], part["count"]) for part in held] == [(0, 4), (4, 1)]
    # a checkpoint of two is one of one, too
    longer = ["--steps=192", "--checkpoint-every=1"]
    for name in ("two", "one"):
        codes, told = finish([one(["resume", name, *longer], tmp_path)])
        assert codes == [0], told
    assert runs_compared.lines(tmp_path / "two") == runs_compared.lines(tmp_path / "one")


@pytest.fixture(scope="module")
def alone(tmp_path_factory, quick_compile, no_figures):
    """A run that nobody killed."""
    folder = tmp_path_factory.mktemp("alone")
    codes, told = finish([one([*LONG, "--out=run"], folder)])
    assert codes == [0], told
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_job_and_the_same_commands_go_on(lost, tmp_path, alone):
    job = start([*LONG, "--out=run"], tmp_path)
    deadline = time.monotonic() + 300
    while len(checkpoints.names(tmp_path / "run")) < 2:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in job)
        time.sleep(0.02)
    job[lost].send_signal(signal.SIGKILL)
    began = time.monotonic()
    codes, told = finish(job)
    assert time.monotonic() - began < WITHIN
    assert codes[lost] == -signal.SIGKILL
    assert codes[1 - lost] not in (0, None), told
    assert not (tmp_path / "run" / "summary.json").exists()
    codes, told = finish(start([*LONG, "--out=run", "--resume"], tmp_path))
    assert codes == [0, 0], told
    assert "goes on from chunk" in told[0]
    assert_same_directories(tmp_path / "run", alone)


@pytest.mark.slow
def test_a_signal_to_one_process_saves_and_ends_all(tmp_path):
    job = start([*LONG, "--out=run"], tmp_path)
    deadline = time.monotonic() + 300
    while not checkpoints.names(tmp_path / "run"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job[1].send_signal(signal.SIGTERM)
    codes, told = finish(job)
    assert codes == [143, 143], told
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["complete"] is False
    place, notes = checkpoints.newest(tmp_path / "run")
    assert notes == []
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert place is not None
    assert place.metrics_bytes == len(lines)
