"""What a program is given: arrays by label, of training a batch's rows, its noise and its rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from symprop.backends import Array, Batches
from symprop.backends.noise import drawn
from symprop.backends.shuffle import begin_epoch
from symprop.program import Program
from symprop.tensor import Tensor


def given(program: Program, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Those of the arrays that are a program's."""
    labels = (str(tensor.label) for tensor in program.tensors)
    return {label: arrays[label] for label in labels if label in arrays}


def step_data(program: Program, batches: Batches, number: int, dtype: Any) -> dict[str, Array]:
    """What a batch's step is given: its rows of the data, its noise, and its learning rate."""
    data = batch_of(batches, number)
    scheduled = program.with_role("scheduled")
    rates = {str(t.label): batches.rates[number] for t in scheduled}
    noise = drawn(program.tensors, batches.noise, len(data["x"]), dtype, number)
    return {**data, **noise, **rates}


def batch_of(batches: Batches, number: int) -> dict[str, Array]:
    """A batch's rows of the data, by name; the first batch of an epoch begins the epoch."""
    epoch, batch = divmod(number, batches.per_epoch)
    if batch == 0:
        with np.errstate(over="ignore"):
            begin_epoch(batches.order, batches.rows, batches.seeds, epoch)
    rows = batches.rows_of(number)
    return {name: array[rows] for name, array in batches.data.items()}


def in_order(
    program: Program, before: Mapping[str, Array], after: Mapping[str, Array]
) -> Iterator[tuple[Tensor, Array]]:
    """What a program was given, then what it computed, each tensor where it is defined."""
    for tensor in program.tensors:
        if str(tensor.label) in before:
            yield tensor, before[str(tensor.label)]
    for label in program.defined:
        yield program.by_label[label], after[str(label)]
