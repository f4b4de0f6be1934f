"""Arrays made of an address and sizes, in generated code."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def _at(number: Any, axes: int) -> Any:
    """A function that makes an array of an address and its sizes."""
    kind = types.Array(number, axes, "C")

    def generate(context: Any, build: ir.IRBuilder, _sig: Any, given: Any) -> Any:
        array = context.make_array(kind)(context, build)
        size = context.get_abi_sizeof(context.get_value_type(number))
        sizes = list(given[1:])
        strides = [ir.IntType(64)(size)]
        for extent in reversed(sizes[1:]):
            strides.insert(0, build.mul(strides[0], extent))
        data = build.inttoptr(given[0], context.get_value_type(number).as_pointer())
        populate_array(array, data, sizes, strides, size, None)
        return array._getvalue()

    return kind, generate


@intrinsic  # type: ignore[misc, unused-ignore]
def line32(_context: Any, address: Any, a: Any) -> Any:
    kind, generate = _at(types.float32, 1)
    return kind(types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def line64(_context: Any, address: Any, a: Any) -> Any:
    kind, generate = _at(types.float64, 1)
    return kind(types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def matrix32(_context: Any, address: Any, a: Any, b: Any) -> Any:
    kind, generate = _at(types.float32, 2)
    return kind(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def matrix64(_context: Any, address: Any, a: Any, b: Any) -> Any:
    kind, generate = _at(types.float64, 2)
    return kind(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def cube32(_context: Any, address: Any, a: Any, b: Any, c: Any) -> Any:
    kind, generate = _at(types.float32, 3)
    return kind(*[types.int64] * 4), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def cube64(_context: Any, address: Any, a: Any, b: Any, c: Any) -> Any:
    kind, generate = _at(types.float64, 3)
    return kind(*[types.int64] * 4), generate
