"""symprop: backpropagation derived by SymPy, printed as mathematics, and trained with Numba."""

from symprop.loaded import SINCE as _SINCE  # noqa: F401 (first: it takes the time)

# isort: split
from symprop import errors, metrics
from symprop.callbacks import EarlyStopping
from symprop.check import check_backends, check_gradients, check_program
from symprop.errors import DivergenceError
from symprop.flow import gradient_flow
from symprop.layers import Activation, BatchNorm, Dense, Dropout, Residual
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
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "CosineDecay",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "ExponentialDecay",
    "Network",
    "RMSProp",
    "Residual",
    "StepDecay",
    "WarmUp",
    "check_backends",
    "check_gradients",
    "check_program",
    "errors",
    "gradient_flow",
    "load",
    "metrics",
    "prediction",
    "target",
]
