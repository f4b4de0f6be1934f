"""A model in one file: its declaration as a tree of known classes, its arrays, and how far its
training has come.

Nothing in a file is ever executed or unpickled: a class or a SymPy function that is not in the
tables below is refused, and so is what is larger than the arrays beside it. ``archive`` has the
format of the file.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
from sympy import Expr, Integer, NumberSymbol, Rational, Symbol

from symprop.activations import (
    ACTIVATIONS,
    ARGUMENT,
    LOWERED,
    Elementwise,
    Softmax,
    activation,
)
from symprop.archive import check_place, packed, read, unpacked, write
from symprop.backends import Array
from symprop.backends.memory import copied
from symprop.cut import Cut, Progress
from symprop.data import data_type
from symprop.errors import ArgumentError, ArgumentTypeError, ModelFileError
from symprop.history import History
from symprop.layers import Activation, BatchNorm, Dense, Dropout, Graph, Residual
from symprop.layers.base import positive_integer
from symprop.layers.graph import Node
from symprop.layers.merge import Merge
from symprop.limits import TooLargeError, check_declaration
from symprop.losses import LOSSES, Loss, loss, outputs, prediction, target
from symprop.lowering import Lowering
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
from symprop.optimizers.rates import STEP
from symprop.primitives import Equal, Floor, Greater, GreaterEqual
from symprop.start import trained, type_of
from symprop.tensor import Tensor

if TYPE_CHECKING:
    from symprop.model import Model

CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(Network, Graph, Node, Dense, Activation, Dropout, BatchNorm, Residual, Merge),
        *(Elementwise, Softmax, Loss, Lowering),
        *(SGD, Adagrad, RMSProp, Adam, AdamW),
        *(StepDecay, ExponentialDecay, CosineDecay, WarmUp),
    )
}
"""The declarations that a file may hold."""
FUNCTIONS: dict[str, Any] = {
    function.__name__: function
    for function in (
        sympy.Add,
        sympy.Mul,
        sympy.Pow,
        *LOWERED,
        Greater,
        GreaterEqual,
        Equal,
        Floor,
    )
}
CONSTANTS: dict[str, Expr] = {
    str(c): c for c in (sympy.pi, sympy.E, sympy.EulerGamma, sympy.GoldenRatio, sympy.Catalan)
}
SYMBOLS: dict[str, Symbol] = {str(s): s for s in (ARGUMENT, prediction, target, outputs, STEP)}


def encode(value: Any) -> Any:
    """A declaration as a tree of JSON values.

    Raises ArgumentTypeError for an object of a class that is not in the tables.

    >>> encode(SGD(0.1))
    {'class': 'SGD', 'fields': {'learning_rate': 0.1, 'clip_norm': None, \
'clip_value': None, 'momentum': 0.0, 'nesterov': False}}
    >>> encode(ARGUMENT + 1)
    {'function': 'Add', 'arguments': [{'rational': ['1', '1']}, {'symbol': 'z'}]}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, Expr):
        return _encode_expression(value)
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if callable(value) and not is_dataclass(value):
        raise ArgumentTypeError(
            f"save: cannot store the function {getattr(value, '__name__', value)}: a file holds no "
            "code; name an initializer, and give a learning rate as a schedule or an expression"
        )
    name = type(value).__name__
    if CLASSES.get(name) is not type(value) or not is_dataclass(value):
        raise ArgumentTypeError(
            f"save: cannot store {name} {value!r}; known are {', '.join(CLASSES)}"
        )
    return {
        "class": name,
        "fields": {f.name: encode(getattr(value, f.name)) for f in fields(value)},
    }


def _encode_expression(node: Expr) -> dict[str, Any]:
    name = type(node).__name__
    if isinstance(node, Rational):
        return {"rational": [str(node.p), str(node.q)]}
    if isinstance(node, NumberSymbol) and str(node) in CONSTANTS:
        return {"constant": str(node)}
    if isinstance(node, Symbol) and SYMBOLS.get(str(node)) == node:
        return {"symbol": str(node)}
    if FUNCTIONS.get(name) is type(node):
        return {"function": name, "arguments": [encode(argument) for argument in node.args]}
    raise ArgumentTypeError(f"save: cannot store {name} {node} of an expression")


