import json

import compilations
import jax
import made_runs
import numpy as np
import pytest

from envs.fields import InvalidSetting
from maxent_jax import cli, evaluate, trainer
from maxent_jax.result import load

pytestmark = pytest.mark.usefixtures("quick_compile")

EPISODES = 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Three fresh agents on a short pendulum, of which the second failed."""
    path = tmp_path_factory.mktemp("runs") / "run"
    fields = {"horizon": 6}
    made_runs.make(path, [[1, 2]] * 3, env="pendulum", seeds=(4, 5, 6), failed={1: (0, "loss")}, env_fields=fields)
    return made_runs.with_agents(path)


def test_returns_are_those_of_the_bare_task_step_by_step(directory):
    result = load(directory)
    (found,) = evaluate.evaluate(result, EPISODES, seed=7)
    assert found.seeds == (4, 6)
    assert found.deterministic.shape == found.stochastic.shape == (2, EPISODES)
    env, policy = result.envs[0], result.policy(2)
    reset_key, _ = jax.random.split(jax.random.key(7))
    step = jax.jit(env.step)
    for episode, key in enumerate(jax.random.split(reset_key, 2 * EPISODES)[:EPISODES]):
        state, total = jax.jit(env.reset)(key), 0.0
        for _ in range(6):
            state = step(state, policy(state.obs))
            total += float(state.reward)
        assert found.deterministic[1, episode] == pytest.approx(total, rel=1e-4)


def test_a_changed_task_is_the_same_episodes_on_it(directory):
    result = load(directory)
    (plain,), (doubled,) = (evaluate.evaluate(result, EPISODES, fields) for fields in ({}, {"reward_scale": 2.0}))
    np.testing.assert_allclose(doubled.deterministic, 2 * plain.deterministic, rtol=1e-5)
    assert doubled.broken == 0


def test_many_runs_take_turns_and_agree(directory, monkeypatch):
    result = load(directory)
    (together,) = evaluate.evaluate(result, EPISODES)
    monkeypatch.setattr(evaluate, "AT_ONCE", 1)
    (in_turn,) = evaluate.evaluate(result, EPISODES)
    np.testing.assert_allclose(in_turn.deterministic, together.deterministic, rtol=1e-4)


def test_configurations_and_changes_of_the_task_share_a_program(tmp_path):
    path = made_runs.make(tmp_path / "run", [[1, 2]] * 4, env="pendulum", grid={"gamma": [0.9, 0.95]})
    result = load(made_runs.with_agents(path))
    with compilations.heard() as compiled:
        evaluate.evaluate(result, EPISODES + 1)
        evaluate.evaluate(result, EPISODES + 1, {"gravity": 5.0})
    assert sum("roll_out" in name for name in compiled) == 1


def test_what_the_policies_do_not_know_is_refused(directory):
    env = load(directory).envs[0]
    with pytest.raises(InvalidSetting, match=r"env.observe_time = True: observation_size would be 4; must stay 3"):
        evaluate.changed(env, {"observe_time": True})
    assert evaluate.changed(env, {"gravity": 5.0}).horizon == 6


def test_means_leave_out_what_broke_down():
    returns = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    np.testing.assert_array_equal(evaluate.means(returns), [2.0, np.nan])
    assert evaluate.Evaluation(0, (1, 2), returns, returns[:, :0]).broken == 4


def test_command_shows_both_tasks_and_the_change(directory, monkeypatch, capsys, tmp_path):
    def returns(agent, env, agent_state, key, episodes):
        return jax.numpy.stack([env.gravity + jax.numpy.arange(episodes, dtype=float), jax.numpy.zeros(episodes)])

    monkeypatch.setattr(trainer, "episode_returns", returns)
    out = tmp_path / "found.json"
    # five episodes, as in no other test: what is traced once stays
    line = f"evaluate {directory} --episodes 5 --env.gravity 12 --env.reward-scale 1 --out {out}"
    assert cli.main(line.split()) == 0
    told = capsys.readouterr().out
    for text in ("as trained", "gravity 12", "change", "12 [12, 12]", "14 [14, 14]", "2 [2, 2]"):
        assert text in told
    found = json.loads(out.read_text())
    assert found["changes"] == {"gravity": 12.0, "reward_scale": 1.0}
    (changed,) = found["evaluations"]["gravity 12, reward_scale 1"]
    assert changed["seeds"] == [4, 6]
    assert changed["deterministic"]["returns"] == [[12.0, 13.0, 14.0, 15.0, 16.0]] * 2
    assert changed["deterministic"]["mean"] == 14.0
