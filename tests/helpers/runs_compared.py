"""Whether two run directories hold the same numbers."""

import json

import jax
import numpy as np

from maxent_jax import runs
from maxent_jax.result import load


def lines(path):
    """The lines of metrics.jsonl without clocks."""
    read = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in runs.CLOCKS} for line in read]


def assert_equal_runs(one, other, agent=None, env=None):
    """Two results, or their directories: the same lines, and parameters to the bit."""
    assert lines(one.path) == lines(other.path)
    one, other = (load(result.path, agent, env) for result in (one, other))
    for info in other.runs:  # a shard has some numbers only
        jax.tree.map(np.testing.assert_array_equal, one.agent_state(info.run), other.agent_state(info.run))
    for result in (one, other):
        assert json.loads((result.path / "summary.json").read_text()) == result.summary | {"complete": True}
    assert not [path for path in one.path.rglob("*") if ".part" in path.name or "tmp" in path.name]
