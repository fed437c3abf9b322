"""The benchmarks by name: what `maxent-jax bench` knows of them."""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PRESETS = ("quick", "full", "gpu")


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A module of this package with a `main(..., out)` that writes a JSON and prints tables.

    Attributes:
      about: the question that it answers.
      quick: arguments with which it is one of the quick ones, ten minutes in all on two cores; None: it is not.
      gpu: likewise with which it is made where there is a GPU.
    """

    about: str
    quick: Mapping[str, Any] | None = None
    gpu: Mapping[str, Any] | None = None

    def arguments(self, preset: str) -> Mapping[str, Any] | None:
        """What `main` gets with a preset; None: it is not part of it."""
        return {"quick": self.quick, "full": {}, "gpu": self.gpu}[preset]


BENCHMARKS = {
    "peak": Benchmark(
        "how near an update comes to the machine's matrix products", quick={"repetitions": 5, "scale": 0.5}, gpu={}
    ),
    "fast": Benchmark(
        "what SAC-AdaEnt costs beside SAC, and whether both comparisons end alike",
        quick={"only": (), "sizes": (4,), "repetitions": 5},
        gpu={"only": ()},
    ),
    "memory": Benchmark(
        "what training holds beside what it must", quick={"only": ("vehicle",), "scale": 0.1}, gpu={"scale": 0.1}
    ),
    "scaling": Benchmark(
        "what more runs and more environments bring",
        quick={"only": ("SAC 64", "vehicle"), "runs": 8, "most": 1024, "scale": 0.5},
        gpu={"runs": 64, "most": 16384},
    ),
    "envs": Benchmark(
        "how fast the tasks are, ours and others'",
        quick={"only": ("toy", "pendulum", "vehicle"), "sizes": (1, 64, 1024)},
        gpu={"sizes": (1, 64, 1024, 8192, 16384)},
    ),
    "budgets": Benchmark("how long the published budgets take, and how well a plan tells", gpu={}),
    "kernels": Benchmark("how many kernels a step and an update are"),
    "compile": Benchmark("how long compiling takes, and what the second start saves"),
    "overhead": Benchmark("what the trainer costs beside the update alone"),
    "checkpoints": Benchmark("what a checkpoint of training costs"),
    "kill": Benchmark("whether a killed run ends in the same numbers"),
    "replay": Benchmark("our replay beside flashbax"),
    "peers": Benchmark("our trainer beside rejax, SBX, Stable-Baselines3, Brax and plain torch"),
    "agreement": Benchmark("whether agents do what torch's and Stable-Baselines3's do"),
    "comparison": Benchmark("which cheaper comparison decides as the exact one does"),
    "many_runs": Benchmark("what ten thousand runs cost outside training"),
    "contacts": Benchmark("whether solver iterations and contact lists lose anything"),
    "ppo": Benchmark("what PPO reaches with more steps"),
    "coverage": Benchmark("whether intervals cover what they say"),
    "soak": Benchmark("whether memory, descriptors and speed stay as they are over an hour"),
}


def run(name: str, preset: str, folder: Path) -> Path:
    """Make one benchmark.

    Args:
      name: which, one of `BENCHMARKS` that the preset has.
      preset: one of `PRESETS`.
      folder: where its JSON goes.

    Returns:
      The JSON.
    """
    arguments = BENCHMARKS[name].arguments(preset)
    assert arguments is not None, "not part of this preset"
    out = folder / f"{name}.json"
    importlib.import_module(f"benchmarks.{name}").main(out=out, **arguments)
    return out
