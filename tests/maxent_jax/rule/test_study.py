import json

import jax
import numpy as np
import pytest
import tiny
from doors import walk, walker

import envs
from envs import fields
from envs.vehicle import Vehicle
from maxent_jax import plots
from maxent_jax.agents import AGENTS
from maxent_jax.rule import figure, scores, study
from maxent_jax.rule.subject import Subject

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def found():
    """Six steps to the right by halves, from 0 to 1: the landscapes disagree in the first two or three."""
    return study.study(walker(draw=0.5), walk(horizon=6), jax.random.key(0), ("soft", "plain"), (0,), 4, 100, 3)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 50)


def test_the_advantage_is_what_can_be_counted(found):
    """The choices are one apart, and each later reward is the position: one a step that is left."""
    tested = found.tested("anywhere", "mean", "undiscounted")
    apart = np.asarray(found.visits.obs)[:, 0] <= 1
    np.testing.assert_array_equal(tested.same, ~apart)
    np.testing.assert_allclose(tested.advantage, np.where(apart, 6 - found.visits.time, 0), atol=0.1)
    np.testing.assert_array_equal(tested.loses, apart)
    np.testing.assert_array_equal(tested.group, found.visits.episode)
    discounted = found.tested("anywhere", "draws", "discounted")
    left = (1 - 0.9 ** (6 - found.visits.time)) / (1 - 0.9)
    np.testing.assert_allclose(discounted.advantage, np.where(apart, left, 0), atol=0.1)


def test_the_rule_is_right_there(found):
    scored = study.score([found], 0.95)
    judged = scored["near"]["mean"]["undiscounted"]
    assert judged["auc"]["value"] == 1.0
    assert judged["groups"] == 4
    assert judged["rank_correlation"]["value"] < -0.5
    assert study.score([found, found], 0.95)["near"]["mean"]["undiscounted"]["groups"] == 2
    json.dumps([scored, found.columns(), found.value_check()], allow_nan=False)


def test_the_states_to_show(found):
    """The least alike of all, not only of those at which the rule is tested, and the start of the worst episode."""
    few = study.study(walker(draw=0.5), walk(horizon=6), jax.random.key(0), ("soft", "plain"), (0,), 4, 2, 3, shown=3)
    assert len(few.evenly) == len(few.tested("near", "mean", "discounted").advantage) == 2
    assert sum(few.columns()["evenly"]) == 2
    *lowest, worst = few.shown
    assert few.similarity is not None
    assert list(few.similarity[lowest]) == sorted(few.similarity)[:3]
    assert few.similarity[lowest].max() <= np.sort(found.similarity)[2] + 1e-6
    assert few.visits.time[worst] == 0
    assert few.visits.returns[few.visits.episode[worst]] == few.visits.returns.min()


def test_columns_hold_every_state(found):
    columns = found.columns()
    names = {"policy", *(f"{name} {reach}" for name in ("soft", "plain") for reach in ("anywhere", "near"))}
    assert set(columns["actions"]) == set(columns["returns"]["draws"]) == names
    assert len(columns["time"]) == len(columns["returns"]["mean"]["policy"]["discounted"]) == 24
    first = found.visits.time == 0
    alone = np.array(columns["returns"]["mean"]["policy"]["undiscounted"])[first]
    np.testing.assert_allclose(alone, found.visits.returns, rtol=1e-4)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ((4,), "dimension 4 of dims '4' is unknown; allowed: 0, 1, 2, 3"),
        ((0, 1, 2), "dims = '0,1,2': must be one dimension .a line. or two different ones .a heat map."),
        ((1, 1), "dims = '1,1': must be"),
        ((), "dims = '': must be"),
    ],
)
def test_dims_that_are_none(dims, message):
    with pytest.raises(fields.InvalidSetting, match=message):
        study.check_dims(dims, envs.make("quadrotor"))


def test_dims_by_default():
    assert study.check_dims(None, envs.make("quadrotor")) == (0, 1)
    assert study.check_dims(None, envs.make("toy")) == (0,)
    assert study.check_dims((3, 1), envs.make("quadrotor")) == (3, 1)


def test_the_figure_of_one_dimension_shows_draws_mean_and_both_choices(found, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "save", lambda drawn, path: figures.append(drawn))
    figure.draw(found, 0.95, tmp_path / "x.png", "A caption.")
    (drawn,) = figures
    assert drawn.get_supxlabel() == "A caption."
    axes = np.array(drawn.axes).reshape(5, 3)
    for row, (soft, plain, returns) in zip(found.shown, axes[1:], strict=True):
        for name, ax in (("soft", soft), ("plain", plain)):
            np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.views.grid(name)[row])
            marked = {line.get_label(): line.get_xdata()[0] for line in ax.lines[2:]}
            chosen = {f"highest {name} Q": found.actions[f"{name} anywhere"][row, 0] for name in ("soft", "plain")}
            assert marked == chosen | {"policy mean": 0.5}
        assert [label.get_text() for label in returns.get_yticklabels()] == list(found.actions)[1:]
    assert "start of the worst" in axes[4, 0].get_title()
    # wherever the choices differ the soft one loses, so that there is no curve
    assert axes[0, 2].get_legend().get_texts()[0].get_text() == "choice anywhere: soft loses everywhere"


@pytest.mark.parametrize(("agent", "maps"), [("sac_adaent", 2), ("sac", 1)])
def test_the_figure_of_two_dimensions_has_a_map_for_each_landscape(agent, maps, tmp_path, monkeypatch):
    def coast(self, state, action):
        return state.replace(obs=state.obs + action.sum(), reward=action[0])

    monkeypatch.setattr(Vehicle, "step", coast)  # its physics takes long to compile
    env = envs.make("vehicle", horizon=3)
    built = fields.build(AGENTS[agent], tiny.FIELDS[agent])
    subject = Subject(built, jax.jit(built.init)(jax.random.key(0), env.spec))
    names = ("soft", "plain")[:maps]
    seen = study.study(subject, env, jax.random.key(1), names, (1, 0), 1, 10, 2, shown=1)
    figures, save = [], plots.save
    monkeypatch.setattr(plots, "save", lambda drawn, path: (figures.append(drawn), save(drawn, path)))
    figure.draw(seen, 0.9, tmp_path / "x.png", "")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    drawn = [ax for ax in figures[0].axes if ax.get_title().startswith("learned")]
    places = [(row, name) for row in seen.shown for name in names]
    for (row, name), ax in zip(places, drawn, strict=True):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("action 1", "action 0")
        np.testing.assert_array_equal(ax.collections[0].get_array(), seen.views.grid(name)[row].T)
