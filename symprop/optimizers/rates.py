"""Learning rates: a number, a schedule, an expression or a function of the step.

The step t counts the batches that a model has been trained on, from 0, over all calls of ``fit``. A
schedule is a function of it that gives a SymPy expression, which becomes an equation of the
training step. So may be any function of yours: it is called with a symbol first. A function that
cannot take one, because it branches on its argument or calls ``math``, is called with the numbers
of the steps ahead instead.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Expr, Symbol, cos, pi

from symprop.activations import scalar_function
from symprop.errors import ArgumentError, ArgumentTypeError, DeclarationError
from symprop.layers.base import positive_integer
from symprop.primitives import Floor, Greater, Minimum, Select
from symprop.settings import exact, setting

STEP = Symbol("t", integer=True, nonnegative=True)
"""The number of the step in a learning rate's formula, from 0."""


def learning_rate(what: str, given: Any) -> Any:
    """A learning rate, checked: a function that can take a symbol as the expression that it gives.

    Raises ArgumentError for a number that is no rate, DeclarationError for an expression that
    cannot be computed, ArgumentTypeError for anything else.
    """
    if isinstance(given, numbers.Real) and not isinstance(given, bool):
        setting(what, given, 0)
        return given
    if isinstance(given, Schedule):
        return given
    if isinstance(given, Expr):
        return _expression(what, given)
    if callable(given) and not isinstance(given, type):
        traced = _traced(what, given)
        return given if traced is None else traced
    raise ArgumentTypeError(
        f"{what}: expected a number, a schedule such as CosineDecay(0.1, steps=1000), or a "
        f"function of the step, got {type(given).__name__} {given!r}"
    )


def _expression(what: str, given: Expr) -> Expr:
    """A user's expression in one symbol, as one in STEP."""
    symbols = sorted(given.free_symbols, key=str)
    if len(symbols) > 1:
        raise DeclarationError(
            f"{what}: {given}: expected one symbol, the step, found {', '.join(map(str, symbols))}"
        )
    return scalar_function(_whole(given), dict.fromkeys(symbols, STEP), what)


def _whole(expression: Expr) -> Expr:
    """⌊u/v⌋ as a quotient of whole numbers, and remainders by it."""

    def quotient(u: Expr) -> Expr:
        return Floor(*sympy.nsimplify(u, rational=True).as_numer_denom())

    found = expression.replace(sympy.Mod, lambda u, v: u - v * sympy.floor(u / v))
    return found.replace(sympy.floor, quotient)


def _binary(operation: Callable[[Any, Any], Any], swapped: bool = False) -> Callable[..., Any]:
    """The method of an operator between a step and a number or an expression."""

    def method(own: _Step, other: Any) -> _Step:
        pair = (own.value, sympy.sympify(other, strict=True))
        return _Step(operation(*(pair[::-1] if swapped else pair)))

    return method


class _Step:
    """The step as a number of which nothing is known: what branches on it fails, instead of taking
    one of its branches for all steps.
    """

    def __init__(self, value: Expr = STEP):
        self.value = value

    def _sympy_(self) -> Expr:
        return self.value

    __add__, __radd__ = _binary(operator.add), _binary(operator.add, swapped=True)
    __sub__, __rsub__ = _binary(operator.sub), _binary(operator.sub, swapped=True)
    __mul__, __rmul__ = _binary(operator.mul), _binary(operator.mul, swapped=True)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _binary(operator.truediv, swapped=True)
    __floordiv__, __rfloordiv__ = (
        _binary(operator.floordiv),
        _binary(operator.floordiv, swapped=True),
    )
    __mod__, __rmod__ = _binary(operator.mod), _binary(operator.mod, swapped=True)
    __pow__, __rpow__ = _binary(operator.pow), _binary(operator.pow, swapped=True)

    def __neg__(self) -> _Step:
        return _Step(-self.value)

    def __eq__(self, other: object) -> bool:
        raise TypeError("the step is a symbol here")

    def __bool__(self) -> bool:
        raise TypeError("the step is a symbol here")

    __hash__ = None  # type: ignore[assignment]  # so that it is no key of a dict either
    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__


def _traced(what: str, given: Callable[..., Any]) -> Expr | None:
    """The expression that a function gives for a symbol; None where it cannot take one, or gives a
    number whatever the step, which may be another one later.
    """
    try:
        value = given(_Step())
        value = value.value if isinstance(value, _Step) else value
        if not isinstance(value, Expr) or not value.free_symbols:
            return None
        return _expression(what, value)
    except Exception:  # a function of the user's may raise anything for a symbol
        return None


