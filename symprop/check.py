"""Checks that users can run: of gradients, and of one backend against the other.

``check_gradients`` knows nothing of adjoints. It runs the forward program in the interpreter, with
one parameter moved at a time, by complex step differentiation

    ∂f/∂x ≈ Im f(x + ih)/h,    h = 1e-30

which subtracts nothing and is therefore exact to rounding (Squire and Trapp 1998), or by central
differences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from symprop.activations import known_name
from symprop.adjoint import backward
from symprop.backends import Array
from symprop.backends.noise import drawn, noise_source
from symprop.backends.numpy import run
from symprop.data import (
    data_type,
    input_array,
    number_array,
    parameter_arrays,
    seed_number,
    target_array,
)
from symprop.errors import ArgumentTypeError, DivergenceError, UnknownNameError
from symprop.model import Model
from symprop.network import Network
from symprop.optimizers import SGD
from symprop.passes import lower
from symprop.passes.prune import prune
from symprop.program import Program
from symprop.start import start_values
from symprop.tensor import Tensor

Method = Literal["auto", "complex", "central"]
METHODS = ("auto", "complex", "central")
SAMPLES = 200
"""Entries that are checked of each tensor; larger ones are sampled, with the seed."""
COMPLEX_STEP = 1e-30
NUDGE = 1e-9
"""How far, relative to max(1, |x|), the slopes on both sides of a kink are taken from it."""
CENTRAL_STEP = 6e-6
"""ε^(1/3), relative to max(1, |x|): where truncation h² and cancellation ε/h are alike."""
KINK = {"auto": 1e-5, "central": 1e-2}
"""Slopes on both sides that differ by more than this share, and not by curvature, are a kink."""
EXACT = 1e-13
"""Below this relative error there is no need to look for a kink."""
FLOOR = 1e-4
"""A tensor's errors are taken relative to its largest entry, but to no less than this share of the
largest of all: what is 0 by cancellation carries the rounding errors of what cancels."""
_TINY = float(np.finfo(np.float64).tiny)


def check_gradients(
    network: Network,
    x: Any,
    y: Any,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    method: Method = "auto",
) -> float:
    """The worst relative error of a network's gradients, in float64, over all parameters.

        max over W of   max |g − r| / max(max |r|, FLOOR · max over all parameters |r|)

    g is what ``network.gradients`` gives in the interpreter, r the derivative of
    ``network.forward`` by ``method`` (see ``check_program``), both in the stable form that runs. x
    and y are as for ``fit``. The formulas are those of training: normalized by this batch, with the
    masks of dropout that a model with this seed draws first, held fixed.
    Parameters that are not given start as by ``compile(seed=seed)``; of each, at most 200 entries
    are checked, drawn with the seed.

    Raises ShapeError, DataError, ArgumentError or ArgumentTypeError, UnknownNameError for a method
    or a parameter.

    >>> from symprop import Dense
    >>> net = Network([Dense(3, activation="tanh"), Dense(2)], inputs=2, loss="mse")
    >>> check_gradients(net, [[0.5, -1.0]], [[1.0, 2.0]]) < 1e-12
    True
    """
    given = {"x": x, "y": y, **(parameters or {})}
    arrays = _network_arrays(_network(network), given, seed, np.float64)
    arrays |= drawn(network.forward.tensors, noise_source(seed), len(arrays["x"]), np.float64)
    values = run(lower(network.gradients), arrays)
    found = {
        str(parameter.label): values[str(cotangent.label)]
        for parameter, cotangent in zip(
            network.parameters, network.raw_gradients.outputs, strict=True
        )
    }
    return _worst(lower(network.forward), arrays, network.named("L"), found, method, seed)


def check_program(
    program: Program,
    arrays: Mapping[str, Any],
    of: Tensor | str,
    wrt: Iterable[Tensor | str],
    seed: int = 0,
    method: Method = "auto",
) -> float:
    """The worst relative error of a program's adjoint: of the derivatives of a scalar with respect
    to given tensors.

    ``arrays`` holds the given tensors by name, ``of`` and ``wrt`` are tensors or their names.
    ``method`` says what the adjoint is compared with:

    - ``"complex"``: complex step. At a kink it takes the branch that the interpreter takes there.
    - ``"central"``: central differences, good for about 1e-9, at a kink 1e-5.
    - ``"auto"``: complex step; where it disagrees and the slopes to the left and to the right of
      the point differ, the point is at a kink, and every derivative between these two slopes is
      right: the error is the distance to that interval.

    ``"central"`` treats a kink likewise, with difference quotients. So a check at a kink says that
    a subgradient of one variable was found, not which. Where several kinks meet, even that is not
    always true of an adjoint: of max(t, 0) − max(−t, 0), which is t, the chain rule gives 0 at 0.

    Raises UnknownNameError for a name, LoweringError for a tensor that is not given.

    >>> from symprop import Dense
    >>> net = Network([Dense(1, activation="sigmoid")], inputs=1, loss="mse")
    >>> arrays = {"x": [[2.0]], "y": [[1.0]], "W1": [[0.5]], "b1": [0.0]}
    >>> check_program(net.forward, arrays, of="L", wrt=["x", "W1"]) < 1e-12
    True
    """
    scalar = _tensor(program, of)
    tensors = tuple(_tensor(program, tensor) for tensor in wrt)
    given = {name: number_array(name, array) for name, array in arrays.items()}
    derivative = backward(program, scalar, tensors)
    values = run(program + derivative, given)
    found = {
        str(tensor.label): values[str(cotangent.label)]
        for tensor, cotangent in zip(tensors, derivative.outputs, strict=True)
    }
    return _worst(program, given, scalar, found, method, seed)


@overload
def check_backends(
    network: Network,
    x: Any,
    y: Any,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    dtype: Any = "float64",
) -> float: ...
@overload
def check_backends(network: Program, x: Mapping[str, Any], *, dtype: Any = "float64") -> float: ...
def check_backends(
    network: Network | Program,
    x: Any,
    y: Any = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    dtype: Any = "float64",
) -> float:
    """The worst relative difference between Numba and the interpreter, of a network or a program.

        max over T of   max |T_numba − T_numpy| / max(max |T_numpy|, FLOOR · max over given |T|)

    Of a network, T is all that a model gives: the prediction, the loss, its gradients, and loss and
    parameters after one training step by gradient descent with all rows. x, y and parameters are as
    for ``check_gradients``. Of a Program, ``check_backends(program, arrays)`` takes the given
    tensors by name and compares all that the compiled program stores.

    Infinite where one backend is finite and the other is not. Raises what ``check_gradients``
    raises.

    >>> from symprop import Dense
    >>> net = Network([Dense(3, activation="relu"), Dense(1)], inputs=2, loss="mse")
    >>> check_backends(net, [[0.5, -1.0]], [1.0]) < 1e-12
    True
    >>> arrays = {"x": [[0.5, -1.0]], "y": [[1.0]], "W1": np.ones((3, 2)), "b1": np.zeros(3)}
    >>> check_backends(net.forward, {**arrays, "W2": np.ones((1, 3)), "b2": [2.0]}) < 1e-12
    True
    """
    kind = data_type(dtype)
    if isinstance(network, Program):
        if not isinstance(x, Mapping) or y is not None or parameters is not None:
            raise ArgumentTypeError(
                "check_backends: expected check_backends(program, arrays) with a dict of the given "
                f"arrays by name, got {type(x).__name__}{' and y' if y is not None else ''}"
            )
        given = {name: number_array(name, array) for name, array in x.items()}
        expected, found = _program_results(network, given, kind)
    else:
        arrays = {"x": x, "y": y, **(parameters or {})}
        given = _network_arrays(_network(network), arrays, seed, kind)
        expected, found = (_model_results(network, b, given, kind) for b in ("numpy", "numba"))
    floor = FLOOR * max((float(np.abs(a).max(initial=0.0)) for a in given.values()), default=0.0)
    return max(
        (difference(found[name], expected[name], floor) for name in expected if name in found),
        default=0.0,
    )


def _program_results(
    program: Program, given: Mapping[str, Array], dtype: np.dtype[Any]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What the interpreter and what compiled code store."""
    from symprop.backends import numba

    return run(program, given, dtype), numba.run(program, given, dtype)


