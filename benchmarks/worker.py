"""A process with one contestant, told over a pipe what to do: a JSON object a line, both ways.

    {"do": "prepare", "workload": {…}, "optimizer": "sgd"}   → {"loss": …, "seconds": …}
    {"do": "run", "epochs": 3, "warm": true}                 → {"loss": …, "seconds": …, "cpu": …}

An answer with "error" says what went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from benchmarks.contestants import ENTRIES, Contestant
from benchmarks.workloads import Workload, from_plain

ROOT = Path(__file__).parent.parent


def agreement_epochs(workload: Workload) -> int:
    """Epochs after which losses are compared: one epoch of a full batch has not met the update."""
    return 1 if workload.shuffle else 3


class Serving:
    """The side of the contestant."""

    def __init__(self, name: str, threads: int):
        self.make, self.threads = ENTRIES[name].load(), threads
        self.contestant: Contestant | None = None
        self.shuffle = True

    def prepare(
        self, workload: dict[str, Any], optimizer: str, **settings: Any
    ) -> dict[str, float]:
        """Make the contestant, and train it in the given order: all is compiled then."""
        start, self.contestant = time.perf_counter(), None
        chosen = from_plain(workload)
        self.shuffle = chosen.shuffle
        self.contestant = self.make(chosen, optimizer, self.threads, **settings)
        loss = self.contestant.run(agreement_epochs(chosen), shuffle=False)
        return {"loss": loss, "seconds": time.perf_counter() - start}

    def run(self, epochs: int, warm: bool = True) -> dict[str, float]:
        """Whole epochs, timed from the first permutation until the last loss is there.

        ``warm``: with several threads, some are trained before that: threads that wake up may share
        a processor for some milliseconds before the system spreads them.
        """
        assert self.contestant is not None
        if self.threads > 1 and warm:
            self.contestant.run(max(1, epochs // 4), self.shuffle)
        cpu, start = time.process_time(), time.perf_counter()
        loss = self.contestant.run(epochs, self.shuffle)
        seconds = time.perf_counter() - start
        return {"loss": loss, "seconds": seconds, "cpu": time.process_time() - cpu}


def serve(name: str, threads: int, questions: TextIO, answers: TextIO) -> None:
    """Answer until the questions end."""
    warnings.simplefilter("ignore")  # of libraries; numbers are compared
    serving = Serving(name, threads)
    for line in questions:
        question = json.loads(line)
        try:
            answer = getattr(serving, question.pop("do"))(**question)
        except Exception as error:  # the other side decides
            words = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {words[0][:200]}"}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """The side that asks. A worker that takes too long or dies is said so, and is gone."""

    def __init__(self, name: str, threads: int, environment: dict[str, str]):
        command = [sys.executable, "-m", "benchmarks.worker", name, str(threads)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, do: str, **question: Any) -> Callable[[float], dict[str, Any]]:
        """Send a question; the answer is awaited by calling what comes back with a limit."""
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do, **question}), file=self.process.stdin, flush=True)
        except OSError:
            return lambda limit: {"error": "the process has ended"}
        return self._answer

    def _answer(self, limit: float) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=limit)
        except queue.Empty:
            self.close()
            return {"error": f"takes longer than {limit:.0f} s"}
        return json.loads(line) if line else {"error": "the process has ended"}

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not read any more
                    pipe.close()


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.argv[1], int(sys.argv[2]), sys.stdin, answers)


if __name__ == "__main__":
    main()
