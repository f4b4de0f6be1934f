"""Tables of addresses: what equal layers do is one loop over them, whatever their number.

Numba would need an argument for each array of each layer, and time that grows faster than their
number. Instead an entry takes, for each loop over equal layers, a table of the places where their
arrays lie, and makes arrays of these addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sympy import Symbol

from symprop.backends import Array

Kind = Literal["whole", "own", "parts"]


@dataclass(frozen=True)
class Piece:
    """An array of a layer: a tensor, the part of a batch's own sum, or the sums of all parts."""

    label: Symbol
    kind: Kind = "whole"


@dataclass(frozen=True)
class Table:
    """The arrays of each layer, layer after layer; if some are a part's own, for each part anew."""

    rows: tuple[tuple[Piece, ...], ...]

    @property
    def has_own(self) -> bool:
        return any(piece.kind == "own" for piece in self.rows[0])

    def place(self, column: int) -> str:
        """Where an address stands, for the variables ``part`` and ``layer``."""
        row = f"part * {len(self.rows)} + layer" if self.has_own else "layer"
        width = len(self.rows[0])
        if width == 1:
            return row
        return f"{f'({row})' if self.has_own else row} * {width} + {column}"

    def addresses(self, arrays: Mapping[str, Array], parts: int) -> Array:
        """All addresses, one after the other."""
        every = range(parts if self.has_own else 1)
        found = [_address(p, arrays, part) for part in every for row in self.rows for p in row]
        return np.array(found, np.int64)


def _address(piece: Piece, arrays: Mapping[str, Array], part: int) -> int:
    array = arrays[piece.label.name]
    return int(array[part].ctypes.data if piece.kind == "own" else array.ctypes.data)


@dataclass(frozen=True)
class Signature:
    """What an entry is called with: sizes and tensors by label, then tables."""

    labels: tuple[Symbol, ...]
    tables: tuple[Table, ...] = ()
