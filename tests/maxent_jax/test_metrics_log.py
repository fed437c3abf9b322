import hashlib

import pytest

from maxent_jax import checkpoints
from maxent_jax.metrics_log import MetricsLog


def test_lines_are_there_at_once_and_counted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        for end, text in ((4, "a\nb\n"), (6, "c\n")):
            log.write(text)
            assert (log.size, path.stat().st_size) == (end, end)
            assert log.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
            assert log.checksum == checkpoints.prefix_checksum(path, end)


def test_what_follows_is_cut_off_and_the_checksum_goes_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("a\nb\nhalf a li")
    with MetricsLog(path, 4) as log:
        log.write("c\n")
        assert path.read_text() == "a\nb\nc\n"
        assert log.checksum == hashlib.sha256(b"a\nb\nc\n").hexdigest()


def test_a_beginning_empties_the_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("old\n")
    with MetricsLog(path):
        assert path.read_text() == ""


def test_a_full_disk_leaves_whole_lines(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.write("a\n")

        class Half:
            """Takes half of what it is given, as a full disk does."""

            def __init__(self, file):
                self.file = file

            def write(self, data):
                return self.file.write(data[: len(data) // 2])

            def __getattr__(self, name):
                return getattr(self.file, name)

        log._file = Half(log._file)
        with pytest.raises(OSError, match="No space left"):
            log.write("bbbb\n")
        assert (tmp_path / "metrics.jsonl").read_text() == "a\n"
        assert log.size == 2


@pytest.mark.parametrize("vanish", [lambda path: path.unlink(), lambda path: path.rename(path.with_name("x"))])
def test_a_file_that_is_not_there_any_more_is_no_place_to_write(vanish, tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        vanish(tmp_path / "metrics.jsonl")
        with pytest.raises(FileNotFoundError):
            log.write("a\n")


@pytest.mark.parametrize(("size", "content"), [(3, "abc"), (2, "ab"), (0, "")])
def test_prefix_checksum(size, content, tmp_path):
    (tmp_path / "file").write_text("abcd")
    assert checkpoints.prefix_checksum(tmp_path / "file", size) == hashlib.sha256(content.encode()).hexdigest()


def test_a_file_that_is_too_short_has_no_prefix(tmp_path):
    (tmp_path / "file").write_text("abcd")
    assert checkpoints.prefix_checksum(tmp_path / "file", 5) == ""
    assert checkpoints.prefix_checksum(tmp_path / "none", 5) == ""
