import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

import maxent_jax
from maxent_jax import cli, freezing, locks, runs, status
from maxent_jax.checkpoints import Place
from maxent_jax.commands import watching
from maxent_jax.progress import Reporter

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, quick_compile, no_figures):
    """Two runs of three chunks of 32 steps after 8 random ones, of which two ran."""
    out = tmp_path_factory.mktemp("stopped") / "run"

    def chunk(self, program, chunk):
        if chunk.index == 2:
            raise KeyboardInterrupt

    own = {"agent_fields": tiny.FIELDS["sac"] | {"prefill_steps": 8}, "checkpoint_every": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "chunk", chunk)
        with pytest.raises(KeyboardInterrupt):
            maxent_jax.train("sac", "toy", seeds=2, steps=96, evaluations=3, out=out, **own)
    return out


@pytest.fixture
def directory(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def test_a_stopped_run(directory, capsys):
    found = status.read(directory)
    assert (found.state, found.who, found.runs, found.failed) == ("stopped", "", 2, {})
    assert found.share == pytest.approx(2 / 3)
    assert found.steps == 2 * (8 + 64)
    assert found.checkpoint is not None
    assert found.checkpoint.chunk == 2
    assert found.seconds_left is None
    assert cli.main(["status", str(directory), "--watch"]) == 0  # nothing will change, so it does not wait
    out = capsys.readouterr().out
    assert f"stopped; `maxent-jax resume {directory}` goes on" in out
    assert "66.7%, 144 steps of 2 runs" in out
    assert "failed      0 of 2" in out
    assert "program 0, chunk 2, " in out


def test_a_run_in_training_and_its_end(directory):
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["env_steps_per_second"] = 4.0
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (directory / "metrics.jsonl").write_text(text + '{"run": 0, "se')  # one is being written
    now = (directory / "metrics.jsonl").stat().st_mtime + 1
    with locks.hold(directory):
        found = status.read(directory, now)
    assert (found.state, found.who.split()[1]) == ("training", str(os.getpid()))
    assert found.steps_per_second == 8.0
    assert found.seconds_left == pytest.approx(2 * 32 / 8 - 1)


def test_failed_runs_are_named(directory, capsys):
    metrics = {"failed_step": np.array([-1, 1040]), "failed_cause": np.array([0, freezing.LOSS])}
    line = {"run": 1, "seed": 1, "env_steps": 1072, "failed": freezing.describe(metrics, 1)}
    with open(directory / "metrics.jsonl", "a") as file:
        file.write(runs.to_line(line))
        file.write(runs.to_line(line | {"run": 0, "failed": 3}))  # damage
    assert status.read(directory).failed == {1: "loss at step 1,040"}
    assert cli.main(["status", str(directory)]) == 0
    assert "failed      1 of 2: run 1 (loss at step 1,040)" in capsys.readouterr().out


def test_watch_repeats_until_training_ends(directory, capsys, monkeypatch):
    seen = []

    def read(path):
        seen.append(path)
        with locks.hold(path):
            training = whole(path)
        return whole(path) if len(seen) == 3 else training

    whole = status.read
    monkeypatch.setattr(status, "read", read)
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.0)
    assert cli.main(["status", str(directory), "--watch"]) == 0
    assert len(seen) == 3
    assert capsys.readouterr().out.count("progress") == 3


def test_a_finished_run(directory):
    maxent_jax.resume(directory)
    found = status.read(directory)
    assert (found.state, found.share, found.seconds_left) == ("finished", 1.0, None)


def test_a_run_that_has_no_lines_yet(directory):
    (directory / "metrics.jsonl").unlink()
    shutil.rmtree(directory / "checkpoints")
    found = status.read(directory)
    assert (found.share, found.steps, found.steps_per_second, found.checkpoint) == (0.0, 0, None, None)
    assert status.lines(directory, found)[-1] == "  checkpoint  none yet"


def test_looking_changes_nothing(directory):
    before = {file: file.stat().st_mtime_ns for file in directory.rglob("*")}
    status.read(directory)
    assert {file: file.stat().st_mtime_ns for file in directory.rglob("*")} == before


