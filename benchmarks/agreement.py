"""Do our agents compute what others compute? Against torch and Stable-Baselines3.

`python -m benchmarks.agreement` builds an environment for Stable-Baselines3 (once), and then

* computes single updates from the same weights, batch and noise with our agents, with a plain torch computation in 64
  bits, and with Stable-Baselines3's own `train()`: parameters must agree within 1e-5 (ours in 64 bits: 1e-10);
* trains SAC and PPO on the pendulum with the same settings on both sides, 10 seeds each, more (to 30) until the 95 %
  intervals of the difference of final returns lie within 10 % (PPO 15 %) of the range from random to best.

It writes `benchmarks/results/agreement.json` and prints two tables; `--keep-returns` leaves the second as it is. Seeds
of Stable-Baselines3 are cached, so that an interrupted benchmark goes on where it was.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.sb3 import environment, returns, updates
from benchmarks.timing import describe

RESULT = Path(__file__).parent / "results" / "agreement.json"


def main(
    seeds: tuple[int, ...] = (10, 15, 20, 25, 30),
    jobs: int = 2,
    venv: Path = Path(".venv-sb3"),
    cache: Path = Path("runs/agreement"),
    out: Path = RESULT,
    updates_only: bool = False,
    keep_returns: bool = False,
) -> int:
    """Compare our agents with torch and Stable-Baselines3.

    Args:
      seeds: how many seeds to train, tried in turn until the difference is known well enough.
      jobs: processes of Stable-Baselines3 at a time, one thread each.
      venv: the environment for Stable-Baselines3, built where it is missing.
      cache: where its finished seeds are kept.
      out: the JSON to write.
      updates_only: compare single updates only and write nothing.
      keep_returns: compare single updates only; the rest of `out` stays as it was measured.

    Returns:
      0 if everything agrees, else 1.
    """
    console = Console()
    console.width = max(console.width, 120)  # where the output is no terminal, too
    python = environment.build(venv.absolute())
    with tempfile.TemporaryDirectory() as folder:
        steps = updates.run(python, Path(folder))
    console.print(updates_table(steps))
    if updates_only:
        return int(not all(entry["held"] for entry in steps))
    if keep_returns:
        about = json.loads(out.read_text())
        trained = about["returns"]
    else:
        about = describe()
        trained = {
            name: returns.measure(setting, python, cache.absolute(), jobs, seeds)
            for name, setting in returns.SETTINGS.items()
        }
    console.print(returns_table(trained))
    criteria = [
        {"criterion": f"one update: {entry['case']}, {entry['precision']}, {entry['peer']}"}
        | {"value": entry["largest"], "bound": updates.TOLERANCE[entry["precision"]], "held": entry["held"]}
        for entry in steps
    ] + [
        {"criterion": f"final returns: {name}"}
        | {"value": entry["reach"], "bound": entry["allowed"], "held": entry["held"]}
        for name, entry in trained.items()
    ]
    held = all(criterion["held"] for criterion in criteria)
    result = about | {"held": held, "criteria": criteria, "updates": steps, "returns": trained}
    out.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"{out}: {'everything agrees' if held else 'NOT everything agrees'}")
    return int(not held)


def updates_table(entries: list[dict[str, Any]]) -> Table:
    """Largest differences after one update, a row per case."""
    against = {
        "float32, SB3": ("float32", "sb3"),
        "float32, torch": ("float32", "torch"),
        "float64, torch": ("float64", "torch"),
    }
    table = Table(title="One update: largest difference of a parameter (allowed: 1e-5, in 64 bits 1e-10)")
    table.add_column("case", no_wrap=True)
    for column in (*against, "moved by", "switched", "holds"):
        table.add_column(column)
    for case in updates.CASES:
        own = {(entry["precision"], entry["peer"]): entry for entry in entries if entry["case"] == case}
        plain = own["float32", "torch"]
        table.add_row(
            case,
            *(f"{own[key]['largest']:.0e}" if key in own else "" for key in against.values()),
            f"{max(plain['moved'].values()):.0e}",
            switched(plain),
            "yes" if all(entry["held"] for entry in own.values()) else "NO",
        )
    return table


def switched(entry: dict[str, Any]) -> str:
    """At how many states SAC-AdaEnt's actor climbs the plain value, and where the two sides do not decide alike."""
    if "switched" not in entry:
        return ""
    return f"{entry['switched']} of {updates.BATCH}, {entry['switched_differently']} apart"


def returns_table(entries: dict[str, dict[str, Any]]) -> Table:
    """Final returns of both sides."""
    table = Table(title="Pendulum: final returns of the mean action, mean (standard deviation over seeds)")
    for column in ("setting", "steps", "seeds", "ours", "SB3", "difference, 95 % interval", "allowed", "holds"):
        table.add_column(column)
    for name, entry in entries.items():
        low, high = entry["difference"]["welch"]
        table.add_row(
            name,
            f"{entry['env_steps']['ours']:,}",
            str(len(entry["seeds"])),
            *(f"{entry[side]['mean']:.1f} ({entry[side]['standard_deviation']:.1f})" for side in ("ours", "sb3")),
            f"{entry['difference']['mean']:+.1f} [{low:+.1f}, {high:+.1f}]",
            f"+-{entry['allowed']:.1f}",
            "yes" if entry["held"] else "NO",
        )
    return table


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main))
