"""Does a run that is killed at a random moment end in the same numbers as one that was left alone?

`python -m benchmarks.kill` writes `benchmarks/results/kill.json` and prints its table. For every kill a training in a
process of its own, two seeds on the toy task with tiny nets, gets SIGKILL; `resume` (or, where there was no config.json
yet, the same command with `--resume`) finishes it. Then its parameters and its lines of metrics.jsonl, clocks aside,
are compared bit for bit with those of a run that nobody touched.

* `start`: some time after the process began: most often while it imports and compiles.
* `chunk`: some time after a random chunk.
* `saving`: as soon as a checkpoint that is not finished yet is seen, after a random chunk.
"""

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.timing import save
from maxent_jax import checkpoints, runs, wholes
from maxent_jax.result import load

NET = ["--agent.hidden=8", "--agent.batch_size=8"]
OFF_POLICY = [*NET, "--agent.buffer_size=500"]
AGENTS = {
    "sac": OFF_POLICY,
    "sac_adaent": [*OFF_POLICY, "--agent.n_samples=4"],
    "ppo": ["--agent.hidden=8", "--agent.batch_size=16", "--agent.rollout_steps=32", "--agent.passes=2"],
}
CHUNKS = 40
MOMENTS = ("chunk", "saving", "chunk", "saving", "start")
PATIENCE = 300.0
"""Seconds that a process may take; they are needed where the machine is busy."""
RESULT = Path(__file__).parent / "results" / "kill.json"


def command(agent: str, out: Path) -> list[str]:
    """The training, as it is typed."""
    about = ["--env=toy", "--seeds=2", f"--steps={32 * CHUNKS}", f"--evaluations={CHUNKS}", "--checkpoint-every=1"]
    return ["train", agent, *about, f"--out={out}", *AGENTS[agent]]


def start(words: list[str], folder: Path) -> subprocess.Popen:
    """Begin `maxent-jax WORDS`."""
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    line = [sys.executable, "-m", "maxent_jax.cli", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, cwd=folder, env=environment, **quiet)


def finish(words: list[str], folder: Path) -> None:
    """Run `maxent-jax WORDS` to its end.

    Raises:
      RuntimeError: it failed.
    """
    with start(words, folder) as process:
        try:
            errors = process.communicate(timeout=PATIENCE)[1]
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"maxent-jax {' '.join(words)}: exit code {process.returncode}: {errors[-500:]}")


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without clocks."""
    read = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in runs.CLOCKS} for line in read]


def parameters(path: Path) -> list[bytes]:
    """Every number of every agent's state."""
    result = load(path)
    states = [result.agent_state(run) for run in range(len(result.runs))]
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(states)]


def moment(process: subprocess.Popen, path: Path, when: str, chance: random.Random) -> None:
    """Wait for the moment at which to kill."""
    if when == "start":
        time.sleep(chance.uniform(0.0, 6.0))
        return
    chunk, deadline = chance.randrange(CHUNKS * 3 // 4), time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        reached = checkpoints.names(path) and int(checkpoints.names(path)[-1].split("_")[-1]) >= chunk
        saving = any(name.endswith(wholes.DRAFT) for name in _inside(path / checkpoints.FOLDER))
        if reached and (saving or when == "chunk"):
            break
        time.sleep(0.0005)
    if when == "chunk":
        time.sleep(chance.uniform(0.0, 0.05))


def _inside(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def kill(agent: str, when: str, seed: int, folder: Path) -> dict[str, Any]:
    """Kill one training and finish it.

    Args:
      agent: one of `AGENTS`.
      when: one of `MOMENTS`.
      seed: of the random moment.
      folder: an empty folder.

    Returns:
      What was there when it was killed.
    """
    path = folder / "run"
    words = command(agent, path)
    with start(words, folder) as process:
        try:
            moment(process, path, when, random.Random(seed))
        finally:
            process.kill()
    found = {
        "agent": agent,
        "when": when,
        "ended_before": process.returncode == 0,
        "config": (path / "config.json").exists(),
        "lines": (path / "metrics.jsonl").read_bytes().count(b"\n") if (path / "metrics.jsonl").exists() else 0,
        "checkpoint": place.chunk if (place := checkpoints.peek(path)) else None,
        "while_saving": any(name.endswith(wholes.DRAFT) for name in _inside(path / checkpoints.FOLDER)),
    }
    if not found["ended_before"]:
        finish(["resume", str(path)] if found["config"] else [*words, "--resume"], folder)
    return found


def one(agent: str, when: str, seed: int, folder: Path) -> tuple[Path, dict[str, Any]]:
    """`kill`, again and again until it did not come too late; the folder of the last, below the given one."""
    for attempt in itertools.count():
        last = folder / str(attempt)
        last.mkdir(parents=True)
        row = kill(agent, when, seed + 1000 * attempt, last)
        if not row.pop("ended_before"):
            return last, row
    raise AssertionError("never reached")


def table(rows: list[dict[str, Any]]) -> Table:
    """One line a kill."""
    shown = Table("agent", "moment", "lines", "newest checkpoint", "while saving", "equal")
    for row in rows:
        cells = (row["lines"], row["checkpoint"], row["while_saving"], row["equal"])
        shown.add_row(row["agent"], row["when"], *map(str, cells))
    return shown


def main(kills: int = 20, seed: int = 0, out: Path = RESULT) -> None:
    """Kill, resume, compare; write the JSON after each, print the table.

    Args:
      kills: how many, spread over agents and kinds of moments.
      seed: of the random moments.
      out: the JSON to write.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        alone = {agent: Path(name) / agent / "run" for agent in list(AGENTS)[:kills]}
        for agent, path in alone.items():
            path.parent.mkdir()
            finish(command(agent, path), path.parent)
        for number, when in zip(range(kills), itertools.cycle(MOMENTS), strict=False):
            agent = list(AGENTS)[number % len(AGENTS)]
            folder, row = one(agent, when, seed + number, Path(name) / str(number))
            whole, ours = alone[agent], folder / "run"
            same_lines, same = lines(ours) == lines(whole), parameters(ours) == parameters(whole)
            rows.append(row | {"equal_lines": same_lines, "equal_parameters": same, "equal": same_lines and same})
            told = {"equal": sum(row["equal"] for row in rows), "of": len(rows)}
            told["while_saving"] = sum(row["while_saving"] for row in rows)
            save(out, "runs that were killed and resumed, beside runs that were left alone", **told, rows=rows)
    Console(width=120).print(table(rows))


if __name__ == "__main__":
    tyro.cli(main)
