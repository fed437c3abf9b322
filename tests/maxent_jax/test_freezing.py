import functools
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from rich.console import Console
from stubs import Breaking, Faulty, Walk

import maxent_jax
from envs.fields import build
from maxent_jax import freezing, plots, replay, trainer
from maxent_jax.agents import AGENTS
from maxent_jax.compiled import Compiled
from maxent_jax.programs import expand

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = {"batch_size": 4, "draw": 1.0, "noise": 0.5}


def ran(agent, env, steps=40, envs=1, seed=0, chunks=1):
    """A run after its prefill and all chunks, and the last one's report."""
    plan = trainer.schedule(agent, steps, envs, evaluations=chunks)

    @jax.jit
    def go(agent, env):
        run, counters, _ = trainer.prefill(agent, env, trainer.begin(agent, env, seed, plan), trainer.no_steps(), plan)
        report = {}
        for _ in range(chunks):
            run, counters, report = trainer.train(agent, env, run, counters, plan)
        return run, counters, report

    return go(agent, env)


def transitions(run, env):
    return jax.tree.map(np.asarray, replay.unpack(run.rows, env))


def all_finite(tree):
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    # the 18th update follows the 18th step; a parameter is looked at when its chunk ends
    ("field", "cause", "step"),
    [("loss_at", freezing.LOSS, 18), ("state_at", freezing.PARAMETERS, 20)],
)
def test_the_state_before_the_failing_chunk_is_kept(field, cause, step):
    agent, env = build(Breaking, SMALL | {field: 17.0}), build(Walk, {})
    run, _, report = ran(agent, env, chunks=4)
    assert run.agent == 10.0
    assert (run.failure.step, run.failure.cause) == (step, cause)
    assert (report["failed_step"], report["failed_cause"]) == (step, cause)
    assert np.isnan(report["q_mean"])  # it is finite, but nothing was learned
    assert np.isnan(report["critic_loss"])
    assert all_finite(transitions(run, env))


def test_a_sound_run_reports_no_fault():
    run, _, report = ran(build(Breaking, SMALL), build(Walk, {}))
    assert run.agent == 40.0
    assert (report["failed_step"], report["failed_cause"]) == (-1, 0)
    assert np.isfinite(report["critic_loss"])


def test_actions_that_are_not_finite_fail_the_run_and_are_not_stored():
    agent, env = build(Breaking, SMALL | {"act_at": 5.0}), build(Walk, {"horizon": 1000})
    run, _, _ = ran(agent, env)
    assert (run.failure.step, run.failure.cause, run.agent) == (5, freezing.PARAMETERS, 0.0)
    rows = transitions(run, env)
    assert all_finite(rows)
    assert np.all(rows.action[:5] != 0)
    assert np.all(rows.action[5:] == 0)


@pytest.mark.parametrize("field", ["unpaid", "blind", "cliff"])
def test_a_task_that_breaks_on_the_way_fails_no_run_and_reaches_no_replay(field):
    agent, env = build(Breaking, SMALL), build(Faulty, {"horizon": 6, field: 2.2})
    run, _, report = ran(agent, env, steps=60)
    rows = transitions(run, env)
    assert all_finite(rows)
    broken = rows.duration == 0
    assert report["nonfinite"] == broken.sum() > 3
    assert np.all(rows.reward[broken] == 0)
    np.testing.assert_array_equal(rows.next_obs[broken], rows.obs[broken])
    assert (run.failure.step, run.agent) == (-1, 60.0)


def test_a_start_that_is_not_finite_fails_the_run():
    agent, env = build(Breaking, SMALL), build(Faulty, {"horizon": 4, "nowhere": 0.9})
    run, _, report = ran(agent, env, seed=1)
    begun = trainer.begin(agent, env, 1, trainer.schedule(agent, 40))
    assert begun.failure.step == -1  # the premise: it is a later episode that cannot begin
    step = int(run.failure.step)
    assert step > 0
    assert step % 4 == 0  # after so many whole episodes
    assert run.failure.cause == freezing.ENVIRONMENT
    assert run.agent == 0
    rows = transitions(run, env)
    assert all_finite(rows)
    assert rows.obs[step].tolist() == [0, 0]  # where the broken episode began
    assert np.isnan(report["q_mean"])


def test_a_task_that_never_begins_has_failed_at_step_0():
    agent, env = build(Breaking, SMALL | {"prefill_steps": 5}), build(Faulty, {"nowhere": -1.0})
    run, _, _ = ran(agent, env, envs=2)
    assert (run.failure.step, run.failure.cause, run.agent) == (0, freezing.ENVIRONMENT, 0.0)
    assert all_finite(transitions(run, env))


def test_the_first_fault_counts():
    failure = functools.reduce(
        lambda f, new: freezing.note(f, *map(jnp.int32, new)), [(0, 1), (2, 5), (1, 6)], freezing.none()
    )
    assert (failure.step, failure.cause) == (5, 2)


@pytest.mark.parametrize("name", AGENTS)
def test_every_number_of_a_state_must_stay_finite(name):
    agent = build(AGENTS[name], tiny.FIELDS[name])
    state = agent.init(jax.random.key(0), build(Walk, {}).spec)
    leaves, tree = jax.tree.flatten(state)
    kept, failure = freezing.keep(state, state, freezing.none(), jnp.int32(9))
    assert failure.step == -1
    for index, leaf in enumerate(leaves):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        spoilt = [x.ravel().at[-1].set(jnp.nan).reshape(x.shape) if i == index else x for i, x in enumerate(leaves)]
        kept, failure = freezing.keep(state, jax.tree.unflatten(tree, spoilt), freezing.none(), jnp.int32(9))
        assert (failure.step, failure.cause) == (9, freezing.PARAMETERS)
        jax.tree.map(np.testing.assert_array_equal, kept, state)


