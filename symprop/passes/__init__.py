"""Passes: Program → Program, each keeping every value; this file holds the order in which they run."""

from __future__ import annotations

from symprop.program import Program


def simplify_gradients(program: Program) -> Program:
    return program
