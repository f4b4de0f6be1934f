"""The derivation of backpropagation for a network, told from the programs that compute it.

Nothing here differentiates or simplifies: the steps point at equations of the forward pass, of the
plain adjoint, of its short form, and of the update.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby, product
from typing import TYPE_CHECKING, Any

from sympy import Expr, Function, Integer, Rational, Symbol

from symprop.activations import ARGUMENT
from symprop.adjoint import partial
from symprop.equation import Equation, Fact
from symprop.errors import DerivationError
from symprop.kinks import conventions, has_kink, kinks_in_words
from symprop.passes import simplify_gradients
from symprop.passes.algebra import parts_of, tidy
from symprop.passes.reuse import expressed
from symprop.primitives import KINKED
from symprop.printable import Printable
from symprop.program import Program
from symprop.tensor import Tensor, accesses, fresh_index, label_of, subscripts_of

if TYPE_CHECKING:
    from symprop.layers import Layer
    from symprop.network import Network
    from symprop.printers.document import Item

SLOPE = Function("sigma_prime")
STORED = Symbol("a")
SAMPLES = (Integer(1), Rational(1, 3))
"""Values of a target and whatever else a loss reads, at which its kinks are looked for."""


@dataclass(frozen=True)
class Step:
    """One step: by a rule, the equations ``before`` become those ``after``, for a reason.

    ``abstract`` is the same with the activation's derivative as a symbol, and ``function`` the
    activation a = σ(z), its derivative in z and, where there is one, the derivative's form in a;
    both are empty where the step passes no elementwise activation. ``facts`` are the declared facts
    used.
    """

    section: str
    title: str
    rule: str
    after: tuple[Equation, ...]
    before: tuple[Equation, ...] = ()
    reason: str = ""
    conditions: tuple[str, ...] = ()
    abstract: tuple[Equation, ...] = ()
    function: tuple[Expr, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Derivation(Printable):
    """The steps from the declaration to the update.

    ``print(derivation)`` is Unicode text, ``latex()`` a fragment, ``save(path)`` a file, and
    ``verify()`` checks the steps in numbers.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(2, "tanh"), Dense(1)], inputs=3, loss="mse")
    >>> print(net.derive().steps[4].title)
    δ at Dense 1
    """

    steps: tuple[Step, ...]
    raw: Program
    """The forward pass and its plain adjoint."""
    short: Program
    """The forward pass and the gradients in short form."""
    update: Program
    network: str = ""
    """The network in words: its layers, their activations, its loss."""

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def verify(self, seed: int = 0, tolerance: float = 1e-9) -> None:
        """Run plain and short form on small random data and compare every cotangent both define.

        Raises DerivationError naming the first step whose equations differ.
        """
        import numpy as np

        from symprop.backends.numpy import run

        data = _random_data(self.raw, seed)
        plain, short = run(self.raw, data), run(self.short, data)
        for step in self.steps:
            for label in dict.fromkeys(e.label for e in step.after):
                if label not in self.raw.defined or label not in self.short.defined:
                    continue
                expected, found = plain[str(label)], short[str(label)]
                scale = np.max(np.abs(expected), initial=1e-300)
                error = float(np.max(np.abs(found - expected), initial=0.0) / scale)
                if not error <= tolerance:
                    raise DerivationError(
                        f"{step.section}, {step.title}: {'; '.join(map(str, step.after))} differs "
                        f"from the plain adjoint by {error:.1e} of its largest element"
                    )

    def _document(self) -> tuple[Item, ...]:
        return self._items

    @cached_property
    def _items(self) -> tuple[Item, ...]:
        """The document, arranged once for all its spellings."""
        from symprop.printers.story import story

        return tuple(story(self))


def derive(network: Network) -> Derivation:
    """The derivation of a network's gradients and of plain gradient descent."""
    raw, short = network.forward + network.raw_gradients, network.gradients
    build = _Builder(network.forward, raw, short)
    update = network.update()
    steps = (*build.forward_steps(), *build.delta_steps(), *build.parameter_steps())
    return Derivation((*steps, _update_step(update)), raw, short, update, _in_words(network))


def _in_words(network: Network) -> str:
    """5 inputs, Dense 4 (tanh), Dense 3 (softmax), loss mse."""
    runs = [(layer, len(list(equal))) for layer, equal in groupby(network.layers)]
    shown = (f"{n} times {_named(layer)}" if n > 1 else _named(layer) for layer, n in runs)
    return f"{network.inputs} inputs, {', '.join(shown)}, loss {network.loss.name}"


def _named(layer: Layer) -> str:
    """Dense 4 (tanh)."""
    units, activation = getattr(layer, "units", ""), getattr(layer, "activation", None)
    named = f" ({activation.name})" if activation is not None else ""
    return f"{type(layer).__name__} {units}".strip() + named


