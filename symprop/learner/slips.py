"""The likely slip: the change to the right formula that gives what a person's formula gives.

Nothing here knows a layer. The right formula, a sum of products, is changed as people change it by
mistake (a factor forgotten, a tensor taken for another, a transpose left out, a sum over another
index, the slope of another activation, …), and each variant is compared in numbers with the
person's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, permutations, product

import numpy as np
from sympy import Add, Expr, Idx, Indexed, IndexedBase, Integer, Pow, S, Symbol

from symprop.backends.numpy import Array
from symprop.check import difference
from symprop.learner.slopes import other_slopes
from symprop.learner.terms import Factor, Formula, Point, Term, on_diagonal
from symprop.scope import BATCH
from symprop.steps import is_plain
from symprop.tensor import Tensor, accesses, extent, indices, label_of, subscripts_of

TOLERANCE = 1e-9
"""Relative to the largest element: far above rounding, far below a mistake."""
SMALL = 1e-6
"""Errors of smaller elements are taken relative to this: sums may cancel to 0."""
MOST_PAIRS, MOST_WORK = 3000, 2e8
"""So many pairs of slips are tried, and so many products are formed for them, at most."""
MOST_LOOPS = 4
"""With more loops than that, no other choice of what is summed is tried."""

Variant = tuple[str, Formula]


@dataclass(frozen=True)
class Spelling:
    """How formulas name things."""

    element: Callable[[Expr], str]
    whole: Callable[[Expr], str]
    """The tensor of an element, without subscripts."""
    activation: str = "σ"

    def factor(self, factor: Factor) -> str:
        if factor.source is not None:
            return f"{self.slope(factor.source)}, the derivative of the activation,"
        return self.whole(factor.value) if _is_access(factor.value) else self.element(factor.value)

    def slope(self, at: Expr) -> str:
        return f"{self.activation}′({self.whole(at)})"

    def axis(self, index: Idx, terms: Iterable[Term]) -> str:
        """The samples, or the second index of W⁽²⁾."""
        if extent(index) == BATCH:
            return "the samples"
        for access in (a for term in terms for f in term.factors for a in accesses(f.value)):
            if index in subscripts_of(access):
                place = ORDINALS[min(subscripts_of(access).index(index), len(ORDINALS) - 1)]
                return f"the {place} index of {self.whole(access)}"
        return "another index"


ORDINALS = ("first", "second", "third", "last")


@dataclass(frozen=True)
class Search:
    """What a person's formula gives at some points, and what is known of the right one."""

    points: Sequence[Point]
    given: Sequence[Array]
    right: Sequence[Array]
    role: str
    """The role of the tensor whose gradient is asked for."""
    formulas: tuple[Formula, ...]
    tensors: tuple[Tensor, ...]
    """All that is stored: what may be taken for another."""
    outputs: int
    own_slope: Factor | None
    spell: Spelling

    def likely(self) -> str:
        """The slip in words; empty where none is found."""
        if self.given[0].shape != self.right[0].shape:
            return self._squeezed() or self._of_other_shape()
        if not any(map(np.any, self.given)):
            return "it is 0 everywhere"
        return (
            self._first((("", formula) for formula in self.formulas), self.scaled)
            or self._first(self.single(), self.equal)
            or self._first(self.other_sums(), self.scaled)
            or self._first(self.single(), self.scaled)
            or self._first(self.double(), self.scaled)
        )

    def _of_other_shape(self) -> str:
        """For arrays of another shape than the right one's."""
        variants = [*self.other_sums(), *self.other_axes()]
        return self._first(variants, self.equal) or self._first(variants, self.scaled)

    def _first(self, variants: Iterable[Variant], match: Callable[[Formula], str | None]) -> str:
        """The words of the first variant that gives what the person's formula gives."""
        for words, formula in variants:
            if any(factor.value.has(*SINGULAR) for factor in _factors(formula)):
                continue
            scale = match(formula)
            if scale is not None and (words or scale):
                return ", and ".join(filter(None, (words, scale)))
        return ""

    def equal(self, formula: Formula) -> str | None:
        """No words are needed where the variant gives the same; None where it does not."""
        pairs = zip(self.given, self.points, strict=True)
        return "" if all(_alike(given, formula.at(point)) for given, point in pairs) else None

    def scaled(self, formula: Formula) -> str | None:
        """The common factor in words, none for 1; None where there is none that is known."""
        words = None
        for given, point in zip(self.given, self.points, strict=True):
            found = formula.at(point)
            ratio = ratio_of(given, found)
            if ratio is None:
                return None
            said = self._scale(ratio, point)
            if said is None or words not in (None, said):
                return None
            words = said
        return words

    def _scale(self, ratio: float, point: Point) -> str | None:
        scales = {"m": point.sizes.get(BATCH, 1), "n": self.outputs, "2": 2}
        powers = sorted(product((0, 1, -1), repeat=3), key=lambda p: sum(map(abs, p)))
        for exponents in powers:
            value = 1.0
            for scale, exponent in zip(scales.values(), exponents, strict=True):
                value *= float(scale) ** exponent
            for sign in (1, -1):
                if abs(ratio - sign * value) <= TOLERANCE * value:
                    said = [SCALES[name, e] for name, e in zip(scales, exponents, strict=True) if e]
                    signs = ["the sign is wrong"] if sign < 0 else []
                    words = ", and ".join(signs + said).replace("{n}", str(self.outputs))
                    return words.replace("{held}", HELD if self.role == "parameter" else "")
        return None

    def _squeezed(self) -> str:
        """Where only axes of length 1 are too many or too few."""
        pairs = tuple(zip(self.given, self.right, strict=True))
        if all(np.size(g) == np.size(r) and _alike(g.reshape(r.shape), r) for g, r in pairs):
            return "the numbers are right, but the shape is not"
        return ""

    def other_sums(self) -> Iterator[Variant]:
        """The same product, summed over other indices, or with its axes in another order."""
        shape = self.given[0].shape
        for formula in self.formulas:
            loops = tuple(dict.fromkeys((*formula.target, *formula.terms[0].over)))
            if len(formula.terms) != 1 or len(loops) > MOST_LOOPS:
                continue
            for target in permutations(loops, len(shape)):
                extents = tuple(map(self.points[0].extent, target))
                if extents == shape and target != formula.target:
                    over = tuple(index for index in loops if index not in target)
                    term = replace(formula.terms[0], over=over)
                    changed = Formula(target, (term,))
                    yield self._summed_words(formula, changed), changed

    def other_axes(self) -> Iterator[Variant]:
        """A tensor taken for one with other axes, where the product is possible nevertheless."""
        for formula in self.formulas:
            factors = _factors(formula)
            for factor, tensor in product(filter(_is_element, factors), self.tensors):
                names = _other_axes(factor.value, tensor)
                others = {i for f in factors if f != factor for i in indices(f.value)}
                others.update(index for term in formula.terms for index in term.over)
                if names and not others & set(names):
                    changed = tensor[subscripts_of(factor.value.xreplace(names))]
                    whole = _with_factor(formula, factor, changed)
                    target = tuple(names.get(index, index) for index in formula.target)
                    yield self._mistaken_words(changed, factor.value), replace(whole, target=target)

    def _mistaken_words(self, other: Expr, right: Expr) -> str:
        return f"{self.spell.whole(other)} stands where {self.spell.whole(right)} belongs"

    def _summed_words(self, right: Formula, changed: Formula) -> str:
        before, after = (
            " and ".join(self.spell.axis(i, right.terms) for i in f.terms[0].over)
            for f in (right, changed)
        )
        if set(right.target) == set(changed.target):
            return "it is the transpose of the right one: a transpose is missing, or one too many"
        if not after:
            return f"it is not summed over {before}"
        if not changed.target and not before:
            return f"it is summed over all elements; the right one has no sum{_axis(right)}"
        if not changed.target:
            return f"it is summed over all elements instead of over {before} only{_axis(right)}"
        return f"it is summed over {after}, not over {before or 'nothing'}"

    def single(self) -> Iterator[Variant]:
        """One slip in one of the right formulas."""
        for formula in self.formulas:
            yield from self.changes(formula)
            for factor in _factors(formula):
                for words, changed in other_slopes(factor):
                    yield words, _with_factor(formula, factor, changed)

    def double(self) -> Iterator[Variant]:
        """Two slips."""
        for formula in self.formulas:
            work = max(1, formula.work(self.points[0]))
            pairs = (
                (one if one == other else f"{one}, and {other}", twice)
                for one, once in self.changes(formula)
                for other, twice in self.changes(once)
            )
            yield from islice(pairs, min(MOST_PAIRS, int(MOST_WORK / work)))

    def changes(self, formula: Formula) -> Iterator[Variant]:
        """Every slip in a formula, the most common first."""
        factors = _factors(formula)
        for kind in (self.forgotten, self.at_output, self.transposed, self.mistaken, self.inner):
            for factor in factors:
                for words, changed in kind(factor):
                    yield words, _with_factor(formula, factor, changed)
        yield from self.whole_terms(formula)
        yield from self.means(formula)

    def forgotten(self, factor: Factor) -> Iterator[tuple[str, Expr]]:
        words = self.spell.factor(factor)
        if factor.value == 1 / BATCH:
            words += " (the loss is the mean over the samples)"
        yield f"{words} is missing", Integer(1)

    def at_output(self, factor: Factor) -> Iterator[tuple[str, Expr]]:
        """σ′ taken at a in place of z, and σ in place of σ′."""
        if factor.source is None or factor.output is None:
            return
        z, a = factor.source, factor.output
        at_a, at_z = map(self.spell.slope, (a, z))
        function = f"{self.spell.activation}({self.spell.whole(z)})"
        words = f"the derivative of the activation is taken at {self.spell.whole(a)} instead of "
        yield f"{words}{self.spell.whole(z)}: {at_a} for {at_z}", factor.value.xreplace({z: a})
        yield f"the activation {function} stands where its derivative {at_z} belongs", a

    def transposed(self, factor: Factor) -> Iterator[tuple[str, Expr]]:
        """W[j, k] in place of W[k, j], where the axes are equally long."""
        for access in filter(_is_access, accesses(factor.value)):
            subscripts = subscripts_of(access)
            if len(subscripts) == 2 and len({self._extent(s) for s in subscripts}) == 1:
                turned = IndexedBase(label_of(access))[subscripts[::-1]]
                words = f"a transpose of {self.spell.whole(access)} is missing, or one too many"
                yield words, factor.value.xreplace({access: turned})

    def _extent(self, subscript: Expr) -> Expr:
        return extent(subscript) if isinstance(subscript, Idx) else subscript

    def mistaken(self, factor: Factor) -> Iterator[tuple[str, Expr]]:
        """One tensor taken for another of the same shape, or two exchanged."""
        found = tuple(filter(_is_access, accesses(factor.value)))
        for one, other in combinations(found, 2):
            words = f"{self.spell.whole(one)} and {self.spell.whole(other)} are exchanged"
            yield words, factor.value.xreplace({one: other, other: one})
        for access in found:
            shape = tuple(map(self._extent, subscripts_of(access)))
            for tensor in self.tensors:
                if tensor.shape == shape and tensor.label != label_of(access):
                    other = tensor[subscripts_of(access)]
                    words = self._mistaken_words(other, access)
                    yield words, factor.value.xreplace({access: other})

    def inner(self, factor: Factor) -> Iterator[tuple[str, Expr]]:
        """A sign, a term or a power within a factor; a factor twice or as a divisor."""
        words = self.spell.factor(factor)
        yield f"{words} divides where it should multiply", 1 / factor.value
        if factor.source is not None:
            return  # the short form says it in stored values
        yield f"{words} is there twice", factor.value**2
        say = self.spell.element
        for node in _nodes(factor.value, Add):
            for part in node.args:
                shown = f"{say(-part if part.could_extract_minus_sign() else part)} in {say(node)}"
                changed = factor.value.xreplace({node: node - 2 * part})
                yield f"the sign of {shown} is wrong", changed
                yield f"{shown} is missing", factor.value.xreplace({node: node - part})
        for node in _nodes(factor.value, Pow):
            if node.exp.is_Integer and node.exp > 1:
                changed = factor.value.xreplace({node: node.base})
                yield f"{say(node.base)} stands where {say(node)} belongs", changed

    def whole_terms(self, formula: Formula) -> Iterator[Variant]:
        """A term left out, the diagonal of sums alone, a slope too many."""
        terms = formula.terms
        diagonal = tuple(on_diagonal(term, formula.target) for term in terms)
        words = (
            "only the diagonal of the derivative of the activation is there; each of its outputs "
            "depends on every input, so that the others have a part too"
        )
        yield words, replace(formula, terms=diagonal)
        for left_out in terms if len(terms) > 1 else ():
            parts = "·".join(self.spell.element(factor.value) for factor in left_out.factors)
            rest = tuple(term for term in terms if term is not left_out)
            yield f"the part with {parts} is missing", replace(formula, terms=rest)
        if self.own_slope is not None:
            more = tuple(term.times(self.own_slope) for term in terms)
            slope = self.spell.factor(self.own_slope)
            words = f"{slope} is a factor too many: the formula has it already, or it cancelled"
            yield words, replace(formula, terms=more)

    def means(self, formula: Formula) -> Iterator[Variant]:
        """The mean over an index in place of the sum."""
        for index in dict.fromkeys(i for term in formula.terms for i in term.over):
            mean = Factor(1 / extent(index))
            terms = tuple(t.times(mean) if index in t.over else t for t in formula.terms)
            words = f"the mean over {self.spell.axis(index, formula.terms)} is taken, not the sum"
            yield words, replace(formula, terms=terms)


