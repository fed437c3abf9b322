import sys

import numpy as np
import pytest
import untrained
from PIL import Image
from stubs import Walk

import envs
from envs.fields import InvalidSetting, build
from maxent_jax import video, view
from maxent_jax.faults import Fault

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def results():
    return [untrained.result(agent) for agent in ("sac_adaent", "ppo")]


def test_a_film_has_one_frame_a_step_and_two_runs_stand_side_by_side(results, tmp_path):
    alone = video.film(results[:1], tmp_path / "alone.gif", flat=True)
    both = video.film(results, tmp_path / "both.gif", flat=True)
    for path, runs in ((alone, 1), (both, 2)):
        with Image.open(path) as film:
            assert film.n_frames == 2  # the toy's horizon
            assert film.info["duration"] == 250  # ms; its steps last longer
            assert film.size == (runs * view.SIZE[1], view.SIZE[0] + video.TRACES_HEIGHT)
            first = np.asarray(film.convert("RGB")).astype(int)
            film.seek(1)
            second = np.asarray(film.convert("RGB")).astype(int)
        assert np.abs(first - second)[: view.SIZE[0]].max() > 50  # the piece has moved
        assert np.abs(first - second)[view.SIZE[0] :].max() > 50  # and so has the mark of the time


def test_without_an_encoder_an_mp4_is_refused_and_a_gif_is_the_kind_to_make(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert video.kind() == ".gif"
    with pytest.raises(InvalidSetting, match=r"out = '.*film.mp4': no encoder is installed .* must be a .gif"):
        video.film(results[:1], tmp_path / "film.mp4", flat=True)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_stops_is_a_fault_and_the_old_film_stays(results, tmp_path, monkeypatch):
    encoder, film = tmp_path / "encoder", tmp_path / "film.mp4"
    encoder.write_text("#!/bin/sh\nexit 3\n")
    encoder.chmod(0o700)
    film.write_text("old")
    monkeypatch.setattr(video, "_encoder", lambda: str(encoder))
    with pytest.raises(Fault, match=r"film .*film.mp4': the encoder stopped with exit code 3"):
        video.film(results[:1], film, flat=True)
    assert {path.name for path in tmp_path.iterdir()} == {"encoder", "film.mp4"}
    assert film.read_text() == "old"


def test_an_mp4_is_one(results, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    assert video.kind() == ".mp4"
    path = video.film(results[:1], tmp_path / "film.mp4", flat=True)
    assert path.read_bytes()[4:8] == b"ftyp"


def test_still(tmp_path):
    video.still(envs.make("vehicle"), tmp_path / "still.png", flat=True)
    with Image.open(tmp_path / "still.png") as picture:
        assert picture.size == view.SIZE[::-1]


def test_a_task_without_a_scene_is_refused_in_one_line(tmp_path):
    with pytest.raises(InvalidSetting, match="env = Walk: has no scene"):
        video.still(build(Walk, {}), tmp_path / "still.png")
