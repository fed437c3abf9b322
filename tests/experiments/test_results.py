import json

import pytest
import untrained

from experiments import control, results
from maxent_jax import runs


def test_page_is_what_the_committed_numbers_make():
    assert results.PAGE.read_text() == results.page(), "python -m experiments.results"


def test_what_is_not_there_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    said = results.section("control", "control-hopper")
    assert said == "### hopper\n\n`maxent-jax reproduce control --env hopper --preset cpu`: **not run**.\n"


def test_a_table_of_agents_is_told_with_budget_and_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    trained = [untrained.result("sac", values=((0.0, 1.0), (0.0, 3.0)))]
    known = {"planner": {"mean": 20_000.0, "low": 1.0, "high": 30_000.0, "std": 0.5}}
    about = {"preset": "cpu", "budget": "a budget.", "versions": runs.versions(), "device": "a device"}
    outcome = about | {"rows": control.table(trained, known)}
    (tmp_path / "control-hopper.json").write_text(json.dumps(outcome))
    said = results.section("control", "control-hopper")
    assert "device a device" in said
    assert "a budget." in said
    assert "| planner | 20,000 [1, 30,000] |  |  |" in said
    assert "| sac (alpha 1.0, tau 0.5) | 2 [" in said


@pytest.mark.parametrize("name", results.registry.BY_COST)
def test_every_experiment_says_what_it_is(name):
    assert len(results.about(name)) > 30
