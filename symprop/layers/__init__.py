"""Layers: each writes its equations into a scope, and knows nothing else."""

from symprop.layers.activation import Activation
from symprop.layers.base import Layer
from symprop.layers.dense import Dense
from symprop.layers.dropout import Dropout
from symprop.layers.graph import Graph
from symprop.layers.normalization import BatchNorm
from symprop.layers.residual import Residual

__all__ = ["Activation", "BatchNorm", "Dense", "Dropout", "Graph", "Layer", "Residual"]
