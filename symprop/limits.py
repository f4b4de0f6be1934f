"""How large a stored declaration may be: what is refused before SymPy sees it.

SymPy evaluates while it builds: 9**9**9 and exp(10**9·log(2)) are written in a line and computed
for ever. For each node a bound on the digits that evaluation may need is found first,

    bits(p/q) = log₂ max(|p|, q),   bits(u + v) = bits(u) + bits(v) + 1,   bits(u·v) = their sum
    bits(uᵛ) = bits(u)·2^bits(v),   bits(exp u) = 2·2^bits(u) if u is a number, bits(u)·2^bits(u) if
    it holds a logarithm, and else bits(u)

since 2^bits bounds how large the number can be that an exponent stands for. Functions of numbers,
which are evaluated too, may stand in each other NESTED deep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEPTH, NODES, BITS = 64, 2000, 100_000
"""How deep an expression may be, how many nodes it may have, how long its integers may become."""
NESTED = 2
"""How many functions of a number may stand in each other, such as log(tanh(1))."""
LONGEST, DIGITS, WHOLE = 200, 400, 2**63
"""The longest name, the most digits of a fraction's part, the largest other number: units, …"""
EXPONENTIALS = ("exp", "sinh", "cosh")
EXPRESSIONS = ("rational", "constant", "symbol", "function")


class TooLargeError(ValueError):
    """A declaration larger than anything that is meant."""


@dataclass(frozen=True)
class Size:
    """Of an expression: its nodes, bits as above, whether a symbol, a logarithm is in it, and if no
    symbol is how many functions stand in each other.
    """

    nodes: int
    bits: float
    symbols: bool = False
    logs: bool = False
    nested: int = 0


def check_declaration(tree: Any, depth: int = 0) -> None:
    """Refuse a tree of which building the declaration would take too long, or too much memory.

    Raises TooLargeError, or ValueError for what is no tree of a declaration.

    >>> check_declaration({"rational": ["1", "3"]})
    >>> nine = {"rational": ["9", "1"]}
    >>> power = {"function": "Pow", "arguments": [nine, nine]}
    >>> check_declaration({"function": "Pow", "arguments": [nine, power]})
    Traceback (most recent call last):
    symprop.limits.TooLargeError: an expression needs numbers of more than 100000 bits
    """
    if depth > DEPTH:
        raise TooLargeError(f"a declaration of more than {DEPTH} levels")
    if isinstance(tree, Mapping) and any(name in tree for name in EXPRESSIONS):
        _size(tree, 0)
    elif isinstance(tree, (Mapping, list)):
        for item in tree.values() if isinstance(tree, Mapping) else tree:
            check_declaration(item, depth + 1)
    elif isinstance(tree, str) and len(tree) > LONGEST:
        raise TooLargeError(f"a name of {len(tree)} letters")
    elif isinstance(tree, int) and abs(tree) > WHOLE:
        raise TooLargeError("a number of more than 64 bits")


def _size(tree: Any, depth: int) -> Size:
    """The size of an expression, refused as soon as it is too large."""
    if depth > DEPTH:
        raise TooLargeError(f"an expression of more than {DEPTH} levels")
    if not isinstance(tree, Mapping) or len(tree) != 1 + ("function" in tree):
        raise ValueError("an expression is an object with a function, a symbol or a number")
    if "function" not in tree:
        return _leaf(tree)
    parts = [_size(argument, depth + 1) for argument in tree["arguments"]]
    nodes = 1 + sum(part.nodes for part in parts)
    logs = tree["function"] == "log" or any(part.logs for part in parts)
    symbols = any(part.symbols for part in parts)
    bits = _bits(tree["function"], parts, symbols)
    if nodes > NODES:
        raise TooLargeError(f"an expression of more than {NODES} nodes")
    if not bits <= BITS:
        raise TooLargeError(f"an expression needs numbers of more than {BITS} bits")
    plain = symbols or tree["function"] in ("Add", "Mul", "Pow")
    nested = max((part.nested for part in parts), default=0) + (not plain)
    if nested > NESTED:
        raise TooLargeError(f"more than {NESTED} functions of a number in each other")
    return Size(nodes, bits, symbols, logs, nested)


def _leaf(tree: Mapping[str, Any]) -> Size:
    if "symbol" in tree:
        return Size(1, 0.0, symbols=True)
    if "rational" not in tree:
        return Size(1, 2.0)
    above, below = tree["rational"]
    for text, form in ((above, r"-?\d+"), (below, r"[1-9]\d*")):
        if not isinstance(text, str) or not re.fullmatch(form, text, re.ASCII):
            raise ValueError("a fraction is two whole numbers, as text")
        if len(text) > DIGITS:
            raise TooLargeError(f"a fraction of more than {DIGITS} digits")
    return Size(1, math.log2(max(abs(int(above)), int(below))))


def _bits(function: str, parts: list[Size], symbols: bool) -> float:
    total = sum(part.bits for part in parts)
    if function == "Pow" and len(parts) == 2:
        base, exponent = parts
        return base.bits * _power_of_two(exponent.bits) + exponent.bits
    if function in EXPONENTIALS and not symbols:
        return 2 * _power_of_two(total)
    if function in EXPONENTIALS and any(part.logs for part in parts):
        return total * _power_of_two(total)
    return total + (len(parts) if function == "Add" else 0)


def _power_of_two(bits: float) -> float:
    return 2.0**bits if bits < 64 else math.inf
