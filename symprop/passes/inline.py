"""Inlining: a cotangent that is used in one place only is put there instead of being stored.

    ȳ[t] += A,  x̄[s] += B · ȳ[t]    →    x̄[s] += B · A

Every cotangent enters its uses linearly, so a sum of equations for ȳ becomes a sum of equations for
x̄.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from string import ascii_letters

from sympy import Expr, Mul, S, Symbol

from symprop.adjoint import ELEMENT
from symprop.equation import Equation
from symprop.passes.algebra import tidy
from symprop.passes.cost import cost
from symprop.passes.reuse import Available, in_stored_values
from symprop.passes.rewrite import Draft, bind, free_name, is_settled, stored_values
from symprop.program import Program
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of


@dataclass(frozen=True)
class Use:
    """One equation that reads an intermediate tensor at one place and linearly: value = slope ·
    access + rest.
    """

    slot: int
    equation: Equation
    access: Expr
    slope: Expr
    rest: Expr

    def with_value(self, value: Expr) -> Equation:
        """The equation with a value in place of the tensor."""
        return replace(self.equation, value=self.slope * value + self.rest)

    def with_definitions(self, definitions: Iterable[Equation]) -> tuple[Equation, ...]:
        """The equations that the tensor's definitions, in its place, make of this one."""
        inlined = []
        for definition in definitions:
            apart = definition.apart_from(self.equation.loops)
            value = self.slope * self.bound(apart, apart.value)
            over = (*self.equation.over, *apart.over)
            inlined.append(replace(self.equation, value=value, over=over))
        alone = (replace(self.equation, value=self.rest),) if self.rest != 0 else ()
        return (*alone, *inlined)

    def bound(self, definition: Equation, value: Expr) -> Expr:
        """A value of a definition at the indices at which the tensor is read here."""
        return value.xreplace(bind(definition.target, self.access) or {})

    @property
    def elementwise(self) -> bool:
        """Whether the equation visits each element once."""
        return set(self.equation.loops) == set(indices(self.access))


def inline(program: Program, kept: frozenset[Symbol]) -> Program:
    """Put each cotangent that is not ``kept`` where it is used, if it is used once or that is
    cheaper.

    One tensor after another, in the order in which they are defined: a definition may itself have
    been inlined into.
    """
    draft, available = Draft(program), stored_values(program)
    for label in _candidates(program, kept):
        definitions = tuple(equation for _, equation in draft.definitions(label))
        uses = uses_of(program, draft, label, definitions)
        if len(uses) == 1 and is_free(uses[0], definitions):
            draft.replace(uses[0].slot, uses[0].equation, uses[0].with_definitions(definitions))
        elif len(definitions) == 1 and not definitions[0].over:
            _inline_where_cheaper(program, draft, uses, definitions[0], available)
    return draft.freeze()


def _candidates(program: Program, kept: frozenset[Symbol]) -> list[Symbol]:
    """The cotangents that may go, in the order in which they are first defined."""
    labels = (label for label in program.defined if program.by_label[label].order > 0)
    return [label for label in labels if label not in kept]


def uses_of(
    program: Program, draft: Draft, label: Symbol, definitions: tuple[Equation, ...]
) -> list[Use]:
    """All uses of a tensor; none unless it can be inlined into every one of them."""
    whole = all(d.reduce == "sum" and bind(d.target, d.target) is not None for d in definitions)
    whole = whole and all(is_settled(program, definition) for definition in definitions)
    if not whole or not draft.outside_recurrences(label):
        return []
    uses = [use_of(label, equation, slot) for slot, equation in draft.uses(label)]
    return [] if None in uses else [use for use in uses if use]


def use_of(label: Symbol, equation: Equation, slot: int = 0) -> Use | None:
    """The use of a tensor by an equation; None where it is not one place, read linearly."""
    found = [access for access in accesses(equation.value) if label_of(access) == label]
    if len(found) != 1 or equation.reduce == "max" or equation.label == label:
        return None
    slope, rest = _slope_and_rest(equation.value, found[0])
    return None if found[0] in accesses(slope) else Use(slot, equation, found[0], slope, rest)


def _slope_and_rest(value: Expr, access: Expr) -> tuple[Expr, Expr]:
    """The derivative by an element in which a value is linear, and the value where that is 0; with
    elements as plain symbols, so that equal layers need it once.
    """
    others = (a for a in accesses(value) if a != access and not a.is_integer)
    names = {access: ELEMENT, **{other: Symbol(f"x{n}") for n, other in enumerate(others)}}
    slope, rest = _plain_slope_and_rest(value.xreplace(names))
    back = {symbol: element for element, symbol in names.items()}
    return slope.xreplace(back), rest.xreplace(back)


