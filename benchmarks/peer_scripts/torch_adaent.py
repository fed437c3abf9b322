"""Updates of SAC-AdaEnt in plain torch and 32 bits: the computation that `benchmarks/agreement.py` checks, timed."""
# pyright: basic, reportMissingImports=false

import os
import sys
from pathlib import Path

import numpy as np
import serve
import torch

sys.path.append(str(Path(__file__).parents[1] / "sb3" / "scripts"))
import torch_update


class AdaEnt(serve.Training):
    """Some runs that are updated in turn, each with its own weights."""

    def __init__(self, settings, seed):
        """Read the weights and the batch that all runs begin with; `file` holds them."""
        del seed
        with np.load(settings["file"]) as file:
            arrays = dict(file)
        self.batch, self.noise = (torch_update.tensors(arrays, part) for part in ("batch/", "noise/"))
        self.runs = [torch_update.SAC(arrays, settings["fields"], adaptive=True) for _ in range(settings["runs"])]

    def advance(self):
        """An update of every run, with fresh noise."""

        def update():
            for run in self.runs:
                run.update(self.batch, {name: torch.randn_like(x) for name, x in self.noise.items()})

        seconds = serve.timed(update)
        return 0, len(self.runs), seconds


class Updates(serve.Trainings):
    """Measures updates, and makes one with given noise."""

    def update(self, settings, to):
        """Write what one update with the noise of the file leads to, as `benchmarks/sb3/updates.py` compares it."""
        made = AdaEnt(settings, 0)
        seen = made.runs[0].update(made.batch, made.noise)
        np.savez(to, **made.runs[0].end(), **{k: v.numpy() for k, v in seen.items()})
        return {}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve.serve(Updates(AdaEnt, ("torch", "numpy")))
