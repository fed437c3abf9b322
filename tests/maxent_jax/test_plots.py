import numpy as np
import pytest
import untrained
from matplotlib.colors import to_hex

from envs.vehicle import Vehicle
from maxent_jax import plots

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be saved."""
    figures = []
    save = plots.save

    def listen(figure, path):
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(plots, "save", listen)
    return figures


def test_label_names_what_is_special():
    assert plots.label(untrained.result(), 0) == "sac (alpha 1.0, tau 0.5)"
    assert plots.label(untrained.result(grid={"alpha": 0.2}), 0) == "sac (alpha 0.2)"


def test_curves_show_every_seed_the_mean_and_yardsticks(drawn, tmp_path):
    plots.curves([untrained.result()], tmp_path / "x.png", lines={"doing nothing": -1234.5}, caption="Ten steps.")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    left = drawn[0].axes[0]
    one, two, mean, yardstick = (line.get_ydata() for line in left.lines)
    np.testing.assert_array_equal(one, [-1, 1, 2])
    np.testing.assert_array_equal(two, [-3, 2, np.nan])
    np.testing.assert_array_equal(mean, [-2, 1.5, 2])  # of those that are known
    np.testing.assert_array_equal(yardstick, [-1234.5] * 2)
    assert left.lines[-1].get_label() == "doing nothing: -1,234"
    assert "toy. Ten steps." in drawn[0].get_supxlabel()


@pytest.mark.parametrize(
    ("lines", "scale"),
    [
        ({"planner": -90.0, "zero action": -9000.0}, "symlog"),
        ({"planner": -900.0, "zero action": -9000.0}, "linear"),
        ({"planner": 500.0, "zero action": 0.0, "random actions": -9000.0}, "linear"),
        ({}, "linear"),
    ],
)
def test_losses_of_different_orders_are_spread_out(lines, scale):
    _, axes = plots.figure(1, 1)
    plots.draw_lines(axes[0, 0], lines)
    assert axes[0, 0].get_yscale() == scale
    assert ("logarithmic" in axes[0, 0].get_ylabel()) == (scale == "symlog")


def test_the_wide_band_of_two_seeds_does_not_flatten_the_curves():
    _, axes = plots.figure(1, 1)
    plots.draw_curves(axes[0, 0], [untrained.result(values=((-1.0, 1.0), (-3.0, 2.0)))])
    low, high = axes[0, 0].get_ylim()
    assert -4 < low < -3
    assert 2 < high < 3


def test_curves_of_runs_that_never_began_are_empty(drawn, tmp_path):
    plots.curves([untrained.result(values=((np.nan,), (np.nan,)))], tmp_path / "x.png")
    assert len(drawn[0].axes[0].lines) == 0


def test_curves_tell_results_apart(drawn, tmp_path):
    plots.curves([untrained.result("sac"), untrained.result("ppo")], tmp_path / "x.png")
    assert len({to_hex(line.get_color()) for line in drawn[0].axes[0].lines}) == 2


@pytest.mark.parametrize(
    ("agent", "env", "landscapes", "note"),
    [
        ("sac_adaent", "vehicle", {"learned soft Q", "learned plain Q"}, ""),
        ("sac", "toy", {"learned soft Q"}, "The agent has no plain critics: no comparison is drawn."),
        ("td3", "toy", {"learned plain Q"}, "The agent has no soft critics: no comparison is drawn."),
        ("ppo", "pendulum", set(), "The agent learns no Q: only its policy is drawn."),
    ],
)
def test_landscape_shows_what_the_agent_has(agent, env, landscapes, note, drawn, tmp_path, monkeypatch):
    def coast(self, state, action):
        return state.replace(obs=state.obs + action.sum(), reward=action[0])

    monkeypatch.setattr(Vehicle, "step", coast)  # its physics takes long to compile
    result = untrained.result(agent, env)
    plots.landscape(result, tmp_path / "x.png", run=1)
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    (figure,) = drawn
    slices = [ax for ax in figure.axes if ax.get_xlabel().startswith("action")]
    steps = 2 if env == "toy" else 3
    assert len(slices) == steps * result.envs[0].action_size
    for ax in slices:
        labels = {line.get_label() for line in ax.lines}
        assert labels == landscapes | {"policy mean"}
        assert ("similarity" in ax.get_title()) == (agent == "sac_adaent")
    assert "seed 6" in figure.get_supxlabel()
    assert figure.get_supxlabel().endswith(note)
    assert (figure.axes[0].get_ylabel() == "similarity") == (agent == "sac_adaent")


def test_landscape_of_a_run_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match="run = 2: must be one of 0 to 1"):
        plots.landscape(untrained.result(), tmp_path / "x.png", run=2)
    assert not (tmp_path / "x.png").exists()
