"""A function of one number at many places, in the stable form in which programs run."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from sympy import Expr

from symprop.activations import ARGUMENT
from symprop.backends import Array
from symprop.backends.numpy import run
from symprop.passes import lower
from symprop.scope import BATCH, Scope, index


@lru_cache(maxsize=256)
def values_at(value: Expr) -> Callable[[Array], Array]:
    """The function that an expression in z is, of arrays of one axis.

    >>> import numpy as np, sympy
    >>> values_at(1 / (1 + sympy.exp(-ARGUMENT)))(np.array([-1000.0, 0.0]))
    array([0. , 0.5])
    """
    scope, place = Scope(), index("b", BATCH)
    z, f = scope.tensor("z", (place,), role="input"), scope.tensor("f", (place,))
    scope.define(f[place], value.xreplace({ARGUMENT: z[place]}))
    program = lower(scope.freeze((f,)), (f,))
    if z not in program.tensors:  # a constant
        return lambda places: places * 0.0 + float(value)
    return lambda places: run(program, {"z": places})["f"]
