"""Arrays made of an address and sizes, or of a part of another, in generated code."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
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


def _part(context: Any, build: ir.IRBuilder, kinds: Any, given: Any, lead: list[Any]) -> Any:
    """The array of the type ``kinds[0]`` that begins given[1] entries after another of the type
    ``kinds[1]``, with sizes ``lead`` in the place of the first; whoever holds the other holds it.
    """
    kind, whole = kinds
    source = context.make_array(whole)(context, build, value=given[0])
    sizes, strides = (
        cgutils.unpack_tuple(build, found, whole.ndim) for found in (source.shape, source.strides)
    )
    number = context.get_value_type(whole.dtype)
    data = cgutils.pointer_add(build, source.data, build.mul(given[1], strides[0]))
    array = context.make_array(kind)(context, build)
    size, dropped = context.get_abi_sizeof(number), whole.ndim - kind.ndim
    populate_array(array, data, [*lead, *sizes[1:]], strides[dropped:], size, None)
    return array._getvalue()


@intrinsic  # type: ignore[misc, unused-ignore]
def rows_from(_context: Any, a: Any, first: Any, count: Any) -> Any:
    """a[first:first + count], without a look at how many rows there are."""

    def generate(context: Any, build: ir.IRBuilder, signature: Any, given: Any) -> Any:
        return _part(context, build, (signature.return_type, a), given, [given[2]])

    return a(a, types.intp, types.intp), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def columns_from(_context: Any, a: Any, first: Any) -> Any:
    """a[:, first:] of a matrix whose rows have no gaps, of which only the place and the distance
    between rows are true: for products, which are told how many columns there are.
    """

    def generate(context: Any, build: ir.IRBuilder, _signature: Any, given: Any) -> Any:
        source = context.make_array(a)(context, build, value=given[0])
        number = context.get_value_type(a.dtype)
        source.data = build.gep(source.data, [given[1]], source_etype=number)
        return source._getvalue()

    return a(a, types.intp), generate


@intrinsic  # type: ignore[misc, unused-ignore]
def entry_at(_context: Any, a: Any, at: Any) -> Any:
    """a[at], without a look at how many entries there are."""

    def generate(context: Any, build: ir.IRBuilder, signature: Any, given: Any) -> Any:
        return _part(context, build, (signature.return_type, a), given, [])

    return types.Array(a.dtype, a.ndim - 1, "C")(a, types.intp), generate
