"""A derivation's steps as items of a document: what is shown, in which notation, how deep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from sympy import Expr, Mul, Symbol

from symprop.activations import ARGUMENT
from symprop.derive import activation, chain
from symprop.derive.build import FORWARD, LOSS, UPDATE
from symprop.derive.groups import Run, label_number
from symprop.derive.lookup import Lookup
from symprop.derive.sample import one_sample
from symprop.derive.step import DETAILS, Step
from symprop.equation import Fact
from symprop.formula import Through, Total
from symprop.printers.arrange import Arrange
from symprop.printers.document import (
    Fold,
    Formulas,
    Item,
    Row,
    Section,
    Sentence,
    Table,
    Title,
)
from symprop.printers.index import Line
from symprop.printers.structure import Access, Call, Reduction, Shape, Slope, Times
from symprop.tensor import Tensor, extent, label_of

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
    "Functions, powers and fractions of matrices hold element by element, ⊙ is the product element "
    "by element, and 1 a column of ones where it is a factor."
)


def story(derivation: Derivation) -> Iterator[Item]:
    """The document of a Derivation."""
    teller = Teller(derivation)
    yield Title(": ".join(filter(None, ("Backpropagation", derivation.network))))
    yield Section("What is declared")
    yield teller.table()
    yield from (Sentence(words) for words in teller.legend())
    for section, found in groupby(derivation.steps, key=lambda step: step.section):
        yield Section(section)
        steps = tuple(found)
        if section == chain.SECTION:
            yield from teller.chain(steps)
            continue
        for _, part in groupby(steps, key=lambda step: step.origin.layer):
            yield from teller.part(tuple(part))


class Teller:
    """Turns steps into items, as the derivation's detail, notation and batch ask."""

    def __init__(self, derivation: Derivation):
        self.derivation = derivation
        self.names = derivation.names
        self.depth = DETAILS.index(derivation.detail)
        self.lookup = Lookup(derivation.forward, derivation.raw, derivation.short)
        self.tensors = {**derivation.raw.by_label, **derivation.update.by_label}

    def legend(self) -> Iterator[str]:
        """What the symbols and notations mean."""
        notation, batch = self.derivation.notation, self.derivation.batch
        yield ONE_SAMPLE if batch is False else SYMBOLS
        if notation != "matrix" and self.depth > 0:
            yield INDEX
        if notation != "index":
            columns = COLUMNS if batch is not True else ""
            rows = ROWS if batch is not False else ""
            yield " ".join(filter(None, (columns, rows, MATRICES)))

    def table(self) -> Table:
        """Every symbol with its shape and what it is; layers of one shape in one row."""
        declared = [t for t in self.derivation.short.tensors if t.order == 0]
        declared += [t for t in self.derivation.update.tensors if t.order == 0]
        rows = [self._declared(t) for t in dict.fromkeys(declared)]
        return Table(("symbol", "shape", "what it is"), tuple(_gathered_rows(rows)))

    def _declared(self, tensor: Tensor) -> tuple[str, Shape, str]:
        shape = Shape(*(Arrange(self.names)(extent(axis)) for axis in tensor.axes))
        known = tensor.label in self.tensors
        return str(tensor.label), shape, WORDS[tensor.role] if known else HELPER

    def part(self, steps: tuple[Step, ...]) -> Iterator[Item]:
        """The steps of one section that belong to one layer."""
        first = steps[0]
        layer = first.origin.layer
        if first.section == UPDATE:
            for run, found in groupby(steps, key=lambda step: step.run):
                if run is not None:
                    yield Section(_general("Layer ", run), level=2)
                yield from self.results(tuple(found))
            return
        if first.section != LOSS:
            yield Section(_general(layer, first.run) if first.run else layer, level=2)
        yield from self.differences(first.run)
        if first.section in (FORWARD, LOSS):
            yield from self.facts(steps)
            yield from self.results(steps)
            return
        for step in steps:
            yield from self.derived(step)

    def differences(self, run: Run | None) -> Iterator[Item]:
        """What differs in some of the layers for which a step is told."""
        if run is not None and run.exceptions:
            rows = tuple(
                Row(
                    Line(self.node(Symbol(general), run), "=", self.node(Symbol(there), None)),
                    note=f"for l = {number}",
                )
                for number, there, general in run.exceptions
            )
            yield Formulas(rows)

    def facts(self, steps: Iterable[Step]) -> Iterator[Item]:
        for fact in dict.fromkeys(fact for step in steps for fact in step.facts):
            yield Sentence(f"As declared: {fact.reason}.")
            yield Formulas((self.fact(fact),))

    def fact(self, fact: Fact) -> Row:
        total = Reduction(Symbol("sum"), Arrange(self.names)(fact.value), *fact.over)
        return Row(Line(total, "=", Arrange(self.names)(fact.equals)), "fact")

    def derived(self, step: Step) -> Iterator[Item]:
        """A result with its explanation."""
        yield from self.explained(step)
        for fact in step.facts:
            yield Sentence(f"Used here: {fact.reason}.")
            if self.depth > 0:
                yield Formulas((self.fact(fact),))
        for inner in step.steps:
            if inner.rule == "recursion":
                yield from self.function(step)
                yield from self.results((inner,))
                yield Sentence("and with the derivative of the activation written out:")
        helpers = tuple(inner for inner in step.steps if inner.rule == "common sum")
        yield from self.results((*helpers, step), important=True)
        yield from (Sentence(words) for words in step.conditions)
        for inner in step.steps:
            if inner.rule in SUPPOSED and self.depth > 0:
                yield from self.supposed(inner)

    def supposed(self, step: Step) -> Iterator[Item]:
        """What a delta is without the fact that it uses, or with one that is not declared."""
        yield Sentence(SUPPOSED[step.rule])
        rows = [self.fact(fact) for fact in step.facts]
        line = Line(self.node(step.before, None), "=", self.node(step.after, None))
        yield Formulas((*rows, Row(line)))

    def function(self, step: Step) -> Iterator[Item]:
        """The activation, its derivative in z and in the stored value."""
        delta = self.tensors[step.equations[0].label]
        found = activation.reader(self.lookup, delta)
        if found is None:
            return
        value, slope, *stored = activation.function(found)
        arrange, z = Arrange(self.names), Access(ARGUMENT)
        sides = (Call(Symbol("sigma"), z), Call(Symbol("sigma_prime"), z))
        rows = [Line(sides[0], "=", arrange(value)), Line(sides[1], "=", arrange(slope))]
        rows += [Line(sides[1], "=", arrange(form)) for form in stored]
        yield Formulas(tuple(Row(line, "" if n else "activation") for n, line in enumerate(rows)))

    def chain(self, steps: tuple[Step, ...]) -> Iterator[Item]:
        """The chain through all layers: the product, its factors, the recursion in it."""
        for rule, found in groupby(steps, key=lambda step: step.rule):
            if rule == "derivative" and self.derivation.notation == "matrix":
                continue
            yield Sentence(CHAIN[rule])
            line = self._factor if rule == "derivative" else self._product
            yield Formulas(tuple(Row(line(step)) for step in found))

    def _factor(self, step: Step) -> Line:
        return Line(self.node(step.before, None), "=", self.node(step.after, None))

    def _product(self, step: Step) -> Line:
        """A product of derivatives without subscripts and sums, as a product of whole tensors."""
        factors = (_bare(self.node(factor, None)) for factor in _in_order(step.after))
        return Line(_bare(self.node(step.before, None)), "=", Times(*factors))

    def explained(self, step: Step) -> Iterator[Item]:
        """The lines of an explanation, those that explain a line folded below it."""
        if self.derivation.notation == "matrix":
            return
        rows: list[Row] = []
        last: Expr | None = None
        for inner in self._told(step):
            if inner.steps and not self._own_lines(inner):
                yield from _formulas(rows)
                rows, last = [], None
                yield from self.explained(inner)
                continue
            rows += self._rows(inner, last, step.run)
            last = inner.after
            if self._told(inner):
                yield from _formulas(rows)
                rows, last = [], None
                title = "Step by step" if inner.rule == "derivative" else "The long way"
                yield Fold(title, tuple(self.explained(inner)))
        yield from _formulas(rows)

    def _told(self, step: Step) -> list[Step]:
        """The lines in index notation that this depth tells."""
        return [
            inner
            for inner in step.steps
            if inner.notation == "index"
            and inner.rule not in ("recursion", "common sum", *SUPPOSED)
            and DETAILS.index(inner.detail) <= self.depth
        ]

    def _own_lines(self, step: Step) -> bool:
        """Whether a step's lines explain it, rather than being steps on the way of their own."""
        return all(inner.detail == "full" for inner in step.steps)

    def _rows(self, step: Step, last: Expr | None, run: Run | None) -> list[Row]:
        """One line, continuing the last one where it starts from what that arrived at."""
        before, after = self.node(step.before, run), self.node(step.after, run)
        if before == after:
            return []
        target = None if last is not None and last == step.before else before
        return [Row(Line(target, "=", after), step.rule, note=step.reason)]

    def node(self, value: Expr, run: Run | None) -> Expr:
        """A value as nodes, with the layer as l where it is told for a run."""
        shown = one_sample(value) if self.derivation.batch is False else value
        return _in_general(Arrange(self.names)(shown), run)

    def results(self, steps: tuple[Step, ...], important: bool = False) -> Iterator[Item]:
        """Results in the notations asked for: one line where two forms are the same."""
        notation, batch = self.derivation.notation, self.derivation.batch
        index = [self._index(step) for step in steps if self.depth or step.rule != "update"]
        forms = {form: [r for s in steps for r in self._matrix(s, form)] for form in FORMS}
        shown = [("index", index)] if notation != "matrix" else []
        if notation != "index":
            shown += _matrix_forms(forms, batch)
        if not any(rows for _, rows in shown):
            shown = [("index", [self._index(step) for step in steps])]
        opening = next(rows for _, rows in shown if rows)
        rows = [
            Row(row.line, caption if n == 0 else "", row.number if found is opening else "")
            for caption, found in shown
            for n, row in enumerate(found)
        ]
        yield Formulas(tuple(rows), important)

    def _index(self, step: Step) -> Row:
        first = step.before if step.rule == "update" else None
        after = one_sample(step.after) if self.derivation.batch is False else step.after
        value = _in_general(Arrange(self.names, first)(after), step.run)
        relation = "←" if step.rule == "update" else "="
        return Row(Line(self.node(step.before, step.run), relation, value), number=step.number)

    def _matrix(self, step: Step, notation: str) -> Iterator[Row]:
        for inner in step.steps:
            if inner.rule == "matrix product" and inner.notation == notation:
                target = self.names.access(str(step.equations[0].label))
                relation = "←" if step.rule == "update" else "="
                lines = (_in_general(target, step.run), _in_general(inner.after, step.run))
                yield Row(Line(lines[0], relation, lines[1]), number=step.number)


