"""`docs/results.md`: each experiment, its command, its result and its cost, from the numbers that are committed.

    python -m experiments.results        # writes the page anew

An experiment's `outcome.json` becomes part of the page once it is copied to `docs/PART.json`, PART being the name of
its folder without the preset (`toy`, `control-vehicle`, ...).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import bifurcation, registry
from maxent_jax import stats

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "results.md"
Outcome = dict[str, Any]

HEAD = """# Results

Made by `python -m experiments.results` from the JSON files in this folder; do not edit. No number of the paper is known
to us: these are ours, whichever way they came out. Intervals are 95 %, over seeds. An experiment that is marked **not
run** is ready: the command is all it takes.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in registry.BY_COST:
        parts.append(f"## {name}\n\n{about(name)}\n")
        parts += [section(name, part) for part in registry.parts(name)]
    return "\n".join(parts)


def about(name: str) -> str:
    """The first paragraph of what an experiment's module says of itself."""
    module = __import__(f"experiments.{name}", fromlist=["__doc__"])
    return " ".join((module.__doc__ or "").split("\n\n")[0].split())


def section(name: str, part: str) -> str:
    """One folder's command, result and cost."""
    _, _, task = part.partition("-")
    command = f"maxent-jax reproduce {name}" + (f" --env {task}" if task else "")
    path = DOCS / f"{part}.json"
    title = f"### {task}\n\n" if task else ""
    if not path.exists():
        return f"{title}`{command} --preset cpu`: **not run**.\n"
    outcome = json.loads(path.read_text())
    told = TELL.get(name, tell_rows)(outcome)
    where = f"; device {outcome['device']}" if "device" in outcome else ""
    cost = f"Preset `{outcome['preset']}`{where}; jax {outcome['versions']['jax']}; [numbers]({path.name})."
    budget = f" {outcome['budget']}" if "budget" in outcome else ""
    return f"{title}`{command} --preset {outcome['preset']}`. {cost}{budget}\n\n{told}\n"


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def tell_rows(outcome: Outcome) -> str:
    """Agents and yardsticks by their returns: `control`, and what is like it."""
    first = [key for key in ("variant", "threshold", "alpha") if any(key in row for row in outcome["rows"])]
    rows = [
        [
            *(row.get(key, "") for key in first),
            row["agent"],
            stats.shown(row.get("deterministic") or row.get("return_deterministic")),
            stats.shown(row.get("stochastic") or row.get("return_stochastic")),
            "" if row.get("switched_share") is None else f"{row['switched_share']:.0%}",
        ]
        for row in outcome["rows"]
    ]
    return table([*first, "agent", "return, mean action", "sampled", "switched"], rows)


def tell_toy(outcome: Outcome) -> str:
    """Where the seeds end."""
    rows = [
        [
            row["agent"],
            f"{row['at_plus_1']} of {row['seeds']}",
            stats.digits(row["mean"]),
            stats.digits(row["sampled_mean"]),
        ]
        for row in outcome["rows"]
    ]
    return table(["agent", "seeds at +1", "return, mean action", "sampled"], rows)


def tell_theory(outcome: Outcome) -> str:
    """What entropy costs at the worst temperature."""
    rows = []
    for task in outcome["misleading"]:
        worst = max(task["alphas"], key=lambda row: row["regret"])
        sets = task["ideal_switch"]["sets"]
        off = "nowhere" if sets == [[]] else " or ".join("; ".join(each) for each in sets[:3])
        rows.append(
            [task["task"], stats.digits(task["best"]), stats.digits(worst["regret"]), f"{worst['alpha']:.3g}", off]
        )
    return table(["task", "plain optimum", "largest regret of the mode", "at alpha", "entropy must go at"], rows)


def tell_rlhf(outcome: Outcome) -> str:
    """What the attack makes of the worst answer."""
    exact, trained, best = outcome["bad_exact"], outcome["bad_trained"], outcome["best_plain"]
    rows = [[when, *(f"{x[when]:.3f}" for x in (exact, trained, best))] for when in ("before", "attacked")]
    words = ["", "worst answer, exact", f"trained, {outcome['seeds']} seeds", "best answer's reward"]
    return table(words, rows)


def tell_bifurcation(outcome: Outcome) -> str:
    """Crossings, who solves the chains, and returns before and after."""
    crossed = [[*bifurcation.crossing_cells(row), row["seeds"]] for row in outcome["crossings"]]
    columns = ["task", "crossing, all densities", "squashed normals", "SAC, measured", "seeds"]
    parts = [table(columns, crossed)]
    if names_and_cells := bifurcation.solvers(outcome["crossings"]):
        names, *cells = names_and_cells
        parts.append("Seeds that solve `bandit_chain`:\n\n" + table(names, cells))
    twins = [
        [row["task"], row["agent"], *(stats.shown(row[w]) for w in ("before", "after"))] for row in outcome["extended"]
    ]
    if twins:
        parts.append(table(["task", "agent", "before the extension", "after"], twins))
    return "\n\n".join(parts)


def tell_landscape(outcome: Outcome) -> str:
    """How well the rule predicts that the soft choice loses."""
    from experiments import landscape

    rows = [
        [words, *(stats.shown(landscape.main(row)[key]) for row in outcome["rows"])]
        for key, words in landscape.SHOWN.items()
    ]
    return table(["", *(row["agent"] for row in outcome["rows"])], rows)


TELL: dict[str, Callable[[Outcome], str]] = {
    "toy": tell_toy,
    "theory": tell_theory,
    "rlhf": tell_rlhf,
    "bifurcation": tell_bifurcation,
    "landscape": tell_landscape,
}
"""How an experiment's outcome is told; the others are tables of agents by return."""

if __name__ == "__main__":
    PAGE.write_text(page())
