import json
import math
import os
import signal

import compilations
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stubs
import tiny

import envs
import maxent_jax
from envs import fields
from envs.fields import InvalidSetting
from experiments import published
from maxent_jax import api, cli, interrupts, jobs
from maxent_jax.compiled import Compiled
from maxent_jax.progress import Reporter

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

# The same mistake in Python and on the command line.
MISTAKES = [
    (("sax", "toy", {}), "train sax --env toy"),
    (("sac", "toi", {}), "train sac --env toi"),
    (("sac", "toy", {"preset": "quik"}), "train sac --env toy --preset quik"),
    (("sac", "toy", {"agent_fields": {"alhpa": 1}}), "train sac --env toy --agent.alhpa 1"),
    (("sac", "toy", {"env_fields": {"reward": 1}}), "train sac --env toy --env.reward 1"),
    (("sac", "toy", {"agent_fields": {"alpha": "x"}}), "train sac --env toy --agent.alpha x"),
    (("sac", "toy", {"agent_fields": {"alpha": -1.0}}), "train sac --env toy --agent.alpha -1"),
    (("sac", "toy", {"agent_fields": {"alpha": math.nan}}), "train sac --env toy --agent.alpha nan"),
    (("sac", "toy", {"agent_fields": {"lr": math.inf}}), "train sac --env toy --agent.lr inf"),
    (("sac", "toy", {"agent_fields": {"lr": 0.0}}), "train sac --env toy --agent.lr 0"),
    (("sac", "toy", {"agent_fields": {"gamma": 1.1}}), "train sac --env toy --agent.gamma 1.1"),
    (("sac", "toy", {"agent_fields": {"hidden": (64, 0)}}), "train sac --env toy --agent.hidden 64,0"),
    (("sac_adaent", "toy", {"agent_fields": {"threshold": 3.0}}), "train sac_adaent --env toy --agent.threshold 3"),
    (("sac_adaent", "toy", {"agent_fields": {"n_samples": 1}}), "train sac_adaent --env toy --agent.n_samples 1"),
    (("sac", "toy", {"agent_fields": {"buffer_size": 9}}), "train sac --env toy --agent.buffer_size 9"),
    (("ppo", "toy", {"agent_fields": {"batch_size": 100}}), "train ppo --env toy --agent.batch_size 100"),
    (("ppo", "toy", {"envs": 3}), "train ppo --env toy --envs 3"),
    (("sac", "vehicle", {"env_fields": {"tyres": "snow"}}), "train sac --env vehicle --env.tyres snow"),
    (("sac", "toy", {"steps": 0}), "train sac --env toy --steps 0"),
    (("sac", "toy", {"steps": "1e3"}), "train sac --env toy --steps 1e3"),
    (("sac", "toy", {"envs": -2}), "train sac --env toy --envs -2"),
    (("sac", "toy", {"evaluations": 0}), "train sac --env toy --evaluations 0"),
    (("sac", "toy", {"seeds": 0}), "train sac --env toy --seeds 0"),
    (("sac", "toy", {"seeds": 100_001}), "train sac --env toy --seeds 100001"),
    (("sac", "toy", {"seeds": [3, 3]}), "train sac --env toy --seeds 3,3"),
    (("sac", "toy", {"seeds": [-1]}), "train sac --env toy --seeds -1,"),
    (("sac", "toy", {"seeds": "many"}), "train sac --env toy --seeds many"),
    (("sac", "toy", {"out": "taken"}), "train sac --env toy --out taken"),
    (("sac", "toy", {"out": "taken/file/x"}), "train sac --env toy --out taken/file/x"),
    (("sac", "toy", {"grid": {"alpa": [1]}}), "sweep sac --env toy --grid alpa=1"),
    (("sac", "toy", {"grid": {"env.mass": [1]}}), "sweep sac --env toy --grid env.mass=1"),
    (("sac", "toy", {"grid": {"alpha": [1.0, -2.0]}}), "sweep sac --env toy --grid alpha=1,-2"),
    (("sac", "toy", {"grid": {"alpha": [1.0, 1.0]}}), "sweep sac --env toy --grid alpha=1,1"),
    (("ppo", "toy", {"grid": {"batch_size": [64, 100]}}), "sweep ppo --env toy --grid batch_size=64,100"),
]

