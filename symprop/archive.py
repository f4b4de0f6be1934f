"""A file of numbers: a header as JSON and arrays, with a digest of all.

    magic         8 bytes
    version       4 bytes, a little-endian number
    length        8 bytes, that of the header
    header        JSON; its ``arrays`` list [name, type, shape] in order
    arrays        row by row, little-endian, one after the other
    SHA-256       32 bytes, over everything before

Nothing in a file is interpreted before its digest is right, and nothing is allocated that its size
does not cover: the arrays are views into what was read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from symprop.errors import ModelFileError

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # Windows
    flock = None  # type: ignore[assignment, unused-ignore]

Array = np.ndarray[Any, Any]
MAGIC, VERSION = b"\x89symprop", 2
HEAD, DIGEST = len(MAGIC) + 4 + 8, hashlib.sha256().digest_size
TYPES = ("<f4", "<f8", "<i4", "<i8", "<u8", "|b1", "|u1")
MOST_AXES = 32


def packed(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[bytes]:
    """A file's content, in pieces.

    Raises TypeError for an array of a type that has no place in a file.
    """
    parts: list[bytes] = []
    listed: list[Any] = []
    for name, array in arrays.items():
        kind = array.dtype.newbyteorder("<").str
        if kind not in TYPES:
            raise TypeError(f"{name}: cannot store an array of {array.dtype}")
        listed.append([name, kind, list(array.shape)])
        parts.append(array.astype(kind, order="C", copy=False).tobytes())
    text = json.dumps({**header, "arrays": listed}).encode()
    sizes = VERSION.to_bytes(4, "little") + len(text).to_bytes(8, "little")
    parts[:0] = [MAGIC, sizes, text]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return [*parts, digest.digest()]


def unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the arrays of a file's content.

    Raises ModelFileError; RecursionError or ValueError for a header that is no JSON.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise ModelFileError("it does not begin as one")
    version = int.from_bytes(content[len(MAGIC) : len(MAGIC) + 4], "little")
    if version != VERSION:
        newer = "newer" if version > VERSION else "other"
        raise ModelFileError(
            f"its format is {version}, this version of symprop reads {VERSION}; a {newer} one "
            "wrote it, or it is damaged"
        )
    end = len(content) - DIGEST
    if end < HEAD or hashlib.sha256(memoryview(content)[:end]).digest() != content[end:]:
        raise ModelFileError("it is damaged: its digest is wrong")
    start = HEAD + int.from_bytes(content[HEAD - 8 : HEAD], "little")
    if start > end:
        raise ModelFileError("its header is longer than the file")
    header = json.loads(content[HEAD:start], object_pairs_hook=_once)
    if not isinstance(header, dict):
        raise ModelFileError("its header is no object")
    listed = header.pop("arrays", None)
    return header, dict(_arrays(memoryview(content)[start:end], listed))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ModelFileError("a name occurs twice in its header")
    return found


def _arrays(content: memoryview, listed: Any) -> Iterator[tuple[str, Array]]:
    """Views into the content, which they must fill exactly."""
    start, names = 0, set()
    for name, kind, shape in listed if isinstance(listed, list) else ():
        if not isinstance(name, str) or name in names or kind not in TYPES:
            raise ModelFileError(f"array {name!r}: its name occurs twice, or its type is unknown")
        if not isinstance(shape, list) or len(shape) > MOST_AXES:
            raise ModelFileError(f"array {name}: has no shape")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ModelFileError(f"array {name}: has no shape")
        names.add(name)
        end = start + math.prod(shape) * np.dtype(kind).itemsize
        if end > len(content):
            raise ModelFileError(f"array {name}: is longer than the file")
        yield name, np.frombuffer(content[start:end], kind).reshape(shape)
        start = end
    if start != len(content):
        raise ModelFileError("its arrays are not as long as the file")


def read(path: Path) -> bytes:
    """A regular file's content.

    Raises OSError, and ModelFileError for what is no regular file: a pipe may have no end.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ModelFileError("it is no regular file")
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ModelFileError("it is no regular file")
        return file.read(found.st_size)


def check_place(path: Path) -> None:
    """Refuse a path at which no file can be written: one is begun, and removed."""
    _check_path(path)
    beside = _beside(path)
    with _alone(beside):
        if flock is not None:
            beside.unlink()
    if flock is None:
        beside.unlink()


def _beside(path: Path) -> Path:
    """What is written before it takes the place of a file."""
    return path.with_name(f".{path.name}.tmp")


def _check_path(path: Path) -> None:
    """Refuse a folder, and a file in a folder that is not there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist", str(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file, this is a folder", str(path))


def write(path: Path, parts: list[bytes]) -> None:
    """Replace a file at once: whenever the process or the machine stops, the old or the new one is
    there whole.
    """
    _check_path(path)
    beside = _beside(path)
    with _alone(beside) as file:
        try:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        if flock is not None:
            beside.replace(path)
            _sync(path.parent)
    if flock is None:  # on Windows an open file cannot be moved
        beside.replace(path)


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """The file opened for writing by this process and thread only, emptied.

    One that a killed process has left is used again, so that they do not gather.
    """
    while True:
        with path.open("ab") as file:
            if flock is not None:
                flock(file.fileno(), LOCK_EX)
                if not _is_still(path, file):  # who had it first has moved it to its place
                    continue
            file.truncate(0)
            yield file
            return


def _is_still(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Let the folder's entry reach the disk too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
