"""What rliable says of fixed scores: the numbers that `maxent_jax.stats` is tested against.

In an environment of its own, with requirements-rliable.txt:
  python benchmarks/peer_scripts/rliable_values.py tests/helpers/rliable.json

rliable resamples with numpy's global generator: with its seed, and the same calls in the same order, the test takes the
same resamples.
"""
# pyright: basic, reportMissingImports=false

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from rliable import library, metrics

SEED = 0
RESAMPLES = 500


def iqms(scores: np.ndarray) -> np.ndarray:
    """One number in an array, as rliable wants it."""
    return np.array([metrics.aggregate_iqm(scores)])


def iqm_differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Likewise."""
    return iqms(one) - iqms(other)


def interval(scores: object, function: object) -> list[float]:
    """Ends of rliable's percentile interval, after seeding."""
    np.random.seed(SEED)  # noqa: NPY002 - rliable draws from it
    _, ends = library.get_interval_estimates({"": scores}, function, reps=RESAMPLES)
    return ends[""][:, 0].tolist()


def main(path: str) -> None:
    """Write the numbers to a JSON file."""
    draws = np.random.default_rng(1)
    one = draws.standard_t(3, (9, 3)).round(3) * [1.0, 10.0, 100.0]
    other = draws.standard_t(3, (6, 3)).round(3) * [1.0, 10.0, 100.0] - 0.5
    other[:2, 1] = one[:2, 1]  # ties
    thresholds = np.linspace(-20.0, 20.0, 9)
    profile, _ = library.create_performance_profile({"": one}, thresholds, reps=10)
    values = {
        "versions": {name: importlib.metadata.version(name) for name in ("rliable", "arch", "numpy", "scipy")},
        "seed": SEED,
        "resamples": RESAMPLES,
        "one": one.tolist(),
        "other": other.tolist(),
        "thresholds": thresholds.tolist(),
        "mean": metrics.aggregate_mean(one),
        "iqm": metrics.aggregate_iqm(one),
        "iqm_interval": interval(one, iqms),
        "probability_of_improvement": metrics.probability_of_improvement(one, other),
        "probability_of_improvement_by_task": [
            metrics.probability_of_improvement(one[:, [task]], other[:, [task]]) for task in range(3)
        ],
        "profile": profile[""].tolist(),
        "first_task_iqm_difference_interval": interval([one[:, :1], other[:, :1]], iqm_differences),
    }
    Path(path).write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
