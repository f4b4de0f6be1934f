"""The Numba backend: a schedule as generated source, compiled."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

import numpy as np
from sympy import Expr, Idx, Symbol

from symprop.backends import Array
from symprop.backends.numba_compile import Compiled, load
from symprop.backends.numba_scalar import VECTORIZABLE
from symprop.backends.numba_source import Module, arguments, batch_tensors
from symprop.backends.numpy import Evaluator, size_values, start_array
from symprop.errors import DataError
from symprop.network import Network
from symprop.passes import lower
from symprop.passes.prune import prune
from symprop.program import Program
from symprop.schedule import schedule
from symprop.scope import BATCH
from symprop.steps import Schedule
from symprop.tensor import Tensor, extent, indices, subscript_bounds, subscripts_of

WORK = 1 << 19
"""About how many numbers the buffers of a prediction or loss hold: rows are taken in pieces."""
LEAST_ROWS = 64
UPDATED = ("parameter", "state")

Dtype = np.dtype[Any]
Sizes = Mapping[Symbol, int]


def run(program: Program, arrays: Mapping[str, Any], dtype: Any = np.float64) -> dict[str, Array]:
    """Run a program on the given arrays (by label) and return every tensor, by label.

    The compiled counterpart of the interpreter's ``run``: the same arguments, result and errors.
    """
    sizes, kind = size_values(program, arrays), np.dtype(dtype)
    values = {str(t.label): start_array(program, t, arrays, sizes, kind) for t in program.tensors}
    check_subscripts(_unsafe(program), values, sizes)
    given = frozenset(tensor.label for tensor in program.tensors if str(tensor.label) in arrays)
    plan = schedule(program, given)
    work = {**_buffers(plan.buffers, sizes, kind), **values}
    load(_source(program, plan, kind)).call("run", _bound(program, plan, work, sizes))
    return values


def source_of(program: Program, dtype: Any = np.float64) -> str:
    """The generated source of a program: the text of a Python module."""
    return _source(program, schedule(program), np.dtype(dtype))


def _source(program: Program, plan: Schedule, dtype: Dtype) -> str:
    module = Module(f"A program of {len(program.flat)} equations in {dtype.name}", dtype)
    module.entry("run", program, plan)
    return module.text


def _bound(
    program: Program, plan: Schedule, values: Mapping[str, Array], sizes: Sizes
) -> list[Any]:
    """The arguments of a compiled schedule; a 0-d array goes as one element in the same memory."""
    found: list[Any] = []
    for label in arguments(program, plan):
        value = sizes[label] if label in sizes else values[label.name]
        found.append(
            value.reshape(1) if isinstance(value, np.ndarray) and not value.ndim else value
        )
    return found


def _buffers(tensors: Iterable[Tensor], sizes: Sizes, dtype: Dtype) -> dict[str, Array]:
    return {str(tensor.label): np.empty(_shape(tensor, sizes), dtype) for tensor in tensors}


def _shape(tensor: Tensor, sizes: Sizes) -> tuple[int, ...]:
    return tuple(int(size.xreplace(dict(sizes))) for size in tensor.shape)


@dataclass(frozen=True)
class _Subscript:
    """A subscript that a program cannot check: a gathered integer, or bounds that sizes decide."""

    tensor: Tensor
    axis: Idx
    subscript: Expr
    text: str


def _unsafe(program: Program) -> tuple[_Subscript, ...]:
    found: dict[_Subscript, None] = {}
    for equation in program.flat:
        for access in (equation.target, *equation.reads):
            tensor = program.tensor(access)
            for axis, subscript in zip(
                tensor.axes if tensor else (), subscripts_of(access), strict=True
            ):
                bounds = subscript_bounds(subscript)
                known = bounds and all(bound.is_Integer for bound in bounds)
                if tensor and not isinstance(subscript, Idx) and not known:
                    found[_Subscript(tensor, axis, subscript, str(access))] = None
    return tuple(found)


def check_subscripts(
    subscripts: Iterable[_Subscript], values: Mapping[str, Array], sizes: Sizes
) -> None:
    """Refuse subscripts that leave their axis: compiled code would use foreign memory.

    Raises DataError, naming the access, the value and the range.
    """
    for found in subscripts:
        loops = indices(found.subscript)
        grid = np.ix_(*(np.arange(int(extent(i).xreplace(dict(sizes)))) for i in loops))
        evaluate = Evaluator(values, sizes, dict(zip(loops, grid, strict=True)), np.float64)
        number, size = evaluate.subscript(found.subscript), _shape(found.tensor, sizes)
        last = size[found.tensor.axes.index(found.axis)] - 1
        outside = number[(number < 0) | (number > last)]
        if outside.size:
            raise DataError(
                f"{found.text}: {found.subscript} is {outside.flat[0]}, but axis {found.axis} of "
                f"{found.tensor.label} runs from 0 to {last}"
            )


class _Work:
    """Work buffers: allocated for the most rows seen so far, lent as arrays of exactly m rows."""

    def __init__(
        self,
        tensors: Iterable[Tensor],
        size: Symbol,
        dtype: Dtype,
        integers: frozenset[Symbol] = frozenset(),
    ):
        self._tensors, self._size = tuple(tensors), size
        self._dtype, self._integers = dtype, integers
        self._rows = 0
        self._memory: dict[str, Array] = {}
        self._views: dict[int, dict[str, Array]] = {}

    @property
    def width(self) -> int:
        """How many numbers the buffers hold for each row."""
        return sum(math.prod(_shape(t, {self._size: 1})) for t in self._tensors)

    def arrays(self, rows: int) -> dict[str, Array]:
        """An array for each tensor, by label."""
        if rows > self._rows:
            self._rows, self._views = rows, {}
            self._memory = {str(t.label): self._flat(t, rows) for t in self._tensors}
        if rows not in self._views:
            self._views = {self._rows: self._views[self._rows]} if self._rows in self._views else {}
            self._views[rows] = {str(t.label): self._view(t, rows) for t in self._tensors}
        return self._views[rows]

    def _flat(self, tensor: Tensor, rows: int) -> Array:
        count = math.prod(_shape(tensor, {self._size: rows}))
        return np.empty(count, np.int64 if tensor.label in self._integers else self._dtype)

    def _view(self, tensor: Tensor, rows: int) -> Array:
        shape = _shape(tensor, {self._size: rows})
        return self._memory[str(tensor.label)][: math.prod(shape)].reshape(shape)


class _Entry:
    """One of a network's programs: its schedule, and the arrays that it works in."""

    def __init__(self, name: str, program: Program, outputs: Iterable[Tensor], dtype: Dtype):
        outputs = tuple(outputs)
        self.name, self.program, self.dtype = name, prune(lower(program, outputs)), dtype
        self.plan = schedule(self.program, keep={tensor.label for tensor in outputs})
        self.batches = batch_tensors(self.plan)
        self._unsafe = _unsafe(self.program)

    @cached_property
    def work(self) -> _Work:
        return _Work(self.plan.buffers, BATCH, self.dtype)

    @cached_property
    def batch(self) -> _Work:
        """Where the rows of a batch are put together."""
        return _Work(self.batches, BATCH, self.dtype, self.program.gathers)

    def data(self, **arrays: Array) -> dict[str, Array]:
        """The given rows by label, those used as subscripts as whole numbers and checked."""
        found = {}
        for tensor in self.batches:
            array = arrays["x" if tensor.role == "input" else "y"]
            integer = tensor.label in self.program.gathers
            found[str(tensor.label)] = array.astype(np.int64) if integer else array
        if self._unsafe:
            check_subscripts(self._unsafe, found, {BATCH: len(next(iter(arrays.values())))})
        return found

    def call(self, module: Compiled, values: Mapping[str, Array], rows: int, *leading: Any) -> Any:
        """Run on arrays of so many rows."""
        given = {**values, **self.work.arrays(rows)}
        bound = _bound(self.program, self.plan, given, {BATCH: rows})
        return module.call(self.name, [*leading, *bound])


