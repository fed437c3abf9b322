"""An interrupted run ends in the same numbers as one that was left alone; what cannot go on is said, and stays."""

import hashlib
import json
import os
import pickle
import shutil
import signal

import compilations
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs_compared
import stubs
import tiny

import maxent_jax
from envs import fields
from envs.fields import InvalidSetting
from maxent_jax import api, arrays, checkpoints, cli, interrupts, jobs, locks, memory, resuming, runs
from maxent_jax.faults import Fault
from maxent_jax.metrics_log import MetricsLog
from maxent_jax.progress import Reporter
from maxent_jax.result import load

assert_equal = runs_compared.assert_equal_runs
pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

CALL = {"seeds": 2, "steps": 96, "evaluations": 3, "checkpoint_every": 1}


@flax.struct.dataclass
class Counted(stubs.Counting):
    """A user's own agent; its state is how often it was updated."""

    def log_prob(self, state, obs, action):
        return jnp.zeros(obs.shape[:-1])


class Killed(BaseException):
    """What stands for the end of a process here; tests/benchmarks/test_kill.py ends real ones."""


def train(out, agent="sac", **options):
    return maxent_jax.train(agent, "toy", **CALL | {"agent_fields": tiny.FIELDS[agent], "out": out} | options)


def killed(out, chunks, agent="sac", call=train, **options):
    """A training that ends without a word after so many chunks of this process."""
    shown = []

    def chunk(self, program, chunk):
        shown.append(chunk.index)
        if len(shown) == chunks:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "chunk", chunk)
        with pytest.raises(Killed):
            call(out, **({"agent": agent} if call is train else {}), **options)
    return shown


@pytest.fixture(scope="module")
def straight(tmp_path_factory, quick_compile, no_figures):
    """Runs that were left alone, by agent."""
    made = {}

    def of(agent="sac", **options):
        key = (agent, json.dumps(options, sort_keys=True))
        if key not in made:
            made[key] = train(tmp_path_factory.mktemp("straight") / "run", agent, **options)
        return made[key]

    return of


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory, quick_compile, no_figures):
    path = tmp_path_factory.mktemp("broken") / "run"
    killed(path, 3)
    return path


@pytest.fixture
def broken(broken_once, tmp_path):
    """A run that was killed after its chunk 2 of 3, with checkpoints after chunks 1 and 2."""
    shutil.copytree(broken_once, tmp_path / "run")
    assert checkpoints.names(tmp_path / "run") == ["state_000000_000001", "state_000000_000002"]
    return tmp_path / "run"


@pytest.mark.parametrize(
    "agent", [pytest.param(name, marks=[pytest.mark.slow] * (name != "sac")) for name in tiny.FIELDS]
)
def test_a_killed_run_ends_in_the_same_numbers(agent, straight, tmp_path):
    killed(tmp_path / "run", 2, agent)
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight(agent))


def test_the_whole_state_is_the_same_in_the_end(straight, tmp_path):
    killed(tmp_path / "run", 2)
    maxent_jax.resume(tmp_path / "run")
    (program,) = api.prepare("sac", "toy", **CALL, agent_fields=tiny.FIELDS["sac"], out=tmp_path / "x").sweep.programs
    states = []
    for path in (tmp_path / "run", straight().path):
        place, notes = checkpoints.newest(path)
        assert place is not None
        assert (place.chunk, notes) == (3, [])
        states.append(checkpoints.load(path, place, memory.shapes(program)))
    plain = [jax.tree.map(lambda x: jax.random.key_data(x) if x.dtype.name.startswith("key") else x, s) for s in states]
    jax.tree.map(np.testing.assert_array_equal, *plain)
    assert np.any(np.asarray(plain[0][0].rows))


