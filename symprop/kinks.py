"""Where a function of one number has kinks and jumps, found and said in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice, pairwise, product

from sympy import Expr, Float, Integer, Rational, pi

from symprop.activations import ARGUMENT
from symprop.primitives import (
    KINKED,
    Absolute,
    Greater,
    GreaterEqual,
    Indicator,
    Maximum,
    Minimum,
    Select,
    Sign,
)

FAR, STEPS = 20, 4001
"""Where the zeros of a gap that is not linear are searched: from −20 to 20, on so many points."""
MOST_BRANCHES, MOST_NAMED = 64, 5
DIGITS = 40
"""Enough for limits: a difference at 1e-9 from a place is no rounding error then."""


def kinks_in_words(value: Expr, slope: Expr) -> tuple[str, ...]:
    """The sentences on an activation: where it or its derivative jumps, and what is taken there."""
    jumps = [place for place in kink_places(value) if _is_jump(value, place)]
    kinks = [p for p in kink_places(value) if p not in jumps and _is_jump(slope, p)]
    words: list[str] = []
    for what, places in (("jumps", jumps), ("has a kink", kinks)):
        slopes = {place: _taken(slope, place) for place in places}
        finite = {place: taken for place, taken in slopes.items() if taken is not None}
        if finite:
            plural = "has kinks" if what == "has a kink" and len(finite) > 1 else what
            shown = _by_slope(finite)
            words.append(f"The activation {plural}; its derivative is taken as {shown}.")
        infinite = [place for place in places if place not in finite]
        if infinite:
            words.append(f"The derivative of the activation has no finite value {_at(infinite)}.")
    return tuple(words)


def has_kink(value: Expr, slope: Expr) -> bool:
    """Whether a function or its derivative jumps anywhere."""
    return any(_is_jump(value, p) or _is_jump(slope, p) for p in kink_places(value))


def conventions(values: Iterable[Expr]) -> tuple[str, ...]:
    """What the kinked functions in the values give where their gap is 0, such as sign(0) = 0."""
    found = {type(node) for value in values for node in value.atoms(*KINKED)}
    return tuple(words for kind, words in CONVENTIONS.items() if kind in found)


CONVENTIONS = {Sign: "sign(0) = 0", Greater: "[0 > 0] = 0", GreaterEqual: "[0 ≥ 0] = 1"}


@lru_cache(maxsize=256)
def kink_places(value: Expr) -> tuple[Expr, ...]:
    """Where a gap of the value is 0, in order; numbers that are not known exactly are Floats."""
    found: list[Expr] = []
    for gap in dict.fromkeys(_gaps(value)):
        for branch in dict.fromkeys(_branches(gap)):
            found += [place for place in zeros(branch) if _is_new(place, found)]
    return tuple(sorted(found, key=float))


def _is_new(place: Expr, found: list[Expr]) -> bool:
    return all(abs(float(place) - float(other)) > 1e-9 for other in found)


def _gaps(value: Expr) -> Iterator[Expr]:
    """What is compared with 0 in a kinked value."""
    for node in sorted(value.atoms(*KINKED), key=str):
        if isinstance(node, (Absolute, Sign)):
            yield node.args[0]
        elif not isinstance(node, Select):  # its condition is compared by itself
            yield node.args[0] - node.args[1]


def _branches(value: Expr) -> tuple[Expr, ...]:
    """The smooth functions that a value is made of, kinked parts replaced by what they can be."""
    if not value.has(*KINKED):
        return (value,)
    if isinstance(value, Indicator):
        return (Integer(0), Integer(1))
    if isinstance(value, Sign):
        return (Integer(-1), Integer(1))
    if isinstance(value, Absolute):
        return tuple(sign * u for u in _branches(value.args[0]) for sign in (1, -1))
    if isinstance(value, (Maximum, Minimum, Select)):
        return tuple(u for part in value.args[-2:] for u in _branches(part))
    choices = product(*map(_branches, value.args))
    return tuple(value.func(*choice) for choice in islice(choices, MOST_BRANCHES))


def zeros(gap: Expr) -> Iterator[Expr]:
    """Where a smooth gap is 0: exactly if it is linear, else by its changes of sign on a grid."""
    gap = gap.expand()
    slope = gap.coeff(ARGUMENT)
    rest = (gap - slope * ARGUMENT).expand()
    if not rest.has(ARGUMENT):
        yield from () if slope == 0 else (-rest / slope,)
        return
    places = [-FAR + 2 * FAR * i / (STEPS - 1) for i in range(STEPS)]
    values = list(zip(places, _heights(gap, places), strict=True))
    yield from (_exact(gap, place) for place, height in values if height == 0)
    for (left, below), (right, above) in pairwise(values):
        if below * above < 0:
            yield _exact(gap, _bisected(lambda place: _heights(gap, [place])[0], left, right))


def _heights(gap: Expr, places: list[float]) -> list[float]:
    """A function of one number at many places."""
    import numpy as np

    from symprop.backends.numpy import Evaluator

    with np.errstate(all="ignore"):
        heights = Evaluator({str(ARGUMENT): np.array(places)}, {}, {}, np.float64)(gap)
    return [float(height) for height in np.broadcast_to(heights, len(places))]


def _bisected(at: Callable[[float], float], left: float, right: float) -> float:
    """The zero between two places at which the signs of a function differ."""
    rises = at(left) < 0
    for _ in range(80):
        middle = (left + right) / 2
        left, right = (middle, right) if (at(middle) < 0) == rises else (left, middle)
    return (left + right) / 2


def _exact(gap: Expr, place: float) -> Expr:
    """The place as a short fraction, or one of π, where the gap is exactly 0; else the Float."""
    for unit in (Integer(1), pi):
        number = Rational(str(place / float(unit))).limit_denominator(24) * unit
        if abs(float(number) - place) < 1e-9 and gap.xreplace({ARGUMENT: number}) == 0:
            return number
    return Float(place, DIGITS)


def _is_jump(function: Expr, place: Expr) -> bool:
    """Whether the limits from both sides differ: their difference does not fade with the step."""
    wide, narrow = (_gap_at(function, place, Float(step, DIGITS)) for step in (1e-7, 1e-9))
    return wide is not None and narrow is not None and narrow > 1e-10 and narrow > wide / 2


def _gap_at(function: Expr, place: Expr, step: Expr) -> float | None:
    sides = (_number(function, place.evalf(DIGITS) + sign * step) for sign in (1, -1))
    left, right = sides
    return None if left is None or right is None else float(abs(left - right))


def _number(function: Expr, place: Expr) -> Expr | None:
    """The finite real value of a function at a place, None where it has none."""
    try:
        value = function.xreplace({ARGUMENT: place})
        approximate = value.evalf(DIGITS)
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return None  # AttributeError is what SymPy's cache makes of a relation that is undecided
    return value if approximate.is_Number and approximate.is_finite else None


def _taken(slope: Expr, place: Expr) -> Expr | None:
    """The slope that the formula gives at the place, a gap that is 0 there taken as 0."""
    if place.is_Rational:
        return _number(slope, place)
    near, replaced = place.evalf(DIGITS), {}
    for node in slope.atoms(Sign, Indicator):
        gap = _number(node.args[0] - (0 if isinstance(node, Sign) else node.args[1]), near)
        if gap is not None and abs(gap) < 1e-12:
            replaced[node] = Integer(0 if isinstance(node, (Sign, Greater)) else 1)
    snapped = slope.xreplace(replaced)
    exact = _number(snapped, place)
    return _number(snapped, near) if exact is None else exact


def _by_slope(slopes: dict[Expr, Expr]) -> str:
    """0 at z = -1 and z = 1, and as 1/2 at z = 3."""
    groups: dict[str, list[Expr]] = {}
    for place, slope in slopes.items():
        groups.setdefault(_shown(slope), []).append(place)
    return " and as ".join(f"{shown} {_at(places)}" for shown, places in groups.items())


def _at(places: list[Expr]) -> str:
    """At z = -1, z ≈ 1.234 and 9 more places."""
    named = sorted(sorted(places, key=lambda p: abs(float(p)))[:MOST_NAMED], key=float)
    words = [f"z {'≈' if place.is_Float else '='} {_shown(place)}" for place in named]
    if len(places) > len(named):
        words.append(f"{len(places) - len(named)} more places from -{FAR} to {FAR}")
    return "at " + " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _shown(number: Expr) -> str:
    """A number exactly where that is short, else as a decimal."""
    if number.has(Float):
        return f"{float(number):.4g}"
    from symprop.printers.arrange import Arrange
    from symprop.printers.structure import Names
    from symprop.printers.unicode import UnicodePrinter

    text = str(UnicodePrinter().doprint(Arrange(Names())(number)))
    plain = len(text) <= 12 and (text.replace("π", "").replace("√", "").replace("·", "").isascii())
    return text if plain else f"{float(number):.6g}"
