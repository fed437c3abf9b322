import json
import os
import pty
import re
import signal
import threading
import time
from contextlib import contextmanager, suppress

import commands
import pytest
import tiny
from waiting import until

from maxent_jax import interrupts
from maxent_jax.result import load

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

# Chunks of the size that other tests have compiled, and far more of them than anybody waits for.
LONG = "train sac --env toy --seeds 3 --steps 320000 --evaluations 10000 --out run".split()  # noqa: SIM905


@contextmanager
def training(folder, **pipes):
    """A long training in a process of its own, its standard error in a file; killed in the end where it still runs."""
    words = [*LONG, *tiny.flags(tiny.FIELDS["sac"])]
    with open(folder / "errors", "w") as errors, commands.start(words, folder, stderr=errors, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_first_ctrl_c_ends_after_the_chunk_and_loses_nothing(tmp_path):
    printed = tmp_path / "printed"
    with open(printed, "w") as out, training(tmp_path, stdout=out) as process:
        until(lambda: printed.read_text().count("steps/s") > 1)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        assert process.wait(timeout=60) == interrupts.EXIT_CODE == 130
        took = time.monotonic() - asked
    told = "ending after the chunk in flight; Ctrl-C again ends at once; expected within ([0-9]+) s, without a loss"
    (seconds,) = re.findall(told, printed.read_text())
    assert took < int(seconds)
    assert printed.read_text().splitlines()[-1].startswith("run: interrupted; what ran is written")
    assert "Traceback" not in (tmp_path / "errors").read_text()

    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    steps = [json.loads(line)["env_steps"] for line in text.splitlines()]
    assert steps == [step for step in range(0, steps[-1] + 1, 32) for _ in range(3)]
    assert 32 <= steps[-1] < 320_000
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["complete"], summary["env_steps"]) == (False, steps[-1])
    assert load(tmp_path / "run").agent_state(2) is not None
    assert (tmp_path / "run" / "figures" / "curves.png").exists()


def test_a_second_ctrl_c_ends_at_once_and_leaves_whole_lines_and_a_cursor(tmp_path):
    terminal, theirs = pty.openpty()
    shown = bytearray()

    def look():
        with suppress(OSError):  # what reading raises when the other end is closed
            while seen := os.read(terminal, 65536):
                shown.extend(seen)

    watcher = threading.Thread(target=look)
    with training(tmp_path, stdout=theirs) as process:
        os.close(theirs)
        watcher.start()
        until(lambda: shown.count(b"steps/s") > 1)
        process.send_signal(signal.SIGINT)
        until(lambda: b"Ctrl-C again ends at once" in shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    watcher.join()
    os.close(terminal)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert "Traceback" not in (tmp_path / "errors").read_text()
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert text.endswith("}\n")
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.slow  # test_progress.py checks it without a process
@pytest.mark.parametrize("opened", [pty.openpty, os.pipe], ids=["terminal", "pipe"])
def test_training_outlives_whoever_looked_on(opened, tmp_path):
    ours, theirs = opened()
    metrics = tmp_path / "run" / "metrics.jsonl"
    with training(tmp_path, stdout=theirs, start_new_session=True) as process:
        os.close(theirs)
        until(lambda: b"steps/s" in os.read(ours, 65536))
        os.close(ours)
        size = metrics.stat().st_size
        until(lambda: metrics.stat().st_size > size + 100_000 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    assert (tmp_path / "errors").read_text() == ""
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["env_steps"] > 32


def test_watch_hears_while_work_is_going_on():
    said = []
    with interrupts.watch(lambda: said.append("heard")) as watch:
        assert not watch.asked
        interrupter = threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,))
        interrupter.start()
        began = time.perf_counter()
        watch.wait_for(lambda: time.sleep(0.5))
        assert time.perf_counter() - began >= 0.5  # the work is not cut short
        assert watch.asked
    assert said == ["heard"]


def test_a_scheduler_may_say_twice_that_time_is_nearly_over(monkeypatch):
    said = []
    monkeypatch.setattr(os, "_exit", said.append)
    with interrupts.watch(lambda: said.append("heard"), lambda: said.append("left")) as watch:
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR2):  # as Slurm may
            signal.raise_signal(number)
        assert watch.signal == signal.SIGTERM
        assert said == ["heard"]
        signal.raise_signal(signal.SIGTERM)
    assert said == ["heard", "left", 143]
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_usr2_is_left_to_whom_it_belongs():
    def theirs(signum, frame):
        heard.append(signum)

    heard, before = [], signal.signal(signal.SIGUSR2, theirs)
    try:
        with interrupts.watch(lambda: None) as watch:
            signal.raise_signal(signal.SIGUSR2)
            assert not watch.asked
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]


def test_watch_gives_the_signal_back():
    before = signal.getsignal(signal.SIGINT)

    def work():
        with interrupts.watch(lambda: None) as watch:
            assert signal.getsignal(signal.SIGINT) is not before
            watch.wait_for(lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        work()
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_touched():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with interrupts.watch(lambda: None) as watch:
            seen.append((signal.getsignal(signal.SIGINT), watch.wait_for(lambda: 3), watch.asked))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, 3, False)]
