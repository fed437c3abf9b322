import json
import os
import re
import shutil
import sys

import commands
import compilations
import psutil
import pytest
import tiny
from rich.console import Console

import envs
import maxent_jax
from envs import fields
from experiments import published
from maxent_jax import api, cards, cli, runs
from maxent_jax.agents import AGENTS
from maxent_jax.commands import common

pytestmark = pytest.mark.usefixtures("quick_compile")

SEEDS = "must be how many (1 to 100000), or a list of different whole numbers from 0 to 4294967295"

# What is typed, what the last line of stderr says after the program's name (its beginning, where it ends in "...").
MISTAKES = [
    # names
    ("trian sac --env toy", "command 'trian' is unknown; did you mean 'train'? allowed: train, sweep, resume, ..."),
    ("train sax --env toy", "agent 'sax' is unknown; did you mean 'sac'? allowed: sac, sac_adaent, ppo..."),
    ("train sac --env toi", "env 'toi' is unknown; did you mean 'toy'? allowed: toy, pendulum, vehicle..."),
    ("train sac --env=toi", "env 'toi' is unknown; did you mean 'toy'? allowed: toy, pendulum, vehicle..."),
    ("envs toi", "env 'toi' is unknown; did you mean 'toy'? allowed: toy, pendulum, vehicle..."),
    ("train sac --env toy --preset quik", "preset 'quik' is unknown; did you mean 'quick'? allowed: paper, cpu, quick"),
    ("reproduce toyy", "experiment 'toyy' is unknown; did you mean 'toy'? allowed: toy, vehicle, ..."),
    ("reproduce toy --preset quik", "preset 'quik' is unknown; did you mean 'quick'? allowed: paper, cpu, quick"),
    ("train sac --env toy --agent.alhpa 1", "field agent.alhpa is unknown; did you mean 'alpha'? allowed: gamma, ..."),
    ("train sac --env toy --agent.threshold 1", "field agent.threshold is unknown; allowed: gamma, init_mean, ..."),
    (
        "train sac --env toy --env.reward_hitt 1",
        "field env.reward_hitt is unknown; did you mean 'reward_hit'? allowed: ...",
    ),
    ("train sac --env toy --stepz 5", "option --stepz is unknown; did you mean '--steps'? allowed: --env, ..."),
    ("train sac --env toy -steps 5", "option -steps is unknown; did you mean '--steps'? allowed: --env, ..."),
    ("train sac --env toy --alpha 5", "option --alpha is unknown; did you mean '--agent.alpha'? allowed: --env, ..."),
    ("train sac --env toy --grid alpha=1", "option --grid is unknown; ..."),
    # words that are missing or too many
    ("train --env toy", "AGENT is missing; must be one of sac, sac_adaent, ppo..."),
    ("train", "AGENT is missing; must be one of sac, sac_adaent, ppo..."),
    ("train sac", "--env is missing; must be one of toy, pendulum, vehicle..."),
    ("train sac --agent.alpha 1", "--env is missing; must be one of toy, pendulum, vehicle..."),
    ("sweep sac --env toy", "--grid is missing; must be FIELD=a,b,... at least once"),
    ("reproduce", "NAME is missing; must be one of toy, vehicle, ..."),
    ("landscape", "RUN_DIR is missing; must be ..."),
    ("film", "RUN_DIR is missing; must be ..."),
    ("bench pek", "NAME 'pek' is unknown; did you mean 'peak'? allowed: peak, fast, ..."),
    ("bench peers --preset gpu", "NAME = 'peers': must be peak, fast, memory, ..."),
    ("bench peak --preset full --out /proc/nowhere", "out = '/proc/nowhere': must be a folder that can be written"),
    ("plan sac", "--env is missing; must be one of toy, pendulum, vehicle..."),
    ("plan sac --env toy --memory 0", "memory = 0.0: must be a number > 0, or none"),
    ("plan sac --env toy --seeds 0", f"seeds = 0: {SEEDS}"),
    ("film nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
    ("resume", "RUN_DIR is missing; must be ..."),
    ("status", "RUN_DIR is missing; must be ..."),
    ("resume nowhere", "run directory 'nowhere': has no config.json, which says what to train; must be begun by ..."),
    ("resume taken", "run directory 'taken': has no config.json, which says what to train; must be begun by ..."),
    ("resume taken --steps 0", "steps = 0: must be a whole number >= 1, or none"),
    ("status nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
    ("status taken --watch=yes", "--watch = 'yes': takes no value"),
    ("train sac --env toy --resume", "resume = true: needs out, the run directory to go on with"),
    ("train sac --env toy --resume --out taken", "out = 'taken': the folder is not empty; must be ..."),
    ("train sac --env toy --keep 0", "keep = 0: must be a whole number >= 1"),
    ("train sac --env toy --checkpoint-every 0", "checkpoint_every = 0: must be a whole number >= 1, or none"),
    ("train sac toy --env toy", "'toy' is one word too many; allowed: AGENT and options"),
    ("envs toy pendulum", "'pendulum' is one word too many; allowed: TASK and options"),
    ("train sac --env brax:hoper", "env 'brax:hoper' is unknown; did you mean 'brax:hopper'? allowed: brax:ant, ..."),
    ("train sac --env brux:hopper", "env 'brux:hopper' is unknown; ..."),
    ("train sac --env toy --steps", "--steps has no value; must be a whole number >= 1, or none"),
    ("train sac --env toy --steps --seeds 2", "--steps has no value; must be a whole number >= 1, or none"),
    ("train sac --env", "--env has no value; must be one of toy, pendulum, vehicle..."),
    (
        "reproduce quick --preset paper",
        "preset = 'paper': must be 'quick' for reproduce quick; name ...",
    ),
    ("train sac --env toy --out -x", "--out = '-x': must be text, or none without a leading -"),
    ("train sac --env toy --agent.lr 1e-50", "agent.lr = 1e-50: must be a number > 0"),
    ("train sac --env toy --agent.init_std 9", "agent.init_std = 9: must be <= 7.389"),
    ("train td3 --env toy --agent.init_std 1", "field agent.init_std is unknown; did you mean 'init_units'? ..."),
    ("train td3 --env toy --agent.policy_delay 0", "agent.policy_delay = 0: must be a whole number >= 1"),
    ("train td3 --env toy --agent.target_clip -1", "agent.target_clip = -1.0: must be a number >= 0"),
    ("train ddpg --env toy --agent.policy_delay 2", "field agent.policy_delay is unknown; ..."),
    ("train ddpg --env toy --agent.exploration_std 0", "agent.exploration_std = 0.0: must be a number > 0"),
    ("sweep sql --env toy --grid alpha=0,0.2", "grid alpha = 0.0: must be a number > 0"),
    ("train sql --env toy --agent.n_samples 1", "agent.n_samples = 1: must be a whole number >= 2"),
    ("train sac_annealed --env toy --agent.anneal_share 0", "agent.anneal_share = 0.0: must be a number > 0 and <= 1"),
    (
        "train sac_annealed --env toy --agent.auto_alpha true",
        "agent.auto_alpha = True: must be false, for alpha is annealed",
    ),
    ("train ppo --env toy --agent.entropy_coef -0.1", "agent.entropy_coef = -0.1: must be a number >= 0"),
    (
        "train ppo --env toy --agent.batch_size 1 --agent.normalise_advantages true",
        "agent.batch_size = 1: must be >= 2 ...",
    ),
    (
        "train sac --env toy --agent.updates_per_step 1000 --steps 3000000",
        "steps = 3000000: makes 3000000000 updates; ...",
    ),
    ("train sac --env toy --agent.hidden 1000000,1000000", "agent.hidden = (1000000, 1000000): 1 run(s) need ..."),
    ("reproduce toy --force=1", "--force = '1': takes no value"),
    # values of the agent and the task
    ("train sac --env toy --agent.alpha -1", "agent.alpha = -1.0: must be a number >= 0"),
    ("train sac --env toy --agent.alpha x", "agent.alpha = 'x': must be a number >= 0"),
    ("train sac --env toy --agent.alpha=", "agent.alpha = '': must be a number >= 0"),
    ("train sac --env toy --agent.gamma 1.1", "agent.gamma = 1.1: must be a number in [0, 1]"),
    ("train sac --env toy --agent.gamma nan", "agent.gamma = nan: must be a number in [0, 1]"),
    ("train sac --env toy --agent.lr 0", "agent.lr = 0.0: must be a number > 0"),
    ("train sac --env toy --agent.lr inf", "agent.lr = inf: must be a number > 0"),
    ("train sac --env toy --agent.init_mean -inf", "agent.init_mean = -inf: must be a number"),
    ("train sac --env toy --agent.tau 2", "agent.tau = 2.0: must be a number in [0, 1]"),
    ("train sac --env toy --agent.auto_alpha yes", "agent.auto_alpha = 'yes': must be true or false"),
    (
        "train sac --env toy --agent.hidden 64,0",
        "agent.hidden = (64, 0): must be whole numbers separated by commas, each >= 1",
    ),
    (
        "train sac --env toy --agent.init_units metres",
        "agent.init_units = 'metres': must be one of normalised, environment",
    ),
    (
        "train sac_adaent --env toy --agent.comparison fast --agent.metric regret",
        "agent.metric = 'regret': must be cosine or pearson with comparison=fast",
    ),
    (
        "train sac_adaent --env toy --agent.metric angle",
        "agent.metric = 'angle': must be one of cosine, pearson, spearman, regret",
    ),
    ("train sac_adaent --env toy --agent.threshold 2.5", "agent.threshold = 2.5: must be a number in [-1, 2]"),
    ("train sac_adaent --env toy --agent.threshold -1.5", "agent.threshold = -1.5: must be a number in [-1, 2]"),
    ("train sac_adaent --env toy --agent.n_samples 1", "agent.n_samples = 1: must be a whole number >= 2"),
    ("train sac --env toy --agent.buffer_size 9", "agent.batch_size = 256: must be <= buffer_size, which is 9"),
    ("train ppo --env toy --agent.batch_size 100", "agent.batch_size = 100: must divide rollout_steps, which is 2048"),
    ("train ppo --env toy --envs 3", "envs = 3: must divide agent.rollout_steps, which is 2048"),
    ("train sac --env vehicle --env.mass 0", "env.mass = 0.0: must be a number > 0"),
    ("train sac --env vehicle --env.tyres snow", "env.tyres = 'snow': must be one of published, road"),
    ("train sac --env toy --env.horizon 1.5", "env.horizon = '1.5': must be a whole number >= 1"),
    # values of the training
    ("train sac --env toy --seeds 0", f"seeds = 0: {SEEDS}"),
    ("train sac --env toy --seeds -1", f"seeds = -1: {SEEDS}"),
    ("train sac --env toy --seeds 3,3", f"seeds = [3, 3]: {SEEDS}"),
    ("train sac --env toy --seeds 3,-1", f"seeds = [3, -1]: {SEEDS}"),
    ("train sac --env toy --seeds 4294967296,", f"seeds = [4294967296]: {SEEDS}"),
    ("train sac --env toy --seeds ,", f"seeds = ',': {SEEDS}"),
    ("train sac --env toy --seeds 1.5", f"seeds = '1.5': {SEEDS}"),
    ("train sac --env toy --seeds many", f"seeds = 'many': {SEEDS}"),
    ("train sac --env toy --steps 0", "steps = 0: must be a whole number >= 1, or none"),
    ("train sac --env toy --steps 1e3", "steps = '1e3': must be a whole number >= 1, or none"),
    ("train sac --env toy --steps -5", "steps = -5: must be a whole number >= 1, or none"),
    ("train sac --env toy --steps 2147483647", "steps = 2147483647: with prefill and whole chunks ..."),
    ("train sac --env toy --envs 0", "envs = 0: must be a whole number >= 1, or none"),
    ("train sac --env toy --evaluations 0", "evaluations = 0: must be a whole number >= 1"),
    # grids
    ("sweep sac --env toy --grid alpa=1", "grid field 'alpa' is unknown; did you mean 'alpha'? allowed: gamma, ..."),
    (
        "sweep sac --env vehicle --grid env.mas=1",
        "grid field 'env.mas' is unknown; did you mean 'env.mass'? allowed: gamma, ...",
    ),
    ("sweep sac --env toy --grid alpha=", "grid alpha = '': must be values separated by commas, at least one"),
    ("sweep sac --env toy --grid alpha", "grid alpha = '': must be values separated by commas, at least one"),
    ("sweep sac --env toy --grid", "--grid has no value; must be ..."),
    ("sweep sac --env toy --grid alpha=1 --grid alpha=2", "grid alpha = '2': is given twice; must be given once"),
    ("sweep sac --env toy --grid alpha=1,1.0", "grid alpha = [1.0, 1.0]: must be different values"),
    ("sweep sac --env toy --grid alpha=1,-2", "grid alpha = -2.0: must be a number >= 0"),
    ("sweep sac --env toy --grid alpha=1,x", "grid alpha = 'x': must be a number >= 0"),
    ("sweep sac_adaent --env toy --grid threshold=-1,5", "grid threshold = 5.0: must be a number in [-1, 2]"),
    ("sweep sac --env vehicle --grid env.mass=1,0", "grid env.mass = 0.0: must be a number > 0"),
    (
        "sweep ppo --env toy --grid batch_size=64,100",
        "agent.batch_size = 100: must divide rollout_steps, which is 2048",
    ),
    # folders
    ("train sac --env toy --out taken", "out = 'taken': the folder is not empty; must be a new or an empty folder"),
    ("train sac --env toy --out taken/file", "out = 'taken/file': {cwd}/taken/file' is a file; must be ..."),
    ("train sac --env toy --out taken/file/x/y", "out = 'taken/file/x/y': {cwd}/taken/file' is a file; must be ..."),
    (f"train sac --env toy --out {'x' * 300}", f"out = '{'x' * 300}': File name too long; must be ..."),
    ("reproduce toy --preset quick --out taken", "out = 'taken': the folder is not empty; must be ..."),
    ("landscape taken", "run directory 'taken': has no config.json; must hold a run"),
    ("landscape nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An almost empty working directory."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line):
    """What the command line returns."""
    return cli.main(line.split())


def refuse(line, capsys, expected):
    """Run a command that must be refused before anything is compiled or written, and compare its last line."""
    before = sorted(os.walk("."))
    with compilations.heard() as compiled:
        assert run(line) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    expected = "maxent-jax: " + expected.replace("{cwd}", f"'{os.getcwd()}")
    if expected.endswith("..."):
        assert last[: len(expected) - 3] == expected[:-3]
    else:
        assert last == expected
    assert "Traceback" not in err
    assert out == ""
    assert compiled == []
    assert sorted(os.walk(".")) == before


@pytest.mark.parametrize(("line", "expected"), MISTAKES)
def test_mistake_is_one_line_and_nothing_happens(line, expected, here, capsys):
    refuse(line, capsys, expected)


def test_unwritable_folder(here, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root
    refuse("train sac --env toy --out new", capsys, "out = 'new': {cwd}' cannot be written; must be a writ...")
    refuse("reproduce toy --out new", capsys, "out = 'new': {cwd}' cannot be written; must be a writable ...")


def test_folder_that_may_not_be_entered(here, capsys, monkeypatch):
    stat = os.stat

    def locked(path, *args, **kwargs):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", locked)
    expected = "out = 'locked/new': Permission denied; must be a new or an empty folder"
    refuse("train sac --env toy --out locked/new", capsys, expected)


def test_full_disk(here, capsys, monkeypatch):
    usage = shutil.disk_usage(here)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    refuse("train sac --env toy", capsys, "out = 'runs/sac-toy-1': 1.0 MB are free on its disk; must be ...")


def test_replay_larger_than_memory_says_what_would_fit(here, capsys, monkeypatch):
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=100_000_000))
    words = "train sac --env vehicle --seeds 2 --agent.hidden 8 --steps 2000000"
    refuse(words, capsys, "agent.buffer_size = 1000000: 2 run(s) need 0.14 GB of the 0.10 GB that are free; must b...")


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


def test_mistake_in_a_process_of_its_own(here):
    process = commands.start("train sac --env toy --agent.alpha -1".split(), here)  # noqa: SIM905
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert err.strip().splitlines()[-1] == "maxent-jax: agent.alpha = -1.0: must be a number >= 0"
    assert "Traceback" not in err
    assert os.listdir() == ["taken"]


@pytest.fixture
def asked(here, monkeypatch):
    """What a command line asks for, checked, as `config.json` would hold it; nothing is trained."""
    jobs = []
    monkeypatch.setattr("maxent_jax.api.execute", lambda job, console: jobs.append(job))

    def ask(line):
        assert run(line) == 0
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


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_help_of_every_command(command, capsys):
    assert cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"maxent-jax {command}" in out
    assert "--help" in out


def test_an_exit_that_a_handler_wants_is_left_alone(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "envs", lambda words: sys.exit(144))
    with pytest.raises(SystemExit) as stop:
        cli.main(["envs"])
    assert stop.value.code == 144


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(words, capsys):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in cli.COMMANDS)


@pytest.mark.parametrize("line", ["train {} --env {} --help", "train --help {} --env {}", "sweep -h --env={1} {0}"])
@pytest.mark.parametrize(
    ("agent", "env"), [("sac", "toy"), ("sac_adaent", "vehicle"), ("ppo", "pendulum"), ("td3", "toy")]
)
def test_help_shows_the_fields_of_what_was_chosen(line, agent, env, capsys):
    assert run(line.format(agent, env)) == 0
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
    assert run("train sac --env vehicle --preset quick --help") == 0
    out = capsys.readouterr().out
    assert "64,64" in out
    assert "256,256" not in out


def test_envs_lists_tasks_and_fields(capsys):
    assert run("envs") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in envs.names())


