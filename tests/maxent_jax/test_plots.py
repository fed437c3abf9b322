from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from matplotlib.colors import to_hex

import envs
from envs import fields
from maxent_jax import plots, runs
from maxent_jax.agents import AGENTS
from maxent_jax.sweep import RunInfo

pytestmark = pytest.mark.usefixtures("quick_compile")


class Untrained(runs.Result):
    """A run directory whose agents never learned, so that nothing is read."""

    def agent_state(self, run):
        return jax.jit(self.agents[0].init)(jax.random.key(run), self.envs[0].spec)


def untrained(agent="sac", env="toy", values=((-1.0, 1.0, 2.0), (-3.0, 2.0, np.nan))):
    """Two seeds of one configuration and their returns by chunk."""
    returns = np.array(values)
    metrics = dict.fromkeys(("return_deterministic", "return_stochastic"), returns)
    metrics["env_steps"] = np.broadcast_to(10.0 * np.arange(returns.shape[1]), returns.shape)
    config = {"agent": agent, "env": env, "configurations": [{"grid": {}, "overrides": {"alpha": 1.0, "tau": 0.5}}]}
    infos = (RunInfo(0, 5, 0), RunInfo(1, 6, 0))
    agents = (fields.build(AGENTS[agent], tiny.FIELDS[agent]),)
    return Untrained(Path("nowhere"), config, infos, metrics, agents, (envs.make(env, horizon=4),))


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
    result = untrained()
    assert plots.label(result, 0) == "sac (alpha 1.0, tau 0.5)"
    result.config["configurations"][0]["grid"] = {"alpha": 0.2}
    assert plots.label(result, 0) == "sac (alpha 0.2)"


def test_curves_show_every_seed_the_mean_and_yardsticks(drawn, tmp_path):
    plots.curves([untrained()], tmp_path / "x.png", lines={"doing nothing": -1234.5}, caption="Ten steps.")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    left = drawn[0].axes[0]
    one, two, mean, yardstick = (line.get_ydata() for line in left.lines)
    np.testing.assert_array_equal(one, [-1, 1, 2])
    np.testing.assert_array_equal(two, [-3, 2, np.nan])
    np.testing.assert_array_equal(mean, [-2, 1.5, 2])  # of those that are known
    np.testing.assert_array_equal(yardstick, [-1234.5] * 2)
    assert left.lines[-1].get_label() == "doing nothing: -1,234"
    assert "toy. Ten steps." in drawn[0].get_supxlabel()


def test_curves_of_runs_that_never_began_are_empty(drawn, tmp_path):
    plots.curves([untrained(values=((np.nan,), (np.nan,)))], tmp_path / "x.png")
    assert len(drawn[0].axes[0].lines) == 0


def test_curves_tell_results_apart(drawn, tmp_path):
    plots.curves([untrained("sac"), untrained("ppo")], tmp_path / "x.png")
    assert len({to_hex(line.get_color()) for line in drawn[0].axes[0].lines}) == 2


@pytest.mark.parametrize(
    ("agent", "env", "landscapes", "note"),
    [
        ("sac_adaent", "vehicle", {"learned soft Q", "learned plain Q"}, ""),
        ("sac", "toy", {"learned soft Q"}, "The agent has no plain critics: no comparison is drawn."),
        ("ppo", "pendulum", set(), "The agent learns no Q: only its policy is drawn."),
    ],
)
def test_landscape_shows_what_the_agent_has(agent, env, landscapes, note, drawn, tmp_path):
    result = untrained(agent, env)
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
        plots.landscape(untrained(), tmp_path / "x.png", run=2)
    assert not (tmp_path / "x.png").exists()
