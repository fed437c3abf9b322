"""The commands that foresee, measure and repeat."""

import json
import time

from benchmarks import registry as benchmarks
from benchmarks import timing
from envs import fields
from envs.fields import InvalidSetting
from experiments import published
from experiments import registry as experiments
from maxent_jax import api, cache, plan
from maxent_jax.commands import common
from maxent_jax.memory import free_bytes, usable
from maxent_jax.options import FORCE, NO_CACHE, option, parse, required, take_apart

NAME = required("NAME", "the experiment", experiments.names())
MEMORY = option(
    "memory", float, "gigabytes (1e9 bytes) of the device, of which nine tenths are used; none: what is free", above=0
)


def plan_command(words: list[str]) -> None:
    """Say what training would need: bytes, arithmetic, how many runs fit; on a CPU also how long it takes."""
    request = common.read_request("plan", words, (*common.RUNS, MEMORY))
    if request is None:
        return
    agent, env, given, _ = request
    gigabytes = given.options["memory"]
    memory = usable(free_bytes() if gigabytes is None else 1e9 * gigabytes)
    job = api.prepare(agent, env, **common.asked_of_training(given), memory=float("inf"))
    common.CONSOLE.print(plan.table(plan.estimate(job.sweep.programs[0], memory), memory))


def bench_command(words: list[str]) -> None:
    """Measure speed and memory here; without NAME the quick benchmarks, in about ten minutes."""
    known = (
        option("preset", str, "how much; none: quick without NAME, full with it", choices=benchmarks.PRESETS),
        option("out", str, "folder for the JSON files", "bench"),
    )
    names = take_apart(words).positional
    named = (required("NAME", "the benchmark", benchmarks.BENCHMARKS),) if names else ()
    about = "NAME: " + "; ".join(f"{name}: {entry.about}" for name, entry in benchmarks.BENCHMARKS.items()) + "."
    given = parse(f"{common.PROGRAM} bench", words, known, about, named)
    preset = given.options["preset"] or ("full" if names else "quick")
    within = [name for name, entry in benchmarks.BENCHMARKS.items() if entry.arguments(preset) is not None]
    if names and names[0] not in benchmarks.BENCHMARKS:
        raise fields.unknown(f"NAME {names[0]!r}", names[0], benchmarks.BENCHMARKS)
    if names and names[0] not in within:
        raise InvalidSetting(f"NAME = {names[0]!r}: must be {', '.join(within)} with --preset {preset}")
    chosen = names or within
    with common.folder_to_write(given.options["out"]) as folder:
        for number, name in enumerate(chosen, 1):
            about = f"{number} of {len(chosen)}: {name}: {benchmarks.BENCHMARKS[name].about}"
            common.CONSOLE.print(about, highlight=False)
            began = time.perf_counter()
            path = benchmarks.run(name, preset, folder)
            spread = timing.spread(json.loads(path.read_text()))
            noisy = f"; too noisy to trust: a spread of {spread:.0%}, see its min and max"
            told = f"{path}: {time.perf_counter() - began:.0f} s{noisy if spread > timing.NOISY else ''}"
            common.CONSOLE.print(told, highlight=False, soft_wrap=True)


def reproduce_command(words: list[str]) -> None:
    """Repeat an experiment of the paper: runs, figures, captions."""
    known = (
        option("preset", str, "budget; none: cpu", choices=published.PRESETS),
        option("env", str, "which task, of an experiment on several; none: all of them"),
        option("out", str, "folder to make; none: reproduced/NAME-PRESET"),
        FORCE,
        NO_CACHE,
    )
    about = f"NAME: {', '.join(experiments.names())}."
    given = parse(f"{common.PROGRAM} reproduce", words, known, about, (NAME,))
    cache.use(not given.options["no_cache"])
    experiments.reproduce(
        given.positional[0],
        preset=given.options["preset"],
        env=given.options["env"],
        out=given.options["out"],
        force=given.options["force"],
        console=common.CONSOLE,
    )
