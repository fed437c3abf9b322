"""What the reader of a figure or a table must know of the runs behind it."""

from pathlib import Path
from typing import Any

import numpy as np

from maxent_jax import freezing, runs
from maxent_jax.runs import Result


def record(path: Path, preset: str, results: list[Result], rows: list[dict[str, Any]], **more: Any) -> None:
    """Write a table of results, and what is `more`, as JSON, with the budget, seeds, device and versions behind it."""
    seeds = {result.config["agent"]: result.config["seeds"] for result in results}
    about = {"preset": preset, "budget": budget(results), "seeds": seeds}
    runs.write_json(path, about | {"device": runs.device(), "versions": runs.versions(), "rows": rows} | more)


def budget(results: list[Result]) -> str:
    """Steps, batch, samples and failed runs of every agent, in words."""
    parts = []
    for result in results:
        steps = int(np.nanmax(result.metrics["env_steps"]))
        samples = sorted({agent.n_samples for agent in result.agents if hasattr(agent, "n_samples")})  # pyright: ignore
        words = f"{result.config['agent']}: {steps:,} steps, batch {result.config['agent_fields']['batch_size']}"
        words += f", n_samples {', '.join(map(str, samples))}" if samples else ""
        failures = freezing.words(result.failures(), len(result.runs))
        parts.append(words + (f", {failures}, left out" if failures else ""))
    return "; ".join(dict.fromkeys(parts)) + "."