def test_resumed_and_killed_again_and_again(straight, tmp_path):
    killed(tmp_path / "run", 1)
    killed(tmp_path / "run", 1, call=maxent_jax.resume)
    assert load(tmp_path / "run").agent_state(1) is not None  # of the run in flight
    killed(tmp_path / "run", 1, call=maxent_jax.resume)
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_sweep_goes_on_in_the_program_that_was_cut_off(straight, tmp_path):
    grid = {"hidden": ((8,), (4,)), "alpha": (0.1, 0.3)}
    killed(tmp_path / "run", 6, grid=grid)  # the second chunk of the second program
    with compilations.heard() as compiled:
        result = train(tmp_path / "run", grid=grid, resume=True)
    assert compiled.count("train") == 1  # the first program is not touched again
    assert_equal(result, straight(grid=grid))
    with pytest.raises(InvalidSetting, match=r"steps = 200: must be 96, .* of them only agents are kept"):
        maxent_jax.resume(tmp_path / "run", steps=200)


def test_lines_after_the_checkpoint_are_written_anew(straight, tmp_path):
    killed(tmp_path / "run", 3, checkpoint_every=2)  # saved after chunk 0 and chunk 2
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"run": 0, "se')
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_run_without_a_checkpoint_starts_from_the_beginning(straight, tmp_path, capsys):
    killed(tmp_path / "run", 2)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert cli.main(["resume", str(tmp_path / "run")]) == 0
    assert "starts from the beginning: no checkpoint yet" in capsys.readouterr().out
    assert_equal(load(tmp_path / "run"), straight())


def test_a_run_without_a_config_is_begun_by_resume_option_only(straight, tmp_path, capsys):
    (tmp_path / "run" / "figures").mkdir(parents=True)
    (tmp_path / "run" / "config.part").write_text("{")
    assert cli.main(["resume", str(tmp_path / "run")]) == 2
    assert "has no config.json, which says what to train; must be begun by" in capsys.readouterr().err
    assert_equal(train(tmp_path / "run", resume=True), straight())


def test_a_folder_of_something_else_is_not_begun(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(InvalidSetting, match="the folder is not empty"):
        train(tmp_path / "run", resume=True)


def test_a_finished_run_stays_as_it_is(straight, capsys):
    path = straight().path
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    with compilations.heard() as compiled:
        assert cli.main(["resume", str(path)]) == 0
        train(path, resume=True)
    assert "finished already; nothing to do" in capsys.readouterr().out
    assert compiled == []
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*") if file != path} == {
        file: time for file, time in before.items() if file != path
    }


@pytest.mark.parametrize("buffer", [64, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_prolonged_run_is_one_that_was_begun_with_more_steps(buffer, straight, tmp_path):
    """The buffer of 1000 is cut to the steps of the run and grows; that of 64 is a ring all along."""
    own = {"agent_fields": tiny.FIELDS["sac"] | {"buffer_size": buffer}}
    train(tmp_path / "run", **own)
    killed(tmp_path / "run", 1, call=maxent_jax.resume, steps=192)
    result = maxent_jax.resume(tmp_path / "run")
    longer = straight(**own, steps=192, evaluations=6)
    assert (result.config["steps"], result.config["prolonged_from"]) == (192, 96)
    assert_equal(result, longer)
    assert_equal(train(tmp_path / "run", **own, resume=True), longer)  # the first command again: nothing to do
    with pytest.raises(InvalidSetting, match=r"steps = 128: must be >= 192, which '.*run' was started with"):
        maxent_jax.resume(tmp_path / "run", steps=128)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"agent_fields": tiny.FIELDS["sac"] | {"alpha": 0.7}},
            r"agent\.alpha = 0\.7: must be [\d.]+, which '.*run' was started with",
        ),
        ({"env_fields": {"reward_hit": 3.0}}, r"env\.reward_hit = 3\.0: must be "),
        ({"seeds": 3}, r"seeds = \[0, 1, 2\]: must be \[0, 1\], which"),
        ({"envs": 2}, r"envs = 2: must be 1, which"),
        ({"evaluations": 4}, r"evaluations = 4: must be 3, which"),
        ({"grid": {"alpha": (0.1, 0.2)}}, r"grid alpha = \[0\.1, 0\.2\]: must be None, which"),
        ({"steps": 32}, r"steps = 32: must be >= 96, which"),
        ({"agent": "ppo", "agent_fields": {}}, r"agent = 'ppo': must be 'sac', which"),
    ],
)
def test_other_settings_are_refused_and_named(options, line, broken):
    before = {file: file.stat().st_mtime_ns for file in broken.rglob("*")}
    with pytest.raises(InvalidSetting, match=line):
        train(broken, resume=True, **options)
    assert {file: file.stat().st_mtime_ns for file in broken.rglob("*")} == before


