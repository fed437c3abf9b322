"""Our trainer beside what one would pick instead: rejax, SBX, Stable-Baselines3, Brax; SAC-AdaEnt beside plain torch.

`python -m benchmarks.peers` builds an environment for each peer (`.venv-NAME`, versions pinned in a file beside its
script), writes `benchmarks/results/peers.json` after every stage and prints its tables. A peer whose environment cannot
be built, or whose script fails, is a row with its error; the rest goes on.

Every peer is a process of its own with the same cores and bounds on threads. All wait idle but the one that is asked to
train for a few seconds; the repetitions are the outer loop, the peers the inner one. Stages:

* `sac`: SAC on the pendulum, one environment, an update a step, batch 256, a replay of 10 000 rows. Nets 64-64 and
  256-256, of 1 run and of 8 at once, where a peer can (ours are on cores of their own). Updates a second of all runs,
  without compilation. rejax draws without replacement, for which it sorts the whole replay: with the 131 072 rows that
  are its default it is slower, and is measured, too.
* `ppo`: 16 environments, rollouts of 2048 steps, 10 passes in minibatches of 64, nets 64-64. Environment steps a
  second. Brax's minibatches are 4 pieces of 16 steps.
* `learn`: seconds until SAC at 64-64 reaches a mean return of -250, looked at after every 500 steps; at most 30 000.
  The looks are 20 episodes by the mean action, from the same starts for all (Brax's own evaluation draws its 20), and
  take no part in the time. Compilation is told beside it: what a process needs until the end of its first chunk, less
  the time of another; imports are not in it.
* `adaent`: updates of SAC-AdaEnt by themselves, batch 256, 100 samples, the quadrotor's 9 observations and 4 actions,
  1 run and 8 (torch: in turn). Torch compares without gradients. One update of it is checked against ours.

Not alike: rejax takes the time limit for a termination; Brax learns the temperature at 3e-4 and not at 1e-3, squashes
PPO's actions, and has our physics, since it has no pendulum; Stable-Baselines3 and SBX step Gymnasium's.
"""

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import peer_adaent, timing
from benchmarks.peer_processes import ROOT, Peer, Peers, Process, Reply, rates
from benchmarks.sb3 import environment

SCRIPTS = Path(__file__).parent / "peer_scripts"
RESULT = Path(__file__).parent / "results" / "peers.json"
STAGES = ("sac", "ppo", "learn", "adaent")
REJAX_CAPACITY = 131_072
"""Rows of replay that rejax has unless it is told otherwise."""
SAC = {"algorithm": "sac", "batch": 256, "capacity": 10_000, "prefill": 256, "lr": 1e-3, "tau": 0.005, "gamma": 0.99}
PPO = {"algorithm": "ppo", "batch": 64, "rollout": 2048, "envs": 16, "passes": 10, "lr": 1e-3, "gamma": 0.9}
SAC_CASES = {
    "64-64, 1 run": SAC | {"hidden": (64, 64), "runs": 1, "chunk": 500},
    "64-64, 8 runs": SAC | {"hidden": (64, 64), "runs": 8, "chunk": 100},
    "256-256, 1 run": SAC | {"hidden": (256, 256), "runs": 1, "chunk": 100},
    "256-256, 8 runs": SAC | {"hidden": (256, 256), "runs": 8, "chunk": 20},
    "64-64, 1 run, replay 131 072": SAC | {"hidden": (64, 64), "runs": 1, "chunk": 500, "capacity": REJAX_CAPACITY},
    "64-64, 8 runs, replay 131 072": SAC | {"hidden": (64, 64), "runs": 8, "chunk": 100, "capacity": REJAX_CAPACITY},
}
PPO_CASES = {"64-64": PPO | {"hidden": (64, 64), "runs": 1, "chunk": 2048}}
LEARN_SETTINGS = SAC_CASES["64-64, 1 run"]
LEARN_GOAL, LEARN_STEPS = -250.0, 30_000
GOALS = (
    *(("sac", f"64-64, 1 run{replay}", "ours", "rejax", 1.3) for replay in ("", ", replay 131 072")),
    *(("sac", f"64-64, 8 runs{replay}", "ours", "rejax", 1.5) for replay in ("", ", replay 131 072")),
    ("sac", "64-64, 1 run", "ours", "sbx", 2.0),
    ("sac", "64-64, 1 run", "ours", "sb3", 4.0),
    *(("sac", "256-256, 1 run", "ours", peer, 1.0) for peer in ("rejax", "sbx", "sb3", "brax")),
    ("sac", "256-256, 8 runs", "ours", "rejax", 1.0),
    *(("adaent", f"256-256, {runs}", "ours, exact", "torch", 1.0) for runs in ("1 run", "8 runs")),
    *(("adaent", f"256-256, {runs}", "ours, fast", "torch", 10.0) for runs in ("1 run", "8 runs")),
)
"""Stage, case, whose rate over whose, and how large that should be at least."""


