"""The formulas of each layer, from the network's derivation, as MathML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sympy import Symbol

from symprop.blame import layers_of
from symprop.derive import delta_names
from symprop.derive.lookup import by_label
from symprop.equation import Equation
from symprop.network import Network
from symprop.printers.index import Line, lines
from symprop.printers.mathml import MathmlPrinter, block_mathml, line_mathml
from symprop.printers.matrix import in_matrices
from symprop.printers.structure import Names
from symprop.tensor import Tensor, label_of


@dataclass(frozen=True)
class LayerFormulas:
    """A layer: its name, that of its δ, its pre-activation z, its parameters; and as MathML, each
    formula a left and a right side, the forward pass, δ, and the gradients of the parameters.
    """

    name: str
    delta_name: str
    preactivation: Tensor
    parameters: tuple[Tensor, ...]
    forward: tuple[tuple[str, str], ...]
    delta: tuple[tuple[str, str], ...]
    gradients: tuple[tuple[str, str], ...]

    @property
    def units(self) -> int:
        """How many units the layer has."""
        count = 1
        for size in self.preactivation.shape[1:]:
            count *= int(size)
        return count


def layer_formulas(network: Network) -> Iterator[LayerFormulas]:
    """The layers with a pre-activation, in order, for one sample in matrix notation; what has no
    such form stays in index notation. They are those of prediction, as ``blame`` has them.
    """
    forward, short = network.inference, network.inference_gradients
    names = delta_names(forward, short)
    write = _Writer(names, dict(short.by_label))
    deltas = {tensor.cotangent(1).label for tensor in forward.preactivations}
    parameters = {tensor.cotangent(1).label for tensor in network.parameters}
    known = deltas | parameters | set(forward.by_label)
    for layer, tensor in zip(layers_of(network), forward.preactivations, strict=True):
        own = [e for e in forward.flat if e.origin.layer == layer.name]
        read = {label_of(access) for equation in own for access in equation.reads}
        belonging = tuple(t for t in network.parameters if t.label in read)
        cotangents = [tensor.cotangent(1), *(t.cotangent(1) for t in belonging)]
        told = [_with_helpers(short.defined, t.label, known) for t in cotangents]
        yield LayerFormulas(
            layer.name,
            layer.delta,
            tensor,
            belonging,
            tuple(write(own)),
            tuple(write(told[0])),
            tuple(pair for equations in told[1:] for pair in write(equations)),
        )


def _with_helpers(
    defined: dict[Symbol, tuple[Equation, ...]], label: Symbol, known: set[Symbol]
) -> list[Equation]:
    """The equations for a tensor, after those of the sums that they read and nothing has told."""
    found: list[Equation] = []
    for equation in defined.get(label, ()):
        for read in sorted({label_of(a) for a in equation.reads} - known, key=str):
            found += _with_helpers(defined, read, known | {label})
    return [*dict.fromkeys(found), *defined.get(label, ())]


class _Writer:
    """Writes equations as pairs of MathML, left of the relation and from it on."""

    def __init__(self, names: Names, tensors: dict[Symbol, Tensor]):
        self.names, self.tensors = names, tensors
        self.spell = MathmlPrinter()

    def __call__(self, equations: Iterable[Equation]) -> Iterator[tuple[str, str]]:
        for group in by_label(equations).values():
            for line in lines(group, self.names, self.tensors):
                if isinstance(line, Line):
                    yield line_mathml(in_matrices(line, self.names, "sample") or line, self.spell)
                    continue
                yield "", block_mathml(line, self.spell)
                yield from (line_mathml(inner, self.spell) for inner in line.lines)
