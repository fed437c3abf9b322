"""What the machinery around the agent's update costs: `train sac --env vehicle` beside a bare scan of the update.

`python -m benchmarks.overhead` writes `benchmarks/results/overhead.json` and prints its tables. The published settings
with hidden layers 64-64 and 256-256, 1 and 8 runs, a full replay of a million rows a run:

* the compiled training chunk that `train` runs, beside a `lax.scan` of `agent.update` on one batch;
* what each part of an environment step costs, measured as a scan of its own; the rest is what no part explains;
* evaluation, measured apart: its share follows from the length of a chunk, which is 100 000 steps in the published
  budget (2 M steps, 20 evaluations);
* whether replay is updated in place, as the compiled program says, and whether a step costs the same on a small ring.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

import envs
from benchmarks.timing import interleaved, rate, save
from experiments import published
from maxent_jax import devices, replay, trainer
from maxent_jax.compiled import Compiled
from maxent_jax.memory import footprint
from maxent_jax.programs import expand
from maxent_jax.trainer import Counters, Run

GOAL = 0.8
CAPACITY = 1_000_000
SMALL_CAPACITY = 10_000
STEPS = 2_000_000
CHUNKS = (1_000, 10_000, 100_000)
SETUPS = ((64, 1), (64, 8), (256, 1), (256, 8))  # width of the two hidden layers, runs
PART_STEPS = 1_000
RESULT = Path(__file__).parent / "results" / "overhead.json"

Step = Callable[[Any, Any, Any, jax.Array], Any]
Times = dict[str, float]


def act(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """Choose an action; the next observation depends on it, so that no step can be moved out of the loop."""
    del env
    state, obs = carry
    return state, obs + 1e-6 * agent.act(state, obs, key).sum()


def environment(agent: Any, env: Any, run: Run, key: jax.Array) -> Run:
    """Step the environment, with its time limit and auto-reset, by a random action."""
    del agent
    action = jax.random.uniform(key, (1, env.action_size), minval=-1.0)
    return trainer.step_environments(env, run, action)[0]


def add(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """Write a transition, another one each time."""
    del agent, key
    rows, added, transition = carry
    transition = transition.replace(reward=transition.reward + 1.0)
    return replay.add(rows, transition, added, env), added + 1, transition


def sample(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """Draw a batch."""
    rows, added, _ = carry
    return rows, added, replay.sample(rows, added, key, agent.batch_size, env)


def update(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """Learn from the same batch again."""
    del env
    state, batch = carry
    return agent.update(state, batch, key)[0], batch


class Chain:
    """Calls a program that consumes its state again and again, each time on what it returned."""

    def __init__(self, program: Callable[[Any], Any], state: Any):
        """`program(state) -> state`, and the first state."""
        self.program, self.state = program, state

    def __call__(self) -> Any:
        """One more call."""
        self.state = self.program(self.state)
        return self.state


def repeated(step: Step, program: Any, carry: Any, steps: int, axes: Any = 0) -> Chain:
    """A scan of `step`, mapped over the runs of a program, on the devices that train them.

    Args:
      step: `step(agent, env, carry, key) -> carry`.
      program: a `Program`.
      carry: its first carry; copied.
      steps: steps in a call.
      axes: the axes of the carry that are mapped.

    Returns:
      The compiled scan; a call advances it by `steps`.
    """

    def scan(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
        body = lambda carry, key: (step(agent, env, carry, key), None)  # noqa: E731
        return jax.lax.scan(body, carry, jax.random.split(key, steps))[0]

    runs, in_axes = len(program.runs), (None, None, axes, 0)
    spread = devices.spread(jax.vmap(scan, in_axes, axes), runs, in_axes, axes, donate=(2,))
    keys = jax.random.split(jax.random.key(1), runs + program.padding)
    carry = devices.laid_out(jax.tree.map(jnp.copy, carry), runs, axes)  # the caller's own is not given away
    compiled = spread.lower(program.agent, program.env, carry, keys).compile()
    return Chain(lambda carry: compiled(program.agent, program.env, carry, keys), carry)


def compile_sac(hidden: int, runs: int, iterations: int, capacity: int = CAPACITY) -> Any:
    """What `train sac --env vehicle` compiles, with chunks of `iterations` steps."""
    agent = published.row("sac", "vehicle").agent.replace(hidden=(hidden, hidden), buffer_size=capacity)
    expanded = expand(agent, envs.make("vehicle"), range(runs), {}, STEPS, 1, STEPS // iterations)
    return Compiled(expanded.programs[0])


def trained(compiled: Any) -> Chain:
    """Training on a full replay, a call is a chunk; the transitions of the random prefill are repeated to fill it."""
    program = compiled.program
    fields = (program.agent, program.env)
    run, counters, _ = compiled.prefill(*fields, compiled.begin(*fields, program.seeds), trainer.no_steps())
    prefill, capacity = program.schedule.prefill, program.schedule.capacity
    run = run.replace(rows=jnp.tile(run.rows[:, :prefill], (1, -(-capacity // prefill), 1))[:, :capacity])
    counters = Counters(env_steps=jnp.int32(capacity), updates=counters.updates)
    return Chain(lambda state: compiled.train(*fields, *state)[:2], (run, counters))


def parts(program: Any, run: Run, added: jax.Array, steps: int, updates: int) -> dict[str, Chain]:
    """Every part of an environment step as a scan of its own."""
    env, batch_size = program.env, program.agent.batch_size
    draw = lambda rows, count: replay.sample(rows, added, jax.random.key(2), count, env)  # noqa: E731
    one, batch = (jax.vmap(lambda rows, n=n: draw(rows, n))(run.rows) for n in (1, batch_size))
    shared = (0, None, 0)
    return {
        "update": repeated(update, program, (run.agent, batch), updates),
        "act": repeated(act, program, (run.agent, run.env.obs), steps),
        "environment": repeated(environment, program, run.replace(agent=None, rows=None), steps),
        "add": repeated(add, program, (run.rows, added, one), steps, shared),
        "sample": repeated(sample, program, (run.rows, added, batch), steps, shared),
    }


def measure(hidden: int, runs: int, repetitions: int, scale: float) -> dict[str, Any]:
    """Everything about one width and number of runs; `updates_per_second` counts the updates of all runs."""
    wanted = max(1, round(scale * {64: 400, 256: 40}[hidden] / runs))
    steps = max(1, round(scale * PART_STEPS / runs))
    compiled = compile_sac(hidden, runs, wanted)
    training = trained(compiled)
    program = compiled.program
    iterations = program.schedule.iterations
    scans = parts(program, *_now(training), steps, iterations)
    evaluation = lambda: compiled.evaluate(program.agent, program.env, *training.state)  # noqa: E731
    small = {"small": trained(compile_sac(hidden, runs, iterations, SMALL_CAPACITY))} if hidden == 64 else {}
    times = interleaved({"train": training} | scans | {"evaluate": evaluation} | small, repetitions)

    lengths = dict.fromkeys(scans, steps) | {"update": iterations, "evaluate": 1}
    per_step = {name: _scaled(time, 1 / lengths.get(name, iterations)) for name, time in times.items()}
    small = per_step.pop("small", None)
    evaluate, train, bare = (per_step[name]["median"] for name in ("evaluate", "train", "update"))
    explained = sum(per_step[name]["median"] for name in scans)
    return {
        "hidden": [hidden, hidden],
        "runs": runs,
        "iterations": iterations,
        "updates_per_second": {"trained": rate(runs, per_step["train"]), "bare": rate(runs, per_step["update"])},
        "trained_over_bare": bare / train,
        "trained_over_bare_with_evaluation": {n: bare / (train + evaluate / n) for n in CHUNKS},
        "seconds_per_step": per_step | {"rest": {"median": train - explained}},
        "evaluation_share_of_chunk": {n: evaluate / (evaluate + n * train) for n in CHUNKS},
        "replay": in_place(compiled, training.state[0].rows),
        "seconds_per_step_on_small_replay": small,
    }


def in_place(compiled: Any, rows: jax.Array) -> dict[str, Any]:
    """Whether training writes into the very replay that it is given, by the compiled program's own account."""
    own = footprint(compiled.train, len(compiled.program.runs))
    return {
        "bytes": rows.nbytes,
        "alias_bytes": own.aliased,
        "temp_bytes": own.temporaries,
        "in_place": own.aliased >= rows.nbytes and own.temporaries < rows.nbytes / 10,
    }


