"""The page as a reader meets it: without a browser its text, its numbers, its curves; in one the rest."""

import base64
import json
import re
import shutil
import subprocess

import made_runs
import numpy as np
import pages
import pytest
from PIL import Image

from maxent_jax import cli, runs, stats

ONE = np.array([[-60, -50, -46, -44], [-59, -48, -46, -45], [-57, -49, -47, -43.5]])
OTHER = np.array([[-61, -40, -20, 1], [-60, -45, -19, 4], [-58, -38, -22, 2.5]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs on one task with a picture and a film, and one on another with a failed and an unfinished run."""
    folder = tmp_path_factory.mktemp("runs")
    made_runs.make(folder / "one", ONE, alpha=0.75)
    made_runs.make(folder / "other", OTHER, alpha=0.0)
    rest = {"grid": {"alpha": [0.5, 2.0]}, "failed": {4: (20, "loss")}, "finished": False}
    made_runs.make(folder / "grid<", np.concatenate([ONE, OTHER]), env="pendulum", **rest)
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "one" / "figures" / "landscape.png")
    frames[0].save(folder / "one" / "figures" / "film.gif", save_all=True, append_images=frames[1:])
    return folder


@pytest.fixture(scope="module")
def path(folder):
    out = folder / "report.html"
    directories = [str(folder / name) for name in ("one", "other", "grid<")]
    assert cli.main(["report", *directories, "--out", str(out), "--csv", str(folder / "all.csv")]) == 0
    return out


@pytest.fixture(scope="module")
def page(path):
    return pages.Page(path.read_text())


def test_page_is_whole_and_fetches_nothing(path, page):
    assert path.read_text().startswith("<!DOCTYPE html>\n<html lang=")
    assert page.unmatched == []
    for _, attrs in page.elements:
        for name in ("src", "href", "data", "srcset", "action"):
            assert (attrs.get(name) or "#")[:1] == "#" or attrs[name].startswith("data:")
    assert not re.search(r"https?://|@import|url\(", path.read_text())
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in page.all("a")} <= set(ids)


def test_every_result_is_in_the_text(folder, page):
    for values in (ONE, OTHER):
        final = values[:, -1].astype(np.float32)
        for shift, statistic in ((0, stats.iqm), (0, stats.mean), (-1, stats.iqm)):
            assert str(stats.estimate([final + np.float32(shift)], statistic)) in page.text
    improvement = stats.probability_of_improvement([(OTHER[:, -1], ONE[:, -1])])
    assert str(improvement) in page.text
    for text in (
        "sac (alpha 0.75) on toy: entropy misleads here. With all else alike, but for entropy, it is better:",
        "sac (alpha 0.75), 3 seeds",
        "sac (alpha 2), 2 seeds",  # one of three failed
        "not finished: 30 of 30 steps",
        "yardstick: planner 20 episodes",
        "grid<",
    ):
        assert text in page.text
    assert re.search(r"grid< 4 1 20 loss", page.text)
    for name, version in runs.versions().items():
        assert f"{name} {version}" in page.text


def test_a_sweep_whose_second_program_has_not_begun_is_told_as_far_as_it_is(tmp_path, capsys):
    path = made_runs.make(tmp_path / "run", np.concatenate([ONE, OTHER]), grid={"hidden": [(8,), (4,)]}, finished=False)
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (path / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["run"] < 3))
    assert cli.main(["report", str(path)]) == 0
    text = (path / "report.html").read_text()
    assert "not finished: 30 of 30 steps" in text
    assert "2 configurations, 6 runs" in text


def test_settings_that_differ_are_told_from_those_alike(page):
    differ, alike = page.text.partition("That differ")[2].split("Alike in all")
    for name in ("env.gravity", "alpha"):
        assert name in differ
    assert "gamma 0.99" in alike
    assert not re.search(r"\balpha\b", alike.partition("Failed runs")[0])


def test_curves_are_there_without_javascript(page):
    charts = page.all("svg", "chart")
    assert len(charts) == 2 * (2 * 2 + 1)  # tasks x (returns x axes + profile)
    assert all(attrs["aria-label"] for attrs in charts)
    middles = [attrs["d"] for attrs in page.all("path", "middle")]
    assert sum(len(path.split("L")) == 4 for path in middles) == 2 * 2 * 4  # four evaluations of four configurations
    assert len(page.all("path", "seed")) == 2 * 2 * (3 + 3 + 3 + 2)
    for value in stats.bands(ONE.astype(np.float32), statistic=stats.iqm)[0]:
        assert f", {value:,.4g} [" in page.text


def test_points_lie_where_their_numbers_say(page):
    """Heights of a chart's points are linear in the values that their titles tell."""
    text = page.text
    told = [float(x) for x in re.findall(r"sac \(alpha 0.75\): \d+ environment steps, (-?[\d.]+) \[", text)[:4]]
    dots = [float(attrs["cy"]) for attrs in page.all("circle")[:4]]
    slope, start = np.polyfit(told, dots, 1)
    assert slope < 0
    np.testing.assert_allclose(dots, slope * np.array(told) + start, atol=0.1)


def test_pictures_and_films_are_inside(folder, page):
    sources = [attrs["src"] for attrs in page.all("img")]
    kinds = [source.partition(";")[0] for source in sources]
    assert kinds == ["data:image/gif", "data:image/png"]
    data = base64.b64decode(sources[1].partition(",")[2])
    assert data == (folder / "one" / "figures" / "landscape.png").read_bytes()
    assert page.text.count("None: maxent-jax landscape") == 2


def test_a_run_goes_to_a_page_of_its_own(folder, tmp_path, capsys):
    shutil.copytree(folder / "other", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "figures")
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "report.html")
    assert "There is one configuration." in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"<html>"])
