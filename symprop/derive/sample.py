"""Formulas of a batch as they are for one sample: without the batch index, and with m = 1."""

from __future__ import annotations

from sympy import Expr, Idx, Indexed, IndexedBase, Integer, Symbol

from symprop.formula import Form
from symprop.primitives import Equal
from symprop.program import Program
from symprop.tensor import extent, label_of, subscripts_of


def one_sample(value: Expr) -> Expr:
    """The formula for one sample."""
    if isinstance(value, Indexed):
        kept = tuple(one_sample(s) for s in subscripts_of(value) if not counts_samples(s))
        return IndexedBase(label_of(value))[kept] if kept else label_of(value)
    if isinstance(value, Equal) and all(map(counts_samples, value.args)):
        return Integer(1)
    if isinstance(value, Form):
        return _one_sample_form(value)
    if isinstance(value, Idx) or not value.args:
        return Integer(1) if isinstance(value, Symbol) and value.is_integer else value
    return value.func(*map(one_sample, value.args))


def _one_sample_form(value: Expr) -> Expr:
    body, *rest = value.args
    if rest and all(isinstance(part, Idx) for part in rest):
        rest = [index for index in rest if not counts_samples(index)]
        return value.func(one_sample(body), *rest) if rest else one_sample(body)
    return value.func(one_sample(body), *map(one_sample, rest))


def samples_meet(forward: Program) -> bool:
    """Whether what a forward pass computes for a sample depends on the others of its batch."""
    sums = (e for e in forward.flat if any(map(counts_samples, e.over)))
    return any(forward.by_label[e.label].axes for e in sums)


def counts_samples(index: Expr) -> bool:
    """Whether an index runs over the samples of a batch, whose number is not known."""
    return isinstance(index, Idx) and not extent(index).is_Integer
