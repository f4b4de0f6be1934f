"""How many threads work on a batch: as many as are faster at the time.

Threads that wait for each other within microseconds gain nothing on a machine that is busy with
other work. So now and then the other way is tried for a moment. The bits are the same both ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from symprop.backends import in_another_thread

TRIAL = 16
"""Of so many batches one is run the other way to compare, and one call in so many has a trial."""
Run = Callable[[int, int, int], None]


class Threads:
    """Runs ranges of batches with one thread or with one for each part, whichever is faster."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._calls = 0

    def run(self, run: Run, first: int, last: int, parts: int) -> None:
        """Call ``run(begin, end, threads)`` for the batches of a range, some of them as a trial."""
        if parts == 1:
            run(first, last, 1)
            return
        self._calls += 1
        chosen = self._faster(parts)
        if len(self._seconds) < 2 or self._calls % TRIAL == 0:
            middle = first + max(1, (last - first) // TRIAL)
            self._timed(run, first, min(middle, last), parts + 1 - chosen)
            first = min(middle, last)
        if first < last:
            self._timed(run, first, last, chosen)

    def _faster(self, parts: int) -> int:
        single = self._seconds.get(1, float("inf"))
        return parts if self._seconds.get(parts, 0.0) < single else 1

    def _timed(self, run: Run, first: int, last: int, threads: int) -> None:
        start = time.perf_counter()
        run(first, last, threads)
        self._seconds[threads] = (time.perf_counter() - start) / (last - first)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls at the same time, the first in this thread."""
    others = [in_another_thread(call) for call in calls[1:]]
    calls[0]()
    for other in others:
        other.result()
