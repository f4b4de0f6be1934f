"""Where generated source lives: in a private directory, named by what decides the compiled code.

The directory is ``~/.cache/symprop``, or what the environment variable SYMPROP_CACHE names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def directory() -> Path:
    """The private cache directory; a fresh temporary one where that cannot be used."""
    chosen = os.environ.get("SYMPROP_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = Path(chosen) if chosen else Path(home) / "symprop"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_private(path):
            return path.resolve()
    return _temporary()


def _is_private(path: Path) -> bool:
    """Whether we can write into a directory and nobody else can: what lies there is run as code."""
    if not os.access(path, os.W_OK | os.X_OK):
        return False
    if os.name != "posix":
        return True
    found = path.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="symprop-"))


def stored(text: str, conditions: Iterable[str]) -> Path:
    """The file that holds a source text, named by it and all else that decides the compiled code.

    A file that holds anything else is replaced, in one step, so that another process never reads
    half of it.
    """
    content = text.encode()
    key = hashlib.sha256("\0".join((*conditions, text)).encode()).hexdigest()[:32]
    path = directory() / f"symprop_{key}.py"
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return path
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(name, path)
    return path
