"""Runs on many devices, in processes of their own: how many devices there are is settled before jax begins."""

import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from maxent_jax import devices
from maxent_jax.devices import _share

pytestmark = pytest.mark.usefixtures("quick_compile")

SCRIPT = Path(__file__).parents[1] / "helpers" / "spread_runs.py"
ROOT = Path(__file__).parents[2]


def start(out, runs, devices, *distributed):
    flags = f"--xla_force_host_platform_device_count={devices}"
    variables = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), str(out), str(runs), *map(str, distributed)]
    return subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def numbers(tmp_path, runs, devices):
    out = tmp_path / f"{runs}-{devices}.npz"
    finish(start(out, runs, devices))
    return np.load(out)


def assert_same(one, many, devices):
    assert int(many["devices"]) == devices
    assert int(many["collectives"]) == 0
    assert set(one.files) == set(many.files)
    for name in set(one.files) - {"devices", "collectives"}:
        assert one[name].shape == many[name].shape, name
        close = 1e-3 if "return" in name else 1e-5  # an episode of 200 steps amplifies rounding
        np.testing.assert_allclose(many[name], one[name], rtol=close, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("row", [[0], [0, 0, 1, 1], [0, 1, 2], [0, 0, 0, 1], [0] * 3 + [1] * 3 + [2] * 2])
@pytest.mark.parametrize("runs", range(1, 12))
def test_processes_share_the_runs_out_in_order(runs, row):
    """Counted one by one: devices in a row take equally many each, the last ones may have padding only."""
    shares = [_share(runs, row, process) for process in dict.fromkeys(row)]
    each = -(-runs // len(row))
    for process, own in enumerate(shares):
        places = [place for place in range(each * len(row)) if row[place // each] == process]
        real = [place for place in places if place < runs]
        assert own.count == len(real)
        assert list(own.needs) == sorted({min(place, runs - 1) for place in places})
        if real:
            assert own.first == real[0]
    holders = [own for own in shares if own.count]
    assert [own.part for own in holders] == list(range(len(holders)))
    assert {own.parts for own in shares} == {len(holders)}
    assert [place for own in holders for place in range(own.first, own.first + own.count)] == list(range(runs))


@pytest.mark.parametrize(
    ("runs", "count"), [(7, 2), *(pytest.param(runs, 8, marks=pytest.mark.slow) for runs in (1, 5, 8))]
)
def test_runs_on_many_devices_are_those_on_one_and_never_talk(runs, count, tmp_path):
    """Seven runs are four on each of two devices, one of them a copy, which are trained in turn there, not at once."""
    one, many = numbers(tmp_path, runs, 1), numbers(tmp_path, runs, count)
    assert_same(one, many, count)
    assert len(one["1 return_deterministic"]) == runs


@pytest.mark.slow
def test_two_processes_of_two_devices_are_one_process(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    parts = [start(tmp_path / f"part{i}.npz", 5, 2, i, 2, port) for i in range(2)]
    for part in parts:
        finish(part)
    one = numbers(tmp_path, 5, 1)
    for i in range(2):
        assert_same(one, np.load(tmp_path / f"part{i}.npz"), 4)


@pytest.mark.parametrize(
    ("runs", "own", "counts"),
    [(4, 4, [2, 2]), (5, 4, [3, 2]), (9, 4, [6, 3]), (1, 4, [1, 0]), (3, 1, [2, 1]), (16, 4, [8, 8]), (4, 4, [4])],
)
def test_runs_are_shared_out_evenly_among_processes_of_several_devices(runs, own, counts, monkeypatch):
    """By hand: 9 runs on 2 x 4 devices are 2 on each of 5, so that 3 devices of either process are taken."""
    local = lambda process: [types.SimpleNamespace(process_index=process, id=own * process + i) for i in range(own)]  # noqa: E731
    monkeypatch.setattr(jax, "local_devices", local)
    monkeypatch.setattr(jax, "process_count", lambda: len(counts))
    monkeypatch.setattr(jax, "device_count", lambda: own * len(counts))
    for process, count in enumerate(counts):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        assert devices.share(runs).count == count


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 5), ("150000 100000", 2), ("900000 100000", 5)])
def test_cores_are_no_more_than_a_containers_quota(quota, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(5)), raising=False)
    assert devices.cores(tmp_path) == 5
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert devices.cores(tmp_path) == expected


CORES = """
import os, jax
from maxent_jax import devices
os.sched_getaffinity = lambda process: {0, 3, 5}
devices.one_a_core()
print(jax.device_count(), [devices.padding(runs) for runs in range(1, 9)])
devices.one_a_core()  # too late for another number, and no error
"""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("", "3 [0, 0, 0, 0, 1, 0, 2, 1]"), ("--xla_force_host_platform_device_count=2", "2 [0, 0, 1, 0, 1, 0, 1, 0]")],
)
def test_a_core_is_a_device_unless_told_and_as_few_train_copies_as_can_be(flags, expected):
    """By hand: 4 runs are two on each of two devices, 7 are three each on three, two of them copies."""
    variables = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", CORES], env=variables, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == expected
