"""How a cotangent comes about: the chain rule, its factors, and the algebra to the shortest form.

The algebra is not told again here: the passes that find the short form run on the one formula, and
each pass that changes it is a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from sympy import Add, Expr, Idx, Symbol

from symprop.adjoint import partial
from symprop.derive.elimination import elimination
from symprop.derive.lookup import (
    Lookup,
    aligned,
    as_value,
    by_label,
    free_indices,
)
from symprop.derive.path import Path, is_elementwise, lettered
from symprop.derive.rules import Move, road
from symprop.derive.step import Step
from symprop.equation import Equation
from symprop.formula import Rate, Total
from symprop.passes import simplifications
from symprop.passes.algebra import tidy
from symprop.passes.cost import parts_of
from symprop.passes.inline import is_free, use_of
from symprop.program import Program
from symprop.steps import is_plain
from symprop.tensor import Tensor, accesses, indices, label_of, subscripts_of

Number = Callable[[Symbol], str]
"""The number under which a tensor's definition was told."""
ALGEBRA = ("cancellation", "common factor", "rearrangement")
"""What the lines of a fraction's algebra are called."""


class Explainer:
    """Explains cotangents of one network, at one depth."""

    def __init__(self, lookup: Lookup, number: Number, full: bool):
        self.lookup, self.number, self.full = lookup, number, full
        self.told: dict[Symbol, tuple[Equation, ...]] = {}
        """What cotangents on the way were found to be: each is told once."""

    def steps(self, cotangent: Tensor) -> tuple[Step, ...]:
        """The lines from the δ above (or L) to a cotangent's shortest form."""
        between = [e.label for e in self.lookup.chain(cotangent)]
        known: dict[Symbol, tuple[Equation, ...]] = {}
        found: list[Step] = []
        for label in reversed(dict.fromkeys(reversed(between))):
            tensor = self.lookup.raw.by_label[label]
            if label in self.lookup.seeds:
                continue
            lines, equations = self._one(tensor, known)
            known[label] = equations
            if label == cotangent.label:
                found += lines
            elif self.told.get(label) != equations:
                self.told[label] = equations
                found.append(_gathered(tensor, lines, equations))
        return (*found, *self._arrival(cotangent, known))

    def _arrival(
        self, cotangent: Tensor, known: Mapping[Symbol, tuple[Equation, ...]]
    ) -> Iterator[Step]:
        """The last lines, where the short form of the program is yet another."""
        target = cotangent[cotangent.axes]
        equations = known[cotangent.label]
        found = as_value(equations, target)
        short = as_value(self.lookup.short.defined.get(cotangent.label, ()), target)
        if found != short:
            used, passing = frozenset(map(str, found.atoms(Idx))), self._passing(known)
            left = (a for a in accesses(found) if label_of(a) in passing)
            put_in = found.xreplace({a: as_value(passing[label_of(a)], a, used) for a in left})
            if put_in != found:
                yield Step("substitution", found, put_in, "with the lines above")
            found = put_in
            yield Step("common factor", found, short, "with the sum that is computed once, below")

    def _one(
        self, cotangent: Tensor, known: Mapping[Symbol, tuple[Equation, ...]]
    ) -> tuple[list[Step], tuple[Equation, ...]]:
        """The lines for one cotangent, given those that it reads, and its equations then."""
        raw = self.lookup.raw_equations(cotangent)
        target = cotangent[cotangent.axes]
        paths = self._paths(cotangent)
        if paths is None:
            return [_adjoint_line(target, raw)], raw
        lines: list[Step] = []
        if not all(self._is_loss(path.equation) for path in paths):
            lines.append(self._chain(cotangent, paths))
        shortened: list[Equation] = []
        for path in paths:
            factor, slope = self._factor(cotangent, path)
            lines += factor
            shortened.append(path.carried(target, slope))
        start = as_value(shortened, target)
        if lines and lines[0].rule == "chain rule":
            lines.append(Step("substitution", target, start, "with the factors"))
        passing = self._passing(known)
        put_in = tuple(e for given in shortened for e in substituted(given, passing))
        if put_in != tuple(shortened):
            value = as_value(put_in, target)
            lines.append(Step("substitution", start, value, "with the lines above"))
        algebra, equations = self._algebra(cotangent, put_in, known)
        return _joined([*lines, *algebra]), equations

    def _passing(
        self, known: Mapping[Symbol, tuple[Equation, ...]]
    ) -> Mapping[Symbol, tuple[Equation, ...]]:
        """The cotangents on the way that the short form does not keep."""
        kept = self.lookup.short.defined
        return {label: equations for label, equations in known.items() if label not in kept}

    def _is_loss(self, equation: Equation) -> bool:
        return bool(equation.label == self.lookup.loss.label)

    def _paths(self, cotangent: Tensor) -> tuple[Path, ...] | None:
        """The paths, one for each equation of the plain adjoint; None where they are not plain.

        They are plain where every equation adds up and reads the tensor at one element, by distinct
        indices.
        """
        source = self.lookup.source(cotangent)
        found: list[Path] = []
        for equation in self.lookup.raw_equations(cotangent):
            path = self._path(source, cotangent, equation)
            if path is None:
                return None
            found.append(path)
        return tuple(found) if found else None

    def _path(self, source: Tensor, cotangent: Tensor, raw: Equation) -> Path | None:
        for reader in self.lookup.readers.get(source.label, []):
            bar = self.lookup.raw.by_label.get(_cotangent_label(self.lookup, reader))
            reads = [a for a in accesses(reader.value) if label_of(a) == source.label]
            if bar is None or len(reads) != 1 or reader.reduce != "sum":
                continue
            slope = partial(reader.value, reads[0])
            weight = bar[subscripts_of(reader.target)].xreplace(self.lookup.seeds)
            same = raw.target == cotangent[subscripts_of(reads[0])] and raw.value == slope * weight
            if same and is_plain(reads[0]):
                return lettered(source, Path(reader, reads[0], slope, weight))
        return None

    def _chain(self, cotangent: Tensor, paths: tuple[Path, ...]) -> Step:
        """x̄[s] = Σ ȳ[t]·∂y[t]/∂x[s], over all paths."""
        terms: dict[Expr, None] = {}
        for path in paths:
            value = path.weight * Rate(path.equation.target, path.read)
            read = indices(path.read)
            over = [index for index in indices(path.equation.target) if index not in read]
            terms[Total(value, *over) if over else value] = None
        target = cotangent[cotangent.axes]
        numbers = {self.number(path.equation.label) for path in paths}
        reads = ", ".join(sorted(numbers, key=lambda number: (len(number), number)))
        return Step(
            "chain rule",
            target,
            Add(*terms),
            f"through {reads}{', element by element' if is_elementwise(paths) else ''}",
            steps=self._long_way(cotangent, paths) if self._is_long(paths) else (),
        )

    def _is_long(self, paths: tuple[Path, ...]) -> bool:
        """Whether there is more to tell than an element that depends on one other element."""
        return self.full and not is_elementwise(paths)

    def _long_way(self, cotangent: Tensor, paths: tuple[Path, ...]) -> tuple[Step, ...]:
        """The chain rule over all elements, and the Kronecker deltas that leave what is needed."""
        source = self.lookup.source(cotangent)
        element, target = source[source.axes], cotangent[cotangent.axes]
        rates, starts = [], {}
        for label in dict.fromkeys(path.equation.label for path in paths):
            tensor = self.lookup.forward.by_label[label]
            at = free_indices(tensor.axes, map(str, source.axes))
            bar = tensor.cotangent(1)[at].xreplace(self.lookup.seeds)
            rate = Rate(tensor[at], element)
            rates.append(Total(bar * rate, *at) if at else bar * rate)
            starts[rate] = Rate(self._definition(tensor, at, source.axes), element)
        first = Add(*rates)
        inserted = first.xreplace(starts)
        opening = Step("chain rule", target, first, "every element may depend on it", detail="full")
        definition = Step("definition", first, inserted, "what is differentiated", detail="full")
        return (opening, definition, *_lines(inserted, road(inserted)))

    def _definition(self, tensor: Tensor, at: tuple[Idx, ...], taken: Iterable[Idx]) -> Expr:
        """The value of a tensor's elements ``at``, its summed indices apart from taken ones."""
        return as_value(self.lookup.forward.defined[tensor.label], tensor[at], map(str, taken))

    def _factor(self, cotangent: Tensor, path: Path) -> tuple[list[Step], Expr]:
        """∂y[t]/∂x[s] and its shorter forms, and the shortest."""
        whole = self._is_loss(path.equation)
        target = cotangent[cotangent.axes] if whole else Rate(path.equation.target, path.read)
        steps: tuple[Step, ...] = ()
        if self.full:
            steps = self._scalar_road(cotangent, path, whole)
        first = Step(
            "derivative",
            target,
            path.in_all(path.slope),
            f"from {self.number(path.equation.label)}",
            origin=path.equation.origin,
            steps=steps,
        )
        lines, slope = [first], path.slope
        for rule, form in self._shorter(cotangent, path):
            before = lines[-1].after
            reason = (
                self._stored_in_words(before, path.in_all(form)) if rule == "stored value" else ""
            )
            steps = self._eliminated(before, form) if self.full and reason else ()
            lines.append(Step(rule, before, path.in_all(form), reason, steps=steps))
            slope = form
        return lines, slope

    def _scalar_road(self, cotangent: Tensor, path: Path, whole: bool) -> tuple[Step, ...]:
        """Every scalar differentiation of a factor."""
        value = path.equation.value
        if whole:
            tensor = self.lookup.forward.by_label[path.equation.label]
            value = self._definition(tensor, (), cotangent.axes)
        elif path.equation.over:
            return ()
        start = Rate(value, path.read)
        before = cotangent[cotangent.axes] if whole else Rate(path.equation.target, path.read)
        opening = Step("definition", before, start, "what is differentiated", detail="full")
        lines = list(_lines(start, road(start)))
        last = lines[-1].after if lines else start
        closing = [Step("common factor", last, path.slope, "put in order", detail="full")]
        return (opening, *lines, *(closing if last != path.slope else []))

    def _shorter(self, cotangent: Tensor, path: Path) -> Iterator[tuple[str, Expr]]:
        """The factor simplified, then in stored values, where that is shorter."""
        tidied = tidy(path.slope)
        near = self.lookup.near((path.equation,))
        bar = cotangent[cotangent.axes]
        over = tuple(i for i in indices(tidied) if i not in indices(bar))
        if tidied != path.slope and _is_shorter(tidied, path.slope):
            yield algebra_rule(path.slope, tidied), tidied
        stored = self.lookup.shortest(Equation(bar, tidied, over), near)
        if stored != tidied:
            yield "stored value", stored

    def _stored_in_words(self, before: Expr, after: Expr) -> str:
        """Where the element stands that was not read, or not as often."""
        read = set(accesses(before))
        more = [a for a in accesses(after) if after.count(a) > before.count(a)]
        new = sorted(more, key=lambda access: access in read)
        return f"held by {self.number(label_of(new[0]))}" if new else ""

    def _eliminated(self, before: Expr, after: Expr) -> tuple[Step, ...]:
        """How what a tensor stores comes into a factor."""
        for element in accesses(after):
            equations = self.lookup.forward.defined.get(label_of(element), ())
            if element not in accesses(before) and len(equations) == 1 and not equations[0].over:
                value = aligned(equations[0], element).value
                return tuple(elimination(before, after, element, value))
        return ()

    def _algebra(
        self,
        cotangent: Tensor,
        equations: tuple[Equation, ...],
        known: Mapping[Symbol, tuple[Equation, ...]],
    ) -> tuple[list[Step], tuple[Equation, ...]]:
        """What the passes make of one cotangent, a line for each change, and its equations then."""
        lines: list[Step] = []
        target = cotangent[cotangent.axes]
        program = self._program(cotangent, equations, known)
        found = equations
        for rule, simplified in simplifications(program):
            now = simplified.defined.get(cotangent.label, ())
            if not self._is_told(now, known):
                break
            line, found = as_value(found, target), now
            if as_value(now, target) != line:
                lines.append(self._change(rule, line, as_value(now, target)))
        return lines, found

    def _program(
        self,
        cotangent: Tensor,
        equations: tuple[Equation, ...],
        known: Mapping[Symbol, tuple[Equation, ...]],
    ) -> Program:
        """The cotangent's equations, those of the cotangents it reads, and what is stored."""
        near = self.lookup.near((*self.lookup.chain(cotangent), *equations))
        before = tuple(e for label in known for e in known[label])
        stored = tuple(self.lookup.forward.by_label[label] for label in by_label(near))
        facts = self.lookup.forward.facts
        kept = (label for label in known if label in self.lookup.short.defined)
        outputs = (cotangent, *stored, *(self.lookup.raw.by_label[label] for label in kept))
        return self.lookup.program((*near, *before, *equations), outputs, facts)

    def _is_told(
        self, equations: Iterable[Equation], known: Mapping[Symbol, tuple[Equation, ...]]
    ) -> bool:
        told = {*self.lookup.raw.by_label, *self.lookup.raw.sizes, *known}
        return all(label_of(access) in told for e in equations for access in e.reads)

    def _change(self, rule: str, before: Expr, after: Expr) -> Step:
        read = set(map(label_of, accesses(before)))
        facts = tuple(
            fact
            for fact in (self.lookup.forward.facts if rule == "declared fact" else ())
            if read.intersection(map(label_of, accesses(fact.value)))
        )
        if rule in ALGEBRA:
            rule = algebra_rule(before, after)
        reasons = {
            "substitution": "with the lines above",
            "declared fact": "; ".join(fact.reason for fact in facts),
            "stored value": self._stored_in_words(before, after),
        }
        return Step(rule, before, after, reasons.get(rule, ""), facts=facts)


