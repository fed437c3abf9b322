"""`python spread_runs.py OUT RUNS [PROCESS OF PORT]`: train tiny runs on all devices that there are; numbers to OUT."""

import sys
from pathlib import Path

import jax
import numpy as np

import envs
from maxent_jax import compiled, devices
from maxent_jax.agents import AGENTS
from maxent_jax.compiled import Compiled
from maxent_jax.programs import expand

COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def main(out: str, runs: str, *distributed: str) -> None:
    if distributed:
        process, processes, port = map(int, distributed)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    compiled.CORE_BYTES = 1  # of four runs on a core one is trained at a time
    agent = AGENTS["sac"](hidden=(8,), batch_size=8, buffer_size=64, prefill_steps=16)
    grid = {"alpha": [0.1 * (run + 1) for run in range(int(runs))]}
    (program,) = expand(agent, envs.make("pendulum"), (3,), grid, 60, 1, 2).programs
    made = Compiled(program)
    functions = (made.begin, made.prefill, made.train, made.evaluate)
    text = "".join(function.as_text() or "" for function in functions)
    chunks = list(made.chunks())
    found = {f"{chunk.index} {name}": value for chunk in chunks for name, value in chunk.metrics.items()}
    states = devices.gather(chunks[-1].padded.agent, int(runs))
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(states)}
    found |= {name: np.asarray(leaf) for name, leaf in leaves.items()}
    told = {"devices": jax.device_count(), "collectives": sum(text.count(name) for name in COLLECTIVES)}
    np.savez(Path(out), **found, **told)


if __name__ == "__main__":
    main(*sys.argv[1:])
