"""The errors of symprop: one class per culprit, each also the built-in exception that fits."""


class SymPropError(Exception):
    """Base of every error that symprop raises on purpose."""


class DeclarationError(SymPropError, ValueError):
    """A network, layer, activation, loss or equation is not declared in a form that symprop
    accepts.
    """


class UnknownNameError(DeclarationError):
    """A name (of an activation, a loss, an optimizer, ...) is not known; the message has the
    nearest one.
    """


class ShapeError(SymPropError, ValueError):
    """Two extents that must agree differ: in an equation, an array or a parameter."""


class DataError(SymPropError, ValueError):
    """Data handed to a model is empty, not finite, or breaks what the loss declares about its
    labels.
    """


class ArgumentError(SymPropError, ValueError):
    """A setting (epochs, batch size, learning rate, ...) lies outside its range."""


class ArgumentTypeError(SymPropError, TypeError):
    """An argument is of a type that symprop cannot use."""


class BusyError(SymPropError, RuntimeError):
    """A model is to be trained while it is being trained."""


class DivergenceError(SymPropError, FloatingPointError):
    """Training left the finite numbers; the model holds those of the last finite step.

    ``epoch`` and ``batch``, counted from 1, say where, ``tensor`` which became infinite or NaN
    first, in the order in which a step computes: ``"z1"``, ``"L"``, ``"∂L/∂W1"``, ``"W1"``.
    """

    def __init__(self, message: str, epoch: int, batch: int, tensor: str):
        super().__init__(message)
        self.epoch, self.batch, self.tensor = epoch, batch, tensor


class DerivationError(SymPropError, ArithmeticError):
    """A derivative cannot be formed, or a step of a derivation does not hold."""


class LoweringError(SymPropError, ValueError):
    """A program cannot be turned into running code."""


class ModelFileError(SymPropError, ValueError):
    """A file is not a saved model, or its parts do not fit together."""


class MissingPackageError(SymPropError, ImportError):
    """An optional program or package is needed; the message names what to install."""
