"""What the lowering of a program to compiled code may do: every optimization has its switch."""

from __future__ import annotations

from dataclasses import dataclass

from symprop.errors import ArgumentError, ArgumentTypeError


@dataclass(frozen=True)
class Lowering:
    """The optimizations of compiled code, all on by default; none changes what is computed.

    ``vector_loops``: loops say themselves what runs in vectors, instead of leaving it to LLVM.
    ``vector_functions``: exponentials, logarithms and their kin in vector instructions.
    ``vector_products``: matrix products of small and medium size in vector instructions, without
    it by BLAS or in loops. ``orientation``: matrices that lie transposed, or copies that do, for
    products that would not run along vectors. ``fusion``: statements over the same points share a
    loop nest. ``accumulation``: products that are gradients are added straight into the weights,
    where the optimizer needs nothing else of them. ``blocks``: rows are taken in blocks that stay
    in the cache. ``divided_products``: threads share the sum or the columns of a product with a
    large matrix instead of its rows, and so read only some of the matrix. ``shared_memory``:
    tensors that are never needed at the same time share memory.
    ``threads``: how many threads may work on a batch, 0 for as many as pay.

    ``exact_slopes``, off by default, is no optimization: the slope 1 − a² of a saturated tanh,
    whose error is some ulp of 1, is computed to its own last digits, at the price of a second
    function of z.

    Each can be turned off by itself, to measure what it gains:

    >>> Lowering(blocks=False).blocks
    False
    """

    vector_loops: bool = True
    vector_functions: bool = True
    vector_products: bool = True
    orientation: bool = True
    fusion: bool = True
    accumulation: bool = True
    blocks: bool = True
    divided_products: bool = True
    shared_memory: bool = True
    threads: int = 0
    exact_slopes: bool = False

    def __post_init__(self) -> None:
        for name, given in vars(self).items():
            if name != "threads" and not isinstance(given, bool):
                raise ArgumentTypeError(f"Lowering: {name}: expected True or False, got {given!r}")
        if isinstance(self.threads, bool) or not isinstance(self.threads, int):
            raise ArgumentTypeError(f"Lowering: threads: expected a number, got {self.threads!r}")
        if self.threads < 0:
            raise ArgumentError(f"Lowering: threads: expected at least 0, got {self.threads}")


EVERYTHING = Lowering()
"""Every optimization."""
