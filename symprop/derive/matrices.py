"""The matrix notation of a result, recognized in its sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Symbol

from symprop.derive.lookup import as_value
from symprop.derive.step import Notation, Step
from symprop.equation import Equation
from symprop.printers.index import Line, lines
from symprop.printers.matrix import Form, in_matrices
from symprop.printers.structure import Names
from symprop.tensor import Tensor

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
