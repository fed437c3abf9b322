"""What more runs and more environments a run bring: updates and environment steps a second of the trainer itself.

`python -m benchmarks.scaling` writes `benchmarks/results/scaling.json` and prints its tables. Every number but the
last is of the very chunk that `train --env vehicle` compiles, on a replay that is full and small:

* SAC with hidden layers 64-64 and 256-256 by the number of runs that are mapped, one environment and one update a step.
* SAC and PPO by the number of environments a run, 64-64; SAC makes one update after each step of all of them.
* Environments alone: stepped in blocks as the trainer does on a CPU, beside all at once, on four tasks.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.overhead import Chain
from benchmarks.timing import interleaved, kept, rate, save
from experiments import published
from maxent_jax import blocks, trainer
from maxent_jax.agents import PPO
from maxent_jax.compiled import lower
from maxent_jax.programs import expand

RUNS = (1, 2, 4, 8, 16, 32, 64)
ENVIRONMENTS = (1, 4, 16, 64, 256, 1024, 4096, 16384)
ALONE = {"vehicle": 2**16, "quadrotor": 2**16, "hopper": 2**12, "pendulum": 2**20}
"""Tasks that are stepped alone, and environment steps in a call."""
CAPACITY = 8_192
SAC_STEPS = 4
"""Steps of every environment in a chunk of SAC, where there are many of them."""
RESULT = Path(__file__).parent / "results" / "scaling.json"


def chunk(agent: Any, runs: int, environments: int, iterations: int) -> tuple[Chain, int, int]:
    """A compiled chunk to be called again and again, and updates and environment steps of all runs in a call."""
    plan = trainer.schedule(agent, 1, environments, 1)
    steps = environments * plan.steps * iterations
    expanded = expand(agent, envs.make("vehicle"), range(runs), {}, steps, environments, 1)
    program = expanded.programs[0]
    fields = (program.agent, program.env)
    begin, train = (lower(program, name).compile() for name in ("begin", "train"))
    run = begin(*fields, program.seeds)
    full = dataclasses.replace(trainer.no_steps(), env_steps=jnp.int32(CAPACITY))  # of zeros, which cost the same
    chain = Chain(lambda state: train(*fields, *state)[:2], (run, full))
    plan = program.schedule
    return chain, runs * plan.iterations * plan.updates * agent.gradient_steps, runs * plan.chunk_steps


def sac(hidden: int, environments: int = 1) -> Any:
    """SAC as published, one update after each step of all environments."""
    return published.row("sac", "vehicle").agent.replace(
        hidden=(hidden, hidden),
        buffer_size=CAPACITY,
        prefill_steps=CAPACITY,  # so that the replay has room for as many
        updates_per_step=1 / environments,
    )


def ppo(environments: int) -> Any:
    """PPO as published, but 64-64, with rollouts of at least one step of all environments."""
    agent = published.row("ppo", "vehicle").agent
    assert isinstance(agent, PPO)
    return agent.replace(hidden=(64, 64), rollout_steps=max(agent.rollout_steps, environments))


def rates(chunks: dict[str, tuple[Chain, int, int]], repetitions: int) -> dict[str, dict[str, dict[str, float]]]:
    """Updates and environment steps a second by name, each chunk in its turn."""
    times = interleaved({name: chain for name, (chain, _, _) in chunks.items()}, repetitions)
    return {
        name: {"updates": rate(updates, times[name]), "env_steps": rate(steps, times[name])}
        for name, (_, updates, steps) in chunks.items()
    }


def by_runs(hidden: int, repetitions: int, scale: float, most_runs: int) -> dict[str, Any]:
    """SAC by the number of runs."""
    total = scale * {64: 400, 256: 64}[hidden]
    counts = [runs for runs in RUNS if runs <= most_runs]
    return rates({str(n): chunk(sac(hidden), n, 1, max(1, round(total / n))) for n in counts}, repetitions)


def by_environments(agent: str, repetitions: int, scale: float, most: int) -> dict[str, Any]:
    """SAC or PPO, 64-64, by the number of environments of one run."""
    counts = [n for n in ENVIRONMENTS if n <= most]
    if agent == "ppo":
        return rates({str(n): chunk(ppo(n), 1, n, 1) for n in counts}, repetitions)
    iterations = {n: max(SAC_STEPS, round(scale * 256 / n)) for n in counts}
    return rates({str(n): chunk(sac(64, n), 1, n, iterations[n]) for n in counts}, repetitions)


def stepping(task: str, count: int, in_blocks: bool, steps: int) -> Any:
    """A compiled scan of `steps` steps of `count` environments alone, by random actions."""
    env = envs.make(task)
    training = lambda env, state, action: envs.for_training(env).step(state, action)  # noqa: E731
    step = blocks.mapped(training) if in_blocks else jax.vmap(training, (None, 0, 0))

    @jax.jit
    def roll(state: Any, key: jax.Array) -> Any:
        def one(state: Any, key: jax.Array) -> tuple[Any, None]:
            return step(env, state, jax.random.uniform(key, (count, env.action_size), minval=-1.0)), None

        return jax.lax.scan(one, state, jax.random.split(key, steps))[0]

    state = jax.jit(jax.vmap(envs.for_training(env).reset))(jax.random.split(jax.random.key(0), count))
    return functools.partial(roll, state, jax.random.key(1))


def alone(task: str, repetitions: int, scale: float, most: int) -> dict[str, dict[str, Any]]:
    """Environment steps a second, in blocks and at once, by the number of environments."""
    found = {}
    for count in [n for n in ENVIRONMENTS if blocks.BLOCK < n <= most]:
        steps = max(2, round(scale * ALONE[task] / count))
        ways = {"in blocks": True, "at once": False}
        times = interleaved({way: stepping(task, count, cut, steps) for way, cut in ways.items()}, repetitions)
        found[str(count)] = {way: rate(count * steps, seconds) for way, seconds in times.items()}
    return found


def tables(rows: dict[str, Any]) -> list[Table]:
    """Rates by the number of runs or environments, one table a part."""
    shown = []
    for title, row in rows.items():
        if not row:
            continue
        columns = list(next(iter(row.values())))
        table = Table("", *columns, title=f"{title}: a second, median (min to max)")
        for count, cells in row.items():
            spreads = (f"{r['median']:,.0f} ({r['min']:,.0f} to {r['max']:,.0f})" for r in cells.values())
            table.add_row(count, *spreads)
        shown.append(table)
    return shown


def main(
    only: tuple[str, ...] = (),
    runs: int = 32,
    most: int = 4096,
    repetitions: int = 5,
    scale: float = 1.0,
    out: Path = RESULT,
) -> None:
    """Measure, write the JSON after each part, print the tables.

    Args:
      only: parts whose names begin with one of these; none: all.
      runs: the most of them.
      most: environments a run, the most of them.
      repetitions: rounds, in which everything in a part takes its turn.
      scale: length of the measured chunks; smaller to try.
      out: the JSON to write; parts that it holds and that are not measured now stay in it.
    """
    parts: dict[str, Any] = {f"SAC {n}-{n} by runs": functools.partial(by_runs, n, most_runs=runs) for n in (64, 256)}
    by_most = {f"{agent} by environments": functools.partial(by_environments, agent) for agent in ("sac", "ppo")}
    by_most |= {f"{task} alone by environments": functools.partial(alone, task) for task in ALONE}
    parts |= {name: functools.partial(measure, most=most) for name, measure in by_most.items()}
    rows = kept(out).get("rows", {})
    for name, measure in parts.items():
        if not only or name.startswith(tuple(only)):
            rows[name] = measure(repetitions=repetitions, scale=scale)
            save(out, f"a second: median, min and max of {repetitions} interleaved repetitions", rows=rows)
    for table in tables(rows):
        Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
