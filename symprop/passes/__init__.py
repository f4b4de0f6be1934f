"""Passes: Program → Program, each keeping every value; this file holds their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from symprop.errors import DerivationError
from symprop.passes.facts import apply_facts
from symprop.passes.inline import hoist, inline
from symprop.passes.merge import merge, tidy_values
from symprop.passes.prune import prune
from symprop.passes.reuse import reuse_stored
from symprop.passes.rule import Rule
from symprop.passes.sizes import sizes_outside
from symprop.passes.stabilize import RULES, stabilize
from symprop.program import Program
from symprop.tensor import Tensor

ROUNDS = 12
"""More rounds than any network has needed; a program that still changes then is a fault of a pass.
"""


def simplifications(program: Program, keep: Iterable[Tensor] = ()) -> Iterator[tuple[str, Program]]:
    """The program after each pass, with what the pass does in a derivation's words, until nothing
    changes.

    The passes open the way for each other. ``keep`` names cotangents that stay tensors of their
    own, such as the δ of each layer.
    """
    keep = tuple(keep)
    kept = frozenset(tensor.label for tensor in (*keep, *program.outputs))
    for _ in range(ROUNDS):
        before = program.equations
        program = inline(program, kept)
        program = prune(program, (*program.outputs, *(t for t in keep if t in program.tensors)))
        yield "substitution", program
        for rule, apply in IN_PLACE:
            program = apply(program)
            yield rule, program
        program = hoist(program, kept)
        yield "common sum", program
        if program.equations == before:
            yield "common factor", sizes_outside(program)
            return
    raise DerivationError(f"the derivatives still change after {ROUNDS} rounds of simplification")


IN_PLACE: tuple[tuple[str, Callable[[Program], Program]], ...] = (
    ("cancellation", tidy_values),
    ("stored value", reuse_stored),
    ("declared fact", apply_facts),
    ("common factor", merge),
)
"""The passes that change values where they stand, by the rule that each applies."""


def simplify_gradients(program: Program, keep: Iterable[Tensor] = ()) -> Program:
    """Derivatives in their shortest form: stored values reused, single uses inlined, declared facts
    used.
    """
    *_, (_, simplified) = simplifications(program, keep)
    return simplified


def lower(
    program: Program, outputs: Iterable[Tensor] | None = None, rules: Iterable[Rule] = RULES
) -> Program:
    """The form of a program that runs: what its outputs need, finite at the edges of the range.

    ``rules`` are those of stabilizing.
    """
    return stabilize(prune(program, outputs), rules)