def _own(name: str, script: str, *arguments: str, maps: bool = False) -> Peer:
    return Peer(SCRIPTS / script, SCRIPTS / f"requirements-{name}.txt", f".venv-{name}", arguments, maps)


PEERS: dict[str, Peer] = {
    "ours": Peer(SCRIPTS / "train_ours.py", maps=True),
    "rejax": _own("rejax", "train_rejax.py", maps=True),
    "sbx": _own("sbx", "train_baselines.py", "sbx"),
    "sb3": Peer(
        SCRIPTS / "train_baselines.py", environment.REQUIREMENTS, ".venv-sb3", arguments=("stable_baselines3",)
    ),
    "brax": _own("brax", "train_brax.py"),
    "torch": Peer(SCRIPTS / "torch_adaent.py", environment.REQUIREMENTS, ".venv-sb3"),
}
TRAINERS = ("ours", "rejax", "sbx", "sb3", "brax")


def training_rates(
    peers: Peers, cases: Mapping[str, Mapping[str, Any]], repetitions: int, seconds: float
) -> dict[str, Any]:
    """By case and peer; several runs, and rejax's own replay, are asked of those alone that can map runs."""
    found = {}
    for case, settings in cases.items():
        special = settings["runs"] > 1 or settings.get("capacity") == REJAX_CAPACITY
        able = [name for name in TRAINERS if PEERS[name].maps or not special]
        rows = rates(peers, {f"{name} {case}": (name, settings) for name in able}, repetitions, seconds)
        found[case] = {name: rows[f"{name} {case}"] for name in able}
    return found


def learning(peers: Peers, seeds: int) -> dict[str, Any]:
    """By peer, seconds until the goal: of each seed, and what compilation adds to the first. Peers take turns."""
    found: dict[str, Reply] = {}
    for name in TRAINERS:
        if begun := peers.ask(name, "prepare", row="learn", settings=LEARN_SETTINGS):
            found[name] = begun | {"seeds": []}
    for seed in range(1, seeds + 1):
        for name, row in found.items():
            asked = {"settings": LEARN_SETTINGS, "seed": seed, "goal": LEARN_GOAL, "most": LEARN_STEPS}
            if reply := peers.ask(name, "learn", **asked):
                steps, value = reply["points"][-1]
                row["seeds"].append({**reply, "seed": seed, "env_steps": steps, "return": value})
    for row in found.values():
        if seconds := [run["seconds"] if run["reached"] else float("inf") for run in row["seeds"]]:
            # A seed that does not get there has no time: the median is none if half of them do not.
            median = statistics.median_high(seconds)
            known = median < float("inf")
            row["median_seconds"] = median if known else None
            row["median_seconds_with_startup"] = median + row["startup_seconds"] if known else None
    whole = {name: row for name, row in found.items() if len(row["seeds"]) == seeds}
    return {"64-64, 1 run": peers.rows(TRAINERS, whole)}


