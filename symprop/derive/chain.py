"""The chain rule from the loss to the first layer, as a product of named factors.

    ∂L/∂W⁽¹⁾ = ∂L/∂a⁽²⁾ · ∂a⁽²⁾/∂z⁽²⁾ · ∂z⁽²⁾/∂a⁽¹⁾ · ∂a⁽¹⁾/∂z⁽¹⁾ · ∂z⁽¹⁾/∂W⁽¹⁾

Each factor is a table of derivatives, of every element by every other: the adjoint gives one row of
it where the cotangent is a unit vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sympy import Add, Expr, Idx, Mul, Symbol

from symprop.derive.lookup import Lookup, as_value, free_index, free_indices
from symprop.derive.rules import collapsed, equal, settled
from symprop.derive.sample import counts_samples
from symprop.derive.step import Step
from symprop.equation import Equation
from symprop.formula import Through, Total
from symprop.primitives import Equal
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of

SECTION = "The chain rule through all layers"
MOST_LAYERS = 3
"""The chain is told for the weights so many layers from the end: each layer adds two factors."""


def through_all_layers(lookup: Lookup) -> Iterator[Step]:
    """The chain for the weights of an early layer, its factors, and the recursion that is in it."""
    backbone = _backbone(lookup)
    if not backbone:
        return
    *_, below = backbone
    yield _product("chain rule", below.cotangent(1), backbone)
    for upper, lower in pairwise(backbone):
        yield _factor(lookup, upper, lower)
    yield _product("recursion", lookup.deltas[0], backbone[:3])
    for number in range(1, len(backbone) // 2 - 1):
        between = backbone[2 * number : 2 * number + 3]
        yield _product("recursion", lookup.deltas[number], between, lookup.deltas[number - 1])


def _backbone(lookup: Lookup) -> list[Tensor]:
    """The loss, each layer's output and pre-activation from the last on, an early parameter.

    It ends where there is more than one way, as around a residual connection, or where samples
    depend on each other. Empty where there is no layer to go through, or nothing that comes
    through.
    """
    found = [lookup.loss]
    for delta in lookup.deltas[:MOST_LAYERS]:
        source = lookup.source(delta)
        outputs = [t for t in _reads(lookup, found[-1]) if _leads_to(lookup, t, source)]
        if len(outputs) != 1 or lookup.is_zero(delta):
            return []
        road = [found[-1], outputs[0], source]
        if not all(_is_the_only_way(lookup, *pair) for pair in pairwise(road)):
            break
        found += road[1:]
    parameters = [t for t in _reads(lookup, found[-1]) if len(lookup.readers[t.label]) == 1]
    parameters = [t for t in parameters if t.role == "parameter"]
    return [*found, parameters[0]] if parameters and len(found) > 1 else []


def _is_the_only_way(lookup: Lookup, upper: Tensor, lower: Tensor) -> bool:
    """Whether all that depends on a tensor goes through another to the loss, sample by sample."""
    waiting, seen = [lower], {lower.label}
    while waiting:
        for equation in lookup.readers.get(waiting.pop().label, ()):
            target = lookup.forward.by_label[equation.label]
            if target in (upper, *waiting) or target.label in seen:
                continue
            if target.role != "constant" and target.cotangent(1).label in lookup.raw.by_label:
                if target == lookup.loss or not any(map(counts_samples, target.axes)):
                    return False
                seen.add(target.label)
                waiting.append(target)
    return True


def _leads_to(lookup: Lookup, tensor: Tensor, source: Tensor) -> bool:
    """Whether a tensor is computed from another one; a penalty of weights is from none."""
    wanted, seen = [tensor], {tensor.label}
    while wanted:
        found = wanted.pop()
        if found.label in lookup.forward.defined:
            new = [t for t in _reads(lookup, found) if t.label not in seen]
            seen.update(t.label for t in new)
            wanted += new
    return source.label in seen


def _reads(lookup: Lookup, tensor: Tensor) -> list[Tensor]:
    equations = lookup.forward.defined[tensor.label]
    labels = dict.fromkeys(label_of(access) for e in equations for access in e.reads)
    return [lookup.forward.by_label[label] for label in labels if label in lookup.forward.by_label]


def _product(
    rule: str, target: Tensor, tensors: Sequence[Tensor], head: Tensor | None = None
) -> Step:
    """target = Σ head · ∂t₀/∂t₁ · ∂t₁/∂t₂ ⋯, over all elements between."""
    own = target.axes
    sample = next((axis for axis in own if counts_samples(axis)), None)
    taken, over, elements = {str(axis) for axis in own}, [], []
    for tensor in tensors[:-1]:
        at: list[Idx] = []
        for axis in tensor.axes:
            index = sample if counts_samples(axis) and sample else free_index(axis, taken)
            at.append(index)
            if index is not sample:
                taken.add(str(index))
                over.append(index)
            sample = index if counts_samples(axis) else sample
        elements.append(tensor[tuple(at)])
    elements.append(tensors[-1][own])
    factors = [Through(upper, lower) for upper, lower in pairwise(elements)]
    front = [head[subscripts_of(elements[0])]] if head else []
    value = Mul(*front, *factors)
    return Step(rule, target[own], Total(value, *over) if over else value, section=SECTION)


def _factor(lookup: Lookup, upper: Tensor, lower: Tensor) -> Step:
    """∂upper[t]/∂lower[s], for elements of the same sample."""
    samples = [axis for axis in lower.axes if counts_samples(axis)]
    units = [axis for axis in upper.axes if not (samples and counts_samples(axis))]
    free = iter(free_indices(units, map(str, lower.axes)))
    at = tuple(samples[0] if axis not in units else next(free) for axis in upper.axes)
    value = jacobian(lookup, upper, lower, at)
    return Step("derivative", Through(upper[at], lower[lower.axes]), value, section=SECTION)


def jacobian(lookup: Lookup, above: Tensor, below: Tensor, at: tuple[Idx, ...]) -> Expr:
    """The derivative of an element of one tensor by an element of another, in stored values."""
    bar, seed = below.cotangent(1), above.cotangent(1)
    if seed.label in lookup.seeds:
        return _shortest(lookup, bar, as_value(lookup.raw_equations(bar), bar[bar.axes]))
    value = _expanded(lookup, bar[bar.axes], seed.label, frozenset(map(str, at)))
    units = {
        access: Mul(*(equal(s, t) for s, t in zip(subscripts_of(access), at, strict=True)))
        for access in _elements(value)
        if label_of(access) == seed.label
    }
    return _shortest(lookup, bar, collapsed(settled(value.xreplace(units))))


def _expanded(lookup: Lookup, element: Expr, seed: Symbol, taken: frozenset[str]) -> Expr:
    """A cotangent's element with the plain adjoint's equations put in, down to the seed."""
    tensor = lookup.raw.by_label[label_of(element)]
    value = as_value(lookup.raw_equations(tensor), element, taken)
    used = taken | {str(index) for index in value.atoms(Idx)}
    inner = [a for a in _elements(value) if _is_between(lookup, label_of(a), seed)]
    return value.xreplace({access: _expanded(lookup, access, seed, used) for access in inner})


def _elements(value: Expr) -> list[Expr]:
    """The elements in a formula, under its sums too."""
    bodies = [total.args[0] for total in value.atoms(Total)]
    return sorted({a for body in (value, *bodies) for a in accesses(body)}, key=str)


def _is_between(lookup: Lookup, label: Symbol, seed: Symbol) -> bool:
    tensor = lookup.raw.by_label.get(label)
    return tensor is not None and tensor.order > 0 and label != seed


def _shortest(lookup: Lookup, bar: Tensor, value: Expr) -> Expr:
    """The value in its shortest form with what is stored."""
    if value.has(Total):
        return value
    near = lookup.near(lookup.chain(bar))
    front, rest = _delta_in_front(value)
    over = tuple(index for index in indices(rest) if index not in bar.axes)
    return front * lookup.shortest(Equation(bar[bar.axes], rest, over), near)


def _delta_in_front(value: Expr) -> tuple[Expr, Expr]:
    """The factors of [j = k]·u − [j = k]·v: [j = k] and u − v."""
    terms = [set(Mul.make_args(term)) for term in Add.make_args(value)]
    shared = {factor for factor in set.intersection(*terms) if isinstance(factor, Equal)}
    return Mul(*shared), Add(*(Mul(*(term - shared)) for term in terms))
