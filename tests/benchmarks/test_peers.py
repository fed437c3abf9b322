"""Peers that fail are rows, the others are measured; the evaluation is the pendulum's; torch's SAC-AdaEnt is ours."""

import importlib.util
import json
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from benchmarks import peer_adaent, peer_processes, peers
from envs.pendulum import PendulumState

STUB = """
import sys
sys.path.insert(0, {scripts!r})
import serve

class Stub(serve.Training):
    def __init__(self, settings, seed):
        print("noise on stdout")

    def advance(self):
        {advance}

serve.serve(serve.Trainings(Stub, ("numpy",)))
"""


@pytest.fixture
def stub(tmp_path):
    def made(name, advance, **arguments):
        script = tmp_path / f"{name}.py"
        script.write_text(textwrap.dedent(STUB).format(scripts=str(peers.SCRIPTS), advance=advance))
        return peer_processes.Peer(script, **arguments)

    return made


def test_a_peer_that_fails_is_a_row_with_its_error_and_the_others_go_on(stub, tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("this is no requirement\n")
    trained = {
        "ours": stub("ours", "return 20, 10, 0.02", maps=True),
        "rejax": stub("rejax", "return 10, 5, 0.02", requirements=wrong, venv="venv", maps=True),
        "sbx": stub("sbx", "raise ValueError('no such action')"),
        "sb3": stub("sb3", "sys.exit('gave up')"),
        "brax": stub("brax", "return 20, 5, 0.02"),
    }
    monkeypatch.setattr(peers, "PEERS", trained)
    out = tmp_path / "peers.json"
    asked = {"repetitions": 2, "seconds": 0.1, "venvs_at": tmp_path, "out": out}
    peers.main(only=("sac",), peers=tuple(trained), **asked)

    result = json.loads(out.read_text())
    rows = result["stages"]["sac"]["256-256, 1 run"]
    assert rows["ours"]["updates_per_second"] == pytest.approx({"median": 500, "min": 500, "max": 500})
    assert rows["brax"]["env_steps_per_second"]["median"] == pytest.approx(1000)
    assert "Invalid requirement" in rows["rejax"]["error"]
    assert rows["sbx"]["error"] == "ValueError: no such action"
    assert "gave up" in rows["sb3"]["error"]
    assert result["errors"].keys() == {"rejax", "sbx", "sb3"}
    assert set(result["stages"]["sac"]["64-64, 8 runs"]) == {"ours", "rejax"}

    met = {goal["goal"]: (goal["value"], goal["met"]) for goal in result["goals"]}
    assert met["sac, 256-256, 1 run: ours over brax, updates/s"] == (pytest.approx(2.0), True)
    assert met["sac, 64-64, 1 run: ours over sb3, updates/s"] == (None, None)


def test_learning_ends_at_the_goal_and_tells_who_does_not_reach_it():
    class Learner:
        def __init__(self, reached):
            self.reached = reached

        def ask(self, do, **_):
            if do == "prepare":
                return {"startup_seconds": 10.0}
            return {"points": [[500, -300.0], [1000, -200.0]], "seconds": 2.0, "reached": self.reached}

    everyone = peer_processes.Peers(("ours", "rejax"), {"ours": Learner(True), "rejax": Learner(False)}.__getitem__)
    rows = peers.learning(everyone, seeds=3)["64-64, 1 run"]
    assert (rows["ours"]["median_seconds"], rows["ours"]["median_seconds_with_startup"]) == (2.0, 12.0)
    assert rows["rejax"]["median_seconds"] is None
    assert "error" in rows["sbx"]


def test_the_evaluation_is_the_return_of_our_pendulum():
    serve = load("serve")

    def policy(obs):  # pumps the swing
        return 0.9 * np.sign(obs[..., 2:])

    env = envs.make("pendulum")
    state = jax.vmap(env.begin)(PendulumState(*jnp.asarray(serve.STARTS, jnp.float32).T))
    total = np.zeros(len(serve.STARTS))
    step = jax.jit(jax.vmap(env.step))
    for _ in range(env.horizon):
        state = step(state, policy(np.asarray(state.obs)))
        total += state.reward
    assert serve.mean_return(policy) == pytest.approx(float(total.mean()), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(64, 64), (256, 256)])
def test_torch_and_our_sac_adaent_agree(hidden, tmp_path):
    def start(name):
        return peer_processes.Process(peers.PEERS[name], peer_processes.ROOT, 2)

    everyone = peer_processes.Peers(("torch",), start)
    entry = peer_adaent.agreement(everyone, tmp_path, hidden)
    everyone.close()
    assert entry.get("error") is None
    assert entry["apart"] <= peer_adaent.AGREEMENT
    assert max(entry["moved"].values()) > 2 * peer_adaent.AGREEMENT  # it is an update at all
    assert 0 < entry["switched"] < 256


def load(name):
    spec = importlib.util.spec_from_file_location(name, peers.SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
