"""How many threads work on a batch: as many as are faster at the time.

Threads that wait for each other within microseconds gain nothing on a machine that is busy with
other work. So now and then the other way is tried for a moment. The bits are the same both ways.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Event, Thread

from symprop.backends import start

SHORT = 0.004
"""Seconds of work below which another thread is not worth its start, some 0.2 ms."""
SLICE = 0.03
"""Seconds after which it is asked whether the way chosen is still the faster: of two threads that
the system puts on one processor, each waits for the other's turn to end, ten times as long.
"""
TRIAL = 0.002
"""Seconds of a trial."""
SINGLE, SEVERAL = 4, 32
"""While nothing changes, one in so many slices is a trial: with one thread chosen, with several.
The one that waits for others suffers most from other work, which may soon be over.
"""
Run = Callable[[int, int, int], None]


class Threads:
    """Runs ranges of batches with one thread or with one for each part, whichever is faster."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        """How long a batch takes, by the number of threads; less their start, where it is tried."""
        self._chosen, self._until, self._interval = 1, 0, 1

    def run(self, run: Run, first: int, last: int, parts: int) -> None:
        """Call ``run(begin, end, threads)`` for the batches of a range, some of them as a trial."""
        single = self._seconds.get(1, 0.0)
        if parts == 1 or (last - first) * single < SHORT:
            self._seconds[1] = _seconds(run, first, last, 1) / (last - first)
            return
        if self._chosen not in (1, parts):
            self._chosen = 1
        while first < last:
            self._until -= 1
            if self._until > 0:
                end = first + math.ceil((last - first) / self._slices(last - first))
                self._go_on(run, first, end, parts)
            else:
                end = min(last, first + math.ceil(TRIAL / single))
                self._try(run, first, end, parts + 1 - self._chosen)
                self._choose(parts)
            first = end

    def _slices(self, batches: int) -> int:
        return max(1, round(batches * self._seconds[self._chosen] / SLICE))

    def _go_on(self, run: Run, first: int, last: int, parts: int) -> None:
        """The way chosen; the other is tried next if it was faster when it was last tried."""
        seconds = _seconds(run, first, last, self._chosen) / (last - first)
        self._seconds[self._chosen] = seconds
        if seconds > self._seconds.get(parts + 1 - self._chosen, math.inf):
            self._until = 0

    def _try(self, run: Run, first: int, last: int, threads: int) -> None:
        """The other way, without what it takes to start threads, here on processors at rest."""
        started = [_seconds(run, first, first, threads) for _ in range(2 * (threads > 1))]
        took = _seconds(run, first, last, threads) - (started[-1] if started else 0.0)
        self._seconds[threads] = max(took, 0.0) / (last - first)

    def _choose(self, parts: int) -> None:
        """Take what was faster; try again soon after a change, and ever later without one."""
        before = self._chosen
        self._chosen = min((1, parts), key=lambda n: self._seconds.get(n, math.inf))
        changed = self._chosen != before
        most = SINGLE if self._chosen == 1 else SEVERAL
        self._interval = 2 if changed else min(most, 2 * self._interval)
        self._until = self._interval


def _seconds(run: Run, first: int, last: int, threads: int) -> float:
    """How long a range takes."""
    before = time.perf_counter()
    run(first, last, threads)
    return time.perf_counter() - before


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls at the same time, the first in this thread; none if a thread cannot start, for
    the others would wait for it.
    """
    gate, complete = Event(), list[bool]()

    def when_complete(call: Callable[[], object]) -> None:
        gate.wait()
        if complete:
            call()

    others: list[Future[None]] = [Future() for _ in calls[1:]]
    try:
        pairs = zip(calls[1:], others, strict=True)
        threads = [start(partial(when_complete, call), found) for call, found in pairs]
        _keep_away(threads)
        complete.append(True)
    finally:
        gate.set()
    calls[0]()
    for other in others:
        other.result()


def _keep_away(threads: Iterable[Thread]) -> None:
    """Let threads that wait for a start wake up on other processors than the one that this thread
    runs on, where the system lets us say so.

    It would else find out after some milliseconds only that one is not enough for all.
    """
    if not hasattr(os, "sched_setaffinity") or _processor is None:
        return
    with contextlib.suppress(OSError):
        others = os.sched_getaffinity(0) - {_processor()}
        for thread in threads:
            if others and thread.native_id is not None:
                os.sched_setaffinity(thread.native_id, others)


_processor = getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None
"""The number of the processor that this thread runs on."""