def decode(tree: Any) -> Any:
    """The declaration that a tree stands for; lists become tuples.

    Raises KeyError, TypeError, ValueError or a SymPropError for what is not a tree of known
    classes.

    >>> decode(encode(Dense(2, activation="relu"))) == Dense(2, activation="relu")
    True
    """
    if isinstance(tree, list):
        return tuple(decode(item) for item in tree)
    if not isinstance(tree, dict):
        return tree
    for key, build in BUILDERS.items():
        if key in tree:
            return build(tree)
    raise ModelFileError(f"unknown entry {sorted(tree)} in the declaration")


def _built(tree: Mapping[str, Any]) -> Any:
    """An object of a known class. What the class does not check is checked by declaring it anew:
    names and LaTeX go into print, and a file's may be anything.
    """
    cls = CLASSES[tree["class"]]
    found = cls(**{name: decode(value) for name, value in tree["fields"].items()})
    declared: Any = found
    if cls in (Elementwise, Softmax) and ACTIVATIONS.get(found.name) != found:
        declared = activation(found.expression)
    elif cls is Loss and LOSSES.get(found.name) != found:
        declared = loss(found.expression)
    if declared != found:
        raise ModelFileError(f"{found.name!r} is not as symprop declares it")
    return found


def _real(value: Expr) -> Expr:
    """The value, refused if it is a number that is not real: no declaration has one."""
    if value.is_number and not value.is_extended_real:
        raise ModelFileError(f"{type(value).__name__} of numbers is not real")
    return value


BUILDERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "class": _built,
    "rational": lambda tree: Rational(*(Integer(int(part)) for part in tree["rational"])),
    "constant": lambda tree: CONSTANTS[tree["constant"]],
    "symbol": lambda tree: SYMBOLS[tree["symbol"]],
    "function": lambda tree: _real(FUNCTIONS[tree["function"]](*map(decode, tree["arguments"]))),
}


def checkpoints(model: Model, path: Any, every: Any) -> tuple[Callable[[], None] | None, int]:
    """How a fit saves a model, and after how many batches, 0 for each epoch.

    Raises what ``save`` would: a fit that cannot save does not begin.
    """
    if path is None:
        if every is not None:
            raise ArgumentError("every: says how often to save; give checkpoint=, too")
        return None, 0
    _declaration(model)
    check_place(Path(path))
    return lambda: model.save(path), 0 if every is None else positive_integer("every", every)


def _declaration(model: Model) -> dict[str, Any]:
    """What was handed to ``compile``, as a tree."""
    tree = {
        "network": encode(model.network),
        "optimizer": encode(model.optimizer),
        "lowering": encode(model.lowering),
    }
    try:
        check_declaration(tree)
    except TooLargeError as error:
        raise ArgumentError(f"save: cannot store {error}") from error
    return tree


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, which is replaced only when all is written.

    Raises ArgumentTypeError for a layer, loss or optimizer of a class that is not symprop's, or for
    an array in a callback's state of a type that has no place in a file; OSError as usual.
    """
    progress = model.progress
    arrays = {f"values/{label}": array for label, array in model.values.items()}
    cut = None
    if progress.cut is not None:
        cut = {f.name: getattr(progress.cut, f.name) for f in fields(progress.cut)}
        cut["callbacks"] = [
            [name, _apart(state, f"callbacks/{number}/", arrays)]
            for number, (name, state) in enumerate(progress.cut.callbacks)
        ]
    header = {
        "declaration": _declaration(model),
        "dtype": model.dtype.name,
        "seed": model.seed,
        "backend": model.backend,
        "generator": model.generator.bit_generator.state,
        "progress": {"epoch": progress.epoch, "step": progress.step, "cut": cut},
        "history": model.history.records,
        "stop_training": bool(model.stop_training),
    }
    try:
        parts = packed(header, arrays)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"save: {error}") from error
    write(Path(path), parts)


def _apart(state: Mapping[str, Any], prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """A callback's state without its arrays, which go to the others."""
    found: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            arrays[f"{prefix}{name}"] = value
        else:
            found[str(name)] = value
    return found


