"""What a caller hands in, checked and converted before any code runs on it.

Every check raises before anything is changed, and names the argument, what was expected and what
was found.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symprop.activations import known_name
from symprop.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from symprop.losses import Labels
from symprop.network import Network
from symprop.tensor import Tensor

Array = np.ndarray[Any, Any]
DTYPES = ("float32", "float64")
SUM_TOLERANCE = 1e-5
"""How far a target row's sum may be from 1: more than rounding in float32, less than a mistake."""

LONGEST = 40
"""The characters of an entry that a message shows."""
CLASS_NUMBERS = "; number class labels by classes, y = np.unique(y, return_inverse=True)"


def data_type(given: Any) -> np.dtype[Any]:
    """float32 or float64, given as a name or as a NumPy type."""
    if isinstance(given, str):
        return np.dtype(known_name("dtype", given, DTYPES))
    try:
        name = "None" if given is None else np.dtype(given).name
    except TypeError:
        name = ""
    if name not in DTYPES:
        raise ArgumentTypeError(f"dtype: expected 'float32' or 'float64', got {given!r}")
    return np.dtype(name)


def seed_number(given: Any) -> int:
    """A whole number of at least 0."""
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentTypeError(
            f"seed: expected a whole number, got {type(given).__name__} {given!r}"
        )
    if given.__index__() < 0:
        raise ArgumentError(f"seed: expected at least 0, got {given}")
    return int(given.__index__())


def number_array(name: str, given: Any, for_text: str = "") -> Array:
    """An array of real numbers; finite or not. ``for_text`` is the hint where it holds words."""
    if np.ma.is_masked(given):
        raise DataError(f"{name}: has masked values; fill them or drop their rows")
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ShapeError(f"{name}: its rows have different lengths ({error})") from error
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(
            f"{name}: expected an array of numbers, got {type(given).__name__} "
            f"of dtype {array.dtype}{_why_no_numbers(array, for_text)}"
        )
    return array


def _why_no_numbers(array: Array, for_text: str) -> str:
    """The first entry that is no number, and a hint."""
    for where, entry in np.ndenumerate(array.astype(object)) if array.ndim else ():
        try:
            float(entry)
        except (TypeError, ValueError):
            shown = f", with {type(entry).__name__} {_shortened(repr(entry))} at {_place(where)}"
            return shown + (for_text if isinstance(entry, (str, bytes)) else "")
    return "; convert it, as by .astype(float)" if array.ndim and array.size else ""


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _place(where: tuple[Any, ...]) -> str:
    words = ("row", "column")
    if not 1 <= len(where) <= len(words):
        return f"index {tuple(map(int, where))}"
    return ", ".join(f"{word} {i}" for word, i in zip(words, where, strict=False))


def _first(bad: Array) -> tuple[Any, ...] | None:
    """The place of the first true entry."""
    return np.unravel_index(int(bad.argmax()), bad.shape) if bad.any() else None


def finite(array: Array) -> bool:
    """Whether every number is finite; a finite sum shows it in one pass without memory, that of the
    squares in the shortest time.
    """
    with np.errstate(all="ignore"):
        flat = array.ravel("K") if array.flags.forc else None
        total = array.sum() if flat is None else flat @ flat
        return bool(np.isfinite(total) or np.isfinite(array).all())


def check_finite(name: str, array: Array) -> None:
    """Refuse NaN and infinity."""
    where = _first(~np.isfinite(array)) if array.dtype.kind == "f" and not finite(array) else None
    if where is not None:
        raise DataError(
            f"{name}: expected finite numbers, found {array[where]} at {_place(where)}; "
            "fill such values or drop their rows"
        )


