"""Exact soft and plain solutions of finite models, and models in which maximum entropy misleads at will."""

from maxent_jax.theory.bifurcation import Info, Inserted, bifurcate, insert
from maxent_jax.theory.discretise import Axis, Discretised, discretise
from maxent_jax.theory.mdp import Solution, TabularMDP, evaluate, solve, solve_by_state, solve_soft
from maxent_jax.theory.misleading import IdealSwitch, Lie, gains, ideal_switch, lie

__all__ = [
    "Axis",
    "Discretised",
    "IdealSwitch",
    "Info",
    "Inserted",
    "Lie",
    "Solution",
    "TabularMDP",
    "bifurcate",
    "discretise",
    "evaluate",
    "gains",
    "ideal_switch",
    "insert",
    "lie",
    "solve",
    "solve_by_state",
    "solve_soft",
]
