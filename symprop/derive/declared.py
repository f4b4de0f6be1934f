"""What a derivation declares first: its symbols, with their shapes, and its notations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sympy import Expr, Symbol

from symprop.derive.groups import label_number
from symprop.derive.sample import counts_samples
from symprop.printers.arrange import Arrange
from symprop.printers.document import Item, Sentence, Table
from symprop.printers.structure import Access, Shape
from symprop.tensor import Tensor, extent

if TYPE_CHECKING:
    from symprop.derive import Derivation

SYMBOLS = (
    "m is the number of samples in a batch, the index b one of them; j, k and other indices count "
    "units. δ⁽ˡ⁾ = ∂L/∂z⁽ˡ⁾ is the derivative of the loss L by the pre-activation z of layer l."
)
ONE_SAMPLE = (
    "One sample is followed; the indices j, k and others count units. δ⁽ˡ⁾ = ∂L/∂z⁽ˡ⁾ is the "
    "derivative of the loss L by the pre-activation z of layer l."
)
INDEX = "[k = j] is the Kronecker delta: 1 where k = j, else 0; so is [...] for other conditions."
COLUMNS = "For one sample, vectors are columns."
ROWS = "For a batch, samples are rows, and the mean over the batch brings 1/m into every δ."
MATRICES = (
    "Functions, powers and fractions of matrices hold element by element, so do the product ⊙ and "
    "the quotient ⊘; 1 is a column of ones where it is a factor, rowmax the column of each row's "
    "largest element."
)
CONSTANT = (
    "What is held constant counts as a number where it is differentiated: no result depends on it, "
    "it only keeps exponentials from overflowing."
)


def declared(derivation: Derivation) -> Iterator[Item]:
    """The table of symbols, then what symbols and notations mean."""
    yield _table(derivation)
    yield from map(Sentence, _legend(derivation))


def _legend(derivation: Derivation) -> Iterator[str]:
    notation, batch = derivation.notation, derivation.batch
    yield ONE_SAMPLE if batch is False else SYMBOLS
    if notation != "matrix" and derivation.detail != "summary":
        yield INDEX
    if notation != "index":
        columns = COLUMNS if batch is not True else ""
        rows = ROWS if batch is not False else ""
        yield " ".join(filter(None, (columns, rows, MATRICES)))
    if any(tensor.role == "constant" for tensor in derivation.forward.tensors):
        yield CONSTANT


def _table(derivation: Derivation) -> Table:
    """Every symbol with its shape and what it is; layers of one shape in one row."""
    found = [t for t in derivation.short.tensors if t.order == 0]
    found += [t for t in derivation.update.tensors if t.order == 0]
    rows = [_declared(derivation, tensor) for tensor in dict.fromkeys(found)]
    return Table(("symbol", "shape", "what it is"), tuple(_gathered_rows(rows)))


def _declared(derivation: Derivation, tensor: Tensor) -> tuple[str, Shape, str]:
    single = derivation.batch is False
    axes = (axis for axis in tensor.axes if not (single and counts_samples(axis)))
    shape = Shape(*(Arrange(derivation.names)(extent(axis)) for axis in axes))
    known = {**derivation.raw.by_label, **derivation.update.by_label}
    words = WORDS[tensor.role] if tensor.label in known else HELPER
    running = tensor.label in derivation.declared.statistics.assigned
    return str(tensor.label), shape, RUNNING if running else words


def _gathered_rows(
    rows: list[tuple[str, Shape, str]],
) -> Iterator[tuple[str | Expr, ...]]:
    """Rows of the table; three or more layers with one shape and meaning as a row for layer l."""
    kinds: dict[tuple[str, Shape, str], list[str]] = {}
    for label, shape, words in rows:
        kinds.setdefault((_stem(label), shape, words), []).append(label)
    for label, shape, words in rows:
        labels = kinds[_stem(label), shape, words]
        numbers = [label_number(other) for other in labels]
        if len(labels) < 3 or numbers != list(range(numbers[0], numbers[-1] + 1)):
            yield Access(Symbol(label)), shape, words
        elif label == labels[0]:
            told = f"{words}, l = {numbers[0]}, …, {numbers[-1]}"
            yield Access(Symbol(f"{_stem(label)}(l)")), shape, told


def _stem(label: str) -> str:
    """The name without the layer's number."""
    return label.rstrip("0123456789") if label_number(label) >= 0 else label


WORDS = {
    "input": "input",
    "target": "target",
    "parameter": "parameter",
    "state": "setting of the optimizer",
    "counter": "number of steps",
    "scheduled": "setting of the optimizer, of each step",
    "noise": "drawn afresh at each step",
    "intermediate": "computed",
    "constant": "computed, held constant",
}
RUNNING = "running value, for prediction"
HELPER = "computed on the way back"
