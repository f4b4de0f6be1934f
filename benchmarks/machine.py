"""What a figure depends on: CPU, cores, vector instructions, versions; no hosts, no paths."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.settings import Settings

PACKAGES = (
    *("symprop", "numba", "llvmlite", "sympy", "numpy", "scipy"),
    *("jax", "jaxlib", "torch", "scikit-learn"),
)
FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512vl", "avx512dq", "neon", "sve")
BLAS = """
import json
import numpy, scipy.linalg, threadpoolctl
print(json.dumps(sorted({
    f"{i['internal_api']} {i['version']} {i.get('architecture', '')}".strip()
    for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"
})))
"""


def cpu_model() -> str:
    """As the operating system calls it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of what is installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def blas(settings: Settings) -> list[str]:
    """The BLAS libraries and the kernels that they choose, in a contestant's environment."""
    done = subprocess.run(
        [sys.executable, "-c", BLAS],
        env=settings.environment(1),
        capture_output=True,
        text=True,
        check=False,
    )
    found: list[str] = json.loads(done.stdout) if done.returncode == 0 else ["unknown"]
    return found


@cache
def limits() -> dict[str, float]:
    """Operations a second of one core, measured, by dtype."""
    from benchmarks.peak import peak

    return {dtype: peak(dtype) for dtype in ("float32", "float64")}


@cache
def about(settings: Settings) -> dict[str, Any]:
    """The machine and the versions."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return {
        "CPU": f"{cpu_model()} ({binding.get_host_cpu_name()})",
        "cores": os.cpu_count() or 1,
        "vector instructions": [name for name in FEATURES if features.get(name)],
        "arithmetic limit of a core, Gflop/s": {k: v / 1e9 for k, v in limits().items()},
        "system": f"{platform.system()} {platform.machine()}",
        "BLAS": blas(settings),
        "versions": versions(),
    }