FORMS = ("one sample", "batch")
SUPPOSED = {
    "without the fact": "Without this fact the sum stays:",
    "with the fact": "Nothing is declared about the targets here, so their sum stays. For targets "
    "that are one-hot it would vanish:",
}
"""What is said before a delta under other facts, by the step's rule."""
CHAIN = {
    "chain rule": "From the loss back to an early layer, every factor the derivative of one stored "
    "tensor by the one before it; each layer further down has two factors more:",
    "derivative": "The factors, element by element (elements of different samples do not depend on "
    "each other):",
    "recursion": "The first factors are the same for all layers below. Their product is δ, and the "
    "δ of a layer is that of the layer above times two factors, so that nothing is computed twice:",
}
"""What is said before the steps of the chain, by their rule."""


def _in_order(value: Expr) -> list[Expr]:
    """The factors of a chain, each after the one by whose element it goes on."""
    body = value.args[0] if isinstance(value, Total) else value
    found = {label_of(factor.args[0]): factor for factor in Mul.make_args(body) if factor.args}
    links = {k: f for k, f in found.items() if isinstance(f, Through)}
    heads = [factor for factor in Mul.make_args(body) if factor not in links.values()]
    lower = {label_of(factor.args[1]) for factor in links.values()}
    label = next(label for label in links if label not in lower)
    ordered = []
    while label in links:
        ordered.append(links[label])
        label = label_of(links[label].args[1])
    return [*heads, *ordered]


