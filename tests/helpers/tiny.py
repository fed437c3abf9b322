"""The smallest runs that still are runs: what a test pays is compiling."""

FIELDS = {
    "sac": {"hidden": (8,), "batch_size": 8},
    "sac_adaent": {"hidden": (8,), "batch_size": 8, "n_samples": 4},
    "ppo": {"hidden": (8,), "batch_size": 16, "rollout_steps": 32, "passes": 2},
}


def flags(agent):
    """The same as options of the command line."""
    return [
        f"--agent.{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in FIELDS[agent].items()
    ]
