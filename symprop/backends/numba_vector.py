"""Vectors of numbers as a type of Numba's: generated loops say which of their values are vectors.

LLVM's own vectorizer unrolls short loops before it looks at them, and leaves what does not fill a
vector to scalar code. Here both are stated: ``load(a, (b, j))`` takes the numbers from a[b, j] on,
``load_some(n, a, (b, j))`` the first n of them; arithmetic, comparisons and ``where`` go lane by
lane, a plain number standing for a vector of its copies.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

FLAGS = ("arcp", "contract", "nsz")
"""What LLVM may do: sums keep their order, as it was chosen; tests for NaN and infinity work."""


def vector_bytes() -> int:
    """How long a vector register of this processor is."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


LANES = {"float32": vector_bytes() // 4, "float64": vector_bytes() // 8}


def shortest(size: int, lanes: int) -> int:
    """Lanes of the shortest vector that holds so many numbers, or else those of the longest."""
    return min(lanes, max(2, 1 << (size - 1).bit_length()))


class Vector(types.Type):  # type: ignore[misc, unused-ignore]
    """A vector of numbers: a register full of them, or so many ``lanes``."""

    def __init__(self, dtype: Any, lanes: int = 0):
        self.dtype, self.lanes = dtype, lanes or LANES[str(dtype)]
        super().__init__(f"Vector({dtype}, {self.lanes})")


class Mask(types.Type):  # type: ignore[misc, unused-ignore]
    """A truth value for each lane."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(f"Mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc, unused-ignore]
    def __init__(self, manager: Any, kind: Vector):
        number = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(number, kind.lanes))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc, unused-ignore]
    def __init__(self, manager: Any, kind: Mask):
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.lanes))


def splat(build: ir.IRBuilder, number: Any, lanes: int) -> Any:
    """A vector with the same number in every lane."""
    kind = ir.VectorType(number.type, lanes)
    first = build.insert_element(kind(ir.Undefined), number, ir.IntType(32)(0))
    every = ir.VectorType(ir.IntType(32), lanes)([0] * lanes)
    return build.shuffle_vector(first, kind(ir.Undefined), every)


def widened(build: ir.IRBuilder, kinds: Any, given: Any, lanes: int) -> list[Any]:
    """The values as vectors."""
    return [
        value if isinstance(kind, (Vector, Mask)) else splat(build, value, lanes)
        for kind, value in zip(kinds, given, strict=True)
    ]


def vector_of(kinds: Any) -> Vector | None:
    """The vector type among some types, if there is one."""
    return next((kind for kind in kinds if isinstance(kind, Vector)), None)


def _declare(function: Any, result: Callable[[Vector], Any], arity: int) -> None:
    """Give an operator a type for vectors, alone or with plain numbers."""

    class Template(AbstractTemplate):  # type: ignore[misc, unused-ignore]
        def generic(self, given: Any, _named: Any) -> Any:
            vector = vector_of(given)
            return signature(result(vector), *given) if vector and len(given) == arity else None

    infer_global(function)(Template)


def _lower(function: Any, arity: int, write: Callable[..., Any]) -> None:
    """Let an operator write its instructions."""

    def lowered(_context: Any, build: ir.IRBuilder, sig: Any, given: Any) -> Any:
        lanes = next(kind.lanes for kind in sig.args if isinstance(kind, Vector))
        return write(build, *widened(build, sig.args, given, lanes))

    shapes = (
        [(Vector,)]
        if arity == 1
        else [(Vector, Vector), (Vector, types.Float), (types.Float, Vector)]
    )
    for shape in shapes:
        lower_builtin(function, *shape)(lowered)


def _arithmetic(name: str) -> Callable[..., Any]:
    return lambda build, *given: getattr(build, name)(*given, flags=FLAGS)


def _comparison(relation: str) -> Callable[..., Any]:
    kind = "fcmp_unordered" if relation == "!=" else "fcmp_ordered"
    return lambda build, u, v: getattr(build, kind)(relation, u, v, flags=FLAGS)


def _absolute(build: ir.IRBuilder, value: Any) -> Any:
    return call_llvm(build, "fabs", value.type, value)


ARITHMETIC: tuple[tuple[Any, str], ...] = (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
)
RELATIONS: tuple[tuple[Any, str], ...] = (
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.eq, "=="),
    (operator.ne, "!="),
)
SINGLE: tuple[tuple[Any, Callable[..., Any]], ...] = (
    (operator.neg, _arithmetic("fneg")),
    (abs, _absolute),
)
for _operator, _name in ARITHMETIC:
    _declare(_operator, lambda vector: vector, 2)
    _lower(_operator, 2, _arithmetic(_name))
for _operator, _name in RELATIONS:
    _declare(_operator, lambda vector: Mask(vector.lanes), 2)
    _lower(_operator, 2, _comparison(_name))
for _operator, _write in SINGLE:
    _declare(_operator, lambda vector: vector, 1)
    _lower(_operator, 1, _write)


def suffix(kind: Any) -> str:
    """How LLVM's intrinsics call a type: v16f32."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    return "f32" if isinstance(kind, ir.FloatType) else "f64"


def call_llvm(build: ir.IRBuilder, name: str, result: Any, *given: Any, flags: Any = ()) -> Any:
    """One of LLVM's intrinsics for the type of the first vector given."""
    vector = next((v.type for v in given if isinstance(v.type, ir.VectorType)), given[0].type)
    kind = ir.FunctionType(result, [value.type for value in given])
    function = cgutils.get_or_insert_function(build.module, kind, f"llvm.{name}.{suffix(vector)}")
    return build.call(function, given, fastmath=flags)


def lane_mask(build: ir.IRBuilder, count: Any, lanes: int) -> Any:
    """True in the first ``count`` lanes."""
    numbers = ir.VectorType(ir.IntType(32), lanes)
    every = splat(build, build.trunc(count, ir.IntType(32)), lanes)
    return build.icmp_signed("<", numbers(list(range(lanes))), every)


def read(build: ir.IRBuilder, place: Any, kind: Any, mask: Any = None) -> Any:
    """The vector at a place; zeros where the mask says no, whose memory is not touched."""
    size = 4 if isinstance(kind.element, ir.FloatType) else 8
    place = build.bitcast(place, kind.as_pointer())
    if mask is None:
        return build.load(place, align=size, typ=kind)
    name = f"llvm.masked.load.{suffix(kind)}.p0"
    given = (place, ir.IntType(32)(size), mask, kind([0.0] * kind.count))
    function = cgutils.get_or_insert_function(
        build.module, ir.FunctionType(kind, [value.type for value in given]), name
    )
    return build.call(function, given)


def write(build: ir.IRBuilder, value: Any, place: Any, mask: Any = None) -> None:
    """Put a vector to a place, but where the mask says no."""
    kind = value.type
    size = 4 if isinstance(kind.element, ir.FloatType) else 8
    place = build.bitcast(place, kind.as_pointer())
    if mask is None:
        build.store(value, place, align=size)
        return
    given = (value, place, ir.IntType(32)(size), mask)
    function = cgutils.get_or_insert_function(
        build.module,
        ir.FunctionType(ir.VoidType(), [v.type for v in given]),
        f"llvm.masked.store.{suffix(kind)}.p0",
    )
    build.call(function, given)


def prefetch(build: ir.IRBuilder, place: Any, written: bool = True) -> None:
    """Ask for the cache line of a place, which will be written or read."""
    line = ir.IntType(8).as_pointer()
    given = (build.bitcast(place, line), *(ir.IntType(32)(n) for n in (int(written), 3, 1)))
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
    build.call(cgutils.get_or_insert_function(build.module, kind, "llvm.prefetch.p0"), given)
