import numpy as np
import pytest

from experiments import rlhf
from maxent_jax.theory import evaluate, solve_soft
from maxent_jax.theory.rlhf import attack, filler, random_tokens, steered


def test_audit_finds_attacks_and_counts_false_alarms():
    found = rlhf.audit(models=30)
    assert len(found["unattacked"]) == 30
    assert len(found["attacked"]) + found["impossible"] == 30
    assert found["detected"] == sum(x > found["threshold"] for x in found["attacked"]) > 0.9 * len(found["attacked"])
    assert found["false_alarms"] == sum(x > found["threshold"] for x in found["unattacked"]) < 10
    assert rlhf.audit(models=30, share=0.1)["median_penalty"] < found["median_penalty"]


def test_plain_return_is_the_value_of_the_density():
    model = random_tokens(np.random.default_rng(0))
    density = solve_soft(model, 0.5).policy
    assert rlhf.plain_return(model, model.measure * density) == pytest.approx(evaluate(model, density)[0], rel=1e-10)


def test_outcome_and_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(rlhf, "UPDATES", 30)
    monkeypatch.setattr(rlhf, "MODELS", 10)
    monkeypatch.setattr(rlhf, "SEEDS", {"quick": 2})
    before = random_tokens(np.random.default_rng(0), rlhf.VOCABULARY, rlhf.LENGTH)
    bad = rlhf.worst(before)
    after, done = attack(before, steered(before, rlhf.ALPHA, bad), rlhf.ALPHA, filler(rlhf.VOCABULARY))
    trained = [rlhf.reinforce(model, rlhf.ALPHA, [0, 1], rlhf.LENGTH + 1, 30) for model in (before, after)]
    found = rlhf.audit(models=10)
    rows = rlhf.outcome(before, after, done, trained, found)
    assert rows["bad_exact"]["attacked"] == pytest.approx(0.9)
    assert rows["best_plain"]["attacked"] == pytest.approx(rows["best_plain"]["before"])
    fall = rows["soft_value"]["before"] - rows["soft_value"]["attacked"]
    assert fall == pytest.approx(rlhf.ALPHA * np.log(1 / rows["factor"]))
    rlhf.draw(before, after, trained, found, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
