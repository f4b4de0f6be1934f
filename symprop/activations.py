"""Activations: one definition each, as a SymPy expression in one symbol, or as equations where
units interact.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import sympy
from sympy import (
    Abs,
    Expr,
    Float,
    Heaviside,
    Integer,
    Max,
    Min,
    Number,
    NumberSymbol,
    Piecewise,
    Rational,
    Symbol,
)
from sympy.core.function import FunctionClass
from sympy.functions.elementary.hyperbolic import HyperbolicFunction
from sympy.functions.elementary.trigonometric import TrigonometricFunction
from sympy.logic.boolalg import (
    ITE,
    And,
    BooleanFalse,
    BooleanTrue,
    Equivalent,
    Implies,
    Not,
    Or,
    Xor,
)

from symprop.errors import ArgumentTypeError, DeclarationError, UnknownNameError
from symprop.primitives import (
    KINKED,
    Absolute,
    Equal,
    Floor,
    Greater,
    GreaterEqual,
    Maximum,
    Minimum,
    Select,
    Sign,
)
from symprop.scope import Scope
from symprop.smooth import smooth
from symprop.tensor import Tensor

ARGUMENT = Symbol("z", real=True)
"""The argument of a declared activation."""


class Activation(Protocol):
    """What a layer needs of an activation: its name, how weights before it start, and its
    equations.
    """

    @property
    def name(self) -> str: ...
    @property
    def initializer(self) -> str: ...
    def apply(self, scope: Scope, source: Tensor, target: Tensor) -> None: ...


@dataclass(frozen=True)
class Elementwise:
    """a = f(z), the same scalar function f for every element.

    ``initializer`` names the initializer that keeps the signal's variance through a layer with this
    activation. ``latex`` is the function's name in print; custom expressions have none and print as
    they are.
    """

    name: str
    expression: Expr
    initializer: str = "glorot_uniform"
    latex: str = ""

    def apply(self, scope: Scope, source: Tensor, target: Tensor) -> None:
        """a[…] = f(z[…])."""
        value = self.expression.xreplace({ARGUMENT: source[source.axes]})
        scope.define(target[target.axes], value, step="activation")

    def __repr__(self) -> str:
        """As it is declared: by name, or as an expression."""
        return repr(self.name) if ACTIVATIONS.get(self.name) == self else str(self.expression)


@dataclass(frozen=True)
class Softmax:
    """a_k = exp(z_k − c) / Σ_i exp(z_i − c) along the last axis, with c = max_i z_i.

    The shift c keeps every exponential at most 1. It is a constant to the derivative: a does not
    depend on it, because exp(−c) cancels between numerator and denominator, whatever c is.
    """

    name: str = "softmax"
    initializer: str = "glorot_uniform"

    def apply(self, scope: Scope, source: Tensor, target: Tensor) -> None:
        """The four equations: shift, exponentials, their sum, quotient."""
        *batch, last = source.axes
        suffix = source.name.lstrip("z")
        shift = scope.tensor(f"c{suffix}", tuple(batch), role="constant")
        exponential = scope.tensor(f"e{suffix}", source.axes)
        total = scope.tensor(f"s{suffix}", tuple(batch))
        at, reduced = (*batch, last), tuple(batch)
        scope.define(shift[reduced], source[at], over=(last,), reduce="max", step="softmax shift")
        scope.define(exponential[at], sympy.exp(source[at] - shift[reduced]), step="exponential")
        scope.define(total[reduced], exponential[at], over=(last,), step="sum of exponentials")
        scope.define(target[at], exponential[at] / total[reduced], step="activation")

    def __repr__(self) -> str:
        return repr(self.name)


def _table() -> dict[str, Activation]:
    z = ARGUMENT
    sigmoid = 1 / (1 + sympy.exp(-z))
    leaky = Select(Greater(z, 0), z, z / 100)
    hard_tanh = Select(GreaterEqual(z, 1), 1, Select(GreaterEqual(-1, z), -1, z))
    alpha, scale = (
        Rational("1.6732632423543772848170429916717"),
        Rational("1.0507009873554804934193349852946"),
    )
    elementwise = (
        Elementwise("linear", z),
        Elementwise("relu", Maximum(z, 0), "he_normal", r"\operatorname{ReLU}"),
        Elementwise("leaky_relu", leaky, "he_normal", r"\operatorname{LeakyReLU}"),
        Elementwise(
            "elu", Select(Greater(z, 0), z, sympy.exp(z) - 1), "he_normal", r"\operatorname{ELU}"
        ),
        Elementwise(
            "selu",
            scale * Select(Greater(z, 0), z, alpha * (sympy.exp(z) - 1)),
            "lecun_normal",
            r"\operatorname{SELU}",
        ),
        Elementwise(
            "gelu", z * (1 + sympy.erf(z / sympy.sqrt(2))) / 2, "he_normal", r"\operatorname{GELU}"
        ),
        Elementwise("sigmoid", sigmoid, latex=r"\sigma"),
        Elementwise("tanh", sympy.tanh(z), latex=r"\tanh"),
        Elementwise("softplus", sympy.log(1 + sympy.exp(z)), latex=r"\operatorname{softplus}"),
        Elementwise("silu", z * sigmoid, "he_normal", r"\operatorname{SiLU}"),
        Elementwise(
            "mish", z * sympy.tanh(sympy.log(1 + sympy.exp(z))), "he_normal", r"\operatorname{mish}"
        ),
        Elementwise("softsign", z / (1 + Absolute(z)), latex=r"\operatorname{softsign}"),
        Elementwise("hard_tanh", hard_tanh, latex=r"\operatorname{hardtanh}"),
    )
    return {activation.name: activation for activation in (*elementwise, Softmax())}


ACTIVATIONS = _table()
"""The built-in activations by name; He's start for the ReLU family, LeCun's for selu, Glorot's
otherwise.
"""


def activation(given: Any) -> Activation:
    """The activation that a user means: a built-in's name, None for linear, or any SymPy expression
    in one symbol.

    Raises UnknownNameError (with the nearest name), DeclarationError naming the part of an
    expression that cannot be computed, ArgumentTypeError for anything else.

    >>> import sympy
    >>> z = sympy.Symbol("z")
    >>> activation(z * sympy.tanh(z)).expression
    z*tanh(z)
    """
    if given is None:
        return ACTIVATIONS["linear"]
    if isinstance(given, str):
        return ACTIVATIONS[known_name("activation", given, ACTIVATIONS, 'z = sympy.Symbol("z")')]
    if isinstance(given, (Elementwise, Softmax)):
        return given
    if not isinstance(given, Expr) or isinstance(given, sympy.MatrixExpr):
        raise ArgumentTypeError(
            "activation: expected a name, a SymPy expression in one symbol or None, got "
            f"{type(given).__name__} {given!r}{_function_hint(given)}"
        )
    symbols = sorted(given.free_symbols, key=str)
    if len(symbols) != 1:
        raise DeclarationError(
            f"activation {given}: expected one symbol, found "
            f"{', '.join(map(str, symbols)) or 'none'}"
        )
    expression = scalar_function(given, dict.fromkeys(symbols, ARGUMENT), "activation")
    return Elementwise("custom", expression)


def _function_hint(given: Any) -> str:
    if not isinstance(given, FunctionClass):
        return ""
    return f'; write sympy.{given.__name__}(z) with z = sympy.Symbol("z")'


ELSEWHERE = {
    "bce": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "l1": "mae",
    "logcosh": "log_cosh",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "nll": "cross_entropy",
    "smooth_l1": "huber",
    "sparse_categorical_crossentropy": "cross_entropy",
    "swish": "silu",
}
"""What other libraries call by names that are not near the ones here."""


def known_name(kind: str, given: str, known: Iterable[str], symbols: str = "") -> str:
    """The given name if it is known, else an UnknownNameError with the nearest one.

    Where a formula may stand instead, ``symbols`` says what it is written in.
    """
    names = list(known)
    if not isinstance(given, str):
        raise ArgumentTypeError(f"{kind}: expected a name, got {type(given).__name__} {given!r}")
    if given in names:
        return given
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given.lower(), lowered, n=1, cutoff=0.5)
    meant = ELSEWHERE.get(given.lower(), lowered[near[0]] if near else None)
    hint = f"did you mean {meant!r}? " if meant in names else ""
    if symbols and set(given) & set("+*/^()"):
        hint = f"a formula is a SymPy expression without quotes, in {symbols}; "
    raise UnknownNameError(f"{kind}: unknown name {given!r}; {hint}known are {', '.join(names)}")


LOWERED: tuple[type, ...] = (
    *(sympy.exp, sympy.log, sympy.erf, sympy.erfc),
    *(sympy.sin, sympy.cos, sympy.tan, sympy.asin, sympy.acos, sympy.atan),
    *(sympy.sinh, sympy.cosh, sympy.tanh, sympy.asinh, sympy.acosh, sympy.atanh),
    *KINKED,
)
"""The scalar functions that every backend computes."""


def scalar_function(expression: Expr, symbols: dict[Symbol, Expr], what: str) -> Expr:
    """A user's expression in the functions that symprop computes, its symbols replaced.

    Kinked functions become the primitives, or smooth where their kinks cancel, decimal numbers the
    rationals that they are written as.

    Raises DeclarationError naming the node that cannot be computed.
    """
    value = expression.xreplace(symbols)
    if value.is_extended_real is False or value.has(sympy.I):
        raise DeclarationError(
            f"{what} {expression}: is complex for a real argument; expected a real expression"
        )
    result = _translate(value, f"{what} {expression}")
    if not isinstance(result, Expr):
        raise DeclarationError(
            f"{what} {expression}: expected a number for every argument, got "
            f"{type(result).__name__}"
        )
    return smooth(result)


def _translate(node: Any, what: str) -> Any:
    if isinstance(node, (Number, NumberSymbol)):
        if not node.is_finite or abs(node) > sys.float_info.max:
            raise DeclarationError(f"{what}: contains {node}, which is not a finite number")
        return Rational(repr(float(node))) if isinstance(node, Float) else node
    if isinstance(node, Symbol):
        return node
    if isinstance(node, Piecewise):
        return _piecewise(node, what)
    if isinstance(node, (TrigonometricFunction, HyperbolicFunction)) and not isinstance(
        node, LOWERED
    ):
        return _translate(_in_base_functions(node, what), what)
    rule = REWRITES.get(type(node))
    if rule is None and not isinstance(node, (sympy.Add, sympy.Mul, sympy.Pow, Floor, *LOWERED)):
        raise DeclarationError(
            f"{what}: cannot compute {type(node).__name__} in {node}; "
            "use powers, exp, log, trigonometric and hyperbolic functions, erf, Abs, Min, Max, "
            "sign or Piecewise"
        )
    if isinstance(node, sympy.Pow) and node.base.is_negative and not node.exp.is_integer:
        raise DeclarationError(f"{what}: {node} is complex for a real argument")
    return (rule or node.func)(*(_translate(argument, what) for argument in node.args))


def _in_base_functions(node: Expr, what: str) -> Expr:
    """cot, sec, csch, ... in sines, cosines and their hyperbolic kin."""
    base = sympy.sin if isinstance(node, TrigonometricFunction) else sympy.cosh
    result = node.rewrite(sympy.cos).rewrite(sympy.sin) if base is sympy.sin else _hyperbolic(node)
    if isinstance(result, type(node)):
        raise DeclarationError(f"{what}: cannot compute {type(node).__name__} in {node}")
    return result


def _hyperbolic(node: Expr) -> Expr:
    u = node.args[0]
    table = {
        sympy.coth: 1 / sympy.tanh(u),
        sympy.sech: 1 / sympy.cosh(u),
        sympy.csch: 1 / sympy.sinh(u),
    }
    return table.get(type(node), node)


def _piecewise(node: Piecewise, what: str) -> Expr:
    *branches, (last, condition) = [(branch.expr, branch.cond) for branch in node.args]
    if not isinstance(condition, BooleanTrue):
        raise DeclarationError(
            f"{what}: a Piecewise needs a last branch (value, True), here it ends with {condition}"
        )
    result = _translate(last, what)
    for value, holds in reversed(branches):
        result = Select(_condition(holds, what), _translate(value, what), result)
    return result


def _condition(node: Any, what: str) -> Expr:
    """A condition as an indicator: 1 where it holds, 0 elsewhere."""
    if isinstance(node, (BooleanTrue, BooleanFalse)):
        return Integer(bool(node))
    if isinstance(node, And):
        return sympy.Mul(*(_condition(part, what) for part in node.args))
    if isinstance(node, Or):
        return 1 - sympy.Mul(*(1 - _condition(part, what) for part in node.args))
    if isinstance(node, Not):
        return 1 - _condition(node.args[0], what)
    if isinstance(node, sympy.core.relational.Relational):
        left, right = (_translate(side, what) for side in node.args)
        return RELATIONS[node.rel_op](left, right)
    if isinstance(node, (Xor, ITE, Implies, Equivalent)):
        return _condition(sympy.to_nnf(node, simplify=False), what)
    raise DeclarationError(
        f"{what}: expected a comparison as condition, found {type(node).__name__} {node}"
    )


RELATIONS: dict[str, Callable[[Expr, Expr], Expr]] = {
    ">": Greater,
    ">=": GreaterEqual,
    "<": lambda u, v: Greater(v, u),
    "<=": lambda u, v: GreaterEqual(v, u),
    "==": Equal,
    "!=": lambda u, v: 1 - Equal(u, v),
}


def _heaviside(u: Expr, at_zero: Expr) -> Expr:
    """H(u) with the value at 0 that the user gave (SymPy's default is 1/2)."""
    return Select(Equal(u, 0), at_zero, Greater(u, 0))


def _acot(u: Expr) -> Expr:
    """SymPy's branch: from −π/2 to π/2, and π/2 at 0."""
    half = Select(GreaterEqual(u, 0), sympy.pi / 2, -sympy.pi / 2)
    return Select(Greater(Absolute(u), 1), sympy.atan(1 / u), half - sympy.atan(u))


def _extreme(function: Callable[[Expr, Expr], Expr]) -> Callable[..., Expr]:
    """Fold several arguments in pairs; numbers go last, so that a tie with a number belongs to the
    number.
    """
    return lambda *arguments: reduce(
        function, sorted(arguments, key=lambda a: (a.is_number, sympy.default_sort_key(a)))
    )


REWRITES: dict[type, Callable[..., Expr]] = {
    Abs: Absolute,
    sympy.sign: Sign,
    Max: _extreme(Maximum),
    Min: _extreme(Minimum),
    Heaviside: _heaviside,
    sympy.acot: _acot,
    sympy.asec: lambda u: sympy.acos(1 / u),
    sympy.acsc: lambda u: sympy.asin(1 / u),
    sympy.acoth: lambda u: sympy.atanh(1 / u),
    sympy.asech: lambda u: sympy.acosh(1 / u),
    sympy.acsch: lambda u: sympy.asinh(1 / u),
    sympy.sinc: lambda u: Select(Equal(u, 0), Integer(1), sympy.sin(u) / u),
}
"""SymPy's functions that no backend has, in those that all have."""