# Mistakes that only Python can make.
OTHERS = [
    (("sac", 3, {}), "env = 3: must be a task's name, an envs.Task or a Brax Env"),
    ((3, "toy", {}), "agent = 3: must be an agent's name or an Agent"),
    ((maxent_jax.SAC, "toy", {}), "agent = <class 'maxent_jax.agents.sac.SAC'>: must be an agent's name or an Agent"),
    ((maxent_jax.SAC(), "toy", {}), "steps = None: must be given for an agent that is not given by name"),
    (("sac", "toy", {"steps": 10.5}), "steps = 10.5: must be a whole number >= 1, or none"),
    (("sac", "toy", {"steps": True}), "steps = True: must be a whole number >= 1, or none"),
    (("sac", "toy", {"envs": 2**40}), f"envs = {2**40}: must be a whole number >= 1, or none"),
    (("sac", "toy", {"evaluations": None}), "evaluations = None: must be a whole number >= 1"),
    (("sac", "toy", {"seeds": True}), "seeds = True: must be how many"),
    (("sac", "toy", {"seeds": 2.0}), "seeds = 2.0: must be how many"),
    (("sac", "toy", {"seeds": []}), "seeds = []: must be how many"),
    (("sac", "toy", {"seeds": [0, 1.5]}), "seeds = [0, 1.5]: must be how many"),
    (("sac", "toy", {"seeds": None}), "seeds = None: must be how many"),
    (("sac", "toy", {"agent_fields": {"alpha": True}}), "agent.alpha = True: must be a number >= 0"),
    (("sac", "toy", {"agent_fields": {"alpha": [0.1, 0.2]}}), "agent.alpha = [0.1, 0.2]: must be a number >= 0"),
    (("sac", "toy", {"agent_fields": {"auto_alpha": 1}}), "agent.auto_alpha = 1: must be true or false"),
    (("sac", "toy", {"grid": {"alpha": []}}), "grid alpha = []: must be a list of values, at least one"),
    (("sac", "toy", {"grid": {"alpha": 1.0}}), "grid alpha = 1.0: must be a list of values, at least one"),
    (("sac", "toy", {"agent_fields": {"alpha": 10**400}}), "agent.alpha = 1000"),
    (("sac", "toy", {"env_fields": {"name": 1}}), "field env.name is unknown"),
    (("sac", "toy", {"agent_fields": ["alpha"]}), "agent_fields = ['alpha']: must be values by field"),
    (("sac", "toy", {"env_fields": 3}), "env_fields = 3: must be values by field"),
    (("sac", "toy", {"grid": ["alpha"]}), "grid = ['alpha']: must be values by field"),
    (("sac", "toy", {"grid": {"alpha": np.array(0.2)}}), "grid alpha = 0.2: must be a list of values, at least one"),
    (("sac", "toy", {"out": 5}), "out = 5: must be a path"),
    (("sac", "toy", {"grid": {"alpha": "12"}}), "grid alpha = '12': must be a list of values, at least one"),
]


def complaint(agent, env, options):
    """What `train` says; nothing is compiled or written."""
    before = sorted(os.walk("."))
    with compilations.heard() as compiled, pytest.raises(InvalidSetting) as error:
        maxent_jax.train(agent, env, **options)
    assert isinstance(error.value, ValueError)
    assert compiled == []
    assert sorted(os.walk(".")) == before
    return str(error.value)


@pytest.mark.parametrize(("call", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_is_the_same_line_as_on_the_command_line(call, line, here, capsys):
    said = complaint(*call)
    assert cli.main(line.split()) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"maxent-jax: {said}"


@pytest.mark.parametrize(("call", "expected"), OTHERS)
def test_a_mistake_in_python_is_one_line(call, expected, here):
    said = complaint(*call)
    assert said.startswith(expected)
    assert "\n" not in said


def test_a_sweep_needs_a_grid():
    with pytest.raises(ValueError, match=r"grid = \{\}: must name at least one field with its values"):
        maxent_jax.sweep("sac", "toy", {})


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (3, [0, 1, 2]),
        (np.int64(2), [0, 1]),
        ([7], [7]),
        ((2**32 - 1, 0), [2**32 - 1, 0]),
        (range(2, 4), [2, 3]),
        (np.array([5, 9]), [5, 9]),
        (jnp.array([5, 9]), [5, 9]),
        (iter([4, 8]), [4, 8]),
    ],
)
def test_seeds(seeds, expected, here):
    assert api.prepare("sac", "toy", seeds=seeds).config["seeds"] == expected


