"""How long the first training chunk takes to compile, and what a second start of the same command saves.

`python -m benchmarks.compile` writes `benchmarks/results/compile.json` and prints its tables.

* SAC, SAC-AdaEnt and PPO on every task (the other agents are made of parts of theirs), published settings with a small
  replay: seconds to lower and compile the training chunk, beside a scan over the environment alone. The bound is
  `FACTOR` times that and `SECONDS` more.
* `maxent-jax train` twice, in processes of their own, the second with what the first kept on disk; a third keeps
  and takes nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import kept, save, summary
from experiments import published
from maxent_jax import trainer
from maxent_jax.compiled import lower
from maxent_jax.programs import expand

FACTOR, SECONDS = 1.5, 5.0
STEPS = 100
COMPILED = ("sac", "sac_adaent", "ppo")
"""Agents whose chunks are compiled."""
STARTED = ("vehicle", "hopper")
COMMAND = ("train", "sac", "--preset", "quick", "--steps", "64", "--evaluations", "1", "--agent.prefill_steps", "64")
RESULT = Path(__file__).parent / "results" / "compile.json"


def seconds(build: Callable[[], Any]) -> float:
    """Seconds that `build` takes when nothing is traced or compiled yet."""
    jax.clear_caches()
    start = time.perf_counter()
    build()
    return time.perf_counter() - start


def chunk(agent: str, task: str) -> Callable[[], Any]:
    """Lowers and compiles the training chunk of the published row."""
    row = published.row(agent, task)
    small = row.agent.replace(buffer_size=4096) if hasattr(row.agent, "buffer_size") else row.agent
    program = expand(small, envs.make(task), (0,), {}, row.steps, row.envs, 20).programs[0]
    return lambda: lower(program, "train").compile()


def environment(task: str, count: int) -> Callable[[], Any]:
    """Lowers and compiles a scan over that many environments alone, stepped as the trainer does."""
    env = envs.make(task)
    states = jax.eval_shape(jax.vmap(envs.for_training(env).reset), jax.random.split(jax.random.key(0), count))
    actions = jax.ShapeDtypeStruct((STEPS, count, env.action_size), "float32")

    def scan(env: Any, states: Any, actions: jax.Array) -> Any:
        return jax.lax.scan(lambda states, action: (trainer.step_all(env, states, action), None), states, actions)[0]

    return lambda: jax.jit(scan).lower(env, states, actions).compile()


def compare(task: str, agents: tuple[str, ...], repetitions: int) -> dict[str, Any]:
    """Seconds of compilation of each agent's chunk on a task, beside the environment alone, in turns."""
    rows = {agent: published.row(agent, task).envs for agent in agents}
    builds = {agent: chunk(agent, task) for agent in agents}
    builds |= {f"{count} alone": environment(task, count) for count in set(rows.values())}
    times: dict[str, list[float]] = {name: [] for name in builds}
    for _ in range(repetitions):
        for name, build in builds.items():
            times[name].append(seconds(build))
    spreads = {name: summary(values) for name, values in times.items()}
    found = {}
    for agent, count in rows.items():
        bound = FACTOR * spreads[f"{count} alone"]["median"] + SECONDS
        took = spreads[agent]
        found[agent] = {
            "envs": count,
            "chunk": took,
            "environment": spreads[f"{count} alone"],
            "bound": bound,
            "chunk_over_bound": took["median"] / bound,
        }
    return found


def starts(task: str, repetitions: int) -> dict[str, Any]:
    """Seconds of the whole command: nothing kept yet, with what that start kept, and with `--no-cache`."""
    kinds: dict[str, tuple[str, ...]] = {"first": (), "second": (), "without": ("--no-cache",)}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            env = os.environ | {"XDG_CACHE_HOME": str(Path(folder) / "cache"), "MPLCONFIGDIR": folder}
            env.pop("JAX_COMPILATION_CACHE_DIR", None)
            for kind, words in kinds.items():
                command = [sys.executable, "-m", "maxent_jax.cli", *COMMAND, "--env", task, *words]
                start = time.perf_counter()
                subprocess.run([*command, "--out", str(Path(folder) / kind)], env=env, check=True, capture_output=True)
                times[kind].append(time.perf_counter() - start)
    return {kind: summary(values) for kind, values in times.items()}


def tables(compilations: dict[str, Any], started: dict[str, Any]) -> list[Table]:
    """Seconds by task and agent, and of whole commands."""
    spread = lambda t: f"{t['median']:.1f} ({t['min']:.1f} to {t['max']:.1f})"  # noqa: E731
    one = Table("task", "agent", "envs", "chunk, s", "environment alone, s", "bound, s", title="lower and compile")
    for task, row in compilations.items():
        for agent, cell in row.items():
            ends = (spread(cell["chunk"]), spread(cell["environment"]), f"{cell['bound']:.1f}")
            one.add_row(task, agent, str(cell["envs"]), *ends)
    two = Table("task", "first start, s", "second", "--no-cache", title=f"maxent-jax {' '.join(COMMAND)}")
    for task, row in started.items():
        two.add_row(task, *map(spread, row.values()))
    return [one, two]


def main(
    only: tuple[str, ...] = (),
    agents: tuple[str, ...] = COMPILED,
    repetitions: int = 5,
    start: tuple[str, ...] = STARTED,
    out: Path = RESULT,
) -> None:
    """Measure, write the JSON after each task, print the tables.

    Args:
      only: tasks whose chunks are compiled; none: all.
      agents: whose chunks they are.
      repetitions: rounds, in which everything about a task takes its turn.
      start: tasks whose whole command is started.
      out: the JSON to write; tasks that it holds and that are not measured now stay in it.
    """
    about = f"seconds: median, min and max of {repetitions} interleaved repetitions"
    bound = {"factor": FACTOR, "seconds": SECONDS}
    before = kept(out)
    compilations, started = before.get("compilations", {}), before.get("starts", {})
    for task in only or envs.names():
        compilations[task] = compare(task, agents, repetitions)
        save(out, about, bound=bound, compilations=compilations, starts=started)
    for task in start:
        started[task] = starts(task, repetitions)
        save(out, about, bound=bound, compilations=compilations, starts=started)
    for table in tables(compilations, started):
        Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
