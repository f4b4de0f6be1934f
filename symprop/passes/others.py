"""The complement of a normalized exponential: what the other classes have of the probability.

    p_j = e^u_j / Σ_k e^u_k,   1 − p_w = e^d·t/s   where p_w > 1/2

with d = max_{k ≠ w} u_k, t = Σ_{k ≠ w} e^(u_k − d), s = Σ_k e^u_k. The class w has more than half
of the probability, so that there is one at most; for the others 1 − p loses nothing. Nothing is
subtracted, and nothing underflows that would make 1 − p_w zero in a logarithm or below a fraction
bar: log(1 − p_w) = d + log t − log s, and p_i/(1 − p_w) = e^(u_i − d)/t = q_i.

Derivatives have the pole of 1/(1 − p) in a sum h and beside it:

    h = Σ_j H_j,  v_i = A_i + B_i·h,  H = R/(1 − p)
    →   o = Σ_{j ≠ w} H_j,  r = Σ_{j = w} R_j,  v_i = A_i + B_i·o + (B_i/p_i)·q_i·r for i ≠ w,
        v_w = (A_w + B_w·R_w/(1 − p_w)) + B_w·o, in whose bracket the pole cancels
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sympy import Add, Expr, Float, Idx, Integer, Mul, Pow, Symbol, cancel, exp, fraction, log

from symprop.equation import Equation
from symprop.passes.inline import uses_of
from symprop.passes.powers import HALF
from symprop.passes.rewrite import Draft, bind, free_name, replaced, stored_value
from symprop.passes.rule import Rule
from symprop.primitives import Greater, Minimum, Select
from symprop.program import Program
from symprop.tensor import Tensor, accesses, extent, indices, label_of, subscripts_of

LOWEST = -Float("3e38")
"""Below every exponent: what the largest of no other class is, in float32 too."""


@dataclass(frozen=True)
class _Normalized:
    """p = e^u/s, the sum s over some of the indices, and what is stored of the other classes."""

    p: Expr
    exponent: Expr
    total: Expr
    over: tuple[Idx, ...]
    shift: Tensor
    rest: Tensor

    @property
    def at(self) -> tuple[Expr, ...]:
        return tuple(subscripts_of(self.total))

    @property
    def largest(self) -> Expr:
        """Whether a class is w, as a number."""
        return Greater(self.p, HALF)

    @property
    def logarithm(self) -> Expr:
        """log(1 − p_w)."""
        return Minimum(self.shift[self.at], 0) + log(self.rest[self.at]) - log(self.total)

    @property
    def share(self) -> Expr:
        """q = p/(1 − p_w) of another class."""
        return exp(self.exponent - self.shift[self.at]) / self.rest[self.at]

    def definitions(self) -> tuple[Equation, Equation]:
        """d and t."""
        d, t = self.shift[self.at], self.rest[self.at]
        others = Select(self.largest, LOWEST, self.exponent)
        powers = Select(self.largest, 0, exp(self.exponent - d))
        return Equation(d, others, self.over, "max"), Equation(t, powers, self.over)

    def renamed(self, access: Expr) -> _Normalized | None:
        """The same for the element ``access`` of p."""
        names = bind(self.p, access)
        if names is None or not all(isinstance(index, Idx) for index in names.values()):
            return None
        return replace(
            self,
            p=self.p.xreplace(names),
            exponent=self.exponent.xreplace(names),
            total=self.total.xreplace(names),
            over=tuple(names[index] for index in self.over),
        )


def complement(program: Program) -> Program:
    """Store the sum of the other classes where 1 − p stands in a logarithm or divides."""
    for label in program.defined:
        found = _normalized(program, label)
        if found is not None:
            program = _with_others(program, found)
    return program


def _normalized(program: Program, label: Symbol) -> _Normalized | None:
    """p as a quotient of an exponential, with its largest subtracted, and the sum of all."""
    stored = stored_value(program, label)
    above, below = fraction(stored.value) if stored else (Integer(0), Integer(1))
    sums = program.defined.get(label_of(below), ()) if accesses(below) == (below,) else ()
    if stored is None or len(sums) != 1 or not sums[0].over or sums[0].reduce != "sum":
        return None
    names = bind(sums[0].target, below)
    kept = set(subscripts_of(below))
    over = tuple(i for i in indices(stored.target) if i not in kept)
    if names is None or len(over) != len(sums[0].over) or all(extent(i) == 1 for i in over):
        return None
    same = sums[0].value.xreplace({**names, **dict(zip(sums[0].over, over, strict=True))})
    power = _opened(program, above)
    if same != above or not isinstance(power, exp) or not _is_shifted(program, power.args[0]):
        return None
    name, axes = str(label), program.by_label[label_of(below)].axes
    shift, rest = (Tensor(free_name(program, f"{letter}_{name}"), axes) for letter in "dt")
    return _Normalized(stored.target, power.args[0], below, over, shift, rest)


def _opened(program: Program, access: Expr) -> Expr:
    """An element as what it is computed from, if that is an exponential."""
    stored = stored_value(program, label_of(access)) if accesses(access) == (access,) else None
    value = stored.value_of(access) if stored else None
    return access if value is None else value


def _is_shifted(program: Program, exponent: Expr) -> bool:
    """Whether an exponent has its largest subtracted, so that it is 0 for some class."""
    for term in Add.make_args(exponent):
        equations = program.defined.get(label_of(-term), ()) if accesses(-term) == (-term,) else ()
        if any(e.reduce == "max" and e.value == exponent - term for e in equations):
            return True
    return False


def _with_others(program: Program, found: _Normalized) -> Program:
    """The program with d and t beside p; as it was where nothing reads them."""
    place = next(n for n, e in enumerate(program.flat) if e.target == found.p)
    beside = (program.flat[place], *found.definitions())
    defined = replaced(program, {place: beside}, (found.shift, found.rest))
    opened = _with_slopes_opened(defined, found)
    changed = _without_poles(opened, found)
    changed = defined if changed == opened else changed
    values = [(e, _logarithms(e.value, found)) for e in changed.flat]
    changes = {n: (replace(e, value=v),) for n, (e, v) in enumerate(values) if v != e.value}
    changed = replaced(changed, changes)
    return program if changed == defined else changed


def _with_slopes_opened(program: Program, found: _Normalized) -> Program:
    """Stored slopes that have a pole at p = 1 put where they are read: summed, it cancels."""
    draft, kept = Draft(program), {tensor.label for tensor in program.outputs}
    for slot, slope in enumerate(program.flat):
        read = [access for access in accesses(slope.value) if label_of(access) == label_of(found.p)]
        may_go = slope.label not in kept and not slope.over and len(read) == 1
        may_go = may_go and draft.definitions(slope.label) == [(slot, slope)]
        if not may_go or not _has_pole(slope.value, read[0]):
            continue
        uses = uses_of(program, draft, slope.label, (slope,))
        for use in uses:
            value = use.with_value(use.bound(slope, slope.value))
            draft.replace(use.slot, use.equation, (value,))
        if uses:
            draft.replace(slot, slope, ())
    return draft.freeze()


def _logarithms(value: Expr, found: _Normalized) -> Expr:
    """log(1 − p) as d + log t − log s where p > 1/2."""
    changed = {}
    for logarithm in sorted(value.atoms(log), key=str):
        for access in accesses(logarithm):
            own = found.renamed(access)
            if own is not None and logarithm.args[0] == 1 - access:
                changed[logarithm] = Select(own.largest, own.logarithm, logarithm)
    return value.xreplace(changed) if changed else value


def _without_poles(program: Program, found: _Normalized) -> Program:
    """Sums of values that have a pole at p = 1, and what reads them, without the pole."""
    for total in program.flat:
        own = _element(total, found)
        residue = None if own is None else _without_pole(total.value * (1 - own.p), own.p)
        if own is None or residue is None or not _has_pole(total.value, own.p):
            continue
        pole = _Pole(program, total, residue, own)
        changes = pole.changes()
        if changes is not None:
            program = replaced(program, changes, pole.tensors)
    return program


def _element(total: Equation, found: _Normalized) -> _Normalized | None:
    """The element of p in a value that is summed over the classes."""
    read = [access for access in accesses(total.value) if label_of(access) == label_of(found.p)]
    own = found.renamed(read[0]) if len(read) == 1 else None
    return own if own is not None and set(own.over) <= set(total.over) else None


def _has_pole(value: Expr, p: Expr) -> bool:
    """Whether a value divides by what is 0 at p = 1."""
    return any(
        power.exp.is_negative and p in accesses(power) and power.base.subs(p, 1) == 0
        for power in value.atoms(Pow)
    )


def _without_pole(value: Expr, p: Expr) -> Expr | None:
    """A value with the terms that have a pole at p = 1 in lowest terms; None where one is left.

    The others stay as they are: multiplied out, what vanishes with 1 − p would cancel.
    """
    terms = list(_terms(value, p))
    poles = [term for term in terms if _has_pole(term, p)]
    names = {access: Symbol(f"x{n}") for n, access in enumerate(accesses(value))}
    back = {symbol: access for access, symbol in names.items()}
    reduced = cancel(Add(*poles).xreplace(names)).xreplace(back)
    others = (term for term in terms if term not in poles)
    return None if _has_pole(reduced, p) else Add(reduced, *others)


def _terms(value: Expr, p: Expr) -> Iterator[Expr]:
    """The terms of a sum, and of a product of a sum where it has a pole at p = 1."""
    if isinstance(value, Add):
        for term in value.args:
            yield from _terms(term, p)
        return
    sums = (part for part in Mul.make_args(value) if part.is_Add and part not in (1 - p, p - 1))
    total = next(sums, None) if _has_pole(value, p) else None
    if total is None:
        yield value
    else:
        for term in total.args:
            yield from _terms(value / total * term, p)


@dataclass(frozen=True)
class _Pole:
    """h = Σ_j R_j/(1 − p_j), to be told apart into o and r."""

    program: Program
    total: Equation
    residue: Expr
    own: _Normalized

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """o and r."""
        label, axes = self.total.label, self.program.by_label[self.total.label].axes
        names = (free_name(self.program, f"{letter}_{label}") for letter in "or")
        first, second = (Tensor(name, axes) for name in names)
        return first, second

    def changes(self) -> dict[int, tuple[Equation, ...]] | None:
        """The equations that are replaced, by place; None where the pole does not cancel."""
        if len(self.program.defined[self.total.label]) != 1 or self.total.reduce != "sum":
            return None
        at = subscripts_of(self.total.target)
        others, largest = (tensor[at] for tensor in self.tensors)
        values = (
            Select(self.own.largest, 0, self.total.value),
            Select(self.own.largest, self.residue, 0),
        )
        parts = tuple(
            replace(self.total, target=target, value=value)
            for target, value in zip((others, largest), values, strict=True)
        )
        found: dict[int, tuple[Equation, ...]] = {}
        for place, equation in enumerate(self.program.flat):
            if equation == self.total:
                found[place] = parts
            elif self.total.label in map(label_of, equation.reads):
                read = self._reader(equation)
                if read is None:
                    return None
                found[place] = (read,)
        return found

    def _reader(self, equation: Equation) -> Equation | None:
        """v = A + B·h without the pole: by o, r and q."""
        read = [a for a in accesses(equation.value) if label_of(a) == self.total.label]
        classes = [a for a in accesses(equation.value) if label_of(a) == label_of(self.own.p)]
        own = self.own.renamed(classes[0]) if len(classes) == 1 else None
        names = bind(self.total.target, read[0]) if len(read) == 1 else None
        if (
            own is None
            or names is None
            or own.at != tuple(index.xreplace(names) for index in self.own.at)
        ):
            return None
        (h,), p = read, own.p
        others, largest = (tensor[subscripts_of(h)] for tensor in self.tensors)
        beside, rate = equation.value.subs(h, 0), cancel(equation.value.diff(h))
        share = cancel(rate / p)
        inner = dict(zip(self.own.over, own.over, strict=True))
        residue = self.residue.xreplace({**names, **inner})
        kept = _without_pole(beside + rate * residue / (1 - p), p)
        if h in accesses(rate) or _has_pole(rate, p) or kept is None:
            return None
        value = Select(
            own.largest, kept + rate * others, beside + rate * others + share * own.share * largest
        )
        return replace(equation, value=value)


OTHERS = Rule(
    "complement of a normalized exponential",
    "log(1 − p_w), 1/(1 − p_w), where p_w = exp(u_w)/Σ_k exp(u_k) > 1/2",
    "d + log(t) − log(s), d = max_{k≠w} u_k, t = Σ_{k≠w} exp(u_k − d), s = Σ_k exp(u_k); p_i/(1 − "
    "p_w) = exp(u_i − d)/t",
    "every u: p_w is rounded to 1 where u_w is larger than all others by 37 (17 in float32)",
    complement,
    "program",
)
"""The rule for programs that have such a complement in a logarithm or below a fraction bar."""
