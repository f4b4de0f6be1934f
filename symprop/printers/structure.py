"""What a formula looks like before it is spelled: nodes whose order is fixed.

SymPy sorts the arguments of its sums and products, and knows no Σ with factors in front. A notation
(index or matrix) therefore arranges an expression into the nodes below once; a spelling (Unicode or
LaTeX) only writes them down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sympy import Expr, Integer, Symbol
from sympy.printing.precedence import PRECEDENCE


class Node(Expr):  # type: ignore[misc]  # SymPy has no types
    """A part of a formula whose arguments stay as they are given."""

    precedence: ClassVar[int] = PRECEDENCE["Atom"]

    def __new__(cls, *arguments: Any) -> Node:
        node: Node = Expr.__new__(cls, *arguments)
        return node

    def __str__(self) -> str:
        """In Unicode: SymPy's own printer takes some of these names for functions of its own."""
        from symprop.printers.unicode import UnicodePrinter

        return str(UnicodePrinter().doprint(self))

    __repr__ = __str__


class Access(Node):
    """A tensor (its label) at subscripts; without, a scalar, or in matrix notation all of it."""


class Slope(Node):
    """The cotangent ∂u/∂v."""

    precedence = PRECEDENCE["Mul"]


class Differential(Node):
    """∂(u)/∂v: the derivative of an expression u by an element v, not yet taken."""

    precedence = PRECEDENCE["Mul"]


class Plus(Node):
    """u + v + …, in this order."""

    precedence = PRECEDENCE["Add"]


class Minus(Node):
    """−u."""

    precedence = PRECEDENCE["Add"]


class Times(Node):
    """u·v·…, in this order."""

    precedence = PRECEDENCE["Mul"]


class Fraction(Node):
    """u/v."""

    precedence = PRECEDENCE["Mul"]


class Power(Node):
    """u to the power of v."""

    precedence = PRECEDENCE["Pow"]


class Root(Node):
    """√u."""


class Reduction(Node):
    """A sum or maximum of the body over indices: (name, body, index, …)."""

    precedence = PRECEDENCE["Add"] + 5


class Call(Node):
    """A function that SymPy's printers do not know: (name, argument, …)."""


class Magnitude(Node):
    """|u|."""


class Compare(Node):
    """The condition u > v: (relation, u, v)."""


class AllOf(Node):
    """Conditions that hold together."""


class AnyOf(Node):
    """Conditions of which one holds."""


class Bracket(Node):
    """[condition]: 1 where the condition holds, else 0."""


class Case(Node):
    """u₁ if c₁, u₂ if c₂, …, else v: (u₁, c₁, u₂, c₂, …, v)."""


class Product(Node):
    """The matrix product u v …."""

    precedence = PRECEDENCE["Mul"]


class Hadamard(Node):
    """The elementwise product u ⊙ v ⊙ …."""

    precedence = PRECEDENCE["Mul"] - 2


class Quotient(Node):
    """The elementwise quotient u ⊘ v."""

    precedence = PRECEDENCE["Mul"] - 2


class Transposed(Node):
    """uᵀ."""

    precedence = PRECEDENCE["Pow"]


class Shape(Node):
    """The extents of a tensor."""


class Ones(Node):
    """The column of ones."""


class Numeral(Node):
    """A number that is not negative, by its decimal digits: (Symbol of the digits,)."""


class Entries(Node):
    """A matrix of numbers: (rows, columns, entry, …), the entries row by row."""


class Dots(Node):
    """What is left out: …"""


def entries(node: Expr) -> Iterator[tuple[Expr, ...]]:
    """The rows of Entries."""
    rows, columns, *found = node.args
    for row in range(int(rows)):
        yield tuple(found[row * int(columns) : (row + 1) * int(columns)])


PRIME = "′"
ACTIVATIONS = ("sigma", "phi", "psi", "chi")
"""The letters for an activation: the first that no tensor is called by."""
LARGE = 10_000
"""A rational with a larger denominator prints as a decimal."""


@dataclass(frozen=True)
class Names:
    """How labels are called: after each backward pass's scalar, or by names given for this print.

    ``scalars`` maps the bit that a backward pass sets in ``Tensor.order`` to its scalar's label,
    ``given`` a label to the name to print in its place (``z1′1`` to ``delta1``). ``counts`` are the
    labels of what a backward pass counts: such a tensor is no derivative. ``sums`` are those of the
    declaration (``signs.sums``), ``targets`` the labels of what a prediction is compared with.
    ``activation`` is the letter for σ, which may be the name of a tensor.
    """

    scalars: Mapping[int, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    counts: frozenset[str] = frozenset()
    sums: frozenset[Expr] = frozenset()
    targets: frozenset[str] = frozenset()
    activation: str = ACTIVATIONS[0]

    def access(self, label: str, subscripts: Iterable[Expr] = ()) -> Node:
        """The element of the tensor called ``label``: x[s], or ∂L/∂x[s] for a cotangent."""
        label = self.given.get(label, label)
        name, _, order = label.partition(PRIME)
        if not order or label in self.counts:
            return Access(Symbol(name), *subscripts)
        bit = 1 << (int(order).bit_length() - 1)
        inner = name if int(order) == bit else f"{name}{PRIME}{int(order) - bit}"
        return Slope(self._scalar(bit), self.access(inner, subscripts))

    def function(self, name: str) -> str:
        """What a function is called: an activation σ and its derivative by the letter for them."""
        known = {"sigma": self.activation, "sigma_prime": f"{self.activation}_prime"}
        return known.get(name, name)

    def _scalar(self, bit: int) -> Node:
        known = self.scalars.get(bit)
        if known is not None and list(self.scalars.values()).count(known) == 1:
            return self.access(known)
        number = bit.bit_length()
        return self.access((known or "L") + ("" if number == 1 else str(number)))


def plus(terms: Iterable[Expr]) -> Expr:
    """The sum of the nodes, sums within it opened."""
    flat: list[Expr] = []
    for term in terms:
        flat += term.args if isinstance(term, Plus) else [term]
    return flat[0] if len(flat) == 1 else Plus(*flat)


def times(parts: Iterable[Expr], kind: type[Node] = Times) -> Expr:
    """The product of the nodes, products within it opened and ones left out."""
    flat: list[Expr] = []
    for factor in parts:
        flat += factor.args if isinstance(factor, kind) else [factor]
    kept = [factor for factor in flat if factor != 1] or [Integer(1)]
    return kept[0] if len(kept) == 1 else kind(*kept)


def negate(node: Expr) -> Expr:
    """−u, two signs cancelling."""
    return node.args[0] if isinstance(node, Minus) else Minus(node)