SCALES = {
    ("m", 1): "1/m is missing: the loss is the mean over the samples",
    ("m", -1): "1/m is there once too often{held}",
    ("n", 1): "a factor 1/{n} is missing, for {n} outputs",
    ("n", -1): "a factor 1/{n} is too much, for {n} outputs",
    ("2", 1): "a factor 2 is too much",
    ("2", -1): "a factor 2 is missing (the derivative of u² is 2u)",
}
HELD = " (δ holds it already; what follows sums over samples)"


def ratio_of(given: Array, right: Array) -> float | None:
    """The number c with given = c · right, c not 0."""
    if given.shape != right.shape or not np.isfinite(right).all() or not right.any():
        return None
    largest = int(np.abs(right).argmax())
    ratio = float(given.flat[largest] / right.flat[largest])
    return ratio if ratio and _alike(given, ratio * right) else None


SINGULAR = (S.ComplexInfinity, S.NaN)
"""What a variant may divide into, as by a term left out that was all there is below the line."""


def _alike(given: Array, found: Array) -> bool:
    return given.shape == found.shape and difference(given, found, SMALL) <= TOLERANCE


def _factors(formula: Formula) -> tuple[Factor, ...]:
    return tuple(dict.fromkeys(f for term in formula.terms for f in term.factors))