def _now(training: Chain) -> tuple[Run, jax.Array]:
    run, counters = training.state
    return run, counters.env_steps


def _scaled(times: Times, factor: float) -> Times:
    return {name: factor * value for name, value in times.items()}


def tables(result: dict[str, Any]) -> list[Table]:
    """The result for people."""
    name = lambda setup: f"{setup['hidden'][0]}-{setup['hidden'][1]}, {setup['runs']} run(s)"  # noqa: E731
    spread = lambda t: f"{t['median']:.0f} ({t['min']:.0f} to {t['max']:.0f})"  # noqa: E731
    speed = Table("nets, runs", "trained", "bare", "ratio", *(f"chunk of {n}" for n in CHUNKS), "replay in place")
    speed.title = "updates per second of all runs, median (min to max); ratios with evaluation by length of the chunk"
    cost = Table("nets, runs", *result["setups"][0]["seconds_per_step"], title="microseconds per environment step")
    for setup in result["setups"]:
        rates, memory = setup["updates_per_second"], setup["replay"]
        ratios = [setup["trained_over_bare"], *setup["trained_over_bare_with_evaluation"].values()]
        held = f"{memory['in_place']}: {memory['temp_bytes'] / 1e6:.0f} MB temporary, {memory['bytes'] / 1e6:.0f} held"
        speed.add_row(name(setup), spread(rates["trained"]), spread(rates["bare"]), *(f"{r:.2f}" for r in ratios), held)
        cost.add_row(name(setup), *(f"{1e6 * t['median']:.0f}" for t in setup["seconds_per_step"].values()))
    rings = Table("nets, runs", *(f"{n} rows" for n in (CAPACITY, SMALL_CAPACITY)))
    rings.title = "microseconds per environment step by size of the replay, median (min to max)"
    for setup in result["setups"]:
        if small := setup["seconds_per_step_on_small_replay"]:
            cells = [spread(_scaled(time, 1e6)) for time in (setup["seconds_per_step"]["train"], small)]
            rings.add_row(name(setup), *cells)
    return [speed, cost, rings]


def main(repetitions: int = 15, scale: float = 1.0, out: Path = RESULT) -> None:
    """Measure, write the JSON, print the tables.

    Args:
      repetitions: rounds, in which everything about one setup takes its turn.
      scale: length of the measured scans; smaller to try.
      out: the JSON to write.
    """
    before, setups, result = os.getloadavg()[0], [], {}
    for hidden, runs in SETUPS:
        setups.append(measure(hidden, runs, repetitions, scale))
        ratios = [s["trained_over_bare_with_evaluation"][CHUNKS[-1]] for s in setups if s["hidden"] == [256, 256]]
        met = min(ratios) >= GOAL if ratios else None
        result = {
            "load": {"before": before, "after": os.getloadavg()[0]},
            "goal": {"hidden": [256, 256], "trained_over_bare": GOAL, "met": met},
            "setups": setups,
        }
        save(out, f"median, min and max of {repetitions} interleaved repetitions; a step is one in every run", **result)
    for table in tables(result):
        Console(width=160).print(table)


if __name__ == "__main__":
    tyro.cli(main)
