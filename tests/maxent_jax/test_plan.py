import math
from pathlib import Path

import jax
import pytest

import envs
from envs.fields import InvalidSetting, build
from maxent_jax import api, cli, plan
from maxent_jax.agents import PPO, SAC, SACAdaEnt
from maxent_jax.memory import held_bytes

VALUES = {"hidden": (16, 16), "batch_size": 8, "prefill_steps": 10, "buffer_size": 5_000}


pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Try training for a moment only."""
    monkeypatch.setattr(plan, "TRIED_SECONDS", 1e-9)
    monkeypatch.setattr(plan, "TRIED_UPDATES", 2)


def program(agent, seeds=1, steps=6_000, **options):
    """The one program of a training on the toy problem."""
    job = api.prepare(agent, "toy", seeds=seeds, steps=steps, memory=math.inf, **options)
    return job.sweep.programs[0]


@pytest.fixture
def untimed(monkeypatch):
    """Nothing is trained to tell how long it takes."""
    monkeypatch.setattr(plan, "seconds", lambda program, compiling: 60.0)


@pytest.mark.usefixtures("untimed")
def test_tells_what_is_held_and_how_many_runs_fit():
    two = program(build(SAC, VALUES), seeds=2)
    found = plan.estimate(two, memory=1e8)
    assert found.runs == 2
    rows = 5_000 * 4 * (6 + 1 + 3 + 6)  # replay outweighs all else here
    assert 2 * rows < found.held < 3 * rows
    assert found.held == held_bytes(two)
    assert found.held < found.needed < 1.3 * found.held
    assert found.fits == pytest.approx(1e8 / (found.needed / 2), abs=1)
    again = plan.estimate(program(build(SAC, VALUES), seeds=4), memory=1e8)
    assert again.fits == pytest.approx(found.fits, rel=0.05)
    assert found.updates == 6_000


@pytest.mark.usefixtures("untimed")
def test_counts_the_arithmetic_of_an_update():
    """16 passes over the batch of products, most of them 64 by 64, in each of 3 runs."""
    found = plan.estimate(program(build(SAC, VALUES | {"hidden": (64, 64), "batch_size": 256}), seeds=3), memory=1e9)
    expected = 3 * 16 * 2 * 256 * 64 * (64 + 7)
    assert found.update.flops == pytest.approx(expected, rel=0.25)
    assert 0 < found.step.flops < 1e-3 * found.update.flops


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent",
    [
        build(SAC, VALUES),
        build(SACAdaEnt, VALUES | {"n_samples": 4}),
        build(PPO, {"rollout_steps": 64, "batch_size": 8}),
    ],
)
def test_plans_every_kind_of_agent(agent):
    found = plan.estimate(program(agent, envs=2), memory=1e9)
    assert found.update.flops > 0
    assert found.seconds is not None
    assert 0 < found.seconds < 3600


@pytest.mark.slow
def test_time_grows_with_the_steps(monkeypatch):
    """Each call of a compiled program is taken for as long as the last one of its kind."""
    monkeypatch.setattr(plan, "_timed", lambda function, *arguments: (2.0, jax.block_until_ready(function(*arguments))))
    agent = build(SAC, VALUES)
    short, long = (plan.seconds(program(agent, steps=steps, evaluations=4), compiling=1e4) for steps in (400, 1200))
    tried = plan.TRIED_UPDATES  # one update an iteration
    assert short == pytest.approx(1e4 + 2.0 + 4 * 2.0 + 400 * 2.0 / tried)
    assert long == pytest.approx(1e4 + 2.0 + 4 * 2.0 + 1200 * 2.0 / tried)


def test_no_minutes_where_nobody_measured(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = plan.estimate(program(build(SAC, VALUES)), memory=1e9)
    assert found.seconds is None


@pytest.mark.usefixtures("untimed")
def test_more_runs_than_memory_is_one_line_that_says_how_many_fit():
    with pytest.raises(InvalidSetting, match=r"seeds = 4: need .* of 1\.0 MB; must be <= \d$") as refused:
        plan.estimate(program(build(SAC, VALUES), seeds=4), memory=1e6)
    fits = int(str(refused.value).split()[-1])
    assert plan.estimate(program(build(SAC, VALUES), seeds=fits), memory=1e6).fits >= fits
    with pytest.raises(InvalidSetting, match="not even one fits"):
        plan.estimate(program(build(SAC, VALUES)), memory=1e4)


@pytest.mark.usefixtures("untimed")
def test_command_prints_the_plan_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["plan", "sac", "--env", "toy", "--seeds", "2", "--steps", "3000", "--memory", "0.001"]
    small = ["--agent.hidden", "16,16", "--agent.buffer_size", "400", "--agent.batch_size", "8"]
    assert cli.main([*words, *small]) == 0
    shown = capsys.readouterr().out
    for text in ("runs that fit into 0.9 MB", "updates a run", "3,000", "minutes"):
        assert text in shown
    assert cli.main([*words, *small, "--seeds", "500"]) == 2
    assert "seeds = 500: need" in capsys.readouterr().err
    assert not list(Path.cwd().iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("untimed")
def test_grid_names_of_tasks_are_not_needed():
    """A bare object that is not ours is planned like any task."""
    job = api.prepare(build(SAC, VALUES), envs.make("pendulum"), steps=300, memory=math.inf)
    assert plan.estimate(job.sweep.programs[0], memory=1e9).held > 0
