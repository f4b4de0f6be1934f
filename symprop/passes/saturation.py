"""Slopes of saturated activations, which the stored value no longer tells.

    a = tanh z,  … (1 − a²)   →   a = tanh z,  r = 1/cosh² z,  … r

Where a has been rounded to 1 the difference is 0. What it is in exponentials is computed beside a,
in the same loops, and stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sympy import Add, Expr, Function, Mul, Pow, Symbol, exp, tanh

from symprop.equation import Equation
from symprop.passes.rewrite import Stored, bind, free_name, replaced, stored_value
from symprop.passes.rule import Rule
from symprop.passes.tangents import rest_of_tangent
from symprop.primitives import Select
from symprop.program import Program
from symprop.tensor import Tensor, accesses, label_of, subscripts_of

Taken = Mapping[Expr, bool]


@dataclass
class _Rests:
    """The differences that a program is to store, found while its values are rewritten."""

    program: Program
    stored: Mapping[Symbol, Stored]
    function: Any
    found: dict[Expr, tuple[Tensor, Equation, Equation]] = field(default_factory=dict)
    """By its value: the tensor, its equation, and the equation that it goes beside."""

    def rewritten(self, node: Expr, taken: Taken) -> Expr:
        """Sums such as 1 − aⁿ as what is stored of them; ``taken`` are the conditions decided."""
        if isinstance(node, Select):
            condition, u, v = node.args
            known = ({**taken, condition: True}, {**taken, condition: False})
            branches = (self.rewritten(b, k) for b, k in zip((u, v), known, strict=True))
            return Select(condition, *branches)
        if isinstance(node, Mul):
            return Mul(*(self.rewritten(part, taken) for part in node.args))
        if isinstance(node, Pow) and node.exp.is_Integer:
            return self.rewritten(node.base, taken) ** node.exp
        if isinstance(node, Add) and node.args[0].is_number and not node.has(Function):
            return self._read(node, taken)
        return node

    def _read(self, total: Expr, taken: Taken) -> Expr:
        read = [access for access in accesses(total) if not access.is_integer]
        definition = self.stored.get(label_of(read[0])) if len(read) == 1 else None
        names = bind(definition.target, read[0]) if definition else None
        if definition is None or names is None:
            return total
        value = _of(definition.value, self.function, taken)
        if value is None:
            return total
        back = {read[0]: definition.target}
        rest = total.xreplace(back).xreplace({definition.target: value})
        if rest not in self.found:
            self.found[rest] = self._defined(definition.target, rest)
        tensor, *_ = self.found[rest]
        return tensor[subscripts_of(read[0])]

    def _defined(self, target: Expr, rest: Expr) -> tuple[Tensor, Equation, Equation]:
        """A tensor for a difference, by the same indices as the value that it is of."""
        taken = (tensor.name for tensor, *_ in self.found.values())
        name = free_name(self.program, f"r_{label_of(target)}", taken)
        own = self.program.defined[label_of(target)][0]
        tensor = Tensor(name, self.program.by_label[own.label].axes)
        return tensor, replace(own, target=tensor[subscripts_of(target)], value=rest), own


def _of(value: Expr, function: Any, taken: Taken) -> Expr | None:
    """A value in the branch that is taken; None unless it is computed from a function."""
    for choice in sorted(value.atoms(Select), key=str):
        if choice.args[0] in taken:
            value = value.xreplace({choice: choice.args[1 if taken[choice.args[0]] else 2]})
    functions = {type(part) for part in value.atoms(Function)}
    computed = function in functions or (function is exp and _leaves_rest(value))
    return value if computed and functions <= {exp, tanh} else None


def _leaves_rest(value: Expr) -> bool:
    """Whether a value is c ± c·tanh u, which is computed from exponentials."""
    return any(rest_of_tangent(total) != total for total in value.atoms(Add))


def saturated(program: Program, function: Any) -> Program:
    """Store 1 − a² and the like beside a, for the equations that read them, where a is computed
    from a function.
    """
    stored = {label: s for label in program.defined if (s := stored_value(program, label))}
    rests = _Rests(program, stored, function)
    equations = [replace(e, value=rests.rewritten(e.value, {})) for e in program.flat]
    if not rests.found:
        return program
    changes = {place: [equation] for place, equation in enumerate(equations)}
    places = {equation: place for place, equation in enumerate(program.flat)}
    for _, equation, beside in rests.found.values():
        changes[places[beside]].append(equation)
    return replaced(program, changes, [tensor for tensor, *_ in rests.found.values()])


SATURATION = Rule(
    "slope of a saturated activation",
    "1 − a, 1 + a, where a is stored and computed from exponentials",
    "the same in what a is computed from, and stored beside it",
    "every a: the difference cancels where a is near 1 or −1",
    lambda program: saturated(program, exp),
    "program",
)
"""The rule where the differences cost little: exponentials are shared with those of a."""
SATURATED_TANGENT = Rule(
    "slope of a saturated tanh",
    "1 − a², where a is stored and computed from tanh(u)",
    "the same in 1/cosh²(u), and stored beside a",
    "every a: the difference cancels where a is near 1 or −1, for |u| > 2",
    lambda program: saturated(program, tanh),
    "program",
)
"""The rule where it costs as much as tanh itself, which ``RULES`` does without: the error of 1 − a²
is below 4 ulp of 1.
"""