def test_an_option_to_resume_needs_a_directory():
    with pytest.raises(InvalidSetting, match="resume = true: needs out, the run directory to go on with"):
        train(None, resume=True)


def test_other_versions_are_a_warning_and_are_kept(broken, straight, capsys):
    config = json.loads((broken / "config.json").read_text())
    config["versions"] |= {"jax": "0.0.1", "code": "abc"}
    (broken / "config.json").write_text(json.dumps(config | {"device": "abacus"}))
    assert cli.main(["resume", str(broken)]) == 0
    out = capsys.readouterr().out
    assert f"warning: not as it was started: jax {jax.__version__} (0.0.1), code {runs.code()} (abc), device" in out
    result = load(broken)
    assert result.config["continued_with"][0]["versions"] == runs.versions()
    assert_equal(result, straight())


def without(directory, side, field):
    """As an older version would have left it, which did not know the field."""
    config = json.loads((directory / "config.json").read_text())
    del config[side][field]
    (directory / "config.json").write_text(json.dumps(config))


def test_a_field_that_is_new_is_a_warning_where_it_stands_at_its_default(broken, straight, capsys):
    without(broken, "agent_fields", "auto_alpha")
    without(broken, "env_fields", "reward_hit")
    assert cli.main(["resume", str(broken)]) == 0
    told = "warning: started before there was agent.auto_alpha = False, env.reward_hit = "
    assert told in capsys.readouterr().out
    assert_equal(load(broken), straight())
    assert load(broken).config["agent_fields"] == straight().config["agent_fields"]


def test_a_field_that_is_new_is_refused_where_it_does_not_stand_at_its_default(broken):
    without(broken, "agent_fields", "batch_size")
    with pytest.raises(InvalidSetting, match=r"agent\.batch_size = 8: must be 256, which '.*run' was started with"):
        train(broken, resume=True)


def test_a_grid_in_another_order_is_refused():
    """Its order numbers the configurations."""
    grid = {"alpha": [0.1, 0.2], "gamma": [0.9, 0.99]}
    started = dict.fromkeys(resuming.SAME) | {"agent_fields": {}, "env_fields": {}, "grid": grid}
    resuming.check_same("x", started, started)
    other = started | {"grid": dict(reversed(grid.items()))}
    with pytest.raises(
        InvalidSetting, match=r"grid's order = \['gamma', 'alpha'\]: must be \['alpha', 'gamma'\], which"
    ):
        resuming.check_same("x", started, other)


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


