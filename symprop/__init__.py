"""symprop: backpropagation derived by SymPy, printed as mathematics, and trained with Numba."""

from symprop import errors
from symprop.check import check_backends, check_gradients, check_program
from symprop.layers import Dense
from symprop.losses import prediction, target
from symprop.network import Network
from symprop.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    CosineDecay,
    ExponentialDecay,
    RMSProp,
    StepDecay,
    WarmUp,
)
from symprop.storage import load

__version__ = "0.1.0"
__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineDecay",
    "Dense",
    "ExponentialDecay",
    "Network",
    "RMSProp",
    "StepDecay",
    "WarmUp",
    "check_backends",
    "check_gradients",
    "check_program",
    "errors",
    "load",
    "prediction",
    "target",
]
