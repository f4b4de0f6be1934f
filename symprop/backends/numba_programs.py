"""A network's programs as generated code, written once: a file keeps what was written.

Deriving and lowering take longer than reading what they gave. They need nothing but the equations
that are declared, which name the file together with the versions of all that works on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
from collections.abc import Collection
from functools import cached_property

from symprop.backends import numba_cache
from symprop.backends.numba_compile import versions
from symprop.backends.numba_entry import Lowered
from symprop.backends.numba_plan import Dtype, Planned, stored, target_of
from symprop.backends.numba_scalar import VECTORIZABLE
from symprop.backends.numba_source import Module
from symprop.backends.numba_tables import Signature
from symprop.fingerprint import fingerprint
from symprop.lowering import Lowering
from symprop.network import Network
from symprop.optimizers import Optimizer
from symprop.passes.layout import Layout
from symprop.program import Program

LOG = logging.getLogger(__name__)
UPDATED = ("parameter", "state", "counter")
PROGRAMS = ("predict", "loss", "gradients", "train")


def own_functions(lowering: Lowering) -> Collection[str]:
    """The functions that are computed in vector instructions."""
    return VECTORIZABLE if lowering.vector_functions else ()


class Programs:
    """What a network computes with an optimizer, as code; derived only where no file has it.

    Raises LoweringError for a program that cannot be lowered.
    """

    def __init__(self, network: Network, optimizer: Optimizer, dtype: Dtype, lowering: Lowering):
        self._network, self._optimizer = network, optimizer
        self._dtype, self._lowering = dtype, lowering

    @cached_property
    def step(self) -> Program:
        """One step of training."""
        return self._network.step(self._optimizer)

    def lowered(self, name: str) -> Lowered:
        """One of PROGRAMS."""
        key = self._key and hashlib.sha256(self._key + name.encode()).digest()
        found = _read(key) if key else None
        if found is None:
            LOG.info("%s: deriving and lowering", name)
            planned, module = self.planned(name), self._module(f"{name} of a network")
            signature = self._add(module, planned)
            found = Lowered.of(planned, module.text, signature, self._kept)
            if key:
                _write(key, found)
        return found

    @cached_property
    def source(self) -> str:
        """The text of all programs as one module, where they share their kernels."""
        module = self._module("a network")
        for name in PROGRAMS:
            self._add(module, self.planned(name))
        return module.text

    @cached_property
    def _key(self) -> bytes | None:
        """What decides all of the code; None where equations hold what only they know, or where
        the network is of a user's own class, which may derive in another way.
        """
        network, target = self._network, target_of(self._lowering, self._dtype)
        if type(network) is not Network:
            return None
        declared = (network.forward, network.inference, network.statistics)
        update = network.update(self._optimizer)
        return fingerprint(*declared, update, self._dtype.name, repr(target), *versions())

    @cached_property
    def _layout(self) -> Layout:
        """How the matrices of training lie."""
        return stored(self.step, target_of(self._lowering, self._dtype))

    @cached_property
    def _kept(self) -> Layout:
        """How those lie that are the same for all programs."""
        return {label: t for label, t in self._layout.items() if t.role in UPDATED}

    def planned(self, name: str) -> Planned:
        """The same before it is code."""
        network = self._network
        predicted, loss = network.named("yhat"), network.named("L")
        if name == "train":
            step = self.step
            updated = [t for t in step.tensors if t.label in step.defined and t.role in UPDATED]
            program, outputs, layout = step, (loss, *updated), self._layout
        else:
            program = network.gradients if name == "gradients" else network.inference
            outputs = {
                "predict": (predicted,),
                "loss": (loss,),
                "gradients": (loss, *network.cotangents),
            }[name]
            layout = self._kept
        given = name, program, outputs, self._dtype, self._lowering, layout
        return Planned.of(*given, gathers=name == "train")

    def _module(self, what: str) -> Module:
        lanes = target_of(self._lowering, self._dtype).loop_lanes
        title = f"{what[0].upper()}{what[1:]} compiled by symprop in {self._dtype.name}"
        return Module(title, self._dtype, own_functions(self._lowering), lanes)

    def _add(self, module: Module, planned: Planned) -> Signature:
        """Add a program's function to a module."""
        name, program, plan = planned.name, planned.program, planned.plan
        if name == "train":
            return module.training(name, program, plan, self._network.named("L").label)
        return module.entry(name, program, plan)


def _read(key: bytes) -> Lowered | None:
    content = numba_cache.read(key)
    try:
        found = content and pickle.loads(content)  # noqa: S301 (ours: see numba_cache)
    except Exception:
        return None
    return found if isinstance(found, Lowered) else None


def _write(key: bytes, lowered: Lowered) -> None:
    with contextlib.suppress(Exception):  # it runs all the same
        numba_cache.write(key, pickle.dumps(lowered))