def load(path: str | os.PathLike[str]) -> Model:
    """The model that ``model.save(path)`` wrote: it predicts the same and goes on training the
    same, bit for bit, also in the midst of a fit.

    Raises ModelFileError for a file that is no saved model or is damaged; OSError where there is
    none.
    """
    try:
        return _restored(*unpacked(read(Path(path))))
    except OSError:
        raise
    except (ModelFileError, RecursionError, MemoryError) as error:
        raise ModelFileError(f"{path}: is not a model that symprop saved: {error}") from error
    except Exception as error:  # a file that somebody has made up may lead to nearly anything
        told = f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{path}: is not a model that symprop saved: {told}") from error


def _restored(header: dict[str, Any], arrays: dict[str, Array]) -> Model:
    """The model of a file; its arrays are compared with the declaration before anything is made."""
    from symprop.model import Model

    declaration = header["declaration"]
    check_declaration(declaration)
    network, optimizer = decode(declaration["network"]), decode(declaration["optimizer"])
    if not isinstance(network, Network):
        raise ModelFileError(f"expected a Network, found {type(network).__name__}")
    dtype = data_type(header["dtype"])
    _check_arrays(arrays, trained(network, optimizer), dtype)
    prefix = "values/"
    values = copied({n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)})
    model = Model(
        network,
        optimizer,
        dtype,
        header["seed"],
        header["backend"],
        decode(declaration["lowering"]),
        values,
    )
    model.generator.bit_generator.state = header["generator"]
    model.go_on(_progress(header["progress"], arrays), _history(header["history"]))
    model.stop_training = header["stop_training"] is True
    return model


def _check_arrays(
    found: Mapping[str, Array], expected: tuple[Tensor, ...], dtype: np.dtype[Any]
) -> None:
    """Each array that the declaration asks for, no other, of its shape and type."""
    tensors = {f"values/{t.label}": t for t in expected}
    known = {name for name in found if not name.startswith("callbacks/")}
    if known != tensors.keys():
        raise ModelFileError(
            f"missing or not declared: {', '.join(sorted(known ^ tensors.keys()))}"
        )
    for name, tensor in tensors.items():
        given, shape = found[name], tuple(int(size) for size in tensor.shape)
        kind = type_of(tensor, dtype)
        if (given.shape, given.dtype) != (shape, kind):
            raise ModelFileError(
                f"{tensor.label}: expected {kind} of shape {shape}, "
                f"found {given.dtype} of shape {given.shape}"
            )


def _progress(tree: Any, arrays: Mapping[str, Array]) -> Progress:
    """How far training had come."""
    cut, found = tree["cut"], None
    if cut is not None:
        callbacks = tuple(
            (str(name), {**state, **_own_arrays(f"callbacks/{number}/", arrays)})
            for number, (name, state) in enumerate(cut.pop("callbacks"))
        )
        found = Cut(callbacks=callbacks, **cut)
        counts = (found.rows, found.batch_size, found.batch)
        if not all(type(n) is int for n in counts) or type(found.shuffle) is not bool:
            raise ModelFileError("the unfinished fit is not told by numbers")
        if min(counts[:2]) < 1 or not 0 <= found.batch <= found.per_epoch:
            raise ModelFileError("the unfinished epoch has no such batch")
        seed = found.seed
        if (type(seed) is int) != bool(found.shuffle and found.batch) or not (
            0 <= (seed or 0) < 2**64
        ):
            raise ModelFileError("the unfinished epoch has no such seed")
        if type(found.loss) is not float:
            raise ModelFileError("the unfinished epoch has no sum of losses")
    epoch, step = tree["epoch"], tree["step"]
    if type(epoch) is not int or type(step) is not int or min(epoch, step) < 0:
        raise ModelFileError("the numbers of epochs and batches are no numbers")
    return Progress(epoch, step, found)


def _own_arrays(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {n.removeprefix(prefix): a.copy() for n, a in arrays.items() if n.startswith(prefix)}


def _history(records: Any) -> History:
    for record in records:
        if not all(type(value) is float for value in record.values()):
            raise ModelFileError("the history is no list of numbers by name")
    return History(list(records))
