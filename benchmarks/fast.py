"""What SAC-AdaEnt's update costs beside SAC's, comparing exactly, fast and not at all, and where the first two end.

`python -m benchmarks.fast` writes `benchmarks/results/fast.json` and prints its tables.

* Cost: one update at 256-256, batch 256, 100 samples, of one run and of 8, with actions of 1, 4 and 8
  dimensions; each in turn. Where there is an accelerator, with matrix products in bfloat16, too.
* Returns: both comparisons with 100 samples and the preset `quick` on four tasks; final returns over seeds, and the
  interval of their difference (95 %, bootstrap over seeds of both).
"""

import contextlib
import functools
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.sb3.returns import difference
from benchmarks.timing import interleaved, kept, save
from envs import fields
from envs.base import EnvSpec
from maxent_jax import api, blocks, devices
from maxent_jax.agents import SAC, SACAdaEnt
from maxent_jax.agents.base import Transition
from maxent_jax.compiled import group_size
from maxent_jax.memory import tree_bytes

TASKS = ("toy", "pendulum", "vehicle", "quadrotor")
SIZES = (1, 4, 8)
UPDATES = 16
RESULT = Path(__file__).parent / "results" / "fast.json"


class WithoutComparing(SACAdaEnt):
    """Plain critics beside the soft ones and nothing compared: what a comparison comes on top of."""

    def similarity(self, state: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The landscapes are alike everywhere."""
        return jnp.ones(len(obs))


def updates(agent: Any, runs: int, size: int = 4, precision: str | None = None) -> Any:
    """A compiled function that makes `UPDATES` updates of that many runs, actions of that size."""
    width = 9
    spec = EnvSpec(width, size, -jnp.ones(size), jnp.ones(size), 40)
    keys = jax.random.split(jax.random.key(0), runs + devices.padding(runs))
    draw = functools.partial(jax.random.normal, jax.random.key(1))
    zero = jnp.zeros(256)
    batch = Transition(draw((256, width)), jnp.tanh(draw((256, size))), zero, zero, zero + 1, draw((256, width)))
    states = jax.vmap(agent.init, (0, None))(keys, spec)

    def one_run(own: Any) -> Any:
        def one(state: Any, number: jax.Array) -> tuple[Any, None]:
            return agent.update(state, batch, jax.random.fold_in(own[1], number))[0], None

        return jax.lax.scan(one, own[0], jnp.arange(UPDATES))[0]

    def many(states: Any, keys: jax.Array) -> Any:
        at_a_time = group_size(len(keys), tree_bytes(states), devices.sharing(runs) > 1)
        return blocks.in_turn(jax.vmap(one_run), (states, keys), at_a_time)

    spread = devices.spread(many, runs, (0, 0), 0)  # as training does
    with jax.default_matmul_precision(precision) if precision else contextlib.nullcontext():
        return functools.partial(spread.lower(states, keys).compile(), states, keys)


def cost(repetitions: int, sizes: tuple[int, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds an update of all runs, by action size and runs, and by agent: median, min, max."""
    agents = {
        "sac": fields.build(SAC, {}),
        "sac_adaent, exact": fields.build(SACAdaEnt, {}),
        "sac_adaent, fast": fields.build(SACAdaEnt, {"comparison": "fast"}),
        "sac_adaent, not at all": fields.build(WithoutComparing, {}),
    }
    precisions = (None,) if jax.default_backend() == "cpu" else (None, "bfloat16")
    found = {}
    for size in sizes:
        for runs in (1, 8):
            made = {
                f"{name}, {precision}" if precision else name: updates(agent, runs, size, precision)
                for name, agent in agents.items()
                for precision in precisions
            }
            times = interleaved(made, repetitions)
            case = f"{size} action{'s' * (size > 1)}, {runs} run{'s' * (runs > 1)}"
            found[case] = {name: {key: value / UPDATES for key, value in row.items()} for name, row in times.items()}
    return found


def returns(task: str, seeds: int, console: Console) -> dict[str, Any]:
    """Final returns of the mean action by comparison, and the interval of fast minus exact."""
    with tempfile.TemporaryDirectory() as folder:
        result = api.sweep(
            "sac_adaent",
            task,
            {"comparison": ["exact", "fast"]},
            preset="quick",
            agent_fields={"n_samples": 100},
            seeds=seeds,
            evaluations=5,
            out=Path(folder) / task,
            console=console,
        )
    rows = [row["return_deterministic"] for row in result.summary["configurations"]]
    gap = difference(rows[1]["per_seed"], rows[0]["per_seed"])
    switched = [row["switched_share"] for row in result.summary["configurations"]]
    both = {"exact": rows[0], "fast": rows[1], "switched_share": dict(zip(("exact", "fast"), switched, strict=True))}
    less = {"mean": gap["mean"], "low": gap["bootstrap"][0], "high": gap["bootstrap"][1]}
    return both | {"fast_minus_exact": less, "agent_fields": result.config["agent_fields"]}


def tables(costs: dict[str, Any], rows: dict[str, Any]) -> list[Table]:
    """Cost in SAC updates; returns by task."""
    first = Table("", "agent", "ms an update", "SAC updates", title="256-256, batch 256, n = 100")
    for case, by_agent in costs.items():
        for name, row in by_agent.items():
            ratio = row["median"] / by_agent["sac"]["median"]
            spread = f"{1e3 * row['median']:.1f} ({1e3 * row['min']:.1f} to {1e3 * row['max']:.1f})"
            first.add_row(case, name, spread, f"{ratio:.2f}")
    second = Table("task", "exact", "fast", "fast - exact", "switched, exact", "switched, fast", title="final returns")
    for task, row in rows.items():
        ends = [f"{row[c]['mean']:,.4g} [{row[c]['low']:,.4g}, {row[c]['high']:,.4g}]" for c in ("exact", "fast")]
        gap = row["fast_minus_exact"]
        shares = [f"{share:.2f}" for share in row["switched_share"].values()]
        second.add_row(task, *ends, f"{gap['mean']:,.4g} [{gap['low']:,.4g}, {gap['high']:,.4g}]", *shares)
    return [first, second]


def main(
    only: tuple[str, ...] = TASKS,
    sizes: tuple[int, ...] = SIZES,
    seeds: int = 5,
    repetitions: int = 7,
    out: Path = RESULT,
) -> None:
    """Measure, write the JSON after each task, print the tables.

    Args:
      only: tasks whose returns are compared.
      sizes: of actions, whose updates are timed.
      seeds: trainings by each comparison.
      repetitions: rounds of the cost measurement.
      out: the JSON to write; sizes and tasks that it holds and that are not measured now stay in it.
    """
    console = Console(width=150)
    before = kept(out)
    costs, rows = before.get("seconds", {}) | cost(repetitions, sizes), before.get("returns", {})
    about = "seconds an update of all runs; final returns of the mean action, preset quick with n_samples 100"
    save(out, about, seconds=costs, returns=rows)
    for task in only:
        rows[task] = returns(task, seeds, console)
        save(out, about, seconds=costs, returns=rows)
    for table in tables(costs, rows):
        console.print(table)


if __name__ == "__main__":
    tyro.cli(main)
