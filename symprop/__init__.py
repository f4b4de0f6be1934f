"""symprop: backpropagation derived by SymPy, printed as mathematics, and trained with Numba."""

from symprop.layers import Dense
from symprop.losses import prediction, target
from symprop.network import Network
from symprop.optimizers import SGD, Adam

__version__ = "0.1.0"
__all__ = ["SGD", "Adam", "Dense", "Network", "prediction", "target"]
