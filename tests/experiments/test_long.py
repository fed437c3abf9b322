import dataclasses
import json

import numpy as np
import untrained

from experiments import long, yardsticks
from maxent_jax import plots

ROWS = {"planner": {"mean": 9.0, "low": 8.0, "high": 10.0, "std": 0.5, "per_seed": [8.0, 10.0]}}


def swept(agent, env, alphas, returns):
    """A sweep over alpha, in which both seeds of a configuration return the same."""
    one = untrained.result(agent, env, values=np.repeat(returns, 2)[:, None] * np.array([0.0, 1.0]))
    entries = [{"grid": {"alpha": alpha}, "overrides": {}} for alpha in alphas]
    return dataclasses.replace(
        one,
        config=one.config | {"configurations": entries},
        runs=tuple(dataclasses.replace(info, configuration=row // 2) for row, info in enumerate(one.runs)),
        agents=tuple(dataclasses.replace(one.agents[0], alpha=alpha) for alpha in alphas),
        envs=one.envs * len(alphas),
    )


def test_all_published_steps_with_and_without_entropy_and_ppo_beside_them(tmp_path, monkeypatch):
    asked, figures = [], []

    def sweep(agent, env, grid, **options):
        asked.append((agent, grid, options["steps"], options["seeds"], options["resume"]))
        return swept(agent, env, grid["alpha"], [1.0, 3.0])

    def train(agent, env, **options):
        asked.append((agent, {}, options["steps"], options["seeds"], options["resume"]))
        return untrained.result(agent, env, values=((0.0, 2.0), (0.0, 4.0)))

    monkeypatch.setattr(long.api, "sweep", sweep)
    monkeypatch.setattr(long.api, "train", train)
    monkeypatch.setattr(yardsticks, "recorded", lambda task: ROWS)
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda drawn, path: (figures.append(drawn), save(drawn, path)))
    long.run("vehicle", tmp_path, "cpu", None)
    assert asked == [("sac", {"alpha": (0.2, 0.0)}, 2_000_000, 5, True), ("ppo", {}, 2_000_000, 5, True)]
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    sac, without, ppo, planner = outcome["rows"]
    assert [row["agent"].partition(" ")[0] for row in outcome["rows"]] == ["sac", "sac", "ppo", "planner"]
    assert [row["deterministic"]["mean"] for row in (sac, without, ppo, planner)] == [1.0, 3.0, 3.0, 9.0]
    assert sac["better_than_sac"] is None
    assert (without["better_than_sac"]["value"], ppo["better_than_sac"]["value"]) == (1.0, 1.0)
    curves, finals = figures[0].axes
    assert curves.get_ylim() == finals.get_ylim()
    bold = [list(line.get_ydata()) for line in curves.lines if line.get_label().startswith(("sac", "ppo"))]
    assert bold == [[0.0, 1.0], [0.0, 3.0], [0.0, 3.0]]


def test_quick_is_a_smoke_run():
    assert {long.steps(agent, task, "quick") for agent in ("sac", "ppo") for task in long.TASKS} == {2_000}
