"""The matrix notation of a result, recognized in its sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Add, Expr, Indexed, Integer, Mul, Symbol

from symprop.derive.activation import SLOPE
from symprop.derive.lookup import as_value
from symprop.derive.step import SUPPOSED, Notation, Step
from symprop.equation import Equation
from symprop.formula import Largest, Rate, Through, Total
from symprop.printers.index import Line, lines
from symprop.printers.matrix import Form, in_matrices
from symprop.printers.structure import Names
from symprop.tensor import Tensor, label_of


def lines_in_matrices(step: Step, names: Names, form: Form) -> Iterator[tuple[Step, Line]]:
    """The lines that lead to a result, those that have a matrix form, each form once."""
    subject: Expr | None = step.before
    last: Expr | None = None
    known: list[tuple[Expr | None, Expr]] = []
    for line in (line for inner in step.steps for line in _flat(inner)):
        subject = _subject(line.before, subject if line.before == last else None)
        last = line.after
        found = subject and _in_one_form(line, subject, names, form)
        if found is not None and (found.target, found.value) not in known:
            known.append((found.target, found.value))
            yield line, found


def _flat(step: Step) -> list[Step]:
    """A line in index notation, or the lines that lead to it where it stands on the way."""
    if step.notation != "index" or step.equations or step.rule in SUPPOSED:
        return []
    return [step] if step.is_line else [line for inner in step.steps for line in _flat(inner)]


def _subject(before: Expr, subject: Expr | None) -> Expr | None:
    """The element that a line is about; none where it is about a derivative by one, or a part."""
    if isinstance(before, (Indexed, Symbol)):
        return before
    return None if isinstance(before, (Rate, Through)) else subject


def _in_one_form(step: Step, target: Expr, names: Names, form: Form) -> Line | None:
    """A line in a matrix notation, where it is a value of ``target`` and has one."""
    value = step.after
    if value.has(Rate, Through, Largest, SLOPE):
        return None
    equations = [_equation(target, term) for term in Add.make_args(value)]
    if any(equation is None for equation in equations):
        return None
    settled = tuple(equation for equation in equations if equation is not None)
    line = Line(names.access(str(label_of(target))), "=", value, (), settled)
    return in_matrices(line, names, form)


def _equation(target: Expr, term: Expr) -> Equation | None:
    """A term of a value as an equation that adds it to the target; none for a Σ within a Σ."""
    parts = Mul.make_args(term)
    totals = [part for part in parts if isinstance(part, Total)]
    rest = Mul(*(part for part in parts if part not in totals[:1]))
    body, *over = totals[0].args if totals else (Integer(1),)
    if rest.has(Total) or body.has(Total):
        return None
    return Equation(target, rest * body, tuple(over))


FORMS: tuple[tuple[Form, Notation], ...] = (("sample", "one sample"), ("batch", "batch"))


def matrix_steps(
    equations: tuple[Equation, ...], names: Names, tensors: Mapping[Symbol, Tensor]
) -> Iterator[Step]:
    """The equations for one sample and for a batch, where they have such a form."""
    for line in lines(equations, names, tensors):
        if not isinstance(line, Line):
            continue
        for form, notation in FORMS:
            found = in_matrices(line, names, form)
            if found is not None:
                target = line.equations[0].target
                value = as_value(line.equations, target)
                yield Step(
                    "matrix product",
                    value,
                    found.value,
                    "Σ over a shared index is a product of matrices",
                    notation=notation,
                    detail="summary",
                    equations=line.equations,
                )