class _Builder:
    """Finds the equations of each step; what is looked up for every layer is gathered once."""

    def __init__(self, forward: Program, raw: Program, short: Program):
        self.forward, self.raw, self.short = forward, raw, short
        self.places = {equation: place for place, equation in enumerate(raw.flat)}
        self.readers: dict[Symbol, list[Equation]] = {}
        for equation in forward.flat:
            for label in {label_of(access) for access in equation.reads}:
                self.readers.setdefault(label, []).append(equation)
        sources = {e.label: None for e in forward.flat if e.origin.step == "pre-activation"}
        self.deltas = [forward.by_label[label].cotangent(1) for label in reversed(sources)]
        self.labels = {delta.label for delta in self.deltas}
        parameters = {t.cotangent(1).label for t in forward.with_role("parameter")}
        self.shown = self.labels | parameters | set(forward.by_label)
        """What needs no definition by the step that reads it, or has had one."""

    def forward_steps(self) -> Iterator[Step]:
        """One step a layer, then the loss."""
        layers: dict[str, list[Equation]] = {}
        for equation in self.forward.flat:
            layers.setdefault(equation.origin.layer, []).append(equation)
        loss = layers.pop("loss", [])
        for layer, equations in layers.items():
            yield Step("Forward pass", layer, "definition", tuple(equations))
        facts = self.forward.facts
        yield Step("Loss", "", "definition", tuple(loss), facts=facts)

    def delta_steps(self) -> Iterator[Step]:
        """δ of the output from the loss, then of each layer from the δ of the layer above."""
        for number, delta in enumerate(self.deltas):
            function, abstract = self.activation(delta)
            after, zero = self.short.defined.get(delta.label, ()), self.is_zero(delta)
            if zero:
                after = (Equation(delta[delta.axes], Integer(0)),)
            conditions = kinks_in_words(*function[:2]) if function else ()
            yield Step(
                "Recursion of the deltas" if number else "Delta of the output layer",
                f"δ at {self.layer_of(delta)}",
                "chain rule",
                (*self.helpers(after), *after),
                () if zero else self.chain(delta),
                REASONS[bool(number)],
                (
                    *self.why_zero(delta, function),
                    *conditions,
                    *([] if number else self.at_kinks()),
                ),
                abstract if number and not zero else (),
                function,
                () if number or zero else self.facts_used(delta),
            )

    def is_zero(self, delta: Tensor) -> bool:
        equations = self.short.defined.get(delta.label, ())
        return all(equation.value == 0 for equation in equations)

    def why_zero(self, delta: Tensor, function: tuple[Expr, ...]) -> Iterator[str]:
        """Why a delta is 0, if it is."""
        if not self.is_zero(delta):
            return
        above = self.deltas[: self.deltas.index(delta)]
        if function and function[1] == 0:
            cause = "the derivative of the activation is 0 everywhere"
        elif above and self.is_zero(above[-1]):
            cause = "δ is 0 at the layer above"
        else:
            cause = "the loss does not change with what follows"
        yield f"It is 0 because {cause}: this layer and those below do not learn."

    def helpers(self, equations: Iterable[Equation]) -> tuple[Equation, ...]:
        """The definitions, in order, of what the equations read and no step has shown."""
        wanted, found = list(equations), set()
        while wanted:
            for label in {label_of(access) for access in wanted.pop().reads} - self.shown:
                self.shown.add(label)
                found.add(label)
                wanted += self.short.defined.get(label, ())
        return tuple(equation for equation in self.short.flat if equation.label in found)

    def at_kinks(self) -> Iterator[str]:
        """What the derivative of the loss is taken to be at a kink, if it has one."""
        words: dict[str, None] = {}
        for equation in self.forward.flat:
            if equation.origin.layer != "loss" or not equation.value.has(*KINKED):
                continue
            reads = accesses(equation.value)
            for read, sample in product(reads, SAMPLES):
                others = {other: sample for other in reads if other != read}
                value = equation.value.xreplace({**others, read: ARGUMENT})
                if self.is_computed(read) and has_kink(value, _slope(value)):
                    words |= dict.fromkeys(conventions((partial(equation.value, read),)))
        if words:
            taken = ", ".join(words)
            yield f"Where the loss has a kink the derivative is the one of the formula: {taken}."

    def is_computed(self, access: Expr) -> bool:
        return label_of(access) in self.forward.defined

    def layer_of(self, delta: Tensor) -> str:
        return self.forward.defined[delta.cotangent(-1).label][0].origin.layer

    def chain(self, delta: Tensor) -> tuple[Equation, ...]:
        """The plain adjoint's equations that lead to a delta, from the delta above (or L) on."""
        wanted, found = [delta.label], set()
        while wanted:
            for equation in self.raw.defined.get(wanted.pop(), ()):
                if equation in found:
                    continue
                found.add(equation)
                read = sorted({label_of(access) for access in equation.reads}, key=str)
                wanted += [label for label in read if self._is_between(label)]
        return tuple(sorted(found, key=self.places.__getitem__))

    def _is_between(self, label: Symbol) -> bool:
        tensor = self.raw.by_label.get(label)
        return tensor is not None and tensor.order > 0 and label not in self.labels

    def activation(self, delta: Tensor) -> tuple[tuple[Expr, ...], tuple[Equation, ...]]:
        """f and f′ where one elementwise activation follows, and the recursion with σ′ for f′."""
        equations = self.raw.defined.get(delta.label, ())
        readers = self.readers.get(delta.cotangent(-1).label, [])
        if len(readers) != 1 or len(accesses(readers[0].value)) != 1:
            return (), ()
        (read,) = accesses(readers[0].value)
        value = readers[0].value.xreplace({read: ARGUMENT})
        slope = min(_slope(value), tidy(_slope(value)), key=parts_of)
        stored = expressed(tidy(slope), value, STORED)
        function = (value, slope, stored) if stored.has(STORED) else (value, slope)
        above = self.forward.by_label[readers[0].label].cotangent(1).label
        incoming = self.raw.defined.get(above, ())
        if len(incoming) != 1 or len(equations) != 1 or slope.is_number or readers[0].over:
            return function, ()
        return function, (_with_slope(incoming[0], equations[0].target, read.base),)

    def parameter_steps(self) -> Iterator[Step]:
        """The gradients of each layer's parameters, from the last layer to the first."""
        layers: dict[str, list[Symbol]] = {}
        for parameter in self.forward.with_role("parameter"):
            label = parameter.cotangent(1).label
            if label in self.short.defined and parameter.label in self.readers:
                layer = self.readers[parameter.label][0].origin.layer
                layers.setdefault(layer, []).append(label)
        for layer, labels in reversed(layers.items()):
            after = tuple(e for label in labels for e in self.short.defined[label])
            before = (e for label in labels for e in self.raw.defined.get(label, ()))
            yield Step(
                "Gradients of weights and biases",
                layer,
                "chain rule",
                (*self.helpers(after), *after),
                tuple(before),
                "the parameters enter through the pre-activation",
            )

    def facts_used(self, delta: Tensor) -> tuple[Fact, ...]:
        """The declared facts without which the delta's short form would be another."""
        if not self.forward.facts:
            return ()
        chain = self.chain(delta)
        layers = {equation.origin.layer for equation in chain}
        near = tuple(e for e in self.forward.flat if e.origin.layer in layers)
        program = Program(self.raw.tensors, (*near, *chain), (delta,))
        without = simplify_gradients(program, (delta,)).defined[delta.label]
        return () if without == self.short.defined[delta.label] else self.forward.facts


