"""Agents by name. A new agent is one new file and one line here."""

from envs.fields import unknown
from maxent_jax.agents.adaent import SACAdaEnt
from maxent_jax.agents.base import Agent
from maxent_jax.agents.ppo import PPO
from maxent_jax.agents.sac import SAC

AGENTS: dict[str, type[Agent]] = {
    "sac": SAC,
    "sac_adaent": SACAdaEnt,
    "ppo": PPO,
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


__all__ = ["AGENTS", "PPO", "SAC", "Agent", "SACAdaEnt", "agent_class", "agent_name"]
