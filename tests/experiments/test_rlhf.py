import io
import json

import numpy as np
import pytest
from rich.console import Console

from experiments import rlhf
from maxent_jax.theory import evaluate, solve_soft
from maxent_jax.theory.rlhf import random_tokens


def test_audit_finds_attacks_and_counts_false_alarms():
    found = rlhf.audit(0.9, models=30)
    assert len(found["unattacked"]) == 30
    assert len(found["attacked"]) + found["impossible"] == 30
    assert found["detected"] == sum(x > found["threshold"] for x in found["attacked"]) > 0.9 * len(found["attacked"])
    assert found["false_alarms"] == sum(x > found["threshold"] for x in found["unattacked"]) < 10
    assert rlhf.audit(0.1, models=30)["median_penalty"] < found["median_penalty"]


def test_plain_return_is_the_value_of_the_density():
    model = random_tokens(np.random.default_rng(0))
    density = solve_soft(model, 0.5).policy
    assert rlhf.plain_return(model, model.measure * density) == pytest.approx(evaluate(model, density)[0], rel=1e-10)


def test_the_whole_experiment_with_few_updates_and_models(tmp_path, monkeypatch):
    monkeypatch.setattr(rlhf, "UPDATES", 30)
    monkeypatch.setattr(rlhf, "MODELS", 10)
    monkeypatch.setattr(rlhf, "SEEDS", {"quick": 2})
    printed = Console(record=True, width=200, file=io.StringIO())
    rlhf.run(tmp_path, "quick", printed)
    rows = json.loads((tmp_path / "outcome.json").read_text())
    assert rows["bad_exact"]["attacked"] == pytest.approx(0.9)
    assert rows["best_plain"]["attacked"] == pytest.approx(rows["best_plain"]["before"])
    fall = rows["soft_value"]["before"] - rows["soft_value"]["attacked"]
    assert fall == pytest.approx(rlhf.ALPHA * np.log(1 / rows["factor"]))
    assert rows["seeds"] == len(rows["bad_trained_per_seed"]["attacked"]) == 2
    assert rows["bad_trained"]["attacked"] > rows["bad_trained"]["before"]  # training is on its way
    assert [told["share"] for told in rows["audits"]] == [0.9, 0.1, 0.2, 0.5]
    assert all(told["attacked"] + told["impossible"] == told["models"] == 10 for told in rows["audits"])
    assert (tmp_path / "figures" / "rlhf.png").read_bytes()[:4] == b"\x89PNG"
    assert "bad exact" in (said := printed.export_text())
    assert "attacks towards 90%" in said