@pytest.mark.parametrize(
    ("agent", "env"),
    [("sac", "toy"), ("sac_adaent", "vehicle"), ("ppo", "pendulum"), ("td3", "pendulum"), ("sac_annealed", "toy")],
)
def test_a_name_takes_the_published_settings(agent, env, here):
    job = api.prepare(agent, env)
    row = published.row(agent, env)
    assert job.config["agent_fields"] == fields.plain_values(row.agent)
    assert (job.config["steps"], job.config["envs"], job.config["preset"]) == (row.steps, row.envs, "paper")
    assert job.differences == ""


def test_what_differs_from_the_published_settings_is_said(here):
    job = api.prepare("sac", "vehicle", preset="quick", agent_fields={"alpha": 0.5})
    assert job.differences == (
        "batch_size 64 (256), prefill_steps 1000 (10000), hidden (64, 64) ((256, 256)), alpha 0.5 (0.2), "
        "steps 20000 (2000000)"
    )


def test_instances_keep_their_fields(here):
    agent, env = maxent_jax.SAC(alpha=0.7, hidden=(16,)), envs.make("pendulum", mass=2.0)
    job = api.prepare(agent, env, steps=10, agent_fields={"tau": 0.1}, env_fields={"length": 0.5})
    assert job.config["agent_fields"] == fields.plain_values(maxent_jax.SAC(alpha=0.7, hidden=(16,), tau=0.1))
    assert job.config["env_fields"] == fields.plain_values(envs.make("pendulum", mass=2.0, length=0.5))
    assert (job.config["agent"], job.config["env"], job.config["preset"]) == ("sac", "pendulum", None)


@pytest.mark.parametrize(
    ("agent", "line"),
    [
        (maxent_jax.SAC(alpha=-1.0), r"agent\.alpha = -1\.0: must be a number >= 0"),
        (maxent_jax.SAC(batch_size=8, buffer_size=4), r"agent\.batch_size = 8: must be <= buffer_size, which is 4"),
    ],
)
def test_instances_are_checked_too(agent, line):
    with pytest.raises(ValueError, match=line):
        maxent_jax.train(agent, "toy", steps=10)
    with pytest.raises(ValueError, match=r"env\.mass = 0\.0: must be a number > 0"):
        maxent_jax.train("sac", envs.make("pendulum").replace(mass=0.0))


@flax.struct.dataclass
class Counted(stubs.Counting):
    """A user's own agent, that nothing registers; its state is how often it was updated."""

    def log_prob(self, state, obs, action):
        return jnp.zeros(obs.shape[:-1])


def test_own_agent_and_own_task(here):
    agent, env = fields.build(Counted, {"batch_size": 4, "mean": 0.5}), fields.build(stubs.Walk, {"horizon": 3})
    with compilations.heard() as compiled:
        result = maxent_jax.sweep(agent, env, {"mean": (0.5, 1.0), "env.horizon": (2, 3)}, seeds=2, steps=20)
    assert [compiled.count(name) for name in ("begin", "prefill", "train", "evaluate")] == [1, 1, 1, 1]
    assert result.path.name == "Counted-Walk-1"
    again = maxent_jax.load(result.path, agent, env)
    assert [again.agent_state(run) for run in range(8)] == [20] * 8
    assert again.policy(7)(jnp.zeros(2)) == 1.0
    final = [entry["return_deterministic"]["per_seed"] for entry in again.summary["configurations"]]
    for (mean, horizon), values in zip([(0.5, 2), (0.5, 3), (1.0, 2), (1.0, 3)], final, strict=True):
        # from a start u in [0, 1] the rewards are u + mean, u + 2 mean, ...
        moved = mean * horizon * (horizon + 1) / 2
        assert all(moved < value < moved + horizon for value in values)


