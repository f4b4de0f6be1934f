"""The scalar functions with a kink, as SymPy functions whose derivative runs and prints.

SymPy differentiates ``Max`` into ``Heaviside`` and that into ``DiracDelta``, which no program can
run. The functions here state one subgradient at the kink, used alike in print and in code; every
second derivative there is 0.

===================  ===================  ==================================================
function             value                derivative (the convention at the kink)
===================  ===================  ==================================================
``Greater(u, v)``    1 if u > v else 0    0 everywhere
``GreaterEqual``     1 if u ≥ v else 0    0 everywhere
``Equal(u, v)``      1 if u = v else 0    0 everywhere
``Sign(u)``          −1, 0 or 1           0 everywhere
``Absolute(u)``      |u|                  Sign(u), so 0 at u = 0
``Maximum(u, v)``    the larger           [u > v] for u, [u ≤ v] for v: a tie belongs to v
``Minimum(u, v)``    the smaller          [u < v] for u, [u ≥ v] for v: a tie belongs to v
``Floor(u, v)``      ⌊u/v⌋                0 everywhere
``Select(c, u, v)``  u if c ≠ 0, else v   Select(c, u′, v′): that of the branch taken
===================  ===================  ==================================================
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Function, Integer, S, floor


class Indicator(Function):
    """A comparison as a number: 1 where it holds, 0 elsewhere; flat, so its derivative is 0."""

    nargs = 2

    def fdiff(self, argindex: int = 1) -> Expr:
        return S.Zero


class Greater(Indicator):
    """The indicator [u > v]."""

    @classmethod
    def eval(cls, u: Any, v: Any) -> Expr | None:
        return _decided(u - v, lambda gap: gap > 0) if u.is_number and v.is_number else None


class GreaterEqual(Indicator):
    """The indicator [u ≥ v]."""

    @classmethod
    def eval(cls, u: Any, v: Any) -> Expr | None:
        return _decided(u - v, lambda gap: gap >= 0) if u.is_number and v.is_number else None


class Equal(Indicator):
    """The indicator [u = v]."""

    @classmethod
    def eval(cls, u: Any, v: Any) -> Expr | None:
        return _decided(u - v, lambda gap: gap == 0) if u.is_number and v.is_number else None


class Sign(Function):
    """The sign −1, 0 or 1 of u; flat, so its derivative is 0."""

    nargs = 1

    @classmethod
    def eval(cls, u: Any) -> Expr | None:
        if not u.is_number:
            return None
        return Integer(-1) if u < 0 else Integer(1) if u > 0 else S.Zero

    def fdiff(self, argindex: int = 1) -> Expr:
        return S.Zero


class Absolute(Function):
    """The absolute value |u|, with derivative Sign(u)."""

    nargs = 1

    @classmethod
    def eval(cls, u: Any) -> Expr | None:
        if u.could_extract_minus_sign():  # |−u| = |u|
            return cls(-u)
        return abs(u) if u.is_number else None

    def fdiff(self, argindex: int = 1) -> Expr:
        return Sign(self.args[0])


class Maximum(Function):
    """The larger of u and v; at a tie the derivative belongs to v, so that max(z, 0)′ = [z > 0]."""

    nargs = 2

    @classmethod
    def eval(cls, u: Any, v: Any) -> Expr | None:
        return max(u, v) if u.is_number and v.is_number else None

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        return Greater(u, v) if argindex == 1 else GreaterEqual(v, u)


class Minimum(Function):
    """The smaller of u and v; at a tie the derivative belongs to v."""

    nargs = 2

    @classmethod
    def eval(cls, u: Any, v: Any) -> Expr | None:
        return min(u, v) if u.is_number and v.is_number else None

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        return Greater(v, u) if argindex == 1 else GreaterEqual(u, v)


class Floor(Function):
    """⌊u/v⌋, how many whole times v goes into u; flat between its jumps, so its derivative is 0.

    It has both as arguments, for the floor of a product with 1/v would be one too low for some
    multiples of v.
    """

    nargs = 2

    @classmethod
    def eval(cls, u: Any, v: Any) -> Expr | None:
        return floor(u / v) if u.is_number and v.is_number else None

    def fdiff(self, argindex: int = 1) -> Expr:
        return S.Zero


class Select(Function):
    """u where the condition c is not 0, else v; the derivative is that of the branch taken.

    The derivative selects between derivatives instead of weighting them, so that a branch that is
    not taken may be infinite: c·u′ + (1 − c)·v′ would give 0·∞.
    """

    nargs = 3

    @classmethod
    def eval(cls, condition: Any, u: Any, v: Any) -> Expr | None:
        if u == v:
            return u
        if condition.is_number:
            return v if condition == 0 else u
        return None

    def _eval_derivative(self, symbol: Any) -> Expr:
        condition, u, v = self.args
        return Select(condition, u.diff(symbol), v.diff(symbol))


def _decided(gap: Any, holds: Any) -> Expr | None:
    return S.One if holds(gap) else S.Zero


KINKED = (Indicator, Sign, Absolute, Maximum, Minimum, Select)
"""All of them: what has a kink or a jump."""
