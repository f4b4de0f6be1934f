"""Networks: layers and a loss, as one declaration from which every program follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from symprop.adjoint import backward
from symprop.arguments import by_name, constructed_by_name
from symprop.domain import check_domain
from symprop.layers import Graph, Layer
from symprop.layers.base import in_order, layer_list, positive_integer
from symprop.layers.graph import Symbolic, traced
from symprop.layers.merge import Merge
from symprop.losses import loss
from symprop.lowering import EVERYTHING, Lowering
from symprop.optimizers import Optimizer, is_fixed, optimizer
from symprop.passes import simplify_gradients
from symprop.printable import Printable
from symprop.program import Program
from symprop.scope import BATCH, PENALTY, Scope, index
from symprop.settings import exact, setting
from symprop.tensor import Tensor

if TYPE_CHECKING:
    from symprop.derive import Derivation
    from symprop.learner import HandCheck
    from symprop.model import Model
    from symprop.printers.document import Item


@constructed_by_name
@dataclass(frozen=True)
class Network(Printable):
    """A network: layers in order, the number of inputs, and a loss.

    ``layers`` is a list, or a function of a symbolic tensor that calls layers on it and combines
    what they give by ``+``, ``-``, ``*`` and ``/``, element by element, with numbers too. The
    function is called once, here; the graph of its calls is what the network holds.

    ``loss`` is a built-in's name or a SymPy expression in ``symprop.prediction`` and
    ``symprop.target``, summed over outputs and averaged over the batch. Parameters are named by
    letter and layer: W1, b1, W2, b2, …

    ``l1`` and ``l2`` add l1 Σ|W| + l2 ΣW² over the weights of every layer to the loss that is
    trained, measured and reported, as in Keras; a layer's own l1 and l2 take their place.

    Raises DeclarationError, UnknownNameError, ArgumentError or ArgumentTypeError for what cannot be
    a network, ShapeError for tensors that are added and differ in shape.

    >>> from symprop import Dense
    >>> net = Network([Dense(1, activation="sigmoid")], inputs=2, loss="binary_cross_entropy")
    >>> print(net.forward)
    z1[b, j] = Σ_k W1[j, k]·x[b, k] + b1[j]
    ŷ[b, j] = 1/(1 + exp(-z1[b, j]))
    L = 1/m·Σ_{b, j} (-y[b, j]·log(ŷ[b, j]) - (1 - y[b, j])·log(1 - ŷ[b, j]))
    """

    layers: Sequence[Layer] | Callable[[Symbolic], Symbolic] | Graph
    inputs: int
    loss: Any
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _layers(self.layers))
        object.__setattr__(self, "inputs", positive_integer("Network: inputs", self.inputs))
        object.__setattr__(self, "loss", loss(self.loss))
        for name in ("l1", "l2"):
            setting(f"Network: {name}", getattr(self, name), 0, low_included=True)
        predicted, *_ = self.forward.outputs  # declared at once: shapes that do not fit are refused
        check_domain(self.forward, self.loss, predicted)

    def _declared(self, training: bool) -> tuple[Program, Program]:
        """The equations from x and y to ŷ and L, and what a training step assigns besides."""
        scope = Scope(training, exact(self.l1), exact(self.l2))
        x = scope.tensor("x", (index("b", BATCH), index("k", self.inputs)), role="input")
        layers = _layers(self.layers)
        if isinstance(layers, Graph):
            predicted = layers.declare(scope, x, name="yhat")
        else:
            predicted = in_order(layers, scope, x, name="yhat")
        with scope.part("loss"):
            penalty = scope.penalty()
            _, total = self.loss.declare(scope, predicted)
            if penalty is not None:
                scope.define(total[()], penalty[()], step=PENALTY)
        return scope.freeze(outputs=(predicted, total)), scope.freeze_updates()

    @cached_property
    def _training(self) -> tuple[Program, Program]:
        return self._declared(training=True)

    @property
    def forward(self) -> Program:
        """From the inputs x and the targets y to the prediction ŷ and the loss L, in training."""
        return self._training[0]

    @property
    def statistics(self) -> Program:
        """What a training step assigns besides the parameters: running statistics, if there are."""
        return self._training[1]

    @cached_property
    def inference(self) -> Program:
        """The same as ``forward`` for prediction and evaluation: without dropout, and normalized by
        running statistics. Where there is neither, it is ``forward``.
        """
        found, _ = self._declared(training=False)
        return self.forward if found == self.forward else found

    @cached_property
    def weighted(self) -> Network:
        """The same network with a weight w[b] for each sample in its loss, for ``sample_weight``.

        >>> from symprop import Dense
        >>> print(Network([Dense(1)], inputs=1, loss="mse").weighted.forward)
        z1[b, j] = Σ_k W1[j, k]·x[b, k] + b1[j]
        ŷ[b, j] = z1[b, j]
        L = 1/m·Σ_{b, j} w[b]·(ŷ[b, j] - y[b, j])²
        """
        return replace(self, loss=replace(self.loss, weighted=True))

    @cached_property
    def parameters(self) -> tuple[Tensor, ...]:
        return self.forward.with_role("parameter")

    @property
    def cotangents(self) -> tuple[Tensor, ...]:
        """∂L/∂W of every parameter: the outputs of ``gradients``."""
        return tuple(tensor.cotangent(1) for tensor in self.parameters)

    @cached_property
    def raw_gradients(self) -> Program:
        """The adjoint of the forward pass just as the rule gives it, before any simplification."""
        return backward(self.forward, self.named("L"), self.parameters)

    @cached_property
    def gradients(self) -> Program:
        """The forward pass and the gradient of the loss with respect to every parameter, in
        shortest form.
        """
        return self._shortest(self.forward, self.raw_gradients)

    @cached_property
    def inference_gradients(self) -> Program:
        """``inference`` and the gradient of its loss, in shortest form: where the error of a sample
        comes from, whatever other samples there are.
        """
        if self.inference is self.forward:
            return self.gradients
        raw = backward(self.inference, self.inference.named("L"), self.parameters)
        return self._shortest(self.inference, raw)

    def _shortest(self, forward: Program, raw: Program) -> Program:
        """A forward pass and its gradients, of which the δ of each layer stay."""
        program = forward + raw
        deltas = {tensor.cotangent(1) for tensor in forward.preactivations}
        return simplify_gradients(program, (t for t in program.tensors if t in deltas))

    def update(self, given: Any = "sgd") -> Program:
        """The optimizer's update of every parameter, from the gradients."""
        found = optimizer(given)
        if not is_fixed(found):
            return self._update(found)
        if found not in self._updates:
            self._updates[found] = self._update(found)
        return self._updates[found]

    @cached_property
    def _updates(self) -> dict[Optimizer, Program]:
        """The updates that were asked for."""
        return {}

    def _update(self, given: Optimizer) -> Program:
        scope = Scope()
        scope.adopt(*self.parameters, *self.cotangents)
        with scope.part("optimizer"):
            given.update(scope, self.parameters, self.cotangents)
        program = scope.freeze()
        return replace(
            program, outputs=tuple(t for t in program.tensors if t.label in program.assigned)
        )

    def step(self, given: Any = "sgd") -> Program:
        """One step of training: forward pass, gradients, update and running statistics."""
        return self.gradients + self.update(given) + self.statistics

    def __str__(self) -> str:
        """The network in words: 5 inputs, Dense 4 (tanh), Dense 3 (softmax), loss mse."""
        inputs = "1 input" if self.inputs == 1 else f"{self.inputs} inputs"
        return f"{inputs}, {_all_in_words(_layers(self.layers))}, loss {self.loss.name}"

    def _document(self) -> tuple[Item, ...]:
        from symprop.printers.document import Title

        return (Title(f"Network: {self}"), *self.forward._document())

    def named(self, name: str) -> Tensor:
        """The tensor of the forward pass that has this name."""
        return self.forward.named(name)

    def derive(
        self,
        detail: str = "standard",
        notation: str = "both",
        batch: bool | None = None,
        optimizer: Any = "sgd",
    ) -> Derivation:
        """The derivation of backpropagation for this network.

        ``detail``: ``"summary"``, the results; ``"standard"``, also a line for each factor of the
        chain rule and each step of algebra; ``"full"``, also every rule of differentiation and
        every Kronecker delta. ``notation``: ``"index"``, ``"matrix"`` or ``"both"``. ``batch``:
        True for a batch with samples in rows, False for one sample in columns, None for both.
        ``optimizer``: that whose update is shown, by default plain gradient descent.

        Raises ArgumentError for anything else, for one sample of a network that normalizes over the
        batch, and what an optimizer raises.
        """
        from symprop.derive import derive

        return derive(self, detail, notation, batch, optimizer)

    @cached_property
    def symbols(self) -> SimpleNamespace:
        """The symbols for formulas by hand: tensors, deltas and gradients, m, and indices.

        >>> from symprop import Dense
        >>> s = Network([Dense(1)], inputs=2, loss="mse").symbols
        >>> s.W1[s.j, s.k] * s.delta1[s.b, s.j]
        W1[j, k]*delta1[b, j]
        """
        from symprop.learner import symbols

        return symbols(self)

    def check_hand_derivation(self, formulas: Mapping[str, Any]) -> HandCheck:
        """Check a person's own formulas, and name the first that is wrong, with the likely slip.

        ``formulas`` holds, by name, formulas for δ⁽ˡ⁾ = ∂L/∂z⁽ˡ⁾ (``"delta1"`` or ``"dz1"``), for
        gradients of parameters (``"W1"`` or ``"dW1"``) and of outputs (``"da1"``, ``"dyhat"``). A
        formula is a NumPy function whose arguments name what it reads (x, y, yhat, L, W1, b1, z1,
        a1, …, delta1, …, dW1, …, m), with samples in rows, or a SymPy expression or equation in
        ``network.symbols``, its sums written as ``sympy.Sum``. L is the mean over m samples. They
        are checked at random points in the order of backpropagation, each with the right values of
        what it reads.

        Raises ArgumentTypeError for what is no formula, UnknownNameError for a name, ArgumentError
        for an equation for something else, DeclarationError for a function that has no value.

        >>> from sympy import Sum
        >>> from symprop import Dense
        >>> net = Network([Dense(4, "tanh"), Dense(3)], inputs=2, loss="mse")
        >>> s = net.symbols
        >>> check = net.check_hand_derivation({
        ...     "delta2": lambda yhat, y, m: 2 / 3 * (yhat - y) / m,
        ...     "W2": Sum(s.delta2[s.b, s.j] * s.a1[s.b, s.k], s.b),
        ...     "delta1": lambda delta2, W2: delta2 @ W2,
        ...     "W1": lambda delta1, x: delta1.T @ x,
        ... })
        >>> check.ok, check.right, check.wrong
        (False, ('delta2', 'W2'), 'delta1')
        >>> print(check.slip)
        it looks as if σ′(z⁽¹⁾), the derivative of the activation, is missing
        """
        from symprop.learner import check_hand_derivation

        return check_hand_derivation(self, formulas)

    @by_name
    def compile(
        self,
        optimizer: Any = "sgd",
        dtype: str = "float32",
        seed: int = 0,
        backend: str = "numba",
        lowering: Lowering = EVERYTHING,
    ) -> Model:
        """A model to train: arrays for the parameters and compiled code for every program."""
        from symprop.model import Model

        return Model(self, optimizer, dtype, seed, backend, lowering)