@pytest.mark.parametrize("name", ["vehicle", "brax:fast"])
def test_card_shows_every_number_and_field(name, capsys):
    assert run(f"envs {name}") == 0
    out = " ".join(capsys.readouterr().out.split())
    env = envs.make(name)
    assert all(meaning.split()[0] in out for meaning in (*env.observes, *env.acts))
    assert all(field in out for field in fields.plain_values(env))
    assert "eward" in out
    assert "Source: " in out


def test_card_gives_bounds_formula_and_picture(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "STILLS", tmp_path)
    (tmp_path / "vehicle.png").touch()
    monkeypatch.setattr(common, "CONSOLE", Console(width=200))
    assert run("envs vehicle") == 0
    out = capsys.readouterr().out
    assert "-path_weight |x^2 + y^2 - path_radius^2| - distance_weight" in out
    assert re.search(r"1 +│ steering angle, rad +│ -1 +│ 1 ", out)
    assert f"A picture: {tmp_path / 'vehicle.png'}" in out
    assert run("envs toy") == 0
    assert "A picture" not in capsys.readouterr().out


@pytest.mark.parametrize("name", envs.names())
def test_every_task_says_what_it_is_what_it_pays_and_where_it_comes_from(name):
    text = envs.task(name).__doc__
    assert cards.about(envs.task(name)).endswith((".", ":"))
    assert "reward" in text
    assert cards.source(envs.task(name))


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


