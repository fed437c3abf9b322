import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from envs.fields import InvalidSetting
from experiments import bifurcation, contestants, landscape, long, registry, threshold, toy
from maxent_jax.faults import Fault


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Experiments that only say that they ran, in an empty working directory."""
    calls = []

    def experiment(name):
        def run(path, preset, console):
            calls.append((name, preset))
            if "broken" in os.environ:
                raise RuntimeError("broken")
            (path / "result").write_text(str(len(calls)))

        return run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "EXPERIMENTS", {name: experiment(name) for name in ("toy", "vehicle")})
    return calls


def test_names():
    assert set(registry.names()) >= {"toy", "vehicle", "quick"}


def test_results_are_where_they_are_said_to_be(ran):
    output = Console(file=io.StringIO(), width=200)
    assert registry.reproduce("toy", preset="quick", console=output) == [Path("reproduced/toy-quick")]
    assert ran == [("toy", "quick")]
    assert "reproduced/toy-quick: results in reproduced/toy-quick/figures" in output.file.getvalue()


def test_quick_is_toy_and_vehicle(ran):
    paths = registry.reproduce("quick")
    assert paths == [Path("reproduced/toy-quick"), Path("reproduced/vehicle-quick")]
    assert ran == [("toy", "quick"), ("vehicle", "quick")]


def test_all_is_every_experiment_the_cheapest_first():
    parts = list(registry.parts("all"))
    folders = {f"{name}-{task}" for name, tasks in registry.BY_TASK.items() for task in tasks}
    assert set(parts) == (set(registry.EXPERIMENTS) - {"vehicle"}) | folders
    assert parts == sorted(parts, key=registry.MINUTES.__getitem__)
    assert parts[0] == "rlhf"
    assert parts.index("control-obstacle2d") < parts.index("landscape-quadrotor") < parts.index("control-quadruped")


@pytest.mark.parametrize("experiment", [contestants, landscape, long, threshold, toy])
def test_presets_have_at_least_the_seeds_that_they_promise(experiment):
    assert experiment.SEEDS["cpu"] >= 5
    assert experiment.SEEDS["paper"] >= 10
    for preset, least in (("cpu", 5), ("paper", 10)):
        plan = bifurcation.PLANS[preset]
        assert min(plan.seeds, plan.toy_seeds, *(budget.seeds for budget in plan.tasks.values())) >= least


def test_several_parts_go_on_in_the_folder_that_was_asked_for(ran, monkeypatch):
    monkeypatch.setenv("broken", "1")
    with pytest.raises(RuntimeError, match="broken"):
        registry.reproduce("quick", out="mine")
    monkeypatch.delenv("broken")
    assert registry.reproduce("quick", out="mine") == [Path("mine/toy-quick"), Path("mine/vehicle-quick")]
    assert ran == [("toy", "quick"), ("toy", "quick"), ("vehicle", "quick")]


def test_a_second_call_repeats_nothing_unless_forced(ran):
    registry.reproduce("toy")
    output = Console(file=io.StringIO(), width=200)
    (path,) = registry.reproduce("toy", console=output)
    assert "reproduced/toy-cpu: already there; results in reproduced/toy-cpu/figures" in output.file.getvalue()
    assert (path / "result").read_text() == "1"
    registry.reproduce("toy", force=True)
    assert (path / "result").read_text() == "2"
    assert len(ran) == 2


def test_what_was_broken_off_goes_on_unless_forced(ran, monkeypatch):
    monkeypatch.setenv("broken", "1")
    with pytest.raises(RuntimeError, match="broken"):
        registry.reproduce("toy")
    monkeypatch.delenv("broken")
    Path("reproduced/toy-cpu/half").touch()
    output = Console(file=io.StringIO(), width=200)
    (path,) = registry.reproduce("toy", console=output)
    assert "reproduced/toy-cpu: going on where it stopped" in output.file.getvalue()
    assert (path / "result").exists()
    assert (path / "half").exists()
    registry.reproduce("toy", force=True)
    assert not (path / "half").exists()


@pytest.mark.parametrize("kind", [Fault, InvalidSetting])
def test_what_stops_one_experiment_is_told_when_the_others_have_run(kind, ran, monkeypatch):
    def stop(path, preset, console):
        raise kind("all seeds failed")

    monkeypatch.setitem(registry.EXPERIMENTS, "toy", stop)
    told = "1 of 2 experiments stopped, the others are finished; reproduced/toy-quick: all seeds failed"
    with pytest.raises(kind, match=f"^{told}$"):
        registry.reproduce("quick")
    assert ran == [("vehicle", "quick")]
    with pytest.raises(kind, match=r"^all seeds failed$"):
        registry.reproduce("toy", preset="quick")


def test_a_folder_that_is_taken_is_told_before_the_first_experiment_runs(ran):
    Path("reproduced/vehicle-quick").mkdir(parents=True)
    Path("reproduced/vehicle-quick/thesis").touch()
    with pytest.raises(ValueError, match="out = 'reproduced/vehicle-quick': the folder is not empty; must be a new"):
        registry.reproduce("quick")
    assert ran == []
    assert os.listdir("reproduced") == ["vehicle-quick"]


def test_a_file_is_no_folder(ran):
    Path("mine").touch()
    with pytest.raises(ValueError, match=r"out = 'mine': .*mine' is a file; must be a new or an empty folder"):
        registry.reproduce("toy", out="mine")


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_something_else_is_left_alone(ran, force):
    Path("mine").mkdir()
    Path("mine/thesis").touch()
    with pytest.raises(ValueError, match=r"out = 'mine': .*; must be a new or an empty folder"):
        registry.reproduce("toy", out="mine", force=force)
    assert Path("mine/thesis").exists()
    assert ran == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "toyy"}, r"experiment 'toyy' is unknown; did you mean 'toy'\? allowed: toy, vehicle"),
        ({"name": "toy", "preset": "quik"}, r"preset 'quik' is unknown; did you mean 'quick'\? allowed: paper, cpu"),
    ],
)
def test_unknown_names(options, message, ran):
    with pytest.raises(ValueError, match=message):
        registry.reproduce(**options)
    assert ran == []
    assert os.listdir() == []
