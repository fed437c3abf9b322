"""Shards of a sweep, and the directory that they make together."""

import functools
import json
import shutil

import jax
import numpy as np
import pytest
import runs_compared
import tiny

from envs.fields import InvalidSetting
from maxent_jax import jobs, locks, merging, runs, sweep
from maxent_jax.cli import main
from maxent_jax.faults import Fault
from maxent_jax.merging import merge
from maxent_jax.result import load

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

GRID = {"alpha": [0.1, 0.2], "batch_size": [4, 8]}
"""Two programs of two configurations."""


def train(out, **options):
    return sweep(
        "sac", "toy", GRID, agent_fields=tiny.FIELDS["sac"], seeds=2, steps=32, evaluations=2, out=out, **options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_compile, no_figures):
    return train(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def shards(tmp_path_factory, quick_compile, no_figures):
    folder = tmp_path_factory.mktemp("shards")
    for index in (3, 1, 2):
        train(folder, shard=f"{index}/3")
    return folder


@pytest.fixture
def copy(shards, tmp_path):
    return shutil.copytree(shards, tmp_path / "copy")


def test_shards_share_the_runs_out(shards):
    trained = [[info.run for info in load(shards / f"shard-{i}-of-3").runs] for i in (1, 2, 3)]
    assert trained == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_merged_shards_are_what_one_host_writes_up_to_rounding(whole, copy):
    merged = merge([copy])
    assert merged.path == copy
    ours, theirs = (runs_compared.lines(result.path) for result in (merged, whole))
    assert [(line["run"], line["seed"], line["env_steps"]) for line in ours] == [
        (line["run"], line["seed"], line["env_steps"]) for line in theirs
    ]
    for name, values in whole.metrics.items():
        if name not in runs.CLOCKS:  # how many runs a program maps moves the rounding, see docs/scale.md
            np.testing.assert_allclose(merged.metrics[name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    for info in whole.runs:
        close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
        jax.tree.map(close, merged.agent_state(info.run), whole.agent_state(info.run))
    configs = [json.loads((path / "config.json").read_text()) for path in (copy, whole.path)]
    for config in configs:
        del config["command"]
    assert configs[0] == configs[1]
    summaries = [json.loads((path / "summary.json").read_text()) for path in (copy, whole.path)]
    assert summaries[0].keys() == summaries[1].keys()
    assert summaries[0]["complete"] is True
    assert (copy / "figures" / "curves.png").exists()


def test_several_folders_are_merged_into_another(copy, tmp_path, capsys):
    parts = [str(copy / f"shard-{i}-of-3") for i in (2, 3, 1)]
    assert main(["merge", *parts, "--out", str(tmp_path / "all")]) == 0
    assert len(load(tmp_path / "all").runs) == 8
    assert "8 runs of 3 shards" in " ".join(capsys.readouterr().out.split())
    assert main(["status", str(copy)]) == 0
    assert "3 shards, 3 finished" in capsys.readouterr().out


def unfinished(folder):
    path = folder / "shard-2-of-3" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"complete": False}))


def another(folder):
    path = folder / "shard-2-of-3" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seeds": [4, 5]}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (unfinished, "is not finished"),
        (another, "must be"),
        (lambda folder: shutil.rmtree(folder / "shard-2-of-3"), "shard 2/3: is missing"),
        (lambda folder: shutil.copytree(folder / "shard-2-of-3", folder / "shard-9-of-9"), "is there twice"),
        (lambda folder: [shutil.rmtree(path) for path in folder.iterdir()], "holds no shard"),
    ],
)
def test_what_cannot_be_merged_is_named_and_nothing_is_written(spoil, told, copy):
    spoil(copy)
    before = sorted(path.name for path in copy.iterdir())
    with pytest.raises(InvalidSetting, match=told):
        merge([copy])
    assert sorted(path.name for path in copy.iterdir()) == before


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Killed(BaseException):
    """What stands for the end of a process here: nothing is tidied up after it."""


@pytest.mark.parametrize("at", ["save_agents", "conclude", 1, 3, 4])
def test_a_merge_that_was_killed_left_no_run_and_is_repeated(at, copy, whole, monkeypatch, capsys):
    """It was killed while it built, or after it had put so many files in place."""

    def die(*_, **__):
        raise Killed

    if isinstance(at, int):
        merge([copy])
        (copy / merging.DRAFT).mkdir()
        for name in merging.MADE[at:]:
            (copy / name).rename(copy / merging.DRAFT / name)
    else:
        with monkeypatch.context() as patch:
            patch.setattr({"save_agents": runs, "conclude": jobs}[at], at, die)
            patch.setattr(merging, "_clear", lambda _: None)
            with pytest.raises(Killed):
                merge([copy])
    assert not runs.is_directory_of_run(copy)
    assert main(["resume", str(copy)]) == 2
    assert main(["status", str(copy)]) == 0
    assert "3 shards, 3 finished" in capsys.readouterr().out
    assert len(merge([copy]).runs) == len(whole.runs)
    assert sorted(path.name for path in copy.iterdir()) == sorted(
        [*merging.MADE, *(f"shard-{i}-of-3" for i in (1, 2, 3))]
    )


