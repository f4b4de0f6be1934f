"""The shortest form of a scalar value: what it costs, and how rational algebra makes it cheaper.

A value is seen as a rational function of its *leaves*: elements of tensors, sizes, and functions of
them. Exponentials that differ by a rational factor in the exponent are powers of one leaf E =
exp(u), or, where that is shorter, rational functions of the logistic s = 1/(1 + exp(-u)), by E =
s/(1 - s): this keeps what is finite finite, for s never overflows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, reduce

from sympy import (
    Add,
    Expr,
    Function,
    Indexed,
    Mul,
    Number,
    Pow,
    Rational,
    Symbol,
    cancel,
    cosh,
    exp,
    expand_mul,
    factor,
    fraction,
    gcd,
    sinh,
    tanh,
)

from symprop.passes.cost import (
    cheapest,
    cost,
    is_divisor,
    overflows,
)
from symprop.primitives import (
    Absolute,
    Greater,
    GreaterEqual,
    Indicator,
    Select,
    Sign,
)
from symprop.tensor import accesses

PLAIN = 10_000
"""Numbers up to this are taken out of a sum."""
LARGEST = 90
"""Above this many parts a value stays as it is: algebra takes seconds, and finds little."""


@lru_cache(maxsize=16384)
def tidy(value: Expr) -> Expr:
    """The cheapest form of a value that rational algebra finds; the value itself where there is
    none cheaper.
    """
    if (
        value.is_number
        or isinstance(value, (Indexed, Symbol))
        or (value.is_Mul and _is_monomial(value))
    ):
        return value
    parts = connected(value)
    if len(parts) > 1:
        return Mul(*map(tidy, parts))
    inner = _tidy_functions(value)
    found = list(dict.fromkeys(candidates(inner)))
    again = (form for shown in found if overflows(shown) for form in candidates(shown))
    spread = (positive_factors(form) for form in _termwise(inner))
    return cheapest([positive_factors(inner), *spread, *found, *again])


def _termwise(value: Expr) -> Iterator[Expr]:
    """A sum with each term tidied; u·(v + w) as u·v + u·w, each tidied, where that may cancel."""
    if isinstance(value, Add):
        yield Add(*map(tidy, value.args))
    elif isinstance(value, Mul):
        for part in value.args:
            if isinstance(part, Add) and any(_divides(term) for term in part.args):
                yield Add(*(tidy(term * (value / part)) for term in part.args))


def _divides(value: Expr) -> bool:
    return any(is_divisor(part) for part in Mul.make_args(value))


def connected(value: Expr) -> list[Expr]:
    """The factors of a product, multiplied together where they read a common element: others never
    cancel.

    Factors that read none (numbers, sizes) stay with the first group that is more than a bare
    element.
    """
    fixed: list[Expr] = []
    groups: list[tuple[set[Expr], Expr]] = []
    for part in Mul.make_args(value):
        read = {access for access in accesses(part) if not access.is_integer}
        touched = [group for group in groups if group[0] & read]
        if read:
            joined = (read.union(*(g[0] for g in touched)), Mul(part, *(g[1] for g in touched)))
            groups = [group for group in groups if group not in touched] + [joined]
        else:
            fixed.append(part)
    products = [product for _, product in groups]
    home = next((p for p in products if not isinstance(p, (Indexed, Symbol))), None)
    if home is None:
        return [*products, *fixed]
    return [Mul(product, *fixed) if product is home else product for product in products]


def _is_monomial(value: Expr) -> bool:
    """A product of different leaves, none of them a function: nothing to cancel."""
    bases = [part.base if isinstance(part, Pow) else part for part in value.args]
    return all(isinstance(base, (Indexed, Symbol)) or base.is_Rational for base in bases)


def _tidy_functions(value: Expr) -> Expr:
    """Tidy the arguments of the functions in a value and apply the identities between functions."""
    changed = {}
    for leaf in leaves(value):
        if isinstance(leaf, Select):
            changed[leaf] = _select(leaf.args[0], *(tidy(branch) for branch in leaf.args[1:]))
        elif isinstance(leaf, Function) and not isinstance(leaf, Indicator):
            changed[leaf] = leaf.func(*(tidy(argument) for argument in leaf.args))
        elif isinstance(leaf, Pow):
            changed[leaf] = tidy(leaf.base) ** leaf.exp
    value = value.xreplace(changed) if changed else value
    for identity in (_hyperbolic_tangent, _absolute, _scale_into_select, _content):
        value = identity(value)
    return value


def _select(condition: Expr, u: Expr, v: Expr) -> Expr:
    """Select(c, u, v) = c·u + (1 − c)·v where u and v are 0, 1 or comparisons."""
    flat = all(part in (0, 1) or _is_condition(part) for part in (u, v))
    return condition * u + complement(condition) * v if flat else Select(condition, u, v)


def _is_condition(value: Expr) -> bool:
    return all(isinstance(part, Indicator) for part in Mul.make_args(value))


def complement(condition: Expr) -> Expr:
    """1 − [u > v] = [v ≥ u] and 1 − [u ≥ v] = [v > u]."""
    opposite = {Greater: GreaterEqual, GreaterEqual: Greater}.get(condition.func)
    return opposite(*reversed(condition.args)) if opposite else 1 - condition


def _hyperbolic_tangent(value: Expr) -> Expr:
    """sinh(u)/cosh(u) = tanh(u)."""
    found = {sine: tanh(sine.args[0]) * cosh(sine.args[0]) for sine in value.atoms(sinh)}
    replaced = value.xreplace(found) if found else value
    return replaced if cost(replaced) < cost(value) else value


def _absolute(value: Expr) -> Expr:
    """sign(u)·u = |u|."""
    for sign in sorted(value.atoms(Sign), key=str):
        (u,) = sign.args
        for product in sorted(value.atoms(Mul), key=str):
            if {sign, u} <= {*Mul.make_args(product)}:
                value = value.xreplace({product: product / sign / u * Absolute(u)})
    return value


def _content(value: Expr) -> Expr:
    """(2u − 2v)·w = 2·(u − v)·w, but for numbers with which products would leave the range."""
    if not isinstance(value, Mul):
        return value
    parts = [
        part.as_content_primitive() if isinstance(part, Add) else (Mul.identity, part)
        for part in value.args
    ]
    if any(max(content.as_numer_denom()) > PLAIN for content, _ in parts):
        return value
    return Mul(*(content for content, _ in parts), *(part for _, part in parts))


def _scale_into_select(value: Expr) -> Expr:
    """r·Select(c, u, v) = Select(c, r·u, r·v) for a number r."""
    coefficient, rest = value.as_coeff_Mul()
    if coefficient == 1:
        return value
    for part in Mul.make_args(rest):
        if isinstance(part, Select):
            condition, u, v = part.args
            scaled = Select(condition, tidy(coefficient * u), tidy(coefficient * v))
            return rest.xreplace({part: scaled})
    return value


def _length(value: Expr) -> int:
    """The parts of a value, an element of a tensor for one."""
    return 1 if isinstance(value, Indexed) else 1 + sum(map(_length, value.args))


def candidates(value: Expr) -> Iterator[Expr]:
    """Equal forms of a value: in lowest terms, factored, as a sum of fractions."""
    whole = _differences(value)
    if whole:
        back = {symbol: total for total, symbol in whole.items() if symbol.is_Symbol}
        yield from (form.xreplace(back) for form in candidates(value.xreplace(whole)))
    if _length(value) > LARGEST:
        return
    for form, meaning in views((value,)):
        (abstract,) = form
        for result in _rational_forms(abstract):
            yield positive_factors(result.xreplace(meaning))


def _differences(value: Expr) -> dict[Expr, Expr]:
    """Sums of elements that stand more than once, if their elements stand nowhere else: (u − v)² is
    not to be multiplied out. 2u − 2v is one of them, twice.
    """
    multiples: dict[Expr, dict[Expr, Expr]] = {}
    for total in sorted(value.atoms(Add), key=str):
        if all(_is_element(term.as_coeff_Mul()[1]) for term in total.args):
            factor, unit = total.as_content_primitive()
            if -unit in multiples:
                factor, unit = -factor, -unit
            multiples.setdefault(unit, {})[total] = factor
    found: dict[Expr, Expr] = {}
    for unit, totals in multiples.items():
        symbol = Symbol(f"d{len(found)}")
        names = {total: factor * symbol for total, factor in totals.items()}
        rest = value.xreplace(names)
        if not {*accesses(rest)} & {*accesses(unit)} and rest.count(symbol) > 1:
            found |= {**names, unit: symbol}
    return found


def _is_element(value: Expr) -> bool:
    return isinstance(value, (Indexed, Symbol)) and not value.is_integer


@lru_cache(maxsize=16384)
def _rational_forms(value: Expr) -> tuple[Expr, ...]:
    """Reduced to lowest terms, with the numerator factored, expanded, and spread over several
    fractions.
    """
    numerator, denominator = fraction(cancel(value))
    below = factor(denominator)
    terms = Add.make_args(expand_mul(numerator))
    spread = Add(*(_lowest(term / denominator) for term in terms)) if len(terms) > 1 else value
    return (positive_factors(factor(numerator) / below), numerator / below, spread)


def _lowest(value: Expr) -> Expr:
    numerator, denominator = fraction(cancel(value))
    return numerator / factor(denominator)


def positive_factors(value: Expr) -> Expr:
    """Signs as a person writes them: (u − 1)·(v − w)/−2 as (1 − u)·(v − w)/2, −(u − v) as v − u."""
    coefficient, rest = value.as_coeff_Mul()
    parts = list(Mul.make_args(rest))
    sums = [i for i, part in enumerate(parts) if isinstance(part, Add)]
    flipped = [
        i for i in sums if any(term.is_number and term.is_negative for term in parts[i].args)
    ]
    if (coefficient.is_negative and len(flipped) % 2 == 0) or (
        coefficient.is_positive and len(flipped) % 2
    ):
        free = [i for i in sums if not any(term.is_number for term in parts[i].args)]
        flipped += [
            i for i in free if parts[i].could_extract_minus_sign() or coefficient.is_negative
        ][:1]
    for i in flipped:
        coefficient, parts[i] = -coefficient, Add(*(-term for term in parts[i].args))
    return coefficient * Mul(*parts) if flipped else value


def is_rational_node(node: Expr) -> bool:
    return isinstance(node, (Add, Mul, Number)) or (isinstance(node, Pow) and node.exp.is_Integer)


def leaves(value: Expr) -> tuple[Expr, ...]:
    """What a value is a rational function of, by name."""
    return tuple(sorted(set(_walk_leaves(value)), key=str))


def _walk_leaves(value: Expr) -> Iterator[Expr]:
    if not is_rational_node(value):
        yield value
    elif isinstance(value, Pow):
        yield from _walk_leaves(value.base)
    else:
        for argument in value.args:
            yield from _walk_leaves(argument)


def views(values: tuple[Expr, ...]) -> Iterator[tuple[tuple[Expr, ...], dict[Expr, Expr]]]:
    """The values as rational functions of plain symbols, with what each symbol stands for.

    Without exponentials there is one view; with them one in the logistic s of u, one in exp(−u) and
    one in exp(u).
    """
    found = tuple(sorted({leaf for value in values for leaf in leaves(value)}, key=str))
    roots = _roots_of_exponentials(found)
    found += tuple(leaf for root in roots for leaf in leaves(root.base) if leaf not in found)
    plain = {leaf: Symbol(f"u{i}") for i, leaf in enumerate(found) if not isinstance(leaf, exp)}
    meant = {symbol: leaf for leaf, symbol in plain.items()} | _as_powers(plain)
    groups = exponential_groups(leaf for leaf in found if isinstance(leaf, exp))
    for kind in ("logistic", "decay", "growth") if groups else ("none",):
        names, meaning = dict(plain), dict(meant)
        for i, (unit, members) in enumerate(groups.items()):
            symbol = Symbol(f"E{i}")
            base, meaning[symbol] = _exponential(kind, unit, symbol)
            names.update({leaf: base**power for leaf, power in members.items()})
        for root in roots:
            meaning[plain[root]] = root.base * root
            names[root] = plain[root] / root.base.xreplace(names)
        yield tuple(value.xreplace(names) for value in values), meaning


def _roots_of_exponentials(found: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """The leaves (1 + eᵘ)⁻ʳ, r > 1 a fraction, that are the only roots of their base: each as (1 +
    eᵘ)^(1 − r)/(1 + eᵘ), where the quotient may cancel.
    """
    bases = [leaf.base for leaf in found if isinstance(leaf, Pow)]
    return tuple(
        leaf
        for leaf in found
        if isinstance(leaf, Pow)
        and (leaf.exp.is_Rational and leaf.exp < -1 and bases.count(leaf.base) == 1)
        and any(isinstance(inner, exp) for inner in leaves(leaf.base))
    )


def _as_powers(names: dict[Expr, Expr]) -> dict[Expr, Expr]:
    """Roots of one base, which have names, renamed as powers of one; and what that stands for.

    1/√u − v/u^(3/2) is a quotient of r = √u, whose numerator r² − v cancels where u has v in it.
    """
    bases: dict[Expr, list[Expr]] = {}
    for leaf in names:
        if isinstance(leaf, Pow) and leaf.exp.is_Rational:
            bases.setdefault(leaf.base, []).append(leaf)
    meaning = {}
    for base, roots in bases.items():
        if len(roots) > 1:
            unit = reduce(gcd, (root.exp for root in roots))
            symbol = names[roots[0]]
            meaning[symbol] = base**unit
            names.update({root: symbol ** (root.exp / unit) for root in roots})
    return meaning


def _exponential(kind: str, unit: Expr, symbol: Symbol) -> tuple[Expr, Expr]:
    """exp(unit) in terms of a symbol, and what the symbol stands for."""
    if kind == "growth":
        return symbol, exp(unit)
    if kind == "decay":
        return 1 / symbol, exp(-unit)
    return symbol / (1 - symbol), 1 / (1 + exp(-unit))


def exponential_groups(found: Iterable[Expr]) -> dict[Expr, dict[Expr, Expr]]:
    """Exponentials by the unit of their exponents: exp(−z) and exp(2z) are powers −1 and 2 of
    exp(z).
    """
    rates: dict[Expr, dict[Expr, Rational]] = {}
    for leaf in found:
        rate, rest = leaf.args[0].as_coeff_Mul(rational=True)
        if rest.could_extract_minus_sign():
            rate, rest = -rate, -rest
        rates.setdefault(rest, {})[leaf] = rate
    groups = {}
    for rest, members in rates.items():
        unit = reduce(gcd, (abs(rate) for rate in members.values()))
        groups[unit * rest] = {leaf: rate / unit for leaf, rate in members.items()}
    return groups
