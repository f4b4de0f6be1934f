"""The steps of a derivation, in the order of the lesson."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from sympy import Expr, Idx, Integer, Symbol

from symprop.derive import activation
from symprop.derive.chain import through_all_layers
from symprop.derive.explain import Explainer
from symprop.derive.floating import Floating
from symprop.derive.groups import (
    Block,
    Run,
    blocks_of,
    layer_number,
    parameter_number,
    runs,
)
from symprop.derive.lookup import Lookup, as_value, by_label
from symprop.derive.matrices import matrix_steps
from symprop.derive.step import Detail, Step
from symprop.equation import Equation, Fact, Origin
from symprop.kinks import kinks_in_words
from symprop.passes import simplify_gradients
from symprop.printers.structure import Names
from symprop.program import Program
from symprop.tensor import Tensor, accesses, label_of

FORWARD, LOSS = "Forward pass", "Loss"
OUTPUT, RECURSION = "Delta of the output layer", "Recursion of the deltas"
GRADIENTS, UPDATE = "Gradients of weights and biases", "Update by gradient descent"
STATISTICS = "Running statistics"


class Builder:
    """Finds the equations of each step and has them explained."""

    def __init__(
        self, lookup: Lookup, update: Program, statistics: Program, names: Names, detail: Detail
    ):
        self.lookup, self.update, self.statistics = lookup, update, statistics
        self.names, self.detail = names, detail
        self.explainer = Explainer(lookup, self.number, full=detail == "full")
        self.numbers: dict[Symbol, str] = {}
        """The number of the equation that defines a tensor."""
        self.runs: list[Run] = []
        self.telling: Run | None = None
        """The layers that the step in the making is told for."""
        self.count = 0
        parameters = {t.cotangent(1).label for t in lookup.forward.with_role("parameter")}
        self.shown = lookup.delta_labels | parameters | set(lookup.forward.by_label)
        """What needs no definition by the step that reads it, or has had one."""

    def steps(self) -> Iterator[Step]:
        """All of them."""
        yield from self.forward()
        if self.detail != "summary":
            yield from through_all_layers(self.lookup)
        yield from self.deltas()
        yield from self.gradients()
        yield from self.updates()

    def floating(self) -> Iterator[Step]:
        """What runs in another form than it is printed in."""
        found = Floating(self.lookup.short)
        for step in found.steps(self._told(found.blocks())):
            yield replace(step, number=self._number(label_of(step.steps[0].before)) or "")

    def number(self, label: Symbol) -> str:
        """The numbers of the equations that define a tensor, in all layers told at once."""
        run = self.telling
        layers = [label] if run is None else [Symbol(name) for name in run.in_layers(str(label))]
        found = {number for name in layers if (number := self._number(name))}
        return ", ".join(f"({number})" for number in sorted(found, key=int)) or "its definition"

    def _number(self, label: Symbol) -> str | None:
        """The number of the equation that defines a tensor, or of the general layer's."""
        told = (Symbol(run.told_label(str(label))) for run in self.runs)
        found = (self.numbers.get(name) for name in (label, *told))
        return next((number for number in found if number), None)

    def _numbered(self, step: Step) -> Step:
        self.count += 1
        label = step.equations[0].label if step.equations else step.before
        self.numbers.setdefault(label, str(self.count))
        return replace(_of_run(step, step.run), number=str(self.count))

    def forward(self) -> Iterator[Step]:
        """A definition for each tensor, layer by layer; then the loss."""
        pairs = [(layer_number(e.origin.layer), e) for e in self.lookup.forward.flat]
        layers = [(n, e) for n, e in pairs if e.origin.layer != "loss"]
        for block, run in self._told(blocks_of(layers)):
            for label, equations in by_label(block.equations).items():
                yield self._definition(FORWARD, equations, run, self.lookup.facts_of(label))
        loss = [e for _, e in pairs if e.origin.layer == "loss"]
        for equations in by_label(loss).values():
            yield self._definition(LOSS, equations, None, self.lookup.facts_of(None))

    def _told(self, blocks: list[Block]) -> Iterator[tuple[Block, Run | None]]:
        for block, run in runs(blocks):
            if run is not None:
                self.runs.append(run)
            self.telling = run
            yield block, run
            self.telling = None

    def _definition(
        self,
        section: str,
        equations: tuple[Equation, ...],
        run: Run | None,
        facts: tuple[Fact, ...] = (),
        rule: str = "definition",
    ) -> Step:
        return self._result(section, rule, equations, equations[0].origin, run, facts=facts)

    def _result(
        self,
        section: str,
        rule: str,
        equations: tuple[Equation, ...],
        origin: Origin,
        run: Run | None,
        reason: str = "",
        conditions: tuple[str, ...] = (),
        facts: tuple[Fact, ...] = (),
        explanation: tuple[Step, ...] = (),
    ) -> Step:
        """A numbered result: what equations give to one tensor, in every notation."""
        label = equations[0].label
        tensor = self.lookup.raw.by_label.get(label) or self.lookup.short.by_label.get(label)
        target = tensor[tensor.axes] if tensor else equations[0].target
        return self._numbered(
            Step(
                rule,
                target,
                as_value(equations, target),
                reason,
                conditions,
                origin,
                section=section,
                facts=facts,
                detail="summary",
                equations=equations,
                steps=(*explanation, *self._matrices(equations)),
                run=run,
            )
        )

    def _matrices(self, equations: tuple[Equation, ...]) -> tuple[Step, ...]:
        """The matrix forms; what has scalars only has no other form, nor a maximum of several."""
        several = len(equations) > 1 and equations[0].reduce == "max"
        if several or not any(equation.loops for equation in equations):
            return ()
        tensors = {**self.lookup.raw.by_label, **self.lookup.short.by_label}
        tensors.update(self.update.by_label | self.statistics.by_label)
        return tuple(matrix_steps(equations, self.names, tensors))

    def deltas(self) -> Iterator[Step]:
        """δ of the output from the loss, then of each layer from the δ of the layer above."""
        if not self.lookup.deltas:
            return
        output, *rest = self.lookup.deltas
        yield from self._delta(output, OUTPUT, None)
        by_number = {parameter_number(str(delta.label)): delta for delta in rest}
        defined = self.lookup.short.defined
        pairs = [(n, e) for n, delta in by_number.items() for e in defined.get(delta.label, ())]
        for block, run in self._told(blocks_of(pairs)):
            yield from self._delta(by_number[block.number], RECURSION, run)
        zero = [n for n, delta in by_number.items() if delta.label not in defined]
        for _, alike in groupby(zero, key=lambda n: tuple(self._why_zero(by_number[n]))):
            for block, run in self._told([Block(n, ()) for n in alike]):
                yield from self._delta(by_number[block.number], RECURSION, run)

    def _delta(self, delta: Tensor, section: str, run: Run | None) -> Iterator[Step]:
        origin = Origin(self.lookup.layer_of(delta))
        if self.lookup.is_zero(delta):
            zero = (Equation(delta[delta.axes], Integer(0)),)
            why = tuple(self._why_zero(delta))
            yield self._result(section, "chain rule", zero, origin, run, conditions=why)
            return
        equations = self.lookup.short.defined[delta.label]
        output = section == OUTPUT
        facts, supposed = self._facts(delta) if output else ((), ())
        kinks_of_loss = activation.kinks_of_loss(self.lookup.forward) if output else ()
        yield self._result(
            section,
            "chain rule",
            equations,
            origin,
            run,
            REASONS[output],
            (*self._kinks(delta), *kinks_of_loss),
            facts,
            (
                *self._explained(delta),
                *(supposed if output else self._abstract(delta)),
                *self._helpers(equations, section, origin, run),
            ),
        )

    def _explained(self, cotangent: Tensor) -> tuple[Step, ...]:
        return () if self.detail == "summary" else self.explainer.steps(cotangent)

    def _abstract(self, delta: Tensor) -> Iterator[Step]:
        """The recursion with σ′, as the textbooks have it."""
        found = activation.abstract(self.lookup, delta)
        if found is not None:
            target = delta[delta.axes]
            value = as_value((found,), target)
            steps = self._matrices((found,))
            yield Step(
                "recursion", target, value, "", detail="summary", equations=(found,), steps=steps
            )

    def _helpers(
        self, equations: Iterable[Equation], section: str, origin: Origin, run: Run | None
    ) -> Iterator[Step]:
        """The sums that the equations read and no step has shown."""
        for found in by_label(self._not_shown(equations)).values():
            yield replace(self._definition(section, found, run, rule="common sum"), origin=origin)

    def _not_shown(self, equations: Iterable[Equation]) -> tuple[Equation, ...]:
        """The definitions, in order, of what the equations read and no step has shown."""
        short, wanted, found = self.lookup.short, list(equations), set()
        while wanted:
            for label in {label_of(access) for access in wanted.pop().reads} - self.shown:
                self.shown.add(label)
                found.add(label)
                wanted += short.defined.get(label, ())
        return tuple(equation for equation in short.flat if equation.label in found)

    def _kinks(self, delta: Tensor) -> tuple[str, ...]:
        found = activation.reader(self.lookup, delta)
        return kinks_in_words(*activation.function(found)[:2]) if found else ()

    def _why_zero(self, delta: Tensor) -> Iterator[str]:
        """Why a delta is 0."""
        found = activation.reader(self.lookup, delta)
        above = self.lookup.deltas[: self.lookup.deltas.index(delta)]
        if found is not None and activation.function(found)[1] == 0:
            cause = "the derivative of the activation is 0 everywhere"
        elif above and self.lookup.is_zero(above[-1]):
            cause = "δ is 0 at the layer above"
        else:
            cause = "the loss does not change with what follows"
        yield f"It is 0 because {cause}: this layer and those below do not learn."

    def _facts(self, delta: Tensor) -> tuple[tuple[Fact, ...], tuple[Step, ...]]:
        """The declared facts that a delta uses, and what it is without them; or, where nothing is
        declared, what it is with the usual fact, if that shortens it.
        """
        declared = self.lookup.facts_of(None)
        usual = tuple(map(_sums_to_one, self.lookup.forward.with_role("target")))
        other = () if declared else usual
        program = self._simplified_with(other, delta)
        if program.defined[delta.label] == self.lookup.short.defined[delta.label]:
            return (), ()
        rule = "without the fact" if declared else "with the fact"
        target = delta[delta.axes]
        value = as_value(program.defined[delta.label], target)
        written = _without_helpers(value, program, self.lookup)
        return declared, (Step(rule, target, written, facts=other),)

    def _simplified_with(self, facts: tuple[Fact, ...], delta: Tensor) -> Program:
        """The short form of a delta where just these facts are declared."""
        chain = self.lookup.chain(delta)
        near = self.lookup.near(chain)
        return simplify_gradients(self.lookup.program((*near, *chain), (delta,), facts), (delta,))

    def gradients(self) -> Iterator[Step]:
        """The gradients of each layer's parameters, from the last layer to the first."""
        layers: dict[int, list[Tensor]] = {}
        for parameter in self.lookup.forward.with_role("parameter"):
            cotangent = parameter.cotangent(1)
            if (
                cotangent.label in self.lookup.short.defined
                and parameter.label in self.lookup.readers
            ):
                layer = self.lookup.readers[parameter.label][0].origin.layer
                layers.setdefault(layer_number(layer), []).append(cotangent)
        defined = self.lookup.short.defined
        blocks = [
            Block(n, tuple(e for t in cotangents for e in defined[t.label]))
            for n, cotangents in reversed(layers.items())
        ]
        for block, run in self._told(blocks):
            for cotangent in layers[block.number]:
                yield from self._gradient(cotangent, run)

    def _gradient(self, cotangent: Tensor, run: Run | None) -> Iterator[Step]:
        equations = self.lookup.short.defined[cotangent.label]
        reader = self.lookup.readers[self.lookup.source(cotangent).label][0]
        origin = Origin(reader.origin.layer)
        yield self._result(
            GRADIENTS,
            "chain rule",
            equations,
            origin,
            run,
            "the parameters enter through the pre-activation",
            tuple(activation.kinks_of_penalty(self.lookup, cotangent)),
            explanation=(
                *self._explained(cotangent),
                *self._helpers(equations, GRADIENTS, origin, run),
            ),
        )

    def updates(self) -> Iterator[Step]:
        """w ← w − α ∂L/∂w, then what else a step of training assigns."""
        for section, program in ((UPDATE, self.update), (STATISTICS, self.statistics)):
            pairs = ((parameter_number(str(e.label)), e) for e in program.flat)
            for block, run in self._told(blocks_of(pairs)):
                for found in by_label(block.equations).values():
                    rule = "update" if found[0].reduce == "set" else "definition"
                    yield self._definition(section, found, run, rule=rule)


def _of_run(step: Step, run: Run | None) -> Step:
    """The step and all that explain it, told for the same layers."""
    return replace(step, run=run, steps=tuple(_of_run(inner, run) for inner in step.steps))


def _without_helpers(value: Expr, program: Program, lookup: Lookup) -> Expr:
    """A value with the sums that a program stores on the way written out."""
    found = {
        access: as_value(program.defined[label_of(access)], access, map(str, value.atoms(Idx)))
        for access in accesses(value)
        if label_of(access) in program.defined and label_of(access) not in lookup.raw.by_label
    }
    return value.xreplace(found)


def _sums_to_one(target: Tensor) -> Fact:
    """Σ_k y[b, k] = 1: what holds for one-hot targets."""
    reason = "the target of each sample is one-hot (or a distribution)"
    return Fact(target[target.axes], target.axes[-1:], Integer(1), reason)


REASONS = {
    True: "by the chain rule through the loss and the activation of the output",
    False: "by the chain rule through the layer above and the activation",
}
