"""What is damaged in a run directory is named, and a run goes on from the newest checkpoint that is whole."""

import hashlib
import json
import os
import pickle
import shutil

import pytest
import runs_compared

import maxent_jax
from maxent_jax import checkpoints, cli
from maxent_jax.faults import Fault
from maxent_jax.result import load

assert_equal = runs_compared.assert_equal_runs
pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")


@pytest.mark.parametrize(("name", "value"), [("seed", 5), ("program", 1)])
def test_runs_that_are_not_those_of_the_settings_are_damage_before_anything_is_trained(name, value, broken, capsys):
    config = json.loads((broken / "config.json").read_text())
    config["runs"][1][name] = value
    (broken / "config.json").write_text(json.dumps(config))
    before = {file: file.read_bytes() for file in broken.rglob("*") if file.is_file()}
    assert cli.main(["resume", str(broken)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "config.json is damaged: its runs and configurations are not those of its settings" in line
    assert {file: file.read_bytes() for file in broken.rglob("*") if file.is_file()} == before


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def data_file(checkpoint):
    return max((file for file in checkpoint.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def forge(state, content):
    """Another manifest with a checksum that fits."""
    (state / "manifest.json").write_bytes(content)
    (state / "manifest.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  manifest.json\n")


OTHER = "manifest.json has other bytes than were written"
DAMAGES = {
    "flipped byte": (lambda state: flip(data_file(state)), "has other bytes than were written"),
    "cut short": (lambda state: cut(data_file(state)), " bytes of "),
    "missing file": (lambda state: data_file(state).unlink(), "is missing"),
    "file too many": (lambda state: (state / "more").write_text("x"), "more is not in its manifest"),
    "no manifest": (lambda state: (state / "manifest.json").unlink(), "manifest.json is missing"),
    "no checksum": (lambda state: (state / "manifest.sha256").unlink(), "manifest.sha256 is missing"),
    "half a manifest": (lambda state: cut(state / "manifest.json"), OTHER),
    "flipped in the manifest": (lambda state: flip(state / "manifest.json"), OTHER),
    "flipped in its checksum": (lambda state: flip(state / "manifest.sha256"), OTHER),
    "flipped in a part's manifest": (lambda state: flip(state / "part_0000" / "manifest.json"), f"part_0000/{OTHER}"),
    "no part": (lambda state: shutil.rmtree(state / "part_0000"), "part_0000/manifest.json is missing"),
    "a part elsewhere": (lambda state: move(state / "part_0000"), "part_0000 is a link"),
    "another manifest": (lambda state: forge(state, b"[]"), "manifest.json cannot be read"),
    "a pickle": (lambda state: forge(state, pickle.dumps(Trap())), "manifest.json cannot be read"),
}


def move(path):
    """Out of the run directory, and a link where it was."""
    path.rename(path.parents[3] / "elsewhere")
    path.symlink_to(path.parents[3] / "elsewhere")


class Trap:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_removed_and_the_one_before_it_found(damage, reason, broken, monkeypatch):
    monkeypatch.chdir(broken.parent)
    damage(broken / "checkpoints" / "state_000000_000002")
    place, (line,) = checkpoints.newest(broken)
    assert place is not None
    assert (place.name, place.program, place.chunk) == ("state_000000_000001", 0, 1)
    assert line.startswith("damaged: state_000000_000002: ")
    assert reason in line
    checkpoints.go_back(broken, place)
    assert os.listdir(broken / "checkpoints") == ["state_000000_000001"]
    assert not (broken.parent / "sprung").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [pytest.param(*DAMAGES[name], id=name, marks=[pytest.mark.slow] * (name != "flipped byte")) for name in DAMAGES],
)
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(damage, reason, broken, straight, capsys, monkeypatch):
    monkeypatch.chdir(broken.parent)
    damage(broken / "checkpoints" / "state_000000_000002")
    assert cli.main(["resume", str(broken)]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "warning: damaged: " in line]
    assert "state_000000_000002" in line
    assert reason in line
    assert "goes on from chunk 1 of program 0" in out
    assert not (broken.parent / "sprung").exists()
    assert_equal(load(broken), straight())


def test_where_no_checkpoint_is_whole_nothing_is_changed(broken, capsys):
    for name in checkpoints.names(broken):
        flip(data_file(broken / "checkpoints" / name))
    before = {file: file.read_bytes() for file in broken.rglob("*") if file.is_file()}
    assert cli.main(["resume", str(broken)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no checkpoint is whole" in line
    assert "state_000000_000001" in line
    assert "state_000000_000002" in line
    assert {file: file.read_bytes() for file in broken.rglob("*") if file.is_file()} == before


def test_lost_metrics_need_an_older_checkpoint(broken, straight, capsys):
    metrics = broken / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(lines[:5]))  # those of chunk 2, after which the newest was saved, are cut
    assert cli.main(["resume", str(broken)]) == 0
    assert "metrics.jsonl has other lines than it had then" in capsys.readouterr().out
    assert_equal(load(broken), straight())


def test_results_without_a_checkpoint_are_kept(straight, tmp_path):
    shutil.copytree(straight().path, tmp_path / "run", ignore=shutil.ignore_patterns("state_*"))
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(Fault, match="has results and no checkpoint to go on from; nothing was changed"):
        maxent_jax.resume(tmp_path / "run", steps=960)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    assert maxent_jax.resume(tmp_path / "run").summary  # finished, so that nothing is needed


def test_names_lead_nowhere_else(broken, tmp_path, straight):
    """Links, and a manifest that names files outside."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (broken / "checkpoints" / "state_000000_000009").symlink_to(tmp_path / "elsewhere")
    state = broken / "checkpoints" / "state_000000_000002"
    manifest = state / "part_0000" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"]["../../../../elsewhere/kept"] = [0, "0"]
    manifest.write_text(json.dumps(content))
    whole = json.loads((state / "manifest.json").read_text())
    whole["parts"] = [hashlib.sha256(manifest.read_bytes()).hexdigest()]
    forge(state, json.dumps(whole).encode())
    assert_equal(maxent_jax.resume(broken), straight())
    assert (tmp_path / "elsewhere" / "kept").exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"schema": 1, "agent": 3}', b"[" * 100_000, pickle.dumps(Trap())]
)
def test_a_config_that_is_none_is_one_line(content, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(content)
    for command in ("resume", "status"):
        assert cli.main([command, "run"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "config.json cannot be read" in line
    assert os.listdir(tmp_path / "run") == ["config.json"]
    assert not (tmp_path / "sprung").exists()
