"""What stops a training, be it a signal, a full disk or another process, loses nothing that was written."""

import os
import shutil
import signal

import pytest
import runs_compared
import tiny
from cut_off import train

import maxent_jax
from maxent_jax import arrays, checkpoints, cli, interrupts, jobs, locks
from maxent_jax.faults import Fault
from maxent_jax.metrics_log import MetricsLog
from maxent_jax.progress import Reporter

assert_equal = runs_compared.assert_equal_runs
pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")


@pytest.mark.parametrize("at", ["metrics", "checkpoint"])
def test_a_full_disk_stops_after_the_chunk_and_the_run_goes_on_later(at, tmp_path, straight, monkeypatch, capsys):
    def full(*arguments):
        seen.append(arguments)
        if len(seen) > 2:
            raise OSError(28, "No space left on device")
        return whole(*arguments)

    seen = []
    owner, name = {"metrics": (MetricsLog, "write"), "checkpoint": (checkpoints, "save")}[at]
    whole = getattr(owner, name)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(Fault, match=r"stopped, for .*No space left on device.*; `maxent-jax resume .*` goes on"):
            train(tmp_path / "run")
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def full_at_the_end(path, tree, whole=arrays.write):
    if "program_0" in str(path):
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write:\nNo space left on device")
    whole(path, tree)


def refused(*_):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("owner", "name", "failing", "told"),
    [
        (
            arrays,
            "write",
            full_at_the_end,
            "checkpoint program_0 cannot be written (RESOURCE_EXHAUSTED: Failed to write: No space",
        ),
        (jobs, "MetricsLog", refused, "it cannot be written (Permission denied)"),
    ],
    ids=["a full disk at the end", "metrics"],
)
def test_what_cannot_be_written_is_one_line(owner, name, failing, told, broken, straight, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        assert cli.main(["resume", str(broken)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"stopped, for {told}" in line
    assert_equal(maxent_jax.resume(broken), straight())


def test_a_vanished_folder_stops_after_the_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(Reporter, "chunk", lambda *_: shutil.rmtree(tmp_path / "run", ignore_errors=True))
    with pytest.raises(Fault, match=r"stopped, for .*(No such file|was replaced)"):
        train(tmp_path / "run")


def test_a_second_process_is_refused(broken, straight):
    with locks.hold(broken), pytest.raises(Fault, match=rf"process {os.getpid()} on .* writes it"):
        maxent_jax.resume(broken)
    (broken / "lock").write_text('{"pid": 1, "host": "gone"}')  # of a process that was killed
    assert_equal(maxent_jax.resume(broken), straight())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_after_the_chunk_and_exits(number, code, tmp_path, straight, monkeypatch, capsys):
    def chunk(self, program, chunk):
        if chunk.index == 1:
            signal.raise_signal(number)

    words = f"train sac --env toy --seeds 2 --steps 96 --evaluations 3 --checkpoint-every 100 --out {tmp_path}/run"
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "chunk", chunk)
        assert cli.main([*words.split(), *tiny.flags(tiny.FIELDS["sac"])]) == code
    out = capsys.readouterr().out
    assert "ending after the chunk in flight; Ctrl-C again ends at once; expected within " in out
    assert checkpoints.names(tmp_path / "run")[-1] == "state_000000_000001"
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_signal_while_compiling_a_resumed_run_loses_nothing(broken, straight, monkeypatch):
    compile_now = jobs.Compiled

    def compile_slowly(program):
        signal.raise_signal(signal.SIGTERM)
        return compile_now(program)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "Compiled", compile_slowly)
        with pytest.raises(interrupts.Interrupted) as stop:
            maxent_jax.resume(broken)
    assert stop.value.code == 143
    assert stop.value.result.agent_state(0) is not None
    assert_equal(maxent_jax.resume(broken), straight())


@pytest.mark.parametrize(
    ("program", "awaited", "chunks"), [(0, "compiling and the first chunk", 1), (1, "compiling", 4)]
)
def test_a_signal_while_a_program_compiles_begins_it_only_where_nothing_is_there(
    program, awaited, chunks, tmp_path, straight, monkeypatch, capsys
):
    compile_now, seen = jobs.Compiled, []

    def compile_slowly(compiled):
        if len(seen) == program:
            signal.raise_signal(signal.SIGTERM)
        seen.append(compiled)
        return compile_now(compiled)

    words = "sweep sac --env toy --seeds 2 --steps 96 --evaluations 3 --checkpoint-every 1"
    grid = ["--grid=hidden=8;4", "--grid=alpha=0.1,0.3"]
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "Compiled", compile_slowly)
        out = ["--out", str(tmp_path / "run")]
        assert cli.main([*words.split(), *tiny.flags(tiny.FIELDS["sac"]), *grid, *out]) == 143
    said = f"ending after {awaited}; Ctrl-C again ends at once; how long that takes is not known yet"
    assert said in capsys.readouterr().out
    assert len(runs_compared.lines(tmp_path / "run")) == 4 * chunks
    result = maxent_jax.resume(tmp_path / "run")
    assert_equal(result, straight(grid={"hidden": ((8,), (4,)), "alpha": (0.1, 0.3)}))
