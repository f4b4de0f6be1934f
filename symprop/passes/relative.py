"""Slopes by a probability that may underflow, as slopes by its logarithm.

    p̄_j = f(p_j),  s̄ = Σ_j p̄_j·p_j,  z̄_j = p_j·(p̄_j − s̄)
    →   q̄_j = p_j·f(p_j),  s̄ = Σ_j q̄_j,  z̄_j = q̄_j − p_j·s̄

p is an exponential, so that p·∂L/∂p = ∂L/∂log p: where every reader multiplies the slope by p, this
product is stored in its place. A slope f that is infinite at p = 0, as 1/p, 1/√p and log p are, is
cancelled against p on paper, instead of being 0·∞ where p has underflowed to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sympy import Add, Expr, Mul, Pow, Symbol, exp, log

from symprop.equation import Equation
from symprop.passes.algebra import tidy
from symprop.passes.cost import effort
from symprop.passes.inline import Use, use_of
from symprop.passes.rewrite import Draft, bind, free_name, is_settled, stored_value
from symprop.passes.rule import Rule
from symprop.program import Program
from symprop.tensor import Tensor, accesses, label_of, subscripts_of


def relative(program: Program) -> Program:
    """Store p·p̄ in place of p̄, for the slopes p̄ that are infinite where p is 0."""
    kept = {tensor.label for tensor in program.outputs}
    for label in program.defined:
        if program.by_label[label].order > 0 and label not in kept:
            program = _by_logarithm(program, label)
    return program


def _by_logarithm(program: Program, label: Symbol) -> Program:
    for p in _singular(program, program.defined[label]):
        draft = Draft(program)
        uses = _uses(draft, label, p)
        if not uses or not draft.outside_recurrences(label):
            continue
        tensor = program.by_label[label]
        new = Tensor(free_name(program, f"q_{tensor.name}"), tensor.axes)
        for slot, old in draft.definitions(label):
            target = new[subscripts_of(old.target)]
            value = _cancelled(old.value, p)
            draft.replace(slot, old, (replace(old, target=target, value=value),))
        for use in uses:
            draft.replace(use.slot, use.equation, (_reader(use, new, p),))
        return draft.freeze(new=[new])
    return program


def _singular(program: Program, definitions: tuple[Equation, ...]) -> Iterator[Expr]:
    """The probabilities at which a slope may be infinite, by the subscripts of the slope."""
    (first, *others) = definitions
    if others or first.over or not first.value.has(Pow, log):
        return
    plain = bind(first.target, first.target) is not None and first.reduce == "sum"
    if not plain or not is_settled(program, first):
        return
    for access in accesses(first.value):
        same = subscripts_of(access) == subscripts_of(first.target)
        if same and _is_infinite(first.value, access) and _vanishes(program, access):
            yield access


def _is_infinite(value: Expr, p: Expr) -> bool:
    """Whether a value has p below a fraction bar, in a root or in a logarithm."""
    powers = (part for part in value.atoms(Pow) if not (part.exp.is_Integer and part.exp > 0))
    return any(p in accesses(part) for part in (*powers, *value.atoms(log)))


def _vanishes(program: Program, access: Expr) -> bool:
    """Whether an element is an exponential, or a stored exponential times something."""
    stored = stored_value(program, label_of(access))
    for factor in Mul.make_args(stored.value) if stored else ():
        inner = stored_value(program, label_of(factor)) if accesses(factor) == (factor,) else None
        if isinstance(inner.value if inner else factor, exp):
            return True
    return False


def _cancelled(value: Expr, p: Expr) -> Expr:
    """A value times p in the shortest form that does not divide by p, if there is one.

    With elements as plain symbols, which algebra takes for shorter.
    """
    read = [access for access in dict.fromkeys(accesses(value)) if not access.is_integer]
    short = {access: Symbol(f"x{number}") for number, access in enumerate(read)}
    value, p = value.xreplace(short), short[p]
    forms = (tidy(value * p), tidy(_times(value, p)))
    found = min(forms, key=lambda form: (_divides(form, p), effort(form)))
    return found.xreplace({symbol: access for access, symbol in short.items()})


def _divides(value: Expr, p: Expr) -> bool:
    return any(part.base == p and part.exp.is_negative for part in value.atoms(Pow))


def _times(value: Expr, p: Expr) -> Expr:
    """A value times p, with p in each term, where it cancels."""
    if isinstance(value, Add):
        return Add(*(_times(term, p) for term in value.args))
    for part in Mul.make_args(value):
        if isinstance(part, Add) and _is_infinite(part, p):
            return value / part * _times(part, p)
    return value * p


def _uses(draft: Draft, label: Symbol, p: Expr) -> list[Use]:
    """The places where a slope is read; none unless it is multiplied by p at each."""
    found = []
    for slot, equation in draft.uses(label):
        use = use_of(label, equation, slot)
        if use is None or _renamed(p, use.access) not in Mul.make_args(use.slope):
            return []
        found.append(use)
    return found


def _renamed(p: Expr, access: Expr) -> Expr:
    """p by the subscripts at which the slope is read."""
    names = dict(zip(subscripts_of(p), subscripts_of(access), strict=True))
    return p.xreplace(names)


def _reader(use: Use, new: Tensor, p: Expr) -> Equation:
    slope = use.slope / _renamed(p, use.access)
    value = slope * new[subscripts_of(use.access)] + use.rest
    return replace(use.equation, value=value)


RELATIVE = Rule(
    "slope by a logarithm",
    "p·∂L/∂p, where ∂L/∂p is stored and infinite at p = 0, p an exponential",
    "∂L/∂log(p) = p·∂L/∂p stored in its place, with p cancelled",
    "every p: 0·∞ where p has underflowed to 0",
    relative,
    "program",
)
"""The rule for programs that store such a slope."""