class Schedule:
    """A learning rate that changes from step to step: a function of the step as an expression."""

    def __call__(self, step: Any) -> Expr:
        raise NotImplementedError

    def _positive(self, name: str) -> None:
        setting(f"{type(self).__name__}: {name}", getattr(self, name), 0)

    def _count(self, name: str) -> None:
        count = positive_integer(f"{type(self).__name__}: {name}", getattr(self, name))
        object.__setattr__(self, name, count)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """α(t) = α₀ γ^⌊t/n⌋: the rate falls by a factor after every n steps.

    ``initial`` is α₀, ``steps`` n, ``factor`` γ, by default 1/10 as in the residual networks of He
    et al. 2016. PyTorch's ``StepLR`` counts epochs; here n = epochs × batches an epoch.

    Raises ArgumentError for α₀ ≤ 0, n < 1 or γ outside (0, 1).

    >>> StepDecay(0.1, steps=100)(250)
    1/1000
    """

    initial: float
    steps: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._positive("initial")
        self._count("steps")
        setting("StepDecay: factor", self.factor, 0, 1)

    def __call__(self, step: Any) -> Expr:
        return exact(self.initial) * exact(self.factor) ** Floor(_symbolic(step), self.steps)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """α(t) = α₀ γ^(t/n): the rate falls evenly, by the factor γ in n steps.

    ``initial`` is α₀, ``steps`` n, ``factor`` γ. With n = 1 it is PyTorch's ``ExponentialLR`` a
    step; Keras's ``ExponentialDecay`` is the same.

    Raises ArgumentError for α₀ ≤ 0, n < 1 or γ outside (0, 1).

    >>> ExponentialDecay(0.1, steps=100, factor=0.5)(200)
    1/40
    """

    initial: float
    steps: int
    factor: float

    def __post_init__(self) -> None:
        self._positive("initial")
        self._count("steps")
        setting("ExponentialDecay: factor", self.factor, 0, 1)

    def __call__(self, step: Any) -> Expr:
        return exact(self.initial) * exact(self.factor) ** (_symbolic(step) / self.steps)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """α(t) = α₁ + (α₀ − α₁)(1 + cos(π min(t, n)/n))/2: along half a cosine from α₀ to α₁.

    ``initial`` is α₀, ``steps`` n, after which the rate stays at ``final`` α₁, 0 by default. Keras
    gives α₁ as a share of α₀; PyTorch's ``CosineAnnealingLR`` rises again.

    Raises ArgumentError for α₀ ≤ 0, n < 1 or α₁ outside [0, α₀).

    Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", (5).

    >>> CosineDecay(0.1, steps=100)(50)
    1/20
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        self._positive("initial")
        self._count("steps")
        setting("CosineDecay: final", self.final, 0, float(self.initial), low_included=True)

    def __call__(self, step: Any) -> Expr:
        initial, final = exact(self.initial), exact(self.final)
        done = Minimum(_symbolic(step), self.steps) / self.steps
        return final + (initial - final) * (1 + cos(pi * done)) / 2


@dataclass(frozen=True)
class WarmUp(Schedule):
    """α(t) = (t + 1)/n · α₁(0) for t < n, then α₁(t − n): a linear rise, then another rate α₁.

    ``steps`` is n; ``then`` is α₁, a number, a schedule, an expression or a function of the step
    that can take a symbol. The first step has α₁(0)/n, not 0, so that it is not lost.

    Raises ArgumentError for n < 1 and what the rate after it raises.

    Source: Goyal et al. 2017, "Accurate, large minibatch SGD", section 2.2, gradual warmup.

    >>> warm = WarmUp(10, then=CosineDecay(0.1, steps=100))
    >>> warm(4), warm(60)
    (1/20, 1/20)
    """

    steps: int
    then: Any

    def __post_init__(self) -> None:
        self._count("steps")
        object.__setattr__(self, "then", learning_rate("WarmUp: then", self.then))
        if takes_numbers(self.then):
            raise ArgumentTypeError(
                "WarmUp: then: this function cannot take a symbol for the step; write the warm-up "
                "into it"
            )

    def __call__(self, step: Any) -> Expr:
        t, then = _symbolic(step), formula_of(self.then)
        after = exact(self.then) if then is None else then.xreplace({STEP: t - self.steps})
        start = exact(self.then) if then is None else then.xreplace({STEP: sympy.S.Zero})
        return Select(Greater(self.steps, t), (t + 1) * start / self.steps, after)


def _symbolic(step: Any) -> Expr:
    return sympy.sympify(step, strict=True)


def formula_of(rate: Any) -> Expr | None:
    """A learning rate as an expression in STEP; None for a number, and for a function that takes
    numbers only.
    """
    if isinstance(rate, Schedule):
        return rate(STEP)
    return rate if isinstance(rate, Expr) and not isinstance(rate, numbers.Real) else None


def takes_numbers(rate: Any) -> bool:
    """Whether a learning rate is a function that takes the numbers of steps only."""
    return callable(rate) and not isinstance(rate, (Schedule, Expr))


def start_of(rate: Any) -> float:
    """The learning rate of the first step.

    Raises ArgumentError where it is no number, negative or not finite.
    """
    formula = formula_of(rate)
    if formula is not None:
        start = formula.xreplace({STEP: sympy.S.Zero}).doit()
    else:
        start = rate if isinstance(rate, numbers.Real) else rate(0)
    known = isinstance(start, numbers.Real) or (isinstance(start, Expr) and start.is_extended_real)
    if not known or not 0 <= float(start) < math.inf:
        raise ArgumentError(
            f"learning_rate: expected at least 0 and finite at every step, got {start!r} at the "
            "first, t = 0"
        )
    return float(start)
