"""How exact the built-in functions are: worst errors in ulp against mpmath's 50 digits.

    python -m benchmarks.accuracy            # writes docs/accuracy.md
    python -m benchmarks.accuracy --only gelu --points 2000

Every activation, every loss, and their gradients are computed as in training: differentiated,
simplified, lowered, and compiled by the Numba backend. What they are compared with is written here
by hand, in forms that lose nothing at 50 digits.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import mpmath
import numba
import numpy as np
import symprop
import sympy
from mpmath import mpf
from symprop.activations import ACTIVATIONS
from symprop.adjoint import backward
from symprop.backends.numba import run
from symprop.losses import LOSSES, outputs, prediction, target
from symprop.passes import lower, simplify_gradients
from symprop.passes.rule import Rule
from symprop.passes.stabilize import EXACT_SLOPES, RULES
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from symprop.tensor import Tensor

from benchmarks.exact import (
    FROM_LOGITS,
    LOSS_REFERENCES,
    REFERENCES,
    Exact,
    softmax,
    softmax_binary,
    softmax_binary_delta,
    softmax_delta,
    softmax_loss,
    softmax_slope,
)

Array = np.ndarray[Any, Any]
DIGITS = 50
DTYPES = ("float32", "float64")
REPORT = Path(__file__).parents[1] / "docs" / "accuracy.md"


@dataclass(frozen=True)
class Case:
    """A value and its gradient as programs compute them, and as they are."""

    name: str
    program: Program
    found: tuple[str, str]
    """The labels of value and gradient."""
    exact: tuple[Exact, Exact]
    inputs: Callable[[str, int], dict[str, Array]]
    """What is given, by label, for a type and a number of points."""

    def rows(self, given: dict[str, Array]) -> Iterator[tuple[float, ...]]:
        """What each element of the value depends on."""
        return zip(*(column.tolist() for column in given.values()), strict=True)


class OfRows(Case):
    """A case whose elements depend on a whole row: each row with the place of the element."""

    def rows(self, given: dict[str, Array]) -> Iterator[tuple[float, ...]]:
        for row in np.concatenate(list(given.values()), axis=1).tolist():
            for place in range(len(row) // len(given)):
                yield (*row, place)


def derived(scope: Scope, value: Tensor, by: Tensor, rules: tuple[Rule, ...] = RULES) -> Program:
    """A value for every b and the gradient of its sum, as they are trained."""
    total = scope.tensor("total")
    at = value.axes
    scope.define(total[()], value[at], over=at)
    forward = scope.freeze(outputs=(value, total))
    program = simplify_gradients(forward + backward(forward, total, (by,)))
    return lower(program, rules=rules)


def activation_case(name: str, title: str = "", rules: tuple[Rule, ...] = RULES) -> Case:
    scope = Scope()
    axes = (index("b", BATCH),)
    z, a = scope.tensor("z", axes, role="input"), scope.tensor("a", axes)
    ACTIVATIONS[name].apply(scope, z, a)
    labels = ("a", str(z.cotangent(1).label))
    program = derived(scope, a, z, rules)
    return Case(title or name, program, labels, REFERENCES[name], lambda d, n: {"z": sweep(d, n)})


def loss_case(name: str) -> Case:
    scope = Scope()
    axes = (index("b", BATCH),)
    p, y = scope.tensor("p", axes, role="input"), scope.tensor("y", axes, role="target")
    loss = scope.tensor("loss", axes)
    values = {prediction: p[axes], target: y[axes], outputs: sympy.Integer(1)}
    scope.define(loss[axes], LOSSES[name].expression.xreplace(values))
    labels = ("loss", str(p.cotangent(1).label))
    return Case(name, derived(scope, loss, p), labels, LOSS_REFERENCES[name], pairs(name))


def from_logits(activation: str, name: str, exact: tuple[Exact, Exact]) -> Case:
    """A loss behind the activation that goes with it, by the logit."""
    scope = Scope()
    axes = (index("b", BATCH),)
    z, y = scope.tensor("z", axes, role="input"), scope.tensor("y", axes, role="target")
    p, loss = scope.tensor("p", axes), scope.tensor("loss", axes)
    ACTIVATIONS[activation].apply(scope, z, p)
    values = {prediction: p[axes], target: y[axes], outputs: sympy.Integer(1)}
    scope.define(loss[axes], LOSSES[name].expression.xreplace(values))
    labels = ("loss", str(z.cotangent(1).label))

    def inputs(dtype: str, points: int) -> dict[str, Array]:
        given = pairs(name)(dtype, points)
        logits = sweep(dtype, points)
        return {"z": np.resize(logits, len(given["y"])), "y": given["y"]}

    return Case(f"{activation} + {name}", derived(scope, loss, z), labels, exact, inputs)


def sweep(dtype: str, points: int) -> Array:
    """Numbers of the whole range: zeros, subnormals, powers of two, edges, and many at random.

    Of the powers of two only some where the points are few.
    """
    kind, rng = np.finfo(dtype), np.random.default_rng(0)
    word = np.uint32 if dtype == "float32" else np.uint64
    step = max(1, FEW // max(points, 1))
    powers = np.exp2(np.arange(kind.minexp - kind.nmant, kind.maxexp, step)).astype(dtype)
    small = kind.smallest_subnormal * rng.integers(1, 1 << kind.nmant, 50).astype(dtype)
    edges = np.array([*EDGES[dtype], float(kind.max)], dtype)
    near = (np.nextafter(edges, edges.dtype.type(0)), np.nextafter(edges, kind.max))
    share = points // 6
    wide = float(EDGES[dtype][-1]) * 1.1
    anything = rng.integers(0, np.iinfo(word).max, share, word).view(dtype)
    random = [rng.uniform(-reach, reach, share) for reach in (1, 4, 25, wide)]
    random.append(np.exp(rng.uniform(-30, 8, share)))
    parts = (powers, small, edges, *near, *random)
    found = np.concatenate([np.asarray(part, dtype) for part in parts])
    found = np.concatenate([np.array([0.0, -0.0], dtype), found, -found, anything])
    return found[np.isfinite(found)]


def logit_rows(dtype: str, points: int) -> dict[str, Array]:
    """Three logits, from close together to far apart, each with each class as the target."""
    rng, number = np.random.default_rng(1), points // 18
    reach = float(EDGES[dtype][-1])
    rows = [rng.normal(size=(number, 3)) * size for size in (1e-3, 1, 5, reach / 4, reach, 1e4)]
    rows.append(np.array([[1000, 0, -1000], [0, 0, 0], [-1e30, 0, 1e30], [40, 0, 0]]))
    logits = np.concatenate(rows).astype(dtype)
    return {
        "z": np.repeat(logits, 3, axis=0),
        "y": np.tile(np.eye(3, dtype=dtype), (len(logits), 1)),
    }


FEW = 200  # fewer points than this leave out powers of two
EDGES = {
    "float32": (0.5, 1, 8, 17.3, 87.34, 88.02, 88.72, 88.73, 89.4, 103.28, 103.97, 104),
    "float64": (0.5, 1, 8, 37.5, 40, 354.9, 708.4, 709.78, 709.79, 710.4, 744.4, 745.13, 746),
}
"""Where exponentials, their squares and hyperbolic functions begin to overflow and underflow."""

TARGETS = {
    "": (-3.0, 0.0, 0.1, 1.0, 1e10),
    "sign": (-1.0, 1.0),
    "probability": (0.0, 1.0, 0.5, 0.1, 1e-20),
    "classes": (0.0, 1.0),
    "count": (0.0, 1.0, 2.0, 100.0),
}


def pairs(name: str) -> Callable[[str, int], dict[str, Array]]:
    """Predictions that a loss may be given, each with every target."""
    labels = LOSSES[name].labels

    def inputs(dtype: str, points: int) -> dict[str, Array]:
        targets = np.array(TARGETS[labels], dtype)
        p = sweep(dtype, points // len(targets))
        if labels in ("probability", "classes"):
            p = np.abs(np.concatenate([p[np.abs(p) <= 1], 1 - p[np.abs(p) < 1] ** 2]))
        if labels == "count":
            p = np.abs(p)
        grid = np.meshgrid(p, targets)
        return {"p": grid[0].ravel(), "y": grid[1].ravel()}

    return inputs


@dataclass(frozen=True)
class Error:
    """The worst error of a value: in its own ulp, in ulp of 1 or of itself if that is more."""

    ulp: float
    plain: float
    where: tuple[float, ...]
    lost: int
    """How often the value is not finite although the true one is."""


def measured(case: Case, dtype: str, points: int) -> tuple[Error, Error]:
    """The worst errors of value and gradient."""
    given = case.inputs(dtype, points)
    values = run(case.program, given, dtype)
    rows = list(case.rows(given))
    return tuple(  # type: ignore[return-value]
        worst(values[label], rows, exact, dtype)
        for label, exact in zip(case.found, case.exact, strict=True)
    )


def worst(found: Array, rows: list[tuple[float, ...]], exact: Exact, dtype: str) -> Error:
    kind = np.finfo(dtype)
    largest, ulps, plain, lost = mpf(float(kind.max)), [], [], 0
    with mpmath.workdps(DIGITS):
        for value, row in zip(found.ravel().tolist(), rows, strict=True):
            true = exact(*map(mpf, row))
            if abs(true) > largest or not np.isfinite(value):
                lost += abs(true) <= largest
                right = abs(true) > largest and abs(value) >= float(kind.max) * 0.999
                ulps.append(0.0 if right else np.inf)
                plain.append(ulps[-1])
                continue
            gap = abs(mpf(value) - true)
            ulps.append(float(gap / spacing(true, kind)))
            plain.append(float(gap / max(abs(true), 1) / mpf(float(kind.eps))))
    place = int(np.argmax(ulps))
    return Error(ulps[place], max(plain), rows[place], lost)


def spacing(true: mpf, kind: Any) -> mpf:
    """The distance of neighbouring numbers at a true value."""
    exponent = max(mpmath.frexp(true)[1] - 1 if true else kind.minexp, kind.minexp)
    return mpf(2) ** (int(exponent) - kind.nmant)


def softmax_case(name: str, exact: tuple[Exact, Exact]) -> Case:
    """softmax itself, with the derivative of the target's probability; or a loss behind it."""
    scope = Scope()
    axes = (index("b", BATCH), index("j", 3))
    z, y = scope.tensor("z", axes, role="input"), scope.tensor("y", axes, role="target")
    p, loss = scope.tensor("p", axes), scope.tensor("loss", axes)
    ACTIVATIONS["softmax"].apply(scope, z, p)
    values = {prediction: p[axes], target: y[axes], outputs: sympy.Integer(1)}
    expression = LOSSES[name].expression if name else prediction * target
    scope.define(loss[axes], expression.xreplace(values))
    if name == "cross_entropy":
        scope.fact(y[axes], axes[1:], sympy.Integer(1), "one-hot")
    labels = ("loss" if name else "p", str(z.cotangent(1).label))
    title = f"softmax + {name}" if name else "softmax"
    return OfRows(title, derived(scope, loss, z), labels, exact, logit_rows)


