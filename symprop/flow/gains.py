"""Gains: the scale of weights with which signals keep their size through an activation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sympy import Expr, Pow, S, sqrt

from symprop.activations import ARGUMENT, Elementwise, activation
from symprop.errors import ArgumentError, ArgumentTypeError, DeclarationError
from symprop.flow.gauss import Law, closed_form, expectation
from symprop.flow.pieces import largest


@dataclass(frozen=True)
class Gains:
    """The gains of an activation φ, for pre-activations of variance q.

        forward  g = √(q / E[φ(√q Z)²])        backward  g = 1 / √E[φ′(√q Z)²]

    Weights of standard deviation g/√n behind n units keep the variance of pre-activations at q with
    the forward gain, and the size of δ with the backward gain (behind as many units as before).
    ReLU has √2 for both and every q. ``exact`` has E[φ²] and E[φ′²] at q = 1 in closed form, where
    φ is made of polynomials and exponentials. ``slope`` is max|φ′|, the factor of a layer in the
    bound |δ⁽ˡ⁾| ≤ ‖W⁽ˡ⁺¹⁾‖ max|φ′| |δ⁽ˡ⁺¹⁾|.

    For tanh the forward gain is 1.5925 and the backward 1.4674 at q = 1. The 5/3 of PyTorch's
    ``calculate_gain`` is the forward gain at q = 1.178: it holds the activations' standard
    deviation at 0.651. PyTorch's 1 for the sigmoid is no gain in this sense (1.8462, 4.7226).
    """

    expression: Expr
    variance: float
    forward: float
    backward: float
    slope: float
    exact: tuple[Expr | None, Expr | None]

    @property
    def exact_forward(self) -> Expr | None:
        """The forward gain in closed form, such as √2."""
        return _inverse_root(self.exact[0])

    @property
    def exact_backward(self) -> Expr | None:
        """The backward gain in closed form."""
        return _inverse_root(self.exact[1])


def gains(given: Any, variance: float = 1.0) -> Gains:
    """The gains of an activation: a built-in's name or a SymPy expression in one symbol.

    Raises what ``Dense`` raises for an activation, DeclarationError for one that is not a function
    of one number, ArgumentError or ArgumentTypeError for a variance that is not positive.

    >>> gains("relu").exact_forward
    sqrt(2)
    >>> round(gains("tanh").forward, 4), round(gains("tanh", variance=1.1785).forward, 4)
    (1.5925, 1.6667)
    """
    found = activation(given)
    if not isinstance(found, Elementwise):
        raise DeclarationError(
            f"gains: activation: expected a function of one number, got {found.name!r}, in which "
            "units interact"
        )
    if isinstance(variance, bool) or not isinstance(variance, (int, float)):
        raise ArgumentTypeError(f"gains: variance: expected a number, got {variance!r}")
    if not 0 < variance < math.inf:
        raise ArgumentError(f"gains: variance: expected a number above 0, got {variance}")
    return gains_of(found.expression, float(variance))


def gains_of(value: Expr, variance: float) -> Gains:
    """The gains of a function of ``ARGUMENT``."""
    slope, law = value.diff(ARGUMENT), Law(0.0, variance)
    forward, backward = expectation(value**2, law) / variance, expectation(slope**2, law)
    exact = (None, None)
    if variance == 1:
        exact = (closed_form(value**2), closed_form(slope**2))
        forward, backward = (
            float(known.evalf(30)) if known is not None else numeric
            for known, numeric in zip(exact, (forward, backward), strict=True)
        )
    return Gains(value, variance, _gain(forward), _gain(backward), largest(slope), exact)


def _gain(square: float) -> float:
    return 1 / math.sqrt(square) if square else math.inf


def _inverse_root(square: Expr | None) -> Expr | None:
    return None if square is None or square == S.Zero else Pow(sqrt(square), -1)
