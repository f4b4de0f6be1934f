"""The shift of exponentials that are summed: log-sum-exp, softmax and what else does not need it.

    e = exp(u),  s = Σ_j e   →   c = max_j u,  e = exp(u − c),  s = Σ_j e,  log s → log s + c

Every tensor that is read stands for exp(d·c) times what it holds now, d its degree: 1 for e and s,
0 for e/s, −1 for the cotangent of s. The rule is for programs where each equation is homogeneous in
that sense and every output has degree 0: then c cancels, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sympy import Add, Expr, Idx, Mul, Pow, Symbol, exp, log

from symprop.equation import Equation, Recurrence
from symprop.passes.rewrite import bind, free_name
from symprop.passes.rule import Rule
from symprop.program import Program
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of


class _MixedError(Exception):
    """An equation is not homogeneous, or a subscript is more than an index."""


@dataclass(frozen=True)
class _Shift:
    """c = max of an exponent over the indices that are summed."""

    exponent: Expr
    at: tuple[Idx, ...]
    over: tuple[Idx, ...]
    tensor: Tensor

    @property
    def access(self) -> Expr:
        return self.tensor[self.at]


def shift(program: Program) -> Program:
    """Subtract the largest exponent from exponentials that are summed, where that cancels."""
    if any(isinstance(group, Recurrence) for group in program.equations):
        return program
    for found in _candidates(program):
        try:
            program = _shifted(program, found)
        except _MixedError:
            continue
    return program


def _candidates(program: Program) -> list[_Shift]:
    """Sums of exponentials whose exponents have no largest element subtracted yet."""
    found: dict[Expr, _Shift] = {}
    for equation in program.flat:
        if not equation.over or equation.reduce != "sum":
            continue
        exponent = _summed_exponent(program, equation)
        at = tuple(i for i in subscripts_of(equation.target) if isinstance(i, Idx))
        if exponent is None or exponent in found or at != subscripts_of(equation.target):
            continue
        taken = (shift.tensor.name for shift in found.values())
        name = free_name(program, f"c_{equation.label}", taken)
        if set(indices(exponent)) == {*at, *equation.over}:
            axes = program.by_label[equation.label].axes
            tensor = Tensor(name, axes, "constant")
            found[exponent] = _Shift(exponent, at, equation.over, tensor)
    return list(found.values())


def _summed_exponent(program: Program, equation: Equation) -> Expr | None:
    """u of a sum of exp(u), or of elements that are exp(u); None where u is bounded already."""
    value = equation.value
    definitions = program.defined.get(label_of(value), ()) if accesses(value) == (value,) else ()
    if len(definitions) == 1 and not definitions[0].over:
        names = bind(definitions[0].target, value)
        value = definitions[0].value.xreplace(names) if names is not None else value
    if not isinstance(value, exp):
        return None
    read = [program.tensor(access) for access in accesses(value)]
    shifted = any(tensor is not None and tensor.role == "constant" for tensor in read)
    return None if shifted or not any(read) else value.args[0]


def _shifted(program: Program, found: _Shift) -> Program:
    degrees: dict[Symbol, int] = {}
    equations: list[Equation | Recurrence] = []
    placed = False
    for equation in program.flat:
        degree, value = _degree(equation.value, degrees, found)
        if found.access in accesses(value) and not placed:
            equations.append(Equation(found.access, found.exponent, found.over, "max"))
            placed = True
        if degree:
            _require(equation.reduce != "set" and _aligned(equation, found))
        known = degrees.setdefault(equation.label, degree)
        _require(known == degree or equation.value == 0)
        equations.append(replace(equation, value=value))
    outputs = {tensor.label for tensor in program.outputs}
    _require(placed and not any(degrees.get(label) for label in outputs))
    tensors = (*program.tensors, found.tensor)
    return replace(program, tensors=tensors, equations=tuple(equations))


def _require(holds: bool) -> None:
    if not holds:
        raise _MixedError


def _aligned(equation: Equation, found: _Shift) -> bool:
    """Whether the target has the indices by which c differs."""
    return set(found.at) <= set(subscripts_of(equation.target))


def _degree(node: Expr, degrees: Mapping[Symbol, int], found: _Shift) -> tuple[int, Expr]:
    """The degree of a value, and the value with shifted exponentials."""
    if node == exp(found.exponent):
        return 1, exp(found.exponent - found.access)
    if node in accesses(node):
        degree = degrees.get(label_of(node), 0)
        _require(not degree or set(found.at) <= set(subscripts_of(node)))
        return degree, node
    if not node.args or not any(_concerns(a, degrees, found) for a in node.args):
        return 0, node
    parts = [_degree(argument, degrees, found) for argument in node.args]
    numbers, value = [d for d, _ in parts], node.func(*(v for _, v in parts))
    if isinstance(node, Mul):
        return sum(numbers), value
    if isinstance(node, Add):
        _require(len(set(numbers)) == 1)
        return numbers[0], value
    if isinstance(node, Pow) and node.exp.is_Integer:
        return numbers[0] * int(node.exp), value
    if isinstance(node, log):
        return 0, value + numbers[0] * found.access
    _require(not any(numbers))
    return 0, value


def _concerns(node: Expr, degrees: Mapping[Symbol, int], found: _Shift) -> bool:
    read = {label_of(access) for access in accesses(node)}
    return node.has(exp(found.exponent)) or any(degrees.get(label) for label in read)


SHIFT = Rule(
    "shifted exponentials",
    "exp(u_j)/Σ_j exp(u_j), log(Σ_j exp(u_j))",
    "the same with exp(u_j − c), c = max_j u_j, and log(…) + c",
    "every u: exp(u) overflows for u > 709 (88 in float32), all underflow for u < −745 (−103)",
    shift,
    "program",
)
"""The rule for whole programs."""
