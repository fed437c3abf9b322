"""Shards on engines: what they train is what one process trains."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import psutil
import pytest
import runs_compared
import tiny
from waiting import until

from envs.fields import InvalidSetting
from maxent_jax import api, checkpoints, memory, resuming, runs, submit
from maxent_jax.cli import main
from maxent_jax.commands import watching
from maxent_jax.faults import Fault
from maxent_jax.merging import merge
from maxent_jax.result import load

ROOT = Path(__file__).parents[2]
RUN = ("--env=toy", "--seeds=2", "--steps=32", "--evaluations=2")
WORDS = ("train", "sac", *RUN, *tiny.flags(tiny.FIELDS["sac"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_compile, no_figures):
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*WORDS, "--out", str(out)]) == 0
    return load(out)


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

    def start(words, stdout, process_group):
        assert stdout is None  # it tells its progress
        shard = words[words.index("--shard") + 1]
        started.append(shard)
        return SimpleNamespace(wait=lambda: codes[shard].pop(0))

    monkeypatch.setattr(submit.subprocess, "Popen", start)
    shards = submit.Shards(("train", "sac"), tmp_path, 2)
    submit.Local(shards).train()
    assert started == ["1/2", "1/2", "1/2", "2/2"]
    codes |= {"1/2": [1], "2/2": [2]}
    with pytest.raises(Fault, match="shard 1/2: ended with 1; shard 2/2: ended with 2; the same command goes on"):
        submit.Local(shards).train()
    codes |= {"1/2": [-9] * 5, "2/2": [0]}
    with pytest.raises(Fault, match="ended with -9"):
        submit.Local(shards, retries=3).train()
    assert len(codes["1/2"]) == 1


STUBBORN = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def save(*_):
    time.sleep(0.3)
    (folder / "saved").write_text(str(os.getpgid(0)))
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / f"begun-{len(list(folder.iterdir()))}").touch()
time.sleep(60)
"""


@pytest.mark.parametrize("watch", [[], ["--watch"]])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_passed_on_and_starts_nothing_again(number, code, watch, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.05)
    seen = tmp_path / "seen"
    seen.mkdir()
    monkeypatch.setattr(submit, "_command", lambda words: [sys.executable, "-c", STUBBORN, str(seen)])

    def interrupt():
        until(lambda: (seen / "begun-0").exists())
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["submit", *WORDS, "--out", str(tmp_path / "shards"), *watch]) == code
    thread.join()
    assert sorted(path.name for path in seen.iterdir()) == [
        "begun-0",
        "saved",
    ]  # it was waited for; the other never began
    assert (seen / "saved").read_text() != str(os.getpgid(0))  # where a terminal's Ctrl-C would reach it a second time
    assert "interrupted; the same command goes on" in capsys.readouterr().out


def test_ctrl_c_again_ends_the_shards(tmp_path):
    script = f"""
import sys, threading, time
from maxent_jax import submit
submit._command = lambda words: [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN);"
                                 "print('begun', flush=True); time.sleep(60)"]
submit.attend(submit.Local(submit.Shards((), {str(tmp_path)!r}, 1)))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (child,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.slow
def test_slurm_trains_on_where_it_took_a_turn_away(tmp_path):
    """One shard's time is over, the machine of the other is taken: each saves, is queued again, and goes on."""
    pytest.importorskip("submitit")
    words = [*WORDS, "--steps=409600", "--evaluations=320", "--checkpoint-every=1000"]  # seconds, to be told in
    alone = submit.Shards(tuple(words), tmp_path / "alone", 2)
    assert [main(words) for words in alone.all()] == [0, 0]
    shards = submit.Shards(tuple(words), tmp_path / "shards", 2)
    folders = [shards.out / f"shard-{index}-of-2" for index in (1, 2)]
    jobs = submit.slurm(shards, minutes=10, parameters={}, cluster="local")

    def tell(index, *numbers):
        until(lambda: checkpoints.names(folders[index]))
        (turn,) = psutil.Process(jobs[index]._process.pid).children()
        for number in numbers:
            turn.send_signal(number)
        until(lambda: (folders[index] / "summary.json").exists())
        assert not resuming.is_finished(folders[index])  # it saved
        return turn

    with ThreadPoolExecutor(2) as pool:
        over = pool.submit(tell, 0, signal.SIGUSR2)
        taken = pool.submit(tell, 1, signal.SIGTERM, signal.SIGCONT).result()
        over.result()
    assert taken.is_running()  # what follows is up to Slurm
    taken.send_signal(signal.SIGUSR2)
    assert [job.result() for job in jobs] == ["1/2", "2/2"]
    for job in jobs:
        assert job.stderr().count("Requeued job") == 1
        assert f"{submit.MOST_TURNS} remaining" in job.stderr() or f"{submit.MOST_TURNS - 1} remaining" in job.stderr()
        assert "goes on from chunk" in job.stdout()
    for folder in folders:
        runs_compared.assert_equal_runs(load(folder), load(alone.out / folder.name))


