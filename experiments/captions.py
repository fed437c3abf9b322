"""What the reader of a figure must know of the runs behind it."""

import numpy as np

from maxent_jax.runs import Result


def budget(results: list[Result]) -> str:
    """Steps, batch and samples of every agent, in words."""
    parts = []
    for result in results:
        steps = int(np.nanmax(result.metrics["env_steps"]))
        samples = sorted({agent.n_samples for agent in result.agents if hasattr(agent, "n_samples")})  # pyright: ignore
        words = f"{result.config['agent']}: {steps:,} steps, batch {result.config['agent_fields']['batch_size']}"
        parts.append(words + (f", n_samples {', '.join(map(str, samples))}" if samples else ""))
    return "; ".join(parts) + "."
