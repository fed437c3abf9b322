"""The README's plots and table of speed, from the JSON files that the benchmarks wrote.

`python -m benchmarks.figures` draws `docs/scaling.png` (updates a second by runs) and `docs/cost.png` (SAC-AdaEnt's
update in SAC's) and prints the tables: what was measured, and which rules decide how well. Whatever was not measured is
left out.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro
from matplotlib.axes import Axes

from benchmarks.peers import ratio
from maxent_jax.plots import COLOURS, figure, save

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"

Result = dict[str, Any]


def read(name: str, folder: Path = RESULTS) -> Result:
    """What a benchmark wrote; empty if it was never made."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def draw_scaling(ax: Axes, scaling: Result) -> None:
    """Updates a second of all runs together, by how many runs one program has; bars from min to max."""
    for colour, hidden in zip(COLOURS, ("64-64", "256-256"), strict=False):
        rows = scaling["rows"].get(f"SAC {hidden} by runs", {})
        runs = [int(count) for count in rows]
        rates = [row["updates"] for row in rows.values()]
        middle = [rate["median"] for rate in rates]
        spread = [[r["median"] - r["min"] for r in rates], [r["max"] - r["median"] for r in rates]]
        ax.errorbar(runs, middle, yerr=spread, color=colour, marker="o", label=f"SAC {hidden}, batch 256")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(runs, [str(count) for count in runs])
    ax.set_xlabel("runs in one program")
    ax.set_ylabel("updates a second, all runs")
    ax.legend(frameon=False, loc="center right")


def draw_cost(ax: Axes, fast: Result) -> None:
    """An update of SAC-AdaEnt in updates of SAC, by rule."""
    cases = fast["seconds"]
    rules = ("sac_adaent, fast", "sac_adaent, exact")
    for index, (rule, colour) in enumerate(zip(rules, (COLOURS[2], COLOURS[1]), strict=True)):
        ratios = [by_agent[rule]["median"] / by_agent["sac"]["median"] for by_agent in cases.values()]
        places = [place + 0.8 * (index - 0.5) / 2 for place in range(len(cases))]
        bars = ax.bar(places, ratios, 0.38, color=colour, label=rule.partition(", ")[2])
        ax.bar_label(bars, [f"{ratio:.1f}" for ratio in ratios], fontsize=8)
    ax.axhline(1, color="black", linewidth=1, label="SAC")
    ax.set_xticks(range(len(cases)), [case.replace(", ", "\n") for case in cases], fontsize=8)
    ax.set_ylabel("an update, in updates of SAC")
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def lines(folder: Path) -> Iterator[tuple[str, str, str]]:
    """What was measured, what came out, which benchmark says so."""
    if peak := read("peak", folder):
        about = f"SAC's update, 256-256, of the best matrix products ({peak['peak_gflops']:.0f} GFLOP/s)"
        within = "the same with acting, stepping and replay"
        for words, share in ((about, "share_of_peak"), (within, "share_of_peak_in_training")):
            yield words, ", ".join(f"{row[share]:.0%} ({runs} run(s))" for runs, row in peak["runs"].items()), "`peak`"
    for case, by_agent in read("fast", folder).get("seconds", {}).items():
        sac = by_agent["sac"]["median"]
        ratios = (
            f"{name.partition(', ')[2]} {by_agent[name]['median'] / sac:.1f}" for name in by_agent if name != "sac"
        )
        yield f"SAC-AdaEnt's update in SAC's, 256-256, n = 100, {case}", ", ".join(ratios), "`fast`"
    for task, row in read("memory", folder).get("rows", {}).items():
        yield f"memory of a chunk over what must be held, {task}", f"{row['needed_over_held']:.2f}", "`memory`"
    peers = read("peers", folder)
    for goal in peers.get("goals", ()):
        found = "not measured" if goal["value"] is None else f"{goal['value']:.2f}"
        yield f"{goal['goal']} (goal {goal['bound']:g})", found, "`peers`"
    for case, rows in peers.get("stages", {}).get("ppo", {}).items():
        others = {name: ratio(rows, "ours", name, "env_steps_per_second") for name in rows if name != "ours"}
        found = ", ".join(f"{name} {value:.2f}" for name, value in others.items() if value is not None)
        yield f"PPO, {case}: ours over others, environment steps/s", found, "`peers`"
    for case, rows in peers.get("stages", {}).get("learn", {}).items():
        took = {name: (row.get("median_seconds"), row.get("median_seconds_with_startup")) for name, row in rows.items()}
        found = ", ".join(f"{name} {alone:.1f} ({whole:.1f})" for name, (alone, whole) in took.items() if alone)
        yield f"seconds until SAC, {case}, has learned the pendulum (with start-up)", found, "`peers`"
    for training, row in read("budgets", folder).get("told_and_measured", {}).items():
        yield f"seconds of {training} over what `plan` told", f"{row['measured_over_told']:.2f}", "`budgets`"


def rules(comparison: Result) -> Iterator[tuple[str, ...]]:
    """Each rule that was judged, the best first: its name, its cost, sensitivity / specificity by task."""
    rows = comparison["rules"]
    tasks = list(rows["never"]["by_task"])
    yield ("rule", "passes, 4 actions", *tasks)
    for name, row in sorted(rows.items(), key=lambda item: -sum(item[1]["behind_a_fresh_draw"])):
        pairs = (" / ".join(f"{value:.2f}".removeprefix("0") for value in row["by_task"][task]) for task in tasks)
        yield (name, f"{row['passes_at_4_actions']:g}", *pairs)


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """A table whose first row is its head."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def main(results: Path = RESULTS, docs: Path = DOCS) -> None:
    """Draw the plots, print the table.

    Args:
      results: where the JSON files are.
      docs: where the plots go.
    """
    for name, draw in (("scaling", draw_scaling), ("fast", draw_cost)):
        if result := read(name, results):
            drawn, axes = figure(1, 1, width=6.0)
            draw(axes[0, 0], result)
            save(drawn, docs / {"scaling": "scaling.png", "fast": "cost.png"}[name])
    print(markdown([("what", "measured", "benchmark"), *lines(results)]))
    if comparison := read("comparison", results):
        print("\n" + markdown(rules(comparison)))


if __name__ == "__main__":
    tyro.cli(main)
