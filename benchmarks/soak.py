"""Whether training can go on for long: memory, descriptors and speed over an hour of 8 runs with checkpoints.

`python -m benchmarks.soak` writes `benchmarks/results/soak.json` after every minute and prints its table. The command
line trains in a process of its own, in a folder that is thrown away, SAC 64-64 on the vehicle with a small replay that
soon is full; from outside its memory and its open descriptors are looked at every few seconds. Speed is read from
metrics.jsonl. It is ended as a user would end it.
"""

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.timing import save
from envs.fields import InvalidSetting

RUNS = 8
CHUNK = 4_000
"""Steps of a run from one evaluation, and line, to the next: about ten seconds on two cores."""
FASTEST = 5_000
"""Steps a second that no run reaches here: the training must not end by itself."""
EVERY = 1.0
"""Seconds from one look to the next."""
SHORTEST = 3.0
"""Minutes of which a sixth still holds a few chunks."""
GOALS = {"memory_growth": 0.02, "descriptor_growth": 0, "slowdown": 0.1}
RESULT = Path(__file__).parent / "results" / "soak.json"

Sample = dict[str, float]


def words(minutes: float, out: Path) -> list[str]:
    """The command line that trains for longer than this."""
    chunks = int(60 * minutes * FASTEST / CHUNK) + 1
    settings = {"steps": chunks * CHUNK, "evaluations": chunks, "seeds": RUNS, "out": out}
    settings |= {"agent.hidden": "64,64", "agent.buffer_size": 10_000, "agent.prefill_steps": 1_000}
    return ["train", "sac", "--env", "vehicle", *(f"--{name}={value}" for name, value in settings.items())]


def look(process: psutil.Process, began: float) -> Sample:
    """What a process holds now: seconds since the beginning, bytes of resident memory, descriptors, threads."""
    with process.oneshot():
        held = {"bytes": process.memory_info().rss, "threads": process.num_threads()}
    return {"seconds": time.perf_counter() - began, **held, "descriptors": process.num_fds()}


def progress(metrics: Path) -> list[tuple[float, int]]:
    """Seconds and steps of the first run at each of its whole lines."""
    if not metrics.exists():
        return []
    lines = [json.loads(line) for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [(line["elapsed_seconds"], line["env_steps"]) for line in lines if line["run"] == 0]


def judge(samples: Sequence[Sample], lines: Sequence[tuple[float, int]], minutes: float) -> dict[str, Any]:
    """Growth and slowdown.

    Args:
      samples: see `look`.
      lines: see `progress`.
      minutes: how long it was to be. Of an hour the first five minutes are for settling, the first and last ten are
        compared; of less, the same shares.

    Returns:
      Growth of memory as a share and of descriptors in number, from the minute after settling to the last one (medians;
      of an hour, otherwise shares of it); steps a second of a run in the first and the last window, and the slowdown.
    """
    end = samples[-1]["seconds"]
    settled, minute, window = 5 * minutes, minutes, 10 * minutes  # in seconds: sixtieths of the whole

    def median(name: str, low: float, high: float) -> float:
        return statistics.median(one[name] for one in samples if low <= one["seconds"] <= high)

    ends = {
        name: (median(name, settled, settled + minute), median(name, end - minute, end))
        for name in ("bytes", "descriptors", "threads")
    }
    speeds = [
        _speed([line for line in lines if low <= line[0] <= low + window])
        for low in (lines[0][0], lines[-1][0] - window)
    ]
    found = {
        "memory_growth": ends["bytes"][1] / ends["bytes"][0] - 1,
        "descriptor_growth": ends["descriptors"][1] - ends["descriptors"][0],
        "slowdown": 1 - speeds[1] / speeds[0],
    }
    about = {"first_and_last": ends, "steps_per_second": speeds, "chunks": len(lines)}
    return found | about | {"met": {name: found[name] <= goal for name, goal in GOALS.items()}}


def _speed(lines: Sequence[tuple[float, int]]) -> float:
    (began, first), (ended, last) = lines[0], lines[-1]
    return (last - first) / (ended - began)


def table(result: dict[str, Any]) -> Table:
    """Each figure beside its goal."""
    drawn = Table("", "found", "goal", "met", title=f"{result['minutes']:g} minutes of {RUNS} runs")
    for name, goal in GOALS.items():
        drawn.add_row(name.replace("_", " "), f"{result[name]:.3f}", f"<= {goal}", str(result["met"][name]))
    return drawn


def main(minutes: float = 60.0, out: Path = RESULT) -> None:
    """Train, look, write the JSON after every minute, print the table.

    Args:
      minutes: how long; at least 3.
      out: the JSON to write.
    """
    if minutes < SHORTEST:
        raise InvalidSetting(f"minutes = {minutes:g}: must be a number >= {SHORTEST:g}")
    about = f"{RUNS} runs of SAC 64-64 on the vehicle with checkpoints; shares and counts, see benchmarks/soak.py"
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        with open(Path(folder) / "printed", "w") as printed:
            command = [sys.executable, "-m", "maxent_jax.cli", *words(minutes, directory)]
            training = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        try:
            samples, result, began, saved = [], None, time.perf_counter(), 0.0
            process = psutil.Process(training.pid)
            while (now := time.perf_counter() - began) < 60 * minutes:
                if training.poll() is not None:
                    raise RuntimeError((Path(folder) / "printed").read_text()[-2000:])
                samples.append(look(process, began))
                lines = progress(directory / "metrics.jsonl")
                if now - saved >= 60 or now + EVERY >= 60 * minutes:
                    saved = now
                    if len(lines) >= 3 and now > 6 * minutes:
                        result = {"minutes": minutes, "ran_seconds": now, **judge(samples, lines, minutes)}
                        save(out, about, **result, samples=samples[:: round(60 / EVERY)])
                time.sleep(EVERY)
        finally:
            training.send_signal(signal.SIGINT)
            try:
                training.wait(120)
            except subprocess.TimeoutExpired:
                training.kill()
                training.wait()
    if result is None:
        raise RuntimeError(f"minutes = {minutes:g}: too few chunks ended; must be longer")
    Console(width=100).print(table(result))


if __name__ == "__main__":
    tyro.cli(main)