def test_landscape_draws_any_run(trained, capsys, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    assert run("landscape runs/sac-toy-1 --run 4 --out drawn.png --updates 5 --episodes 2 --states 1") == 0
    said = capsys.readouterr().out
    assert "auc where choices differ" in said
    assert said.endswith("drawn.png\ndrawn.json\n")
    assert (folder / "drawn.png").read_bytes()[:4] == b"\x89PNG"
    found = json.loads((folder / "drawn.json").read_text())
    assert (found["run"], found["seed"], found["landscapes"]) == (4, 1, ["soft", "plain"])
    assert found["learned_beside"]["updates"] == 5
    assert found["states"]["time"] == [0, 1]  # the toy problem has two, and always begins alike
    assert found["verdict"]["near"]["draws"]["discounted"]["states"] == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--run 6", "run = 6: must be one of 0 to 5"),
        ("--run -1", "run = -1: must be a whole number >= 0, or none"),
        ("--run x", "run = 'x': must be a whole number >= 0, or none"),
        ("--seed 1", "seed = 1: belongs to several runs; must be one run = 1, 4"),
        ("--seed 9", "seed = 9: must be one of 0, 1, 2"),
        ("--run 0 --seed 1", "seed = 1: must be left out beside run = 0"),
        ("--dims 1", "dimension 1 of dims '1' is unknown; allowed: 0"),
        ("--dims 0,0", "dims = '0,0': must be one dimension (a line) or two different ones (a heat map)"),
        ("--dims x", "dims = 'x': must be whole numbers separated by commas, each >= 0, or none"),
        ("--states 0", "states = 0: must be a whole number in [1, 20]"),
        ("--out nowhere/x.png", "out = 'nowhere/x.png': must be a .png in an existing folder that can be written"),
        ("--out x.doc", "out = 'x.doc': must be a .png in an existing folder that can be written"),
    ],
)
def test_landscape_refuses(line, expected, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained[0])
    refuse(f"landscape runs/sac-toy-1 {line}", capsys, expected)


