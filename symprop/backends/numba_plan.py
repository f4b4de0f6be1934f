"""Programs on their way to code: oriented, scheduled, and what is asked of the schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Expr, Idx, Symbol

from symprop.backends import memory
from symprop.backends.memory import Life
from symprop.backends.numba_training import begun_before_rows
from symprop.backends.numba_vector import LANES
from symprop.lowering import Lowering
from symprop.passes import lower
from symprop.passes.layout import Layout, laid_out, layout
from symprop.passes.orient import orient
from symprop.passes.prune import prune
from symprop.passes.rows_first import rows_first
from symprop.passes.stabilize import EXACT_SLOPES, RULES
from symprop.program import Program
from symprop.schedule import Target, schedule
from symprop.scope import BATCH
from symprop.steps import Gemm, Schedule
from symprop.tensor import Tensor, subscript_bounds, subscripts_of

Dtype = np.dtype[Any]
GIVEN = ("input", "target")
"""The roles of what each batch takes its rows of."""


def target_of(lowering: Lowering, dtype: Dtype, size: Symbol | None = None) -> Target:
    return Target(lowering, LANES[dtype.name], size)


def oriented(program: Program, target: Target) -> Program:
    lanes = target.product_lanes
    return orient(program, lanes) if lanes and target.lowering.orientation else program


def stored(program: Program, target: Target) -> Layout:
    """How the matrices of a program lie."""
    lanes = target.product_lanes
    return layout(program, lanes) if lanes and target.lowering.orientation else {}


@dataclass(frozen=True)
class Subscript:
    """A subscript that a program cannot check: a gathered integer, or bounds that sizes decide."""

    tensor: Tensor
    axis: Idx
    subscript: Expr
    text: str


def unsafe(program: Program) -> tuple[Subscript, ...]:
    found: dict[Subscript, None] = {}
    for equation in program.flat:
        for access in (equation.target, *equation.reads):
            tensor = program.tensor(access)
            for axis, subscript in zip(
                tensor.axes if tensor else (), subscripts_of(access), strict=True
            ):
                if not tensor or isinstance(subscript, Idx):
                    continue
                bounds = subscript_bounds(subscript)
                if not bounds or not all(bound.is_Integer for bound in bounds):
                    found[Subscript(tensor, axis, subscript, str(access))] = None
    return tuple(found)


@dataclass(frozen=True)
class Planned:
    """One of a network's programs in the form that runs, and its schedule."""

    name: str
    program: Program
    outputs: tuple[Tensor, ...]
    plan: Schedule
    dtype: Dtype
    lowering: Lowering

    @classmethod
    def of(
        cls,
        name: str,
        program: Program,
        outputs: Iterable[Tensor],
        dtype: Dtype,
        lowering: Lowering,
        layout: Layout,
        gathers: bool = False,
    ) -> Planned:
        """A program planned for its outputs, its matrices lying as ``layout`` says; one that
        ``gathers`` takes the rows of a batch from all rows by itself.
        """
        target = target_of(lowering, dtype, BATCH)
        rules = EXACT_SLOPES if lowering.exact_slopes else RULES
        lowered = laid_out(lower(program, tuple(outputs), rules), layout)
        wanted = lowered.outputs
        lowered = oriented(rows_first(prune(lowered), BATCH), target)
        if gathers:
            gathered = (t.label for t in lowered.tensors if t.role in (*GIVEN, "noise"))
            target = replace(target, gathered=frozenset(gathered))
        plan = schedule(lowered, keep={tensor.label for tensor in wanted}, target=target)
        return cls(name, lowered, wanted, plan, dtype, lowering)

    def lives(self, together: bool) -> Mapping[Symbol, Life]:
        """When each tensor is needed; nothing is said of those that share no memory."""
        kept = {tensor.label for tensor in self.outputs}
        return memory.lives(self.plan, kept, together) if self.lowering.shared_memory else {}

    @property
    def divisible(self) -> bool:
        """Whether threads may share the rows of a batch: BLAS has threads of its own."""
        products = (step for step in self.plan.steps if isinstance(step, Gemm))
        return all(step.vectors for step in products) and not begun_before_rows(self.plan)
