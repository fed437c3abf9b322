import dataclasses
import json

import jax
import numpy as np
import pytest
import untrained

from experiments import agreeing, landscape, registry
from maxent_jax import plots
from maxent_jax.faults import Fault
from maxent_jax.programs import RunInfo
from maxent_jax.rule import scores, study

pytestmark = pytest.mark.usefixtures("quick_compile")


def entry(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def two_kinds(agent, env, grid, **options):
    """What the sweep returns: two seeds of each threshold, none of which ever learned."""
    one = untrained.result(agent, env)
    config = one.config | {"configurations": [{"grid": {"threshold": t}, "overrides": {}} for t in grid["threshold"]]}
    infos = tuple(RunInfo(row, 5 + row % 2, row // 2) for row in range(4))
    agents = tuple(dataclasses.replace(one.agents[0], threshold=t, comparison="fast") for t in grid["threshold"])
    metrics = {name: np.concatenate([values, values]) for name, values in one.metrics.items()}
    return untrained.Untrained(one.path, config, infos, metrics, agents, one.envs * 2)


def test_run_tries_both_kinds_and_draws_what_comes_out(tmp_path, monkeypatch):
    asked, drawn = [], {}

    def sweep(*args, **options):
        asked.append((*args, options["seeds"], options["agent_fields"]))
        return two_kinds(*args, **options)

    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: (drawn.update({path.name: figure}), save(figure, path)))
    monkeypatch.setattr(landscape.api, "sweep", sweep)
    monkeypatch.setattr(scores, "RESAMPLES", 20)
    studied, compared, whole = [], [], study.study

    def listen(subject, env, key, *rest):
        studied.append(key)
        return whole(subject, env, key, *rest)

    def compare(agent, state, obs, key):
        compared.append(key)
        return agreeing.Compared(*[np.linspace(0, 1, len(obs))] * 3)

    monkeypatch.setattr(study, "study", listen)
    monkeypatch.setattr(agreeing, "compare", compare)
    landscape.run("toy", tmp_path, "cpu", None)
    assert asked == [
        ("sac_adaent", "toy", {"threshold": (-1.0, 0.9)}, 5, {"comparison": "fast", "n_samples": 100}),
    ]
    used = {tuple(jax.random.key_data(each).tolist()) for key in studied for each in (key, *jax.random.split(key, 3))}
    assert used.isdisjoint(tuple(jax.random.key_data(key).tolist()) for key in compared)  # no draw serves twice
    assert set(drawn) == {"rule.png", "landscapes-sac.png", "landscapes-sac_adaent.png", "curves.png"}
    rows = json.loads((tmp_path / "outcome.json").read_text())["rows"]
    assert [row["agent"] for row in rows] == ["SAC (threshold -1)", "SAC-AdaEnt (threshold 0.9)"]
    for row in rows:
        found = landscape.main(row)
        assert (found["states"], found["groups"], found["threshold"]) == (4, 2, 0.9)  # two a seed
        assert row["agreement_with_exact_comparison"] == 1
        exact = row["by_exact_comparison"]  # the same choices and returns, judged by the similarities that are given
        assert exact["share_soft_loses"] == found["share_soft_loses"]
        assert exact["share_switched"]["value"] == 0.5
    words = drawn["rule.png"].get_supxlabel()
    assert "SAC (threshold -1): of 4 states the soft choice loses in" in words
    assert all("nets: it speaks of these policies, not of" in figure.get_supxlabel() for figure in drawn.values())
    assert all("nets 8" in figure.get_supxlabel() for figure in drawn.values())


def test_a_kind_of_which_every_seed_failed_is_named():
    result = untrained.result("sac_adaent")
    lost = dataclasses.replace(result, failed={info.run: {"step": 1, "cause": "loss"} for info in result.runs})
    with pytest.raises(Fault, match="all seeds of SAC failed; there is no policy to study"):
        landscape.tried(lost, 0, "SAC", 0.9, 10)


@pytest.mark.parametrize(
    ("area", "said"),
    [
        (entry(0.7, 0.6, 0.8), "has an AUC of 0.7 [0.6, 0.8]."),
        (entry(0.7, 0.4, 0.8), "has an AUC of 0.7 [0.4, 0.8], chance included."),
        (entry(None), "has no AUC (the soft choice loses everywhere or nowhere)."),
    ],
)
def test_the_caption_says_what_came_out(area, said):
    found = {
        "states": 10,
        "share_soft_loses": entry(0.3),
        "share_soft_wins": entry(0.1),
        "auc_where_choices_differ": area,
    }
    row = {"agent": "SAC", "scores": {"anywhere": {"mean": {"undiscounted": found}}}}
    words = landscape.caption("toy", "quick", untrained.result("sac_adaent"), [row])
    assert "SAC: of 10 states the soft choice loses in 30% and wins in 10%" in words
    assert f"where choices differ the rule {said}" in words
    assert words.endswith("it speaks of these policies, not of fully trained ones.")


def test_each_task_is_a_part_of_its_own():
    assert set(registry.BY_TASK["landscape"]) == {"toy", "vehicle", "quadrotor", "pendulum"}
    assert set(registry.BY_TASK["threshold"]) == {"toy", "vehicle", "quadrotor"}
