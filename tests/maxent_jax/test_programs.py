import numpy as np
import pytest
import tiny

from maxent_jax.memory import held_bytes
from maxent_jax.programs import RunInfo


def test_runs_are_numbered_by_configuration_then_seed():
    sweep = tiny.lay_out("sac", seeds=(7, 3), grid={"alpha": (0.1, 0.2), "env.mass": (1.0, 2.0)})
    assert sweep.configurations == (
        {"alpha": 0.1, "env.mass": 1.0},
        {"alpha": 0.1, "env.mass": 2.0},
        {"alpha": 0.2, "env.mass": 1.0},
        {"alpha": 0.2, "env.mass": 2.0},
    )
    assert [run.run for run in sweep.runs] == list(range(8))
    assert [(run.seed, run.configuration) for run in sweep.runs] == [(s, c) for c in range(4) for s in (7, 3)]


def test_leaf_fields_share_a_program_and_reach_their_runs():
    (program,) = tiny.lay_out("sac", seeds=(7, 3), grid={"alpha": (0.1, 0.2), "env.mass": (1.0, 2.0)}).programs
    np.testing.assert_array_equal(program.agent.alpha, np.float32([0.1] * 4 + [0.2] * 4))
    np.testing.assert_array_equal(program.env.mass, np.float32([1, 1, 2, 2] * 2))
    assert (program.agent_axes.alpha, program.env_axes.mass) == (0, 0)
    assert np.ndim(program.agent.gamma) == 0
    assert program.agent_axes.gamma is None


def test_every_static_value_is_a_program_with_its_own_runs():
    sweep = tiny.lay_out("sac", seeds=(7, 3), grid={"alpha": (0.1, 0.2), "batch_size": (4, 8)})
    small, large = sweep.programs
    assert (small.agent.batch_size, large.agent.batch_size) == (4, 8)
    assert small.runs == (RunInfo(0, 7, 0), RunInfo(1, 3, 0), RunInfo(4, 7, 2), RunInfo(5, 3, 2))
    assert large.runs == (RunInfo(2, 7, 1), RunInfo(3, 3, 1), RunInfo(6, 7, 3), RunInfo(7, 3, 3))
    for program in sweep.programs:
        wanted = [sweep.configurations[run.configuration] for run in program.runs]
        np.testing.assert_array_equal(program.agent.alpha, np.float32([values["alpha"] for values in wanted]))
        assert {values["batch_size"] for values in wanted} == {program.agent.batch_size}


def test_static_fields_of_the_task_are_programs_too():
    sweep = tiny.lay_out("sac", "vehicle", grid={"env.tyres": ("published", "road"), "env.mass": (1200.0, 1500.0)})
    assert [program.env.tyres for program in sweep.programs] == ["published", "road"]
    for program in sweep.programs:
        np.testing.assert_array_equal(program.env.mass, np.float32([1200, 1500]))


def test_none_is_a_program_of_its_own():
    sweep = tiny.lay_out("sac", grid={"target_entropy": (None, -1.0, -2.0)}, auto_alpha=True)
    default, numbers = sweep.programs
    assert default.agent.target_entropy is None
    np.testing.assert_array_equal(numbers.agent.target_entropy, np.float32([-1, -2]))
    assert held_bytes(default) * 2 == held_bytes(numbers)


def test_values_that_contradict_each_other_are_refused_where_they_meet():
    with pytest.raises(ValueError, match=r"agent\.batch_size = 64: must be <= buffer_size, which is 32"):
        tiny.lay_out("sac", grid={"buffer_size": (64, 32)}, batch_size=64)
    with pytest.raises(ValueError, match=r"agent\.batch_size = 5: must divide rollout_steps, which is 32"):
        tiny.lay_out("ppo", grid={"batch_size": (4, 5)})
    assert len(tiny.lay_out("sac", grid={"batch_size": (4, 8)}, buffer_size=8, batch_size=64).programs) == 2