@pytest.mark.parametrize("at", ["metrics", "checkpoint"])
def test_a_full_disk_stops_after_the_chunk_and_the_run_goes_on_later(at, tmp_path, straight, monkeypatch, capsys):
    def full(*arguments):
        seen.append(arguments)
        if len(seen) > 2:
            raise OSError(28, "No space left on device")
        return whole(*arguments)

    seen = []
    owner, name = {"metrics": (MetricsLog, "write"), "checkpoint": (checkpoints, "save")}[at]
    whole = getattr(owner, name)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(Fault, match=r"stopped, for .*No space left on device.*; `maxent-jax resume .*` goes on"):
            train(tmp_path / "run")
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_disk_that_is_full_at_the_end_is_one_line(broken, straight, monkeypatch, capsys):
    whole = arrays.write

    def full(path, tree):
        if "program_0" in str(path):
            raise ValueError("RESOURCE_EXHAUSTED: Failed to write:\nNo space left on device")
        whole(path, tree)

    with monkeypatch.context() as patch:
        patch.setattr(arrays, "write", full)
        assert cli.main(["resume", str(broken)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "stopped, for checkpoint program_0 cannot be written (RESOURCE_EXHAUSTED: Failed to write: No space" in line
    assert_equal(maxent_jax.resume(broken), straight())


def test_a_vanished_folder_stops_after_the_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(Reporter, "chunk", lambda *_: shutil.rmtree(tmp_path / "run", ignore_errors=True))
    with pytest.raises(Fault, match=r"stopped, for .*(No such file|was replaced)"):
        train(tmp_path / "run")


def test_metrics_that_cannot_be_written_are_one_line(broken, monkeypatch, capsys, straight):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "MetricsLog", refuse)
        assert cli.main(["resume", str(broken)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "stopped, for it cannot be written (Permission denied)" in line
    assert_equal(maxent_jax.resume(broken), straight())


def test_a_second_process_is_refused(broken, straight):
    with locks.hold(broken), pytest.raises(Fault, match=rf"process {os.getpid()} on .* writes it"):
        maxent_jax.resume(broken)
    (broken / "lock").write_text('{"pid": 1, "host": "gone"}')  # of a process that was killed
    assert_equal(maxent_jax.resume(broken), straight())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_after_the_chunk_and_exits(number, code, tmp_path, straight, monkeypatch, capsys):
    def chunk(self, program, chunk):
        if chunk.index == 1:
            signal.raise_signal(number)

    words = f"train sac --env toy --seeds 2 --steps 96 --evaluations 3 --checkpoint-every 100 --out {tmp_path}/run"
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "chunk", chunk)
        assert cli.main([*words.split(), *tiny.flags(tiny.FIELDS["sac"])]) == code
    out = capsys.readouterr().out
    assert "ending after the chunk in flight; Ctrl-C again ends at once; expected within " in out
    assert checkpoints.names(tmp_path / "run")[-1] == "state_000000_000001"
    assert_equal(maxent_jax.resume(tmp_path / "run"), straight())


def test_a_signal_while_compiling_a_resumed_run_loses_nothing(broken, straight, monkeypatch):
    compile_now = jobs.Compiled

    def compile_slowly(program):
        signal.raise_signal(signal.SIGTERM)
        return compile_now(program)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "Compiled", compile_slowly)
        with pytest.raises(interrupts.Interrupted) as stop:
            maxent_jax.resume(broken)
    assert stop.value.code == 143
    assert stop.value.result.agent_state(0) is not None
    assert_equal(maxent_jax.resume(broken), straight())


@pytest.mark.parametrize(
    ("program", "awaited", "chunks"), [(0, "compiling and the first chunk", 1), (1, "compiling", 4)]
)
def test_a_signal_while_a_program_compiles_begins_it_only_where_nothing_is_there(
    program, awaited, chunks, tmp_path, straight, monkeypatch, capsys
):
    compile_now, seen = jobs.Compiled, []

    def compile_slowly(compiled):
        if len(seen) == program:
            signal.raise_signal(signal.SIGTERM)
        seen.append(compiled)
        return compile_now(compiled)

    words = "sweep sac --env toy --seeds 2 --steps 96 --evaluations 3 --checkpoint-every 1"
    grid = ["--grid=hidden=8;4", "--grid=alpha=0.1,0.3"]
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "Compiled", compile_slowly)
        out = ["--out", str(tmp_path / "run")]
        assert cli.main([*words.split(), *tiny.flags(tiny.FIELDS["sac"]), *grid, *out]) == 143
    said = f"ending after {awaited}; Ctrl-C again ends at once; how long that takes is not known yet"
    assert said in capsys.readouterr().out
    assert len(runs_compared.lines(tmp_path / "run")) == 4 * chunks
    result = maxent_jax.resume(tmp_path / "run")
    assert_equal(result, straight(grid={"hidden": ((8,), (4,)), "alpha": (0.1, 0.3)}))


def test_own_agent_and_own_task(tmp_path):
    agent, env = fields.build(Counted, {"batch_size": 4}), fields.build(stubs.Walk, {"horizon": 3})

    def begin(out):
        return maxent_jax.train(agent, env, steps=60, evaluations=3, checkpoint_every=1, out=out)

    killed(tmp_path / "run", 2, call=begin)
    result = maxent_jax.resume(tmp_path / "run", agent=agent, env=env)
    assert result.agent_state(0) == 60
    whole = begin(tmp_path / "whole")
    assert runs_compared.lines(result.path) == runs_compared.lines(whole.path)


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


def test_first_steps_are_those_before_any_prolonging():
    assert resuming.first_steps({"steps": 5}) == 5
    assert resuming.first_steps({"steps": 9, "prolonged_from": 5}) == 5
