"""Whether a loss has a value for what a network may predict: log ŷ has none where ŷ is below 0.

A prediction is followed back through the equations that define it element by element, such as
ŷ[b, j] = f(z[b, j]), to what may be any real number: z[b, j] = Σ_k W[j, k]·x[b, k] + b[j] for its
parameters. At some of these numbers f(z) is evaluated, and ℓ(f(z), y) must have a value there for
some target y. Every refusal has a witness, then; nothing is said of a prediction that reads
anything else, such as the sum of exponentials in softmax, or the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympy import Expr, Symbol

from symprop.adjoint import partial
from symprop.errors import DeclarationError
from symprop.losses import Labels, Loss, outputs, prediction, target
from symprop.program import Program
from symprop.tensor import Tensor, accesses, extent, label_of, subscripts_of

if TYPE_CHECKING:
    from symprop.backends import Array

POINTS = 16
"""At how many numbers a prediction is tried."""
TARGETS: dict[Labels, tuple[float, ...]] = {
    "classes": (0.3, 0.7),
    "probability": (0.3, 0.7),
    "sign": (-1.0, 1.0),
    "count": (1.0, 2.0),
    "": (-30.7, -0.9, 0.4, 31.3),
}
"""Targets to try: none at an edge, where y log ŷ is 0 whatever ŷ is; far ones where any may be."""
SUITED: dict[Labels, str] = {"classes": "softmax", "probability": "sigmoid", "count": "softplus"}
"""The last activation that gives what a loss takes, by its targets."""


def check_domain(forward: Program, loss: Loss, predicted: Tensor) -> None:
    """Refuse a network whose loss has no value for some of its predictions.

    Raises DeclarationError naming such a prediction.
    """
    import numpy as np

    found = Taken(forward).values(predicted[predicted.axes])
    if found is None:
        return
    values = found[np.isfinite(found)]
    size = float(extent(predicted.axes[-1]))
    terms = {str(prediction): values[:, None], str(target): np.array(TARGETS[loss.labels])}
    losses = evaluated(loss.expression, {**terms, str(outputs): np.array(size)})
    losses = np.broadcast_to(losses, (len(values), len(TARGETS[loss.labels])))
    wrong = ~np.isfinite(losses).any(axis=1)
    if wrong.any():
        equation = " + ".join(map(str, forward.defined[predicted.label]))
        suited = SUITED.get(loss.labels)
        hint = f"activation={suited!r}" if suited else "an activation with values that it takes"
        raise DeclarationError(
            f"loss {loss!r}: {loss.expression} has no finite value at prediction = "
            f"{values[wrong][0]:.3g}, which is a value of {equation}; end with {hint}"
        )


def evaluated(expression: Expr, values: dict[str, Array]) -> Array:
    """An expression in symbols at numbers; NaN or infinite where it has no value."""
    import numpy as np

    from symprop.backends.numpy import Evaluator

    with np.errstate(all="ignore"):
        found: Array = np.asarray(Evaluator(values, {}, {}, np.float64)(expression))
    return found


class Taken:
    """Values that elements of a program's tensors take, POINTS of each, together."""

    def __init__(self, program: Program):
        self._program, self._known = program, dict[Expr, "Array | None"]()

    def values(self, access: Expr) -> Array | None:
        """Some values of an element; None where they are not known."""
        if access not in self._known:
            self._known[access] = self._found(access)
        return self._known[access]

    def _found(self, access: Expr) -> Array | None:
        import numpy as np

        if self._is_any(access):
            return np.random.default_rng(len(self._known)).normal(size=POINTS)
        equations = self._program.defined.get(label_of(access), ())
        if len(equations) != 1 or equations[0].over:
            return None
        (equation,) = equations
        places = zip(subscripts_of(equation.target), subscripts_of(access), strict=True)
        value = equation.value.xreplace(dict(places))
        symbols = {read: Symbol(f"v{n}") for n, read in enumerate(accesses(value))}
        found = {str(symbol): self.values(read) for read, symbol in symbols.items()}
        known = {name: array for name, array in found.items() if array is not None}
        if len(known) < len(found):
            return None
        return np.broadcast_to(evaluated(value.xreplace(symbols), known), POINTS)

    def _is_any(self, access: Expr) -> bool:
        """Whether an element may be any real number: a parameter, or what is defined by a term of
        first degree in one.
        """
        own = self._program.tensor(access)
        if own is not None and own.role == "parameter":
            return True
        for equation in self._program.defined.get(label_of(access), ()):
            for read in equation.reads:
                tensor = self._program.tensor(read)
                if tensor is not None and tensor.role == "parameter" and equation.reduce == "sum":
                    slope = partial(equation.value, read)
                    if slope != 0 and read not in accesses(slope):
                        return True
        return False
