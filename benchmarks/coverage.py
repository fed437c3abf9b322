"""Whether the intervals of `maxent_jax.stats` cover the truth as often as they say.

`python -m benchmarks.coverage` writes `benchmarks/results/coverage.json` and prints its table: the share of simulated
experiments whose nominal 95 % interval holds the number of the whole population, by how the seeds are distributed and
how many there are; beside it what the plain percentile bootstrap covers of the mean.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.timing import save
from maxent_jax import stats

RESULT = Path(__file__).parent / "results" / "coverage.json"
Draw = Callable[[np.random.Generator, int], np.ndarray]
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails (t, 3 degrees)": lambda rng, n: rng.standard_t(3, n),
    "skewed (exponential)": lambda rng, n: rng.exponential(size=n),
    "3 of 10 seeds fail": lambda rng, n: np.where(rng.random(n) < 0.3, -3.0, 0.0) + 0.5 * rng.normal(size=n),
}
POPULATION = 1_000_000
SEEDS = (2, 3, 5, 8, 10, 20)
BETTER = 1.0
"""How much better the other one is where two are compared."""


def truths(draw: Draw) -> dict[str, float]:
    """The numbers of the whole population that the intervals are for, by what is estimated."""
    rng = np.random.default_rng(1)
    one, other = draw(rng, POPULATION), draw(rng, POPULATION) - BETTER
    return {
        "mean, percentiles": float(one.mean()),
        "mean": float(one.mean()),
        "IQM": float(stats.iqm([one])),
        "difference of means": BETTER,
        "difference of IQMs": BETTER,
        "probability of improvement": float(np.mean(one > other)),
    }


def intervals(one: np.ndarray, other: np.ndarray) -> dict[str, tuple[float | None, float | None]]:
    """Our intervals of one experiment, by what is estimated."""
    picks = np.random.default_rng(0).integers(len(one), size=(1000, len(one)))
    found = {
        "mean": stats.estimate([one], stats.mean),
        "IQM": stats.estimate([one], stats.iqm),
        "difference of means": stats.estimate([one, other], stats.mean_difference),
        "difference of IQMs": stats.estimate([one, other], stats.iqm_difference),
        "probability of improvement": stats.probability_of_improvement([(one, other)]),
    }
    plain = stats.percentiles([one], stats.mean, [picks])[:2]
    return {"mean, percentiles": plain} | {name: (each.low, each.high) for name, each in found.items()}


def measure(distribution: str, seeds: int, experiments: int) -> dict[str, float]:
    """Shares of experiments whose intervals hold the truth, by what is estimated."""
    draw = DISTRIBUTIONS[distribution]
    true = truths(draw)
    held = dict.fromkeys(true, 0)
    for rng in _generators(experiments):
        for name, (low, high) in intervals(draw(rng, seeds), draw(rng, seeds) - BETTER).items():
            held[name] += low is not None and high is not None and low <= true[name] <= high
    return {name: count / experiments for name, count in held.items()}


def _generators(experiments: int) -> Iterator[np.random.Generator]:
    return map(np.random.default_rng, range(100, 100 + experiments))


def main(experiments: int = 1000, out: Path = RESULT) -> None:
    """Measure, write the JSON, print the table.

    Args:
      experiments: simulated for each distribution and number of seeds.
      out: the JSON to write.
    """
    about = (
        f"share of {experiments} simulated experiments whose nominal 95 % interval holds the truth, by distribution of "
        f"the seeds and their number (of both, where two are compared; the other is {BETTER:g} worse)"
    )
    result: dict[str, dict[str, dict[str, float]]] = {}
    for distribution in DISTRIBUTIONS:
        result[distribution] = {str(seeds): measure(distribution, seeds, experiments) for seeds in SEEDS}
        names = list(result[distribution][str(SEEDS[0])])
        table = Table("seeds", *names, title=distribution)
        for seeds, row in result[distribution].items():
            table.add_row(seeds, *(f"{row[name]:.1%}" for name in names))
        Console(width=130).print(table)
        save(out, about, experiments=experiments, coverage=result)


if __name__ == "__main__":
    tyro.cli(main)
