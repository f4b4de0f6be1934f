"""Losses: a SymPy expression in ``prediction`` and ``target``, summed over outputs and averaged
over the batch.

L = (1/m) Σ_b Σ_j ℓ(ŷ[b, j], y[b, j])
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import sympy
from sympy import Expr, Piecewise, Symbol

from symprop.activations import known_name, scalar_function
from symprop.errors import ArgumentTypeError, DeclarationError
from symprop.scope import BATCH, Scope
from symprop.tensor import Tensor, extent

prediction = Symbol("prediction", real=True)
"""The network's output ŷ, in a custom loss."""
target = Symbol("target", real=True)
"""The target y, in a custom loss."""
outputs = Symbol("outputs", integer=True, positive=True)
"""The number of outputs n, in a custom loss."""

Labels = Literal["", "classes", "probability", "sign", "count"]


@dataclass(frozen=True)
class Loss:
    """ℓ(ŷ, y) with what it declares about its targets.

    ``labels`` says what y may be: ``"classes"`` (one-hot rows or class numbers; Σ_k y_k = 1 is a
    fact that derivations may use), ``"probability"`` (from 0 to 1), ``"sign"`` (−1 or 1),
    ``"count"`` (0 or more), or anything finite.

    ``weighted`` gives each sample a weight of its own, an input w with axes (batch):

        L = (1/m) Σ_b w[b] Σ_j ℓ(ŷ[b, j], y[b, j])

    It is divided by the rows m, not by Σ_b w[b], as in Keras: a sample of weight 2 counts as two.
    """

    name: str
    expression: Expr
    labels: Labels = ""
    weighted: bool = False

    def declare(self, scope: Scope, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Write L and give the target tensor y and the scalar L."""
        y = scope.tensor("y", predicted.axes, role="target")
        loss = scope.tensor("L")
        *_, last = predicted.axes
        at = predicted.axes
        values = {prediction: predicted[at], target: y[at], outputs: extent(last)}
        if self.labels == "classes":
            scope.fact(
                y[at],
                (last,),
                sympy.Integer(1),
                "the target of each sample is one-hot (or a distribution)",
            )
        value = self.expression.xreplace(values) / BATCH
        if self.weighted:
            value *= scope.tensor("w", at[:1], role="input")[at[:1]]
        scope.define(loss[()], value, over=at, step="loss")
        return y, loss

    def __repr__(self) -> str:
        """As it is declared: by name, or as an expression."""
        plain = replace(self, weighted=False)
        shown = repr(self.name) if LOSSES.get(self.name) == plain else str(self.expression)
        return f"weighted {shown}" if self.weighted else shown


def _table() -> dict[str, Loss]:
    p, y = prediction, target
    huber = Piecewise(
        ((p - y) ** 2 / 2, sympy.Abs(p - y) <= 1), (sympy.Abs(p - y) - sympy.Rational(1, 2), True)
    )
    declared: tuple[tuple[str, Expr, Labels], ...] = (
        ("mse", (p - y) ** 2 / outputs, ""),
        ("mae", sympy.Abs(p - y) / outputs, ""),
        ("huber", huber, ""),
        ("log_cosh", sympy.log(sympy.cosh(p - y)), ""),
        ("hinge", sympy.Max(0, 1 - y * p), "sign"),
        ("binary_cross_entropy", -y * sympy.log(p) - (1 - y) * sympy.log(1 - p), "probability"),
        ("cross_entropy", -y * sympy.log(p), "classes"),
        ("poisson", p - y * sympy.log(p), "count"),
    )
    return {
        name: Loss(name, scalar_function(value, {}, "loss"), labels)
        for name, value, labels in declared
    }


LOSSES = _table()
"""The built-in losses by name, for one output ŷ and its target y; the mean over the batch and the
sum over outputs come on top:

====================  =================================  ===================================
name                  ℓ(ŷ, y)                            targets
====================  =================================  ===================================
mse                   (ŷ − y)²/n, n outputs: the mean    any
mae                   |ŷ − y|/n: the mean                any
huber                 (ŷ − y)²/2 for |ŷ − y| ≤ 1, else   any
                      |ŷ − y| − 1/2 (Huber 1964, δ = 1)
log_cosh              log cosh(ŷ − y)                    any
hinge                 max(0, 1 − yŷ)                     −1 or 1
binary_cross_entropy  −y log ŷ − (1 − y) log(1 − ŷ)      from 0 to 1
cross_entropy         −y log ŷ                           class numbers, or rows with sum 1
poisson               ŷ − y log ŷ (without log y!)       0 or more
====================  =================================  ===================================

Keras and PyTorch divide every one by the number of outputs too, except the cross-entropy of
classes.
"""


def loss(given: Any) -> Loss:
    """The loss that a user means: a built-in's name or a SymPy expression in ``prediction`` and
    ``target``.

    >>> loss(sympy.log(sympy.cosh(prediction - target))).expression
    log(cosh(prediction - target))
    """
    if isinstance(given, str):
        symbols = "symprop.prediction and symprop.target"
        return LOSSES[known_name("loss", given, LOSSES, symbols)]
    if isinstance(given, Loss):
        return given
    if not isinstance(given, Expr):
        raise ArgumentTypeError(
            "loss: expected a name or a SymPy expression in symprop.prediction and symprop.target, "
            f"got {type(given).__name__} {given!r}"
        )
    strange = sorted(map(str, given.free_symbols - {prediction, target, outputs}))
    if strange:
        raise DeclarationError(
            f"loss {given}: unknown symbol {', '.join(strange)}; use symprop.prediction and "
            "symprop.target"
        )
    if prediction not in given.free_symbols:
        raise DeclarationError(
            f"loss {given}: does not depend on symprop.prediction, so there is nothing to train"
        )
    return Loss("custom", scalar_function(given, {}, "loss"))
