"""What ten thousand runs cost outside training: writing metrics, reading a run directory, summary, figure, merge.

`python -m benchmarks.many_runs` writes `benchmarks/results/many_runs.json` and prints its table. Nothing is trained:
the numbers are drawn, the agents are SAC 64-64 on the toy problem as it begins, and the directories are what training
writes.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.timing import save
from maxent_jax import api, plots, runs
from maxent_jax.agents.base import METRICS
from maxent_jax.compiled import Chunk
from maxent_jax.jobs import Job
from maxent_jax.merging import merge
from maxent_jax.metrics_log import MetricsLog
from maxent_jax.programs import Program, Shard
from maxent_jax.result import load

SHARDS = 8
CHUNKS = 20
RESULT = Path(__file__).parent / "results" / "many_runs.json"


def chunk(program: Program, index: int, rng: np.random.Generator) -> Chunk:
    """A chunk as training reports it, of drawn numbers."""
    count = len(program.runs)
    metrics = {name: rng.normal(size=count).astype(np.float32) for name in (*runs.EPISODES, *METRICS)}
    sound = {"failed_step": np.full(count, -1, np.int32), "failed_cause": np.zeros(count, np.int32)}
    plan = program.schedule
    return Chunk(index, plan.envs * plan.prefill + index * plan.chunk_steps, 1000 * index, 1.0, metrics | sound)


def write(job: Job) -> dict[str, float]:
    """A finished run directory as training leaves it; seconds of its metrics and of its agents."""
    job.out.mkdir(parents=True)
    runs.write_json(job.out / "config.json", job.config)
    rng, lines, agents = np.random.default_rng(0), 0.0, 0.0
    with MetricsLog(job.out / "metrics.jsonl", 0) as log:
        for index, program in enumerate(job.sweep.programs):
            for number in range(CHUNKS + 1):
                made = chunk(program, number, rng)
                began = time.perf_counter()
                log.write("".join(map(runs.to_line, runs.metric_lines(program, made, 1.0))))
                lines += time.perf_counter() - began
            keys = jax.random.split(jax.random.key(0), len(program.runs))
            states = jax.vmap(job.agent.init, (0, None))(keys, job.env.spec)
            began = time.perf_counter()
            runs.save_agents(job.out, index, states)
            agents += time.perf_counter() - began
    return {"metrics written": lines, "agents written": agents}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Seconds and bytes of one directory of so many runs, and of its shards put together."""
    asked = {
        "seeds": count,
        "steps": 20_000,
        "agent_fields": {"buffer_size": 64, "batch_size": 64},
        "memory": float("inf"),
    }
    job = api.prepare("sac", "toy", out=folder / "whole", **asked)
    seconds = write(job)
    size = (job.out / "metrics.jsonl").stat().st_size
    seconds["directory read"], result = timed(lambda: load(job.out))
    seconds["summary"], summary = timed(lambda: result.summary)
    runs.write_json(job.out / "summary.json", summary | {"complete": True})
    seconds["curves drawn"], _ = timed(lambda: plots.curves([result], folder / "curves.png"))
    for index in range(1, SHARDS + 1):
        shard = api.prepare("sac", "toy", out=folder / "shards", shard=str(Shard(index, SHARDS)), **asked)
        write(shard)
        runs.write_json(shard.out / "summary.json", load(shard.out).summary | {"complete": True})
    seconds[f"merge of {SHARDS} shards"], merged = timed(lambda: merge([folder / "shards"]))
    assert len(merged.runs) == count
    held = sum(path.stat().st_size for path in (job.out / "checkpoints").rglob("*") if path.is_file())
    return {"runs": count, "chunks": CHUNKS + 1, "seconds": seconds, "bytes": {"metrics": size, "agents": held}}


def main(counts: tuple[int, ...] = (1_000, 10_000), out: Path = RESULT) -> None:
    """Measure, write the JSON after each size, print the table.

    Args:
      counts: runs in a directory.
      out: the JSON to write.
    """
    rows = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            rows[str(count)] = measure(count, Path(folder))
        save(out, "seconds and bytes of a run directory, training aside; each once", rows=rows)
    shown = Table("", *(f"{row['runs']:,} runs" for row in rows.values()), title="seconds")
    for name in next(iter(rows.values()))["seconds"]:
        shown.add_row(name, *(f"{row['seconds'][name]:.2f}" for row in rows.values()))
    for name in ("metrics", "agents"):
        shown.add_row(f"{name}, MB", *(f"{row['bytes'][name] / 1e6:.1f}" for row in rows.values()))
    Console(width=120).print(shown)


if __name__ == "__main__":
    tyro.cli(main)
