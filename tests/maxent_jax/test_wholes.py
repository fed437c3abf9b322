"""Folders that several processes write; threads stand for processes."""

import json
import subprocess
import threading

import pytest

from maxent_jax import wholes


def put(name, content=b"abc"):
    return lambda part: (part / name).write_bytes(content)


def together(path, parts=3):
    """All parts, the first one's beginning last but one: what it waits for comes later."""
    writers = [
        threading.Thread(target=wholes.write, args=(path, put("x", bytes([i])), {"kind": "test"}, i, parts, {"i": i}))
        for i in range(parts)
    ]
    for writer in writers[1:-1]:
        writer.start()
    writers[0].start()
    assert not path.exists()
    writers[-1].start()
    for writer in writers:
        writer.join(30)


def test_a_folder_is_there_when_all_its_parts_are(tmp_path):
    path = tmp_path / "folder" / "whole"
    together(path)
    wholes.check(path)
    assert wholes.manifest(path)["kind"] == "test"
    assert [about["i"] for about in wholes.parts(path)] == [0, 1, 2]
    assert [(path / f"part_000{i}" / "x").read_bytes() for i in range(3)] == [b"\0", b"\1", b"\2"]
    assert [entry.name for entry in path.parent.iterdir()] == ["whole"]
    done = subprocess.run(["sha256sum", "--check", "manifest.sha256"], cwd=path, capture_output=True, check=False)
    assert done.returncode == 0  # the checksum is one that other tools read


def test_a_part_that_never_comes_is_waited_for_until_told_not_to(tmp_path):
    path, stop = tmp_path / "whole", threading.Event()
    errors = []

    def first():
        try:
            wholes.write(path, put("x"), {}, 0, 2, stop=stop)
        except InterruptedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=first)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    stop.set()
    thread.join(30)
    assert errors == ["part_0001 is missing"]
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_takes_the_place_of_the_old_and_of_a_draft(tmp_path):
    path = tmp_path / "whole"
    wholes.write(path, put("x", b"old"), {})
    (tmp_path / "whole.part" / "part_0000").mkdir(parents=True)
    assert [draft.name for draft in wholes.drafts(tmp_path)] == ["whole.part"]
    wholes.write(path, put("y", b"new"), {})
    wholes.check(path)
    assert {file for file in wholes.files(path) if file.startswith("part")} == {
        "part_0000/y",
        "part_0000/manifest.json",
    }


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "whole"
    wholes.write(path, put("x", b"old"), {})

    def fail(part):
        (part / "x").write_bytes(b"half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        wholes.write(path, fail, {})
    wholes.check(path)
    assert (path / "part_0000" / "x").read_bytes() == b"old"
    assert wholes.drafts(tmp_path) == []


def test_every_flipped_bit_is_seen(tmp_path):
    path = tmp_path / "whole"
    wholes.write(path, put("x"), {"a": 1}, own={"b": 2})
    for file in wholes.files(path).values():
        data = file.read_bytes()
        for at in range(len(data)):
            file.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            with pytest.raises(ValueError, match=r"has other bytes than were written|cannot be read"):
                wholes.check(path)
        file.write_bytes(data)
    wholes.check(path)


def test_links_are_not_followed(tmp_path):
    path = tmp_path / "whole"
    wholes.write(path, put("x"), {})
    (tmp_path / "outside").write_bytes(b"abc")  # the very bytes
    (path / "part_0000" / "x").unlink()
    (path / "part_0000" / "x").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="part_0000/x is missing"):
        wholes.check(path)
    (path / "manifest.json").rename(tmp_path / "manifest.json")
    (path / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(OSError, match="symbolic link"):
        wholes.manifest(path)


def test_only_what_is_asked_for_is_read(tmp_path):
    def fill(part):
        for name in ("large", "small"):
            (part / name).mkdir()
            (part / name / "x").write_bytes(b"abc")

    path = tmp_path / "whole"
    wholes.write(path, fill, {})
    (path / "part_0000" / "large" / "x").write_bytes(b"abd")
    wholes.check(path, inside="small/")
    with pytest.raises(ValueError, match="part_0000/large/x has other bytes"):
        wholes.check(path)


@pytest.mark.parametrize("text", ["[]", "{", "null", "[" * 100_000, "\0"], ids=range(5))
def test_what_is_no_manifest_is_refused_though_its_checksum_fits(text, tmp_path):
    path = tmp_path / "whole"
    wholes.write(path, put("x"), {})
    (path / "manifest.json").write_text(text)
    (path / "manifest.sha256").write_text(f"{wholes.checksum(path / 'manifest.json')}  manifest.json\n")
    with pytest.raises(wholes.SPOILT, match=r"manifest.json cannot be read"):
        wholes.check(path)


def test_names_in_a_manifest_are_never_opened(tmp_path):
    path = tmp_path / "whole"
    wholes.write(path, put("x"), {})
    (tmp_path / "outside").write_bytes(b"abc")
    part = path / "part_0000" / "manifest.json"
    about = json.loads(part.read_text())
    about["files"]["../../outside"] = about["files"]["x"]
    part.write_text(json.dumps(about))
    whole = json.dumps({"parts": [wholes.checksum(part)]})
    (path / "manifest.json").write_text(whole)
    (path / "manifest.sha256").write_text(f"{wholes.checksum(path / 'manifest.json')}  manifest.json\n")
    with pytest.raises(ValueError, match="outside is missing"):
        wholes.check(path)