def _layers(given: Any) -> tuple[Layer, ...] | Graph:
    """Layers in order, or the graph of a function."""
    if isinstance(given, Graph):
        return given
    if callable(given) and not isinstance(given, (type, Layer)):
        return traced(given)
    return layer_list("Network: layers", given)


def _all_in_words(layers: Sequence[Layer] | Graph) -> str:
    """3 times Dense 8 (tanh), Dense 1."""
    shown = [node.layer for node in layers.nodes] if isinstance(layers, Graph) else layers
    found = [(layer, len(list(equal))) for layer, equal in groupby(shown)]
    return ", ".join((f"{n} times " if n > 1 else "") + _in_words(layer) for layer, n in found)


def _in_words(layer: Any) -> str:
    """Dense 4 (tanh)."""
    if isinstance(layer, Merge):
        return str(layer)
    if isinstance(layer, Graph):
        return f"graph of [{_all_in_words(layer)}]"
    inner, activation = getattr(layer, "layers", None), getattr(layer, "activation", None)
    setting = getattr(layer, "units", getattr(layer, "rate", ""))
    named = f" ({activation.name})" if activation is not None else ""
    of = f" [{_all_in_words(inner)}]" if inner is not None else ""
    return f"{type(layer).__name__} {setting}".strip() + named + of