def cases() -> Iterator[Case]:
    """All rows of the table."""
    yield from map(activation_case, REFERENCES)
    yield activation_case("tanh", "tanh with exact slopes", EXACT_SLOPES)
    yield softmax_case("", (softmax, softmax_slope))
    yield from map(loss_case, LOSS_REFERENCES)
    yield softmax_case("cross_entropy", (softmax_loss, softmax_delta))
    yield softmax_case("binary_cross_entropy", (softmax_binary, softmax_binary_delta))
    yield from_logits(
        "sigmoid",
        "binary_cross_entropy",
        FROM_LOGITS["binary_cross_entropy"],
    )
    yield from_logits(
        "softplus",
        "poisson",
        FROM_LOGITS["poisson"],
    )


def main() -> None:
    """Measure all rows and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=300, help="random numbers for each row")
    parser.add_argument("--only", default="", help="rows that begin so; prints, writes nothing")
    given = parser.parse_args()
    lines = []
    for case in cases():
        if case.name.startswith(given.only):
            found = {dtype: measured(case, dtype, given.points) for dtype in DTYPES}
            lines.append(row(case.name, found))
            print(lines[-1], flush=True)
    if not given.only:
        text = "\n".join((HEAD, *lines))
        REPORT.write_text(f"{text}\n{foot(given.points)}", encoding="utf-8")


def row(name: str, found: dict[str, tuple[Error, Error]]) -> str:
    """A line of the table: of function and gradient, in float32 and float64."""
    cells = [cell(found[d][part], part) for part in (0, 1) for d in DTYPES]
    lost = sum(error.lost for errors in found.values() for error in errors)
    marks = [mark for names, mark in MARKS.items() if name in names.split(", ")]
    return f"| {name} | {' | '.join(cells)} | {lost} | {' '.join(marks)} |"


def cell(error: Error, part: int) -> str:
    """The error in its own ulp; where that misses the aim, also in ulp of at least 1."""
    if error.ulp <= AIMS[part]:
        return f"{error.ulp:.1f}"
    own = f"{error.ulp:,.0f}" if error.ulp < 1e5 else "all digits"
    return f"{own} ({error.plain:.1f})"


AIMS = (4, 8)
"""In ulp: for functions, for gradients."""
MARKS = {
    "tanh, softmax, softmax + cross_entropy, softmax + binary_cross_entropy, sigmoid + "
    "binary_cross_entropy": "a",
    "gelu, silu, mish, poisson, softplus + poisson": "b",
    "softmax": "c",
    "softmax + cross_entropy, softmax + binary_cross_entropy": "d",
    "silu, mish": "e",
    "log_cosh": "f",
}
HEAD = """# How exact the built-in functions are

