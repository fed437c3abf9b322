"""Does maximum entropy mislead policy optimisation here, where, and does switching it off there help?

Example:
  result = maxent_jax.train("sac_adaent", "toy", seeds=8, preset="quick")
  action = result.policy(run=0)(obs)
"""

from maxent_jax.agents import DDPG, PPO, SAC, SQL, TD3, Agent, SACAdaEnt, SACAnnealed, SACLite
from maxent_jax.api import resume, sweep, train
from maxent_jax.faults import Fault
from maxent_jax.result import Result, load

__all__ = [
    "DDPG",
    "PPO",
    "SAC",
    "SQL",
    "TD3",
    "Agent",
    "Fault",
    "Result",
    "SACAdaEnt",
    "SACAnnealed",
    "SACLite",
    "load",
    "resume",
    "sweep",
    "train",
]
