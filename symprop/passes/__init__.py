"""Passes: Program → Program, each keeping every value; this file holds their order."""

from __future__ import annotations

from collections.abc import Iterable

from symprop.errors import DerivationError
from symprop.passes.facts import apply_facts
from symprop.passes.inline import hoist, inline
from symprop.passes.merge import merge, tidy_values
from symprop.passes.prune import prune
from symprop.passes.reuse import reuse_stored
from symprop.passes.stabilize import stabilize
from symprop.program import Program
from symprop.tensor import Tensor

ROUNDS = 12
"""More rounds than any network has needed; a program that still changes then is a fault of a pass.
"""


def simplify_gradients(program: Program, keep: Iterable[Tensor] = ()) -> Program:
    """Derivatives in their shortest form: stored values reused, single uses inlined, declared facts
    used.

    The passes open the way for each other, so they run until nothing changes. ``keep`` names
    cotangents that stay tensors of their own, such as the δ of each layer.
    """
    kept = frozenset(tensor.label for tensor in (*keep, *program.outputs))
    for _ in range(ROUNDS):
        before = program.equations
        program = inline(program, kept)
        program = prune(program, (*program.outputs, *(t for t in keep if t in program.tensors)))
        program = tidy_values(program)
        program = reuse_stored(program)
        program = apply_facts(program)
        program = merge(program)
        program = hoist(program, kept)
        if program.equations == before:
            return program
    raise DerivationError(f"the derivatives still change after {ROUNDS} rounds of simplification")


def lower(program: Program, outputs: Iterable[Tensor] | None = None) -> Program:
    """The form of a program that runs: what its outputs need, finite at the edges of the range."""
    return stabilize(prune(program, outputs))
