"""One sample worked through a derivation: its numbers put into every formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from symprop.backends import Array
from symprop.backends.numpy import run
from symprop.derive.sample import counts_samples, samples_meet
from symprop.errors import DataError, DeclarationError, ShapeError
from symprop.layers.base import positive_integer
from symprop.optimizers import SGD
from symprop.passes import lower
from symprop.printable import Printable
from symprop.printers.structure import Names
from symprop.program import Program

if TYPE_CHECKING:
    from symprop.derive import Derivation
    from symprop.network import Network
    from symprop.printers.document import Item


@dataclass(frozen=True)
class Worked(Printable):
    """The numbers of one sample in every formula of a derivation.

    ``values`` are float64 arrays by name, without an axis for samples: x, y, the parameters before
    the update, all that the forward pass computes, ``"delta1"``, …, and the gradients ``"dW1"``,
    ``"db1"``, …. ``updated`` has the parameters after the update, by their names, and the loss
    ``"L"`` with them. ``drawn`` are the parameters that were not given.
    """

    derivation: Derivation
    values: Mapping[str, Array]
    updated: Mapping[str, Array]
    learning_rate: float
    seed: int
    drawn: tuple[str, ...] = ()
    digits: int = 6

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _document(self) -> tuple[Item, ...]:
        from symprop.derive.worked_story import Story

        return tuple(Story(self).items())


def work(
    derivation: Derivation,
    x: Any,
    y: Any,
    parameters: Any,
    digits: int,
    learning_rate: float,
    seed: int,
) -> Worked:
    """Run the derivation's programs on one sample; see ``Derivation.worked``."""
    from symprop.data import parameter_arrays, seed_number
    from symprop.start import start_values

    derivation = replace(derivation, update=derivation.declared.update())
    network, dtype = derivation.declared, np.dtype(np.float64)
    if samples_meet(network.forward) or network.forward.with_role("noise"):
        raise DeclarationError(
            "worked: this network drops units at random or normalizes over the batch in training; "
            "one sample does not say what it computes"
        )
    digits = positive_integer("digits", digits)
    rate = float(SGD(learning_rate).learning_rate)
    seed = seed_number(seed)
    given = parameter_arrays(network.parameters, {} if parameters is None else parameters, dtype)
    started = start_values(network.parameters, dtype, np.random.default_rng(seed))
    arrays = {**sample_arrays(network, x, y, dtype), **started, **given}
    values = sample_values(derivation.short, arrays)
    new = _updated(derivation, values, rate)
    loss = sample_values(derivation.forward, {**arrays, **new})["L"]
    names = names_of_values(derivation.forward, derivation.names)
    return Worked(
        derivation,
        {names.get(label, label): array for label, array in values.items()},
        {**new, "L": loss},
        rate,
        seed,
        tuple(name for name in started if name not in given),
        digits,
    )


def _updated(derivation: Derivation, values: Mapping[str, Array], rate: float) -> dict[str, Array]:
    """The parameters after one step of gradient descent; a gradient that is not there is 0."""
    program = derivation.update
    known = {**values, **{str(t.label): np.array(rate) for t in program.with_role("state")}}
    labels = {str(tensor.label) for tensor in program.tensors}
    after = run(program, {label: known[label] for label in labels & known.keys()})
    return {tensor.name: after[str(tensor.label)] for tensor in program.with_role("parameter")}


def sample_arrays(network: Network, x: Any, y: Any, dtype: np.dtype[Any]) -> dict[str, Array]:
    """One sample and its target as a batch of one row.

    x is a vector or a matrix of one row, a number where there is one input; y likewise, or a class
    number.

    Raises ShapeError, DataError or ArgumentTypeError.
    """
    from symprop.data import input_array, number_array, target_array

    inputs, targets = number_array("x", x), number_array("y", y)
    shape = network.named("x").sample_shape
    if inputs.shape == () and shape == (1,):
        inputs = inputs.reshape(1)
    if inputs.shape not in (shape, (1, *shape)):
        raise ShapeError(
            f"x: expected one sample, of shape {shape} or {(1, *shape)}, got shape {inputs.shape}"
        )
    if targets.shape == ():
        targets = targets.reshape(1)
    elif targets.ndim == 1 and targets.shape != (1,):
        targets = targets[None]
    if len(targets) != 1:
        raise ShapeError(
            f"y: expected the target of one sample, got {len(targets)} rows, shape {targets.shape}"
        )
    return {
        "x": input_array(network, inputs.reshape(1, *shape), dtype),
        "y": target_array(network, targets, 1, dtype),
    }


def sample_values(program: Program, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """What a program gives to all its tensors, by label, without the axis of the one sample.

    Raises DataError where a number is not finite.
    """
    found = run(lower(program, program.tensors), arrays)
    values = {}
    for tensor in program.tensors:
        array = found[str(tensor.label)]
        if not np.isfinite(array).all():
            raise DataError(
                f"{tensor.name} is not finite for this sample: it has the value "
                f"{array[~np.isfinite(array)].flat[0]}; scale the sample or the parameters"
            )
        sizes = zip(tensor.axes, array.shape, strict=True)
        values[str(tensor.label)] = array.reshape([n for i, n in sizes if not counts_samples(i)])
    return values


def names_of_values(forward: Program, names: Names) -> dict[str, str]:
    """What users call cotangents, by label: delta1, and dW1 where it is no delta."""
    cotangents = {str(tensor.cotangent(1).label): f"d{tensor.name}" for tensor in forward.tensors}
    return {**cotangents, **names.given}