def test_landscape_goes_to_the_run_directory(trained, monkeypatch):
    monkeypatch.chdir(trained[0])
    figure = trained[0] / "runs" / "sac-toy-1" / "figures" / "landscape.png"
    shutil.rmtree(figure.parent)  # a run that was killed has none
    assert run("landscape runs/sac-toy-1 --run 4 --updates 5 --episodes 2 --states 1") == 0
    assert figure.is_file()


def test_landscape_of_a_run_that_never_began(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained[0] / "runs" / "sac-toy-1", "run", ignore=shutil.ignore_patterns("program_1", "state_*"))
    assert runs.load("run").agent_state(0) is not None
    refuse("landscape run --run 3", capsys, "run directory 'run': has no program_1; it must have been trained")


def test_film_shows_a_run_or_two(trained, capsys, monkeypatch):
    monkeypatch.chdir(trained[0])
    assert run("film runs/sac-toy-1 --run 4 --beside runs/sac-toy-1 --out film.gif") == 0
    assert capsys.readouterr().out.strip() == "film.gif"
    assert (trained[0] / "film.gif").read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--run 6", "run = 6: must be one of 0 to 5"),
        ("--beside nowhere", "run directory 'nowhere': has no config.json; must hold a run"),
        ("--out x.png", "out = 'x.png': must be a .mp4 or .gif in an existing folder that can be written"),
    ],
)
def test_film_refuses(line, expected, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained[0])
    refuse(f"film runs/sac-toy-1 {line}", capsys, expected)


