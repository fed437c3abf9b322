import dataclasses
import functools
from typing import Any

import compilations
import jax
import numpy as np
import pytest
import tiny

import envs
import maxent_jax
from envs import fields
from maxent_jax import compiled
from maxent_jax.agents import AGENTS
from maxent_jax.compiled import Compiled, group_size
from maxent_jax.memory import agent_bytes, held_bytes, tree_bytes
from maxent_jax.programs import Program, RunInfo, expand

pytestmark = pytest.mark.usefixtures("quick_compile", "no_figures")

LEAF = {
    "sac": ("alpha", (0.1, 0.3)),
    "sac_adaent": ("threshold", (-1.0, 2.0)),
    "ppo": ("gae_lambda", (0.5, 0.9)),
    "td3": ("target_std", (0.1, 0.5)),
    "ddpg": ("lr", (1e-3, 3e-3)),
    "sql": ("alpha", (0.1, 0.3)),
    "sac_annealed": ("anneal_share", (0.3, 1.0)),
    "sac_lite": ("alpha", (0.1, 0.3)),
}
"""A field of each agent and two values of it that tell."""
WIDER = {"sac_adaent": {"hidden": (32,)}}
"""Of eight units most may be dead: landscapes are then flat but for rounding, which similarities magnify."""


@dataclasses.dataclass
class Trained:
    """A program that ran: its compilations until the first chunk and later, metrics by chunk, first and last states."""

    program: Program
    first: list[str]
    later: list[str]
    metrics: list[dict[str, np.ndarray]]
    begun: Any
    states: Any


def trained(agent, **options):
    options = WIDER.get(agent, {}) | options
    (program,) = tiny.lay_out(agent, **options, steps=800 if agent == "ppo" else 100, evaluations=4).programs
    with compilations.heard() as first:
        made = Compiled(program)
        chunks = made.chunks()
        seen = [next(chunks)]
    with compilations.heard() as later:
        seen += list(chunks)
    seeds = np.array([run.seed for run in program.runs], np.uint32)
    begun = made.begin(program.agent, program.env, seeds)
    states = jax.tree.map(np.asarray, seen[-1].state)
    return Trained(program, first, later, [chunk.metrics for chunk in seen], begun, states)


@pytest.fixture(scope="module", params=tiny.agents())
def many(request, quick_compile, no_figures):
    """Ten seeds with each of four configurations."""
    field, values = LEAF[request.param]
    return request.param, trained(request.param, seeds=range(10), grid={field: values, "env.mass": (1.0, 2.0)})


def test_every_part_is_compiled_once_and_nothing_after_the_first_chunk(many):
    _, run = many
    parts = {"begin": 1, "prefill": 1, "train": 1, "evaluate": 1}
    assert {name: run.first.count(name) for name in parts} == parts
    assert run.later == []
    assert len(run.metrics) == 5


def test_a_run_alone_is_the_run_among_many(many):
    agent, among = many
    field, values = LEAF[agent]
    alone = trained(agent, seeds=(3,), mass=2.0, **{field: values[1]})
    row = among.program.runs.index(RunInfo(run=33, seed=3, configuration=3))
    assert_same(alone, among, [row])
    for other in ([row + 1], [row - 10], [row - 20]):  # another seed, another mass, another value of the agent's field
        with pytest.raises(AssertionError):
            assert_same(alone, among, other)


def assert_same(alone, among, row):
    """The runs of one program have the metrics and the state of these rows of the other."""
    for one, many in zip(alone.metrics, among.metrics, strict=True):
        assert one.keys() == many.keys()
        for name in one:  # episodes, and similarities of the nearly flat landscapes of fresh critics, amplify rounding
            far = 1e-4 if name.startswith("return") else 1e-5
            close = 5e-2 if name.startswith("similarity") else 1e-5
            np.testing.assert_allclose(one[name], many[name][row], rtol=far, atol=close, err_msg=name)
    # where a gradient is nearly 0, rounding moves Adam's step by a part of the learning rate
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-4)
    jax.tree.map(lambda one, many: close(one, many[row]), alone.states, among.states)


@pytest.mark.parametrize("agent", ["sac", *(pytest.param(name, marks=pytest.mark.slow) for name in list(LEAF)[1:])])
@pytest.mark.parametrize("cached", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_runs_in_groups_are_the_runs_at_once(agent, cached, monkeypatch):
    field, values = LEAF[agent]
    grid = {field: values, "env.mass": (1.0, 2.0)}
    at_once = trained(agent, seeds=(0, 1, 2, 3), grid=grid)
    monkeypatch.setattr(compiled, "CACHED_BYTES", cached * agent_bytes(at_once.program) // 16)
    in_groups = trained(agent, seeds=(0, 1, 2, 3), grid=grid)
    assert_same(at_once, in_groups, slice(None))
    with pytest.raises(AssertionError):
        assert_same(at_once, in_groups, slice(None, None, -1))


@pytest.mark.parametrize(
    ("runs", "cached", "size"),
    [(8, 2, 2), (8, 3, 2), (8, 7, 2), (8, 0.5, 1), (8, 8, 8), (7, 6, 1), (3, 1, 3), (32, 2, 2), (32, 16, 8)],
)
def test_a_group_fits_the_caches_and_is_at_most_a_quarter_of_the_runs(runs, cached, size, monkeypatch):
    monkeypatch.setattr(compiled, "CACHED_BYTES", int(cached * 1000))
    assert group_size(runs, runs * 1000) == size


def test_held_bytes_are_those_of_what_is_allocated(many):
    _, run = many
    held, agents = held_bytes(run.program), agent_bytes(run.program)
    assert held == tree_bytes(run.begun)
    assert agents == sum(leaf.nbytes for leaf in jax.tree.leaves(run.begun.agent)) == tree_bytes(run.states)
    replay = 0 if run.begun.rows is None else 40 * 64 * 4 * (2 * 3 + 1 + 3)  # runs, transitions, bytes, numbers
    assert agents + replay < held < agents + replay + 40 * 200


def test_held_bytes_count_what_replay_keeps_in_a_byte_as_a_byte():
    agent = fields.build(AGENTS["sac"], tiny.FIELDS["sac"] | {"buffer_size": 1000}, "agent.")
    grid = {"env.reach": (110.0, 97.3), "env.observation_noise": (None, 0.1)}
    whole, noisy = expand(agent, envs.make("quadruped"), (0, 1), grid, 2000, 1, 1).programs
    runs, transitions, history = 4, 1000, 30 * 8
    saved = runs * transitions * 2 * history * 3
    assert saved < held_bytes(noisy) - held_bytes(whole) < saved + 100 * runs  # the noise has keys


@pytest.mark.slow
def test_static_fields_of_a_task_train_as_programs_of_their_own(tmp_path):
    options = {"steps": 8, "evaluations": 1, "agent_fields": tiny.FIELDS["sac"], "env_fields": {"horizon": 4}}
    with compilations.heard() as heard:
        grid = {"env.tyres": ("published", "road"), "env.mass": (1200.0, 1500.0)}
        result = maxent_jax.sweep("sac", "vehicle", grid, seeds=2, out=tmp_path / "run", **options)
    assert (heard.count("train"), heard.count("evaluate")) == (2, 2)
    returns = result.metrics["return_deterministic"][:, 0].reshape(4, 2)
    assert len(set(returns[:, 0])) == 4  # the same untrained policy on four different cars
