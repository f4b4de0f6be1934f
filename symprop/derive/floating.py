"""What runs in another form than is printed, and why: the rules of stabilizing that fired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from sympy import Add, Expr, Mul, Pow, Symbol

from symprop.derive.groups import Block, Run, blocks_of, label_number, layer_number
from symprop.derive.lookup import as_value
from symprop.derive.step import Step
from symprop.equation import Equation
from symprop.formula import Beginning
from symprop.passes.functions import Written
from symprop.passes.rewrite import bind
from symprop.passes.rule import Rule
from symprop.passes.stabilize import Place, changes
from symprop.primitives import Absolute, Select
from symprop.program import Program
from symprop.tensor import accesses

SECTION = "In floating point"
INTRODUCTION = (
    "These formulas are computed in another form, the second of each pair. On paper both are "
    "equal; in floating point the first overflows, is 0/0 or loses digits somewhere. Where one "
    "form stands alone, only its rounding is another."
)
SHOWN, LONG = 3, 6
"""How many terms are shown of a polynomial that has more than so many."""

LONGEST = 320
"""The characters of both forms up to which what a rule was applied to is shown."""

RULES = (
    "The rules by which they were found, each with all shapes that it is for, and below it, if "
    "that is short, the first that it found here:"
)


class Floating:
    """The equations of a program that run in another form."""

    def __init__(self, program: Program):
        self.program = program
        made = changes(program)
        own = {c.after.target: c.after.value for c in made if c.before is None and not c.after.over}
        self.brought = [c.after for c in made if c.before is None and c.after.over]
        """Sums and maxima of which only the running form knows."""
        found = [change for change in made if change.before is not None]
        self.running = {c.before: _on_paper(c.after, own) for c in found}
        self.rules: dict[Symbol, dict[Rule, None]] = {}
        self.places: dict[Symbol, dict[Rule, Place]] = {}
        """What a rule found first in a tensor's equations, and what it wrote for it."""
        for change in found:
            label = change.after.label
            self.rules.setdefault(label, {}).update(dict.fromkeys(change.rules))
            places = {rule: _on_paper_at(place, own) for rule, place in change.fired}
            self.places[label] = {**places, **self.places.get(label, {})}

    def blocks(self) -> list[Block]:
        """What is told of each layer: the printed equations of each tensor that differs."""
        pairs = ((self._layer(e), e) for e in self.program.flat if e.label in self.rules)
        return blocks_of(pairs)

    def _layer(self, equation: Equation) -> int:
        if self.program.by_label[equation.label].order:
            return label_number(str(equation.label))
        return layer_number(equation.origin.layer)

    def steps(self, told: Iterable[tuple[Block, Run | None]]) -> Iterator[Step]:
        """What is brought in; then a step for each tensor: the printed value equals the one that
        runs.
        """
        for equation in self.brought:
            yield self._definition(replace(equation, value=_on_paper(equation, {}).value))
        for block, run in told:
            for label in dict.fromkeys(equation.label for equation in block.equations):
                yield self._step(label, run)

    def _definition(self, equation: Equation) -> Step:
        value = as_value([equation], equation.target)
        inner = Step("definition", equation.target, value, detail="summary")
        return replace(inner, origin=equation.origin, section=SECTION, steps=(inner,))

    def _step(self, label: Symbol, run: Run | None) -> Step:
        tensor, printed = self.program.by_label[label], self.program.defined[label]
        target = tensor[tensor.axes]
        value = as_value(printed, target)
        running = as_value([self.running.get(e, e) for e in printed], target)
        rules = self.rules[label]
        return Step(
            "floating point",
            value,
            running,
            ", ".join(rule.name for rule in rules),
            conditions=tuple(map(in_words, rules)),
            origin=printed[0].origin,
            section=SECTION,
            detail="summary",
            steps=(
                Step("definition", target, value, detail="summary", run=run),
                *self._instances(label, run),
            ),
            run=run,
        )

    def _instances(self, label: Symbol, run: Run | None) -> Iterator[Step]:
        """What the rules were applied to, without what they left as it was."""
        for rule, place in self.places[label].items():
            before, after = narrowed(*place)
            if before != after and len(f"{before}{shortened(after)}") <= LONGEST:
                yield Step(rule.name, before, after, in_words(rule), detail="summary", run=run)


