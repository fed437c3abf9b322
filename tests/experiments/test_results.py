import csv
import gzip
import json

import pytest
import untrained

from experiments import agreeing, outcome, results
from maxent_jax import runs, tables


def test_page_is_what_the_committed_numbers_make():
    assert results.PAGE.read_text() == results.page(), "python -m experiments.results"


def test_what_is_not_there_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    said = results.section("control", "control-hopper")
    assert said == "### hopper\n\n`maxent-jax reproduce control --env hopper --preset cpu`: **not run**.\n"


def test_published_budgets_are_marked_as_not_run_until_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    said = "The published budgets, with 10 seeds and more (`maxent-jax reproduce all --preset paper`)"
    (tmp_path / "toy.json").write_text('{"preset": "cpu"}')
    assert results.published_budgets() == f"{said} are ready, and **not run**.\n"
    (tmp_path / "toy.json").write_text('{"preset": "paper"}')
    assert results.published_budgets() == f"{said} of toy are below; all others are ready, and **not run**.\n"


def test_a_table_of_agents_is_told_with_budget_and_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    trained = [untrained.result("sac", values=((0.0, 1.0), (0.0, 3.0)))]
    known = {"planner": {"mean": 20_000.0, "low": 1.0, "high": 30_000.0, "std": 0.5}}
    about = {"preset": "cpu", "budget": "a budget.", "versions": runs.versions(), "device": "a device"}
    found = about | {"rows": outcome.table(tables.entries(trained), known)}
    (tmp_path / "control-hopper.json").write_text(json.dumps(found))
    said = results.section("control", "control-hopper")
    assert "device a device" in said
    assert "a budget." in said
    assert "| planner | 20,000 [1, 30,000] |  |  |" in said
    assert "| sac (alpha 1.0, tau 0.5) | 2 [" in said


def test_memory_is_told_by_agent_and_task():
    held = {"vehicle": 1.5e9, "hopper": 1.25e7}
    found = {
        task: {
            "device": "a device",
            "versions": runs.versions(),
            "rows": [{"agent": "sac_adaent", "runs": 10, "steps": 5, "held": size, "needed": 2e9}],
        }
        for task, size in held.items()
    }
    said = results.forecast(found)
    assert "| agent | vehicle | hopper |" in said
    assert "| sac_adaent | 1.5 / 2 | 0.0125 / 2 |\n" in said
    assert "`threshold` on vehicle 16 GB for its 80 runs of SAC-AdaEnt; `landscape` on vehicle 4 GB for its 20" in said


def test_steps_minutes_improvement_agreement_and_verdicts_stand_side_by_side():
    trained = [untrained.result(agent, values=((0.0, 60.0), (0.0, 120.0))) for agent in ("sac", "ppo")]
    rows = [row | dict.fromkeys(agreeing.NAMES, 0.975) for row in outcome.table(tables.entries(trained), {})]
    said = results.tell_rows({"rows": rows})
    heads, _, _, ppo = said.splitlines()
    assert heads == (
        "| agent | return, mean action | sampled | P(better than sac), same steps | steps | minutes | "
        f"{agreeing.TOLD} |"
    )
    assert "| 10 | 2 | 97.5% (97.5%) |" in ppo
    assert "| 0.5 [" in ppo
    told = results.tell_verdict({"about": "sac on toy", "word": "no evidence", "reasons": ["One.", "Two."]})
    assert told == "sac on toy: **no evidence**. One. Two."


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A folder that `reproduce` made."""
    docs, folder = tmp_path / "docs", tmp_path / "threshold-toy-cpu"
    docs.mkdir()
    (folder / "figures").mkdir(parents=True)
    (folder / "finished").touch()
    for name in ("heat.png", "threshold-toy.png"):
        (folder / "figures" / name).write_bytes(b"new")
    outcome.record(
        folder / "outcome.json", "cpu", [untrained.result()], outcome.table(tables.entries([untrained.result()]), {})
    )
    monkeypatch.setattr(results, "DOCS", docs)
    monkeypatch.setattr(results, "PAGE", docs / "results.md")
    return folder


def test_a_finished_folder_is_adopted_with_its_metrics_and_figures(finished):
    docs = results.DOCS
    for old in ("threshold-toy-old.png", "threshold-toy.png", "threshold-vehicle-heat.png"):
        (docs / old).touch()
    assert results.main([str(finished)]) == 0
    assert {path.name for path in docs.iterdir()} == {
        *("results.md", "threshold-toy.json", "threshold-toy.csv.gz", "threshold-toy-heat.png", "threshold-toy.png"),
        "threshold-vehicle-heat.png",
    }
    assert (docs / "threshold-toy.png").read_bytes() == b"new"
    page = (docs / "results.md").read_text()
    assert "minutes of training" in page
    assert "[every evaluation](threshold-toy.csv.gz)" in page
    assert "![threshold-toy-heat](threshold-toy-heat.png)" in page


def test_metrics_are_those_of_every_run_and_the_same_bytes_again(finished):
    with gzip.open(finished / "metrics.csv.gz", "rt") as file:
        lines = list(csv.DictReader(file))
    assert [line["return_deterministic"] for line in lines] == ["-1.0", "1.0", "2.0", "-3.0", "2.0", ""]
    assert not any(line["directory"].startswith("/") for line in lines)
    before = (finished / "metrics.csv.gz").read_bytes()
    outcome.write_metrics([untrained.result()], finished / "metrics.csv.gz")
    assert (finished / "metrics.csv.gz").read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "finished").unlink(), "must be of a finished experiment"),
        (lambda folder: (folder / "metrics.csv.gz").write_bytes(bytes(results.MOST_BYTES + 1)), "more than 2,097,152"),
        (lambda folder: folder.rename(folder.with_name("treshold-toy-cpu")), "experiment 'treshold-toy' of"),
    ],
)
def test_what_cannot_be_adopted_changes_nothing(spoil, message, finished, capsys):
    spoil(finished)
    (folder,) = (path for path in finished.parent.iterdir() if path.name != "docs")
    assert results.main([str(folder)]) == 2
    assert message in capsys.readouterr().err
    assert list(results.DOCS.iterdir()) == []


@pytest.mark.parametrize("name", results.sections())
def test_every_experiment_says_what_it_is(name):
    assert len(results.about(name)) > 30