def _axis(formula: Formula) -> str:
    """The axis of a single tensor that is summed, as NumPy has it."""
    (term,) = formula.terms
    if len(term.factors) != 1 or len(term.over) != 1 or not _is_element(term.factors[0]):
        return ""
    return f" (axis={subscripts_of(term.factors[0].value).index(term.over[0])})"


def _is_element(factor: Factor) -> bool:
    return isinstance(factor.value, Indexed) and is_plain(factor.value)


def _other_axes(access: Expr, tensor: Tensor) -> dict[Idx, Idx]:
    """Indices of other extents for an access, so that it fits a tensor of as many axes."""
    subscripts = subscripts_of(access)
    if len(subscripts) != len(tensor.axes):
        return {}
    pairs = zip(subscripts, tensor.axes, strict=True)
    return {s: Idx(s.label, extent(axis)) for s, axis in pairs if extent(s) != extent(axis)}


def _is_access(value: Expr) -> bool:
    return isinstance(value, (Indexed, Symbol)) and value != BATCH


def _nodes(value: Expr, kind: type) -> tuple[Expr, ...]:
    """The parts of a kind, none of them in a subscript, by name."""
    return tuple(sorted(dict.fromkeys(_walk(value, kind)), key=str))


def _walk(value: Expr, kind: type) -> Iterator[Expr]:
    if isinstance(value, kind):
        yield value
    for argument in () if _is_access(value) else value.args:
        yield from _walk(argument, kind)


def _with_factor(formula: Formula, factor: Factor, changed: Expr) -> Formula:
    """Another value for a factor, wherever it is."""
    terms = tuple(
        Term(tuple(Factor(changed) if f == factor else f for f in term.factors), term.over)
        for term in formula.terms
    )
    return replace(formula, terms=terms)
