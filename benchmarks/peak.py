"""The machine's arithmetic limit: fused multiply-adds that stay in registers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

CHAINS = 12
"""Independent sums: more than latency (4 cycles) times throughput (2 a cycle)."""
STEPS = 2_000_000


def register_bits() -> int:
    """The width of a vector register on this CPU."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 512
    return 256 if features.get("avx") else 128


def _kernel(bits: int, width: int) -> Callable[[int], float]:
    """s_i ← s_i · c + d for CHAINS vectors s_i, so many times; gives a sum that needs them all."""
    scalar = ir.FloatType() if bits == 32 else ir.DoubleType()
    vector = ir.VectorType(scalar, width)

    def constant(value: float) -> ir.Constant:
        return ir.Constant(vector, [value] * width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{width}f{bits}")
        sums = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
        for i, place in enumerate(sums):
            builder.store(constant(float(i)), place)
        with cgutils.for_range(builder, arguments[0]):
            for place in sums:
                value = builder.load(place, typ=vector)
                builder.store(builder.call(fma, [value, constant(0.5), constant(1.0)]), place)
        total = constant(0.0)
        for place in sums:
            total = builder.fadd(total, builder.load(place, typ=vector))
        first = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
        return builder.fpext(first, ir.DoubleType()) if bits == 32 else first

    @intrinsic
    def chains(typing: Any, steps: Any) -> Any:
        return types.float64(types.intp), generate

    @njit(nogil=True)
    def kernel(steps: int) -> float:
        return chains(steps)  # type: ignore[call-arg]

    return kernel


def peak(dtype: str, threads: int = 1, repeats: int = 20) -> float:
    """Operations a second that ``threads`` threads reach together, the best of some repeats."""
    bits = 32 if dtype == "float32" else 64
    width = register_bits() // bits
    kernel = _kernel(bits, width)
    kernel(1)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(kernel, [STEPS] * threads))
            best = min(best, time.perf_counter() - start)
    return 2.0 * width * CHAINS * STEPS * threads / best
