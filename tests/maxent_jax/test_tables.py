import csv
import dataclasses
import json

import made_runs
import numpy as np
import pytest

from envs.fields import InvalidSetting
from maxent_jax import runs, tables
from maxent_jax.result import load


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made_runs.make(folder / "a", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], failed={1: (10, "loss")})
    made_runs.make(folder / "b", [[0.1, np.nan, -2], [1, 1, 1]], grid={"alpha": [0.5, 2.0]}, seeds=(9,))
    return [load(folder / name) for name in "ab"]


def test_names_say_what_tells_configurations_apart(pair, tmp_path):
    assert [entry.name for entry in tables.entries(pair)] == ["sac (alpha 1)", "sac (alpha 0.5)", "sac (alpha 2)"]
    assert [entry.name for entry in tables.entries(pair[:1])] == ["sac"]
    again = load(made_runs.make(tmp_path / "again", [[1, 2, 3]] * 3))
    assert [entry.name for entry in tables.entries([pair[0], again])] == ["sac, a", "sac, again"]
    twin = load(made_runs.make(tmp_path / "twin" / "again", [[1, 2, 3]] * 3))
    names = [entry.name for entry in tables.entries([again, twin])]
    assert names == [f"sac, again, {path}" for path in (again.path, twin.path)]
    other = load(made_runs.make(tmp_path / "other", [[1, 2, 3]] * 2, agent="ppo"))
    assert [entry.name for entry in tables.entries([pair[0], other])] == ["sac", "ppo"]


def test_final_values_leave_failures_and_what_is_unknown_out(pair):
    first, low, _ = tables.entries(pair)
    assert first.finals() == [3, 9]
    assert first.finals(steps=15) == [2, 8]
    assert low.finals() == [-2]
    assert low.finals(steps=15) == [0.1]
    x, values = low.curve("return_stochastic")
    assert x.tolist() == [0, 20]
    np.testing.assert_allclose(values, [[-0.9, -3]], rtol=1e-6)
    assert first.curve("return_deterministic", "minutes")[0].tolist() == [0, 1, 2]


def test_minutes_are_those_of_the_own_program_also_where_shards_were_merged(tmp_path):
    """Runs 0 and 2 are a quick host's, 1 and 3 those of one that is half as fast."""
    made = load(made_runs.make(tmp_path / "two", np.zeros((4, 3)), grid={"hidden": [(8,), (4,)]}))
    minutes = np.array([[0.0, 5.0, 10.0], [0.0, 10.0, 20.0], [11.0, 13.0, 15.0], [22.0, 26.0, 30.0]])
    merged = dataclasses.replace(made, metrics=dict(made.metrics) | {"elapsed_seconds": 60 * minutes})
    one, other = tables.entries([merged])
    assert one.curve("return_deterministic", "minutes")[0].tolist() == [0, 10, 20]
    assert other.curve("return_deterministic", "minutes")[0].tolist() == [2, 6, 10]
    assert (one.minutes, other.minutes) == (20, 10)


def test_csv_has_every_number_once(pair, tmp_path):
    tables.write_csv(tables.entries(pair), tmp_path / "all.csv")
    with (tmp_path / "all.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert len(rows) == 3 * 3 + 2 * 3
    assert len(set(reader.fieldnames)) == len(reader.fieldnames)  # alpha is a setting and a metric
    lines = {
        (str(result.path), line["run"], line["env_steps"]): line
        for result in pair
        for line in map(json.loads, (result.path / "metrics.jsonl").read_text().splitlines())
    }
    for row in rows:
        line = lines.pop((row["directory"], int(row["run"]), int(row["env_steps"])))
        for name in runs.COLUMNS:
            assert (None if row[name] == "" else float(row[name])) == line[name]
    assert not lines
    assert [row["agent.alpha"] for row in rows[::3]] == ["1.0", "1.0", "1.0", "0.5", "2.0"]
    assert {row["failed_cause"] for row in rows if row["directory"] == str(pair[0].path) and row["run"] == "1"} == {
        "loss"
    }


def test_a_run_without_an_evaluation_is_refused(tmp_path):
    made_runs.make(tmp_path / "new", [[1, 2]])
    (tmp_path / "new" / "metrics.jsonl").write_text("")
    with pytest.raises(InvalidSetting, match="new': has no evaluation yet; must hold at least one"):
        tables.check(load(tmp_path / "new"))


def test_differing_counts_what_is_missing():
    assert tables.differing([{"a": 1, "b": None, "c": 2}, {"a": 1, "c": 3}]) == ["b", "c"]
