"""MNIST's files: arrays in the IDX format, plain or gzip.

The format, big-endian: two bytes 0, one for the type of the elements, one for the number of axes;
the length of each axis in four bytes; the elements. LeCun, Cortes and Burges, "The MNIST database
of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from symprop.errors import DataError

Array = np.ndarray[Any, Any]
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The type of the elements by the third byte."""
MOST_BYTES = 1 << 30
"""The largest array that is read: the largest of MNIST's family, EMNIST, has 550 MB."""
MOST_AXES = 4
PIECE = 1 << 20
GZIP = b"\x1f\x8b"
PARTS = {"train": "training", "t10k": "test"}


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, plain or gzip (told by its first bytes).

    Nothing is allocated beyond what the file holds, however much its header claims, and at most
    1 GiB.

    Raises DataError for anything but a whole IDX file, OSError as usual.
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        if not packed:
            return _read(file, path.name)
        try:
            with gzip.open(file) as unpacked:
                return _read(unpacked, path.name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path.name}: is not a whole gzip file ({error})") from error


def _read(file: IO[bytes] | gzip.GzipFile, name: str) -> Array:
    """The array of an unpacked file, read in pieces: a header may claim what is not there."""
    dtype, shape = _header(file, name)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > MOST_BYTES:
        raise DataError(f"{name}: claims an array of {wanted:,} bytes; at most {MOST_BYTES:,}")
    content = bytearray()
    while len(content) < wanted and (piece := file.read(min(PIECE, wanted - len(content)))):
        content += piece
    if len(content) < wanted:
        raise DataError(
            f"{name}: ends after {len(content):,} of the {wanted:,} bytes of its "
            f"{' × '.join(map(str, shape))} elements; fetch the file again"
        )
    if file.read(1):
        raise DataError(f"{name}: goes on after its {wanted:,} bytes of elements; no IDX file")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(file: IO[bytes] | gzip.GzipFile, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        raise DataError(
            f"{name}: expected an IDX file, which starts with 0, 0, a type and the number of axes; "
            f"it starts with {list(start)}"
        )
    if not 1 <= start[3] <= MOST_AXES:
        raise DataError(f"{name}: expected 1 to {MOST_AXES} axes, its header says {start[3]}")
    lengths = file.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise DataError(f"{name}: ends within its header; fetch the file again")
    shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
    return np.dtype(TYPES[start[2]]), shape


def read_mnist(folder: str | os.PathLike[str]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """MNIST from its four files in a folder: ((x, y), (x, y)) to train and to test with.

    x are the images as rows of pixels from 0 to 1 in float32, y their digits. The files are
    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… likewise, plain or with .gz. Fashion
    MNIST and others of this form are read as well.

    Raises DataError for a file that is missing, no IDX file or does not belong to the others.
    """
    train, test = (_images_and_labels(Path(folder), part) for part in PARTS)
    if train[0].shape[1] != test[0].shape[1]:
        raise DataError(
            f"{folder}: training images have {train[0].shape[1]} pixels, test images "
            f"{test[0].shape[1]}"
        )
    return train, test


def _images_and_labels(folder: Path, part: str) -> tuple[Array, Array]:
    images = read_idx(_file(folder, f"{part}-images", 3))
    labels = read_idx(_file(folder, f"{part}-labels", 1))
    for what, array, axes in (("images", images, 3), ("labels", labels, 1)):
        if array.ndim != axes or array.dtype != np.uint8 or not array.size:
            raise DataError(
                f"{folder}: expected {PARTS[part]} {what} as bytes along {axes} axes, found "
                f"{array.dtype} of shape {array.shape}"
            )
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images):,} {PARTS[part]} images, {len(labels):,} labels")
    pixels = images.reshape(len(images), -1)
    return pixels.astype(np.float32) / 255, labels.astype(np.int64)


def _file(folder: Path, stem: str, axes: int) -> Path:
    """The file under one of the names that are in use."""
    names = [f"{stem}{dot}idx{axes}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: expected a file {names[0]} or {names[1]}, found neither")
