"""How many threads work on a batch: as many as are faster at the time.

Threads that wait for each other within microseconds gain nothing on a machine that is busy with
other work. So now and then the other way is tried for a moment. The bits are the same both ways.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

from symprop.backends import in_another_thread

SHORT = 0.004
"""Seconds of work below which another thread is not worth its start, some 0.2 ms."""
SINGLE, SEVERAL = 2, 16
"""While nothing changes, one in so many calls has a trial: with one thread chosen, with several.
The one that waits for others suffers most from other work, which may soon be over.
"""
Run = Callable[[int, int, int], None]


class Threads:
    """Runs ranges of batches with one thread or with one for each part, whichever is faster."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._chosen, self._until, self._interval = 1, 0, 1

    def run(self, run: Run, first: int, last: int, parts: int) -> None:
        """Call ``run(begin, end, threads)`` for the batches of a range, some of them as a trial."""
        if self._chosen not in (1, parts):
            self._chosen = 1
        expected = self._seconds.get(1, 0.0)
        if parts == 1 or (last - first) * expected < SHORT:
            self._timed(run, first, last, 1)
            return
        self._until -= 1
        middle = last
        if self._until <= 0:  # at the end: what ran before us may be spinning still
            middle = max(first, last - math.ceil(SHORT / 2 / expected))
        if first < middle:
            self._timed(run, first, middle, self._chosen)
        if middle < last:
            self._timed(run, middle, last, parts + 1 - self._chosen)
            self._choose(parts)

    def _choose(self, parts: int) -> None:
        """Take what was faster; try again soon after a change, and ever later without one."""
        before = self._chosen
        self._chosen = min((1, parts), key=lambda n: self._seconds.get(n, math.inf))
        changed = self._chosen != before
        most = SINGLE if self._chosen == 1 else SEVERAL
        self._interval = 1 if changed else min(most, 2 * self._interval)
        self._until = self._interval

    def _timed(self, run: Run, first: int, last: int, threads: int) -> None:
        start = time.perf_counter()
        run(first, last, threads)
        self._seconds[threads] = (time.perf_counter() - start) / (last - first)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls at the same time, the first in this thread; none if a thread cannot start, for
    the others would wait for it.
    """
    gate, complete = Event(), list[bool]()

    def when_complete(call: Callable[[], object]) -> None:
        gate.wait()
        if complete:
            call()

    try:
        others = [in_another_thread(partial(when_complete, call)) for call in calls[1:]]
        complete.append(True)
    finally:
        gate.set()
    calls[0]()
    for other in others:
        other.result()
