"""`docs/results.md`: each experiment, its command, its result and its cost, from the numbers that are committed.

    python -m experiments.results [FOLDER...]

A folder is a finished one that `reproduce` made. Its `outcome.json`, metrics and figures replace `docs/PART.json`,
`docs/PART.csv.gz` and `docs/PART-FIGURE.png`, PART being its name without the preset (`toy`, `control-vehicle`, ...).
Then the page is written anew. A figure that is named as the part keeps its name.
"""

import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from envs import fields
from envs.fields import InvalidSetting
from experiments import agreeing, bifurcation, landscape, registry, threshold
from maxent_jax import stats

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "results.md"
FORECAST = "forecast.json"
"""What `experiments.forecast` writes."""
MOST_BYTES = 2 * 2**20
"""Of a task's metrics, so that a checkout stays small."""
Outcome = dict[str, Any]

HEAD = """# Results

Made by `python -m experiments.results` from the JSON files in this folder; do not edit. No number of the paper is known
to us: these are ours, whichever way they came out. Intervals are 95 %, over seeds. An experiment that is marked **not
run** is ready: the command is all it takes.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, published_budgets()]
    for name in sections():
        parts.append(f"## {name}\n\n{about(name)}\n")
        parts += [section(name, part) for part in registry.parts(name)]
    if (DOCS / FORECAST).exists():
        parts.append(forecast(json.loads((DOCS / FORECAST).read_text())))
    return "\n".join(parts)


def sections() -> list[str]:
    """The experiments, in the order of their cheapest parts."""
    return list(dict.fromkeys(part.partition("-")[0] for part in registry.parts("all")))


def published_budgets() -> str:
    """Where the published budgets stand behind the results, and that elsewhere they do not."""
    paths = [DOCS / f"{part}.json" for part in registry.parts("all")]
    ran = [path.stem for path in paths if path.exists() and json.loads(path.read_text())["preset"] == "paper"]
    where = f" of {', '.join(ran)} are below; all others" if ran else ""
    command = "`maxent-jax reproduce all --preset paper`"
    return f"The published budgets, with 10 seeds and more ({command}){where} are ready, and **not run**.\n"


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
    told = [TELL.get(name, tell_rows)(outcome), *map(tell_verdict, outcome.get("verdicts", []))]
    told += [f"![{figure.stem}]({figure.name})" for figure in figures(part)]
    where = f"; device {outcome['device']}" if "device" in outcome else ""
    spent = f"; {stats.digits(outcome['minutes'])} minutes of training" if "minutes" in outcome else ""
    metrics = path.with_suffix(".csv.gz")
    links = f"[numbers]({path.name})" + (f", [every evaluation]({metrics.name})" if metrics.exists() else "")
    cost = f"Preset `{outcome['preset']}`{where}{spent}; jax {outcome['versions']['jax']}; {links}."
    budget = f" {outcome['budget']}" if "budget" in outcome else ""
    below = "\n\n".join(told)
    return f"{title}`{command} --preset {outcome['preset']}`. {cost}{budget}\n\n{below}\n"


def forecast(found: Outcome) -> str:
    """What `experiments.forecast` found: memory by agent and task."""
    cells: dict[str, dict[str, str]] = {}
    for name, task in found.items():
        for row in task["rows"]:
            cells.setdefault(row["agent"], {})[name] = f"{row['held'] / 1e9:,.3g} / {row['needed'] / 1e9:,.3g}"
    count = max(row["runs"] for task in found.values() for row in task["rows"])
    devices = dict.fromkeys(f"{task['device']} by jax {task['versions']['jax']}" for task in found.values())
    return (
        "## What `paper` needs\n\n`python -m experiments.forecast`: GB that the "
        f"{count} runs of an agent in `control --preset paper` hold, and GB on the device while they are trained, of "
        f"programs compiled for {', '.join(devices)}; [numbers]({FORECAST}).\n\n"
        + table(["agent", *found], [[agent, *(own.get(name, "") for name in found)] for agent, own in cells.items()])
        + f"\n\nOther experiments need as much per run: {'; '.join(others(found))}.\n"
    )


def others(found: Outcome) -> list[str]:
    """The largest programs of other experiments with `paper`, of SAC-AdaEnt all of them, by what a run of it needs."""
    of_a_run = {
        task: row["needed"] / row["runs"] / 1e9
        for task, known in found.items()
        for row in known["rows"]
        if row["agent"] == "sac_adaent"
    }
    grids = {task: threshold.SEEDS["paper"] * math.prod(map(len, grid)) for task, grid in threshold.GRIDS.items()}
    pairs = dict.fromkeys(landscape.TASKS, landscape.SEEDS["paper"] * 2)
    return [
        f"`{name}` on {task} {runs * of_a_run[task]:.3g} GB for its {runs} runs of SAC-AdaEnt"
        for name, counts in (("threshold", grids), ("landscape", pairs))
        for task, runs in counts.items()
        if task in of_a_run
    ]


def figures(part: str) -> list[Path]:
    """The committed figures of an experiment on a task."""
    return sorted(path for pattern in (f"{part}.png", f"{part}-*.png") for path in DOCS.glob(pattern))


def adopt(folder: Path) -> None:
    """Copy what a finished experiment found to `docs`, in place of what is there of it.

    Raises:
      InvalidSetting: the folder is none of a finished experiment, or its metrics are too large.
    """
    part, _, _ = folder.resolve().name.rpartition("-")
    if part not in registry.parts("all"):
        raise fields.unknown(f"experiment {part!r} of {str(folder)!r}", part, registry.parts("all"))
    if not (folder / "finished").exists():
        raise InvalidSetting(f"folder = {str(folder)!r}: must be of a finished experiment, which `reproduce` made")
    metrics = folder / "metrics.csv.gz"
    if metrics.exists() and metrics.stat().st_size > MOST_BYTES:
        raise InvalidSetting(f"folder = {str(folder)!r}: {metrics.name} has more than {MOST_BYTES:,} bytes")
    for old in figures(part):
        old.unlink()
    shutil.copyfile(folder / "outcome.json", DOCS / f"{part}.json")
    if metrics.exists():
        shutil.copyfile(metrics, DOCS / f"{part}.csv.gz")
    for figure in sorted((folder / "figures").glob("*.png")):
        shutil.copyfile(figure, DOCS / (figure.name if figure.stem == part else f"{part}-{figure.name}"))


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "variant": lambda row: row.get("variant", ""),
    "threshold": lambda row: stats.digits(row.get("threshold")),
    "alpha": lambda row: stats.digits(row.get("alpha")),
    "agent": lambda row: row["agent"],
    "return, mean action": lambda row: stats.shown(row.get("deterministic") or row.get("return_deterministic")),
    "sampled": lambda row: stats.shown(row.get("stochastic") or row.get("return_stochastic")),
    "P(better than sac), same steps": lambda row: stats.shown(row.get("better_than_sac")),
    "gain over the first variant": lambda row: stats.shown(row.get("gain")),
    "steps": lambda row: stats.digits(row.get("steps")),
    "minutes": lambda row: stats.digits(row.get("minutes")),
    "switched": lambda row: "" if row.get("switched_share") is None else f"{row['switched_share']:.0%}",
    agreeing.TOLD: agreeing.told,
}
"""What may be told of a row; a column that is empty is left out."""
TWIN_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "task": lambda row: row["task"],
    "agent": lambda row: row["agent"],
    "before the extension": lambda row: stats.shown(row["before"]),
    "after": lambda row: stats.shown(row["after"]),
    f"after: {agreeing.TOLD}": lambda row: agreeing.told(row["after"]),
}
"""Likewise of a task and its extension."""


def tell_rows(outcome: Outcome) -> str:
    """Agents and yardsticks by their returns: `control`, and what is like it."""
    return columns_of(outcome["rows"], COLUMNS)


def columns_of(rows: list[dict[str, Any]], columns: Mapping[str, Callable[[dict[str, Any]], str]]) -> str:
    """A table of rows by its columns, without those that are empty."""
    cells = {name: [tell(row) for row in rows] for name, tell in columns.items()}
    shown = {name: column for name, column in cells.items() if any(column)}
    return table(list(shown), [list(line) for line in zip(*shown.values(), strict=True)])


def tell_verdict(verdict: dict[str, Any]) -> str:
    """A verdict with its reasons."""
    return f"{verdict['about']}: **{verdict['word']}**. {' '.join(verdict['reasons'])}"


def tell_toy(outcome: Outcome) -> str:
    """Where the seeds end."""
    at_best = {"seeds at +1": lambda row: f"{row['at_plus_1']} of {row['seeds']}"}
    return columns_of(outcome["rows"], {"agent": COLUMNS["agent"]} | at_best | COLUMNS)


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
    if outcome["extended"]:
        parts.append(columns_of(outcome["extended"], TWIN_COLUMNS))
    return "\n\n".join(parts)


def tell_landscape(outcome: Outcome) -> str:
    """How well the rule predicts that the soft choice loses."""
    return table(["", *(row["agent"] for row in outcome["rows"])], landscape.told(outcome["rows"]))


TELL: dict[str, Callable[[Outcome], str]] = {
    "toy": tell_toy,
    "theory": tell_theory,
    "rlhf": tell_rlhf,
    "bifurcation": tell_bifurcation,
    "landscape": tell_landscape,
}
"""How an experiment's outcome is told; the others are tables of agents by return."""


def main(words: list[str]) -> int:
    """Adopt folders and write the page; the exit status."""
    try:
        for word in words:
            adopt(Path(word))
    except InvalidSetting as error:
        print(error, file=sys.stderr)
        return 2
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