def _model_results(
    network: Network, backend: str, given: Mapping[str, Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    """All that a model computes: by the programs that train, simplified and stabilized."""
    data = dict(given)
    x, y = data.pop("x"), data.pop("y")
    model = Model(network, SGD(), dtype, backend=backend)
    model.set_parameters(data)
    loss, gradients = model.loss_and_gradients(x, y)
    found = {"prediction": model.predict(x), "loss": np.array([loss, model.evaluate(x, y)["loss"]])}
    found |= {f"gradient of {name}": gradient for name, gradient in gradients.items()}
    try:
        step = model.fit(x, y, batch_size=len(x)).loss
    except DivergenceError:  # compared, too
        step = [math.nan]
    found["loss of the step"] = np.array(step)
    return found | {f"{name} after the step": array for name, array in model.parameters.items()}


def difference(found: Array, expected: Array, floor: float = 0.0) -> float:
    """max |found − expected| / max(max |expected|, floor); infinite where only one is finite."""
    alike = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.where(alike, 0.0, np.abs(np.subtract(found, expected, dtype=np.float64)))
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(float(finite.max(initial=0.0)), floor, _TINY)
    return _number(gaps.max(initial=0.0) / scale)


def _number(error: Any) -> float:
    """NaN is the worst of errors."""
    return float("inf") if np.isnan(error) else float(error)


def _network(given: Any) -> Network:
    """A network; a model is not one."""
    if isinstance(given, Network):
        return given
    hint = ": use model.network" if isinstance(given, Model) else ""
    raise ArgumentTypeError(f"expected a Network to check, got {type(given).__name__}{hint}")


def _network_arrays(
    network: Network, given: Mapping[str, Any], seed: int, dtype: Any
) -> dict[str, Array]:
    """The arrays of a network: x and y as given, parameters as given or as they start."""
    kind, rest = np.dtype(dtype), dict(given)
    x = input_array(network, rest.pop("x", None), kind)
    y = target_array(network, rest.pop("y", None), len(x), kind)
    start = start_values(network.parameters, kind, np.random.default_rng(seed_number(seed)))
    return {"x": x, "y": y, **start, **parameter_arrays(network.parameters, rest, kind)}


def _tensor(program: Program, given: Tensor | str) -> Tensor:
    """The tensor of the program that is meant."""
    names = {str(tensor.label): tensor for tensor in program.tensors}
    if isinstance(given, Tensor):
        given = str(given.label)
    if not isinstance(given, str):
        raise ArgumentTypeError(f"expected a tensor or its name, got {given!r}")
    return names[known_name("tensor", given, names)]


def _worst(
    program: Program,
    arrays: Mapping[str, Array],
    of: Tensor,
    found: Mapping[str, Array],
    method: str,
    seed: int,
) -> float:
    """The worst relative error of the derivatives found, each tensor's relative to its largest."""
    if method not in METHODS:
        raise UnknownNameError(f"method: unknown name {method!r}; known are {', '.join(METHODS)}")
    generator = np.random.default_rng(seed_number(seed))
    reference = _Reference(prune(program, (of,)), arrays, str(of.label), method)
    errors, scales = [0.0], [0.0]
    for label, gradient in found.items():
        entries = _sampled(gradient.size, generator)
        slopes = np.array([reference.slope(label, entry) for entry in entries], np.float64)
        scales.append(float(np.abs(slopes).max(initial=0.0)))
        errors.append(reference.error(label, entries, gradient.ravel()[entries], slopes))
    floor = max(FLOOR * max(scales), _TINY)
    if not np.isfinite(scales).all():
        return float("inf")
    return max(error / max(scale, floor) for error, scale in zip(errors, scales, strict=True))


def _sampled(size: int, generator: np.random.Generator) -> Array:
    if size <= SAMPLES:
        return np.arange(size)
    return np.sort(generator.choice(size, SAMPLES, replace=False))


@dataclass(frozen=True)
class _Reference:
    """Derivatives of a program's scalar with respect to an entry, by runs of the program alone."""

    program: Program
    arrays: Mapping[str, Array]
    of: str
    method: str

    def value(self, label: str, entry: int, step: complex) -> Any:
        """The scalar with one entry moved."""
        kind = np.float64 if self.method == "central" else np.complex128
        moved = np.array(self.arrays[label], kind)
        moved.flat[entry] += step
        return run(self.program, {**self.arrays, label: moved}, kind)[self.of][()]

    def slope(self, label: str, entry: int, nudge: float = 0.0) -> float:
        """Im f(x + ih)/h, or (f(x + h) − f(x − h))/2h; the former a little beside x, if asked."""
        if self.method != "central":
            return float(self.value(label, entry, nudge + 1j * COMPLEX_STEP).imag / COMPLEX_STEP)
        h = self._relative(CENTRAL_STEP, label, entry)
        return float((self.value(label, entry, h) - self.value(label, entry, -h)) / (2 * h))

    def sides(self, label: str, entry: int) -> tuple[float, float]:
        """The slopes left and right of x."""
        if self.method == "auto":
            nudge = self._relative(NUDGE, label, entry)
            return self.slope(label, entry, -nudge), self.slope(label, entry, nudge)
        h = self._relative(CENTRAL_STEP, label, entry)
        before, here, after = (self.value(label, entry, step) for step in (-h, 0, h))
        return float((here - before) / h), float((after - here) / h)

    def error(self, label: str, entries: Array, gradient: Array, slopes: Array) -> float:
        """max |g − r|, at a kink the distance of g to the interval between both sides' slopes."""
        errors = np.abs(gradient - slopes)
        limit = EXACT * float(np.abs(slopes).max(initial=0.0))
        for i in np.flatnonzero(~(errors <= limit)) if self.method != "complex" else ():
            low, high = sorted(self.sides(label, entries[i]))
            if high - low > KINK[self.method] * max(abs(low), abs(high)):
                errors[i] = np.fmin(errors[i], max(low - gradient[i], gradient[i] - high, 0.0))
        return _number(errors.max(initial=0.0))

    def _relative(self, step: float, label: str, entry: int) -> float:
        return step * max(1.0, abs(float(np.asarray(self.arrays[label]).flat[entry])))
