"""The vectorizable functions, as called from kernels as free as the generated ones."""

from __future__ import annotations

import re
from typing import Any

import mpmath
import numba
import numpy as np
import pytest
from symprop import Dense, Network
from symprop.backends import numba_coefficients, numba_math
from symprop.backends.numba import NumbaExecutable
from symprop.backends.numba_scalar import VECTORIZABLE
from symprop.backends.numba_source import PREAMBLE
from symprop.lowering import Lowering

from cases import Array
from coefficients import polynomials

DTYPES = ("float32", "float64")
WORST = {
    "cosh": 1.6,
    "erf": 1.9,
    "erfc": 3.3,
    "exp": 1.2,
    "expm1": 2.3,
    "log": 2.1,
    "log1p": 2.4,
    "sech2": 4.5,
    "sinh": 2.6,
    "tanh": 3.4,
}
"""In ulp, a little over the worst found on millions of numbers (erf, erfc: on 100,000)."""
POINTS = 20_000
SPECIAL = {
    "cosh": {0.0: 1.0, np.inf: np.inf, -np.inf: np.inf, -1e5: np.inf},
    "erf": {0.0: 0.0, np.inf: 1.0, -np.inf: -1.0},
    "erfc": {0.0: 1.0, np.inf: 0.0, -np.inf: 2.0, 1e5: 0.0, -1e5: 2.0},
    "exp": {0.0: 1.0, np.inf: np.inf, -np.inf: 0.0, 1e5: np.inf, -1e5: 0.0},
    "expm1": {0.0: 0.0, np.inf: np.inf, -np.inf: -1.0, 1e5: np.inf, -1e5: -1.0},
    "log": {0.0: -np.inf, 1.0: 0.0, np.inf: np.inf, -np.inf: np.nan, -1.0: np.nan},
    "log1p": {0.0: 0.0, -1.0: -np.inf, np.inf: np.inf, -np.inf: np.nan, -2.0: np.nan},
    "sech2": {0.0: 1.0, np.inf: 0.0, -np.inf: 0.0, 1e5: 0.0},
    "sinh": {0.0: 0.0, np.inf: np.inf, -np.inf: -np.inf, 1e5: np.inf},
    "tanh": {0.0: 0.0, np.inf: 1.0, -np.inf: -1.0, 1e5: 1.0},
}
ODD = ("erf", "expm1", "log1p", "sinh", "tanh")


def kernel_of(name: str) -> Any:
    """A loop that applies a function, with the options of generated code."""
    options: dict[str, Any] = {}
    exec(PREAMBLE.format(title="", dtype="float32", imports=""), options)  # noqa: S102
    function = numba_math.FUNCTIONS[name]

    @numba.njit(**options["OPTIONS"])
    def apply(x, y):
        for i in range(x.shape[0]):
            y[i] = function(x[i])

    return apply


KERNELS = {name: kernel_of(name) for name in VECTORIZABLE}


def product_kernel_of(function: Any) -> Any:
    """A loop that applies a function of a weight and a product."""
    options: dict[str, Any] = {}
    exec(PREAMBLE.format(title="", dtype="float32", imports=""), options)  # noqa: S102

    @numba.njit(**options["OPTIONS"])
    def apply(w, u, low, v, y):
        for i in range(w.shape[0]):
            y[i] = function(w[i], u[i], low, v[i])

    return apply


PRODUCT_KERNELS = {name: product_kernel_of(f) for name, f in numba_math.PRODUCTS.items()}


def applied(name: str, x: Any, dtype: str) -> Array:
    x = np.atleast_1d(np.asarray(x, dtype))
    y = np.empty_like(x)
    KERNELS[name](x, y)
    return y


