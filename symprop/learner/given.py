"""A person's formula, a NumPy function or a SymPy expression, evaluated at a point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from sympy import Equality, Expr, Idx, Indexed, IndexedBase, KroneckerDelta, Sum, Symbol

from symprop.activations import known_name, scalar_function
from symprop.backends.numpy import Array, Evaluator
from symprop.derive import delta_name
from symprop.errors import ArgumentError, ArgumentTypeError
from symprop.learner.terms import Point
from symprop.network import Network
from symprop.scope import BATCH
from symprop.tensor import Tensor

LETTERS = "bijkl"
"""The indices that ``Network.symbols`` has in any case."""


class Fault(Exception):  # noqa: N818 (an outcome, not an error of symprop)
    """Why a formula gives no array of the right kind, in words that follow "because"."""


class Misfit(Fault):
    """Sizes that do not fit: in plain words, and what the library said."""

    def __init__(self, plain: str, raised: str = ""):
        super().__init__(f"{plain} ({raised})" if raised else plain)
        self.plain = plain


def gradients_by_name(network: Network) -> dict[str, Tensor]:
    """What a person may give a formula for: delta1 or dz1, W1 or dW1, da1, dyhat."""
    forward, known = network.forward, network.raw_gradients.by_label
    found: dict[str, Tensor] = {}
    for tensor in forward.tensors:
        if tensor.cotangent(1).label in known and tensor.axes:
            if tensor in forward.preactivations:
                found[delta_name(tensor)] = tensor
            if tensor.role == "parameter":
                found[tensor.name] = tensor
            found[f"d{tensor.name}"] = tensor
    return found


def stored_by_name(network: Network) -> dict[str, Tensor]:
    """What a formula may read, and the tensor that holds it."""
    stored = {tensor.name: tensor for tensor in network.forward.tensors}
    return {
        name: tensor.cotangent(1) for name, tensor in gradients_by_name(network).items()
    } | stored


def symbols(network: Network) -> SimpleNamespace:
    """The symbols for formulas in SymPy: tensors, deltas and gradients, m, and indices.

    How many values an index takes is said by the tensors that it is a subscript of.
    """
    axes = (str(axis.label) for tensor in network.forward.tensors for axis in tensor.axes)
    found: dict[str, Any] = {
        name: Idx(name, Symbol(f"n_{name}", integer=True)) for name in sorted({*LETTERS, *axes})
    }
    axed = {t.name for t in network.forward.tensors if t.axes} | set(gradients_by_name(network))
    for name in stored_by_name(network):
        found[name] = IndexedBase(name) if name in axed else Symbol(name)
    return SimpleNamespace(**found, **{str(BATCH): BATCH})


@dataclass(frozen=True)
class Asked:
    """A formula that a person gave for a gradient."""

    key: str
    tensor: Tensor
    formula: Any
    stored: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if not self.is_written and not callable(self.formula):
            raise ArgumentTypeError(
                f"{self.key}: expected a function of stored values, such as lambda delta2, a1: "
                "delta2.T @ a1, or a SymPy expression in net.symbols, got "
                f"{type(self.formula).__name__} {self.formula!r}"
            )

    @property
    def is_written(self) -> bool:
        """Whether it is a SymPy expression or equation, no function."""
        return isinstance(self.formula, Expr | Equality)

    @property
    def reads(self) -> dict[str, Tensor]:
        """The tensors with axes that the formula names."""
        if self.is_written:
            names = {str(access.base.label) for access in self.formula.atoms(Indexed)}
        else:
            names = set(inspect.signature(self.formula).parameters)
        return {name: t for name, t in self.stored.items() if name in names and t.axes}

    def refuse_itself(self) -> None:
        """Raise where the formula reads what it is a formula for."""
        if isinstance(self.formula, Equality):
            names = {str(access.base.label) for access in self.formula.rhs.atoms(Indexed)}
        elif self.is_written:
            names = set(self.reads)
        else:
            names = set(getattr(getattr(self.formula, "__code__", None), "co_varnames", ()))
        own = self.tensor.cotangent(1).label
        itself = sorted(n for n in names if n in self.stored and self.stored[n].label == own)
        if itself:
            raise ArgumentError(f"{self.key}: the formula reads {itself[0]}, which it is to give")

    def at(self, point: Point) -> Array:
        """The array that the formula gives.

        Raises Fault where it gives none; UnknownNameError for what is not stored.
        """
        values: dict[str, Any] = {n: point.values[str(t.label)] for n, t in self.stored.items()}
        values |= {str(size): number for size, number in point.sizes.items()}
        if self.is_written:
            return _Written(self, point, values).value()
        return _called(self.key, self.formula, values)


def _called(key: str, function: Callable[..., Any], values: Mapping[str, Any]) -> Array:
    """What a function returns for the values that its parameters name."""
    given, named = _arguments(key, function, values)
    try:
        with np.errstate(all="ignore"):
            result = function(*given.values(), **named)
    except Exception as error:
        raised, shapes = f"{type(error).__name__}: {error}", _shapes(function, values)
        if isinstance(error, ValueError):
            samples = f" with these shapes, for {len(values['x'])} samples: {shapes}"
            raise Misfit(f"it cannot be computed{samples * bool(shapes)}", raised) from error
        known = f" (the shapes are: {shapes})" * bool(shapes)
        raise Fault(f"it raises {raised}{known}") from error
    return _numbers(result)


def _shapes(function: Callable[..., Any], values: Mapping[str, Any]) -> str:
    """Of the arrays that the parameters name."""
    names = (name for name in inspect.signature(function).parameters if name in values)
    return ", ".join(f"{n} {np.shape(values[n])}" for n in names if np.ndim(values[n]))


def _numbers(result: Any) -> Array:
    if result is None:
        raise Fault("it returns None: is `return` missing?")
    try:
        array = np.asarray(result)
    except ValueError as error:
        raise Fault(f"it returns rows of different lengths ({error})") from error
    if array.dtype.kind not in "biuf":
        raise Fault(f"it returns {type(result).__name__}, not an array of real numbers")
    return array


def _arguments(
    key: str, function: Callable[..., Any], values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Copies of the values by position and by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{key}: cannot read the argument names of {function!r}; wrap it in a lambda"
        ) from error
    given: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            named.update({n: v for n, v in values.items() if n not in given and n not in named})
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            if parameter.default is not parameter.empty and parameter.name not in values:
                continue
            name = known_name(f"{key}: argument", parameter.name, values)
            (named if parameter.kind is parameter.KEYWORD_ONLY else given)[name] = values[name]
    return _copies(given), _copies(named)


def _copies(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: np.copy(v, subok=True) if np.ndim(v) else v for n, v in values.items()}


class _Written:
    """A SymPy formula on the grid of all its indices, one axis each, those of the target first."""

    def __init__(self, asked: Asked, point: Point, values: Mapping[str, Any]):
        self.key, self.point, self.known = asked.key, point, values
        self.axes, self.expression = _sides(asked)
        self.tensor, self.stored = asked.tensor, asked.stored
        self.extents: dict[str, int] = {}
        self.met: dict[str, str] = {}

    def value(self) -> Array:
        self._check_subscripts()
        shape = tuple(map(self.point.extent, self.tensor.axes))
        for name, size in zip(self.axes, shape, strict=True):
            self._meet(name, size, f"{self.key} itself")
        for access in sorted(self.expression.atoms(Indexed), key=str):
            for subscript, size in zip(access.indices, self._shape(access), strict=True):
                self._meet(str(subscript), size, str(access))
        self._check_bound()
        grid = np.ix_(*(np.arange(n) for n in self.extents.values()))
        self.points = dict(zip(self.extents, grid, strict=True))
        with np.errstate(all="ignore"):
            result = np.broadcast_to(self._at(self.expression), (*shape, *self._ones()))
        return result.reshape(shape)

    def _ones(self) -> list[int]:
        return [1] * (len(self.extents) - len(self.axes))

    def _shape(self, access: Expr) -> tuple[int, ...]:
        array = np.asarray(self._stored(access))
        if array.ndim != len(access.indices):
            raise Fault(
                f"{access} has {len(access.indices)} indices, expected {array.ndim}; write "
                f"{self._with_subscripts(str(access.base.label))}"
            )
        return array.shape

    def _with_subscripts(self, *names: str) -> str:
        """y[b, j] and yhat[b, j], and where the indices are found."""
        axes = {name: [str(axis.label) for axis in self.stored[name].axes] for name in names}
        shown = " and ".join(f"{name}[{', '.join(found)}]" for name, found in axes.items())
        letters = dict.fromkeys(letter for found in axes.values() for letter in found)
        return f"{shown}, with {', '.join(f's.{x}' for x in letters)} of s = net.symbols"

    def _check_subscripts(self) -> None:
        """No tensor stands alone."""
        labels = sorted({str(base.label) for base in _bare(self.expression)})
        names = [known_name(f"{self.key}: symbol", label, self.stored) for label in labels]
        if names:
            raise Fault(
                f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} no subscripts; "
                f"write {self._with_subscripts(*names)}"
            )

    def _stored(self, access: Expr) -> Any:
        return self.known[known_name(f"{self.key}: symbol", str(access.base.label), self.known)]

    def _meet(self, name: str, size: int, where: str) -> None:
        first = self.met.setdefault(name, where)
        if name.isidentifier() and self.extents.setdefault(name, size) != size:
            raise Misfit(
                f"the index {name} takes {self._said(size)} values in {where}, but "
                f"{self._said(self.extents[name])} in {first}"
            )

    def _said(self, size: int) -> str:
        """m for the number of samples, which no other axis has."""
        return {n: str(symbol) for symbol, n in self.point.sizes.items()}.get(size, str(size))

    def _check_bound(self) -> None:
        """Every index is the target's or summed."""
        free = {str(s) for s in self.expression.free_symbols} & set(self.extents)
        loose = sorted(free - set(self.axes))
        if loose:
            raise Fault(
                f"the index {loose[0]} is not summed, and is none of {', '.join(self.axes)}; "
                f"write sympy.Sum(…, {loose[0]}), or sympy.Eq(…, …) with the indices on the left"
            )

    def _at(self, node: Expr, more: Mapping[str, Any] | None = None) -> Any:
        """A function of leaves; these first, each as a symbol."""
        leaves = {leaf: Symbol(f"leaf{n}", real=True) for n, leaf in enumerate(_leaves(node))}
        values = {str(u): np.asarray(self._leaf(leaf, more or {})) for leaf, u in leaves.items()}
        return Evaluator(values, {}, {}, float)(scalar_function(node, leaves, self.key))

    def _leaf(self, leaf: Expr, more: Mapping[str, Any]) -> Any:
        if isinstance(leaf, Indexed):
            places = tuple(np.asarray(self._at(s)).astype(int) for s in leaf.indices)
            try:
                return self._stored(leaf)[places]
            except IndexError as error:
                raise Fault(f"{leaf} is outside of its tensor ({error})") from error
        if isinstance(leaf, KroneckerDelta):
            return np.equal(*map(self._at, leaf.args)) * 1.0
        if isinstance(leaf, Sum):
            total = self._at(leaf.function)
            for limit in leaf.limits:
                total = self._summed(total, *limit)
            return total
        known = {**self.known, **self.points, **more}
        return known[known_name(f"{self.key}: symbol", str(leaf), known)]

    def _summed(self, value: Any, index: Expr, *limits: Expr) -> Any:
        name = str(index)
        if name not in self.points:
            raise Fault(f"the sum over {name} has no tensor with {name} as a subscript")
        ends = {f"n_{name}": np.array(self.extents[name])}
        found = tuple(float(self._at(limit, ends)) for limit in limits)
        if found and found != (0, self.extents[name] - 1):
            size, letter = self.extents[name], name if name in LETTERS else LETTERS[0]
            last = size - 1 if self._said(size) == str(size) else f"{self._said(size)} − 1"
            raise Fault(
                f"the sum over {name} runs from {limits[0]} to {limits[-1]}; its indices count "
                f"from 0 to {last} (leave the limits out: Sum(…, s.{letter}))"
            )
        points = self.points[name]
        full = np.broadcast_to(value, np.broadcast_shapes(np.shape(value), points.shape))
        return full.sum(axis=list(self.points).index(name), keepdims=True)


