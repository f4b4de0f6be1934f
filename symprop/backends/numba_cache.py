"""Files of generated and compiled code: each named by a key, checked before anyone looks inside.

    magic    8 bytes    "symprop" and 0
    version  4 bytes    FORMAT
    key     32 bytes    what the content was stored under
    length   8 bytes    of the content
    digest  32 bytes    SHA-256 of all of the above and the content
    content

The content is run as code, so only what nobody else can have written is read. Whatever is wrong
with a file, it is as if it were not there. The directory is ``~/.cache/symprop``, or what the
environment variable SYMPROP_CACHE names; it keeps LIMIT bytes, those used last.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
import time
from pathlib import Path

MAGIC, FORMAT = b"symprop\0", 1
HEAD = struct.Struct("<8sI32sQ")
DIGEST = hashlib.sha256().digest_size
SUFFIX, UNFINISHED = ".compiled", ".tmp"
LIMIT = 512 * 2**20
ABANDONED = 3600.0
"""After so many seconds nobody is still writing a file: its process was killed."""


def directory() -> Path | None:
    """The cache directory, made if it is not there; None if it is not ours alone."""
    path = _chosen()
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_absolute() and _is_trusted(path.lstat()) and _is_trusted(path.stat()):
            return path
    return None


def _chosen() -> Path:
    if chosen := os.environ.get("SYMPROP_CACHE"):
        return Path(os.path.expanduser(chosen)).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "symprop"


def _is_trusted(found: os.stat_result) -> bool:
    """Whether it belongs to us, or root, and nobody else can write to it (a link: replace it)."""
    if os.name != "posix":
        return True
    open_to_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid in (os.getuid(), 0) and (stat.S_ISLNK(found.st_mode) or not open_to_others)


def read(key: bytes) -> bytes | None:
    """What was stored under a key of 32 bytes, or None."""
    folder = directory()
    if folder is None:
        return None
    path = _path(folder, key)
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not _is_trusted(found):
                return None
            content = _content(key, file.read())
    except OSError:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now
    return content


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _content(key: bytes, record: bytes) -> bytes | None:
    """The content of a record that is whole and was stored under the key."""
    start = HEAD.size + DIGEST
    content = record[start:]
    head = _head(key, content)
    sound = record[:start] == head + _digest(head, content)
    return content if sound else None


def _head(key: bytes, content: bytes) -> bytes:
    return HEAD.pack(MAGIC, FORMAT, key, len(content))


def _digest(head: bytes, content: bytes) -> bytes:
    return hashlib.sha256(head + content).digest()


def write(key: bytes, content: bytes) -> None:
    """Store a content under a key of 32 bytes, in one step; where that is impossible, do nothing.

    Another process reads the whole file or none. It need not outlive a power cut: what is broken
    is stored anew.
    """
    folder = directory()
    if folder is not None:
        with contextlib.suppress(OSError):
            head = _head(key, content)
            _replace(_path(folder, key), head + _digest(head, content) + content)
            _trim(folder)


def _path(folder: Path, key: bytes) -> Path:
    return folder / f"{key.hex()}{SUFFIX}"


def _replace(path: Path, record: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(record)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _trim(folder: Path) -> None:
    """Remove what was used least recently beyond LIMIT, and what was never finished."""
    total = 0
    for path, found in sorted(_files(folder), key=lambda pair: -pair[1].st_mtime_ns):
        finished = path.endswith(SUFFIX)
        total += found.st_size if finished else 0
        if total > LIMIT if finished else found.st_mtime < time.time() - ABANDONED:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _files(folder: Path) -> list[tuple[str, os.stat_result]]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((SUFFIX, UNFINISHED)):
                with contextlib.suppress(OSError):
                    found.append((entry.path, entry.stat(follow_symlinks=False)))
    return found
