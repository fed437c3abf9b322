import json

import pytest

from benchmarks import kill
from maxent_jax import cli

pytestmark = pytest.mark.usefixtures("quick_compile")


def check(out, kills, seed):
    kill.main(kills, seed, out)
    result = json.loads(out.read_text())
    assert [row["equal"] for row in result["rows"]] == [True] * kills
    return result["rows"]


@pytest.mark.slow
def test_a_run_that_is_killed_ends_in_the_same_numbers(tmp_path, monkeypatch):
    """A real process and SIGKILL; only what runs to its end runs here."""

    def finish(words, folder):
        assert cli.main(words) == 0

    monkeypatch.setattr(kill, "finish", finish)
    monkeypatch.setattr(kill, "CHUNKS", 10)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")  # as here: to the bit runs are the same on as many devices only
    (row,) = check(tmp_path / "kill.json", kills=1, seed=5)
    assert row["checkpoint"] is not None
    assert row["lines"] < 2 * (kill.CHUNKS + 1)


@pytest.mark.slow
def test_six_runs_that_are_killed_at_random_end_in_the_same_numbers(tmp_path):
    rows = check(tmp_path / "kill.json", kills=6, seed=100)
    assert {row["agent"] for row in rows} == set(kill.AGENTS)
    assert {row["when"] for row in rows} == set(kill.MOMENTS)
    assert any(row["while_saving"] for row in rows)


def test_a_difference_of_one_bit_is_seen(tmp_path):
    line = '{"run": 0, "elapsed_seconds": %s, "q_mean": %s}\n'
    for name, values in {"a": (1.0, 0.1), "b": (2.0, 0.1), "c": (1.0, 0.10000001)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(line % values)
    a, b, c = (kill.lines(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
