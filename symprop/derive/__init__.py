"""The derivation of backpropagation for a network, told from the programs that compute it.

Nothing here decides what a derivative is: the results are equations of the forward pass, of the
short form of its adjoint, and of the update; the lines between them are what the passes did, and
the long way by the rules of differentiation arrives at the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from symprop.derive.build import Builder
from symprop.derive.lookup import Lookup
from symprop.derive.sample import samples_meet
from symprop.derive.step import DETAILS, Detail, Step, choice
from symprop.errors import ArgumentError
from symprop.optimizers import optimizer as optimizer_of
from symprop.printable import Printable
from symprop.printers.index import names_of
from symprop.printers.structure import Names
from symprop.program import Program
from symprop.tensor import Tensor

if TYPE_CHECKING:
    from symprop.derive.verify import Verification
    from symprop.derive.worked import Worked
    from symprop.network import Network
    from symprop.printers.document import Item

__all__ = ["Derivation", "Step", "derive"]

NOTATIONS = ("both", "index", "matrix")


@dataclass(frozen=True)
class Derivation(Printable):
    """The steps from the declaration to the update.

    ``print(derivation)`` is Unicode text, ``latex()`` a fragment, ``save(path)`` a file, and
    ``verify()`` checks every step.

    >>> from symprop import Dense, Network
    >>> net = Network([Dense(2, "tanh"), Dense(1)], inputs=3, loss="mse")
    >>> derivation = net.derive()
    >>> [step.number for step in derivation.steps if step.section == "Loss"]
    ['5']
    """

    steps: tuple[Step, ...]
    forward: Program
    raw: Program
    """The forward pass and its plain adjoint."""
    short: Program
    """The forward pass and the gradients in short form."""
    update: Program
    declared: Network
    """The network that is derived; a sample is checked against it."""
    detail: Detail = "standard"
    notation: str = "both"
    batch: bool | None = None
    optimizer: Any = None

    @property
    def network(self) -> str:
        """The network in words: its layers, their activations, its loss."""
        return str(self.declared)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def verify(self, points: int = 2, seed: int = 0) -> Verification:
        """Check both sides of every step at random points, and give the record.

        Sizes are made small; numbers are fractions where possible, else real numbers of 120 digits.
        Derivatives are evaluated by differences, cotangents compared with what the loss does when
        their tensor is moved, the final equations with both backends in float64.

        Raises DerivationError naming the first step that fails.
        """
        from symprop.derive.verify import verify

        return verify(self, points, seed)

    def worked(
        self,
        x: Any,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        digits: int = 6,
        learning_rate: float = 0.01,
        seed: int = 0,
    ) -> Worked:
        """The numbers of one sample in every formula, to print in every form.

        x is the sample, y its target (a class number where the loss takes one). ``parameters`` that
        are not given start as by ``network.compile(dtype="float64", seed=seed)``;
        ``learning_rate`` is that of ``SGD``; ``digits`` are the significant digits to print.

        Raises ShapeError, DataError, ArgumentError or ArgumentTypeError, UnknownNameError for a
        parameter.

        >>> from symprop import Dense, Network
        >>> derivation = Network([Dense(1, bias=False)], inputs=1, loss="mse").derive()
        >>> worked = derivation.worked(x=2.0, y=1.0, parameters={"W1": [[0.5]]})
        >>> float(worked.values["L"]), float(worked.values["delta1"][0])
        (0.0, 0.0)
        """
        from symprop.derive.worked import work

        return work(self, x, y, parameters, digits, learning_rate, seed)

    def _document(self) -> tuple[Item, ...]:
        return self._items

    @cached_property
    def _items(self) -> tuple[Item, ...]:
        """The document, arranged once for all its forms."""
        from symprop.derive.story import story

        return tuple(story(self))

    @cached_property
    def names(self) -> Names:
        """What tensors are called, δ for the cotangents of pre-activations."""
        return delta_names(self.forward, self.raw)

    @cached_property
    def lookup(self) -> Lookup:
        """What printing and checking look up in the programs."""
        return Lookup(self.forward, self.raw, self.short)


def delta_names(forward: Program, program: Program) -> Names:
    """The names of a network's tensors: delta1 for the cotangent of the pre-activation z1."""
    given = {str(t.cotangent(1).label): delta_name(t) for t in forward.preactivations}
    return names_of(program, given)


def delta_name(preactivation: Tensor) -> str:
    """The pre-activation's name with delta for its letter."""
    return f"delta{preactivation.name.lstrip(ascii_lowercase)}"


def derive(
    network: Network,
    detail: Any = "standard",
    notation: str = "both",
    batch: bool | None = None,
    optimizer: Any = "sgd",
) -> Derivation:
    """The derivation of a network's gradients and of the optimizer's update."""
    choice("detail", detail, DETAILS)
    choice("notation", notation, NOTATIONS)
    if batch not in (None, True, False):
        raise ArgumentError(f"derive: batch: expected True, False or None, got {batch!r}")
    forward, short = network.forward, network.gradients
    if samples_meet(forward):
        if batch is False:
            raise ArgumentError(
                "derive: batch=False: this network normalizes over the batch, so that one sample "
                "cannot be followed alone; expected True or None"
            )
        batch = True
    update, statistics = network.update(optimizer), network.statistics
    raw = forward + network.raw_gradients
    names = delta_names(forward, raw)
    builder = Builder(Lookup(forward, raw, short), update, statistics, names, detail)
    steps = (*builder.steps(), *builder.floating())
    programs = (forward, raw, short, update + statistics)
    return Derivation(steps, *programs, network, detail, notation, batch, optimizer_of(optimizer))
