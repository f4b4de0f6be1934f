"""What gradient_flow found, as a document of tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sympy import Expr, count_ops

from symprop.activations import ACTIVATIONS, Elementwise
from symprop.printers.document import Item, Section, Sentence, Table, Title

if TYPE_CHECKING:
    from symprop.flow import GradientFlow, LayerFlow
    from symprop.flow.gains import Gains

DIGITS = 4
SHORT = 3
"""Operations of the longest closed form that is printed: √2, but no sum of error functions."""
LONGEST = 12
"""Rows of the table; of more layers the first, the last and some between are shown."""


def items(flow: GradientFlow) -> Iterator[Item]:
    """The gains of the activations, then every layer in both directions."""
    yield Title("Signals and gradients through depth")
    if flow.gains:
        yield Section("Activations")
        yield Table(
            ("", "forward gain", "backward gain", "max |φ′|"),
            tuple(_gains(gains) for gains in flow.gains.values()),
        )
        yield Sentence(
            "Weights of standard deviation gain/√n behind n units keep the variance of z at 1 "
            "(forward), or the size of δ (backward)."
        )
    shown = _shown(flow.layers)
    draws = "1 draw" if flow.draws == 1 else f"{flow.draws} draws"
    yield Section("Forward: the mean of z²")
    yield Table(
        ("layer", "units", "predicted", f"measured, {draws}"),
        tuple(
            (layer.name, str(layer.units), number(layer.variance), number(layer.measured_variance))
            for layer in shown
        ),
    )
    yield Section("Back: the mean of δ², and |δ| with its bound")
    yield Table(
        ("layer", "δ² predicted", "δ² measured", "|δ| measured", "|δ| at most"),
        tuple(
            (
                layer.name,
                number(layer.delta_square),
                number(layer.measured_delta_square),
                number(layer.measured_delta),
                number(layer.bound),
            )
            for layer in shown
        ),
    )
    if len(shown) < len(flow.layers):
        yield Sentence(f"{len(shown)} of {len(flow.layers)} layers are shown.")


def _shown(layers: Sequence[LayerFlow]) -> list[LayerFlow]:
    """All layers, or of many the first, the last and some between, evenly."""
    last = len(layers) - 1
    places = sorted({round(last * n / (LONGEST - 1)) for n in range(LONGEST)})
    return list(layers) if last < LONGEST else [layers[place] for place in places]


def _gains(found: Gains) -> tuple[str | Expr, ...]:
    return (
        name_of(found.expression),
        _with_form(found.forward, found.exact_forward),
        _with_form(found.backward, found.exact_backward),
        number(found.slope),
    )


def _with_form(value: float, exact: Expr | None) -> str:
    """√2 = 1.414."""
    known = exact is not None and not exact.is_Rational and count_ops(exact) <= SHORT
    return f"{plain(exact)} = {number(value)}" if known else number(value)


def name_of(expression: Expr) -> str:
    """The built-in's name, or the formula."""
    names = (
        activation.name
        for activation in ACTIVATIONS.values()
        if isinstance(activation, Elementwise) and activation.expression == expression
    )
    return next(names, None) or plain(expression)


def plain(expression: Expr) -> str:
    """A formula in Unicode."""
    from symprop.printers.arrange import Arrange
    from symprop.printers.structure import Names
    from symprop.printers.unicode import UnicodePrinter

    return str(UnicodePrinter().doprint(Arrange(Names())(expression)))


def number(value: float) -> str:
    """Four digits; a dash where there is no number."""
    return "—" if math.isnan(value) else "∞" if math.isinf(value) else f"{value:.{DIGITS}g}"