def _leaves(node: Expr) -> Iterator[Expr]:
    """The elements, sums and symbols that stand outside of any other."""
    if isinstance(node, (Indexed, Sum, KroneckerDelta, Idx, Symbol)):
        yield node
    else:
        for argument in sorted(node.args, key=str):
            yield from _leaves(argument)


def _bare(node: Expr) -> Iterator[Expr]:
    """The tensors without subscripts."""
    if isinstance(node, IndexedBase):
        yield node
    for argument in node.args[1:] if isinstance(node, Indexed) else node.args:
        yield from _bare(argument)


def _sides(asked: Asked) -> tuple[tuple[str, ...], Expr]:
    """The indices of the target by name, and the right side."""
    formula = asked.formula
    if not isinstance(formula, Equality):
        return tuple(str(axis.label) for axis in asked.tensor.axes), formula
    left, right = formula.args
    label = str(left.base.label) if isinstance(left, Indexed) else str(left)
    axes = tuple(map(str, left.indices)) if isinstance(left, Indexed) else ()
    if asked.stored.get(label) != asked.tensor.cotangent(1):
        raise ArgumentError(
            f"{asked.key}: expected an equation for {asked.key}, such as sympy.Eq("
            f"{_example(asked)}, …), got one for {left}"
        )
    if len(set(axes)) != len(asked.tensor.axes):
        raise ArgumentError(f"{asked.key}: expected {_example(asked)} on the left, got {left}")
    return axes, right


def _example(asked: Asked) -> str:
    """delta1[b, j], and dW1[j, k] for the key W1, which is the parameter in formulas."""
    name = f"d{asked.key}" if asked.tensor.name == asked.key else asked.key
    return f"{name}[{', '.join(str(axis.label) for axis in asked.tensor.axes)}]"
