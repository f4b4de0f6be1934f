"""Threads that work on a batch meet at every barrier, end with their call, and follow what pays."""

from __future__ import annotations

import os
import threading
from typing import Any

import numba
import numpy as np
import pytest
from symprop import Dense, Network
from symprop.backends import numba_entry, pace
from symprop.backends.numba_threads import ROOM, UNIT, add_up, parts_used, share, wait
from symprop.backends.pace import Threads


@numba.njit(nogil=True)
def _rounds(barrier, thread, threads, count, counter, seen):
    for n in range(count):
        wait(barrier, threads)
        if thread == 0:
            counter[0] += 1
        wait(barrier, threads)
        seen[thread] += counter[0] == n + 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_all_wait_for_each_other(threads: int) -> None:
    barrier, counter = np.zeros(ROOM, np.int64), np.zeros(1, np.int64)
    seen, count = np.zeros(threads, np.int64), 300
    _rounds(barrier.copy(), 0, 1, 1, counter.copy(), seen.copy())
    others = [
        threading.Thread(target=_rounds, args=(barrier, n, threads, count, counter, seen))
        for n in range(1, threads)
    ]
    for other in others:
        other.start()
    _rounds(barrier, 0, threads, count, counter, seen)
    for other in others:
        other.join()
    assert (seen == count).all()


def test_shares_cover_everything_once() -> None:
    @numba.njit
    def call(size, thread, threads):
        return share(size, 16, thread, threads), share(size, UNIT, thread, threads)

    @numba.njit
    def used(rows, parts):
        return parts_used(rows, parts)

    for size in (1, 7, 8, 9, 16, 17, 31, 100, 1000):
        for threads in (1, 2, 3, 5):
            elements, rows = zip(*(call(size, n, threads) for n in range(threads)), strict=True)
            assert [i for a, b in elements for i in range(a, b)] == list(range(size))
            count = used(size, threads)
            assert all(a < b for a, b in rows[:count])
            assert [i for a, b in rows[:count] for i in range(a, b)] == list(range(size))


def test_parts_are_added_up_in_their_range() -> None:
    @numba.njit
    def call(parts, count, start, stop):
        add_up(parts, parts, 1, count, start, stop)

    parts = np.arange(24.0).reshape(3, 2, 4)
    expected = parts.copy()
    expected[0].reshape(-1)[2:7] += expected[1].reshape(-1)[2:7]
    call(parts, 2, 2, 7)
    np.testing.assert_array_equal(parts, expected)


def test_the_faster_way_is_chosen_and_the_other_tried_now_and_then(monkeypatch: Any) -> None:
    clock, cost, done = [0.0], {1: 2e-4, 4: 1e-4}, []

    def run(first: int, last: int, threads: int) -> None:
        done.append((first, last, threads))
        clock[0] += cost[threads] * (last - first)

    monkeypatch.setattr("symprop.backends.pace.time.perf_counter", lambda: clock[0])
    choice = Threads()
    for n in range(80):
        choice.run(run, 100 * n, 100 * (n + 1), parts=4)
    covered = [batch for first, last, _ in done for batch in range(first, last)]
    assert covered == list(range(8000))
    many = sum(last - first for first, last, threads in done if threads == 4)
    assert many > 0.9 * len(covered)
    assert any(threads == 1 for *_, threads in done[5:])
    cost[4] = 9e-4  # the machine gets busy
    done.clear()
    for n in range(40):
        choice.run(run, 100 * n, 100 * (n + 1), parts=4)
    assert sum(last - first for first, last, n in done if first >= 2000 and n == 1) > 1800


def test_what_starting_threads_takes_is_left_out_of_a_trial(monkeypatch: Any) -> None:
    clock, done = [0.0], []

    def run(first: int, last: int, threads: int) -> None:
        done.append((threads, last - first))
        clock[0] += {1: 2e-4, 2: 1.5e-4}[threads] * (last - first) + 1e-3 * (threads > 1)

    monkeypatch.setattr("symprop.backends.pace.time.perf_counter", lambda: clock[0])
    choice = Threads()
    for n in range(10):
        choice.run(run, 500 * n, 500 * (n + 1), parts=2)
    assert sum(batches for threads, batches in done if threads == 2) > 0.7 * 5000


def test_a_way_that_becomes_slow_is_left_within_the_call(monkeypatch: Any) -> None:
    """Two threads that the system leaves on one processor take many times as long as one."""
    clock, done, cost = [0.0], [], {1: 2e-5, 2: 1e-5}

    def run(first: int, last: int, threads: int) -> None:
        done.append((threads, last - first))
        clock[0] += cost[threads] * (last - first)

    monkeypatch.setattr("symprop.backends.pace.time.perf_counter", lambda: clock[0])
    choice = Threads()
    for n in range(5):
        choice.run(run, 10_000 * n, 10_000 * (n + 1), parts=2)
    assert done[-1][0] == 2
    cost[2], clock[0] = 2e-4, 0.0
    done.clear()
    choice.run(run, 50_000, 60_000, parts=2)
    assert sum(batches for _, batches in done) == 10_000
    assert clock[0] < 10_000 * 2e-4 / 2


def test_short_work_stays_in_one_thread(monkeypatch: Any) -> None:
    clock, done = [0.0], []

    def run(first: int, last: int, threads: int) -> None:
        done.append(threads)
        clock[0] += 1e-5 * (last - first)

    monkeypatch.setattr("symprop.backends.pace.time.perf_counter", lambda: clock[0])
    choice = Threads()
    for n in range(50):
        choice.run(run, 100 * n, 100 * (n + 1), parts=4)
    assert set(done) == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_training_with_threads_survives_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_entry, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(numba_entry, "processors", lambda: 2)
    x = np.random.default_rng(0).normal(size=(64, 8))
    model = Network([Dense(32, "tanh"), Dense(1)], inputs=8, loss="mse").compile()
    model.fit(x, x[:, :1], epochs=3, batch_size=32)
    child = os.fork()
    if not child:
        model.fit(x, x[:, :1], epochs=3, batch_size=32)
        os._exit(0 if np.isfinite(model.history.loss[-1]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    model.fit(x, x[:, :1], epochs=3, batch_size=32)


def test_no_call_is_made_if_a_thread_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start"):
        pace.together([lambda n=n: made.append(n) for n in range(3)])
    started[0].join(timeout=5)
    assert not started[0].is_alive()
    assert made == []


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two processors",
)
def test_others_start_on_other_processors_than_the_one_that_starts_them() -> None:
    """As Linux may else leave two that wait for each other on one, for milliseconds."""
    allowed, found = os.sched_getaffinity(0), dict[int, set[int]]()
    pace.together([lambda n=n: found.update({n: os.sched_getaffinity(0)}) for n in range(3)])
    assert found[0] == allowed
    assert all(len(allowed - found[n]) == 1 and found[n] < allowed for n in (1, 2))
    assert os.sched_getaffinity(0) == allowed
    assert os.sched_getaffinity(threading.main_thread().native_id or 0) == allowed


def test_threads_run_where_no_processor_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(pace.os, "sched_setaffinity", refuse, raising=False)
    found: list[int] = []
    pace.together([lambda n=n: found.append(n) for n in range(3)])
    assert sorted(found) == [0, 1, 2]
