import json
import os
import sys

import commands
import psutil
import pytest
import tiny
from rich.console import Console

import envs
import maxent_jax
from envs import fields
from experiments import published
from maxent_jax import api, cli
from maxent_jax.agents import AGENTS
from maxent_jax.commands import common

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def asked(here, monkeypatch):
    """What a command line asks for, checked, as `config.json` would hold it; nothing is trained."""
    jobs = []
    monkeypatch.setattr("maxent_jax.api.execute", lambda job, console: jobs.append(job))

    def ask(line):
        assert commands.run(line) == 0
        return jobs[-1].config

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--agent.threshold -1", {"threshold": -1.0}),
        ("--agent.threshold=-1", {"threshold": -1.0}),
        ("--agent.init_mean -.5", {"init_mean": -0.5}),
        ("--agent.init_mean -1e-3", {"init_mean": -1e-3}),
        ("--agent.target-entropy -2", {"target_entropy": -2.0}),
        ("--agent.target_entropy none", {"target_entropy": None}),
        ("--agent.hidden 64,32", {"hidden": (64, 32)}),
        ("--agent.hidden=64", {"hidden": (64,)}),
        ("--agent.batch-size 16 --agent.n-samples=8", {"batch_size": 16, "n_samples": 8}),
        ("--agent.auto-alpha true", {"auto_alpha": True}),
        ("--agent.updates_per_step 0.25", {"updates_per_step": 0.25}),
        ("--agent.alpha 0.1 --agent.alpha 0.3", {"alpha": 0.3}),
    ],
)
def test_agent_fields(line, expected, asked):
    config = asked(f"train sac_adaent --env toy {line}")
    published_fields = fields.plain_values(published.row("sac_adaent", "toy").agent)
    assert config["agent_fields"] == published_fields | expected


def test_env_fields(asked):
    config = asked("train sac --env vehicle --env.mass 1200 --env.tyres=road --env.start-yaw-rate -2")
    assert config["env_fields"] == fields.plain_values(
        envs.make("vehicle", mass=1200.0, tyres="road", start_yaw_rate=-2.0)
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", [0]),
        ("--seeds 3", [0, 1, 2]),
        ("--seeds 7,", [7]),
        ("--seeds=101,102", [101, 102]),
        ("--seeds 4294967295,0", [4294967295, 0]),
    ],
)
def test_seeds(line, expected, asked):
    assert asked(f"train sac --env toy {line}")["seeds"] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--grid threshold=-1,0.5", {"threshold": [-1.0, 0.5]}),
        ("--grid=threshold=-1", {"threshold": [-1.0]}),
        ("--grid batch-size=8,16 --grid env.reward_hit=-1,1", {"batch_size": [8, 16], "env.reward_hit": [-1.0, 1.0]}),
        ("--grid hidden=64,64;8", {"hidden": [(64, 64), (8,)]}),
        ("--grid target_entropy=none,-1", {"target_entropy": [None, -1.0]}),
        ("--grid auto_alpha=true,false", {"auto_alpha": [True, False]}),
    ],
)
def test_grid(line, expected, asked):
    config = asked(f"sweep sac_adaent --env toy {line}")
    assert config["grid"] == expected
    assert len(config["configurations"]) == len(config["runs"])


def test_explicit_options_win_over_the_preset(asked):
    paper = asked("train sac_adaent --env vehicle --seeds 2")
    quick = asked("train sac_adaent --env vehicle --seeds 2 --preset quick")
    own = asked("train sac_adaent --env vehicle --agent.batch_size 32 --steps 9000 --seeds 2 --preset quick")
    replaced = {"hidden": (64, 64), "batch_size": 64, "prefill_steps": 1000, "n_samples": 16}
    assert quick["agent_fields"] == paper["agent_fields"] | replaced
    assert own["agent_fields"] == quick["agent_fields"] | {"batch_size": 32}
    assert (paper["steps"], quick["steps"], own["steps"]) == (2_000_000, 20_000, 9_000)


def test_options_do_not_depend_on_their_order(asked):
    line = "sweep sac --env toy --seeds 2 --steps 50 --agent.alpha 0.5 --grid gamma=0.5,0.9"
    other = "sweep --grid gamma=0.5,0.9 --agent.alpha=0.5 --steps 50 --seeds 2 --env toy sac"
    one, two = asked(line), asked(other)
    assert {**one, "command": None} == {**two, "command": None}


