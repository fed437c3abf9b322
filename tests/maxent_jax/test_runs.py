import dataclasses
import errno
import importlib.metadata
import json
import math
import os
import shutil
from typing import Any

import jax
import numpy as np
import pytest
import tiny

import envs
import maxent_jax
from envs import fields
from maxent_jax import runs, stats
from maxent_jax.agents import AGENTS
from maxent_jax.compiled import Chunk
from maxent_jax.faults import Fault
from maxent_jax.programs import expand
from maxent_jax.result import last, load

pytestmark = pytest.mark.usefixtures("quick_compile")

CLOCKS = {"elapsed_seconds", "env_steps_per_second", "updates_per_second"}
PROMISED = {
    "run", "seed", "env_steps", "updates", "return_deterministic", "return_stochastic", "return_training", "alpha",
    "entropy", "actor_loss", "critic_loss", "q_mean", "switched_share", "similarity_q05", "similarity_q50",
    "similarity_q95", *CLOCKS,
}  # fmt: skip
NOT_OF_ADAENT = {"alpha_loss", "value_loss", "value_mean", "clipped_share"}

CALL: dict[str, Any] = {
    "seeds": (5, 3),
    "steps": 60,
    "envs": 2,
    "evaluations": 3,
    "agent_fields": tiny.FIELDS["sac_adaent"] | {"prefill_steps": 11, "updates_per_step": 0.5},
    "env_fields": {"reward_safe": -2.0},
    "grid": {"threshold": (0.5, 2.0), "hidden": ((8,), (4,)), "env.reward_hit": (2.0,)},
}
"""Two programs, four configurations, eight runs; runs of a program are not neighbours."""


@pytest.fixture(scope="module")
def saved():
    """The states of the agents as the trainer had them, by program."""
    return {}