REASONS = {
    False: "by the chain rule through the loss and the activation of the output",
    True: "by the chain rule through the layer above and the activation",
}


@lru_cache(maxsize=256)
def _slope(value: Expr) -> Expr:
    return partial(value, ARGUMENT)


def _with_slope(incoming: Equation, target: Expr, source: Expr) -> Equation:
    """∂L/∂z = σ′(z) · ∂L/∂a, with the equation of ∂L/∂a put in."""
    names = dict(zip(incoming.target.indices, target.indices, strict=True))
    taken = {*incoming.loops, *target.indices}
    for index in incoming.over:
        if index in target.indices:
            names[index] = fresh_index(index, taken)
            taken.add(names[index])
    carried = incoming.renamed(names)
    return replace(carried, target=target, value=carried.value * SLOPE(source[target.indices]))


def _update_step(update: Program) -> Step:
    """w ← w − α ∂L/∂w."""
    return Step("Update by gradient descent", "", "definition", update.flat)


def _random_data(program: Program, seed: int) -> dict[str, Any]:
    """Small random arrays for everything that is given; targets keep the declared facts."""
    import numpy as np

    generator = np.random.default_rng(seed)
    data: dict[str, Any] = {}
    for tensor in program.tensors:
        if tensor.role not in ("intermediate", "constant"):
            shape = [int(size) if size.is_Integer else 3 for size in tensor.shape]
            low = 0.1 if tensor.role == "target" else -0.9
            data[str(tensor.label)] = generator.uniform(low, 0.9, shape)
    for fact in program.facts:
        label = str(label_of(fact.value))
        axes = tuple(subscripts_of(fact.value).index(index) for index in fact.over)
        data[label] *= float(fact.equals) / data[label].sum(axis=axes, keepdims=True)
    return data
