"""Exact soft and plain solutions of finite models, and models in which maximum entropy misleads at will."""

from maxent_jax.theory.bifurcation import Info, Inserted, bifurcate
from maxent_jax.theory.mdp import Solution, TabularMDP, evaluate, solve, solve_soft

__all__ = ["Info", "Inserted", "Solution", "TabularMDP", "bifurcate", "evaluate", "solve", "solve_soft"]
