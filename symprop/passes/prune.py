"""Pruning: what no output depends on is dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from symprop.passes.rewrite import replaced
from symprop.program import Program
from symprop.tensor import Tensor, label_of


def prune(program: Program, outputs: Iterable[Tensor] | None = None) -> Program:
    """The part of a program that its outputs need: of others, if they are given.

    Given tensors (inputs, parameters, states) stay, so that the program is called as before.
    """
    wanted = tuple(program.outputs if outputs is None else outputs)
    needed = {tensor.label for tensor in wanted}
    before = -1
    while (
        len(needed) != before
    ):  # once more after a recurrence, whose equations read what later ones write
        before = len(needed)
        for equation in reversed(program.flat):
            if equation.label in needed:
                needed.update(label_of(access) for access in equation.reads)
    unused = {i: () for i, e in enumerate(program.flat) if e.label not in needed}
    given = ("input", "target", "parameter", "state", "counter", "scheduled", "noise")
    tensors = tuple(t for t in program.tensors if t.label in needed or t.role in given)
    program = replaced(program, unused)
    return replace(program, tensors=tensors, outputs=wanted)
