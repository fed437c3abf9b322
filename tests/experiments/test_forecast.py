import json

import pytest

from experiments import forecast, results
from experiments.contestants import Contestant

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.slow
def test_replay_of_a_million_transitions_is_what_a_run_holds_and_other_tasks_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DOCS", tmp_path)
    monkeypatch.setattr(forecast, "CONTESTANTS", [Contestant("ddpg", "ddpg")])
    old, gone = ({"device": name, "versions": {}, "rows": []} for name in ("old", "gone"))
    (tmp_path / results.FORECAST).write_text(json.dumps({"acrobot": gone, "vehicle": old}))
    forecast.update(["acrobot"])
    found = json.loads((tmp_path / results.FORECAST).read_text())
    assert found["vehicle"] == old
    assert found["acrobot"]["device"] != "gone"
    (new,) = found["acrobot"]["rows"]
    replay = 10 * 1_000_000 * 4 * (6 + 1 + 3 + 6)
    assert replay < new["held"] < 1.1 * replay
    assert new["held"] < new["needed"] < 1.3 * new["held"]


def test_an_unknown_task_is_one_line(capsys):
    assert forecast.main(["acrobat"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("task 'acrobat'")
    assert "did you mean 'acrobot'" in line