def sample(dtype: str) -> Array:
    """Numbers of every size, most of them where the functions bend."""
    rng = np.random.default_rng(0)
    word = "uint32" if dtype == "float32" else "uint64"
    anything = rng.integers(0, np.iinfo(word).max, POINTS // 4, word).view(dtype)
    scales = np.exp(rng.uniform(-40, 7, POINTS // 4)) * rng.choice([-1, 1], POINTS // 4)
    near = (rng.uniform(-1.5, 1.5, POINTS // 4), rng.uniform(-25, 25, POINTS // 4))
    rest = np.concatenate([scales, *near, edges(dtype)]).astype(dtype)
    return np.concatenate([anything[np.isfinite(anything)], rest])


def edges(dtype: str) -> Array:
    """Numbers next to which a function overflows, underflows or changes its formula."""
    kind = np.finfo(dtype)
    ends = np.log(np.array([kind.max, kind.tiny, kind.smallest_subnormal], dtype))
    bends = np.array([kind.max, kind.tiny, 1, np.sqrt(0.5), np.sqrt(2), np.log(2) / 4], dtype)
    near = np.concatenate([ends, ends + np.log(2, dtype=dtype), bends])
    near = np.concatenate([near, np.nextafter(near, near.dtype.type(0)), near * (1 - kind.eps)])
    return np.concatenate([near, -near, [kind.tiny / 3, -kind.tiny / 3]])


def exactly(name: str, x: float) -> mpmath.mpf:
    if name in ("log", "log1p") and x < (0 if name == "log" else -1):
        return mpmath.nan
    if name == "sech2":
        with mpmath.workprec(120):
            e = mpmath.exp(-2 * mpmath.mpf(min(abs(x), 1e4)))
            return 4 * e / (1 + e) ** 2
    if name == "erfc":
        x = min(x, 99.0)  # far less than any number; mpmath fails at 1e300
    with mpmath.workprec(120):
        return getattr(mpmath, name)(mpmath.mpf(x))


def errors(found: Array, exact: list[mpmath.mpf]) -> Array:
    """The distance in units of the last place of the exact value."""
    kind = np.finfo(found.dtype)
    return np.array(
        [_error(y, value, kind) for y, value in zip(found.tolist(), exact, strict=True)]
    )


def _error(y: float, exact: mpmath.mpf, kind: Any) -> float:
    if mpmath.isnan(exact) or y != y:
        return 0.0 if mpmath.isnan(exact) and y != y else np.inf
    if abs(y) == np.inf:
        return 0.0 if abs(exact) >= float(kind.max) else np.inf
    exponent = max(mpmath.frexp(exact)[1] - 1 if exact else kind.minexp, kind.minexp)
    return float(abs(y - exact) * mpmath.mpf(2) ** (kind.nmant - exponent))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VECTORIZABLE)
def test_every_function_is_within_its_ulps(name: str, dtype: str) -> None:
    x = sample(dtype)
    found = errors(applied(name, x, dtype), [exactly(name, value) for value in x.tolist()])
    assert found.max() <= WORST[name], x[found.argmax()]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VECTORIZABLE)
def test_limits_and_what_is_not_a_number(name: str, dtype: str) -> None:
    for x, y in {**SPECIAL[name], np.nan: np.nan}.items():
        np.testing.assert_array_equal(applied(name, x, dtype), np.array([y], dtype), str(x))
    if name in ODD:
        assert np.signbit(applied(name, -0.0, dtype))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ODD)
def test_subnormal_numbers_keep_their_value(name: str, dtype: str) -> None:
    x = np.finfo(dtype).smallest_subnormal * np.arange(-9, 10)
    slope = 2 / np.sqrt(np.pi) if name == "erf" else 1.0
    step = np.finfo(dtype).smallest_subnormal
    np.testing.assert_array_equal(applied(name, x, dtype) / step, np.rint(x / step * slope))


@pytest.mark.parametrize(("name", "single", "double"), [("exp", -103, -744), ("erfc", 10, 27)])
def test_tails_underflow_gradually(name: str, single: float, double: float) -> None:
    for dtype, x in (("float32", single), ("float64", double)):
        assert 0 < applied(name, x, dtype)[0] < np.finfo(dtype).smallest_normal


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_keep_what_their_rounding_would_lose(dtype: str) -> None:
    kind, rng = np.dtype(dtype).type, np.random.default_rng(0)
    z = rng.uniform(-14.5, 14.5, 2000).astype(dtype)
    root = mpmath.sqrt(mpmath.mpf(1) / 2)
    high = kind(float(root))
    low = kind(float(root - mpmath.mpf(float(high))))
    gauss, tail = (np.empty_like(z), np.empty_like(z))
    PRODUCT_KERNELS["exp_product"](z, -z / kind(2), kind(0), z, gauss)
    PRODUCT_KERNELS["erfc_product"](z, np.full_like(z, high), low, z, tail)
    with mpmath.workdps(50):
        exact = [
            (x * mpmath.exp(-x * x / 2), x * mpmath.erfc(root * x))
            for x in map(mpmath.mpf, z.tolist())
        ]
    assert errors(gauss, [pair[0] for pair in exact]).max() <= 2
    assert errors(tail, [pair[1] for pair in exact]).max() <= 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_and_erf_never_leave_their_range(dtype: str) -> None:
    x = np.linspace(-30, 30, 100_001)
    for name in ("erf", "tanh"):
        assert np.abs(applied(name, x, dtype)).max() == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_symmetric_functions_are_symmetric(dtype: str) -> None:
    x = sample(dtype)
    for name in ("erf", "sinh", "tanh"):
        np.testing.assert_array_equal(applied(name, -x, dtype), -applied(name, x, dtype), name)
    np.testing.assert_array_equal(applied("cosh", -x, dtype), applied("cosh", x, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_polynomials_are_those_of_their_formulas(dtype: str) -> None:
    stored, expected = numba_coefficients.COEFFICIENTS[dtype], polynomials(dtype)
    assert stored.keys() == expected.keys()
    for name, coefficients in expected.items():
        computed = np.array([float(c) for c in coefficients], dtype)
        np.testing.assert_array_equal(np.array(stored[name], dtype), computed, name)


def test_the_parts_of_ln_2_make_ln_2() -> None:
    for dtype, (high, low) in numba_coefficients.LN2.items():
        assert high * 2 ** (9 if dtype == "float32" else 32) % 1 == 0
        with mpmath.workdps(50):
            assert low == float(mpmath.ln2 - mpmath.mpf(high))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VECTORIZABLE)
def test_loops_are_vectorized(name: str, dtype: str) -> None:
    applied(name, 1.0, dtype)
    (text,) = (
        text for kinds, text in KERNELS[name].inspect_llvm().items() if dtype in str(kinds[0])
    )
    kind = "float" if dtype == "float32" else "double"
    assert re.search(rf"fmul contract <\d+ x {kind}>", text)


def test_the_names_are_those_that_are_printed() -> None:
    assert tuple(numba_math.FUNCTIONS) == VECTORIZABLE


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "gelu", "elu"])
def test_training_is_the_same_with_the_functions_of_math(activation: str) -> None:
    layers = [Dense(8, activation=activation), Dense(3, activation="softmax")]
    net = Network(layers, inputs=4, loss="cross_entropy")
    x = np.random.default_rng(0).normal(size=(32, 4))
    y, found = np.eye(3)[np.arange(32) % 3], []
    for own in (True, False):
        model, lowering = net.compile(dtype="float64"), Lowering(vector_functions=own)
        backend = NumbaExecutable(net, model.optimizer, model.dtype, model.values, lowering)
        assert ("numba_math" in backend.source) == own
        found.append(backend.gradients(x, y))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-14)
    for name, gradient in found[0][1].items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradient, found[1][1][name], rtol=0, atol=1e-14 * scale)