def narrowed(before: Expr, after: Expr) -> tuple[Expr, Expr]:
    """The smallest parts of two values in which they differ, functions whole.

    >>> from sympy import Symbol, cos, sin
    >>> x, y = Symbol("x"), Symbol("y")
    >>> narrowed(y * (cos(1 + sin(x)) + x) ** 2, y * (cos(1 + x) + x) ** 2)
    (cos(sin(x) + 1), cos(x + 1))
    """
    if before.func != after.func or not isinstance(before, (Add, Mul, Pow)):
        return before, after
    if isinstance(before, Pow):
        pairs = [p for p in zip(before.args, after.args, strict=True) if p[0] != p[1]]
        return narrowed(*pairs[0]) if len(pairs) == 1 else (before, after)
    shared = {*before.args} & {*after.args}
    left, right = ([a for a in v.args if a not in shared] for v in (before, after))
    if not shared or not left or not right:
        return before, after
    return narrowed(before.func(*left), after.func(*right))


def _on_paper(equation: Equation, own: Mapping[Expr, Expr]) -> Equation:
    """An equation without the tensors that stabilizing brought in, and its functions as they are
    meant.
    """
    return replace(equation, value=_written_out(_bound(equation.value, own)))


def _written_out(value: Expr) -> Expr:
    return value.xreplace({part: part.meaning for part in value.atoms(Written)})


def _on_paper_at(place: Place, own: Mapping[Expr, Expr]) -> Place:
    before, after = (_written_out(_bound(value, own)) for value in place)
    return before, after


def _bound(value: Expr, own: Mapping[Expr, Expr]) -> Expr:
    """A value with elements in what they are computed from."""
    found = {}
    for target, inner in own.items():
        for access in accesses(value):
            names = bind(target, access)
            if names is not None:
                found[access] = inner.xreplace(names)
    return value.xreplace(found)


def polynomials(value: Expr) -> dict[Expr, list[Expr]]:
    """The polynomials in a value that stand for a series where an element or a difference of two is
    near 0, with their terms.
    """
    found, x = {}, Symbol("x")
    for choice in value.atoms(Select):
        condition, near, _ = choice.args
        for u in (size.args[0] for size in condition.atoms(Absolute)):
            read = accesses(u)
            if accesses(near) and {*accesses(near)} == {*read} and u.coeff(read[0]) in (1, -1):
                rest = (u - u.coeff(read[0]) * read[0]) / u.coeff(read[0])
                terms = near.xreplace({read[0]: x / u.coeff(read[0]) - rest}).expand()
                if terms.is_polynomial(x) and {*accesses(terms)} == {x}:
                    powers = sorted(Add.make_args(terms), key=lambda t: t.as_coeff_exponent(x)[1])
                    found[near] = [term.xreplace({x: u}) for term in powers]
    return found


def shortened(value: Expr) -> Expr:
    """A value with such polynomials cut off after their first terms."""
    found = polynomials(value).items()
    return value.xreplace({p: Beginning(*terms[:SHOWN]) for p, terms in found if len(terms) > LONG})


def in_words(rule: Rule) -> str:
    """Log1p: log(1 + u) → log1p(u), …. u > −1: …"""
    name, range_ = map(_begun, (rule.name, rule.range))
    return f"{name}: {rule.shape} → {rule.form}. {range_}."


def _begun(words: str) -> str:
    """A sentence's beginning; a symbol stays as it is: U would be another than u."""
    return words if words[1:2] in (" ", "(", "") else f"{words[0].upper()}{words[1:]}"