def test_still_of_a_task(here, capsys):
    assert run("envs vehicle --still still.png") == 0
    assert (here / "still.png").read_bytes()[:4] == b"\x89PNG"
    refuse("envs vehicle --still nowhere/still.png", capsys, "out = 'nowhere/still.png': must be a .png in an ...")
    refuse("envs --still still.png", capsys, "TASK is missing; must be ...")


def test_theory_tells_what_entropy_costs_and_draws_it(tmp_path, capsys):
    folder = tmp_path / "new"
    assert cli.main(["theory", "toy", "--alpha", "0.5:1:2", "--gamma", "1", "--out", str(folder)]) == 0
    assert "{good} or {bad}" in capsys.readouterr().out
    found = json.loads((folder / "toy.json").read_text())
    assert [row["regret"] for row in found["alphas"]] == pytest.approx([0, 2])
    assert found["worst_alpha"] == 1
    assert found["ideal_switch"]["sets"] == [["good"], ["bad"]]
    assert (folder / "toy.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("theory", "TASK is missing; must be one of toy, bandit_chain, pendulum"),
        ("theory vehicle", "grid of TASK 'vehicle' is unknown; allowed: toy, bandit_chain, pendulum"),
        (
            "theory pendulm",
            "grid of TASK 'pendulm' is unknown; did you mean 'pendulum'? allowed: toy, bandit_chain, pendulum",
        ),
        ("theory toy --alpha 0:1:5", "alpha = '0:1:5': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha 1:2", "alpha = '1:2': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha 1:2:1", "alpha = '1:2:1': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha nan", "alpha = 'nan': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --alpha 1e308", "alpha = '1e308': must be a number > 0, or LOW:HIGH:COUNT with"),
        ("theory toy --bins 99", "bins = 99: must be a whole number in [3, 41]"),
        ("theory toy --env.action_delay 2", "env.action_delay = 2: must be 0"),
    ],
)
def test_theory_refuses_what_it_cannot_solve(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"maxent-jax: {said}")
    assert not list(tmp_path.iterdir())


def test_theory_refuses_in_one_line_what_only_the_solution_shows(tmp_path, capsys):
    out = tmp_path / "a" / "b"
    words = ["theory", "pendulum", "--bins", "3", "--alpha", "1", "--out", str(out), "--gamma", "1"]
    assert cli.main(words) == 2
    assert not list(tmp_path.iterdir())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("maxent-jax: gamma = 1.0: pendulum cannot be solved exactly with it; discount: ")


def test_theory_asks_where_to_write_before_it_solves(tmp_path, monkeypatch, capsys):
    (tmp_path / "toy.json").mkdir()
    monkeypatch.setattr("experiments.misleading.Found", None)
    assert cli.main(["theory", "toy", "--out", str(tmp_path)]) == 2
    assert "toy.json': must be a .json in an existing folder" in capsys.readouterr().err