def test_asks_for_the_same_as_python(asked, monkeypatch):
    typed = asked("sweep sac --env pendulum --seeds 5,6 --steps 50 --envs 2 --evaluations 3 --preset quick --out here "
                  "--agent.alpha 0.5 --env.mass 2 --grid gamma=0.5,0.9")  # fmt: skip
    jobs = []
    monkeypatch.setattr("maxent_jax.api.execute", lambda job, console: jobs.append(job))
    maxent_jax.sweep(
        "sac", "pendulum", {"gamma": [0.5, 0.9]}, seeds=[5, 6], steps=50, envs=2, evaluations=3, preset="quick",
        out="here", agent_fields={"alpha": 0.5}, env_fields={"mass": 2.0},
    )  # fmt: skip
    assert typed == jobs[0].config


def test_replay_larger_than_memory_says_what_would_fit(here, capsys, monkeypatch):
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=100_000_000))
    words = "train sac --env vehicle --seeds 2 --agent.hidden 8 --steps 2000000"
    commands.refuse(
        words,
        capsys,
        "agent.buffer_size = 1000000: 2 run(s) need 0.14 GB of the 0.10 GB that are free; must b...",
    )


def test_what_would_fit_fits(here, capsys, monkeypatch):
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=100_000_000))

    def prepare(size):
        small = {"hidden": (8,), "buffer_size": size}
        return api.prepare("sac", "vehicle", seeds=2, steps=2_000_000, agent_fields=small)

    with pytest.raises(ValueError, match="must be <= ") as error:
        prepare(1_000_000)
    fits = int(str(error.value).split("must be <= ")[1].split(",")[0])
    assert 600_000 < fits < 662_000  # 90 MB, two runs, 68 bytes a row

    assert prepare(fits).held <= 90_000_000
    with pytest.raises(ValueError, match=f"agent.buffer_size = {fits + 1}"):
        prepare(fits + 1)


@pytest.mark.parametrize("line", ["train {} --env {} --help", "train --help {} --env {}", "sweep -h --env={1} {0}"])
@pytest.mark.parametrize(
    ("agent", "env"), [("sac", "toy"), ("sac_adaent", "vehicle"), ("ppo", "pendulum"), ("td3", "toy")]
)
def test_help_shows_the_fields_of_what_was_chosen(line, agent, env, capsys):
    assert commands.run(line.format(agent, env)) == 0
    out = " ".join(capsys.readouterr().out.split())
    row = published.row(agent, env)
    for group, cls in (("agent", AGENTS[agent]), ("env", envs.task(env))):
        for name, field in fields.settings(cls).items():
            assert f"--{group}.{name} " in out
            assert field.help.split()[0] in out
    assert f"{row.steps:,} steps" in out
    assert "[OPTIONS] AGENT" in out
    assert "--agent.threshold" not in out or agent == "sac_adaent"
    assert ("--grid" in out) == line.startswith("sweep")


def test_help_shows_the_defaults_of_the_preset(capsys):
    assert commands.run("train sac --env vehicle --preset quick --help") == 0
    out = capsys.readouterr().out
    assert "64,64" in out
    assert "256,256" not in out


@pytest.fixture(scope="module")
def trained(tmp_path_factory, quick_compile):
    """A run directory made by the command line, and what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    old = os.getcwd()
    os.chdir(folder)
    console = Console(file=open("printed", "w"), width=80)  # noqa: SIM115 - closed below
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(common, "CONSOLE", console)
    try:
        line = "sweep sac --env toy --seeds 3 --steps 64 --evaluations 2 --grid hidden=8;4"
        assert cli.main([*line.split(), *tiny.flags({"batch_size": 8, "buffer_size": 64})]) == 0
    finally:
        console.file.close()
        os.chdir(old)
        monkeypatch.undo()
    return folder, (folder / "printed").read_text()


def test_prints_the_run_directory_first_and_last(trained):
    folder, printed = trained
    lines = printed.splitlines()
    assert [path.name for path in (folder / "runs").iterdir()] == ["sac-toy-1"]
    assert lines[0] == "runs/sac-toy-1: sac on toy, device cpu: cpu x 1"
    assert lines[-1].startswith("runs/sac-toy-1: done")


def test_announces_the_programs_first(trained):
    lines = trained[1].splitlines()
    announced = next(i for i, line in enumerate(lines) if "2 programs x 3 runs" in line)
    assert announced < min(i for i, line in enumerate(lines) if "steps/s" in line)


def test_says_what_is_not_as_published(trained):
    line = next(line for line in trained[1].splitlines() if "not as published" in line)
    assert line == "  not as published: batch_size 8 (256), buffer_size 64 (1000000), steps 64 (100000)"


def test_prints_plain_lines_where_there_is_no_terminal(trained):
    assert "\x1b" not in trained[1]
    assert "\r" not in trained[1]


def test_config_holds_the_command(trained):
    assert json.loads((trained[0] / "runs" / "sac-toy-1" / "config.json").read_text())["command"] == sys.argv
