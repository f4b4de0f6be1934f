"""The order of the rows of an epoch: one function, which the interpreter runs as it is and others
compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
ONE, BY_27, BY_30, BY_31, HALF = map(np.uint64, (1, 27, 30, 31, 32))


def begin_epoch(order: Any, rows: Any, seeds: Any, epoch: int) -> None:
    """Put the rows into ``order``, shuffled with the epoch's seed if there are seeds.

    Fisher and Yates' shuffle in Durstenfeld's form: for i = n − 1, …, 1, exchange entry i with
    entry j, drawn evenly from 0 … i. The draws are those of SplitMix64 (Steele, Lea and Flood
    2014), j the upper part of the product of i + 1 and 32 of its bits; it is even up to n/2³².

    >>> order = np.empty(5, int)
    >>> with np.errstate(over="ignore"):  # the arithmetic is that of 64 bits
    ...     begin_epoch(order, np.arange(5), np.array([7], np.uint64), 0)
    >>> order
    array([3, 4, 2, 0, 1])
    """
    for i in range(len(rows)):
        order[i] = rows[i]
    if len(seeds) == 0:
        return
    state = seeds[epoch]
    for i in range(len(rows) - 1, 0, -1):
        state += GAMMA
        bits = (state ^ (state >> BY_30)) * FIRST
        bits = (bits ^ (bits >> BY_27)) * SECOND
        bits ^= bits >> BY_31
        j = ((bits >> HALF) * (np.uint64(i) + ONE)) >> HALF
        order[i], order[j] = order[j], order[i]
