"""A model in one file: its declaration as a tree of known classes, and its arrays.

The file is a zip of NumPy arrays (``numpy.load`` reads it); the member ``declaration`` holds JSON.
Nothing in a file is ever executed or unpickled: a class or a SymPy function that is not in the
tables below is refused.
"""

from __future__ import annotations

import errno
import json
import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import sympy
from sympy import Expr, Integer, NumberSymbol, Rational, Symbol

from symprop.activations import ARGUMENT, LOWERED, Elementwise, Softmax
from symprop.backends import Array
from symprop.errors import ArgumentTypeError, ModelFileError
from symprop.layers import Dense
from symprop.losses import Loss, outputs, prediction, target
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

if TYPE_CHECKING:
    from symprop.model import Model

FORMAT = "symprop model 1"
CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(Network, Dense, Elementwise, Softmax, Loss),
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


BUILDERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "class": lambda tree: CLASSES[tree["class"]](
        **{name: decode(value) for name, value in tree["fields"].items()}
    ),
    "rational": lambda tree: Rational(*(Integer(int(part)) for part in tree["rational"])),
    "constant": lambda tree: CONSTANTS[tree["constant"]],
    "symbol": lambda tree: SYMBOLS[tree["symbol"]],
    "function": lambda tree: FUNCTIONS[tree["function"]](*map(decode, tree["arguments"])),
}


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, which is replaced only when all is written.

    Raises ArgumentTypeError for a layer, loss or optimizer of a class that is not symprop's;
    OSError as usual.
    """
    declaration = {
        "format": FORMAT,
        "network": encode(model.network),
        "optimizer": encode(model.optimizer),
        "dtype": model.dtype.name,
        "seed": model.seed,
        "backend": model.backend,
        "generator": model.generator.bit_generator.state,
    }
    text = np.frombuffer(json.dumps(declaration).encode(), np.uint8)
    arrays = {f"values/{label}": array for label, array in model.values.items()}
    _write(Path(path), {"declaration": text, **arrays})


def _write(path: Path, arrays: dict[str, Array]) -> None:
    """Write beside the file first: an interrupted save leaves the old file."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist", str(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Model:
    """The model that ``model.save(path)`` wrote: it predicts the same and goes on training the
    same, bit for bit.

    Raises ModelFileError for a file that is no saved model or is damaged; OSError where there is
    none.
    """
    with Path(path).open("rb") as file:
        try:
            return _restored(_arrays(file))
        except (
            Exception
        ) as error:  # a damaged file makes zipfile, NumPy and json raise nearly anything
            raise ModelFileError(f"{path}: is not a model that symprop saved: {error}") from error


def _arrays(file: BinaryIO) -> dict[str, Array]:
    """The arrays of an archive, none of them pickled objects."""
    if file.read(2) != b"PK":
        raise ModelFileError("no zip of arrays")
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        return {name: _member(archive, name) for name in archive.files}


def _member(archive: Any, name: str) -> Array:
    try:
        member: Array = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):  # NumPy's advice is not to be followed
            raise ModelFileError(f"{name} holds Python objects, not numbers") from None
        raise
    return member


def _restored(arrays: dict[str, Array]) -> Model:
    from symprop.model import Model

    tree = json.loads(arrays.pop("declaration").tobytes())
    if tree["format"] != FORMAT:
        raise ModelFileError(f"expected the format {FORMAT!r}, found {tree['format']!r}")
    network = decode(tree["network"])
    if not isinstance(network, Network):
        raise ModelFileError(f"expected a Network, found {type(network).__name__}")
    model = Model(network, decode(tree["optimizer"]), tree["dtype"], tree["seed"], tree["backend"])
    _check_arrays(arrays, model.values)
    for label, array in model.values.items():
        array[...] = arrays[f"values/{label}"]
    model.generator.bit_generator.state = tree["generator"]
    return model


def _check_arrays(found: dict[str, Array], expected: dict[str, Array]) -> None:
    """Each array that the declaration asks for, no other, of its shape and type."""
    names = {f"values/{label}" for label in expected}
    if found.keys() != names:
        raise ModelFileError(f"missing or not declared: {', '.join(sorted(found.keys() ^ names))}")
    for label, array in expected.items():
        given = found[f"values/{label}"]
        if (given.shape, given.dtype) != (array.shape, array.dtype):
            raise ModelFileError(
                f"{label}: expected {array.dtype} of shape {array.shape}, "
                f"found {given.dtype} of shape {given.shape}"
            )
