"""SAC-AdaEnt beside a plain torch version of the published rule: one update of both, and how many a second."""

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peer_processes import Peers, Reply, rates
from benchmarks.sb3 import updates
from envs import fields
from envs.base import EnvSpec
from maxent_jax.agents import SACAdaEnt

CASES = {f"{h}-{h}, {n} run{'s' * (n > 1)}": ((h, h), n) for h in (256, 64) for n in (1, 8)}
AGREEMENT = 1e-4
"""Largest difference of a parameter after one update of SAC-AdaEnt, torch's and ours, both in 32 bits."""


def weights_file(folder: Path, hidden: tuple[int, ...]) -> tuple[Path, dict[str, Any]]:
    """Fresh weights of SAC-AdaEnt, a batch like `benchmarks.fast`'s and noise, for torch; and the agent's fields."""
    agent = SACAdaEnt(hidden=hidden)
    size, width, batch = 4, 9, 256
    spec = EnvSpec(width, size, -jnp.ones(size), jnp.ones(size), 40)
    generator = np.random.default_rng(0)
    drawn = functools.partial(generator.standard_normal, dtype=np.float32)
    start = updates.learners(agent.init(jax.random.key(0), spec))
    parts = {
        "start": start,
        "batch": {
            "obs": drawn((batch, width)),
            "action": np.tanh(drawn((batch, size))),
            "reward": np.zeros(batch),
            "terminated": np.zeros(batch),
            "duration": np.ones(batch),
            "next_obs": drawn((batch, width)),
        },
        "noise": {
            "next": drawn((batch, size)),
            "actor": drawn((batch, size)),
            "landscape": drawn((batch, agent.n_samples, size)),
        },
    }
    file = folder / f"weights_{hidden[0]}.npz"
    arrays: Any = {f"{part}/{name}": x for part, named in parts.items() for name, x in named.items()}
    np.savez(file, **arrays)
    return file, fields.plain_values(agent)


def agreement(peers: Peers, folder: Path, hidden: tuple[int, ...]) -> Reply:
    """How far torch's update is from ours: from the same weights, batch and noise, both in 32 bits."""
    case = updates.CASES["sac_adaent, auto alpha"]
    case = dataclasses.replace(
        case, agent=fields.build(SACAdaEnt, fields.plain_values(case.agent) | {"hidden": hidden})
    )
    agent, arrays = updates.ours(case)
    told = {"case": "sac_adaent", "peer": "torch", "bits": "float32", "fields": fields.plain_values(agent)}
    given: Any = {name: x for name, x in arrays.items() if not name.startswith(("end/", "seen/"))}
    file, to = folder / "given.npz", folder / "torch.npz"
    np.savez(file, **given)
    settings = {"file": str(file), "fields": told["fields"], "runs": 1}
    if peers.ask("torch", "update", settings=settings, to=str(to)) is None:
        return {"error": peers.errors.get("torch", "not asked for")}
    with np.load(to) as theirs:
        entry = updates.compare(told, arrays, dict(theirs))
    apart = max(entry["largest"], entry["similarity"])
    return entry | {"apart": apart, "bound": AGREEMENT, "held": apart <= AGREEMENT}


def measure(peers: Peers, repetitions: int, seconds: float) -> dict[str, Any]:
    """By case: updates a second of all runs, of torch and both our comparisons, and torch's agreement with ours."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        agreed = {hidden: agreement(peers, folder, hidden) for hidden in {h for h, _ in CASES.values()}}
        for case, (hidden, runs) in CASES.items():
            file, values = weights_file(folder, hidden)
            ours = {"algorithm": "sac_adaent", "hidden": hidden, "runs": runs}
            asked = {
                f"torch {case}": ("torch", {"file": str(file), "fields": values, "runs": runs}),
                f"ours, exact {case}": ("ours", ours | {"comparison": "exact"}),
                f"ours, fast {case}": ("ours", ours | {"comparison": "fast"}),
            }
            rows = rates(peers, asked, repetitions, seconds)
            found[case] = {row.removesuffix(f" {case}"): values for row, values in rows.items()}
            found[case]["torch"]["agreement"] = agreed[hidden]
    return found
