"""Networks: layers and a loss, as one declaration from which every program follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from symprop.adjoint import backward
from symprop.errors import ArgumentTypeError, DeclarationError
from symprop.layers import Layer
from symprop.layers.base import positive_integer
from symprop.losses import loss
from symprop.optimizers import optimizer
from symprop.passes import simplify_gradients
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from symprop.tensor import Tensor

if TYPE_CHECKING:
    from symprop.derive import Derivation
    from symprop.model import Model


@dataclass(frozen=True)
class Network:
    """A network: layers in order, the number of inputs, and a loss.

    ``loss`` is a built-in's name or a SymPy expression in ``symprop.prediction`` and
    ``symprop.target``, summed over outputs and averaged over the batch. Parameters are named by
    letter and layer: W1, b1, W2, b2, …

    Raises DeclarationError, UnknownNameError, ArgumentError or ArgumentTypeError for what cannot be
    a network.

    >>> from symprop import Dense
    >>> net = Network([Dense(1, activation="sigmoid")], inputs=2, loss="binary_cross_entropy")
    >>> print(net.forward)
    z1[b, j] = Σ_k W1[j, k]·x[b, k] + b1[j]
    ŷ[b, j] = 1/(1 + exp(-z1[b, j]))
    L = 1/m·Σ_{b, j} (-y[b, j]·log(ŷ[b, j]) - (1 - y[b, j])·log(1 - ŷ[b, j]))
    """

    layers: Sequence[Layer]
    inputs: int
    loss: Any

    def __post_init__(self) -> None:
        if isinstance(self.layers, Layer) or not isinstance(self.layers, Sequence):
            raise ArgumentTypeError(
                f"Network: layers: expected a list of layers, got {self.layers!r}"
            )
        if not self.layers:
            raise DeclarationError("Network: layers: expected at least one layer, got none")
        for position, layer in enumerate(self.layers):
            if isinstance(layer, type) or not isinstance(layer, Layer):
                raise ArgumentTypeError(
                    f"Network: layers[{position}]: expected a layer such as Dense(32), got "
                    f"{layer!r}"
                )
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "inputs", positive_integer("Network: inputs", self.inputs))
        object.__setattr__(self, "loss", loss(self.loss))

    @cached_property
    def forward(self) -> Program:
        """From the inputs x and the targets y to the prediction ŷ and the loss L."""
        scope = Scope()
        tensor = scope.tensor("x", (index("b", BATCH), index("k", self.inputs)), role="input")
        for position, layer in enumerate(self.layers, start=1):
            tensor = layer.declare(
                scope, tensor, name="yhat" if position == len(self.layers) else ""
            )
        with scope.layer("loss", numbered=False):
            _, total = self.loss.declare(scope, tensor)
        return scope.freeze(outputs=(tensor, total))

    @cached_property
    def parameters(self) -> tuple[Tensor, ...]:
        return self.forward.with_role("parameter")

    @cached_property
    def raw_gradients(self) -> Program:
        """The adjoint of the forward pass just as the rule gives it, before any simplification."""
        return backward(self.forward, self.named("L"), self.parameters)

    @cached_property
    def gradients(self) -> Program:
        """The forward pass and the gradient of the loss with respect to every parameter, in
        shortest form.
        """
        program = self.forward + self.raw_gradients
        deltas = {e.label for e in self.forward.flat if e.origin.step == "pre-activation"}
        kept = (t for t in program.tensors if t.order and t.cotangent(-t.order).label in deltas)
        return simplify_gradients(program, kept)

    def update(self, given: Any = "sgd") -> Program:
        """The optimizer's update of every parameter, from the gradients."""
        scope = Scope()
        gradients = self.raw_gradients.outputs
        scope.adopt(*self.parameters, *gradients)
        with scope.layer("optimizer", numbered=False):
            optimizer(given).update(scope, self.parameters, gradients)
        program = scope.freeze()
        return replace(
            program, outputs=tuple(t for t in program.tensors if t.label in program.assigned)
        )

    def step(self, given: Any = "sgd") -> Program:
        """One step of training: forward pass, gradients and update."""
        return self.gradients + self.update(given)

    def named(self, name: str) -> Tensor:
        """The tensor of the forward pass that has this name."""
        return self.forward.named(name)

    def derive(self) -> Derivation:
        """The derivation of backpropagation for this network."""
        from symprop.derive import derive

        return derive(self)

    def compile(
        self, optimizer: Any = "sgd", dtype: str = "float32", seed: int = 0, backend: str = "numba"
    ) -> Model:
        """A model to train: arrays for the parameters and compiled code for every program."""
        from symprop.model import Model

        return Model(self, optimizer=optimizer, dtype=dtype, seed=seed, backend=backend)
