import dataclasses
import gzip
import itertools
import json

import pytest
import untrained

import envs
from experiments import agreeing, contestants, dynamics
from maxent_jax import plots


@pytest.mark.parametrize(
    ("task", "variant"), [(task, variant) for task, variants in dynamics.VARIANTS.items() for variant in variants]
)
def test_every_variant_is_allowed(task, variant):
    envs.make(task, **dynamics.VARIANTS[task][variant])


def agents_of(asked):
    """The agents of each variant, in turn."""
    variants = itertools.groupby(asked, key=lambda call: call[2].partition("/")[0])
    return [[agent for agent, *_ in calls] for _, calls in variants]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What was trained; each agent has its own share of agreement, by variant."""
    calls = []

    def train(agent, env, **options):
        calls.append((agent, options["env_fields"], options["out"].relative_to(tmp_path).as_posix()))
        result = untrained.result(agent, env, values=((-9e3, -800.0, -60.0), (-4e4, -9e3, -700.0)))
        return dataclasses.replace(result, envs=(envs.make(env, **options["env_fields"]),))

    monkeypatch.setattr(contestants.api, "train", train)
    monkeypatch.setattr(agreeing, "of_configuration", lambda result, index: {agreeing.NAMES[0]: len(calls)})
    return calls


def test_each_variant_has_three_agents_and_a_panel(tmp_path, asked):
    dynamics.run("vehicle", tmp_path, "quick", None)
    assert agents_of(asked) == [[*dynamics.AGENTS]] * 2
    assert [fields for _, fields, _ in asked] == [{}] * 3 + [{"tyres": "road"}] * 3
    assert len({folder for *_, folder in asked}) == 6
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert [row["variant"] for row in outcome["rows"]] == ["published tyres"] * 3 + ["road tyres"] * 3
    assert all(agreeing.NAMES[0] in row for row in outcome["rows"])  # each variant's own
    assert {row["gain"] for row in outcome["rows"]} == {None}  # returns on other tyres do not mean the same
    assert (tmp_path / "figures" / "dynamics.png").read_bytes()[:4] == b"\x89PNG"
    with gzip.open(tmp_path / "metrics.csv.gz", "rt") as file:
        assert sum(1 for _ in file) == 1 + 6 * 2 * 3  # agents and variants, seeds, evaluations


def test_what_is_hidden_is_asked_of_sac_and_ppo_on_the_same_axis(tmp_path, asked, monkeypatch):
    drawn = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: (drawn.append(figure), save(figure, path)))
    dynamics.run("quadrotor", tmp_path, "quick", None)
    assert agents_of(asked) == [["sac", "ppo", "sac_adaent"]] * 2 + [["sac", "ppo"]] * 3
    panels, (legend,) = drawn[0].axes, drawn[0].legends
    assert {ax.get_yscale() for ax in panels} == {"symlog"}
    assert {round(ax.yaxis.get_transform().linthresh) for ax in panels} == {95}  # the planner's
    assert len({ax.get_ylim() for ax in panels}) == 1
    names = [text.get_text() for text in legend.get_texts()]
    assert names[:3] == ["sac", "ppo", "sac_adaent"]
    assert any(name.startswith("planner: -95") for name in names)
    rows = json.loads((tmp_path / "outcome.json").read_text())["rows"]
    assert [row["gain"] and row["gain"]["value"] for row in rows] == [None] * 6 + [0.0] * 6
    words = drawn[0].get_supxlabel()
    for part in (
        "quadrotor, preset quick: sac: 20 steps, nets 8,",
        "Gain over full: sac",
        "on full, rates and time 0 [",
    ):
        assert part in words