@pytest.fixture(scope="module")
def result(tmp_path_factory, quick_compile, saved):
    save = runs.save_agents

    def listen(directory, index, state, share):
        saved[index] = jax.tree.map(np.asarray, state)
        save(directory, index, state, share)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "save_agents", listen)
        return maxent_jax.train("sac_adaent", "toy", **CALL, out=tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def lines(result):
    return [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]


def test_directory_holds_what_is_promised(result):
    assert {path.name for path in result.path.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "summary.json",
        "checkpoints",
        "figures",
    }
    checkpoints = {path.name for path in (result.path / "checkpoints").iterdir()}
    assert {name for name in checkpoints if name.startswith("program")} == {"program_0", "program_1"}
    assert len(checkpoints) <= 4  # the newest two states of training beside them
    for name in ("curves.png", "landscape.png"):
        assert (result.path / "figures" / name).read_bytes()[:4] == b"\x89PNG"


def test_lines_are_ordered_by_program_chunk_and_run(lines):
    first, second = [0, 1, 4, 5], [2, 3, 6, 7]
    assert [line["run"] for line in lines] == first * 4 + second * 4
    assert all(line["seed"] == (5, 3)[line["run"] % 2] for line in lines)


def test_k_evaluations_are_k_plus_1_lines_that_count_prefill_environments_and_updates(lines):
    for run in range(8):
        own = [line for line in lines if line["run"] == run]
        assert [line["env_steps"] for line in own] == [12, 32, 52, 72]  # 11 random steps are 6 of each environment
        assert [line["updates"] for line in own] == [0, 10, 20, 30]  # half of the steps of both environments


def test_every_line_has_every_field_and_null_where_there_is_nothing(lines):
    for line in lines:
        assert set(line) == {"run", "seed", "failed", *runs.COLUMNS}
        assert set(line) >= PROMISED
        assert {name for name in line if "second" in name} == CLOCKS
        trained = line["updates"] > 0
        nothing = {name for name in line if line[name] is None} - {"failed"}
        assert line["failed"] is None
        learned = set(runs.METRICS) if not trained else NOT_OF_ADAENT
        assert nothing == learned
        assert all(math.isfinite(value) for value in line.values() if value is not None)


def test_lines_are_strict_json_of_whole_numbers_and_shortest_decimals(result):
    text = (result.path / "metrics.jsonl").read_text()
    assert text.endswith("}\n")
    assert not {"NaN", "Infinity"} & set(text.replace(",", " ").split())
    line = json.loads(text.splitlines()[-1])
    assert all(type(line[name]) is int for name in ("run", "seed", "env_steps", "updates"))
    assert all(len(str(line[name]).lstrip("-0.").replace(".", "")) <= 9 + 4 for name in runs.METRICS)
    assert line["alpha"] == 1.0


def test_thresholds_reach_their_runs(result, lines):
    for line in lines:
        if line["updates"]:
            threshold = result.config["configurations"][line["run"] // 2]["grid"]["threshold"]
            assert (line["switched_share"] == 1.0) == (threshold == 2.0)


def test_task_fields_reach_their_runs(lines):
    assert {line["return_deterministic"] for line in lines} <= {2.0, -2.0, -20.0}


@pytest.mark.parametrize(
    ("agent", "index", "steps_per_second", "updates_per_second"),
    [("sac", 0, 24.0, 0.0), ("sac", 1, 40.0, 20.0), ("ppo", 0, 0.0, 0.0), ("ppo", 1, 64.0, 8.0)],
)
def test_rates_are_those_of_one_run(agent, index, steps_per_second, updates_per_second):
    own = {} if agent == "ppo" else {"prefill_steps": 12, "updates_per_step": 0.5}
    built = fields.build(AGENTS[agent], tiny.FIELDS[agent] | own)
    (program,) = expand(built, envs.make("toy"), (0, 1), {}, steps=60, envs=2, evaluations=3).programs
    metrics = {name: np.zeros(2, np.float32) for name in (*runs.EPISODES, *runs.METRICS)}
    metrics |= {"failed_step": np.array([-1, 7]), "failed_cause": np.array([0, 1])}
    lines = runs.metric_lines(program, Chunk(index, 32, 10, seconds=0.5, metrics=metrics), elapsed=1.23456)
    assert [line["failed"] for line in lines] == [None, {"step": 7, "cause": "loss"}]
    for line in lines:
        assert line["elapsed_seconds"] == 1.235
        assert line["env_steps_per_second"] == steps_per_second
        assert line["updates_per_second"] == updates_per_second


def test_config_says_all(result):
    config = result.config
    assert config == json.loads((result.path / "config.json").read_text())
    assert config["versions"]["jax"] == importlib.metadata.version("jax")
    assert config["device"].startswith(jax.local_devices()[0].platform)
    assert set(config["agent_fields"]) == set(fields.settings(AGENTS["sac_adaent"]))
    assert config["env_fields"] == fields.plain_values(envs.make("toy", reward_safe=-2.0))
    assert config["configurations"][1]["grid"] == {"threshold": 0.5, "hidden": [4], "env.reward_hit": 2.0}
    assert (
        config["configurations"][1]["overrides"].items() >= {"threshold": 0.5, "hidden": [4], "batch_size": 8}.items()
    )
    assert config["configurations"][1]["overrides"]["env.reward_safe"] == -2.0
    assert [entry["program"] for entry in config["runs"]] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_config_repeats_the_run_exactly(result, lines, tmp_path):
    config = json.loads((result.path / "config.json").read_text())
    names = ("seeds", "steps", "envs", "evaluations", "preset", "agent_fields", "env_fields", "grid")
    again = maxent_jax.train(config["agent"], config["env"], **{name: config[name] for name in names}, out=tmp_path)
    repeated = [json.loads(line) for line in (again.path / "metrics.jsonl").read_text().splitlines()]
    assert [strip(line) for line in repeated] == [strip(line) for line in lines]
    for run in range(8):
        jax.tree.map(np.testing.assert_array_equal, again.agent_state(run), result.agent_state(run))


def strip(line):
    return {name: value for name, value in line.items() if name not in CLOCKS}


def test_summary_is_the_last_evaluation(result, lines):
    summary = json.loads((result.path / "summary.json").read_text())
    assert summary == result.summary | {"complete": True}
    assert summary["env_steps"] == 72
    assert len(summary["configurations"]) == 4
    for index, entry in enumerate(summary["configurations"]):
        assert (entry["agent"], entry["env"], entry["seeds"]) == ("sac_adaent", "toy", [5, 3])
        assert entry["overrides"] == result.config["configurations"][index]["overrides"]
        last = {line["run"]: line for line in lines}  # later lines win
        for name in ("return_deterministic", "return_stochastic"):
            values = [last[2 * index][name], last[2 * index + 1][name]]
            expected = stats.interval(values)
            assert entry[name] == {
                "mean": expected.mean,
                "iqm": expected.iqm,
                "low": expected.low,
                "high": expected.high,
                "iqm_low": expected.iqm_low,
                "iqm_high": expected.iqm_high,
                "per_seed": values,
            }


def test_result_holds_the_same_as_arrays(result, lines):
    assert result.metrics["entropy"].shape == (8, 4)
    for name in runs.COLUMNS:
        for run in range(8):
            wanted = [math.nan if line[name] is None else line[name] for line in lines if line["run"] == run]
            np.testing.assert_array_equal(result.metrics[name][run], wanted)
    assert [result.rows(i) for i in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [agent.hidden for agent in result.agents] == [(8,), (4,), (8,), (4,)]
    assert [float(agent.threshold) for agent in result.agents] == [0.5, 0.5, 2.0, 2.0]
    assert [float(env.reward_hit) for env in result.envs] == [2.0] * 4


def test_every_run_has_its_own_parameters(result, saved):
    loaded = load(result.path)
    for program, members in enumerate(([0, 1, 4, 5], [2, 3, 6, 7])):
        for row, run in enumerate(members):
            own = jax.tree.map(lambda x, row=row: x[row], saved[program])
            jax.tree.map(np.testing.assert_array_equal, loaded.agent_state(run), own)


@pytest.mark.parametrize("run", [0, 7])
def test_policy_acts_as_the_agent(run, result):
    loaded = load(result.path)
    agent, state = result.agents[run // 2], result.agent_state(run)
    obs, key = np.eye(6, dtype=np.float32), jax.random.key(1)
    mean = agent.act(state, obs, key, deterministic=True)
    np.testing.assert_allclose(loaded.policy(run)(obs), mean, rtol=1e-6)
    np.testing.assert_allclose(loaded.policy(run)(obs[2]), mean[2], rtol=1e-5)
    draw = loaded.policy(run, deterministic=False)
    np.testing.assert_allclose(draw(obs, key), agent.act(state, obs, key), rtol=1e-6)
    assert not np.allclose(draw(obs, key), mean)
    with pytest.raises(ValueError, match="needs a key"):
        draw(obs)


def test_a_shards_policy_is_its_own_runs(result):
    """A shard keeps the numbers of the whole sweep, so that a run's number is not its place."""
    kept = tuple(info for info in result.runs if info.run % 4 == 3)  # of the second and the last configuration
    shard = dataclasses.replace(load(result.path), runs=kept)
    obs = np.eye(6, dtype=np.float32)
    for info in kept:
        np.testing.assert_array_equal(shard.policy(info.run)(obs), result.policy(info.run)(obs))


@pytest.mark.parametrize("run", [8, -1])
def test_a_run_that_does_not_exist(run, result):
    for ask in (result.agent_state, result.policy, result.check_run):
        with pytest.raises(ValueError, match=f"run = {run}: must be one of 0 to 7"):
            ask(run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"\xff\xfe"),
        ("config.json", b'{"runs": []}'),
        ("metrics.jsonl", None),
        ("metrics.jsonl", b'{"run": 0, "seed": 5}\n'),
        ("metrics.jsonl", b'{"run": 0, "se'),
    ],
)
def test_what_is_not_a_run_directory_is_one_line(name, content, result, tmp_path):
    shutil.copytree(result.path, tmp_path / "broken", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "broken" / name).unlink()
    if content is not None:
        (tmp_path / "broken" / name).write_bytes(content)
    kind, told = (
        (Fault, r"cannot be read \(.*\)")
        if (tmp_path / "broken" / "config.json").exists()
        else (
            fields.InvalidSetting,
            r"has no config\.json; must hold a run",
        )
    )
    with pytest.raises(kind, match=f"run directory '.*broken': {told}") as error:
        load(tmp_path / "broken")
    assert "\n" not in str(error.value)


def test_a_run_that_diverged_is_null_and_still_summarised_and_drawn(tmp_path):
    broken = tiny.FIELDS["sac"] | {"lr": 1e30}
    result = maxent_jax.train("sac", "toy", **tiny.RUNS, agent_fields=broken, out=tmp_path / "run")
    last = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()][-3:]
    assert [line["critic_loss"] for line in last] == [None] * 3
    summary = json.loads((result.path / "summary.json").read_text())
    assert len(summary["configurations"][0]["return_deterministic"]["per_seed"]) == 3
    assert (result.path / "figures" / "landscape.png").exists()


def test_free_name_counts_up(tmp_path):
    assert runs.free_name(tmp_path, "sac-toy") == tmp_path / "sac-toy-1"
    (tmp_path / "sac-toy-1").mkdir()
    (tmp_path / "sac-toy-3").mkdir()
    assert runs.free_name(tmp_path, "sac-toy") == tmp_path / "sac-toy-2"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.float32(0.2), 0.2), (0.1 + 0.2, 0.3), (-3, -3.0), (math.nan, None), (math.inf, None), (-math.inf, None)],
)
def test_number_is_the_shortest_decimal_of_a_float32(value, expected):
    assert runs.number(value) == expected


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 2, math.nan], 2), ([1, math.nan, 3], 3), ([math.nan], math.nan), ([], math.nan)]
)
def test_last_skips_what_is_missing_at_the_end(values, expected):
    np.testing.assert_equal(last(np.array(values, float)), expected)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "config.json"
    runs.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_json(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": 1}
    runs.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}


def test_a_full_disk_leaves_the_old_file_and_is_told_with_the_files_name(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    runs.write_json(path, {"a": 1})

    def full(self, content):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: .*summary\.json"):
        runs.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_of_another_schema_is_refused_and_an_older_column_may_be_missing(result, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(result.path, path)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    older = [{name: value for name, value in line.items() if name != "nonfinite"} for line in lines]
    (path / "metrics.jsonl").write_text("".join(map(runs.to_line, older)))
    found = load(path)
    assert np.all(np.isnan(found.metrics["nonfinite"]))
    np.testing.assert_array_equal(found.metrics["q_mean"], result.metrics["q_mean"])
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"schema": 99}))
    with pytest.raises(Fault, match="schema = 99; must be 1"):
        load(path)