@pytest.fixture(scope="module")
def job_of(quick_compile, no_figures):
    """A tiny run, checked; many tests share its program."""

    def prepare(out, **options):
        return api.prepare("sac", "toy", **tiny.RUNS | options, agent_fields=tiny.FIELDS["sac"], out=out)

    return prepare


def test_python_is_silent_and_returns_what_is_written(job_of, tmp_path, capfd):
    (tmp_path / "run").mkdir()  # an empty folder is as good as none
    result = api.execute(job_of(tmp_path / "run"))
    assert capfd.readouterr() == ("", "")
    loaded = maxent_jax.load(tmp_path / "run")
    assert loaded.config == result.config == json.loads((tmp_path / "run" / "config.json").read_text())
    jax.tree.map(np.testing.assert_array_equal, dict(loaded.metrics), dict(result.metrics))
    assert loaded.summary == result.summary


def interrupt_after(monkeypatch, chunks):
    """Ctrl-C as soon as so many chunks are shown."""
    shown = []

    def chunk(self, program, chunk):
        shown.append(chunk.index)
        if len(shown) == chunks:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Reporter, "chunk", chunk)
    return shown


def test_ctrl_c_raises_interrupted_with_what_ran(job_of, tmp_path, monkeypatch):
    shown = interrupt_after(monkeypatch, chunks=2)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(interrupts.Interrupted) as stop:
        api.execute(job_of(tmp_path / "run"))
    assert signal.getsignal(signal.SIGINT) is before
    assert shown == [0, 1]  # of 0, 1, 2
    result = stop.value.result
    np.testing.assert_array_equal(result.metrics["env_steps"], [[0, 32]] * 3)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["complete"], summary["env_steps"]) == (False, 32)
    assert len(summary["configurations"][0]["return_deterministic"]["per_seed"]) == 3
    assert result.policy(2)(np.eye(6, dtype=np.float32)).shape == (6, 1)


def test_ctrl_c_while_compiling_ends_with_the_untrained_agents(job_of, tmp_path, monkeypatch):
    def compile_slowly(program):
        signal.raise_signal(signal.SIGINT)
        return Compiled(program)

    monkeypatch.setattr(jobs, "Compiled", compile_slowly)
    with pytest.raises(interrupts.Interrupted) as stop:
        api.execute(job_of(tmp_path / "run"))
    np.testing.assert_array_equal(stop.value.result.metrics["env_steps"], [[0]] * 3)
    assert stop.value.result.agent_state(0) is not None


def test_ctrl_c_leaves_later_programs_out(job_of, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, chunks=1)
    with pytest.raises(interrupts.Interrupted) as stop:
        api.execute(job_of(tmp_path / "run", grid={"hidden": ((8,), (4,))}))
    result = stop.value.result
    first, second = json.loads((tmp_path / "run" / "summary.json").read_text())["configurations"]
    assert all(value is not None for value in first["return_deterministic"]["per_seed"])
    assert second["return_deterministic"] == {
        "mean": None,
        "iqm": None,
        "low": None,
        "high": None,
        "iqm_low": None,
        "iqm_high": None,
        "per_seed": [None] * 3,
    }
    assert result.agent_state(0) is not None
    with pytest.raises(ValueError, match="has no program_1; it must have been trained"):
        result.agent_state(3)


def test_numpy_values_are_as_good_as_python_values(tmp_path):
    job = api.prepare(
        "sac",
        "vehicle",
        env_fields={"mass": np.float32(1200)},
        agent_fields={"lr": np.float64(0.01), "buffer_size": 1000},
        out=tmp_path / "x",
    )
    (configuration,) = job.config["configurations"]
    assert configuration["overrides"] == {"lr": 0.01, "buffer_size": 1000, "env.mass": 1200.0}
    json.dumps(job.config, allow_nan=False)


def test_a_link_to_nothing_is_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidSetting, match="link': is a link to nothing; must be a new or an empty folder"):
        api.prepare("sac", "toy", out=tmp_path / "link")
