"""Noise for compiled code: the same bits as the interpreter's, in loops that run in vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symprop.backends import noise
from symprop.backends.numba_kernels import compiled, inlined
from symprop.backends.numba_threads import put

mixed = inlined(noise.mixed)


@compiled
def noise_key(source, step, tensor):  # type: ignore[no-untyped-def]
    """The key of a tensor's elements; see ``noise.key_of``."""
    return mixed(mixed(source[0], source[1] + np.uint64(step)), np.uint64(tensor))


def _draw(dtype: str, whole: Any) -> Callable[..., Any]:
    """Put the numbers of some elements, counted from ``first``, into an array, whatever its shape.

    ``whole`` is a signed type: its conversion to a floating-point number is an instruction.
    """
    number, bits = np.dtype(dtype).type, noise.BITS[dtype]
    shift, scale = np.uint64(64 - bits), number(0.5**bits)

    @compiled
    def draw(into, key, first, count):  # type: ignore[no-untyped-def]
        for n in range(count):
            kept = mixed(key, np.uint64(first + n)) >> shift
            put(into, n, number(whole(kept)) * scale)  # type: ignore[call-arg, unused-ignore]

    return draw  # type: ignore[no-any-return, unused-ignore]


draw32, draw64 = _draw("float32", np.int32), _draw("float64", np.int64)