def convert(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The same finite numbers in another type, C-contiguous; copied only where they are not."""
    if array.dtype == dtype and array.flags.carray:
        return array
    with np.errstate(over="ignore"):
        result: Array = np.require(array, dtype, ["C", "A", "W"])
    where = _first(~np.isfinite(result)) if array.dtype != dtype else None
    if where is not None:
        raise DataError(
            f"{name}: {array[where]} at {_place(where)} does not fit {dtype}, "
            f"whose largest number is {np.finfo(dtype).max:.4g}; scale the data or use "
            "dtype='float64'"
        )
    return result


def input_array(
    network: Network, given: Any, dtype: np.dtype[Any], name: str = "x", least: int = 1
) -> Array:
    """The inputs as an array (N, inputs) of the model's type, with at least so many rows.

    Raises ArgumentTypeError, ShapeError or DataError.
    """
    array = number_array(name, given)
    expected = network.named("x").sample_shape
    if array.shape[1:] != expected or array.ndim == 0:
        raise ShapeError(
            f"{name}: expected shape {_batch_shape(expected)}, got {array.shape}"
            f"{_one_axis_hint(name, array.shape, expected)}"
        )
    if len(array) < least:
        raise DataError(f"{name}: expected at least one row, got shape {array.shape}")
    check_finite(name, array)
    return convert(name, array, dtype)


def _batch_shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, ('N', *shape)))})"


def _one_axis_hint(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(shape) != 1:
        return ""
    if expected == (1,):
        return f"; write {name}.reshape(-1, 1) for {shape[0]} samples of one number"
    return f"; write {name}[None] for one sample" if shape == expected else ""


def target_array(
    network: Network, given: Any, rows: int, dtype: np.dtype[Any], name: str = "y"
) -> Array:
    """The targets as an array (N, outputs) of the model's type, class numbers as one-hot rows.

    What the values may be is declared by the loss (``Loss.labels``).

    Raises ArgumentTypeError, ShapeError or DataError.
    """
    outputs = network.named("y").sample_shape
    kind = network.loss.labels
    labelled = kind in ("classes", "probability", "sign")
    array = number_array(name, given, CLASS_NUMBERS if labelled else "")
    if array.ndim and len(array) != rows:
        beside = name.replace("y", "x")
        raise ShapeError(
            f"{beside} and {name}: expected the same number of rows, got {rows} and {len(array)}"
        )
    if kind == "classes" and array.shape == (rows,):
        return _one_hot(name, array, outputs[-1], dtype)
    if array.shape == (rows,) and outputs == (1,):
        array = array.reshape(rows, 1)
    if array.shape != (rows, *outputs):
        raise ShapeError(_target_shape_message(name, array, (rows, *outputs), kind))
    check_finite(name, array)
    _check_values(name, array, kind)
    return convert(name, array, dtype)


def _target_shape_message(name: str, array: Array, expected: tuple[int, ...], kind: Labels) -> str:
    found = array.shape
    if kind != "classes":
        also = f" or {expected[:1]}" if expected[1:] == (1,) else ""
        hint = _labels_hint(name, array, expected) if found == expected[:1] else ""
        return f"{name}: expected shape {expected}{also}, got {found}{hint}"
    hint = f"; write {name}.ravel()" if found == (expected[0], 1) else ""
    return (
        f"{name}: expected class numbers of shape ({expected[0]},) or one-hot rows of shape "
        f"{expected}, got {found}{hint}"
    )


def _labels_hint(name: str, array: Array, expected: tuple[int, ...]) -> str:
    """For class numbers with a loss that does not take them."""
    classes = expected[-1]
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= classes:
        return ""
    return f"; for class numbers write np.eye({classes})[{name}], or use loss='cross_entropy'"


def _one_hot(name: str, array: Array, classes: int, dtype: np.dtype[Any]) -> Array:
    """Rows with a 1 in the column of the class."""
    check_finite(name, array)
    row = _first(array != np.floor(array)) if array.dtype.kind == "f" else None
    if row is not None:
        raise DataError(f"{name}: expected whole class numbers, found {array[row]} in row {row[0]}")
    row = _first((array < 0) | (array >= classes)) if array.dtype.kind != "b" else None
    if row is not None:
        hint = "; for two classes use 2 outputs, or sigmoid with binary_cross_entropy"
        raise DataError(
            f"{name}: class {array[row]} in row {row[0]} is outside 0 … {classes - 1}, "
            f"the classes of {classes} outputs{hint if classes == 1 else ''}"
        )
    result = np.zeros((len(array), classes), dtype)
    result[np.arange(len(array)), array.astype(np.int64)] = 1
    return result


def _check_values(name: str, array: Array, kind: Labels) -> None:
    """Refuse values that break what the loss declares about its targets."""
    if kind == "classes":
        _check_one_hot(name, array)
        return
    allowed: dict[str, tuple[str, Callable[[Array], Array], str]] = {
        "probability": ("from 0 to 1", lambda y: (y < 0) | (y > 1), ""),
        "sign": ("of −1 or 1", lambda y: (y != -1) & (y != 1), f"; write 2*{name} - 1 for 0 and 1"),
        "count": ("of 0 or more", lambda y: y < 0, ""),
    }
    if kind in allowed:
        words, breaks, hint = allowed[kind]
        where = _first(breaks(array))
        if where is not None:
            raise DataError(
                f"{name}: expected values {words}, found {array[where]} at {_place(where)}{hint}"
            )


def _check_one_hot(name: str, array: Array) -> None:
    """Each row must be a distribution: Σ_k y[b, k] = 1 is a fact that the derivation uses."""
    where = _first(array < 0)
    if where is not None:
        raise DataError(
            f"{name}: expected one-hot rows, found {array[where]} at {_place(where)}; "
            "no entry may be negative"
        )
    sums = array.sum(axis=-1, dtype=np.float64)
    row = _first(abs(sums - 1) > SUM_TOLERANCE)
    if row is not None:
        raise DataError(
            f"{name}: expected one-hot rows, each with the sum 1, "
            f"found the sum {sums[row]:.6g} in row {row[0]}"
        )


@dataclass(frozen=True)
class TrainingData:
    """Arrays to train with: on ``rows`` of x and y, validated on the (x, y) of ``held_out``.

    ``weights`` holds a number for each of x's rows, or None where all count alike.
    """

    x: Array
    y: Array
    rows: Array
    held_out: tuple[Array, Array] | None
    weights: Array | None = None


def training_data(
    network: Network, x: Any, y: Any, validation: Any, seed: int, dtype: np.dtype[Any]
) -> TrainingData:
    """Check and convert what ``fit`` was given.

    ``validation`` is None, a pair (x, y), or the fraction of the rows to hold out. Those are drawn
    with the model's seed and not from its running generator, and not taken from the end: data
    sorted by class splits well, and a second ``fit`` on the same data holds out the same rows.
    """
    inputs = input_array(network, x, dtype)
    targets = target_array(network, y, len(inputs), dtype)
    rows = np.arange(len(inputs))
    if validation is None:
        return TrainingData(inputs, targets, rows, None)
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        held_x = input_array(network, validation[0], dtype, "validation x")
        held_y = target_array(network, validation[1], len(held_x), dtype, "validation y")
        return TrainingData(inputs, targets, rows, (held_x, held_y))
    count = _held_out_count(validation, len(inputs))
    shuffled = np.random.default_rng(seed).permutation(rows)
    held, kept = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    return TrainingData(inputs, targets, kept, (inputs[held], targets[held]))


def _held_out_count(fraction: Any, rows: int) -> int:
    if isinstance(fraction, bool) or not isinstance(fraction, numbers.Real):
        raise ArgumentTypeError(
            "validation: expected None, a pair (x, y) or a fraction between 0 and 1, "
            f"got {type(fraction).__name__}"
        )
    if not 0 < float(fraction) < 1:
        raise ArgumentError(f"validation: expected a fraction between 0 and 1, got {fraction}")
    count = round(float(fraction) * rows)
    if not 0 < count < rows:
        raise ArgumentError(
            f"validation: the fraction {fraction} of {rows} rows is {count} rows; "
            "expected at least one row to validate on and one to train on"
        )
    return count


def parameter_arrays(
    parameters: tuple[Tensor, ...], given: Any, dtype: np.dtype[Any]
) -> dict[str, Array]:
    """The given parameters by name, checked against the declared ones; some may be left out."""
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"parameters: expected a dict of arrays by name, got {type(given).__name__}"
        )
    known = {tensor.name: tensor for tensor in parameters}
    return {
        name: _parameter(known[known_name("parameter", str(name), known)], array, dtype)
        for name, array in given.items()
    }


def _parameter(tensor: Tensor, given: Any, dtype: np.dtype[Any]) -> Array:
    array = number_array(tensor.name, given)
    shape = tuple(int(size) for size in tensor.shape)
    if array.shape != shape:
        turned = "; symprop keeps a weight as (outputs, inputs), write its transpose .T"
        hint = turned if len(shape) == 2 and array.shape == shape[::-1] else ""
        raise ShapeError(f"{tensor.name}: expected shape {shape}, got {array.shape}{hint}")
    check_finite(tensor.name, array)
    return convert(tensor.name, array, dtype)


def random_targets(labels: Labels, shape: Sequence[int], generator: np.random.Generator) -> Array:
    """Targets such as a loss declares its own to be."""
    if labels == "classes":
        return np.eye(shape[-1])[generator.integers(shape[-1], size=shape[:-1])]
    if labels in ("probability", "sign"):
        low = 0.0 if labels == "probability" else -1.0
        return np.where(generator.random(shape) < 0.5, low, 1.0)
    counts = labels == "count"
    return generator.poisson(2.0, shape) * 1.0 if counts else generator.normal(size=shape)
