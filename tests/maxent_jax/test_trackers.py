import importlib.util
import io
import json
import os
import struct
import sys
import types

import pytest
import tiny
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event, SessionLog

from envs.fields import InvalidSetting
from maxent_jax import api, cli, trackers
from maxent_jax.progress import Reporter

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

LINE = {"run": 3, "seed": 7, "env_steps": 40, "updates": 20, "q_mean": 0.5, "entropy": None, "failed": None}
CONFIG = {"agent": "sac"}


def scalars(folder):
    """What TensorBoard shows of event files: (name, step, value) in order; records are length, crc, data, crc.

    A start hides what is there from its step on.
    """
    found = []
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            if event.session_log.status == SessionLog.START:
                found = [shown for shown in found if shown[1] < event.step]
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[16 + length :]
    return found


def written(path, run):
    """The same of metrics.jsonl."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [
        (name, line["env_steps"], pytest.approx(value, rel=1e-6))
        for line in lines
        if line["run"] == run
        for name, value in trackers.numbers(line).items()
    ]


class Stub:
    """A tracker that raises where it is told to."""

    def __init__(self, where, said):
        self.where, self.said = where, said

    def __call__(self, out, config):
        self._go("init")
        return self

    def log(self, line):
        self.said.append(line)
        self._go("log")

    def close(self):
        self.said.append("closed")
        self._go("close")

    def _go(self, place):
        if place == self.where:
            raise RuntimeError(f"no\nroute, {place}")


def train(out, names, console=None):
    job = api.prepare("sac", "toy", **tiny.RUNS, agent_fields=tiny.FIELDS["sac"], out=out, trackers=names)
    return api.execute(job, console)


def test_numbers_are_what_can_be_drawn():
    assert trackers.numbers(LINE) == {"updates": 20, "q_mean": 0.5}


def test_tensorboard_gets_what_metrics_jsonl_gets(tmp_path):
    result = train(tmp_path / "run", ("tensorboard",))
    for run in range(3):
        assert len(written(result.path, run)) > 20
        assert scalars(result.path / "tensorboard" / f"run_{run}") == written(result.path, run)


def test_tensorboard_shows_one_curve_after_a_resume(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def chunk(self, program, chunk):
        if chunk.index == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "chunk", chunk)
        with pytest.raises(Killed):
            train(tmp_path / "run", ("tensorboard",))
    before = scalars(tmp_path / "run" / "tensorboard" / "run_0")
    result = api.resume(tmp_path / "run", trackers=("tensorboard",))  # from an earlier chunk: some lines are cut
    for run in range(3):
        assert scalars(result.path / "tensorboard" / f"run_{run}") == written(result.path, run)
    assert [shown[:2] for shown in before] == [shown[:2] for shown in written(result.path, 0)]


def test_event_files_are_whole_after_every_line(tmp_path):
    tracker = trackers.TensorBoard(tmp_path, CONFIG)
    tracker.log(LINE)
    assert scalars(tmp_path / "tensorboard" / "run_3") == [("updates", 40, 20), ("q_mean", 40, 0.5)]
    tracker.close()


@pytest.mark.parametrize(("where", "seen"), [("init", 0), ("log", 1), ("close", 10)])
def test_a_tracker_that_fails_is_reported_once_and_stops_nothing(where, seen, tmp_path, monkeypatch):
    said = []
    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", Stub(where, said))
    console = Console(file=io.StringIO(), width=200)
    result = train(tmp_path / "run", ("tensorboard",), console)
    assert json.loads((result.path / "summary.json").read_text())["complete"]
    assert len(said) == seen  # three lines after each of three chunks, and the end
    shown = console.file.getvalue().splitlines()
    report = f"  tensorboard has failed and follows no longer: no route, {where}"
    assert [line for line in shown if "tensorboard" in line] == [report]
    assert (shown[-1] == report) == (where == "close")  # it is closed when all is written


def test_the_others_go_on_where_one_fails(tmp_path):
    said, reports = [], []
    broken, whole = Stub("log", []), Stub("", said)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trackers, "TRACKERS", {"broken": broken, "whole": whole})
        following = trackers.Following(("broken", "whole"), tmp_path, CONFIG, reports.append)
        following.log([LINE, LINE])
        following.log([LINE])
        following.close()
    assert said == [LINE, LINE, LINE, "closed"]
    assert len(broken.said) == len(reports) == 1


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_package_that_is_missing_is_one_line_and_nothing_is_written(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, trackers.PACKAGES[name], None)
    assert cli.main(["train", "sac", "--env", "toy", f"--{name}"]) == 2
    package = trackers.PACKAGES[name]
    expected = f"tracker '{name}': {package} is not installed; must be: pip install -e '.[{name}]'"
    assert capsys.readouterr().err.strip() == f"maxent-jax: {expected}"
    assert os.listdir() == []


def test_a_folder_named_as_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(trackers.PACKAGES, "wandb", "folder")
    with pytest.raises(InvalidSetting, match="folder is not installed"):
        trackers.check(("wandb",), 1)


def test_unknown_trackers_and_too_many_runs_are_refused():
    with pytest.raises(InvalidSetting, match="tracker 'tensorbord' is unknown; did you mean 'tensorboard'"):
        trackers.check(("tensorbord",), 1)
    with pytest.raises(InvalidSetting, match="tracker 'tensorboard': 101 runs; must be at most 100"):
        trackers.check(("tensorboard",), 101)
    assert trackers.check(("tensorboard", "tensorboard"), 100) == ("tensorboard",)


def test_flags_ask_for_trackers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = []
    monkeypatch.setattr("maxent_jax.api.execute", lambda job, console: jobs.append(job))
    assert cli.main(["train", "sac", "--env", "toy", "--tensorboard", "--steps", "10"]) == 0
    assert cli.main(["train", "sac", "--env", "toy"]) == 0
    assert [job.trackers for job in jobs] == [("tensorboard",), ()]


def logged(file):
    """What W&B keeps offline of metrics: a log of blocks of 32 KiB; its records are checksum, length, kind, data."""
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportMissingImports] - an extra

    data, at, parts, found = file.read_bytes(), 7, [], []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # what is left of a block has no room for a record
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record.FromString(b"".join(parts))
            parts = []
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            found += [{name: value for name, value in items.items() if name.startswith("run_")}] if items else []
    return found


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is an extra, and not installed")
def test_wandb_offline_keeps_what_metrics_jsonl_gets(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    reports = []
    following = trackers.Following(("wandb",), tmp_path, CONFIG, reports.append)
    following.log([LINE, LINE | {"run": 4}])
    following.log([LINE | {"env_steps": 80, "q_mean": 0.25}])
    following.close()
    assert reports == []
    sys.modules["wandb"].teardown()  # its own process has written all by then
    (file,) = tmp_path.glob(f"wandb/offline-run-*-{trackers._id(tmp_path / 'wandb')}/*.wandb")
    values = {"updates": 20, "q_mean": 0.5, "env_steps": 40}
    assert logged(file) == [
        {f"run_3/{name}": value for name, value in values.items()},
        {f"run_4/{name}": value for name, value in values.items()},
        {"run_3/updates": 20, "run_3/q_mean": 0.25, "run_3/env_steps": 80},
    ]


class Wandb:
    """The package, and its run: what it was told; `summary` is what its server knows of the run."""

    Settings = dict

    def __init__(self, summary=(), key=True, mode="online"):
        self.calls, self.summary, self.key = [], dict(summary), key
        self.settings = types.SimpleNamespace(mode=mode)

    def setup(self):
        return self

    def login(self, prompt, verify):
        assert (prompt, verify) == (False, False)  # nobody is asked, nothing is waited for
        return self.key

    def init(self, **options):
        self.options = options
        self.calls.append(("init", options["dir"], options["config"]))
        return self

    def define_metric(self, name, step_metric):
        self.calls.append((name, step_metric))

    def log(self, values):
        self.calls.append(values)

    def finish(self):
        self.calls.append("finish")


def follow(stub, out, monkeypatch, lines):
    """What is reported where W&B is this stub."""
    reports = []
    monkeypatch.setitem(sys.modules, "wandb", stub)
    following = trackers.Following(("wandb",), out, CONFIG, reports.append)
    following.log(lines)
    following.close()
    return reports


def test_wandb_is_told_each_run_over_its_own_steps(tmp_path, monkeypatch):
    stub = Wandb()
    assert follow(stub, tmp_path, monkeypatch, [LINE, LINE | {"env_steps": 80}]) == []
    values = {"run_3/updates": 20, "run_3/q_mean": 0.5, "run_3/env_steps": 40}
    start = [("init", str(tmp_path), CONFIG), ("run_3/*", "run_3/env_steps")]
    assert stub.calls == [*start, values, values | {"run_3/env_steps": 80}, "finish"]
    assert stub.options["settings"] == {"init_timeout": 20, "finish_timeout": 20}


def test_wandb_goes_on_with_the_same_run_and_hears_nothing_twice(tmp_path, monkeypatch):
    first, second = Wandb(), Wandb({"run_3/env_steps": 40})
    follow(first, tmp_path, monkeypatch, [LINE])
    follow(second, tmp_path, monkeypatch, [LINE, LINE | {"env_steps": 80}])
    assert first.options["id"] == second.options["id"]
    assert second.options["resume"] == "allow"
    assert [call["run_3/env_steps"] for call in second.calls if isinstance(call, dict)] == [80]


def test_wandb_without_a_key_asks_nobody(tmp_path, monkeypatch):
    stub = Wandb(key=False)
    (report,) = follow(stub, tmp_path, monkeypatch, [LINE])
    assert "wandb has failed and follows no longer: no API key; `wandb login` keeps one" in report
    assert stub.calls == []
    offline = Wandb(key=False, mode="offline")
    assert follow(offline, tmp_path, monkeypatch, [LINE]) == []
    assert len(offline.calls) == 4


def test_the_end_may_take_as_long_as_its_trackers(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "TRACKERS", dict.fromkeys(trackers.TRACKERS, Stub("", [])))
    for names, seconds in (((), 0), (("tensorboard",), 0), (("tensorboard", "wandb"), 20)):
        assert trackers.Following(names, tmp_path, CONFIG, print).patience == seconds
