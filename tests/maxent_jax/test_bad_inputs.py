"""Generated bad inputs, given to the command line: each is refused by a line that names the cause; nothing happens."""

import copy
import dataclasses
import hashlib
import io
import json
import os
import pickle
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import bad_inputs
import commands
import jax
import made_runs
import numpy as np
import pytest
import tiny

from benchmarks import registry
from maxent_jax import api, checkpoints, cli, jobs, plots, runs, submit, wholes
from maxent_jax.compiled import Chunk
from maxent_jax.faults import Fault
from maxent_jax.result import load

OPTIONS = {"agent_fields": tiny.FIELDS["sac"], "grid": {"alpha": (0.1, 0.2)}}


class Accepted(AssertionError):
    """An input was not refused."""


def write(job):
    """`config.json` and `metrics.jsonl` as `sweep` writes them; nothing is trained."""
    (program,) = job.sweep.programs
    members = len(program.runs)
    metrics = {name: np.zeros(members, np.float32) for name in (*runs.EPISODES, *runs.METRICS)}
    lost = np.arange(members) % 2
    metrics |= {"failed_step": np.where(lost, 7, -1), "failed_cause": lost}
    plan = program.schedule
    steps = [plan.envs * plan.prefill + index * plan.chunk_steps for index in range(plan.chunks + 1)]
    chunks = [Chunk(index, count, count, 1.0, metrics) for index, count in enumerate(steps)]
    lines = [line for chunk in chunks for line in runs.metric_lines(program, chunk, 1.0)]
    job.out.mkdir(parents=True)
    (job.out / "config.json").write_text(json.dumps(job.config))
    (job.out / "metrics.jsonl").write_text("".join(map(runs.to_line, lines)))
    return job.out


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run directory that lacks checkpoints; beside it, in `shards`, two finished shards that lack nothing."""
    folder = tmp_path_factory.mktemp("written")
    for shard in ("1/2", "2/2"):
        job = api.prepare("sac", "toy", **tiny.RUNS, **OPTIONS, out=folder / "shards", shard=shard)
        made_runs.with_agents(write(job))
        runs.write_json(job.out / "summary.json", {"complete": True})
    return write(api.prepare("sac", "toy", **tiny.RUNS, **OPTIONS, out=folder / "run"))


def contents(place):
    """Every path, and of files what can be known without reading them."""
    paths = [Path(folder) / name for folder, folders, files in os.walk(place) for name in (*folders, *files)]
    return {str(path): None if path.is_dir() else (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths}


@pytest.fixture
def harmless(monkeypatch):
    """Where an input is not refused nothing is trained, measured or drawn: it is told."""

    def accepted(*_, **__):
        raise Accepted

    ends = [(jobs, "Compiled"), (registry, "run"), (jax.distributed, "initialize")]
    for owner, name in [*ends, (submit, "slurm"), (submit, "attend")]:
        monkeypatch.setattr(owner, name, accepted)
    for name in ("curves", "landscape"):
        monkeypatch.setattr(plots, name, lambda *_, **__: None)


def refused(number, written, place, monkeypatch):
    words, named, may_do = bad_inputs.case(number, written, place)
    monkeypatch.chdir(place)
    before = contents(place)
    err = io.StringIO()
    try:
        with redirect_stderr(err), redirect_stdout(io.StringIO()):
            code = cli.main(words)
    except Accepted:
        assert may_do, (number, words)
        return
    check(number, words, named, may_do, code, err.getvalue())
    assert code == 0 or contents(place) == before, (number, words)


def check(number, words, named, may_do, code, err):
    about = (number, words, named, code, err)
    assert "Traceback" not in err, about
    if may_do and code == 0:
        return
    assert code in (1, 2), about
    last = err.strip().splitlines()[-1]
    assert last.startswith("maxent-jax: "), about
    assert any(name in last for name in named), about


def test_every_command_and_option_is_drawn_from():
    drawn = {name: {field.name for field in bad_inputs.command(name)[1]} for name in cli.COMMANDS}
    assert drawn["train"] >= {"env", "seeds", "steps", "out", "shard", "distributed", "resume", "wandb"}
    assert drawn["sweep"] >= {"grid"}
    assert drawn["submit"] >= {"cluster", "shards", "gpus", "watch"}
    assert {name for name, own in drawn.items() if not own} <= {"compare"}


@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize("part", range(4))
def test_bad_inputs_are_refused(part, written, tmp_path, monkeypatch):
    for number in range(50 * part, 50 * (part + 1)):
        refused(number, written, tmp_path / "here", monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize("part", range(9))
def test_many_bad_inputs_are_refused(part, written, tmp_path, monkeypatch):
    for number in range(200 * (part + 1), 200 * (part + 2)):
        refused(number, written, tmp_path / "here", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_bad_inputs_to_a_process_of_its_own(number, written, tmp_path):
    place = tmp_path / "here"
    words, named, may_do = bad_inputs.case(3000 + 7 * number, written, place)
    words = [word.replace("\0", "?").encode("utf-8", "surrogateescape") for word in words]
    before = contents(place)
    process = commands.start(words, place)
    _, err = process.communicate(timeout=100)
    check(number, words, named, may_do, process.returncode, err)
    assert process.returncode == 0 or contents(place) == before


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


ORBAX = (
    "_METADATA",
    "_CHECKPOINT_METADATA",
    "manifest.ocdbt",
    "_sharding",
    "array_metadatas",
    "state.pkl",
    "d",
    "0000",
)
"""All that a tree of arrays is read from."""


def test_a_pickle_in_a_run_directory_is_never_loaded(written, tmp_path, monkeypatch, capsys):
    place, trap = tmp_path / "here", tmp_path / "sprung"
    bomb = pickle.dumps(Bomb(trap))
    pickle.loads(bomb).close()  # the premise
    assert trap.exists()
    trap.unlink()
    for name in ("config.json", "metrics.jsonl", "checkpoints/program_0", "summary.json", "lock"):
        bad_inputs.case(0, written, place)
        path = place / "damaged" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bomb)
        monkeypatch.chdir(place)
        assert cli.main(["landscape", "damaged", "--out=x.png"]) in (1, 2)
        assert cli.main(["status", "damaged"]) == (1 if name == "config.json" else 0)

    # checkpoints whose checksums fit, so that what is in them is read

    def fill(part):
        for folder in ("agents", "rest"):
            (part / folder).mkdir()
            for name in ORBAX:
                (part / folder / name).write_bytes(bomb)

    bad_inputs.case(0, written, place)
    monkeypatch.chdir(place)
    metrics = (place / "damaged" / "metrics.jsonl").read_bytes()
    at = checkpoints.Place(0, 1, len(metrics), hashlib.sha256(metrics).hexdigest(), 1.0)
    own = {"first": 0, "count": 6}
    folder = place / "damaged" / "checkpoints"
    wholes.write(folder / "program_0", fill, {"schema": checkpoints.SCHEMA}, own=own)
    wholes.write(folder / at.name, fill, {"schema": checkpoints.SCHEMA, **dataclasses.asdict(at)}, own=own)
    capsys.readouterr()
    asked = {"landscape damaged --out=x.png": "program_0 cannot be read", "resume damaged": "is of another program"}
    for words, told in asked.items():
        assert cli.main(words.split()) == 1
        assert told in capsys.readouterr().err
    assert not trap.exists()


@pytest.mark.parametrize(
    "path", [("runs", 0, "program"), ("runs", 0, "run"), ("runs", 0, "configuration"), ("agent",), ("env",)]
)
def test_names_in_a_run_directory_lead_nowhere_else(path, written, tmp_path):
    """Were it used as a path, `../../x` would be found: what it names is there."""
    shutil.copytree(written, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "program_..").mkdir(parents=True)
    shutil.copytree(written, tmp_path / "x")
    config = copy.deepcopy(json.loads((written / "config.json").read_text()))
    *most, last = path
    inner = config
    for key in most:
        inner = inner[key]
    inner[last] = "../../x"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(Fault):
        load(tmp_path / "run")


def test_a_directory_without_damage_is_read(written, tmp_path):
    """The premise of the rest: it is the damage that is refused."""
    result = load(written)
    assert result.summary["configurations"][0]["seeds"] == [0, 1, 2]
    assert [entry["run"] for entry in result.failures()] == [1, 3, 5]
