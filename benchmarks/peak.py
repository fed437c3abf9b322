"""How near a SAC update comes to the machine's matrix products, and where the rest goes.

`python -m benchmarks.peak` writes `benchmarks/results/peak.json` and prints its tables: SAC on the vehicle's sizes,
hidden layers 256-256, batch 256, one run and eight; all of it in turns, on the same threads.

* The peak: the best f32 rate of 256 x 256 by 256 x 256 products, single, batched and on every device by itself, plain
  and with either side transposed, as forward and backward passes make them.
* The update's rate: the operations of its matrix products (`update_flops`; nothing else is counted) by its seconds.
* Where the update's time goes: its pieces as scans of their own, of as many runs as are trained at a time. What the
  products would take at the peak is named beside; the pieces' own sum may differ from the whole, since XLA fuses
  across them.
* Where a training step's time goes: environment, acting, replay, update, the rest; and what its program holds.
"""

import functools
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import overhead
from benchmarks.kernels import operations
from benchmarks.overhead import repeated
from benchmarks.timing import interleaved, rate, save
from maxent_jax import devices
from maxent_jax.agents.critics import descend
from maxent_jax.compiled import group_size
from maxent_jax.memory import agent_bytes

GOAL = 0.6
WIDTH = 256
RUNS = (1, 8)
BATCHES = {"1 at once": 1, "2 at once": 2, "16 at once": 16, "1 a device": None}
"""Products at once: one, the twins, the twins of eight runs; and one on every device, each by itself."""
FORMS = {"x w": (1, 0), "g w^T": (1, 1), "x^T g": (0, 0)}
"""Forward pass, gradient of a layer's input, gradient of its weights: which axis of either side is summed over."""
CAPACITY = 20_000
RESULT = Path(__file__).parent / "results" / "peak.json"


