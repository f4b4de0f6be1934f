"""Checking a derivation: both sides of every step at random points, in exact numbers.

Where a step differentiates, its side is evaluated by differences, and every cotangent is compared
with what the loss does when the tensor is moved: nothing here uses the rules that are checked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Idx, Indexed, IndexedBase, Symbol

from symprop.activations import ARGUMENT
from symprop.derive.activation import SLOPE, STORED, function
from symprop.derive.build import UPDATE
from symprop.derive.exact import Exact, difference
from symprop.derive.exact_matrix import matrix_difference
from symprop.derive.floating import polynomials
from symprop.derive.groups import Run
from symprop.derive.lookup import as_value
from symprop.derive.matrices import lines_in_matrices
from symprop.derive.sample import one_sample
from symprop.derive.step import Step
from symprop.equation import Equation, Recurrence, flat
from symprop.errors import DerivationError, LoweringError
from symprop.formula import Rate, Through, free_indices
from symprop.passes import lower
from symprop.passes.stabilize import stabilize
from symprop.printers.matrix import Form, MatrixArrange
from symprop.printers.structure import Call
from symprop.program import Program
from symprop.tensor import accesses, extent, label_of, renamed_index, subscripts_of

if TYPE_CHECKING:
    from symprop.derive import Derivation

TOLERANCE = 1e-45
"""Sides that are equal differ by less of their size: difference quotients are good for 1e-58."""
SERIES_TOLERANCE = 1e-15
"""The same where a polynomial stands for a series: it has the digits of float64."""
BACKEND_TOLERANCE = 1e-9
"""The same for float64."""
MOST = 12
"""Of more, so many are checked: cotangents against what the loss does, layers of a run."""


@dataclass(frozen=True)
class Check:
    """One comparison: what was compared, by which rule, and how far the sides were apart."""

    what: str
    rule: str
    error: float


@dataclass(frozen=True)
class Verification:
    """What was checked: a record to print."""

    checks: tuple[Check, ...]
    points: int
    seconds: float

    def __str__(self) -> str:
        counted: dict[str, list[float]] = {}
        for check in self.checks:
            counted.setdefault(check.rule, []).append(check.error)
        wide = max(map(len, counted), default=0)
        rows = [
            f"  {rule:<{wide}}  {len(errors):>5}  {max(errors):.1e}"
            for rule, errors in counted.items()
        ]
        head = f"{len(self.checks)} checks at {self.points} points hold ({self.seconds:.1f} s)"
        return "\n".join([head, f"  {'rule':<{wide}}  count  worst", *rows])


def verify(derivation: Derivation, points: int, seed: int) -> Verification:
    """Check every step; raise at the first that fails."""
    _check_complete(derivation)
    start = time.perf_counter()
    checks: list[Check] = []
    for point in range(points):
        checker = Checker(derivation, seed + point)
        checks += checker.checks()
        checks += checker.backends() if point == 0 else ()
    return Verification(tuple(checks), points, time.perf_counter() - start)


def _check_complete(derivation: Derivation) -> None:
    """Every parameter's gradient must have been told, by itself or for its layer's run."""
    told = {
        name
        for step in derivation.steps
        for equation in step.equations
        for name in (step.run.in_layers(str(equation.label)) if step.run else [str(equation.label)])
    }
    missing = [str(t.label) for t in derivation.short.outputs if str(t.label) not in told]
    if missing:
        raise DerivationError(f"no step of the derivation arrives at {', '.join(missing)}")


class Checker:
    """Checks the steps of a derivation at one point."""

    def __init__(self, derivation: Derivation, seed: int):
        self.derivation, self.seed = derivation, seed
        self.program = _everything(derivation)
        self.exact = Exact.draw(self.program, seed)
        self.lookup = derivation.lookup

    @cached_property
    def sample(self) -> Exact:
        """The values for one sample."""
        return Exact.draw(self.program, self.seed, batch=1)

    def checks(self) -> Iterator[Check]:
        """All comparisons in exact numbers: of every step, then of every cotangent."""
        for step in self.derivation.steps:
            yield from self._checked(step, step)
        yield from self._oracles()

    def _checked(self, step: Step, result: Step) -> Iterator[Check]:
        """The explanation of a step, then the step itself."""
        for inner in step.steps:
            yield from self._checked(inner, inner if inner.number else result)
        if step.number:
            yield from self._lines_in_matrices(step)
            yield from self._other_layers(step)
        if step.rule == "recursion" and step.equations:
            yield from self._activation(step)
        for error in self.errors(step):
            yield self._held(Check(_named(step, result), step.rule, error), step)

    def _lines_in_matrices(self, step: Step) -> Iterator[Check]:
        """The matrix forms of the lines that lead to a result, as they are printed alone."""
        names = self.derivation.names
        forms: tuple[tuple[Form, Exact], ...] = (("sample", self.sample), ("batch", self.exact))
        for form, exact in forms:
            for line, found in lines_in_matrices(step, names, form):
                error = matrix_difference(exact, found.value, found.equations, names, form)
                yield self._held(Check(_named(line, step), "line in matrices", error), line)

    def _activation(self, step: Step) -> Iterator[Check]:
        """f, f′ and f′ in the stored value, as they stand beside σ′."""
        delta = self.program.by_label[label_of(step.before)]
        equation = self.lookup.readers[self.lookup.source(delta).label][0]
        (element,) = accesses(equation.value)
        value, *slopes = function(equation)
        sides = [(equation.target, value)]
        sides += [(Rate(equation.target, element), slope) for slope in slopes]
        for before, after in sides:
            line = after.xreplace({ARGUMENT: element, STORED: equation.target})
            shown = Step("activation", before, line)
            yield self._held(Check("activation", "activation", max(self.errors(shown))), shown)

    def _other_layers(self, step: Step) -> Iterator[Check]:
        """The general line for each layer that it is told for, or for some of many."""
        run = step.run
        if run is None or step.rule == "update":
            return
        for layer in _some(range(run.first, run.last + 1)):
            found = self._in_layer(step, run, layer)
            what = f"{_named(step, step)} for l = {layer}"
            yield self._held(Check(what, "general line", max(self.errors(found))), found)

    def _in_layer(self, step: Step, run: Run, layer: int) -> Step:
        """A result as it is for one layer of its run."""
        known = {str(t.label): t for t in (*self.program.tensors, *self.derivation.short.tensors)}
        renamed: dict[Expr, Expr] = {}
        for access in sorted(step.before.atoms(Indexed) | step.after.atoms(Indexed), key=str):
            tensor = known.get(run.in_layer(str(label_of(access)), layer))
            if tensor is not None:
                renamed[access.base.label] = tensor.label
                pairs = zip(subscripts_of(access), tensor.axes, strict=True)
                renamed |= {i: renamed_index(a, str(i)) for i, a in pairs if isinstance(i, Idx)}
        before, after = (side.xreplace(renamed) for side in (step.before, step.after))
        return Step(step.rule, before, after, origin=step.origin)

    def _held(self, check: Check, step: Step) -> Check:
        """The check, if its error is none; else an error that names the step."""
        cut_off = not check.error <= TOLERANCE and polynomials(step.after)
        if not check.error <= (SERIES_TOLERANCE if cut_off else TOLERANCE):
            raise DerivationError(
                f"{check.what}: {step.rule} does not hold: {self._sides(step)}: the sides differ "
                f"by {check.error:.1e} of their size"
            )
        return check

    def errors(self, step: Step) -> tuple[float, ...]:
        """How far the sides of a step are apart, in each form that it has.

        Infinite where a side has no value, as where it reads an element that there is not.
        """
        try:
            return tuple(self._errors(step))
        except (DerivationError, LoweringError):
            return (math.inf,)

    def _errors(self, step: Step) -> Iterator[float]:
        if step.notation != "index":
            yield self._matrix_error(step)
            return
        exact = self._after_its_reads(step) if step.section == UPDATE else self._where(step)
        free = _free(step)
        if free_indices(step.after) - free_indices(step.before):
            yield math.inf
            return
        expected = self._before(exact, step, free)
        yield difference(self._value(exact, step.after, free), expected)
        if step.equations:
            value = as_value(step.equations, step.before)
            yield difference(self._value(exact, value, free), expected)

    def _matrix_error(self, step: Step) -> float:
        """How far a formula of matrix notation is from the equations that it stands for."""
        exact, form = (self.exact, "batch")
        node, equations, names = step.after, step.equations, self.derivation.names
        if step.notation == "one sample":
            exact, form = self.sample, "sample"
        for slope in sorted({n for e in equations for n in e.value.atoms(SLOPE)}, key=str):
            known, shown = self._slope(slope), self._slope_in_matrices(slope, form)
            equations = tuple(replace(e, value=e.value.xreplace({slope: known})) for e in equations)
            read = names.access(str(label_of(slope.args[0])))
            call = Call(Symbol(names.function("sigma_prime")), read)
            node = node.xreplace({call: shown})
        return matrix_difference(exact, node, equations, names, form)

    def _slope_in_matrices(self, node: Expr, form: str) -> Expr:
        """The derivative of an activation as a formula of matrix notation."""
        (element,) = node.args
        (equation,) = self.lookup.readers[label_of(element)]
        value = function(equation)[1].xreplace({ARGUMENT: element})
        if form == "sample":
            value, element = one_sample(value), one_sample(element)
        return MatrixArrange(self.derivation.names, subscripts_of(element))(value)

    def _where(self, step: Step) -> Exact:
        """The point; another one where a step supposes facts that are not declared."""
        if set(step.facts) <= set(self.program.facts):
            return self.exact
        return Exact.draw(replace(self.program, facts=step.facts), self.seed)

    def _after_its_reads(self, step: Step) -> Exact:
        """The point when an equation of the update runs: what earlier ones assign is new."""
        exact, equations = copy(self.exact), self.derivation.update.flat
        earlier = equations[: equations.index(step.equations[0])]
        new = {str(e.label) for e in earlier if e.reduce == "set"}
        exact.values = exact.values | {k: v for k, v in exact.after.items() if k in new}
        return exact

    def _before(self, exact: Exact, step: Step, free: tuple[Idx, ...]) -> Any:
        label = str(label_of(step.before)) if not step.before.args or step.equations else ""
        if step.rule == "update" and label in exact.after:
            at = [subscripts_of(step.before).index(index) for index in free]
            return exact.after[label].transpose(at)
        return self._value(exact, step.before, free)

    def _value(self, exact: Exact, value: Expr, free: tuple[Idx, ...]) -> Any:
        known = {node: self._slope(node) for node in value.atoms(SLOPE)}
        known |= {node: _through(exact, node) for node in value.atoms(Through)}
        return exact.value(value.xreplace(known), free)

    def _slope(self, node: Expr) -> Expr:
        """σ′(z) as the derivative of what is computed from z."""
        (element,) = node.args
        (equation,) = self.lookup.readers[label_of(element)]
        (read,) = (a for a in equation.reads if label_of(a) == label_of(element))
        names = dict(zip(subscripts_of(read), subscripts_of(element), strict=True))
        return Rate(equation.target.xreplace(names), element)

    def _sides(self, step: Step) -> str:
        from symprop.printers.arrange import Arrange
        from symprop.printers.unicode import UnicodePrinter

        spell, arrange = UnicodePrinter(layers=True), Arrange(self.derivation.names)
        matrix = step.notation != "index"
        after = step.after if matrix else arrange(step.after)
        return f"{spell.doprint(arrange(step.before))} = {spell.doprint(after)}"

    def _oracles(self) -> Iterator[Check]:
        """Every cotangent against what the loss does when the tensor is moved along a direction."""
        bars = [t for t in self.derivation.raw.tensors if t.order and t.role == "intermediate"]
        loss = self.lookup.loss
        generator = np.random.default_rng(self.seed)
        for bar in _some([bar for bar in bars if bar != loss.cotangent(1)]):
            array = self.exact.values[str(bar.label)]
            direction = generator.integers(1, 4, size=array.shape).astype(object)
            found = self.exact.derivative(loss.label, bar.cotangent(-1).label, direction)
            error = difference(_scalar(found), _scalar(sum(np.ravel(array * direction))))
            what = f"∂{loss.name}/∂{bar.name}"
            if not error <= TOLERANCE:
                raise DerivationError(f"{what} is not what {loss.name} does: {error:.1e}")
            yield Check(what, "difference quotient", error)

    def backends(self) -> Iterator[Check]:
        """The final equations against what the backends compute in float64."""
        from symprop.backends import numba, numpy

        short = _small(self.derivation.short, self.exact)
        program = lower(short)
        given = {
            str(t.label): self.exact.values[str(t.label)].astype(np.float64)
            for t in program.tensors
            if t.role not in ("intermediate", "constant")
        }
        exact = {
            t.label: self.exact.values[str(t.label)].astype(np.float64) for t in program.outputs
        }
        sizes = {label: float(np.abs(array).max(initial=0.0)) for label, array in exact.items()}
        largest = max(sizes.values())
        for name, run in (("numpy", numpy.run), ("numba", numba.run)):
            found = run(program, given)
            for output in program.outputs:
                label, expected = str(output.label), exact[output.label]
                size = sizes[output.label]  # what cancels to 0 is 0 beside the others
                scale = max(size if size > 1e-30 * largest else largest, 1e-12)
                error = float(np.abs(found[label] - expected).max(initial=0.0)) / scale
                if not error <= BACKEND_TOLERANCE:
                    raise DerivationError(
                        f"{label} by the {name} backend differs from its equation by {error:.1e}"
                    )
                yield Check(label, f"{name} backend", error)


def _everything(derivation: Derivation) -> Program:
    """Forward pass, plain adjoint, the sums that the short form stores, those that the running form
    brings in, and the update.
    """
    raw, short = derivation.raw, derivation.short
    helpers = tuple(e for e in short.flat if e.label not in raw.by_label)
    running = stabilize(short)
    helpers += tuple(e for e in running.flat if e.label not in short.by_label and e.over)
    tensors = tuple(dict.fromkeys((*raw.tensors, *running.tensors)))
    return Program(tensors, (*raw.equations, *helpers), (), raw.facts) + derivation.update


def _free(step: Step) -> tuple[Idx, ...]:
    """The indices that no sum in a step runs over, in a fixed order."""
    found = free_indices(step.before) | free_indices(step.after)
    return tuple(sorted(found, key=str))


def _named(step: Step, result: Step) -> str:
    """Where a step stands: its section, its layer, the number of the result that it leads to."""
    number = f"({result.number})" if result.number else ""
    parts = (result.section, result.origin.layer, number)
    return ", ".join(part for part in parts if part)


def _some(of: Sequence[Any]) -> Sequence[Any]:
    """At most so many, evenly chosen, the last among them."""
    step = -(-len(of) // MOST) or 1
    return of[::-step]


def _scalar(number: Any) -> Any:
    found = np.empty((), dtype=object)
    found[()] = number
    return found


def _through(exact: Exact, node: Expr) -> Expr:
    """An element of the table of derivatives of one tensor by another, put among the values."""
    upper, lower = node.args
    label = f"∂{label_of(upper)}/∂{label_of(lower)}"
    if label not in exact.values:
        exact.values[label] = exact.jacobian(label_of(upper), label_of(lower))
    return IndexedBase(Symbol(label))[(*subscripts_of(upper), *subscripts_of(lower))]


def _small(program: Program, exact: Exact) -> Program:
    """The program with the extents that everything has at the point."""
    equations = [e for group in program.equations for e in flat((group,))]
    found = {i for t in program.tensors for i in t.axes} | {i for e in equations for i in e.loops}
    known = {i: Idx(i.label, exact.extent(i)) for i in found if extent(i).is_Integer}
    axes = (tuple(known.get(axis, axis) for axis in t.axes) for t in program.tensors)
    tensors = tuple(replace(t, axes=a) for t, a in zip(program.tensors, axes, strict=True))
    small = dict(zip(program.tensors, tensors, strict=True))
    return Program(
        tensors,
        tuple(_with_indices(group, known) for group in program.equations),
        tuple(small[output] for output in program.outputs),
        program.facts,
    )


def _with_indices(group: Equation | Recurrence, known: Mapping[Idx, Idx]) -> Equation | Recurrence:
    if isinstance(group, Equation):
        return group.renamed(dict(known))
    inner = tuple(equation.renamed(dict(known)) for equation in group.equations)
    return replace(group, index=known.get(group.index, group.index), equations=inner)
