"""The Numba backend: a schedule as generated source, compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial, wraps
from typing import Any

import numpy as np
from sympy import Symbol

from symprop.backends import NO_NOISE, Array, Batches
from symprop.backends.given import given, in_order, step_data
from symprop.backends.memory import moved
from symprop.backends.noise import drawn
from symprop.backends.numba_compile import load
from symprop.backends.numba_entry import (
    Entry,
    bound,
    buffers_of,
    check_subscripts,
)
from symprop.backends.numba_plan import Dtype, oriented, target_of, unsafe
from symprop.backends.numba_programs import Programs, own_functions
from symprop.backends.numba_source import Module
from symprop.backends.numba_tables import Signature
from symprop.backends.numba_threads import ROOM
from symprop.backends.numpy import size_values, start_array
from symprop.backends.pace import Threads, together
from symprop.lowering import EVERYTHING, Lowering
from symprop.network import Network
from symprop.passes import lower
from symprop.passes.layout import Layout
from symprop.program import Program
from symprop.schedule import Target, schedule
from symprop.steps import Schedule
from symprop.tensor import Tensor

WORK, LEAST_ROWS = 1 << 19, 64
"""About how many numbers the buffers of a prediction or loss hold: rows are taken in pieces."""


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
    target = target_of(lowering, kind, size)
    values = {str(t.label): start_array(program, t, arrays, sizes, kind) for t in program.tensors}
    check_subscripts(unsafe(program), values, sizes)
    known = frozenset(tensor.label for tensor in program.tensors if str(tensor.label) in arrays)
    program = oriented(program, target)
    plan = schedule(program, known, target=target)
    buffers = buffers_of((*plan.buffers, *plan.local), sizes, kind)
    work = {**buffers, **values}
    text, signature = _source(program, plan, kind, target)
    load(text).call("run", bound(signature, work, sizes))
    return values


def source_of(program: Program, dtype: Any = np.float64) -> str:
    """The generated source of a program: the text of a Python module."""
    kind = np.dtype(dtype)
    program = oriented(program, target := target_of(Lowering(), kind))
    return _source(program, schedule(program, target=target), kind, target)[0]


def _source(
    program: Program, plan: Schedule, dtype: Dtype, target: Target
) -> tuple[str, Signature]:
    title = f"A program of {len(program.flat)} equations in {dtype.name}"
    module = Module(title, dtype, own_functions(target.lowering), target.loop_lanes)
    signature = module.entry("run", program, plan)
    return module.text, signature


def _one_at_a_time(method: Callable[..., Any]) -> Any:
    """A method of an executable that no two threads run at the same time."""

    @wraps(method)
    def locked(executable: NumbaExecutable, *given: Any, **named: Any) -> Any:
        with executable._lock:
            return method(executable, *given, **named)

    return locked


def _turned(values: MutableMapping[str, Array], found: Layout) -> Iterator[tuple[str, Array]]:
    """The arrays of tensors that lie transposed; the values become views of them, unless they are
    so already, for another executable.
    """
    for label, tensor in found.items():
        if str(label) in values:
            turned = values[str(label)].T
            array = turned
            if not turned.flags.c_contiguous:
                array = moved(turned, turned.ctypes.data)
            values[str(label)] = array.T
            yield str(tensor.label), array


class NumbaExecutable:
    """A network's programs compiled, over one set of arrays, which training updates in place.

    Every program is lowered, and compiled as a module of its own, when it is first called. Threads
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
        self._programs = Programs(network, optimizer, self._dtype, lowering)
        self._lock, self._threads = threading.RLock(), Threads()
        self._prediction, self._loss = network.named("yhat"), network.named("L")
        self._entries: dict[str, Entry] = {}
        self._turned: dict[str, Array] = {}

    def _entry(self, name: str) -> Entry:
        """One of PROGRAMS, lowered when it is first asked for."""
        with self._lock:
            if name not in self._entries:
                entry = Entry(self._programs.lowered(name))
                if not self._entries:  # all programs of a network have the same layout
                    self._turned = dict(_turned(self._values, entry.lowered.layout))
                self._entries[name] = entry
            return self._entries[name]

    @property
    def source(self) -> str:
        """The text of all programs as one module, where they share their kernels."""
        return self._programs.source

    @property
    def _arrays(self) -> dict[str, Array]:
        """What programs are run on, by label."""
        return {**self._values, **self._turned}

    @_one_at_a_time
    def predict(self, x: Array) -> Array:
        """The prediction for every row of x."""
        label, first = self._prediction.label.name, 0
        found = np.empty((len(x), *self._prediction.sample_shape), self._dtype)
        for values, rows in self._pieces("predict", len(x), x=x):
            found[first : first + rows] = values[label][:rows]
            first += rows
        return found

    @_one_at_a_time
    def loss(self, x: Array, y: Array) -> float:
        """The mean loss over all rows: that of pieces of the rows, weighted."""
        label = self._loss.label.name
        pieces = self._pieces("loss", len(x), x=x, y=y)
        return sum(float(values[label]) * rows for values, rows in pieces) / len(x)

    def _pieces(
        self, name: str, count: int, **arrays: Array
    ) -> Iterator[tuple[dict[str, Array], int]]:
        """Run a program on pieces of the rows, to keep its buffers small; gives both."""
        entry = self._entry(name)
        data = entry.data(**arrays)
        step = max(LEAST_ROWS, WORK // (entry.work.width or 1))
        for first in range(0, count, step):
            rows = min(step, count - first)
            piece = {label: array[first : first + rows] for label, array in data.items()}
            yield self._run(entry, piece, rows), rows

    def _run(self, entry: Entry, data: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Run a program; the arrays that it works in."""
        entry.call(entry.arguments({**self._arrays, **data}, rows))
        return entry.work.arrays(rows)[0]

    @_one_at_a_time
    def gradients(
        self, x: Array, y: Array, noise: Array = NO_NOISE
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss over all rows, as one batch, and its gradient by parameter name."""
        entry = self._entry("gradients")
        draws = drawn(entry.lowered.noise, noise, len(x), self._dtype)
        found = self._run(entry, {**entry.data(x=x, y=y), **draws}, len(x))
        loss = float(found[self._loss.label.name])
        gradients = (t for t in entry.lowered.outputs if t.label != self._loss.label)
        return loss, {t.name: found[t.label.name].copy() for t in gradients}

    def lower(self) -> None:
        """Write what trains, if that was not done. Raises LoweringError."""
        self._entry("train")

    @_one_at_a_time
    def prepare(self, batches: Batches) -> None:
        """Compile what trains on such batches, if that was not done."""
        self._entry("train").prepare(self._calls(batches)(0, 0, 1)[0])

    @_one_at_a_time
    def train(self, batches: Batches, first: int, last: int) -> None:
        """Train on a range of batches, counted through all epochs."""
        calls, entry = self._calls(batches), self._entry("train")

        def run(begin: int, end: int, threads: int) -> None:
            found = calls(begin, end, threads)
            together([partial(entry.call, call) for call in found])

        entry.prepare(calls(first, last, 1)[0])
        self._threads.run(run, first, last, self._parts(batches))

    def _parts(self, batches: Batches) -> int:
        """Into how many parts a batch is cut."""
        return self._entry("train").parts(min(batches.size, len(batches.rows)))

    def _calls(self, batches: Batches) -> Callable[[int, int, int], list[list[Any]]]:
        """What each of some threads calls the training with, for a range of batches."""
        entry, size = self._entry("train"), min(batches.size, len(batches.rows))
        parts = entry.parts(size)
        data = entry.data(**batches.data)
        picked = [data[tensor.label.name] for tensor in entry.lowered.data]
        every = (
            batches.rows,
            batches.order,
            batches.seeds,
            batches.rates,
            batches.losses,
            batches.done,
        )
        noise = (batches.noise,) if entry.lowered.noise else ()
        barrier = np.zeros(ROOM, np.int64)
        given = entry.training(self._arrays, size, parts)

        def calls(begin: int, end: int, threads: int) -> list[list[Any]]:
            shared = (begin, end, size, *every, parts)
            return [
                [*shared, n, threads, barrier, *noise, *picked, *given[n]] for n in range(threads)
            ]

        return calls

    def whole(self, batches: Batches) -> bool:
        """With one thread: of several, an interrupt would leave some that wait for the others."""
        return self._parts(batches) == 1

    def steps(self, batches: Batches, number: int) -> Iterator[tuple[Tensor, Array]]:
        """Each tensor of one batch's training step with its value, in the order of the program."""
        program = lower(self._programs.step)
        values = {label: array.copy() for label, array in self._values.items()}
        arrays = given(program, {**values, **step_data(program, batches, number, self._dtype)})
        return in_order(program, arrays, run(program, arrays, self._dtype))
