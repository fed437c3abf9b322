"""Trainings that several files cut off and go on with."""

import json
import shutil

import pytest
from cut_off import killed, train

from maxent_jax import checkpoints


@pytest.fixture(scope="module")
def straight(tmp_path_factory, quick_compile, no_figures):
    """Runs that were left alone, by agent."""
    made = {}

    def of(agent="sac", **options):
        key = (agent, json.dumps(options, sort_keys=True))
        if key not in made:
            made[key] = train(tmp_path_factory.mktemp("straight") / "run", agent, **options)
        return made[key]

    return of


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory, quick_compile, no_figures):
    path = tmp_path_factory.mktemp("broken") / "run"
    killed(path, 3)
    return path


@pytest.fixture
def broken(broken_once, tmp_path):
    """A run that was killed after its chunk 2 of 3, with checkpoints after chunks 1 and 2."""
    shutil.copytree(broken_once, tmp_path / "run")
    assert checkpoints.names(tmp_path / "run") == ["state_000000_000001", "state_000000_000002"]
    return tmp_path / "run"