@pytest.mark.slow
def test_submitit_trains_an_array_of_shards(whole, tmp_path):
    pytest.importorskip("submitit")
    shards = submit.Shards(WORDS, tmp_path / "shards", 2)
    jobs = submit.slurm(shards, minutes=10, parameters={}, cluster="local")
    assert [job.result() for job in jobs] == ["1/2", "2/2"]
    submit.check_queued(shards, jobs)
    assert_as_whole(tmp_path / "shards", whole)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_turn_waits_for_what_it_saves_but_not_for_ever(deaf, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    script = "import signal, sys, time; signal.signal(signal.SIGUSR2, {}); print('begun', flush=True); time.sleep(60)"
    script = script.format("signal.SIG_IGN" if deaf else "lambda *_: (time.sleep(0.2), sys.exit(143))")
    turn = submit.Turn(submit.Shards(WORDS, tmp_path, 2).of(2), patience=0.5 if deaf else 30)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        turn._process = process
        again = turn.checkpoint()
        assert process.wait() == (-signal.SIGKILL if deaf else 143)
    assert (again.function.words, again.function.patience) == (turn.words, turn.patience)
    assert "--resume" in turn.words
    assert hasattr(again.function, "checkpoint")  # or submitit would queue it once only


@pytest.mark.parametrize(("code", "kind"), [(0, None), (1, Fault), (130, submit.Stopped), (143, submit.Stopped)])
def test_a_stopped_task_is_none_that_failed(code, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("maxent_jax.cli.main", lambda words: code)
    task = submit.Task(submit.Shards(WORDS, tmp_path, 2).of(2))
    if kind is None:
        assert task() == "2/2"
    else:
        with pytest.raises(Fault, match=f"shard 2/2: ended with {code}") as found:
            task()
        assert type(found.value) is kind


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
    assert_as_whole(tmp_path / "shards", load(tmp_path / "whole"))


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


def test_ray_waits_for_all_and_retries_what_was_stopped(tmp_path, monkeypatch):
    """With a stand-in for Ray: what is asked of it, and what is made of its answers."""
    asked, cancelled = {}, []

    def get(future):
        if future == "1/2":
            raise LookupError("shard 1/2: ended with 1")
        asked["waited for"] = future

    def remote(**options):
        asked.update(options)
        return lambda call: SimpleNamespace(remote=lambda task: submit._shard(task.words))

    ray = SimpleNamespace(
        init=lambda **_: None,
        remote=remote,
        get=get,
        cancel=lambda future, force=False: cancelled.append((future, force)),
        exceptions=SimpleNamespace(RayError=LookupError),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    engine = submit.Ray(submit.Shards(WORDS, tmp_path, 2), retries=5)
    with pytest.raises(Fault, match="shard 1/2: ended with 1"):
        submit.attend(engine)
    assert asked["waited for"] == "2/2"
    assert (asked["max_retries"], asked["retry_exceptions"]) == (5, [submit.Stopped])
    engine.stop()
    engine.kill()
    assert cancelled == [("1/2", False), ("2/2", False), ("1/2", True), ("2/2", True)]


def queued(shards, failed=()):
    """What submitit gives for shards whose jobs are done."""
    return [
        SimpleNamespace(
            job_id=f"7_{index}",
            done=lambda: True,
            exception=lambda index=index: RuntimeError("long") if index in failed else None,
            paths=SimpleNamespace(stderr=f"{index}.err"),
        )
        for index in range(shards.count)
    ]


def test_watching_slurm_tells_what_failed(tmp_path, monkeypatch, capsys):
    words = ["submit", *WORDS, "--out", str(tmp_path / "shards"), "--cluster=slurm", "--watch"]
    monkeypatch.setattr(submit, "slurm", lambda shards, *_: queued(shards))
    assert main(words) == 0
    assert "puts them together" in capsys.readouterr().out
    monkeypatch.setattr(submit, "slurm", lambda shards, *_: queued(shards, failed=(1,)))
    assert main(words) == 1
    told = capsys.readouterr()
    assert "shard 2/2: ended badly, see 1.err; the same command goes on" in told.err
    assert "puts them together" not in told.out


def test_failures_of_many_shards_are_one_line():
    with pytest.raises(Fault, match=r"^1; 2; 3; 4; 5; and 2 more; the same command goes on with what is whole$"):
        submit._check("1234567")


def test_submit_needs_no_memory_and_no_accelerator_of_its_own(tmp_path, monkeypatch):
    seen = []

    def prepare(*args, **options):
        seen.append(jax.config.values["jax_platforms"])
        return checked(*args, **options)

    checked = api.prepare
    monkeypatch.setattr(api, "prepare", prepare)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    monkeypatch.setattr(submit, "slurm", lambda shards, *_: queued(shards))
    monkeypatch.chdir(tmp_path)
    assert main(["submit", *WORDS, "--out", "shards", "--cluster=slurm"]) == 0
    assert seen == ["cpu"] * 2


def test_a_shard_elsewhere_is_told_the_whole_path(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(submit, "slurm", lambda shards, *_: told.append(shards.out) or queued(shards))
    monkeypatch.chdir(tmp_path)
    assert main(["submit", *WORDS, "--out", "shards", "--cluster=slurm"]) == 0
    assert told == [tmp_path / "shards"]


def test_what_slurm_is_told(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": "", "sbatch": "echo Submitted batch job 7"}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    shards = submit.Shards(WORDS, tmp_path / "shards", 2)
    if not submitit.SlurmExecutor.affinity() > 0:
        with pytest.raises(InvalidSetting, match="cluster = 'slurm': Could not detect"):
            submit.slurm(shards, 60, {})
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    jobs = submit.slurm(shards, 60, {"partition": "gpu"})
    assert [job.job_id for job in jobs] == ["7_0", "7_1"]
    text = (shards.out / "slurm" / "7_submission.sh").read_text()
    for line in ("partition=gpu", "signal=USR2@300", "time=60", "array=0-1%2"):
        assert f"#SBATCH --{line}\n" in text
    assert jobs[1].submission()._timeout_countdown == submit.MOST_TURNS
    assert jobs[1].submission().function.patience == 240
    submit.slurm(shards, 4, {})
    assert "signal=USR2@60" in (shards.out / "slurm" / "7_submission.sh").read_text()
    with pytest.raises(InvalidSetting, match="notice = 300: must be < 240"):
        submit.slurm(shards, 4, {}, notice=300)
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    with pytest.raises(Fault, match=r"slurm: .*no such partition"):
        submit.slurm(shards, 60, {})


def test_a_missing_engine_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InvalidSetting, match=r"pip install -e '\.\[slurm\]'"):
        submit.slurm(submit.Shards(WORDS, tmp_path, 2), 10, {})
