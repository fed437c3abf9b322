"""Compiled programs on disk: what a second start of a command saves, and where it must not matter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import tiny

import maxent_jax
from maxent_jax import cache

# The command line, and then how many programs came from the cache.
COUNTED = """
import sys
import jax.monitoring
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None)
from maxent_jax import cli
code = cli.main()
print("taken:", len(hits))
sys.exit(code)
"""
LINE = ["train", "sac", "--env", "toy", "--steps", "64", "--evaluations", "2"]
SMALL = tiny.FIELDS["sac"]
TIMES = ("elapsed_seconds", "env_steps_per_second", "updates_per_second")


def start(folder, out, *words, caches):
    """Train in a process of its own: how many programs were taken from the cache, stderr, and the metrics."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    # a threshold of its own, so that no program is just above it in one start and below it in the next
    env |= {"PYTHONPATH": str(Path(maxent_jax.__file__).parents[1]), "XDG_CACHE_HOME": str(caches)}
    env |= {"MPLCONFIGDIR": str(folder)}  # or it would keep its own things there
    env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-c", COUNTED, *LINE, *tiny.flags(SMALL), "--out", out, *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    lines = (folder / out / "metrics.jsonl").read_text().splitlines()
    metrics = [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]
    return int(done.stdout.rsplit("taken:", 1)[1]), done.stderr, metrics


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A first start, which keeps its programs."""
    folder = tmp_path_factory.mktemp("cached")
    return folder, start(folder, "kept", caches=folder / "a")


def test_a_second_start_takes_every_program_and_learns_the_same(first):
    folder, (taken, _, metrics) = first
    kept = sorted(folder.glob("a/maxent-jax/*/*-cache"))
    assert taken == 0
    assert any(file.name.startswith("jit_train-") for file in kept)
    taken, err, again = start(folder, "again", caches=folder / "a")
    assert taken >= len(kept)
    assert sorted(folder.glob("a/maxent-jax/*/*-cache")) == kept
    assert again == metrics
    assert err == ""


@pytest.mark.slow
def test_no_cache_writes_nothing_and_learns_the_same(first):
    folder, (_, _, metrics) = first
    taken, err, without = start(folder, "anew", "--no-cache", caches=folder / "b")
    assert taken == 0
    assert not (folder / "b").exists()
    assert without == metrics
    assert err == ""


def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    name = "jax_compilation_cache_dir"
    before = jax.config.values[name]
    try:
        jax.config.update(name, None)
        cache.use()
        assert jax.config.values[name] is None
    finally:
        jax.config.update(name, before)
    told = f"maxent-jax: compiled programs are not kept: '{tmp_path / 'file'}' cannot be written"
    assert capsys.readouterr().err.splitlines() == [told]


@pytest.mark.slow
def test_where_the_folder_cannot_be_written_a_run_learns_the_same(first, tmp_path):
    (tmp_path / "file").touch()
    _, err, metrics = start(tmp_path, "run", caches=tmp_path / "file")
    assert err.splitlines() == [f"maxent-jax: compiled programs are not kept: '{tmp_path / 'file'}' cannot be written"]
    assert metrics == first[1][2]


def test_another_processor_has_another_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machines = [("AMD EPYC", "avx2"), ("AMD EPYC", "avx2 avx512f"), ("Intel Xeon", "avx2")]
    folders = set()
    for machine in machines:
        monkeypatch.setattr(cache, "processor", lambda machine=machine: machine)
        folders.add(cache.folder())
    assert len(folders) == 3
    assert {path.parent for path in folders} == {tmp_path / "maxent-jax"}


@pytest.mark.parametrize(
    ("system", "below"), [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")]
)
def test_the_systems_own_cache_folder(system, below, monkeypatch, tmp_path):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    assert cache.folder().parents[1] == tmp_path / below


def test_the_oldest_programs_go(tmp_path):
    for age, name in enumerate(("c", "b", "a")):
        file = tmp_path / name / f"jit_{name}-cache"
        file.parent.mkdir()
        file.write_bytes(bytes(100))
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / "else").write_bytes(bytes(1000))
    cache.trim(tmp_path, 250)
    left = sorted(file.name for file in tmp_path.rglob("*") if file.is_file())
    assert left == ["else", "jit_b-cache", "jit_c-cache"]