def test_a_damaged_picture_is_named_and_nothing_is_written(folder, content, tmp_path, capsys):
    shutil.copytree(folder / "one", tmp_path / "run")
    (tmp_path / "run" / "figures" / "landscape.png").write_bytes(content)
    assert cli.main(["report", str(tmp_path / "run")]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{tmp_path / 'run' / 'figures' / 'landscape.png'}': is damaged, no png; remove it, or make it again" in last
    assert not (tmp_path / "run" / "report.html").exists()


BY = """
  const shown = (name) => [...document.querySelectorAll(name)].every((one) => one.getBoundingClientRect().height > 50);
  const hidden = (name) => [...document.querySelectorAll(name)].every((one) => one.getBoundingClientRect().height == 0);
"""


def test_in_a_browser_the_switch_and_the_pointer_work(path, tmp_path):
    script = (
        BY
        + """
      const before = shown('.by-steps') && hidden('.by-minutes');
      document.getElementById('by-minutes').click();
      const after = hidden('.by-steps') && shown('.by-minutes');
      document.getElementById('by-steps').click();
      const chart = document.querySelector('svg.chart');
      const dot = chart.querySelectorAll('circle')[1].getBoundingClientRect();
      const at = { clientX: dot.left + 3, clientY: dot.top + 3, bubbles: true };
      chart.dispatchEvent(new PointerEvent('pointermove', at));
      const tip = chart.parentElement.querySelector('.tip');
      const told = tip.hidden ? '' : tip.textContent;
      chart.dispatchEvent(new PointerEvent('pointerleave', at));
      return { before, after, back: shown('.by-steps'), told, gone: tip.hidden };
    """
    )
    found = pages.ask(path, script, tmp_path)
    told = found.pop("told")
    assert found == {"before": True, "after": True, "back": True, "gone": True, "errors": []}
    assert re.fullmatch(r"sac \(alpha 0.75\): 10 environment steps, -[\d.]+ \[.*\]", told)


def test_in_a_browser_nothing_sticks_out_on_a_phone(path, tmp_path):
    # a frame as wide as a phone: the window of a browser cannot be made so narrow
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<!DOCTYPE html><html><head></head><body><iframe style='width:390px;height:800px;border:0' srcdoc='"
        + path.read_text().replace("&", "&amp;").replace("'", "&#39;")
        + "'></iframe></body></html>"
    )
    script = """
      const inner = document.querySelector('iframe').contentDocument;
      const text = inner.querySelector('svg.chart text');
      return { wide: inner.documentElement.scrollWidth, letters: text.getBoundingClientRect().height };
    """
    found = pages.ask(frame, script, tmp_path)
    assert found["wide"] <= 390
    assert found["letters"] > 9
    assert found["errors"] == []


def test_in_a_browser_dark_is_dark(path, tmp_path):
    script = "const look = getComputedStyle(document.body); return { paper: look.backgroundColor, ink: look.color };"
    light = pages.ask(path, script, tmp_path)
    dark = pages.ask(path, script, tmp_path, "--blink-settings=preferredColorScheme=0")
    brightness = lambda colour: sum(map(int, re.findall(r"\d+", colour)))  # noqa: E731
    assert brightness(light["paper"]) > 600 > 200 > brightness(light["ink"])
    assert brightness(dark["paper"]) < 200 < 600 < brightness(dark["ink"])


def test_in_a_browser_the_printed_page_is_whole(path, tmp_path):
    if shutil.which("pdftotext") is None:
        pages.browser()
        pytest.skip("pdftotext, which reads what was printed, is not installed")
    pages.call(path, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    text = subprocess.run(["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True).stdout
    words = " ".join(text.split())
    for section in ("What the numbers say", "Landscapes and films", "Failed runs", "Where it comes from", "Commands"):
        assert section in words
    assert "by minutes" not in words
    assert "environment steps" in words


def test_csv_beside_it_is_tidy(path, folder):
    lines = (folder / "all.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * (3 + 3 + 6)
    assert json.dumps(lines[0].split(",")[:5]) == '["directory", "configuration", "name", "agent", "env"]'
