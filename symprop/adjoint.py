"""The adjoint rule: the derivative of an equation is an equation with the same loops, reading and writing swapped.

For each occurrence x[s] in the value of an equation with target y[t],

    x̄[s] += ∂value/∂x[s] · ȳ[t]    over all loop indices that are not in s

A gather becomes a scatter, a broadcast a sum. The rule is applied to one equation at a time, in reverse order; nothing
composite is ever differentiated, and the result is a program again, so that second derivatives are the same rule
applied twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sympy import Dummy, Expr, Integer, Symbol

from symprop.equation import Equation, Recurrence, flat
from symprop.errors import DerivationError
from symprop.primitives import Equal
from symprop.program import Program
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of

Cotangent = Callable[[Expr], Expr | None]
Overwritten = dict[Symbol, tuple[int, Equation]]


def partial(value: Expr, access: Expr) -> Expr:
    """∂value/∂access, every other element held fixed."""
    symbol = Dummy()
    return value.xreplace({access: symbol}).diff(symbol).xreplace({symbol: access})


def adjoint(
    equation: Equation, cotangent: Cotangent, ties: Expr | None = None
) -> Iterator[Equation]:
    """The equations that carry the cotangent of an equation's target to what it reads.

    ``cotangent`` maps an element to its cotangent, None where the derivative stops. A maximum passes its cotangent to
    the elements that attain it, in equal shares where several do; ``ties`` is their number.
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
    """The program that computes the derivatives of the scalar ``of`` with respect to the tensors ``wrt``.

    It is to run after ``program`` (compose them with ``+``). Its outputs are the cotangents of ``wrt``, in that order.

    Raises DerivationError if ``of`` is not a scalar, or where a derivative needs a value that was overwritten.
    """
    wrt = tuple(wrt)
    if of.axes:
        raise DerivationError(
            f"backward: expected a scalar to differentiate, but {of.name} has {len(of.axes)} axes"
        )
    offset = max(tensor.order for tensor in program.tensors) + 1
    active = _active(program, of, wrt)

    def cotangent(access: Expr) -> Expr | None:
        tensor = active.get(label_of(access))
        return tensor.cotangent(offset)[subscripts_of(access)] if tensor else None

    maxima = tuple(
        dict.fromkeys(e.label for e in program.flat if e.reduce == "max" and e.label in active)
    )
    counts = {label: _tie_count(program.by_label[label], offset) for label in maxima}
    overwritten = _overwrites(program)
    equations: list[Equation | Recurrence] = [Equation(of.cotangent(offset)[()], Integer(1))]
    for label, count in counts.items():
        equations += (_tie_equation(e, count) for e in program.defined[label])
    position = len(program.flat)
    for group in reversed(program.equations):
        adjoints: list[Equation] = []
        for equation in reversed(tuple(flat((group,)))):
            position -= 1
            ties = (
                counts[equation.label][subscripts_of(equation.target)]
                if equation.label in counts
                else None
            )
            adjoints += _adjoint_at(position, equation, cotangent, ties, overwritten)
        if isinstance(group, Recurrence):
            equations += (
                [Recurrence(group.index, tuple(adjoints), not group.reverse)] if adjoints else []
            )
        else:
            equations += adjoints
    cotangents = tuple(
        tensor.cotangent(offset) for tensor in {**active, **{t.label: t for t in wrt}}.values()
    )
    return Program(
        (*program.tensors, *cotangents, *counts.values()),
        tuple(equations),
        tuple(tensor.cotangent(offset) for tensor in wrt),
        program.facts,
    )


def _adjoint_at(
    position: int,
    equation: Equation,
    cotangent: Cotangent,
    ties: Expr | None,
    overwritten: Overwritten,
) -> Iterator[Equation]:
    """The adjoint of an equation of a program; the cotangent of what it overwrites is overwritten in turn."""
    seed = cotangent(equation.target)
    if seed is None:
        return
    for emitted in adjoint(equation, cotangent, ties):
        _check_not_stale(equation, position, emitted.value, overwritten)
        yield emitted
    if equation.reduce == "set" and equation.label in overwritten:
        slope = partial(equation.value, equation.target)
        _check_not_stale(equation, position, slope, overwritten)
        if slope != 1:
            yield Equation(seed, slope * seed, reduce="set", origin=equation.origin)


def _active(program: Program, of: Tensor, wrt: Iterable[Tensor]) -> dict[Symbol, Tensor]:
    """The tensors that depend on ``wrt`` and that ``of`` depends on, by label."""
    varied = {tensor.label for tensor in wrt}
    for equation in program.flat:
        tensor = program.by_label[equation.label]
        if tensor.role != "constant" and varied & {
            label_of(access) for access in accesses(equation.value)
        }:
            varied.add(equation.label)
    useful = {of.label}
    for _ in range(2 if any(isinstance(e, Recurrence) for e in program.equations) else 1):
        for equation in reversed(program.flat):
            if equation.label in useful:
                useful.update(label_of(access) for access in accesses(equation.value))
    kept = varied & useful - program.gathers
    return {tensor.label: tensor for tensor in program.tensors if tensor.label in kept}


def _tie_count(maximum: Tensor, offset: int) -> Tensor:
    """The tensor that counts the elements attaining a maximum."""
    return Tensor(f"ties_{maximum.name}", maximum.axes, "constant", order=maximum.order + offset)


def _tie_equation(equation: Equation, count: Tensor) -> Equation:
    attained = Equal(equation.value, equation.target)
    return Equation(
        count[subscripts_of(equation.target)], attained, equation.over, origin=equation.origin
    )


def _overwrites(program: Program) -> dict[Symbol, tuple[int, Equation]]:
    """For each tensor whose earlier value is replaced, by its own update or because it was given: where, last."""
    found = {}
    for position, equation in enumerate(program.flat):
        given = program.by_label[equation.label].role not in ("intermediate", "constant")
        if equation.reduce == "set" and (given or equation.target in equation.reads):
            found[equation.label] = (position, equation)
    return found


def _check_not_stale(
    equation: Equation, position: int, value: Expr, overwritten: Overwritten
) -> None:
    """Refuse a derivative that reads a value which the equation, or a later one, has overwritten."""
    for label in {label_of(access) for access in accesses(value)} & overwritten.keys():
        last, later = overwritten[label]
        if last >= position:
            raise DerivationError(
                f"the derivative of\n    {equation}\nneeds the value of {label} from before\n    {later}\n"
                "overwrote it; write the new value into a tensor of its own"
            )
