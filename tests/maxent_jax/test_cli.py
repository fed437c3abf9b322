import os
import shutil
import sys

import commands
import pytest

from maxent_jax import cli
from maxent_jax.commands import tasks

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
    (
        "film runs --stepz 5",
        "option --stepz is unknown; allowed: --run, --beside, --out, --no_cache",
    ),
    (
        "train sac --env toy --velocity 5",
        "option --velocity is unknown; allowed: --env, --seeds, --steps, --envs, --preset, --evaluations, --out, "
        "--resume, --checkpoint_every, --keep, --shard, --distributed, --no_cache, --tensorboard, --wandb, "
        "--agent.FIELD, --env.FIELD",
    ),
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
    (
        "train sac --env toy --agent.hidden 1000000,1000000",
        "agent.hidden = (1000000, 1000000): 1 run(s) need ...",
    ),
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


@pytest.mark.parametrize(("line", "expected"), MISTAKES)
def test_mistake_is_one_line_and_nothing_happens(line, expected, here, capsys):
    commands.refuse(line, capsys, expected)


def test_unwritable_folder(here, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root
    commands.refuse("train sac --env toy --out new", capsys, "out = 'new': {cwd}' cannot be written; must be a writ...")
    commands.refuse("reproduce toy --out new", capsys, "out = 'new': {cwd}' cannot be written; must be a writable ...")


def test_folder_that_may_not_be_entered(here, capsys, monkeypatch):
    stat = os.stat

    def locked(path, *args, **kwargs):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", locked)
    expected = "out = 'locked/new': Permission denied; must be a new or an empty folder"
    commands.refuse("train sac --env toy --out locked/new", capsys, expected)


def test_full_disk(here, capsys, monkeypatch):
    usage = shutil.disk_usage(here)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    commands.refuse("train sac --env toy", capsys, "out = 'runs/sac-toy-1': 1.0 MB are free on its disk; must be ...")


def test_mistake_in_a_process_of_its_own(here):
    process = commands.start("train sac --env toy --agent.alpha -1".split(), here)  # noqa: SIM905
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert err.strip().splitlines()[-1] == "maxent-jax: agent.alpha = -1.0: must be a number >= 0"
    assert "Traceback" not in err
    assert os.listdir() == ["taken"]


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_help_of_every_command(command, capsys):
    assert cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"maxent-jax {command}" in out
    assert "--help" in out


def test_an_exit_that_a_handler_wants_is_left_alone(monkeypatch):
    monkeypatch.setattr(tasks, "envs_command", lambda words: sys.exit(144))
    with pytest.raises(SystemExit) as stop:
        cli.main(["envs"])
    assert stop.value.code == 144


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(words, capsys):
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    named = {line.split()[0] for line in lines if line.startswith("  ")}
    promised = "train sweep resume submit merge status reproduce report evaluate compare landscape film envs plan bench"
    assert named == {*promised.split(), "theory"}