def test_a_new_folder_that_a_killed_merge_left_is_taken(copy, tmp_path):
    (tmp_path / "all" / merging.DRAFT / "checkpoints").mkdir(parents=True)
    (tmp_path / "all" / "lock").touch()
    assert merge([copy], tmp_path / "all").path == tmp_path / "all"
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(merging.MADE)


def test_what_is_not_of_a_merge_is_never_removed(copy):
    (copy / "figures").mkdir()
    (copy / "figures" / "mine.png").write_text("kept")
    before = files(copy)
    with pytest.raises(InvalidSetting, match="holds 'figures'; must hold nothing but shards"):
        merge([copy])
    assert files(copy) == before


def test_a_second_merge_into_a_folder_is_refused(copy):
    (copy / merging.DRAFT).mkdir()
    with locks.hold(copy), pytest.raises(Fault, match=r"process .* writes it"):
        merge([copy])
    assert (copy / merging.DRAFT).exists()  # the first one's


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (runs, "save_agents", FULL),
        (runs, "save_agents", ValueError("No space left on device")),
        (jobs, "conclude", FULL),
    ],
    ids=["agents", "agents by TensorStore", "figures"],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(owner, name, error, copy, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(owner, name, full)
    before = files(copy)
    for target, words in ((copy, []), (tmp_path / "all", ["--out", str(tmp_path / "all")])):
        assert main(["merge", str(copy), *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"run directory '{target}': cannot be made (No space left on device); nothing of it was kept" in line
    assert files(copy) == before
    assert not (tmp_path / "all").exists()


def lose(lines):
    del lines[4]


def double(lines):
    lines.append(lines[4])


def rename(lines):
    lines[4] = json.dumps(json.loads(lines[4]) | {"run": 0}) + "\n"


def move(lines):
    lines[4] = json.dumps(json.loads(lines[4]) | {"env_steps": 3}) + "\n"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lose, "metrics.jsonl is damaged: it lacks the line of run 1 at step "),
        (double, "metrics.jsonl is damaged: line 10, of run 1, does not belong there"),
        (rename, "metrics.jsonl is damaged: line 5, of run 0, does not belong there"),
        (move, "metrics.jsonl is damaged: it lacks the line of run 1 at step "),
    ],
)
def test_lines_that_do_not_fit_are_named_and_nothing_is_written(damage, told, copy, capsys):
    path = copy / "shard-2-of-3" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[4])["run"] == 1
    damage(lines)
    path.write_text("".join(lines))
    before = files(copy)
    assert main(["merge", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"run directory '{copy / 'shard-2-of-3'}': {told}" in line
    assert files(copy) == before


def change(folder, index, **values):
    path = folder / f"shard-{index}-of-3" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_runs_of_another_shard_are_named_and_nothing_is_written(copy, capsys):
    entries = load(copy / "shard-2-of-3").config["runs"]
    change(copy, 2, runs=[entry | {"program": 0} for entry in entries])
    before = files(copy)
    assert main(["merge", str(copy)]) == 1
    assert f"'{copy / 'shard-2-of-3'}': config.json is damaged: its runs" in capsys.readouterr().err
    assert files(copy) == before


def test_shards_of_other_code_versions_or_devices_are_a_warning(copy, whole, capsys):
    versions = whole.config["versions"]
    change(copy, 2, device="abacus")
    change(copy, 3, continued_with=[{"versions": versions | {"jax": "0.0.1", "code": "abc"}, "device": "abacus"}])
    assert main(["merge", str(copy)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    device, before = whole.config["device"], f"jax 0.0.1 ({versions['jax']}), code abc ({versions['code']}), "
    end = f"device abacus ({device}); numbers may differ from those of one host"
    assert told == [
        f"{copy}: warning: shard 2: not as shard 1 began: {end}",
        f"{copy}: warning: shard 3: not as shard 1 began: {before}{end}",
    ]


def test_shards_that_were_prolonged_otherwise_are_refused(copy):
    change(copy, 2, prolonged_from=16)
    with pytest.raises(InvalidSetting, match=r"shard-2-of-3': prolonged_from = 16: must be None, as others have"):
        merge([copy])


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2"])
def test_a_shard_that_is_none_is_refused(shard, tmp_path):
    with pytest.raises(InvalidSetting, match="must be I/N"):
        train(tmp_path / "run", shard=shard)
    assert not (tmp_path / "run").exists()


def test_a_shard_without_runs_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match="has no run; must be one of 8 shards or fewer"):
        train(tmp_path / "run", shard="9/9")


def test_a_shard_is_resumed_where_it_lies(copy, tmp_path):
    (copy / "shard-1-of-3" / "summary.json").unlink()
    assert main(["resume", str(copy / "shard-1-of-3")]) == 0
    assert (copy / "shard-1-of-3" / "summary.json").exists()
    shutil.copytree(copy / "shard-1-of-3", tmp_path / "renamed")
    assert main(["resume", str(tmp_path / "renamed")]) == 2