def dense_flops(widths: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """Operations of each layer's matrix product over a batch, forward; widths include input and output."""
    return tuple(2 * batch * i * o for i, o in itertools.pairwise(widths))


def update_flops(observations: int, actions: int, hidden: tuple[int, ...], batch: int) -> dict[str, int]:
    """Operations of the matrix products in one SAC update, forward and the backward ones that are needed.

    A backward pass multiplies twice as often as a forward pass: for the weights, and for what a layer was given. The
    first layer's input needs no gradient, but for the action in the actor's loss.
    """
    actor = dense_flops((observations, *hidden, 2 * actions), batch)
    critic = dense_flops((observations + actions, *hidden, 1), batch)
    backward = sum(critic) + sum(critic[1:])
    to_action = sum(critic[1:]) + 2 * batch * actions * hidden[0]
    return {
        "critics": sum(actor) + 2 * (sum(critic) + sum(critic) + backward),  # next action; targets; the twins
        "actor": sum(actor) + 2 * (sum(critic) + to_action) + sum(actor) + sum(actor[1:]),
    }


def product(form: str, count: int, steps: int, on: int = 1) -> Any:
    """`steps` products of one form, each with the result of the last; `count` of them side by side `on` each device."""
    shape = (count, WIDTH, WIDTH) if count > 1 else (WIDTH, WIDTH)
    left, right = (axis + (count > 1) for axis in FORMS[form])
    side = ((0,), (0,)) if count > 1 else ((), ())
    # an orthogonal factor: the numbers neither vanish nor grow
    other = jnp.broadcast_to(jnp.linalg.qr(jax.random.normal(jax.random.key(0), (WIDTH, WIDTH)))[0], (on, *shape))

    def chain(x: jax.Array, other: jax.Array) -> jax.Array:
        step = lambda x, _: (jax.lax.dot_general(x, other, (((left,), (right,)), side)), None)  # noqa: E731
        return jax.lax.scan(step, x, length=steps, unroll=8)[0]

    def on_a_device(x: jax.Array, other: jax.Array) -> jax.Array:
        return chain(x[0], other[0])[None]

    given = devices.place((jax.random.normal(jax.random.key(1), (on, *shape)), other), on, (0, 0))
    return functools.partial(devices.spread(on_a_device, on, (0, 0), 0), *given)


def products(scale: float) -> dict[str, tuple[Any, int]]:
    """Every form and batch of products, and the operations in a call."""
    found = {}
    for name, batch in BATCHES.items():
        count, on = (1, jax.device_count()) if batch is None else (batch, 1)
        steps = 8 * max(1, round(scale * 40 / count))
        for form in FORMS:
            found[f"{form}, {name}"] = product(form, count, steps, on), 2 * WIDTH**3 * count * on * steps
    return found


def critics(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """The critics' part of an update, with Adam."""
    del env
    state, batch = carry
    return agent.update_critics(state, batch, key)[0], batch


def actor(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """The actor's part, with Adam."""
    del env
    state, batch = carry
    return agent.update_actor(state, batch.obs, key)[0], batch


def adam(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """Adam on critics and actor, their parameters for gradients: other numbers in each step, nothing to compute."""
    del env, key
    state, batch = carry
    moved = {
        part: descend(own, own.params, agent.lr) for part, own in (("critic", state.critic), ("actor", state.actor))
    }
    return state.replace(**moved), batch


def targets(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """The slow critics follow."""
    del env, key
    state, batch = carry
    return agent.update_targets(state), batch


def random(agent: Any, env: Any, carry: Any, key: jax.Array) -> Any:
    """The random numbers of an update."""
    del agent, env
    state, batch = carry
    noise = sum(jax.random.normal(key, batch.action.shape) for key in jax.random.split(key))
    return state, batch.replace(action=batch.action + noise)


PIECES = {"critics": critics, "actor": actor, "adam": adam, "targets": targets, "random numbers": random}


def trained_at_once(program: Any) -> int:
    """How many of a program's runs are trained at a time, on all devices together."""
    runs = len(program.runs)
    used = devices.mesh(runs).size
    own = (runs + program.padding) // used
    return min(runs, used * group_size(own, own * agent_bytes(program) // runs, devices.sharing(runs) > 1))


def measure(repetitions: int, scale: float) -> dict[str, Any]:
    """Everything, in one round of turns."""
    calls, counts = {}, {}
    for name, (call, flops) in products(scale).items():
        calls[name], counts[name] = call, flops
    setups = {}
    for runs in RUNS:
        steps = max(2, round(scale * 40 / runs))
        whole = overhead.compile_sac(WIDTH, runs, steps, CAPACITY)
        at_once = trained_at_once(whole.program)
        part = whole if at_once == runs else overhead.compile_sac(WIDTH, at_once, steps, CAPACITY)
        run, counters = overhead.trained(part).state
        scans = overhead.parts(part.program, run, counters.env_steps, steps, steps)
        carry = scans["update"].state
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), carry)
        scans |= {name: repeated(piece, part.program, carry, steps) for name, piece in PIECES.items()}
        turns = dict.fromkeys(scans, runs / at_once / steps)  # what a call's seconds are multiplied by
        scans["train"] = overhead.trained(whole)
        turns["train"] = 1 / whole.program.schedule.iterations
        calls |= {f"{name}, {runs}": chain for name, chain in scans.items()}
        setups[runs] = (whole, runs / at_once * xla_flops(part.program, shapes), turns)
    times = interleaved(calls, repetitions)
    rates = {name: rate(flops / 1e9, times[name]) for name, flops in counts.items()}
    peak = max(row["median"] for row in rates.values())
    found = {}
    scaled = lambda row, factor: {key: value * factor for key, value in row.items()}  # noqa: E731
    for runs, (compiled, flops, turns) in setups.items():
        seconds = {name: scaled(times[f"{name}, {runs}"], factor) for name, factor in turns.items()}
        found[runs] = account(compiled, flops, seconds, peak)
    return {"gflops_of_products": rates, "peak_gflops": peak, "goal": GOAL, "runs": found}


def account(compiled: Any, counted: float, seconds: dict[str, dict[str, float]], peak: float) -> dict[str, Any]:
    """Rates and shares of one number of runs from the seconds of its pieces."""
    program = compiled.program
    agent, env, runs = program.agent, program.env, len(program.runs)
    sizes = (env.observation_size, env.action_size, agent.hidden, agent.batch_size)
    flops = {name: runs * count for name, count in update_flops(*sizes).items()}
    total = sum(flops.values())
    update, step = seconds["update"], seconds["train"]["median"]
    median = {name: row["median"] for name, row in seconds.items()}
    passes = median["critics"] + median["actor"] - median["adam"]
    update_shares = {
        "products, at the peak": total / 1e9 / peak,
        "passes beyond that": passes - median["random numbers"] - total / 1e9 / peak,
        "random numbers": median["random numbers"],
        "adam": median["adam"],
        "targets": median["targets"],
    }
    step_parts = {name: median[name] for name in ("update", "sample", "environment", "act", "add")}
    shares = {name: value / update["median"] for name, value in update_shares.items()}
    step_shares = {name: value / step for name, value in step_parts.items()}
    held = operations(compiled.train.as_text() or "")
    return {
        "flops": flops | {"update": total, "update, XLA's count": counted},
        "gflops": rate(total / 1e9, update),
        "share_of_peak": total / 1e9 / update["median"] / peak,
        "share_of_peak_in_training": total / 1e9 / step / peak,
        "seconds": seconds,
        "update_shares": shares | {"not explained": 1 - sum(shares.values())},
        "step_shares": step_shares | {"not explained": 1 - sum(step_shares.values())},
        "operations_of_a_step": {kind: count / program.schedule.iterations for kind, count in held.items()},
    }


def xla_flops(program: Any, carry: Any) -> float:
    """XLA's own count of one update of all runs, elementwise operations included, from the shapes of its arguments."""
    keys = jax.random.split(jax.random.key(0), len(program.runs))
    one = jax.vmap(lambda state, batch, key: program.agent.update(state, batch, key)[0])
    return (jax.jit(one).lower(*carry, keys).compile().cost_analysis() or {})["flops"]


def tables(result: dict[str, Any]) -> list[Table]:
    """The result for people."""
    spread = lambda t, unit=1.0: f"{unit * t['median']:.3g} ({unit * t['min']:.3g} to {unit * t['max']:.3g})"  # noqa: E731
    rates = Table("product", *BATCHES, title="GFLOP/s of 256 x 256 products")
    for form in FORMS:
        rates.add_row(form, *(spread(result["gflops_of_products"][f"{form}, {name}"]) for name in BATCHES))
    runs = result["runs"]
    columns = [f"{count} run(s)" for count in runs]
    reached = Table("", *columns, title=f"the update beside the peak of {result['peak_gflops']:.0f} GFLOP/s")
    reached.add_row("GFLOP/s", *(spread(row["gflops"]) for row in runs.values()))
    reached.add_row("share of the peak", *(f"{row['share_of_peak']:.0%}" for row in runs.values()))
    within = (f"{row['share_of_peak_in_training']:.0%}" for row in runs.values())
    reached.add_row("with acting, stepping, replay", *within)
    for name in next(iter(runs.values()))["flops"]:
        reached.add_row(f"GFLOP, {name}", *(f"{row['flops'][name] / 1e9:.3f}" for row in runs.values()))
    shown = [rates, reached]
    for key, title in (("update_shares", "shares of an update"), ("step_shares", "shares of a training step")):
        shares = Table("", *columns, title=title)
        for name in next(iter(runs.values()))[key]:
            shares.add_row(name, *(f"{row[key][name]:.1%}" for row in runs.values()))
        shown.append(shares)
    held = Table("", *columns, title="what runs on its own in the program of a training step")
    for kind in sorted({kind for row in runs.values() for kind in row["operations_of_a_step"]}):
        held.add_row(kind, *(f"{row['operations_of_a_step'].get(kind, 0):.0f}" for row in runs.values()))
    return [*shown, held]


def main(repetitions: int = 11, scale: float = 1.0, out: Path = RESULT) -> None:
    """Measure, write the JSON, print the tables.

    Args:
      repetitions: rounds, in which everything takes its turn.
      scale: length of the measured scans; smaller to try.
      out: the JSON to write.
    """
    result = measure(repetitions, scale)
    about = f"median, min and max of {repetitions} interleaved repetitions; SAC 256-256, batch 256, vehicle's sizes"
    save(out, about, **result)
    for table in tables(result):
        Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
