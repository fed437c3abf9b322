import csv
import gzip
import json

import matplotlib.image
import numpy as np
import pytest

from experiments import agreeing, bifurcation, extended, results


def test_model_is_misled_by_the_extension_only_where_entropy_counts(tmp_path):
    rows = extended.exact(bins=11, alphas=(0.0, 8.0))
    cold, hot = rows
    assert cold["before"] == pytest.approx(cold["best"], rel=1e-9)
    assert cold["after"] == pytest.approx(cold["best"], rel=1e-9)
    assert hot["best"] > hot["before"] > hot["after"]


def numbers(*values):
    ends = {"iqm": float(np.mean(values)), "iqm_low": min(values), "iqm_high": max(values)}
    return ends | {"mean": 7.0, "low": 6.0, "high": 8.0, "per_seed": list(values)}


def test_figure_and_tables_show_every_agent(tmp_path):
    rows = [
        {"task": task, "agent": agent, "before": numbers(-2.0, -1.0), "after": numbers(-5.0, -3.0)}
        for task in extended.TASKS
        for agent in ("sac, alpha 0", "ppo")
    ]
    known = [{"alpha": 0.0, "best": -1.0, "before": -1.0, "after": -1.0}]
    extended.draw(rows, known, tmp_path / "extended.png", "A caption.")
    assert matplotlib.image.imread(tmp_path / "extended.png").shape[1] > 1000
    shown = bifurcation.tables([], rows)[-1]
    assert list(shown.columns[2].cells) == ["-1.5 [-2, -1]"] * 4
    assert list(shown.columns[3].cells) == ["-4 [-5, -3]"] * 4


def test_tables_say_where_a_crossing_is_only_the_grids_end():
    row = {"task": "toy", "exact": 0.87, "predicted": 0.73}
    inside = row | {"measured": {"at": 0.7, "low": 0.6, "high": 0.75, "inside": True}}
    edge = row | {"measured": {"at": 0.5, "low": 0.5, "high": 0.6, "inside": False}}
    crossed, solved, _ = bifurcation.tables([inside, edge], [])
    assert list(crossed.columns[3].cells) == ["0.70 [0.60, 0.75]", "0.50 [0.50, 0.60] (edge)"]
    assert not solved.columns
    told = results.tell_bifurcation({"crossings": [edge | {"seeds": 8}], "extended": []})
    assert "| toy | 0.870 | 0.730 | 0.50 [0.50, 0.60] (edge) | 8 |" in told


@pytest.mark.slow
def test_the_whole_experiment_with_a_tiny_budget(tmp_path, monkeypatch):
    tiny = bifurcation.Plan(
        chain={1: 300},
        chain_ppo=1_024,
        seeds=2,
        toy_alphas=(0.5, 0.8),
        toy_steps=300,
        toy_seeds=2,
        tasks={"pendulum": extended.Budget(300, 4_096, 2, (0.5,))},
    )
    monkeypatch.setitem(bifurcation.PLANS, "quick", tiny)
    bifurcation.run(tmp_path, "quick", None)
    assert (tmp_path / "figures" / "crossings.png").exists()
    assert (tmp_path / "figures" / "extended.png").exists()
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert [row["task"] for row in outcome["crossings"]] == ["toy", "bandit_chain, 1"]
    assert [row["agent"] for row in outcome["extended"]] == ["sac, alpha 0.5", "sac_adaent, alpha 0.5", "ppo"]
    assert outcome["minutes"] > 0
    with gzip.open(tmp_path / "metrics.csv.gz", "rt") as file:
        known = {(line["directory"], line["run"]) for line in csv.DictReader(file)}
    configs = [json.loads(path.read_text()) for path in tmp_path.rglob("config.json")]
    assert len(known) == sum(len(config["runs"]) for config in configs)
    assert {"chain-1/sac", "pendulum/ppo", "toy"} < {directory for directory, _ in known}
    said = results.tell_bifurcation(outcome)
    assert f"| after: {agreeing.TOLD} |" in said
    assert "| numbers | sac (alpha 0) | sac (alpha 1.1) | sac (auto) | sac_adaent (alpha 1.1) | ppo |" in said
    assert said.count(" of 2") == 5
