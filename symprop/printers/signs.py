"""The sign of a sum where it is free: 1 − u or u − 1, and the minus in front.

A factor of a product, the base of a power and the argument of an even or odd function may change
its sign with that of the whole: y/(u − 1) = −y/(1 − u), (u − 1)² = (1 − u)², −tanh(v − u) =
tanh(u − v). SymPy has an order of its own; a reader looks for what was declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product

from sympy import Add, Dummy, Expr, Function, Integer, Mul, Pow

from symprop.printers.structure import Names
from symprop.tensor import accesses, label_of

MOST = 6
"""A product with more such factors stays as it is: each doubles the forms to choose from."""
BEST = (0, -1, 0, 0, 0)
"""Nothing against a form: no sum that reads badly, no minus in front, …"""
Form = tuple[Expr, int]
"""A factor, and the sign that it takes out of the product."""


def signed(value: Expr, names: Names) -> Expr:
    """The value with the signs of the sums in it as they read best.

    In this order: 1 − u where the declaration has it, the fewest minus signs in front, u − v as the
    declaration has it, a target behind what it is compared with, the value as it is.
    """
    if isinstance(value, Add):
        return value
    parts = Mul.make_args(value)
    minus = -1 if value.as_coeff_Mul()[0].is_negative else 1
    if _badness(parts, tuple((part, 1) for part in parts), minus, names) == BEST:
        return value
    forms = [_forms(part, names) for part in parts]
    if max(map(len, forms)) == 1 or sum(len(form) > 1 for form in forms) > MOST:
        return value
    best = min(product(*forms), key=lambda chosen: _badness(parts, chosen, minus, names))
    return _product(_sign(best), [part for part, _ in best])


def _product(sign: int, parts: list[Expr]) -> Expr:
    """The factors with a sign in front; (1 − u)/(1 − u) is left to the line that cancels it."""
    number, *rest = parts if parts[0].is_Number else (Integer(1), *parts)
    number *= sign
    kept = rest if number == 1 else [number, *rest]
    return kept[0] if len(kept) == 1 else Mul(*kept, evaluate=False)


def sums(value: Expr) -> Iterator[Expr]:
    """The sums in a value whose sign is not SymPy's choice, by the labels of what they add up."""
    if isinstance(value, Add):
        yield _by_label(value)
    for part in value.args if not parity(value.func) else ():
        yield from sums(part)


@lru_cache(maxsize=256)
def parity(kind: type) -> int:
    """1 for an even function, −1 for an odd one, else 0, as SymPy evaluates it at −u."""
    u = Dummy("u", real=True)
    if not issubclass(kind, Function):
        return 0
    try:
        here, there = kind(u), kind(-u)
    except TypeError:  # a function of several arguments
        return 0
    return 1 if here == there else -1 if here == -there else 0


def _forms(part: Expr, names: Names) -> list[Form]:
    """The factor, and with the other sign within it."""
    base, power = part.args if isinstance(part, Pow) else (part, 1)
    if not isinstance(power, int) and not power.is_Integer:
        return [(part, 1)]
    inner = _sum_in(base)
    if inner is None or (inner is base and _stays(inner, names)):
        return [(part, 1)]
    turned = -base if inner is base else base.func(-inner, evaluate=False)
    sign = -1 if inner is base else parity(base.func)
    return [(part, 1), (turned**power, sign ** (int(power) % 2))]


def _sum_in(base: Expr) -> Expr | None:
    """The sum that the base is, or the argument of the even or odd function that it is."""
    if parity(base.func) and isinstance(base.args[0], Add):
        return base.args[0]
    return base if isinstance(base, Add) else None


def _stays(total: Expr, names: Names) -> bool:
    """Whether a difference of elements is written as it was declared."""
    return not _has_number(total) and _is_declared(total, names)


def _badness(
    parts: Iterable[Expr], chosen: tuple[Form, ...], minus: int, names: Names
) -> tuple[int, ...]:
    pairs = zip(parts, chosen, strict=True)
    found = [(t, part != f) for part, (f, _) in pairs if (t := _sum_in(_base(f))) is not None]
    undeclared = [(total, new) for total, new in found if not _is_declared(total, names)]
    against = [_is_declared(-total, names) for total, _ in undeclared]
    below = [_is_below(*pair, other) for pair, other in zip(undeclared, against, strict=True)]
    first = sum(_target_first(total, names) for total, _ in found)
    return sum(below), -minus * _sign(chosen), sum(against), first, sum(new for _, new in found)


def _is_below(total: Expr, new: bool, other: bool) -> bool:
    """Whether a sum reads u − 1 where 1 − u is meant, or has just been made −u − v or u − 1."""
    number = total.args[0].is_number and total.args[0].could_extract_minus_sign()
    return number if other else new and (number or _is_negative(total))


def _is_negative(total: Expr) -> bool:
    return all(term.could_extract_minus_sign() for term in total.args)


def _base(part: Expr) -> Expr:
    return part.base if isinstance(part, Pow) else part


def _sign(chosen: Iterable[Form]) -> int:
    negative = sum(sign < 0 for _, sign in chosen)
    return -1 if negative % 2 else 1


def _has_number(total: Expr) -> bool:
    return any(term.is_number for term in total.args)


def _is_declared(total: Expr, names: Names) -> bool:
    return _by_label(total) in names.sums


def _target_first(total: Expr, names: Names) -> bool:
    """Whether a sum adds a target and subtracts something else."""
    targets = [term for term in total.args if str(label_of(term)) in names.targets]
    return bool(targets) and any(term.could_extract_minus_sign() for term in total.args)


@lru_cache(maxsize=4096)
def _by_label(total: Expr) -> Expr:
    """A sum without a factor that its terms share, and without subscripts."""
    plain: Expr = total.primitive()[1]
    return plain.xreplace({access: label_of(access) for access in accesses(plain)})