@pytest.mark.parametrize("agent", tiny.agents())
def test_the_other_runs_of_a_sweep_are_the_same_bit_for_bit(agent):
    chunks = {}
    for value in (1e-3, 1e30):  # the run in the middle is harmless, or diverges
        built = build(AGENTS[agent], tiny.FIELDS[agent])
        steps = 200 if agent == "ppo" else 60
        (program,) = expand(built, build(Walk, {}), (4,), {"lr": (3e-4, value, 3e-3)}, steps, 1, 3).programs
        chunks[value] = [(chunk.metrics, jax.tree.map(np.asarray, chunk.state)) for chunk in Compiled(program).chunks()]
    for (metrics, state), (spoilt, other) in zip(chunks[1e-3], chunks[1e30], strict=True):
        for name in metrics:
            np.testing.assert_array_equal(metrics[name][[0, 2]], spoilt[name][[0, 2]], err_msg=name)
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[[0, 2]], y[[0, 2]]), state, other)
        assert all_finite(other)
    assert metrics["failed_step"].tolist() == [-1, -1, -1]
    sound, failed, _ = spoilt["failed_step"]
    assert sound == -1 < failed
    assert np.isnan(spoilt["actor_loss"]).tolist() == [False, True, False]
    assert np.isfinite(spoilt["return_deterministic"][1])  # the frozen policy is still evaluated
    frozen = [jax.tree.map(lambda x: x[1], state) for _, state in chunks[1e30][1:]]
    jax.tree.map(np.testing.assert_array_equal, frozen[0], frozen[-1])


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, quick_compile):
    """A sweep of two configurations of four seeds; all runs of the second diverge. And what was printed."""
    console = Console(file=io.StringIO(), width=200)
    out = tmp_path_factory.mktemp("spoilt") / "run"
    grid = {"lr": (1e-3, 1e30)}
    result = maxent_jax.sweep(
        "sac", "toy", grid, **tiny.RUNS, agent_fields=tiny.FIELDS["sac"], out=out, console=console
    )
    return result, console.file.getvalue()


def test_lines_say_step_and_cause(spoilt):
    result, _ = spoilt
    lines = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["run"] < 3 or not line["updates"]:
            assert line["failed"] is None
        else:
            assert line["failed"]["cause"] == "loss"
            assert 0 < line["failed"]["step"] <= 32
            assert line["entropy"] is None
            assert line["return_deterministic"] is not None


def test_summary_names_failed_runs_and_leaves_them_out(spoilt):
    result, _ = spoilt
    summary = json.loads((result.path / "summary.json").read_text())
    sound, failed = summary["configurations"]
    assert sound["failed"] == []
    assert sound["return_deterministic"]["mean"] is not None
    assert [(entry["run"], entry["seed"], entry["cause"]) for entry in failed["failed"]] == [
        (3, 0, "loss"),
        (4, 1, "loss"),
        (5, 2, "loss"),
    ]
    assert failed["return_deterministic"]["mean"] is None
    assert failed["return_deterministic"]["per_seed"] == [None] * 3
    assert failed["switched_share"] is None


def test_the_terminal_names_failed_runs(spoilt):
    result, printed = spoilt
    assert ", failed: 3 of 6" in printed
    step = result.failures()[0]["step"]
    assert f"failed: 3 of 6 (run 3 at step {step}: loss; run 4 at step" in printed
    assert "means and figures leave them out" in printed


def test_words_name_a_few_and_count_the_rest():
    one = {"run": 3, "seed": 0, "step": 1200, "cause": "loss"}
    assert freezing.words([], 8) == ""
    assert freezing.words([one], 8) == "failed: 1 of 8 (run 3 at step 1,200: loss)"
    assert freezing.words([one] * 7, 8).endswith("; run 3 at step 1,200: loss; and 2 more)")


def test_figures_say_what_they_leave_out(spoilt, tmp_path, monkeypatch):
    result, _ = spoilt
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    plots.curves([result], tmp_path / "x.png")
    first, second = (text.get_text() for text in drawn[0].legends[0].get_texts())
    assert first.endswith("3 seeds")
    assert second.endswith("3 seeds, failed and left out: 3 of 3")
    assert len(drawn[0].axes[0].lines) == 3 + 1 + 1  # three seeds, their mean, and the empty line of those that failed
    plots.landscape(result, tmp_path / "x.png", run=4)
    assert "The run has failed at step" in drawn[1].get_supxlabel()
    plots.landscape(result, tmp_path / "x.png", run=0)
    assert "failed" not in drawn[2].get_supxlabel()


def test_a_mean_over_some_seeds_counts_only_those(spoilt):
    result, _ = spoilt
    lost = result.__class__(**{**vars_of(result), "failed": {1: {"step": 5, "cause": "loss"}}})
    entry = lost.summary["configurations"][0]
    ends = result.metrics["return_deterministic"][:3, -1]
    assert entry["return_deterministic"]["per_seed"] == [ends[0], None, ends[2]]
    assert entry["return_deterministic"]["mean"] == pytest.approx((ends[0] + ends[2]) / 2)
    assert entry["failed"] == [{"run": 1, "seed": 1, "step": 5, "cause": "loss"}]


def vars_of(result):
    return {name: getattr(result, name) for name in ("path", "config", "runs", "metrics", "agents", "envs")}