Worst errors in ulp (units in the last place of the exact result) of every activation and every
loss, and of their gradients, as the compiled code of training computes them, against mpmath's 50
digits. The aim is 4 ulp for functions and 8 for gradients. Where a number misses it, a letter says
why, and the worst error in ulp of 1 (of the result, where that is larger) follows in parentheses:
*all digits (0.9)* means that the result may be wrong from its first digit on, but never by more
than 0.9 ulp of 1.

*lost* counts results that are not finite although the exact one is a number of the type.

| | function float32 | float64 | gradient float32 | float64 | lost | |
|---|---:|---:|---:|---:|---:|---|"""


def foot(points: int) -> str:
    """What the letters mean, the method, the versions."""
    versions = {
        "symprop": symprop.__version__,
        "Python": platform.python_version(),
        "Numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "NumPy": np.__version__,
        "SymPy": sympy.__version__,
        "mpmath": mpmath.__version__,
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return FOOT.format(points=f"{points:,}", versions=listed, machine=platform.machine())


FOOT = """
**a** The gradient is written in the stored value: 1 − a² for tanh, ŷ − y for a softmax or sigmoid
before its loss, p·y − p·u for a softmax alone. Where the activation saturates, the stored value has
been rounded to 1 (or −1), and the difference keeps the error of that rounding: about one ulp of 1,
but more than the gradient itself, which is nearly 0 there. `net.compile(lowering=
Lowering(exact_slopes=True))` computes the slope of tanh beside tanh itself (`symprop.passes.
saturation`); it is off by default, since networks of tanh take 2 to 34 % longer with it. Where a is
computed from exponentials (sigmoid, elu, selu), the slope shares them and is always kept.

