"""IDX files: what is written is read, and nothing else."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from symprop import mnist
from symprop.errors import DataError
from symprop.mnist import read_idx, read_mnist

from models import raises

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def header(code: int, *lengths: int) -> bytes:
    return bytes([0, 0, code, len(lengths)]) + struct.pack(f">{len(lengths)}I", *lengths)


def content(array: np.ndarray) -> bytes:
    kind = array.dtype.str[1:]
    return header(CODES[kind], *array.shape) + array.astype(f">{kind}").tobytes()


@pytest.fixture(params=["plain", "gzip"])
def written(request: pytest.FixtureRequest, tmp_path: Path):
    """Writes a file in either form, under a name that does not tell which."""

    def write(data: bytes) -> Path:
        path = tmp_path / "file-ubyte"
        path.write_bytes(gzip.compress(data) if request.param == "gzip" else data)
        return path

    return write


@pytest.mark.parametrize("kind", CODES)
def test_every_type_is_read_as_it_was_written(written, kind: str) -> None:
    array = np.array([[1, -2, 100], [0, 5, -7]]).astype(kind)
    found = read_idx(written(content(array)))
    assert found.dtype == np.dtype(kind)
    assert found.dtype.isnative
    assert np.array_equal(found, array)


def test_axes_of_length_zero_are_no_error(written) -> None:
    assert read_idx(written(content(np.zeros((0, 28, 28), np.uint8)))).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected an IDX file"),
        (b"\x89PNG\r\n\x1a\n", "expected an IDX file"),
        (b"\x01" + content(IMAGES)[1:], "it starts with [1, 0, 8, 3]"),
        (header(0x0A, 3) + b"abc", "expected an IDX file"),
        (header(0x08), "expected 1 to 4 axes, its header says 0"),
        (header(0x08, *[1] * 5) + b"a", "expected 1 to 4 axes, its header says 5"),
        (header(0x08, 3, 4)[:-1], "ends within its header"),
        (content(IMAGES) + b"a", "goes on after its 24 bytes"),
    ],
)
def test_other_files_are_refused(written, data: bytes, words: str) -> None:
    with raises(DataError, words):
        read_idx(written(data))


def test_a_file_that_is_cut_off_is_refused(written) -> None:
    with pytest.raises(DataError, match="ends after 8 of the 24 bytes"):
        read_idx(written(content(IMAGES)[:-16]))


def test_a_gzip_file_that_is_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(content(np.arange(5000, dtype=np.int32))))
    path = tmp_path / "x.gz"
    for damaged in (packed[:-20], packed[:9], packed[:200] + b"\xff" * 40 + packed[240:]):
        path.write_bytes(damaged)
        with raises(DataError, "x.gz"):
            read_idx(path)


@pytest.mark.parametrize("lengths", [(2**32 - 1,) * 3, (60_000, 28, 28), (2**30,)])
def test_what_a_header_claims_is_not_allocated(written, lengths: tuple[int, ...]) -> None:
    path = written(header(0x08, *lengths) + b"few")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"at most 1,073,741,824|ends after 3 of the"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """64 MB of zeros behind a header that claims 100 bytes, and behind one that claims them all."""
    path = tmp_path / "bomb"
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    path.write_bytes(gzip.compress(header(0x08, 100)) + zeros)
    tracemalloc.start()
    try:
        with raises(DataError, "goes on after its 100 bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_an_array_above_the_limit_is_refused(written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "MOST_BYTES", 20)
    with raises(DataError, "claims an array of 24 bytes; at most 20"):
        read_idx(written(content(IMAGES)))


def folder_of(path: Path, **other: np.ndarray) -> Path:
    """MNIST's four files, two of them gzip; ``other`` ones in their places."""
    images = np.full((3, 2, 2), 255, np.uint8)
    arrays = {"train_images": images, "train_labels": np.array([7, 0, 9], np.uint8)}
    arrays |= {"t10k_images": images[:1], "t10k_labels": np.array([4], np.uint8)} | other
    for name, array in arrays.items():
        stem, packed = name.replace("_", "-"), name.startswith("train")
        file = f"{stem}-idx{3 if 'images' in stem else 1}-ubyte{'.gz' if packed else ''}"
        (path / file).write_bytes(gzip.compress(content(array)) if packed else content(array))
    return path


def test_mnist_is_rows_of_pixels_from_0_to_1_and_digits(tmp_path: Path) -> None:
    (x, y), (x_test, y_test) = read_mnist(folder_of(tmp_path))
    assert x.shape == (3, 4)
    assert x.dtype == np.float32
    assert x.min() == x.max() == 1
    assert (y.tolist(), y_test.tolist(), len(x_test)) == ([7, 0, 9], [4], 1)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"train_labels": np.zeros(2, np.uint8)}, "3 training images, 2 labels"),
        ({"train_images": np.zeros((3, 4), np.uint8)}, "training images as bytes along 3 axes"),
        ({"t10k_labels": np.zeros(1, np.int32)}, "test labels as bytes along 1 axes, found int32"),
        ({"t10k_images": np.zeros((1, 3, 3), np.uint8)}, "images have 4 pixels, test images 9"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, other, words: str) -> None:
    with raises(DataError, words):
        read_mnist(folder_of(tmp_path, **other))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with raises(DataError, "t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz, found neither"):
        read_mnist(tmp_path)


EXAMPLE = Path(__file__).parents[1] / "examples" / "mnist.py"


def test_the_example_learns_from_files_and_writes_its_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(64, 4, 4)), np.arange(64) % 10
    arrays = {"images": images.astype(np.uint8), "labels": labels.astype(np.uint8)}
    folder_of(tmp_path, **{f"{p}_{n}": a for p in ("train", "t10k") for n, a in arrays.items()})
    page = tmp_path / "page.html"
    command = [sys.executable, str(EXAMPLE), "--data", str(tmp_path), "--out", str(page)]
    done = subprocess.run(  # noqa: S603 (our own example)
        command, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[0].split() == ["epoch", "loss", "validation", "accuracy"]
    assert f"the page is in {page}" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
