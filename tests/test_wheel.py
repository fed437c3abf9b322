import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import tiny

pytestmark = pytest.mark.usefixtures("quick_compile")

ROOT = Path(__file__).parents[1]
PACKAGES = ("maxent_jax", "envs", "experiments", "benchmarks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel. Nothing is downloaded: the build backend is one of the tools of development."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Run a command with the wheel installed, in a folder that knows nothing of the checkout."""
    site, elsewhere = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)

    def run(*words):
        words = [str(site / "bin" / "maxent-jax") if word == "maxent-jax" else word for word in words]
        env = os.environ | {"PYTHONPATH": str(site)}
        done = subprocess.run(words, cwd=elsewhere, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run, site, elsewhere


def test_holds_the_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    assert not [name for name in names if name.startswith(("tests", "benchmarks/results"))]
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    built = {name for name in names if name.endswith(".py")}
    assert built == {name for name in modules if not name.startswith("benchmarks/results")}


def test_says_what_it_is_and_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info" in name)
        about = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        assert "maxent-jax = maxent_jax.cli:run" in archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert set(about.get_all("Provides-Extra") or []) >= {"cuda", "tpu", "dev", "wandb"}
    core = [line for line in about.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert {line.split(">=")[0] for line in core} >= {"jax", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "tyro"}


def test_trains_and_reads_back_outside_the_checkout(installed):
    run, site, elsewhere = installed
    words = ["train", "sac", "--env", "toy", "--seeds", "3", "--steps", "64", "--evaluations", "2"]
    printed = run("maxent-jax", *words, *tiny.flags(tiny.FIELDS["sac"]))
    assert printed.splitlines()[-1].startswith("runs/sac-toy-1: done")
    assert len((elsewhere / "runs" / "sac-toy-1" / "metrics.jsonl").read_text().splitlines()) == 3 * 3
    code = f"""
import jax.numpy as jnp
import {", ".join(PACKAGES)}
for package in ({", ".join(PACKAGES)}):
    print(package.__file__)
print(maxent_jax.load("runs/sac-toy-1").policy(2)(jnp.eye(6)).shape)
"""
    *files, shape = run(sys.executable, "-c", code).splitlines()[-5:]
    assert [Path(file).parent for file in files] == [site / package for package in PACKAGES]
    assert shape == "(6, 1)"


def test_help_of_every_command(installed):
    run, _, _ = installed
    code = """
from maxent_jax import cli
for command in cli.COMMANDS:
    print(command, cli.main([command, "--help"]))
"""
    printed = run(sys.executable, "-c", code).splitlines()
    for command in ("train", "sweep", "reproduce", "landscape", "film", "envs"):
        assert f"{command} 0" in printed
    assert sum("--help" in line for line in printed) >= 5
