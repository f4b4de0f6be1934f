"""The document of one worked sample: every formula, its numbers, its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, product
from math import isclose, isfinite

import numpy as np
from sympy import Expr, Idx, Integer, Symbol

from symprop.backends import Array
from symprop.derive.arithmetic import number
from symprop.derive.build import LOSS, UPDATE, Builder
from symprop.derive.declared import COLUMNS, MATRICES
from symprop.derive.groups import Block, Run
from symprop.derive.sample import counts_samples, one_sample
from symprop.derive.step import Step
from symprop.derive.worked import Worked, names_of_values
from symprop.printers.arrange import Arrange
from symprop.printers.document import Formulas, Item, Row, Section, Sentence, Title
from symprop.printers.index import Line, line_text
from symprop.printers.structure import (
    Access,
    Call,
    Compare,
    Dots,
    Entries,
    Minus,
    Numeral,
    Power,
    Reduction,
    Slope,
    Times,
    plus,
)
from symprop.printers.unicode import UnicodePrinter
from symprop.tensor import extent, subscripts_of

SMALL = 4
"""Formulas whose indices take no more values than this are worked element by element."""
LONGEST = 6
"""More rows or columns of a matrix than this are cut."""
ROOM = 60
"""The characters of a chain of equal values that stands on one line."""
EQUAL = Symbol("=")
EXACT = 17
"""The digits that tell any two float64 numbers apart."""
UNROUNDED, STABLE = "from unrounded numbers", "in a form that stays finite"
"""Why a result is not what the printed numbers come to."""
Show = Callable[[Expr, tuple[int, ...]], Expr]
"""How an element of a tensor (its node without subscripts) at a place is shown."""
GIVEN = ("input", "target", "parameter")
"""The roles of what is given, in the order in which they are listed."""


def numeral(value: float, digits: int) -> Expr:
    """A number by its significant digits: 0.25, −3, 1.5·10⁻⁸."""
    mantissa, _, power = f"{abs(value):.{digits}g}".partition("e")
    node = Numeral(Symbol(mantissa))
    if power:
        ten = Power(Integer(10), Integer(int(power)))
        node = ten if mantissa == "1" else Times(node, ten)
    return Minus(node) if value < 0 else node


def numerals(array: Array, digits: int) -> Expr:
    """A number, column or matrix; of many rows or columns only the first ones and the last."""
    if not array.ndim:
        return numeral(float(array), digits)
    table = array.reshape(len(array), -1)
    rows, columns = map(_shown, table.shape)
    found = (
        Dots() if row is None or column is None else numeral(float(table[row, column]), digits)
        for row, column in product(rows, columns)
    )
    return Entries(Integer(len(rows)), Integer(len(columns)), *found)


def _shown(size: int) -> list[int | None]:
    """The rows or columns that are shown, None for those left out."""
    return [*range(size)] if size <= LONGEST else [*range(LONGEST - 2), None, size - 1]


class _EveryLayer(Builder):
    """The results of a derivation, those of layers that are alike written for each of them."""

    def _told(self, blocks: list[Block]) -> Iterator[tuple[Block, Run | None]]:
        return ((block, None) for block in blocks)


class Story:
    """Writes the document."""

    def __init__(self, worked: Worked):
        self.worked, self.derivation = worked, worked.derivation
        self.names, self.digits = self.derivation.names, worked.digits
        self.spell = UnicodePrinter(layers=True)
        called = names_of_values(self.derivation.forward, self.names)
        tensors = (*self.derivation.short.tensors, *self.derivation.update.tensors)
        labels = [str(tensor.label) for tensor in tensors if tensor.role != "state"]
        self.values = {label: self._value(called.get(label, label), label) for label in labels}
        rates = self.derivation.update.with_role("state")
        self.values |= {str(tensor.label): np.array(worked.learning_rate) for tensor in rates}
        self.elements = {self.names.access(label): a for label, a in self.values.items()}

    def _value(self, name: str, label: str) -> Array:
        """A gradient that nothing reaches is in no program, and 0."""
        if name in self.worked.values:
            return self.worked.values[name]
        tensor = self.derivation.update.by_label[Symbol(label)]
        return np.zeros([int(size) for size in tensor.shape])

    def items(self) -> Iterator[Item]:
        """The whole document."""
        steps = tuple(self._steps())
        yield Title(f"One sample in numbers: {self.derivation.network}")
        yield from map(Sentence, self._legend(steps))
        yield Section("What is given")
        yield from self._given()
        for section, found in groupby(steps, key=lambda step: step.section):
            yield Section(section)
            for layer, part in groupby(found, key=lambda step: step.origin.layer):
                if section not in (LOSS, UPDATE):
                    yield Section(layer, level=2)
                for step in part:
                    yield Formulas(tuple(self._rows(step)))
        yield Sentence(self._outcome())

    def _steps(self) -> Iterator[Step]:
        """The results, each after the sums that it reads."""
        told = self.derivation
        programs = (told.lookup, told.update, told.declared.statistics)
        for step in _EveryLayer(*programs, self.names, "summary").steps():
            yield from (inner for inner in step.steps if inner.rule == "common sum")
            yield step

    def _legend(self, steps: Iterable[Step]) -> Iterator[str]:
        yield (
            "One sample goes forward, its error back, and every parameter makes one step of "
            "gradient descent. It is a batch by itself, m = 1. Elements are counted from 1, as in "
            "textbooks."
        )
        plural = "s" if self.digits > 1 else ""
        yield (
            f"Numbers are printed with at most {self.digits} significant digit{plural}; every "
            "result is computed from unrounded numbers."
        )
        if not all(map(self._by_elements, steps)) and self.derivation.notation != "index":
            yield f"{COLUMNS} {MATRICES}"

    def _given(self) -> Iterator[Item]:
        labels = [str(t.label) for t in self.derivation.forward.tensors if t.role in GIVEN]
        labels.sort(key=lambda label: GIVEN.index(self._role(label)))
        labels += [str(tensor.label) for tensor in self.derivation.update.with_role("state")]
        yield Formulas(
            tuple(
                Row(Line(self.names.access(label), "=", numerals(self.values[label], self.digits)))
                for label in labels
            )
        )
        if self.worked.drawn:
            yield Sentence(
                f"Not given, and started as compile(seed={self.worked.seed}, dtype='float64') "
                f"does: {', '.join(self.worked.drawn)}."
            )

    def _role(self, label: str) -> str:
        return self.derivation.forward.by_label[Symbol(label)].role

    def _outcome(self) -> str:
        before, after = (
            self.spell.doprint(numeral(float(values["L"]), self.digits))
            for values in (self.worked.values, self.worked.updated)
        )
        return f"With the new parameters the loss of this sample is {after}; it was {before}."

    def _by_elements(self, step: Step) -> bool:
        """Whether a formula is so small, and so plain, that each element is worked by itself."""
        accesses = [a for e in step.equations for a in (e.target, *e.reads)]
        plain = all(isinstance(s, Idx) for a in accesses for s in subscripts_of(a))
        loops = {i for e in step.equations for i in e.loops if not counts_samples(i)}
        small = all(int(extent(index)) <= SMALL for index in loops)
        return plain and small and self.derivation.notation != "matrix"

    def _rows(self, step: Step) -> Iterator[Row]:
        """The formula, then its elements, or its value as a whole."""
        caption = step.origin.step or step.rule
        updates = step.section == UPDATE
        label = str(step.equations[0].label)
        result = self.worked.updated[label] if updates else self.values[label]
        formula = self._formula(step)
        if not self._by_elements(step):
            yield Row(self._in_matrices(step) or formula, caption)
            yield Row(Line(None, "=", numerals(result, self.digits)))
            return
        yield Row(formula, caption)
        indices = subscripts_of(one_sample(step.before))
        for place in np.ndindex(result.shape):
            yield from self._element(
                formula, dict(zip(indices, place, strict=True)), float(result[place])
            )

    def _formula(self, step: Step) -> Line:
        """The formula for one sample in index notation."""
        updates = step.section == UPDATE
        arrange = Arrange(self.names, step.before if updates else None)
        target = Arrange(self.names)(one_sample(step.before))
        return Line(target, "←" if updates else "=", arrange(one_sample(step.after)))

    def _in_matrices(self, step: Step) -> Line | None:
        """The formula for one sample in matrix notation, where it is asked for and has one."""
        found = [s for s in step.steps if s.rule == "matrix product" and s.notation == "one sample"]
        if self.derivation.notation == "index" or len(found) != 1:
            return None
        target = self.names.access(str(step.equations[0].label))
        return Line(target, "←" if step.section == UPDATE else "=", found[0].after)

    def _element(self, formula: Line, points: dict[Idx, int], result: float) -> Iterator[Row]:
        """One element: the formula for it, its numbers, the result."""
        target = at(formula.target, points, self._symbol)
        symbols = at(formula.value, points, self._symbol)
        figures = at(formula.value, points, self._number)
        chain = [figures, numeral(result, self.digits)]
        note = self._note(formula.value, points, figures, result)
        numbers = Row(Line(None, "=", self._equal(chain)), note=note)
        if (target, symbols) == (formula.target, formula.value):
            yield numbers
            return
        line = Line(target, formula.relation, self._equal([symbols, *chain]))
        if len(line_text(line, self.spell)) <= ROOM:
            yield Row(line, note=note)
            return
        yield Row(Line(target, formula.relation, symbols))
        yield numbers

    def _note(self, value: Expr, points: dict[Idx, int], figures: Expr, result: float) -> str:
        """What to say where the numbers, as they are printed, do not come to the result."""
        near = 10 ** (-self.digits / 2)
        if isclose(number(figures), result, rel_tol=near):
            return ""
        whole = at(value, points, lambda node, place: numeral(self.elements[node][place], EXACT))
        return UNROUNDED if isfinite(number(whole)) else STABLE

    def _equal(self, chain: Iterable[Expr]) -> Expr:
        """u = v = …, what reads the same said once."""
        first, *rest = {self.spell.doprint(node): node for node in chain}.values()
        for node in rest:
            first = Compare(EQUAL, first, node)
        return first

    def _symbol(self, node: Expr, place: tuple[int, ...]) -> Expr:
        """The element by its subscripts, counted from 1."""
        access = node.args[1] if isinstance(node, Slope) else node
        found = Access(access.args[0], *(Integer(number + 1) for number in place))
        return Slope(node.args[0], found) if isinstance(node, Slope) else found

    def _number(self, node: Expr, place: tuple[int, ...]) -> Expr:
        return numeral(float(self.elements[node][place]), self.digits)


def at(node: Expr, points: Mapping[Idx, int], show: Show) -> Expr:
    """A formula at values of its indices, every Σ written out, its elements as ``show`` says."""
    if isinstance(node, Idx):
        return Integer(points[node] + 1)
    if isinstance(node, (Access, Slope)):
        access = node.args[1] if isinstance(node, Slope) else node
        whole = node.xreplace({access: Access(access.args[0])})
        return show(whole, tuple(points[subscript] for subscript in access.args[1:]))
    if isinstance(node, Reduction):
        kind, body, *over = node.args
        places = product(*(range(int(extent(index))) for index in over))
        terms = [at(body, {**points, **dict(zip(over, p, strict=True))}, show) for p in places]
        return plus(terms) if kind.name == "sum" else Call(kind, *terms)
    return node.func(*(at(part, points, show) for part in node.args)) if node.args else node
