"""Agents by name. A new agent is one new file and one line here."""

from envs.fields import unknown
from maxent_jax.agents.adaent import SACAdaEnt
from maxent_jax.agents.base import Agent
from maxent_jax.agents.ddpg import DDPG
from maxent_jax.agents.ppo import PPO
from maxent_jax.agents.sac import SAC
from maxent_jax.agents.sac_annealed import SACAnnealed
from maxent_jax.agents.sac_lite import SACLite
from maxent_jax.agents.sql import SQL
from maxent_jax.agents.td3 import TD3

AGENTS: dict[str, type[Agent]] = {
    "sac": SAC,
    "sac_adaent": SACAdaEnt,
    "ppo": PPO,
    "td3": TD3,
    "ddpg": DDPG,
    "sql": SQL,
    "sac_annealed": SACAnnealed,
    "sac_lite": SACLite,
}


def agent_class(name: str) -> type[Agent]:
    """The class of an agent.

    Raises:
      ValueError: no such agent; the message lists what exists.
    """
    if name not in AGENTS:
        raise unknown(f"agent {name!r}", name, AGENTS)
    return AGENTS[name]


def agent_name(agent: Agent) -> str:
    """The registered name of an agent, or its class's name."""
    return next((name for name, cls in AGENTS.items() if type(agent) is cls), type(agent).__name__)


__all__ = [
    "AGENTS",
    "DDPG",
    "PPO",
    "SAC",
    "SQL",
    "TD3",
    "Agent",
    "SACAdaEnt",
    "SACAnnealed",
    "SACLite",
    "agent_class",
    "agent_name",
]
