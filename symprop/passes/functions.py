"""Scalar functions that only stabilizing writes: they keep digits that their meaning loses."""

from __future__ import annotations

from sympy import Expr, Float, Function, Rational, cosh, exp, nsimplify, pi, sign, sqrt


class Written(Function):
    """A function with the ``meaning`` that it has on paper, where it is printed so."""

    @property
    def meaning(self) -> Expr:
        raise NotImplementedError


class erfc(Function):  # noqa: N801 (as SymPy calls its own)
    """1 − erf(u). SymPy's own turns erfc(−u) into 2 − erfc(u), which cancels for large u."""

    nargs = 1


class sech2(Written):  # noqa: N801 (a function, as those of SymPy)
    """1 − tanh²(u), also where tanh(u) is rounded to 1; compiled code computes it with tanh(u)."""

    nargs = 1

    @property
    def meaning(self) -> Expr:
        return 1 / cosh(self.args[0]) ** 2


class exp_product(Written):  # noqa: N801
    """w·exp(u·v), where the product u·v is not rounded, nor exp(u·v) where it is subnormal."""

    nargs = 3

    @property
    def meaning(self) -> Expr:
        w, u, v = self.args
        return w * exp(exact(u) * v)


class erfc_product(Written):  # noqa: N801
    """w·erfc(u·v), where the product u·v is not rounded, nor erfc(u·v) where it is subnormal."""

    nargs = 3

    @property
    def meaning(self) -> Expr:
        w, u, v = self.args
        return w * erfc(exact(u) * v)


DIGITS = 40


def decimal(number: Expr) -> Expr:
    """A number with a root or π in it as a decimal of 40 digits: one leaf, whose rest after
    rounding is known.
    """
    return number if number.is_Rational else Float(number.evalf(DIGITS), DIGITS)


def exact(number: Expr) -> Expr:
    """The root that a decimal stands for."""
    if not isinstance(number, Float):
        return number
    for scale in (1, pi):
        square = nsimplify(scale * number**2, rational=True, tolerance=Rational(1, 10**30))
        if square.q < 10**8:
            return sign(number) * sqrt(square / scale)
    return number
