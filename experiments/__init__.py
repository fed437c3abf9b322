"""Which runs make which table and figure of the paper: `names()`, `reproduce(name)`."""

from experiments.registry import names, reproduce

__all__ = ["names", "reproduce"]
