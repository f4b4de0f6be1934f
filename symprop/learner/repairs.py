"""A formula whose shapes do not fit: the change to what it reads under which it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from symprop.backends.numpy import Array
from symprop.check import difference
from symprop.learner.given import Asked, Fault, Misfit
from symprop.learner.slips import TOLERANCE
from symprop.learner.terms import Point

Attempt = tuple[str, Asked, Point]
"""A change in words that follow "with", the formula and the values to try."""


def repaired(asked: Asked, misfit: Misfit, point: Point, right: Array) -> str:
    """What makes the formula right, or at least gives it the right shape; else what was raised."""
    for attempt in (*_likely(asked, point), *_others(asked, point)):
        found = _tried(attempt, right)
        if found is not None and difference(found, right) <= TOLERANCE:
            return f"{misfit.plain}; it is right with {attempt[0]}"
    for attempt in _likely(asked, point):
        if _tried(attempt, right) is not None:
            return f"{misfit.plain}; it has the right shape with {attempt[0]}"
    return str(misfit)


def _tried(attempt: Attempt, right: Array) -> Array | None:
    """What a changed formula gives, where that has the right shape."""
    _, asked, point = attempt
    try:
        found = asked.at(point)
    except Fault:
        return None
    return found if found.shape == right.shape else None


def _likely(asked: Asked, point: Point) -> Iterator[Attempt]:
    """A transpose, the same tensor of another layer, the other product."""
    for name, tensor in asked.reads.items():
        values = point.values[str(tensor.label)]
        if values.ndim == 2:
            turned = replace(point, values={**point.values, str(tensor.label): values.T})
            yield _turned_words(name) if asked.is_written else f"{name} transposed", asked, turned
    yield from (a for a, alike in _replaced(asked, point) if alike)
    if not asked.is_written:
        for words, kind in PRODUCTS.items():
            lenient = {label: array.view(kind) for label, array in point.values.items()}
            yield words, asked, replace(point, values=lenient)


def _turned_words(name: str) -> str:
    return f"the subscripts of {name} exchanged (a transpose is missing, or one too many)"


def _others(asked: Asked, point: Point) -> Iterator[Attempt]:
    """Any other tensor in place of one."""
    yield from (a for a, alike in _replaced(asked, point) if not alike)


def _replaced(asked: Asked, point: Point) -> Iterator[tuple[Attempt, bool]]:
    """A tensor taken for another of as many axes; whether both have the same letter."""
    for name, tensor in asked.reads.items():
        for other, taken in asked.stored.items():
            arrays = [point.values[str(one.label)] for one in (taken, tensor)]
            if other != name and arrays[0].shape != arrays[1].shape:
                changed = replace(asked, stored={**asked.stored, name: taken})
                words = f"{other} in place of {name}"
                yield (words, changed, point), _letter(other) == _letter(name)


def _letter(name: str) -> str:
    return name.rstrip("0123456789")


class _Lenient(np.ndarray[Any, Any]):
    """An array that takes another product where the one that is written does not fit."""

    written: np.ufunc
    instead: tuple[Callable[[Array, Array], Array], ...]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(one) if isinstance(one, np.ndarray) else one for one in inputs]
        try:
            found = getattr(ufunc, method)(*plain, **options)
        except ValueError:
            found = self._other(*plain) if ufunc is self.written else None
            if found is None:
                raise
        return np.asarray(found).view(type(self))

    def _other(self, u: Array, v: Array) -> Array | None:
        for product in self.instead:
            try:
                return product(u, v)
            except ValueError:
                continue
        return None


class _InMatrices(_Lenient):
    written = np.multiply
    instead = (lambda u, v: u @ v, lambda u, v: u.T @ v, lambda u, v: u @ v.T)


class _ByElements(_Lenient):
    written = np.matmul
    instead = (lambda u, v: u * v,)


class _Exchanged(_Lenient):
    written = np.matmul
    instead = (lambda u, v: v @ u, lambda u, v: v @ u.T)


PRODUCTS: dict[str, type[_Lenient]] = {
    "a matrix product (@, transposed where that is needed) in place of *": _InMatrices,
    "an elementwise product (*) in place of @": _ByElements,
    "the factors of @ exchanged (δ comes first where samples are in rows)": _Exchanged,
}
