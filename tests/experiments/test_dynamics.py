import json

import pytest
import untrained

import envs
from experiments import agreeing, control, dynamics


@pytest.mark.parametrize(
    ("task", "variant"), [(task, variant) for task, variants in dynamics.VARIANTS.items() for variant in variants]
)
def test_every_variant_is_allowed(task, variant):
    envs.make(task, **dynamics.VARIANTS[task][variant])


def test_each_variant_has_three_agents_and_a_panel(tmp_path, monkeypatch):
    asked = []

    def train(agent, env, **options):
        asked.append((agent, options["env_fields"], options["out"].relative_to(tmp_path).as_posix()))
        return untrained.result(agent, "obstacle2d")

    monkeypatch.setattr(control.api, "train", train)
    monkeypatch.setattr(agreeing, "of_runs", lambda results: {})
    dynamics.run("vehicle", tmp_path, "quick", None)
    assert [agent for agent, *_ in asked] == [*dynamics.AGENTS] * 2
    assert [fields for _, fields, _ in asked] == [{}] * 3 + [{"tyres": "road"}] * 3
    assert len({folder for *_, folder in asked}) == 6
    rows = json.loads((tmp_path / "outcome.json").read_text())["rows"]
    assert [row["variant"] for row in rows] == ["published tyres"] * 3 + ["road tyres"] * 3
    assert (tmp_path / "figures" / "dynamics.png").read_bytes()[:4] == b"\x89PNG"