**b** The worst error is at a zero, where what is added cancels: the derivatives of silu, mish and
gelu have one near z = −1.28, −1.19 and −0.75; ŷ − y·log ŷ has one or two; y − ŷ one where
softplus(z) = y. No formula in rounded numbers is relatively exact there, unless it is made for it:
such an entry is conditioned by the zero, and the error in parentheses is the one that tells. For
poisson that error is the one of y·log ŷ, with targets up to 100.

**c** Far out in the tail: exp(z − c) is of a rounded argument, and the rounding of an argument u is
multiplied by u. (Exponentials and tails of the error function of a *product* take it in two parts.)

**d** −log ŷ where ŷ is nearly 1: log s, s the sum of the exponentials, is rounded at the size of s.

**e** Results that are subnormal, below 1.2e-38 (2.2e-308 in float64): exp(z) is subnormal itself,
and z·exp(z) has its few digits.

**f** For |u| < 1 it is log1p(s²/(2 + 2s)), s = expm1 |u|, whose error the square doubles: 5 ulp
with 4,000
random numbers (`--points 4000`), which find somewhat larger errors in other rows too.

## Method

`python -m benchmarks.accuracy` writes a program for each row in the way of a network: the equations
of activation and loss, and their derivatives by the adjoint rule; these are simplified, stabilized
and compiled by the Numba backend, with the options and the vectorizable functions of training. The
references are written apart, with formulas that lose nothing at 50 digits.

Arguments: ±0; the smallest and 50 other subnormal numbers; every power of two of the type; where
exponentials, their squares and hyperbolic functions begin to overflow and underflow, with both
neighbours; the largest number; {points} random numbers, uniform in (−1, 1), (−4, 4), (−25, 25) and
over the range of exp, log-uniform, and of random bits; all with both signs. A loss is given each of
these predictions that it allows with each of a few targets, a softmax rows of three logits that are
10⁻³ to 10⁴ apart, among them [1000, 0, −1000].

Infinite where the exact result is beyond the largest number counts as exact.

{versions}, {machine}.
"""


if __name__ == "__main__":
    main()