def goals(stages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every goal whose stage was measured: by how much we are faster, and whether that is enough."""
    found = []
    for stage, case, mine, theirs, bound in GOALS:
        if case in stages.get(stage, {}):
            value = ratio(stages[stage][case], mine, theirs)
            met = None if value is None else value >= bound
            text = f"{stage}, {case}: {mine} over {theirs}, updates/s"
            found.append({"goal": text, "value": value, "bound": bound, "met": met})
    return found


def ratio(rows: Mapping[str, Reply], mine: str, theirs: str, what: str = "updates_per_second") -> float | None:
    """How many times as fast one is as another, by their medians; None where either failed."""
    both = [rows.get(name, {}).get(what) for name in (mine, theirs)]
    return both[0]["median"] / both[1]["median"] if both[0] and both[1] else None


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The result for people."""
    stages = result["stages"]
    shown = []
    titles = {
        "sac": ("SAC: updates/s of all runs, median (min to max)", "updates_per_second"),
        "adaent": ("SAC-AdaEnt alone: updates/s of all runs", "updates_per_second"),
        "ppo": ("PPO: environment steps/s", "env_steps_per_second"),
    }
    for stage, (title, what) in titles.items():
        if stage in stages:
            table = Table("case", "who", "rate", "ours is, times", "start-up, s", title=title)
            for case, rows in stages[stage].items():
                for name, row in rows.items():
                    ours = [ratio(rows, mine, name, what) for mine in rows if mine.startswith("ours")]
                    times = " / ".join(f"{value:.2f}" for value in ours if value is not None)
                    start = f"{row['startup_seconds']:.1f}" if what in row else ""
                    table.add_row(case, name, _shown(row, what), "" if name.startswith("ours") else times, start)
            shown.append(table)
    if "learn" in stages:
        title = f"SAC, 64-64: seconds until a mean return of {LEARN_GOAL:.0f}"
        table = Table("who", "median", "with start-up", "seeds: seconds (steps)", title=title)
        for name, row in stages["learn"]["64-64, 1 run"].items():
            if "error" in row:
                table.add_row(name, row["error"])
                continue
            each = (
                f"{run['seconds']:.1f} ({run['env_steps']:,})" if run["reached"] else f"not by {run['env_steps']:,}"
                for run in row["seeds"]
            )
            medians = (row["median_seconds"], row["median_seconds_with_startup"])
            table.add_row(name, *("-" if x is None else f"{x:.1f}" for x in medians), ", ".join(each))
        shown.append(table)
    table = Table("goal", "is", "wanted", "met", title="goals")
    for goal in result["goals"]:
        value = "-" if goal["value"] is None else f"{goal['value']:.2f}"
        table.add_row(
            goal["goal"], value, f">= {goal['bound']}", {True: "yes", False: "NO", None: "unknown"}[goal["met"]]
        )
    return [*shown, table]


def _shown(row: Reply, what: str) -> str:
    if "error" in row:
        return row["error"]
    spread = row[what]
    return f"{spread['median']:,.4g} ({spread['min']:,.4g} to {spread['max']:,.4g})"


def main(
    only: tuple[str, ...] = STAGES,
    cases: tuple[str, ...] = tuple(SAC_CASES),
    peers: tuple[str, ...] = tuple(PEERS),
    repetitions: int = 5,
    seconds: float = 4.0,
    seeds: int = 5,
    threads: int = 2,
    venvs_at: Path = ROOT,
    out: Path = RESULT,
) -> None:
    """Measure, write the JSON after each stage, print the tables.

    Args:
      only: stages; those that the JSON holds and that are not measured now stay in it.
      cases: of the stage `sac`; those that are not measured now stay, too.
      peers: who is measured.
      repetitions: turns of every peer in every case.
      seconds: that a peer trains in its turn, at least.
      seeds: trainings to the given return.
      threads: cores for each peer.
      venvs_at: the folder in which the peers' environments are, or are made.
      out: the JSON to write.
    """
    before = timing.kept(out)
    stages, versions, errors = before.get("stages", {}), before.get("versions", {}), {}
    measures: dict[str, Callable[[Peers], Any]] = {
        "sac": lambda everyone: training_rates(
            everyone, {case: SAC_CASES[case] for case in cases}, repetitions, seconds
        ),
        "ppo": lambda everyone: training_rates(everyone, PPO_CASES, repetitions, seconds),
        "learn": lambda everyone: learning(everyone, seeds),
        "adaent": lambda everyone: peer_adaent.measure(everyone, repetitions, seconds),
    }
    result: dict[str, Any] = {}
    for stage in (stage for stage in STAGES if stage in only):
        # fresh processes: what one stage has compiled must not shorten the start of the next
        everyone = Peers(peers, lambda name: Process(PEERS[name], venvs_at.absolute(), threads))
        try:
            stages[stage] = stages.get(stage, {}) | measures[stage](everyone)
        finally:
            everyone.close()
        versions |= everyone.versions
        errors |= everyone.errors
        result = {
            "about": f"{repetitions} interleaved turns of {seconds:g} s each; rates are of all runs",
            "threads": threads,
            "versions": versions,
            "errors": errors,
            "settings": {"sac": SAC_CASES, "ppo": PPO_CASES},
            "goals": goals(stages),
            "stages": stages,
        }
        timing.save(out, **result)
    for table in tables(result):
        Console(width=150).print(table)


if __name__ == "__main__":
    tyro.cli(main)
