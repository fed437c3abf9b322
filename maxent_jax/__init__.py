"""Does maximum entropy mislead policy optimisation here, where, and does switching it off there help?

Example:
  result = maxent_jax.train("sac_adaent", "toy", seeds=8, preset="quick")
  action = result.policy(run=0)(obs)
"""

from maxent_jax.agents import PPO, SAC, Agent, SACAdaEnt
from maxent_jax.api import resume, sweep, train
from maxent_jax.faults import Fault
from maxent_jax.runs import Result, load

__all__ = ["PPO", "SAC", "Agent", "Fault", "Result", "SACAdaEnt", "load", "resume", "sweep", "train"]