def _bare(node: Expr) -> Expr:
    """A node without subscripts."""
    if isinstance(node, Access):
        return Access(node.args[0])
    return node.func(*map(_bare, node.args)) if isinstance(node, Slope) else node


def _matrix_forms(forms: dict[str, list[Row]], batch: bool | None) -> list[tuple[str, list[Row]]]:
    """The matrix forms that are asked for, one where both are the same."""
    sample, rows = forms["one sample"], forms["batch"]
    if batch is not None:
        kept = rows if batch else sample
        return [("matrix", kept)] if kept else []
    if sample == rows:
        return [("matrix", sample)] if sample else []
    return [(caption, found) for caption, found in forms.items() if found]


def _formulas(rows: list[Row]) -> Iterator[Item]:
    if rows:
        yield Formulas(tuple(rows))


def _general(layer: str, run: Run) -> str:
    """Dense l, for l = 1, …, 5."""
    return f"{layer.rstrip('0123456789')}l, for l = {run.first}, …, {run.last}"


def _in_general(node: Expr, run: Run | None) -> Expr:
    """Nodes with names such as a2 as a(l-1), where they are told for a run."""
    if run is None:
        return node
    general = {a: Symbol(run.symbolic(a.args[0].name)) for a in node.atoms(Access)}
    return node.xreplace({a: Access(name, *a.args[1:]) for a, name in general.items()})


def _gathered_rows(
    rows: list[tuple[str, Shape, str]],
) -> Iterator[tuple[str | Expr, ...]]:
    """Rows of the table; three or more layers with one shape and meaning as a row for layer l."""
    kinds: dict[tuple[str, Shape, str], list[str]] = {}
    for label, shape, words in rows:
        stem = label.rstrip("0123456789") if label_number(label) >= 0 else label
        kinds.setdefault((stem, shape, words), []).append(label)
    for (stem, shape, words), labels in kinds.items():
        numbers = [label_number(label) for label in labels]
        if len(labels) >= 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
            told = f"{words}, l = {numbers[0]}, …, {numbers[-1]}"
            yield Access(Symbol(f"{stem}(l)")), shape, told
        else:
            yield from ((Access(Symbol(label)), shape, words) for label in labels)


WORDS = {
    "input": "input",
    "target": "target",
    "parameter": "parameter",
    "state": "setting of the optimizer",
    "noise": "drawn afresh at each step",
    "intermediate": "computed",
    "constant": "computed, held constant",
}
HELPER = "computed on the way back"