def substituted(
    equation: Equation, known: Mapping[Symbol, tuple[Equation, ...]]
) -> tuple[Equation, ...]:
    """The equation with the definitions of a cotangent that it reads in its place."""
    for access in accesses(equation.value):
        definitions = known.get(label_of(access), ())
        use = use_of(label_of(access), equation) if definitions else None
        if use is not None and is_free(use, definitions):
            inner = use.with_definitions(definitions)
            return tuple(e for given in inner for e in substituted(given, known))
    return (equation,)


def _joined(lines: list[Step]) -> list[Step]:
    """The lines, substitutions that follow each other as one, and so algebra."""
    found: list[Step] = []
    for line in lines:
        last = found[-1] if found else None
        if last and last.rule == line.rule == "substitution" and last.reason == line.reason:
            found[-1] = replace(last, after=line.after)
        elif last and last.rule in ALGEBRA and line.rule in ALGEBRA:
            rule = algebra_rule(last.before, line.after)
            found[-1] = replace(last, rule=rule, after=line.after)
        else:
            found.append(line)
    return found


def _is_shorter(one: Expr, other: Expr) -> bool:
    return len(str(one)) < len(str(other))


def _cotangent_label(lookup: Lookup, equation: Equation) -> Symbol:
    return lookup.forward.by_label[equation.label].cotangent(1).label


def _adjoint_line(target: Expr, equations: tuple[Equation, ...]) -> Step:
    """The adjoint's equations as they are, where the paths are not plain."""
    return Step("chain rule", target, target, "by the adjoint rule", equations=equations)


def _gathered(tensor: Tensor, lines: list[Step], equations: tuple[Equation, ...]) -> Step:
    """The lines of a cotangent on the way, under its own result."""
    target = tensor[tensor.axes]
    return Step("chain rule", target, as_value(equations, target), steps=tuple(lines))


def _lines(start: Expr, moves: Iterable[Move]) -> Iterator[Step]:
    line = start
    for move in moves:
        yield Step(move.rule, line, move.after, move.reason, detail="full")
        line = move.after


def algebra_rule(before: Expr, after: Expr) -> str:
    """What to call a change by algebra: a sum that became a product has a common factor."""
    if isinstance(before, Add) and not isinstance(after, Add):
        return "common factor"
    return "cancellation" if parts_of(after) < parts_of(before) else "rearrangement"
