"""Worlds where maximum entropy must mislead: at which temperature agents fall for them, and who does not."""

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments import crossings, extended
from experiments.outcome import write_metrics
from maxent_jax import runs, stats
from maxent_jax.result import load


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a preset runs.

    Attributes:
      chain: environment steps of the SAC family by the size of an action.
      chain_ppo: those of PPO.
      seeds: of `bandit_chain`.
      toy_alphas: temperatures on the toy.
      toy_steps: steps there.
      toy_seeds: seeds there.
      tasks: budgets of the extended tasks.
    """

    chain: dict[int, int]
    chain_ppo: int
    seeds: int
    toy_alphas: tuple[float, ...]
    toy_steps: int
    toy_seeds: int
    tasks: dict[str, extended.Budget]


FINE = tuple(round(0.4 + 0.04 * i, 2) for i in range(13))
PLANS = {
    "quick": Plan(
        chain={1: 3_000, 2: 3_000, 4: 6_000, 8: 12_000},
        chain_ppo=40_000,
        seeds=8,
        toy_alphas=(0.55, 0.6, 0.65, 0.7, 0.75, 0.8),
        toy_steps=20_000,
        toy_seeds=16,
        tasks={"pendulum": extended.Budget(4_000, 20_000, 3, (0.5, 8.0))},
    ),
    "cpu": Plan(
        chain={1: 6_000, 2: 6_000, 4: 12_000, 8: 24_000, 16: 40_000, 32: 40_000},
        chain_ppo=100_000,
        seeds=8,
        toy_alphas=FINE[4:],
        toy_steps=40_000,
        toy_seeds=16,
        tasks={task: extended.Budget(30_000, 100_000, 5) for task in extended.TASKS},
    ),
    "paper": Plan(
        chain={1: 50_000, 2: 50_000, 4: 100_000, 8: 200_000, 16: 400_000, 32: 1_000_000},
        chain_ppo=1_000_000,
        seeds=32,
        toy_alphas=FINE,
        toy_steps=100_000,
        toy_seeds=32,
        tasks={task: extended.Budget(1_000_000, 2_000_000, 10) for task in extended.TASKS},
    ),
}


def run(path: Path, preset: str, console: Console | None) -> None:
    """Everything, two figures, three tables and their numbers; all of it goes below `path`."""
    plan = PLANS[preset]
    folder = path / "figures"
    folder.mkdir(exist_ok=True)
    rows = [crossings.toy(plan.toy_alphas, plan.toy_steps, plan.toy_seeds, path / "toy", console)]
    for size, steps in plan.chain.items():
        rows.append(crossings.chain(size, steps, plan.seeds, plan.chain_ppo, path / f"chain-{size}", console))
    crossings.draw(rows, folder / "crossings.png", chain_caption(preset, plan))
    twins = [row for task, budget in plan.tasks.items() for row in extended.run(task, budget, path, console)]
    known = extended.exact()
    extended.draw(twins, known, folder / "extended.png", twin_caption(preset, plan))
    results = [load(config.parent) for config in sorted(path.rglob("config.json"))]
    write_metrics(results, path / "metrics.csv.gz")
    about = {"preset": preset, "plan": dataclasses.asdict(plan), "device": runs.device(), "versions": runs.versions()}
    about["minutes"] = sum(result.summary["elapsed_seconds"] for result in results) / 60
    runs.write_json(path / "outcome.json", about | {"crossings": rows, "extended": twins, "pendulum_model": known})
    if console is not None:
        for table in tables(rows, twins):
            console.print(table)


def chain_caption(preset: str, plan: Plan) -> str:
    """Budget, nets, and what they do not show."""
    return (
        f"Preset {preset}. SAC: nets 32-32, learning rate 0.001, batch {crossings.BATCH}, 1000 random steps first "
        f"(toy: {crossings.TOY_PREFILL}); a point is the share of seeds whose mean action reaches the narrow room at "
        f"the end. Measured: where half of {plan.seeds} (toy: {plan.toy_seeds}) seeds have turned, 95 % bootstrap "
        "interval over seeds. Small nets and short runs: agents that err for other reasons than entropy turn earlier."
    )


def twin_caption(preset: str, plan: Plan) -> str:
    """Likewise."""
    budgets = "; ".join(
        f"{task}: {b.steps:,} steps (PPO {b.ppo_steps:,}), {b.seeds} seeds" for task, b in plan.tasks.items()
    )
    return (
        f"Preset {preset}. {budgets}. Nets 64-64; SAC and SAC-AdaEnt (fast comparison): batch 64. Dots: seeds; bars: "
        "95 % intervals of the interquartile mean. The best return is the same before and after; a half-step has to be "
        "learned, too, so that short budgets lose for that alone: compare alpha 0."
    )


def tables(rows: list[dict[str, Any]], twins: list[dict[str, Any]]) -> list[Table]:
    """Crossings, who solves the chains, and returns before and after."""
    crossed = Table("task", "all densities", "squashed normals", "measured, 95 %", title="temperature of the crossing")
    for row in rows:
        crossed.add_row(*crossing_cells(row))
    names, *lines = solvers(rows) or [[]]
    solved = Table(*names, title="seeds that solve the chain")
    for line in lines:
        solved.add_row(*line)
    after = Table("task", "agent", "before", "after", title="final return, interquartile mean and 95 % interval")
    for row in twins:
        after.add_row(row["task"], row["agent"], *(stats.shown(row[when]) for when in ("before", "after")))
    return [crossed, solved, after]


def crossing_cells(row: dict[str, Any]) -> list[str]:
    """Task, and where it crosses: for all densities, for squashed normals, and as measured."""
    measured = crossings.Crossing(**row["measured"])
    return [row["task"], f"{row['exact']:.3f}", f"{row['predicted']:.3f}", str(measured)]


def solvers(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Who solves the chains, a line a chain, after the names of the columns; nothing where there is no chain."""
    chains = [row for row in rows if "solved" in row]
    cells = [[str(row["size"]), *("{} of {}".format(*row["solved"][name]) for name in compared(row))] for row in chains]
    return [["numbers", *compared(chains[0])], *cells] if chains else []


def compared(row: dict[str, Any]) -> list[str]:
    """The agents of a chain that a table shows: no entropy, too much of it, a learned amount, and the competitors."""
    high = f"(alpha {crossings.MISLEADING * row['exact']:g})"
    return ["sac (alpha 0)", f"sac {high}", "sac (auto)", f"sac_adaent {high}", "ppo"]
