"""The Numba backend: a schedule as generated source, compiled."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any

import numpy as np
from sympy import Expr, Idx, Symbol

from symprop.backends import Array, Batches, memory
from symprop.backends.memory import Life
from symprop.backends.numba_compile import Compiled, load
from symprop.backends.numba_scalar import VECTORIZABLE
from symprop.backends.numba_source import Module, arguments, batch_tensors, block_rows
from symprop.backends.numba_vector import LANES
from symprop.backends.numpy import Evaluator, size_values, start_array
from symprop.errors import DataError
from symprop.lowering import EVERYTHING, Lowering
from symprop.network import Network
from symprop.passes import lower
from symprop.passes.orient import orient
from symprop.passes.prune import prune
from symprop.program import Program
from symprop.schedule import Target, schedule
from symprop.scope import BATCH
from symprop.steps import Schedule
from symprop.tensor import Tensor, extent, indices, subscript_bounds, subscripts_of

WORK, LEAST_ROWS = 1 << 19, 64
"""About how many numbers the buffers of a prediction or loss hold: rows are taken in pieces."""
UPDATED = ("parameter", "state")

Dtype = np.dtype[Any]
Sizes = Mapping[Symbol, int]


def run(
    program: Program,
    arrays: Mapping[str, Any],
    dtype: Any = np.float64,
    lowering: Lowering = EVERYTHING,
    size: Symbol | None = None,
) -> dict[str, Array]:
    """Run a program on the given arrays (by label) and return every tensor, by label.

    The compiled counterpart of the interpreter's ``run``: the same arguments, result and errors.
    With ``size``, the number of rows, rows are taken in blocks.
    """
    sizes, kind = size_values(program, arrays), np.dtype(dtype)
    target = _target(lowering, kind, size)
    values = {str(t.label): start_array(program, t, arrays, sizes, kind) for t in program.tensors}
    check_subscripts(_unsafe(program), values, sizes)
    given = frozenset(tensor.label for tensor in program.tensors if str(tensor.label) in arrays)
    program = _oriented(program, target)
    plan = schedule(program, given, target=target)
    buffers = _buffers((*plan.buffers, *plan.local), sizes, kind)
    work = {**buffers, **values}
    text = _source(program, plan, kind, target)
    load(text).call("run", _bound(program, plan, work, sizes))
    return values


def source_of(program: Program, dtype: Any = np.float64) -> str:
    """The generated source of a program: the text of a Python module."""
    kind = np.dtype(dtype)
    program = _oriented(program, target := _target(Lowering(), kind))
    return _source(program, schedule(program, target=target), kind, target)


def _own(lowering: Lowering) -> Collection[str]:
    return VECTORIZABLE if lowering.vector_functions else ()


def _target(lowering: Lowering, dtype: Dtype, size: Symbol | None = None) -> Target:
    return Target(lowering, LANES[dtype.name], size)


def _oriented(program: Program, target: Target) -> Program:
    lanes = target.product_lanes
    return orient(program, lanes) if lanes and target.lowering.orientation else program


def _source(program: Program, plan: Schedule, dtype: Dtype, target: Target) -> str:
    title = f"A program of {len(program.flat)} equations in {dtype.name}"
    module = Module(title, dtype, _own(target.lowering), target.loop_lanes)
    module.entry("run", program, plan)
    return module.text


def _bound(
    program: Program, plan: Schedule, values: Mapping[str, Array], sizes: Sizes
) -> list[Any]:
    """The arguments of a compiled schedule; a 0-d array goes as one element in the same memory."""
    found: list[Any] = []
    for label in arguments(program, plan):
        if label == BATCH and label not in sizes:  # a training counts the rows of each batch itself
            continue
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
    """Work buffers: allocated for the most rows seen so far, and used for that many or fewer."""

    def __init__(
        self,
        plan: Schedule,
        dtype: Dtype,
        integers: frozenset[Symbol],
        lives: Mapping[Symbol, Life],
    ):
        self._plan, self._dtype, self._integers, self._lives = plan, dtype, integers, lives
        self._rows, self._arrays = 0, dict[str, Array]()

    @property
    def width(self) -> int:
        """How many numbers the buffers for the whole batch hold for each row."""
        return sum(math.prod(_shape(t, {BATCH: 1})) for t in self._plan.buffers)

    def arrays(self, rows: int) -> dict[str, Array]:
        """An array for each tensor, by label, with room for at least so many rows."""
        if rows > self._rows:
            self._rows = rows
            block = min(rows, block_rows(self._plan, self._dtype))
            shapes = {
                tensor: _shape(tensor, {BATCH: count})
                for tensors, count in ((self._plan.buffers, rows), (self._plan.local, block))
                for tensor in tensors
            }
            types = {t: np.int64 if t.label in self._integers else self._dtype for t in shapes}
            self._arrays = memory.arrays(shapes, types, self._lives)
        return self._arrays


class _Entry:
    """One of a network's programs: its schedule, and the arrays that it works in."""

    def __init__(
        self,
        name: str,
        program: Program,
        outputs: Iterable[Tensor],
        dtype: Dtype,
        lowering: Lowering,
        gathers: bool = False,
    ):
        outputs = tuple(outputs)
        target = _target(lowering, dtype, BATCH)
        lowered = _oriented(prune(lower(program, outputs)), target)
        data = frozenset(t.label for t in lowered.tensors if t.role in ("input", "target"))
        if gathers:
            target = replace(target, gathered=data)
        self.name, self.program, self.dtype = name, lowered, dtype
        self.plan = schedule(lowered, keep={tensor.label for tensor in outputs}, target=target)
        self.batches = batch_tensors(self.program, self.plan)
        kept = {tensor.label for tensor in outputs}
        lives = memory.lives(self.plan, kept) if lowering.shared_memory else {}
        self.work = _Work(self.plan, dtype, lowered.gathers, lives)
        self._unsafe = _unsafe(self.program)

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

    def call(self, module: Compiled, values: Mapping[str, Array], rows: int, *leading: Any) -> None:
        """Run on arrays of so many rows, or train with as many at most."""
        given = {**self.work.arrays(rows), **values}
        sizes = {} if leading else {BATCH: rows}
        module.call(self.name, [*leading, *_bound(self.program, self.plan, given, sizes)])


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
    ``lowering`` says which optimizations the code may use.

    Raises LoweringError for a program that cannot be compiled.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Any,
        dtype: Any,
        values: MutableMapping[str, Array],
        lowering: Lowering = EVERYTHING,
    ):
        self._values, self._dtype = values, np.dtype(dtype)
        self._lock = threading.RLock()
        self._prediction, self._loss = network.named("yhat"), network.named("L")
        cotangents = network.raw_gradients.outputs
        self._names = {str(t.label): t.name for t in cotangents}
        step = network.step(optimizer)
        updated = [t for t in step.tensors if t.label in step.defined and t.role in UPDATED]
        self._entries = {
            name: _Entry(name, program, outputs, self._dtype, lowering, name == "train")
            for name, program, outputs in (
                ("predict", network.forward, [self._prediction]),
                ("loss", network.forward, [self._loss]),
                ("gradients", network.gradients, [self._loss, *cotangents]),
                ("train", step, [self._loss, *updated]),
            )
        }
        self.source = self._generated(lowering)

    def _generated(self, lowering: Lowering) -> str:
        title = f"A network compiled by symprop in {self._dtype.name}"
        lanes = _target(lowering, self._dtype).loop_lanes
        module = Module(title, self._dtype, _own(lowering), lanes)
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
        label = str(self._prediction.label)
        pieces = [
            values[label][:rows].copy() for values, rows in self._pieces("predict", len(x), x=x)
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
        loss = float(found[str(self._loss.label)])
        return loss, {name: found[label].copy() for label, name in self._names.items()}

    @_one_at_a_time
    def train(self, batches: Batches, first: int, last: int) -> None:
        """Train on a range of batches, counted through all epochs."""
        entry, size = self._entries["train"], min(batches.size, len(batches.rows))
        data = entry.data(x=batches.x, y=batches.y)
        drawn = [data[str(tensor.label)] for tensor in entry.batches]
        leading = (first, last, size, batches.rows, batches.order, batches.seeds, batches.losses)
        entry.call(self._module, self._values, size, *leading, *drawn)
