import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from maxent_jax import locks
from maxent_jax.faults import Fault

HOLD = """
import sys, time
from pathlib import Path
from maxent_jax import locks
with locks.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_one_holder_who_is_named_and_leaves_nothing(tmp_path):
    assert locks.holder(tmp_path) == ""
    with locks.hold(tmp_path) as before:
        assert before == ""
        assert json.loads((tmp_path / "lock").read_text()) == {"pid": os.getpid(), "host": socket.gethostname()}
        assert locks.holder(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"
        with (
            pytest.raises(Fault, match=f"process {os.getpid()} on .* writes it; wait for its end"),
            locks.hold(tmp_path),
        ):
            pass
    assert os.listdir(tmp_path) == []


def test_processes_of_a_job_lock_a_file_each(tmp_path):
    with locks.hold(tmp_path, locks.name(0)), locks.hold(tmp_path, locks.name(2)):
        assert sorted(os.listdir(tmp_path)) == ["lock", "lock-2"]
        with pytest.raises(Fault), locks.hold(tmp_path, locks.name(2)):
            pass
    assert os.listdir(tmp_path) == []


def test_a_killed_holder_keeps_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Fault, match=f"process {process.pid} on "), locks.hold(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    assert locks.holder(tmp_path) == ""
    with locks.hold(tmp_path) as before:
        assert before == f"process {process.pid} on {socket.gethostname()}"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"pid": "x"}', b'{"pid": 1e999, "host": ""}'])
def test_a_file_that_says_nothing_is_no_obstacle(content, tmp_path):
    (tmp_path / "lock").write_bytes(content)
    with locks.hold(tmp_path) as before:
        assert before == ""


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def no_locks(request, monkeypatch):
    """Every disk is one without locks."""

    def refuse(*_):
        raise OSError(getattr(errno, request.param), "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(("pid", "free"), [(os.getpid(), False), (2**22 + 1, True)], ids=["alive", "gone"])
def test_on_a_disk_without_locks_the_file_decides(pid, free, tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"pid": pid, "host": socket.gethostname()}))
    if free:
        with locks.hold(tmp_path) as before:
            assert before.startswith(f"process {pid} ")
    else:
        with pytest.raises(Fault), locks.hold(tmp_path):
            pass


@pytest.mark.usefixtures("no_locks")
def test_on_a_disk_without_locks_one_of_another_host_stays(tmp_path):
    (tmp_path / "lock").write_text('{"pid": 7, "host": "elsewhere"}')
    told = f"process 7 on elsewhere may write it, .*; once that process has ended, remove '{tmp_path / 'lock'}'"
    with pytest.raises(Fault, match=told), locks.hold(tmp_path):
        pass
    assert locks.holder(tmp_path) == "process 7 on elsewhere"
    assert (tmp_path / "lock").exists()
    (tmp_path / "lock").unlink()
    with locks.hold(tmp_path) as before:
        assert before == ""


def test_who_looks_needs_no_file_that_is_open_for_writing(tmp_path, monkeypatch):
    """NFS gives an exclusive lock only to those that may write, a shared one to those that may read."""
    whole = fcntl.flock

    def flock(file, kind):
        if kind & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        whole(file, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.hold(tmp_path):
        (tmp_path / "lock").chmod(0o444)
        assert locks.holder(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"
    (tmp_path / "lock").write_text('{"pid": 7, "host": "elsewhere"}')
    assert locks.holder(tmp_path) == ""


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"), locks.hold(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