def _one_at_a_time(method: Callable[..., Any]) -> Any:
    """A method of an executable that no two threads run at the same time."""

    @wraps(method)
    def locked(executable: NumbaExecutable, *given: Any, **named: Any) -> Any:
        with executable._lock:
            return method(executable, *given, **named)

    return locked


class NumbaExecutable:
    """A network's programs compiled, over one set of arrays, which training updates in place.

    Every program is a function of one generated module, compiled when it is first called. Threads
    may share an executable: its programs work in the same buffers, so they run one at a time.
    ``own`` are the functions taken from ``numba_math``, the others are those of ``math``.

    Raises LoweringError for a program that cannot be compiled.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Any,
        dtype: Any,
        values: MutableMapping[str, Array],
        own: Collection[str] = VECTORIZABLE,
    ):
        self._values, self._dtype = values, np.dtype(dtype)
        self._lock = threading.RLock()
        self._prediction, self._loss = network.named("yhat"), network.named("L")
        cotangents = network.raw_gradients.outputs
        self._names = {str(t.label): t.name for t in cotangents}
        step = network.step(optimizer)
        updated = [t for t in step.tensors if t.label in step.defined and t.role in UPDATED]
        self._entries = {
            name: _Entry(name, program, outputs, self._dtype)
            for name, program, outputs in (
                ("predict", network.forward, [self._prediction]),
                ("loss", network.forward, [self._loss]),
                ("gradients", network.gradients, [self._loss, *cotangents]),
                ("train", step, [self._loss, *updated]),
            )
        }
        self.source = self._generated(own)

    def _generated(self, own: Collection[str]) -> str:
        module = Module(f"A network compiled by symprop in {self._dtype.name}", self._dtype, own)
        for name, entry in self._entries.items():
            if name == "train":
                module.training(name, entry.program, entry.plan, BATCH, self._loss.label)
            else:
                module.entry(name, entry.program, entry.plan)
        return module.text

    @cached_property
    def _module(self) -> Compiled:
        return load(self.source)

    @_one_at_a_time
    def predict(self, x: Array) -> Array:
        """The prediction for every row of x."""
        pieces = [
            values[str(self._prediction.label)].copy()
            for values, _ in self._pieces("predict", len(x), x=x)
        ]
        return np.concatenate(pieces) if pieces else np.empty((0, *self._width), self._dtype)

    @property
    def _width(self) -> tuple[int, ...]:
        return _shape(self._prediction, {BATCH: 0})[1:]

    @_one_at_a_time
    def loss(self, x: Array, y: Array) -> float:
        """The mean loss over all rows: that of pieces of the rows, weighted."""
        label = str(self._loss.label)
        pieces = self._pieces("loss", len(x), x=x, y=y)
        return sum(float(values[label]) * rows for values, rows in pieces) / len(x)

    def _pieces(
        self, name: str, count: int, **arrays: Array
    ) -> Iterator[tuple[dict[str, Array], int]]:
        """Run a program on pieces of the rows, to keep its buffers small; gives both."""
        entry, module = self._entries[name], self._module
        data = entry.data(**arrays)
        step = max(LEAST_ROWS, WORK // (entry.work.width or 1))
        for first in range(0, count, step):
            rows = min(step, count - first)
            piece = {label: array[first : first + rows] for label, array in data.items()}
            entry.call(module, {**self._values, **piece}, rows)
            yield entry.work.arrays(rows), rows

    @_one_at_a_time
    def gradients(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows and its gradient by parameter name."""
        entry = self._entries["gradients"]
        entry.call(self._module, {**self._values, **entry.data(x=x, y=y)}, len(x))
        found = entry.work.arrays(len(x))
        del entry.work  # as large as the data; not to be kept
        loss = float(found[str(self._loss.label)])
        return loss, {name: found[label] for label, name in self._names.items()}

    @_one_at_a_time
    def train(
        self,
        x: Array,
        y: Array,
        order: Array,
        first: int,
        last: int,
        batch_size: int,
        total: float = 0.0,
    ) -> float:
        """Train on the batches first … last − 1; ``total`` plus batch loss times batch rows.

        Whole batches run in one compiled loop, a shorter last one in another call with arrays of
        its size.
        """
        entry = self._entries["train"]
        data = entry.data(x=x, y=y)
        order = np.ascontiguousarray(order, dtype=np.int64)
        whole = len(order) // batch_size
        if first < min(whole, last):
            leading = [total, first, min(whole, last), batch_size, order]
            total = self._batches(entry, data, leading, batch_size)
        if last > whole:
            leading = [total, max(first, whole), last, batch_size, order]
            total = self._batches(entry, data, leading, len(order) - whole * batch_size)
        return total

    def _batches(
        self, entry: _Entry, data: dict[str, Array], leading: list[Any], rows: int
    ) -> float:
        """Run a range of batches of so many rows each; ``leading`` says which."""
        drawn = [data[str(tensor.label)] for tensor in entry.batches]
        values = {**self._values, **entry.batch.arrays(rows)}
        return float(entry.call(self._module, values, rows, *leading, *drawn))