@lru_cache(maxsize=16384)
def _plain_slope_and_rest(value: Expr) -> tuple[Expr, Expr]:
    slope = value.diff(ELEMENT)
    return slope, value if slope.has(ELEMENT) else value.xreplace({ELEMENT: S.Zero})


def is_free(use: Use, definitions: tuple[Equation, ...]) -> bool:
    """Whether nothing is computed more often than before, and no sum ends up inside another."""
    summed = any(definition.over for definition in definitions)
    whole = len(definitions) == 1 and not summed and use.rest == 0
    may_split = use.equation.reduce == "sum" or whole
    return use.elementwise and not (summed and use.equation.over) and may_split


def _inline_where_cheaper(
    program: Program, draft: Draft, uses: list[Use], definition: Equation, available: Available
) -> None:
    """Inline where the equation becomes no dearer by it, or everywhere if all becomes cheaper."""
    inlined = {}
    for use in uses:
        if use.elementwise or not use.equation.over:  # else it is computed anew for each product
            value = use.with_value(use.bound(definition, definition.value))
            inlined[use.slot] = shortest(program, value, available)
    before = (definition, *(use.equation for use in uses))
    everywhere = len(inlined) == len(uses) and _total_cost(inlined.values()) < _total_cost(before)
    for use in uses:
        new = inlined.get(use.slot)
        if new and (everywhere or cost(new.value) <= cost(use.equation.value)):
            draft.replace(use.slot, use.equation, (new,))


def shortest(program: Program, equation: Equation, available: Available) -> Equation:
    """The equation in its cheapest form, with what is stored."""
    tidied = replace(equation, value=tidy(equation.value))
    return in_stored_values(program, tidied, available)


def hoist(program: Program, kept: frozenset[Symbol]) -> Program:
    """Move a factor out of a summed cotangent into the equations that read it, where that is
    cheaper.

    ȳ[t] += C[t] · A over k,  x̄[s] += B · ȳ[t]   →   u[t] += A over k,  x̄[s] += B · C[t] · u[t]
    """
    draft, available, rests = Draft(program), stored_values(program), list[Tensor]()
    for label in _candidates(program, kept):
        definitions = draft.definitions(label)
        if len(definitions) == 1 and definitions[0][1].over:
            taken = tuple(tensor.name for tensor in rests)
            rests += _hoisted(program, draft, definitions[0], available, taken)
    return draft.freeze(new=rests)


def _hoisted(
    program: Program,
    draft: Draft,
    defined: tuple[int, Equation],
    available: Available,
    taken: tuple[str, ...],
) -> list[Tensor]:
    slot, definition = defined
    factors = Mul.make_args(definition.value)
    common = Mul(*(f for f in factors if not set(indices(f)) & set(definition.over)))
    uses = uses_of(program, draft, definition.label, (definition,))
    tensor = program.by_label[definition.label]
    summed = replace(definition, value=definition.value / common)
    known = _same_sum(draft, slot, program, summed)
    name = free_name(program, f"u{tensor.name.lstrip(ascii_letters)}", taken)
    rest = known or Tensor(name, tensor.axes)
    if common == 1 or not uses:
        return []
    left = rest[subscripts_of(definition.target)]
    summed = replace(summed, target=left)
    scaled = [use.with_value(use.bound(definition, common * left)) for use in uses]
    scaled = [shortest(program, equation, available) for equation in scaled]
    before = (definition, *(use.equation for use in uses))
    if _total_cost((summed, *scaled)) >= _total_cost(before):
        return []
    draft.replace(slot, definition, () if known else (summed,))
    for use, equation in zip(uses, scaled, strict=True):
        draft.replace(use.slot, use.equation, (equation,))
    return [] if known else [rest]


def _same_sum(draft: Draft, before: int, program: Program, summed: Equation) -> Tensor | None:
    """A cotangent that an earlier equation alone defines, by the same sum."""
    for label in program.defined:
        (slot, other), *more = draft.definitions(label) or [(before, summed)]
        if more or slot >= before or program.by_label[label].order == 0 or not other.over:
            continue
        pairs = zip((*subscripts_of(other.target), *other.over), summed.loops, strict=False)
        renamed = other.renamed(dict(pairs)) if len(other.loops) == len(summed.loops) else other
        if bind(other.target, other.target) and renamed.value == summed.value:
            return program.by_label[label]
    return None


def _total_cost(equations: Iterable[Equation]) -> int:
    return sum(cost(equation.value) for equation in equations)
