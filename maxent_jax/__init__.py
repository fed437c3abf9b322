"""Does maximum entropy mislead policy optimisation here, where, and does switching it off there help?

Example:
  result = maxent_jax.train("sac_adaent", "toy", seeds=8, preset="quick")
  action = result.policy(run=0)(obs)
"""

from maxent_jax.agents import PPO, SAC, Agent, SACAdaEnt
from maxent_jax.api import sweep, train
from maxent_jax.runs import Result, load

__all__ = ["PPO", "SAC", "Agent", "Result", "SACAdaEnt", "load", "sweep", "train"]
