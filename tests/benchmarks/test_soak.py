import json

import pytest

from benchmarks import registry, soak
from envs.fields import InvalidSetting
from maxent_jax import api, cli


def samples(minutes, growth=0.0, descriptors=0):
    """A look every second while an hour, or less, goes by; memory and descriptors grow after the settling."""
    end = int(60 * minutes)
    late = [max(0.0, (t - 6 * minutes) / (end - 6 * minutes)) for t in range(end)]
    return [
        {"seconds": t, "bytes": 1e9 * (1 + growth * x), "descriptors": 20 + round(descriptors * x), "threads": 9}
        for t, x in enumerate(late)
    ]


def lines(minutes, first=100, last=100):
    """A line every second; the speed changes half way."""
    steps, found = 0, []
    for t in range(3, int(60 * minutes)):
        found.append((float(t), steps))
        steps += first if t < 30 * minutes else last
    return found


@pytest.mark.parametrize("minutes", [60, 3])
def test_what_is_flat_meets_all_goals(minutes):
    found = soak.judge(samples(minutes), lines(minutes), minutes)
    assert found["memory_growth"] == found["descriptor_growth"] == 0
    assert found["slowdown"] == pytest.approx(0)
    assert all(found["met"].values())


@pytest.mark.parametrize(
    ("grown", "slowed", "missed", "value"),
    [
        ({"growth": 0.05}, {}, "memory_growth", 0.05),
        ({"descriptors": 40}, {}, "descriptor_growth", 40),
        ({}, {"last": 80}, "slowdown", 0.2),
    ],
)
def test_what_grows_or_slows_is_found(grown, slowed, missed, value):
    found = soak.judge(samples(60, **grown), lines(60, **slowed), 60)
    assert found[missed] == pytest.approx(value, rel=0.02)
    assert [name for name, met in found["met"].items() if not met] == [missed]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path):
    whole = [{"run": run, "elapsed_seconds": 1.5 * step, "env_steps": step} for step in (0, 4000) for run in (0, 1)]
    text = "".join(json.dumps(line) + "\n" for line in whole)
    (tmp_path / "metrics.jsonl").write_text(text + '{"run": 0, "ela')
    assert soak.progress(tmp_path / "metrics.jsonl") == [(0.0, 0), (6000.0, 4000)]
    assert soak.progress(tmp_path / "nothing") == []


def test_it_asks_for_a_training_that_does_not_end_by_itself(tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr(api, "execute", lambda job, *_, **__: jobs.append(job))
    assert cli.main(soak.words(60, tmp_path / "run")) == 0
    (program,) = jobs[0].sweep.programs
    assert len(program.runs) == 8
    assert program.schedule.chunk_steps == soak.CHUNK
    assert program.schedule.total_steps >= 3600 * soak.FASTEST


def test_it_is_made_with_everything_else_only_where_there_is_time():
    presets = {preset for preset in registry.PRESETS if registry.BENCHMARKS["soak"].arguments(preset) is not None}
    assert presets == {"full"}


def test_too_short_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match="minutes = 1: must be a number >= 3"):
        soak.main(minutes=1.0, out=tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()
