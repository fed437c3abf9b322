import io
import sys

import numpy as np
import pytest
from rich.console import Console

import envs
from envs import fields
from maxent_jax import SAC
from maxent_jax.compiled import Chunk
from maxent_jax.programs import expand
from maxent_jax.progress import Reporter


def sweep(grid=None):
    agent = fields.build(SAC, {"prefill_steps": 10})
    return expand(agent, envs.make("toy"), (0, 1), grid or {}, steps=1000, envs=1, evaluations=2)


def chunk(index, returns=(-3.0, 1.0), failed=(-1, -1)):
    metrics = {"return_deterministic": np.float32(returns), "failed_step": np.array(failed)}
    return Chunk(index, env_steps=10 + 500 * index, updates=500 * index, seconds=0.5, metrics=metrics)


def console(terminal=False):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=120, color_system="standard" if terminal else None
    )


def follow(reporter, programs, **options):
    for program in programs:
        for index in range(3):
            reporter.chunk(program, chunk(index, **options))
        reporter.program_done(program)
    reporter.close()


def test_plain_lines_count_steps_of_all_runs():
    output = console()
    follow(Reporter(output, total_steps=2 * 1010), sweep().programs)
    lines = output.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("  20 of 2,020 steps, 40 steps/s, untrained, ")
    assert lines[1].startswith("  1,020 of 2,020 steps, 2,000 steps/s, ")
    assert lines[2].startswith("  2,020 of 2,020 steps, 2,000 steps/s, 0 s left, ")
    assert all(line.endswith(", return -1 (-3 to 1)") for line in lines)
    assert "\x1b" not in output.file.getvalue()


def test_later_programs_count_on():
    output = console()
    programs = sweep({"batch_size": (8, 16)}).programs
    follow(Reporter(output, total_steps=2 * 2 * 1010), programs)
    steps = [line.split(" of ")[0].strip() for line in output.file.getvalue().splitlines()]
    assert steps == ["20", "1,020", "2,020", "2,040", "3,040", "4,040"]


def test_remaining_time_follows_the_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    output, (program,) = console(), sweep().programs
    reporter = Reporter(output, total_steps=2 * 1010)
    reporter.chunk(program, chunk(0))
    now[0] += 9.6
    reporter.chunk(program, chunk(1))
    assert "10 s left" in output.file.getvalue().splitlines()[1]  # 1,000 of 2,000 steps in 9.6 s


def test_remaining_time_where_training_goes_on_follows_its_first_chunk(monkeypatch):
    monkeypatch.setattr("time.perf_counter", lambda: 100.0)
    output, (program,) = console(), sweep().programs
    reporter = Reporter(output, total_steps=2 * 2010)
    reporter.goes_on(program, 510)
    reporter.chunk(program, chunk(2))  # half a second
    assert "  2,020 of 4,020 steps, 2,000 steps/s, 1 s left, " in output.file.getvalue()


def test_untrained_is_said_where_nothing_was_stepped():
    output, (program,) = console(), sweep().programs
    first = chunk(0)
    Reporter(output, 2000).chunk(program, Chunk(0, 0, 0, first.seconds, first.metrics))
    assert "0 of 2,000 steps, 0 steps/s, untrained, return -1" in output.file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_returns_that_are_not_numbers_do_no_harm(terminal):
    follow(Reporter(console(terminal), 2 * 1010), sweep().programs, returns=(np.nan, np.nan))


@pytest.mark.parametrize(
    ("failed", "expected"),
    [((-1, 0), "return -3 (-3 to -3), failed: 1 of 2"), ((4, 0), "return none, failed: 2 of 2")],
)
def test_failed_runs_are_counted_and_left_out_of_the_mean(failed, expected):
    output, (program,) = console(), sweep().programs
    Reporter(output, 2 * 1010).chunk(program, chunk(1, failed=failed))
    assert output.file.getvalue().rstrip().endswith(f", {expected}")


def test_lines_are_neither_markup_nor_wrapped():
    output = console()
    Reporter(output, 1).say("[bold]" + "x" * 300)
    assert output.file.getvalue() == "[bold]" + "x" * 300 + "\n"


def test_a_terminal_gets_one_live_line():
    output = console(terminal=True)
    reporter = Reporter(output, total_steps=2 * 1010)
    reporter.say("first")
    follow(reporter, sweep().programs)
    reporter.close()  # once more does no harm
    text = output.file.getvalue()
    assert "first" in text
    assert "2,020 of 2,020 steps" in text
    assert "2,000 steps/s" in text
    assert "return -1 (-3 to 1)" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden, then shown again


def test_the_cursor_is_given_back_even_in_the_middle_of_a_line(tmp_path):
    with open(tmp_path / "terminal", "w") as file:
        output = Console(file=file, force_terminal=True, width=120)
        reporter = Reporter(output, total_steps=1)
        with output:  # which holds back what is printed until its end
            reporter.abandon()
            shown = (tmp_path / "terminal").read_text()
        reporter.close()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


class Fragile(io.StringIO):
    """A terminal or a pipe that may vanish."""

    gone = None

    def write(self, text):
        if self.gone is not None:
            raise self.gone
        return super().write(text)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("after", [0, 1])
def test_whoever_is_gone_is_told_nothing_and_stops_nothing(error, terminal, after, tmp_path, monkeypatch):
    output, (program,) = Console(file=Fragile(), force_terminal=terminal, width=120), sweep().programs
    with open(tmp_path / "out", "w") as out:
        monkeypatch.setattr(sys, "stdout", out)  # rich leads it elsewhere where a pipe is broken
        if not after:
            output.file.gone = error
        reporter = Reporter(output, total_steps=2 * 1010)
        if after:
            reporter.say("seen")
            reporter.chunk(program, chunk(0))
        shown, output.file.gone = output.file.getvalue(), error
        reporter.chunk(program, chunk(1))
        reporter.say("not seen")
        reporter.abandon()
        reporter.close()
        assert sys.stdout is out  # a live line takes its place
    assert output.file.getvalue() == shown
    assert ("seen" in shown) == bool(after)


def test_a_line_that_meets_another_is_lost_and_no_more():
    output = Console(file=Fragile())
    reporter = Reporter(output, 1)
    output.file.gone = RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")
    reporter.say("lost")
    output.file.gone = None
    reporter.say("seen")
    assert output.file.getvalue().endswith("seen\n")


def test_silence():
    reporter = Reporter(None, 2020)
    reporter.say("nothing")
    follow(reporter, sweep().programs)
