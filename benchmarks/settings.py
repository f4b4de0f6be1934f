"""What a run of the benchmarks is asked for, and the environment that each contestant gets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",  # the size of XLA's thread pool; its flags alone leave some products on all cores
)
ONE_XLA_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def thread_settings() -> tuple[int, ...]:
    """One thread and two, where there are two cores."""
    return (1, 2) if (os.cpu_count() or 1) > 1 else (1,)


@dataclass(frozen=True)
class Settings:
    """``scratch`` is a directory for the contestants' caches, empty at the start.

    There are ``rounds`` interleaved rounds of pieces of ``piece`` seconds; a contestant that takes
    longer than ``limit`` seconds to get ready is left out there. ``coretype`` is OPENBLAS_CORETYPE
    for all contestants alike, unset by default. ``quick`` is for trying the scripts, not for
    figures.
    """

    scratch: Path
    results: Path = RESULTS
    rounds: int = 5
    piece: float = 0.06
    limit: float = 120.0
    threads: tuple[int, ...] = field(default_factory=thread_settings)
    coretype: str = ""
    quick: bool = False

    @property
    def picture(self) -> Path:
        """The README's, for a full run with the defaults; else beside the results."""
        if self.results == RESULTS and not self.coretype:
            return RESULTS.parent.parent / "docs" / "benchmarks.png"
        return self.results / f"scaling_{self.coretype.lower() or 'unset'}.png"

    def environment(self, threads: int, **more: str) -> dict[str, str]:
        """For a process that may use so many threads; caches start empty."""
        env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "XLA_FLAGS")}
        env |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        if threads == 1:
            env["XLA_FLAGS"] = ONE_XLA_THREAD
        if self.coretype:
            env["OPENBLAS_CORETYPE"] = self.coretype
        env |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}
        env |= {"SYMPROP_CACHE": self._cache("symprop")}
        return env | {"TORCHINDUCTOR_CACHE_DIR": self._cache("torch")} | more

    def _cache(self, name: str) -> str:
        path = self.scratch / name
        path.mkdir(mode=0o700, exist_ok=True)
        return str(path)

    def plain(self) -> dict[str, Any]:
        """What a reader of a result needs to know."""
        return {
            "rounds": self.rounds,
            "seconds a piece": self.piece,
            "threads tried": list(self.threads),
            "OPENBLAS_CORETYPE": self.coretype or "unset",
            "quick": self.quick,
        }
