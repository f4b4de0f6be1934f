"""A derivation's steps as items of a document: what is shown, in which notation, how deep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from sympy import Expr, Mul, Symbol

from symprop.activations import ARGUMENT
from symprop.derive import activation, chain, floating
from symprop.derive.build import FORWARD, GRADIENTS, LOSS, STATISTICS, UPDATE
from symprop.derive.declared import declared
from symprop.derive.groups import Run
from symprop.derive.matrices import lines_in_matrices
from symprop.derive.sample import one_sample
from symprop.derive.step import DETAILS, SUPPOSED, Step
from symprop.equation import Fact
from symprop.formula import Through, Total
from symprop.optimizers import SGD
from symprop.printers.arrange import Arrange
from symprop.printers.document import (
    Fold,
    Formulas,
    Item,
    Row,
    Section,
    Sentence,
    Title,
)
from symprop.printers.index import Line
from symprop.printers.matrix import Form
from symprop.printers.structure import Access, Call, Slope, Times
from symprop.tensor import label_of

if TYPE_CHECKING:
    from symprop.derive import Derivation


def story(derivation: Derivation) -> Iterator[Item]:
    """The document of a Derivation."""
    teller = Teller(derivation)
    yield Title(f"Backpropagation: {derivation.network}")
    yield Section("What is declared")
    yield from declared(derivation)
    for section, found in groupby(derivation.steps, key=lambda step: step.section):
        yield Section(_update_title(derivation) if section == UPDATE else section)
        steps = tuple(found)
        if section == chain.SECTION:
            yield from teller.chain(steps)
            continue
        if section == floating.SECTION:
            yield from teller.floating(steps)
            continue
        for _, part in groupby(steps, key=lambda step: step.origin.layer):
            yield from teller.part(tuple(part))


def _update_title(derivation: Derivation) -> str:
    """Update by gradient descent, or by Adam, …"""
    plain = derivation.optimizer is None or isinstance(derivation.optimizer, SGD)
    return UPDATE if plain else f"Update by {type(derivation.optimizer).__name__}"


class Teller:
    """Turns steps into items, as the derivation's detail, notation and batch ask."""

    def __init__(self, derivation: Derivation):
        self.derivation = derivation
        self.names = derivation.names
        self.depth = DETAILS.index(derivation.detail)
        self.lookup = derivation.lookup
        self.said: set[str] = set()
        """What was said of kinks: of a penalty, which the layers share, it is said once."""
        self.tensors = {**derivation.raw.by_label, **derivation.update.by_label}

    def part(self, steps: tuple[Step, ...]) -> Iterator[Item]:
        """The steps of one section that belong to one layer."""
        first = steps[0]
        layer = first.origin.layer
        if first.section in (UPDATE, STATISTICS):
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

    def floating(self, steps: tuple[Step, ...]) -> Iterator[Item]:
        """Each printed formula with the form that runs, then the rules."""
        yield Sentence(floating.INTRODUCTION)
        for run, found in groupby(steps, key=lambda step: step.run):
            if run is not None:
                yield Section(_general("Layer ", run), level=2)
            for step in found:
                target = self.node(step.steps[0].before, run)
                if step.rule == "definition":
                    yield Formulas((Row(Line(target, "=", self.node(step.after, run))),))
                    continue
                caption = f"({step.number})" if step.number else ""
                sides = (step.before, floating.shortened(step.after))
                forms = dict.fromkeys(self.node(side, run) for side in sides)
                lines = [Line(None if n else target, "=", form) for n, form in enumerate(forms)]
                rows = [Row(line, "" if n else caption) for n, line in enumerate(lines)]
                yield Formulas((*rows[:-1], replace(rows[-1], note=step.reason)))
        yield Sentence(floating.RULES)
        inner = [inner for step in steps for inner in step.steps]
        shown = {step.reason: step for step in reversed(inner) if step.reason}
        for words in dict.fromkeys(words for step in steps for words in step.conditions):
            yield Sentence(words)
            if words in shown:
                before, after = shown[words].before, floating.shortened(shown[words].after)
                left, right = (self.node(v, shown[words].run) for v in (before, after))
                yield Formulas((Row(Line(left, "=", right)),))

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
            given = fact in self.lookup.facts_of(None)
            yield Sentence(f"{'As declared' if given else 'By definition'}: {fact.reason}.")
            yield Formulas((self.fact(fact),))

    def fact(self, fact: Fact) -> Row:
        total = self.node(Total(fact.value, *fact.over), None)
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
        for words in step.conditions:
            if step.section != GRADIENTS or words not in self.said:
                yield Sentence(words)
            self.said.add(words)
        for inner in step.steps:
            if inner.rule in SUPPOSED and self.depth > 0:
                yield from self.supposed(inner)

    def supposed(self, step: Step) -> Iterator[Item]:
        """What a delta is without the fact that it uses, or with one that is not declared."""
        yield Sentence(SUPPOSED[step.rule])
        rows = [self.fact(fact) for fact in step.facts]
        yield Formulas((*rows, Row(self._line(step))))

    def function(self, step: Step) -> Iterator[Item]:
        """The activation, its derivative in z and in the stored value."""
        delta = self.tensors[step.equations[0].label]
        found = activation.reader(self.lookup, delta)
        if found is None:
            return
        value, slope, *stored = activation.function(found)
        arrange, z = Arrange(self.names), Access(ARGUMENT)
        sides = [Call(Symbol(self.names.function(f)), z) for f in ("sigma", "sigma_prime")]
        rows = [Line(sides[0], "=", arrange(value)), Line(sides[1], "=", arrange(slope))]
        rows += [Line(sides[1], "=", arrange(form)) for form in stored]
        yield Formulas(tuple(Row(line, "" if n else "activation") for n, line in enumerate(rows)))

    def chain(self, steps: tuple[Step, ...]) -> Iterator[Item]:
        """The chain through all layers: the product, its factors, the recursion in it."""
        for rule, found in groupby(steps, key=lambda step: step.rule):
            if rule == "derivative" and self.derivation.notation == "matrix":
                continue
            words = CHAIN if len(self.lookup.deltas) > 1 else ONE_LAYER
            yield Sentence(words[rule])
            line = self._line if rule == "derivative" else self._product
            yield Formulas(tuple(Row(line(step)) for step in found))

    def _line(self, step: Step) -> Line:
        return Line(self.node(step.before, None), "=", self.node(step.after, None))

    def _product(self, step: Step) -> Line:
        """A product of derivatives without subscripts and sums, as a product of whole tensors."""
        factors = (_bare(self.node(factor, None)) for factor in _in_order(step.after))
        return Line(_bare(self.node(step.before, None)), "=", Times(*factors))

    def explained(self, step: Step) -> Iterator[Item]:
        """The lines of an explanation, those that explain a line folded below it."""
        if self.derivation.notation == "matrix":
            yield from self.explained_in_matrices(step)
            return
        rows: list[Row] = []
        last: Expr | None = None
        for inner in self._told(step):
            if not inner.is_line:
                yield from _formulas(rows)
                rows, last = [], None
                yield from self.explained(inner)
                continue
            rows += self._rows(inner, last, step.run)
            last = inner.after
            if self._told(inner):
                yield from _formulas(rows)
                rows, last = [], None
                title = TITLES.get(inner.rule, "Step by step")
                yield Fold(title, tuple(self.explained(inner)))
        yield from _formulas(rows)

    def explained_in_matrices(self, step: Step) -> Iterator[Item]:
        """The lines of an explanation that have a matrix form, in each form that is asked for."""
        for form, caption in self.forms():
            rows: list[Row] = []
            for line, found in lines_in_matrices(step, self.names, form):
                target = _in_general(self.names.access(str(found.equations[0].label)), step.run)
                value = _in_general(found.value, step.run)
                rows.append(Row(Line(target, "=", value), line.rule))
            if len(rows) > 1:
                yield Sentence(f"For {caption}:")
                yield from _formulas(rows)

    def forms(self) -> list[tuple[Form, str]]:
        """The matrix notations that are asked for."""
        found: list[tuple[Form, str]] = [("sample", "one sample"), ("batch", "a batch")]
        batch = self.derivation.batch
        return found if batch is None else found[batch : batch + 1]

    def _told(self, step: Step) -> list[Step]:
        """The lines in index notation that this depth tells."""
        return [
            inner
            for inner in step.steps
            if inner.notation == "index"
            and inner.rule not in ("recursion", "common sum", *SUPPOSED)
            and DETAILS.index(inner.detail) <= self.depth
        ]

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
        index = [self._index(step) for step in steps if self.depth or step.section != UPDATE]
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
TITLES = {"chain rule": "The long way", "stored value": "How it is found"}
"""What stands above the lines that explain a line, by its rule."""

BACK = (
    "From the loss back to an early layer, every factor the derivative of one stored tensor by the "
    "one before it"
)
CHAIN = {
    "chain rule": f"{BACK}; each layer further down has two factors more:",
    "derivative": "The factors, element by element (elements of different samples do not depend on "
    "each other):",
    "recursion": "The first factors are the same for all layers below. Their product is δ, and the "
    "δ of a layer is that of the layer above times two factors, so that nothing is computed twice:",
}
"""What is said before the steps of the chain, by their rule."""
ONE_LAYER = {**CHAIN, "chain rule": f"{BACK}:"}
"""The same where there is no layer further down."""


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
