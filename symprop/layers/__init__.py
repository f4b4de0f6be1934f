"""Layers: each writes its equations into a scope, and knows nothing else."""

from symprop.layers.base import Layer
from symprop.layers.dense import Dense

__all__ = ["Dense", "Layer"]