def shard(state, **known):
    """The status of one shard of three runs."""
    place = Place(0, 4, 0, "", 1.0)
    usual = {"who": "", "share": 0.5, "steps": 300, "steps_per_second": 100.0, "seconds_left": None, "runs": 3}
    about = usual | {"failed": {}, "checkpoint": place, "checkpoint_age": 7.0} | known
    return status.Status(state=state, **about)


def test_all_shards_and_what_they_come_to():
    folder = Path("alpha")
    shards = {
        folder / "shard-1-of-4": shard("finished", share=1.0),
        folder / "shard-2-of-4": shard("training", seconds_left=60.0, failed={4: "loss"}),
        folder / "shard-3-of-4": shard("training", seconds_left=20.0, share=0.25, checkpoint=None),
    }
    first, names, *rows, whole, failed = status.of_shards(folder, shards)
    assert first == "alpha: 4 shards, 1 finished, 2 training, 1 not begun"
    assert names.split() == ["shard", "state", "progress", "steps/s", "failed", "checkpoint", "end"]
    assert [row.split()[:3] for row in rows] == [
        ["1/4", "finished", "100.0%"],
        ["2/4", "training", "50.0%"],
        ["3/4", "training", "25.0%"],
    ]
    assert "program 0, chunk 4, 7 s ago  in about 60 s, " in rows[1]
    assert "none yet" in rows[2]
    # a quarter of the runs has not begun; only what trains now has a speed
    assert whole.split()[:6] == ["all", "43.8%", "200", "1", "of", "9"]
    assert "not before: in about 60 s, " in whole
    assert failed == "  failed: run 4 of shard-2-of-4 (loss)"
    assert len({len(row[: row.index(" of ")]) for row in rows}) == 1  # in columns


def test_shards_that_all_train_have_an_end_and_stopped_ones_a_way_on():
    folder = Path("alpha")
    training = {folder / f"shard-{i}-of-2": shard("training", seconds_left=10.0 * i) for i in (1, 2)}
    assert "  in about 20 s, " in status.of_shards(folder, training)[-1]
    stopped = {folder / "shard-1-of-1": shard("stopped")}
    assert status.of_shards(folder, stopped)[-1] == "  `maxent-jax resume alpha/shard-1-of-1` goes on"


def test_a_folder_of_shards_is_shown_until_the_engine_is_done(directory, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.0)
    answers = iter([False, False, True])
    watching.follow(tmp_path / "shards", lambda: next(answers))  # nothing has begun
    assert capsys.readouterr().out == ""
    directory.rename(tmp_path / "shard-2-of-3")
    answers = iter([False, True])
    watching.follow(tmp_path, lambda: next(answers))
    out = capsys.readouterr().out
    assert out.count("3 shards, 1 stopped, 2 not begun") == 2
    assert cli.main(["status", str(tmp_path)]) == 0
    assert "2/3" in capsys.readouterr().out


def test_shards_are_watched_until_all_are_finished(directory, tmp_path, monkeypatch, capsys):
    """None has begun; one trains and stops; it is finished and the other has not begun; both are finished."""
    folder = tmp_path / "shards"
    first, second = (folder / f"shard-{index}-of-2" for index in (1, 2))
    config = json.loads((directory / "config.json").read_text()) | {"shard": "1/2"}

    def finish(shard):
        shutil.copytree(directory, shard, dirs_exist_ok=True)
        (shard / "config.json").write_text(json.dumps(config))
        (shard / "summary.json").write_text('{"complete": true}')

    def begin():
        shutil.copytree(directory, first)
        (first / "config.json").write_text(json.dumps(config))

    meanwhile = iter([(folder / "slurm").mkdir, begin, lambda: finish(first), lambda: None, lambda: finish(second)])
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: next(meanwhile)())
    assert cli.main(["status", str(folder), "--watch"]) == 2  # there is no such folder
    folder.mkdir()
    assert cli.main(["status", str(folder)]) == 2
    capsys.readouterr()
    assert cli.main(["status", str(folder), "--watch"]) == 0
    assert next(meanwhile, None) is None
    out = capsys.readouterr().out
    assert out.startswith(f"{folder}: no shard has begun yet\n")
    for told in ("1 stopped, 1 not begun", "1 finished, 1 not begun", "2 shards, 2 finished"):
        assert told in out


def test_a_folder_of_something_else_is_not_waited_for(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    assert cli.main(["status", str(tmp_path), "--watch"]) == 2
    assert "must hold a run" in capsys.readouterr().err
