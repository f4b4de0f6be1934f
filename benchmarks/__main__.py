"""``python -m benchmarks``: run the scripts, or those named, and write ``benchmarks/results``."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.settings import RESULTS, Settings, thread_settings

SCRIPTS = {
    "training": "times of a training step against JAX, PyTorch, scikit-learn and NumPy",
    "scaling": "the same against width, depth and batch size, with the picture",
    "startup": "cold and warm start, and how it grows with depth",
    "memory": "the memory of a training step",
    "passes": "the gain of each optimization, turned off one at a time",
    "accuracy": "errors of functions, losses and gradients in units in the last place",
}
"""Each a module with ``run(settings)``, which gives a Report, but for those below."""
BY_THEMSELVES = {"accuracy": ("--only", "tanh")}
"""Modules with a command line of their own, and their arguments for --quick."""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    listed = "\n".join(f"  {name:<10} {what}" for name, what in SCRIPTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Benchmarks, one claim a script:\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scripts", nargs="*", metavar="script", help="all by default")
    parser.add_argument("--quick", action="store_true", help="small, for trying; not for figures")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (5)")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads to try (1 2)")
    parser.add_argument("--coretype", default="", help="OPENBLAS_CORETYPE for all, as Haswell")
    parser.add_argument("--results", type=Path, help="where to write")
    found = parser.parse_args(given)
    unknown = [name for name in found.scripts if name not in SCRIPTS]
    if unknown:
        parser.error(f"no script {', '.join(unknown)}; there are {', '.join(SCRIPTS)}")
    return found


def settings_of(found: argparse.Namespace, scratch: Path) -> Settings:
    """Defaults, or the small ones of --quick, and what was given."""
    threads = tuple(found.threads or thread_settings())
    settings = Settings(scratch, coretype=found.coretype, threads=threads)
    if found.quick:
        settings = replace(
            settings, quick=True, rounds=2, piece=0.02, limit=30.0, results=RESULTS / "quick"
        )
    given = {"rounds": found.rounds, "results": found.results}
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def main(given: Sequence[str] | None = None) -> None:
    """Run what was asked for, one after the other."""
    found, began = arguments(given), time.monotonic()
    with TemporaryDirectory(prefix="symprop-benchmarks-", ignore_cleanup_errors=True) as scratch:
        settings = settings_of(found, Path(scratch))
        for name in found.scripts or SCRIPTS:
            run_one(name, settings)
    print(f"all in {time.monotonic() - began:.0f} s")


def run_one(name: str, settings: Settings) -> None:
    """One script; a script that is not there is said and passed over."""
    if find_spec(f"benchmarks.{name}") is None:
        print(f"{name}: not there yet")
        return
    print(f"{name}: {SCRIPTS[name]}", flush=True)
    start = time.monotonic()
    if name in BY_THEMSELVES:
        given = BY_THEMSELVES[name] if settings.quick else ()
        command = [sys.executable, "-m", f"benchmarks.{name}", *given]
        subprocess.run(command, check=True, cwd=RESULTS.parents[1], env=settings.environment(1))
    else:
        print(importlib.import_module(f"benchmarks.{name}").run(settings).write(settings))
    print(f"{name} in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
