"""The smallest runs that still are runs: what a test pays is compiling, so that equal ones are shared."""

FIELDS = {
    "sac": {"hidden": (8,), "batch_size": 8, "buffer_size": 64},
    "sac_adaent": {"hidden": (8,), "batch_size": 8, "buffer_size": 64, "n_samples": 4},
    "ppo": {"hidden": (8,), "batch_size": 16, "rollout_steps": 32, "passes": 2},
}
RUNS = {"seeds": 3, "steps": 64, "evaluations": 2}


def flags(fields):
    """Fields of an agent as options of the command line."""
    text = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in fields.items()}
    return [f"--agent.{name}={value}" for name, value in text.items()]
