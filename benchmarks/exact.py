"""Activations, losses and their derivatives in formulas that lose nothing at 50 digits."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
from mpmath import mpf

Exact = Callable[..., mpf]


def logistic(z: mpf) -> mpf:
    return 1 / (1 + mpmath.exp(-z))


def softplus(z: mpf) -> mpf:
    return mpmath.log1p(mpmath.exp(z)) if z < 100 else z + mpmath.exp(-z)


def normal(z: mpf) -> mpf:
    """The distribution function of the normal distribution."""
    if abs(z) > 1000:
        return mpf(z > 0)
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def density(z: mpf) -> mpf:
    return mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)


def tanh(z: mpf) -> mpf:
    return mpmath.tanh(z) if abs(z) < 1000 else mpmath.sign(z)


def sech2(z: mpf) -> mpf:
    e = mpmath.exp(-2 * abs(z))
    return 4 * e / (1 + e) ** 2


def log_cosh(z: mpf) -> mpf:
    if abs(z) < 1:
        return mpmath.log1p(2 * mpmath.sinh(z / 2) ** 2)
    return abs(z) + mpmath.log1p(mpmath.exp(-2 * abs(z))) - mpmath.log(2)


ALPHA, SCALE = (
    mpf("1.6732632423543772848170429916717"),
    mpf("1.0507009873554804934193349852946"),
)
REFERENCES: dict[str, tuple[Exact, Exact]] = {
    "linear": (lambda z: z, lambda z: mpf(1)),
    "relu": (lambda z: max(z, mpf(0)), lambda z: mpf(z > 0)),
    "leaky_relu": (
        lambda z: z if z > 0 else z / 100,
        lambda z: mpf(1) if z > 0 else mpf(1) / 100,
    ),
    "elu": (
        lambda z: z if z > 0 else mpmath.expm1(z),
        lambda z: mpf(1) if z > 0 else mpmath.exp(z),
    ),
    "selu": (
        lambda z: SCALE * (z if z > 0 else ALPHA * mpmath.expm1(z)),
        lambda z: SCALE * (1 if z > 0 else ALPHA * mpmath.exp(z)),
    ),
    "gelu": (lambda z: z * normal(z), lambda z: normal(z) + z * density(z)),
    "sigmoid": (logistic, lambda z: logistic(z) * logistic(-z)),
    "tanh": (tanh, sech2),
    "softplus": (softplus, logistic),
    "silu": (lambda z: z * logistic(z), lambda z: logistic(z) * (1 + z * logistic(-z))),
    "mish": (
        lambda z: z * tanh(softplus(z)),
        lambda z: tanh(softplus(z)) + z * sech2(softplus(z)) * logistic(z),
    ),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "hard_tanh": (lambda z: max(mpf(-1), min(mpf(1), z)), lambda z: mpf(-1 < z < 1)),
}
"""Each elementwise activation and its derivative."""


def log(x: mpf, less: mpf | None = None) -> mpf:
    """log x, from x − 1 where that is given."""
    if not x:
        return -mpmath.inf
    return mpmath.log(x) if less is None else mpmath.log1p(less)


def times(weight: mpf, value: Callable[[], mpf]) -> mpf:
    """0 where the weight is 0, whatever the value."""
    return weight * value() if weight else mpf(0)


def over(above: mpf, below: mpf) -> mpf:
    """0 where the numerator is 0; infinite where the denominator is."""
    return above / below if below else mpmath.sign(above) * mpmath.inf if above else mpf(0)


LOSS_REFERENCES: dict[str, tuple[Exact, Exact]] = {
    "mse": (lambda p, y: (p - y) ** 2, lambda p, y: 2 * (p - y)),
    "mae": (lambda p, y: abs(p - y), lambda p, y: mpmath.sign(p - y)),
    "huber": (
        lambda p, y: (p - y) ** 2 / 2 if abs(p - y) <= 1 else abs(p - y) - mpf(1) / 2,
        lambda p, y: max(mpf(-1), min(mpf(1), p - y)),
    ),
    "log_cosh": (lambda p, y: log_cosh(p - y), lambda p, y: tanh(p - y)),
    "hinge": (
        lambda p, y: max(mpf(0), 1 - y * p),
        lambda p, y: -y if 1 - y * p > 0 else mpf(0),
    ),
    "binary_cross_entropy": (
        lambda p, y: -times(y, lambda: log(p)) - times(1 - y, lambda: log(1 - p, -p)),
        lambda p, y: over(1 - y, 1 - p) - over(y, p),
    ),
    "cross_entropy": (lambda p, y: -times(y, lambda: log(p)), lambda p, y: -over(y, p)),
    "poisson": (lambda p, y: p - times(y, lambda: log(p)), lambda p, y: 1 - over(y, p)),
}
"""Each loss of one output and its derivative by the prediction."""

FROM_LOGITS: dict[str, tuple[Exact, Exact]] = {
    "binary_cross_entropy": (
        lambda z, y: y * softplus(-z) + (1 - y) * softplus(z),
        lambda z, y: (1 - y) * logistic(z) - y * logistic(-z),
    ),
    "poisson": (
        lambda z, y: softplus(z) - times(y, lambda: mpmath.log(softplus(z))),
        lambda z, y: logistic(z) * (1 - y / softplus(z)),
    ),
}
"""Losses behind the sigmoid and the softplus, by the logit."""


def rest_of(*row: float) -> tuple[list[mpf], list[mpf], int]:
    """The probabilities, 1 minus each of them, the place."""
    *numbers, place = row
    logits, k = numbers[:3], int(place)
    powers = [mpmath.exp(z - max(logits)) for z in logits]
    total = sum(powers)
    rests = [sum(p for i, p in enumerate(powers) if i != k) / total for k in range(3)]
    return [p / total for p in powers], rests, k


def softmax(*row: float) -> mpf:
    probabilities, _, k = rest_of(*row)
    return probabilities[k]


def softmax_slope(*row: float) -> mpf:
    """∂p_t/∂z_k of the target t."""
    p, rest, k = rest_of(*row)
    t = row[3:6].index(1)
    return p[t] * (rest[t] if k == t else -p[k])


def softmax_loss(*row: float) -> mpf:
    """−y log p_k, with the other classes' part of the sum where p_k is nearly 1."""
    p, rest, k = rest_of(*row)
    if not row[3 + k]:
        return mpf(0)
    return -(mpmath.log1p(-rest[k]) if rest[k] < 0.5 else mpmath.log(p[k]))


def softmax_delta(*row: float) -> mpf:
    p, rest, k = rest_of(*row)
    return -rest[k] if row[3 + k] else p[k]


def softmax_binary(*row: float) -> mpf:
    """−y log p_k − (1 − y) log(1 − p_k)."""
    p, rest, k = rest_of(*row)
    part, whole = (p[k], rest[k]) if row[3 + k] else (rest[k], p[k])
    return -(mpmath.log1p(-whole) if whole < 0.5 else mpmath.log(part))


def softmax_binary_delta(*row: float) -> mpf:
    """(p_k − y_k)/(1 − p_k)·(1 − p_k) − p_k·Σ_{j ≠ k} (p_j − y_j)/(1 − p_j)."""
    p, rest, k = rest_of(*row)
    gap = [-rest[j] if row[3 + j] else p[j] for j in range(3)]
    return gap[k] - p[k] * sum(gap[j] / rest[j] for j in range(3) if j != k)
