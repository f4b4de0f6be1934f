"""Stored values: a value is read where a tensor holds it, instead of computed again.

    a = f(z),  value g(z)   →   the form of g in terms of a, where it is shorter

found by eliminating: f is solved for one of its leaves, which is then replaced in g. σ′ = e⁻ᶻ/(1 +
e⁻ᶻ)² becomes a(1 − a), tanh′ becomes 1 − a², softplus′ becomes 1 − e⁻ᵃ. A form with a denominator
that was not there is refused: the derivative z·… + a/z of a = z·f(z) is equal, but not at z = 0.

So is a form with a difference that was not there, for it cancels: log(e⁻ᶻ + 3)′ is not 3e⁻ᵃ − 1,
nor (z/√(1 + z²))′ in 1 − a². Two are worth it: 1 − e⁻ᵃ, which a function computes exactly, and the
difference of a number and powers of a, where it saves the exponential, tanh, ... itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from sympy import Add, Expr, Mul, Pow, Symbol, exp, expand_mul, fraction, log

from symprop.equation import Equation
from symprop.passes.algebra import connected, positive_factors, tidy, views
from symprop.passes.cost import cheapest, effort, parts_of
from symprop.passes.rewrite import Stored, elements, in_derivatives, stored_values
from symprop.passes.signs import is_expm1, sign_of, transcendental
from symprop.primitives import Select
from symprop.program import Program
from symprop.tensor import accesses, label_of

RESULT = Symbol("stored")
"""Stands for the stored value while a value is expressed in it."""

LARGEST_SOLVED = 60
"""Above this many parts nothing is eliminated from a value: it takes seconds, and finds little."""

Available = dict[Symbol, list[tuple[Expr, Stored]]]


def reuse_stored(program: Program) -> Program:
    """Express derivatives in the values that the forward pass stores."""
    available = stored_values(program)
    return in_derivatives(program, lambda e: in_stored_values(program, e, available))


def in_stored_values(program: Program, equation: Equation, available: Available) -> Equation:
    """The equation in terms of stored values, as long as that makes it cheaper."""
    for stored in _usable(program, equation, available):
        value = expressed(equation.value, stored.value, stored.target)
        if effort(value) < effort(equation.value):
            return in_stored_values(program, replace(equation, value=value), available)
    return equation


def _usable(program: Program, equation: Equation, available: Available) -> Iterator[Stored]:
    """Stored values all of whose elements the equation reads anyway."""
    own = program.by_label[equation.label].order
    read = set(elements(program, equation.value))
    seen = {equation.target}
    for access in accesses(equation.value):
        for through, stored in available.get(label_of(access), ()):
            if program.by_label[label_of(stored.target)].order >= own:
                continue
            there = stored.at(access, through)
            if there and there.target not in seen and read >= set(elements(program, there.value)):
                seen.add(there.target)
                yield there


def expressed(value: Expr, stored: Expr, name: Expr) -> Expr:
    """The value in terms of ``name``, which stands for ``stored``; the value itself where that is
    not shorter.
    """
    needed = set(accesses(stored))
    parts = connected(value)
    inside = Mul(*(part for part in parts if needed & set(accesses(part))))
    outside = Mul(*(part for part in parts if not needed & set(accesses(part))))
    return outside * _named(inside, stored, name)


def _named(value: Expr, stored: Expr, name: Expr) -> Expr:
    """The same with elements as plain symbols, so that equal layers need it once."""
    read = dict.fromkeys((*accesses(stored), *accesses(value)))
    short = {access: Symbol(f"x{i}") for i, access in enumerate(read) if not access.is_integer}
    back = {symbol: access for access, symbol in short.items()}
    return _expressed(value.xreplace(short), stored.xreplace(short)).xreplace(
        {**back, RESULT: name}
    )


@lru_cache(maxsize=16384)
def _expressed(value: Expr, stored: Expr) -> Expr:
    value = _within_branches(value, stored)
    found = [value, tidy(value.xreplace({stored: RESULT, **_powers_of(stored, value)}))]
    if parts_of(value) > LARGEST_SOLVED:
        return cheapest(_no_less_exact(found, stored))
    result, original = RESULT, stored
    while isinstance(stored, log):
        stored, result = stored.args[0], exp(result)
    for (value_view, stored_view), meaning in views((value, stored)):
        for symbol in sorted(stored_view.free_symbols & value_view.free_symbols, key=str):
            solved = solve_for(stored_view, symbol, result)
            if solved is not None:
                found += _substituted(value_view, symbol, solved, meaning)
    return cheapest(_no_less_exact(found, original))


def _no_less_exact(found: list[Expr], stored: Expr) -> Iterator[Expr]:
    """The first form, and those others that may cancel at no more places."""
    functions = len(transcendental(found[0]))

    def places(form: Expr) -> int:
        saves = len(transcendental(form)) < functions
        sums = (total for total in form.atoms(Add) if sign_of(total) is None)
        return sum(not _is_exact(total, stored, saves) for total in sums)

    allowed = places(found[0])
    yield from (form for form in found if places(form) <= allowed)


def _is_exact(total: Expr, stored: Expr, saves: bool) -> bool:
    """Whether a function computes a difference: c − c·eᵘ, u < 0 where it is of the stored value; or
    it is of powers of that, which ``saves`` a function.
    """
    if is_expm1(total):
        exponent = (total.args[1] / total.args[0]).as_coeff_Mul()[1].args[0]
        return not exponent.has(RESULT) or sign_of(exponent.xreplace({RESULT: stored})) == -1
    return saves and total.free_symbols == {RESULT}


def _powers_of(stored: Expr, value: Expr) -> dict[Expr, Expr]:
    """Powers in a value as powers of a stored root: 1/√u as 1/σ where σ = √u is stored."""
    if not isinstance(stored, Pow) or not stored.exp.is_Rational or stored.exp.is_Integer:
        return {}
    found = {p: p.exp / stored.exp for p in value.atoms(Pow) if p.base == stored.base}
    return {p: RESULT**power for p, power in found.items() if power.is_Integer}


def _within_branches(value: Expr, stored: Expr) -> Expr:
    """Where both take the same branches, express each branch in what is stored on it.

    What is inside a branch is left to the branch: of nested choices only the outermost is met here.
    """
    for choice in _outermost_choices(stored):
        condition, *stored_branches = choice.args
        for other in _outermost_choices(value):
            if other.args[0] == condition:
                branches = (
                    _expressed(branch, stored.xreplace({choice: taken}))
                    for branch, taken in zip(other.args[1:], stored_branches, strict=True)
                )
                value = value.xreplace({other: Select(condition, *branches)})
    return value


def _outermost_choices(value: Expr) -> list[Expr]:
    """The choices in a value that stand in no other choice, by their text."""
    if isinstance(value, Select):
        return [value]
    inner = {choice for part in value.args for choice in _outermost_choices(part)}
    return sorted(inner, key=str)


def _substituted(
    value: Expr, symbol: Symbol, solved: Expr, meaning: dict[Expr, Expr]
) -> Iterator[Expr]:
    """The value with a leaf replaced by its solution, unless that brings in a denominator."""
    allowed = _denominators(value.xreplace(meaning))
    substituted = value.xreplace({symbol: solved})
    for form in (tidy(substituted), _split_fraction(tidy(substituted))):
        result = positive_factors(form.xreplace(meaning))
        if _denominators(result) <= allowed:
            yield result


def _split_fraction(value: Expr) -> Expr:
    """(u + v)/w as u/w + v/w."""
    numerator, denominator = fraction(value)
    return Add(*(tidy(term / denominator) for term in Add.make_args(expand_mul(numerator))))


def _denominators(value: Expr) -> set[Expr]:
    """What a value divides by, exponentials aside: they are never 0."""
    parts = {power.base for power in value.atoms(Pow) if power.exp.is_negative}
    return {part for base in parts for part in Mul.make_args(base) if not isinstance(part, exp)}


def solve_for(value: Expr, symbol: Symbol, result: Expr) -> Expr | None:
    """The symbol from result = value; None unless it can be isolated step by step."""
    while value != symbol:
        inner = [argument for argument in value.args if argument.has(symbol)]
        others = [argument for argument in value.args if not argument.has(symbol)]
        if len(inner) != 1:
            return _fractional_linear(value, symbol, result)
        if isinstance(value, Add):
            result = result - Add(*others)
        elif isinstance(value, Mul):
            result = result / Mul(*others)
        elif isinstance(value, Pow) and value.exp == -1:
            result = 1 / result
        else:
            return None
        value = inner[0]
    return result


def _fractional_linear(value: Expr, symbol: Symbol, result: Expr) -> Expr | None:
    """The symbol from result = (p·symbol + q)/(r·symbol + s)."""
    numerator, denominator = fraction(tidy(value))
    equation = expand_mul(numerator - result * denominator)
    slope = equation.coeff(symbol)
    rest = expand_mul(equation - slope * symbol)
    return None if slope == 0 or rest.has(symbol) else -rest / slope
