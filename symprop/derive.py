"""The derivation of backpropagation for a network, told from the programs that compute it.

Nothing here differentiates or simplifies: the steps point at equations of the forward pass, of the
plain adjoint, of its short form, and of the update.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sympy import Expr, Function, Symbol

from symprop.activations import ARGUMENT
from symprop.adjoint import partial
from symprop.equation import Equation, Fact
from symprop.errors import ArgumentError, DerivationError
from symprop.passes import simplify_gradients
from symprop.passes.algebra import tidy
from symprop.passes.reuse import expressed
from symprop.primitives import Absolute, Indicator, Maximum, Minimum, Select, Sign
from symprop.program import Program
from symprop.tensor import Tensor, accesses, fresh_index, label_of, subscripts_of

if TYPE_CHECKING:
    from symprop.network import Network
    from symprop.printers.document import Item

SLOPE = Function("sigma_prime")
STORED = Symbol("a")
KINKED = (Absolute, Maximum, Minimum, Select, Sign, Indicator)
SUFFIXES = (".tex", ".txt", ".md")


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
class Derivation:
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

    def __str__(self) -> str:
        from symprop.printers.document import as_text

        return as_text(self._items())

    __repr__ = __str__

    def latex(self) -> str:
        r"""A fragment to \input, which needs amsmath and amssymb."""
        from symprop.printers.document import as_latex

        return as_latex(self._items())

    def save(self, path: str | Path) -> None:
        """Write a complete document: .tex (for pdflatex), .txt or .md by the path's suffix.

        Raises ArgumentError for any other suffix.
        """
        from symprop.printers.document import as_latex_document, as_markdown

        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise ArgumentError(
                f"Derivation.save: cannot write {path.suffix or 'a path without suffix'!r} "
                f"({path.name}); the suffixes that work are {', '.join(SUFFIXES)}"
            )
        if path.suffix == ".txt":
            content = f"{self}\n"
        else:
            write = as_latex_document if path.suffix == ".tex" else as_markdown
            content = write(self._items())
        path.write_text(content, encoding="utf-8")

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

    def _items(self) -> Iterator[Item]:
        from symprop.printers.story import story

        return story(self)


def derive(network: Network) -> Derivation:
    """The derivation of a network's gradients and of plain gradient descent."""
    raw, short = network.forward + network.raw_gradients, network.gradients
    build = _Builder(network.forward, raw, short)
    update = network.update()
    steps = (*build.forward_steps(), *build.delta_steps(), *build.parameter_steps())
    return Derivation((*steps, _update_step(update)), raw, short, update)


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
        cotangents = [forward.by_label[label].cotangent(1) for label in reversed(sources)]
        self.deltas = [t for t in cotangents if t.label in short.defined]
        self.labels = {delta.label for delta in self.deltas}

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
            layer = self.layer_of(delta)
            function, abstract = self.activation(delta)
            yield Step(
                "Recursion of the deltas" if number else "Delta of the output layer",
                f"δ at {layer}",
                "chain rule",
                self.short.defined[delta.label],
                self.chain(delta),
                REASONS[bool(number)],
                _kinks(function),
                abstract if number else (),
                function,
                () if number else self.facts_used(delta),
            )

    def layer_of(self, delta: Tensor) -> str:
        source = self.raw.by_label[delta.cotangent(-1).label]
        return self.forward.defined[source.label][0].origin.layer

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
        equations = self.raw.defined[delta.label]
        readers = self.readers.get(delta.cotangent(-1).label, [])
        if len(equations) != 1 or len(readers) != 1 or len(accesses(readers[0].value)) != 1:
            return (), ()
        (read,) = accesses(readers[0].value)
        value = readers[0].value.xreplace({read: ARGUMENT})
        slope = _slope(value)
        stored = expressed(tidy(slope), value, STORED)
        function = (value, slope, stored) if stored.has(STORED) else (value, slope)
        above = self.raw.by_label[readers[0].label].cotangent(1).label
        incoming = self.raw.defined.get(above, ())
        if len(incoming) != 1 or slope.is_number or readers[0].over:
            return function, ()
        return function, (_with_slope(incoming[0], equations[0].target, read.base),)

    def parameter_steps(self) -> Iterator[Step]:
        """The gradients of each layer's parameters, from the last layer to the first."""
        layers: dict[str, list[Symbol]] = {}
        for parameter in self.forward.with_role("parameter"):
            label = parameter.cotangent(1).label
            for equation in self.short.defined.get(label, ())[:1]:
                layers.setdefault(equation.origin.layer, []).append(label)
        for layer, labels in reversed(layers.items()):
            after = (e for label in labels for e in self.short.defined[label])
            before = (e for label in labels for e in self.raw.defined[label])
            yield Step(
                "Gradients of weights and biases",
                layer,
                "chain rule",
                tuple(after),
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


def _kinks(function: tuple[Expr, ...]) -> tuple[str, ...]:
    """Where the derivative of an activation jumps, and what it is taken to be there."""
    if not function or not function[1].has(*KINKED):
        return ()
    value, slope, *_ = function
    places = sorted({place for place in map(_crossing, _gaps(value)) if place is not None})
    slopes = [tidy(slope.xreplace({ARGUMENT: place})) for place in places]
    pairs = zip(map(_number, slopes), map(_number, places), strict=True)
    taken = [f"{shown} at z = {place}" for shown, place in pairs]
    if not taken:
        return ("At a kink, the derivative is the one that the formula gives.",)
    return (f"The activation has a kink; its derivative is taken as {' and as '.join(taken)}.",)


def _gaps(value: Expr) -> Iterator[Expr]:
    """What is compared with 0 in a kinked value: it has its kinks where this is 0."""
    for node in sorted(value.atoms(*KINKED), key=str):
        if isinstance(node, (Absolute, Sign)):
            yield node.args[0]
        elif not isinstance(node, Select):  # its condition is compared by itself
            yield node.args[0] - node.args[1]


def _number(value: Expr) -> str:
    """A number as it is, or as a short decimal where its fraction is long."""
    return f"{float(value):.6g}" if value.is_number and len(str(value)) > 12 else str(value)


def _crossing(gap: Expr) -> Expr | None:
    """Where c₁ z + c₀ is 0; None unless the gap is of that form."""
    gap = gap.expand()
    slope = gap.coeff(ARGUMENT)
    rest = gap - slope * ARGUMENT
    return None if slope == 0 or rest.has(ARGUMENT) else -rest / slope


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
