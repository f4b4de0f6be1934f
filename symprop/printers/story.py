"""A derivation's steps as items of a document: which formulas are shown, in which notations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sympy import Expr, Symbol

from symprop.equation import Equation
from symprop.printers.arrange import Arrange
from symprop.printers.document import Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.index import Line, lines, names_of
from symprop.printers.matrix import in_matrices
from symprop.printers.structure import Access, Call, Names, Reduction, Shape
from symprop.program import Program
from symprop.tensor import Tensor, extent

LEGEND = (
    "Index notation first; then the same in matrix notation, where it has one: for one sample "
    "(vectors are columns, m = 1) and for a batch (one sample in each row). Functions, powers and "
    "fractions of matrices hold element by element; 1 is a column of ones where it is a factor; "
    "[...] is 1 where the condition holds, else 0."
)
SYMBOLS = (
    "m is the number of samples in a batch, the index b one of them; j, k and other indices count "
    "units. δ at a layer is the derivative of the loss L by that layer's pre-activation z:"
)


def story(derivation: Any) -> Iterator[Item]:
    """The document of a Derivation."""
    teller = _Teller(derivation.raw + derivation.update, derivation.short)
    yield Title(": ".join(filter(None, ("Backpropagation", derivation.network))))
    yield Section("What is declared")
    yield teller.table()
    yield Sentence(SYMBOLS)
    yield Formulas(tuple(map(Row, teller.delta_meaning())))
    yield Sentence(LEGEND)
    section = ""
    for step in derivation.steps:
        if step.section != section:
            section = step.section
            yield Section(section)
        yield from teller.step(step)


def captioned(caption: str, found: Iterable[Line]) -> Formulas:
    """Lines, the first under a caption."""
    return Formulas(tuple(Row(line, "" if n else caption) for n, line in enumerate(found)))


class _Teller:
    """Turns steps into items; holds the names that all have in common."""

    def __init__(self, program: Program, short: Program):
        self.program = program
        self.tensors = {**program.by_label, **short.by_label}
        deltas = {e.label for e in program.flat if e.origin.step == "pre-activation"}
        given = {
            str(tensor.cotangent(1).label): f"delta{tensor.name.lstrip('z')}"
            for tensor in program.tensors
            if tensor.label in deltas and tensor.order == 0
        }
        self.names = names_of(program, given)

    def table(self) -> Table:
        given = [t for t in self.tensors.values() if t.order == 0]
        rows = (((self.names.access(str(t.label))), self._shape(t), self._what(t)) for t in given)
        return Table(("symbol", "shape", "what it is"), tuple(rows))

    def _what(self, tensor: Tensor) -> str:
        return WORDS[tensor.role] if tensor.label in self.program.by_label else HELPER

    def delta_meaning(self) -> tuple[Line, ...]:
        """δ⁽ˡ⁾ = ∂L/∂z⁽ˡ⁾ for each layer."""
        plain = Names(self.names.scalars)
        given = self.names.given.items()
        return tuple(Line(Access(Symbol(name)), "=", plain.access(label)) for label, name in given)

    def _shape(self, tensor: Tensor) -> Shape:
        arrange = Arrange(self.names)
        return Shape(*(arrange(extent(axis)) for axis in tensor.axes))

    def step(self, step: Any) -> Iterator[Item]:
        if step.title:
            yield Sentence(f"{step.title}:" if not step.reason else f"{step.title}, {step.reason}:")
        if step.section == "Delta of the output layer":
            yield captioned("adjoint", self.lines(step.before))
        for fact in step.facts:
            words = "As declared" if step.section == "Loss" else "Used here"
            yield Sentence(f"{words}: {fact.reason}.")
            yield captioned("fact", self.fact(fact))
        if step.function and (step.abstract or step.function[1] == 0):
            yield captioned("activation", self.function(step.function))
        if step.abstract:
            yield from self.formulas(step.abstract)
            yield Sentence("and with the derivative written in stored values:")
        yield from self.formulas(step.after)
        for condition in step.conditions:
            yield Sentence(condition)

    def lines(self, equations: Iterable[Equation]) -> tuple[Line, ...]:
        found = lines(equations, self.names, self.tensors)
        return tuple(line for line in found if isinstance(line, Line))

    def fact(self, fact: Any) -> tuple[Line, ...]:
        arrange = Arrange(self.names)
        total = Reduction(Symbol("sum"), arrange(fact.value), *fact.over)
        return (Line(total, "=", arrange(fact.equals)),)

    def function(self, function: tuple[Expr, ...]) -> tuple[Line, ...]:
        arrange, z = Arrange(self.names), Access(Symbol("z"))
        sides = (Call(Symbol("sigma"), z), Call(Symbol("sigma_prime"), z))
        value, slope, *stored = function
        found = [Line(sides[0], "=", arrange(value)), Line(sides[1], "=", arrange(slope))]
        return (*found, *(Line(sides[1], "=", arrange(form)) for form in stored))

    def formulas(self, equations: Iterable[Equation]) -> Iterator[Item]:
        """Index notation, then both matrix forms; one line where the two are the same."""
        found = self.lines(equations)
        yield captioned("index", found)
        sample, batch = (self._matrices(found, form) for form in ("sample", "batch"))
        if sample == batch and sample:
            yield captioned("matrix", sample)
            return
        for caption, shown in (("one sample", sample), ("batch", batch)):
            if shown:
                yield captioned(caption, shown)

    def _matrices(self, found: Iterable[Line], form: Any) -> tuple[Line, ...]:
        shown = (in_matrices(line, self.names, form) for line in found)
        return tuple(line for line in shown if line is not None)


WORDS = {
    "input": "input",
    "target": "target",
    "parameter": "parameter",
    "state": "setting of the optimizer",
    "noise": "drawn afresh at each step",
    "intermediate": "computed",
    "constant": "computed, constant to the derivative",
}
HELPER = "computed on the way back, a sum that is used again"
