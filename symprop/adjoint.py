"""The adjoint rule: the derivative of an equation is an equation with the same loops, reading and
writing swapped.

For each occurrence x[s] in the value of an equation with target y[t],

    x̄[s] += ∂value/∂x[s] · ȳ[t]    over all loop indices that are not in s

A gather becomes a scatter, a broadcast a sum. The rule is applied to one equation at a time, in
reverse order; nothing composite is ever differentiated, and the result is a program again, so that
second derivatives are the same rule applied twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby

from sympy import Expr, Integer, Symbol

from symprop.equation import Equation, Recurrence, flat
from symprop.errors import DerivationError
from symprop.liveness import Place, Written, by_target, check_still_there, places, replaces
from symprop.primitives import Equal
from symprop.program import Program
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of

ELEMENT = Symbol("∂")
"""Stands for the element to differentiate by; no tensor can have this name."""

Cotangent = Callable[[Expr], Expr | None]


def partial(value: Expr, access: Expr) -> Expr:
    """∂value/∂access, every other element held fixed."""
    return _slope(value.xreplace({access: ELEMENT})).xreplace({ELEMENT: access})


@lru_cache(maxsize=16384)
def _slope(value: Expr) -> Expr:
    return value.diff(ELEMENT)


def adjoint(
    equation: Equation, cotangent: Cotangent, ties: Expr | None = None
) -> Iterator[Equation]:
    """The equations that carry the cotangent of an equation's target to what it reads.

    ``cotangent`` maps an element to its cotangent, None where the derivative stops. A maximum
    passes its cotangent to the elements that attain it, in equal shares where several do; ``ties``
    is their number.
    """
    seed = cotangent(equation.target)
    if seed is None:
        return
    weight = seed if ties is None else seed * Equal(equation.value, equation.target) / ties
    for access in accesses(equation.value):
        bar = cotangent(access)
        if bar is None or access == equation.target:
            continue
        slope = partial(equation.value, access)
        if slope != 0:
            over = tuple(index for index in equation.loops if index not in indices(bar))
            yield Equation(bar, slope * weight, over, origin=equation.origin)


def backward(program: Program, of: Tensor, wrt: Iterable[Tensor]) -> Program:
    """The program that computes the derivatives of the scalar ``of`` with respect to the tensors
    ``wrt``.

    It is to run after ``program`` (compose them with ``+``). Its outputs are the cotangents of
    ``wrt``, in that order.

    Raises DerivationError if ``of`` is not a scalar, or where a derivative needs a value that was
    overwritten.
    """
    wrt = tuple(wrt)
    _check_request(program, of, wrt)
    offset = max(tensor.order for tensor in program.tensors) + 1
    active = _active(program, of, wrt)

    def cotangent(access: Expr) -> Expr | None:
        tensor = active.get(label_of(access))
        return tensor.cotangent(offset)[subscripts_of(access)] if tensor else None

    counts = {
        e.label: _tie_count(program.by_label[e.label], offset)
        for e in program.flat
        if e.reduce == "max" and e.label in active
    }
    equations: list[Equation | Recurrence] = [Equation(of.cotangent(offset)[()], Integer(1))]
    for label, count in counts.items():
        equations += (_tie_equation(e, count) for e in program.defined[label])
    equations += _reversed(program, cotangent, counts)
    held = {**active, of.label: of, **{tensor.label: tensor for tensor in wrt}}
    cotangents = {bar.label: bar for bar in (t.cotangent(offset) for t in held.values())}
    outputs = tuple(tensor.cotangent(offset) for tensor in wrt)
    return Program(
        (*program.tensors, *cotangents.values(), *counts.values()),
        tuple(_with_zeros(equations, cotangents, outputs)),
        outputs,
        program.facts,
    )


def _with_zeros(
    equations: Iterable[Equation | Recurrence],
    cotangents: Mapping[Symbol, Tensor],
    outputs: Iterable[Tensor],
) -> Iterator[Equation | Recurrence]:
    """The equations without those that pass on a cotangent which nothing has reached, as below a
    flat activation; an output that nothing reaches is said to be 0.
    """
    reached: set[Symbol] = set()
    for group in equations:
        members = tuple(flat((group,)))
        read = {label_of(access) for equation in members for access in equation.reads}
        if isinstance(group, Recurrence) or read & cotangents.keys() <= reached:
            reached.update(equation.label for equation in members)
            yield group
    for output in outputs:
        if output.label not in reached:
            yield Equation(output[output.axes], Integer(0))


def _check_request(program: Program, of: Tensor, wrt: tuple[Tensor, ...]) -> None:
    if of.axes:
        raise DerivationError(
            f"backward: expected a scalar to differentiate, but {of.name} has {len(of.axes)} axes"
        )
    for tensor in (of, *wrt):
        if tensor not in program.tensors:
            raise DerivationError(f"backward: {tensor.label} is not a tensor of the program")


def _reversed(
    program: Program, cotangent: Cotangent, counts: Mapping[Symbol, Tensor]
) -> Iterator[Equation | Recurrence]:
    """The adjoints of all equations, last first; that of a recurrence is a recurrence the other
    way.
    """
    positions = places(program)
    written = by_target(positions)
    for _, group in groupby(reversed(positions), key=lambda place: place.group):
        members = tuple(group)
        adjoints = [e for place in members for e in _at(place, program, cotangent, counts, written)]
        recurrence = members[0].recurrence
        if recurrence is None:
            yield from adjoints
        elif adjoints:
            yield Recurrence(recurrence.index, tuple(adjoints), not recurrence.reverse)


def _at(
    place: Place,
    program: Program,
    cotangent: Cotangent,
    counts: Mapping[Symbol, Tensor],
    written: Written,
) -> Iterator[Equation]:
    """The adjoint of an equation of a program; the cotangent of what it overwrites is overwritten
    in turn.
    """
    equation = place.equation
    seed, tensor = cotangent(equation.target), program.by_label[equation.label]
    if seed is None or tensor.role == "constant":
        return
    count = counts.get(equation.label)
    ties = count[subscripts_of(equation.target)] if count else None
    for emitted in adjoint(equation, cotangent, ties):
        check_still_there(place, emitted.value, written)
        yield emitted
    if equation.reduce == "set":
        slope = partial(equation.value, equation.target)
        check_still_there(place, slope, written)
        if slope != 1 and (slope != 0 or replaces(place, tensor, written)):
            over = tuple(index for index in equation.loops if index not in indices(seed))
            yield Equation(seed, slope * seed, over, "set", equation.origin)


def _active(program: Program, of: Tensor, wrt: Iterable[Tensor]) -> dict[Symbol, Tensor]:
    """The tensors that depend on ``wrt`` and that ``of`` depends on, by label."""
    edges = [
        (label_of(access), equation.label)
        for equation in program.flat
        if program.by_label[equation.label].role != "constant"
        for access in accesses(equation.value)
    ]
    varied = _reached({tensor.label for tensor in wrt}, edges)
    useful = _reached({of.label}, [(target, source) for source, target in reversed(edges)])
    kept = varied & useful - program.gathers
    return {tensor.label: tensor for tensor in program.tensors if tensor.label in kept}


def _reached(start: set[Symbol], edges: list[tuple[Symbol, Symbol]]) -> set[Symbol]:
    """All that the edges lead to from the start; in a recurrence they may lead against the order of
    equations.
    """
    found, before = set(start), 0
    while len(found) > before:
        before = len(found)
        for source, target in edges:
            if source in found:
                found.add(target)
    return found


def _tie_count(maximum: Tensor, offset: int) -> Tensor:
    """The tensor that counts the elements attaining a maximum."""
    return Tensor(
        f"ties_{maximum.name}", maximum.axes, "constant", order=maximum.order + 2 * offset
    )


def _tie_equation(equation: Equation, count: Tensor) -> Equation:
    if accesses(equation.value) != (equation.value,):
        raise DerivationError(
            f"the derivative of\n    {equation}\ncompares {equation.value} with the maximum, and "
            "a value computed anew may differ in its last bit; write it into a tensor of its own, "
            "and take the maximum of that"
        )
    attained = Equal(equation.value, equation.target)
    return Equation(
        count[subscripts_of(equation.target)], attained, equation.over, origin=equation.origin
    )
