"""What is generated for Numba computes what the interpreter computes."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sympy
from symprop import Dense, Network
from symprop.activations import ACTIVATIONS, Elementwise
from symprop.adjoint import backward
from symprop.backends import Batches, numba_source
from symprop.backends import numba as compiled
from symprop.backends import numpy as interpreter
from symprop.backends.numba import NumbaExecutable
from symprop.backends.numba_nest import Names
from symprop.backends.numba_scalar import PRODUCTS, VECTORIZABLE
from symprop.backends.numpy import FUNCTIONS, NumpyExecutable
from symprop.errors import DataError
from symprop.losses import LOSSES, prediction
from symprop.losses import target as wanted
from symprop.passes.functions import erfc_product, exp_product, sech2
from symprop.primitives import (
    Absolute,
    Equal,
    Floor,
    Greater,
    GreaterEqual,
    Maximum,
    Minimum,
    Select,
    Sign,
)
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from sympy import Symbol
from sympy.codegen.cfunctions import expm1, log1p

from cases import PROGRAMS, Array, draw

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
COMPARED = (
    "conv2d-stride2-padded",
    "max-pool-overlapping",
    "embedding",
    "layer-norm",
    "attention",
    "rnn-last",
    "rnn-reverse",
    "running-product",
    "repeated-tensor",
    "adam-in-place",
)


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMPROP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def assert_same(found: Mapping[str, Array], expected: Mapping[str, Array], dtype: str) -> None:
    """Every tensor agrees, relative to its largest element, NaN and infinity exactly."""
    assert found.keys() == expected.keys()
    for label, array in expected.items():
        assert found[label].dtype == array.dtype, label
        finite = np.abs(array[np.isfinite(array)]) if array.size else array
        scale = max(finite.max(initial=0.0), 1e-30)
        np.testing.assert_allclose(
            found[label], array, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=label
        )


def compare(program: Program, arrays: Mapping[str, Any], dtype: str) -> dict[str, Array]:
    """The one door: both backends on the same program and arrays."""
    expected = interpreter.run(program, arrays, dtype)
    found = compiled.run(program, arrays, dtype)
    assert_same(found, expected, dtype)
    return found


@pytest.mark.parametrize("name", COMPARED)
def test_programs_and_their_adjoints_meet_the_interpreter(name: str) -> None:
    case = PROGRAMS[name]
    compare(case.program + backward(case.program, case.of, case.wrt), case.arrays, "float64")


def test_second_derivatives_meet_the_interpreter() -> None:
    case = PROGRAMS["kinks"]
    once = case.program + backward(case.program, case.of, case.wrt)
    scope = Scope()
    scope.adopt(*once.tensors)
    (slope,) = once.outputs[-1:]
    square = scope.tensor("square")
    scope.define(square[()], slope[slope.axes] ** 2, over=slope.axes)
    twice = once + scope.freeze()
    compare(twice + backward(twice, square, case.wrt), case.arrays, "float64")


ARGUMENTS = sympy.symbols("x unit above")


def functions_of(x: sympy.Expr, unit: sympy.Expr, above: sympy.Expr) -> dict[str, sympy.Expr]:
    """Each function of FUNCTIONS, on the arguments for which it is defined."""
    everywhere = ("exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "erfc", "atan")
    found = {name: getattr(sympy, name)(x) for name in (*everywhere, "asinh")}
    found |= {name: getattr(sympy, name)(unit) for name in ("asin", "acos", "atanh")}
    found |= {"acosh": sympy.acosh(above), "log": sympy.log(above)}
    found |= {"log1p": log1p(unit), "expm1": expm1(unit)}
    pairs = (Greater, GreaterEqual, Equal, Maximum, Minimum)
    found |= {pair.__name__: pair(x, unit) for pair in pairs}
    found |= {"Sign": Sign(x), "Absolute": Absolute(x), "Select": Select(Greater(x, 0), unit, x)}
    found |= {"sech2": sech2(x), "Floor": Floor(x, above)}
    found |= {f.__name__: f(unit, x, above) for f in (exp_product, erfc_product)}
    return found


def pointwise(values: Mapping[str, Any], size: int) -> Program:
    """One equation for each value, all over the same points."""
    scope = Scope()
    i = index("i", size)
    given = [scope.tensor(name, (i,), role="input") for name in ("x", "unit", "above")]
    for name, value in values.items():
        at = value(*(tensor[i] for tensor in given))
        scope.define(scope.tensor(f"y_{name}", (i,))[i], at)
    return scope.freeze()


def points() -> dict[str, Array]:
    x = np.array([-3.5, -1.0, -0.75, -0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 6.0])
    return {"x": x, "unit": np.tanh(x) * 0.9, "above": np.abs(x) + 1.5}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_scalar_function_meets_the_interpreter(dtype: str) -> None:
    found = functions_of(*ARGUMENTS)
    assert found.keys() == FUNCTIONS.keys()
    values = {
        name: lambda *at, v=value: v.xreplace(dict(zip(ARGUMENTS, at, strict=True)))
        for name, value in found.items()
    }
    compare(pointwise(values, 10), points(), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_powers_meet_the_interpreter(dtype: str) -> None:
    exponents = [2, 3, 5, 12, -1, -2, -3] + [sympy.Rational(n, 2) for n in (1, -1, 3, -3, 5)]
    values: dict[str, Any] = {
        f"p{n}": lambda x, unit, above, e=e: above**e for n, e in enumerate(exponents)
    }
    values["root"] = lambda x, unit, above: above ** sympy.Rational(1, 3)
    values["general"] = lambda x, unit, above: above**x + sympy.pi**unit
    values["mixed"] = lambda x, unit, above: (x + unit) ** 4 / (above * (x - 7)) - x / 3
    compare(pointwise(values, 10), points(), dtype)


def test_every_activation_and_loss_with_its_derivative_meets_the_interpreter() -> None:
    z, y = ACTIVATIONS["tanh"].expression.args[0], wanted
    values = {}
    for name, activation in ACTIVATIONS.items():
        if isinstance(activation, Elementwise):
            for kind, value in (("", activation.expression), ("_1", activation.expression.diff(z))):
                values[f"{name}{kind}"] = lambda x, unit, above, v=value: sympy.sympify(v).xreplace(
                    {z: x}
                )
    for name, loss in LOSSES.items():
        value = loss.expression.xreplace({Symbol("outputs", integer=True, positive=True): 3})
        for kind, v in (("", value), ("_1", value.diff(prediction))):
            values[f"{name}{kind}"] = lambda x, unit, above, v=v: sympy.sympify(v).xreplace(
                {prediction: unit**2 + sympy.Rational(1, 10), y: above}
            )
    compare(pointwise(values, 10), points(), "float64")


def test_nan_and_infinity_go_where_the_interpreter_sends_them() -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, np.nan, -2.0, 3.0, np.inf])
    other = np.array([0.0, np.nan, 1.0, np.nan, 0.0, np.inf, np.nan, -np.inf, 3.0, np.inf])
    values = {
        "max": lambda x, u, a: Maximum(x, u),
        "min": lambda x, u, a: Minimum(x, u),
        "relu": lambda x, u, a: Maximum(x, 0),
        "sign": lambda x, u, a: Sign(x),
        "abs": lambda x, u, a: Absolute(x),
        "greater": lambda x, u, a: Greater(x, u) + 2 * GreaterEqual(x, u) + 4 * Equal(x, u),
        "select": lambda x, u, a: Select(Greater(x, 0), sympy.log(x), u),
        "weighted": lambda x, u, a: Greater(x, 0) * u,
        "quotient": lambda x, u, a: x / u,
        "same": lambda x, u, a: Equal(x, x),
        "exp": lambda x, u, a: sympy.exp(x) + sympy.tanh(u),
    }
    program = pointwise(values, 10)
    scope = Scope()
    scope.adopt(*program.tensors)
    i = index("i", 10)
    x, top = program.named("x"), scope.tensor("top")
    each = scope.tensor("each", (index("n", 1), i))
    scope.define(top[()], x[i], over=(i,), reduce="max")
    scope.define(each[0, i], x[i], reduce="max")
    found = compare(
        program + scope.freeze(), {"x": special, "unit": other, "above": other}, "float64"
    )
    assert np.isnan(found["top"])
    assert np.isnan(found["y_abs"]).sum() == 2


def network(activation: str = "relu") -> Network:
    layers = [Dense(48, activation=activation), Dense(5, activation="softmax")]
    return Network(layers, inputs=40, loss="cross_entropy")


def executables(net: Network, optimizer: str, dtype: str) -> list[tuple[Any, dict[str, Array]]]:
    """Compiled and interpreted, over equal arrays of their own."""
    found = []
    for kind in (NumbaExecutable, NumpyExecutable):
        values = {}
        for seed, tensor in enumerate(net.step(optimizer).tensors):
            shape = tuple(int(size) for size in tensor.shape if size.is_Integer)
            if tensor.role == "parameter":
                values[tensor.name] = draw(seed, *shape, low=-0.3, high=0.3).astype(dtype)
            elif tensor.role in ("state", "counter"):
                counted = "int64" if tensor.role == "counter" else dtype
                values[tensor.name] = np.full(shape, tensor.init, counted)
        found.append((kind(net, optimizer, np.dtype(dtype), values), values))
    return found


@pytest.mark.parametrize(("optimizer", "dtype"), [("sgd", "float32"), ("adam", "float64")])
def test_training_meets_the_interpreter(optimizer: str, dtype: str) -> None:
    net = network()
    (fast, values), (slow, expected) = executables(net, optimizer, dtype)
    fast.lower()
    before = dict(values)
    x, y = draw(1, 70, 40).astype(dtype), np.eye(5, dtype=dtype)[np.arange(70) % 5]
    rows, seeds = np.arange(3, 70), np.array([5, 6], np.uint64)
    here, there = (Batches.of(x, y, rows, seeds, 32, epochs=2) for _ in range(2))
    fast.train(here, 0, 2)
    fast.train(here, 2, 6)
    slow.train(there, 0, 6)
    np.testing.assert_allclose(here.losses, there.losses, rtol=TOLERANCE[dtype])
    assert (here.order == there.order).all()
    assert sorted(here.order) == list(rows)
    assert_same(values, expected, dtype)
    assert all(values[label] is array for label, array in before.items())
    assert "def train(" in fast.source


def test_prediction_loss_and_gradients_meet_the_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "WORK", 1)
    monkeypatch.setattr(compiled, "LEAST_ROWS", 16)
    (fast, _), (slow, _) = executables(network("tanh"), "sgd", "float64")
    x, y = draw(1, 70, 40), np.eye(5)[np.arange(70) % 5]
    np.testing.assert_allclose(fast.predict(x), slow.predict(x), rtol=1e-12)
    assert fast.loss(x, y) == pytest.approx(slow.loss(x, y), rel=1e-12)
    (loss, found), (other, expected) = fast.gradients(x, y), slow.gradients(x, y)
    assert loss == pytest.approx(other, rel=1e-12)
    assert_same(found, expected, "float64")


def test_a_float32_program_computes_nothing_in_float64() -> None:
    import numba

    case = PROGRAMS["adam-in-place"]
    program = case.program + backward(case.program, case.of, case.wrt)
    compiled.run(program, case.arrays, np.float32)
    module = compiled.load(compiled.source_of(program, np.float32)).module
    kernels = [f for f in vars(module).values() if isinstance(f, numba.core.dispatcher.Dispatcher)]
    signatures = [
        signature
        for kernel in kernels
        for overload in kernel.overloads.values()
        for signature in overload.type_annotation.calltypes.values()
        if signature is not None
    ]
    assert len(signatures) > 50
    assert not [s for s in signatures if "float64" in str(s.return_type)]


def test_an_integer_out_of_range_is_refused() -> None:
    case = PROGRAMS["embedding"]
    (label,) = (str(label) for label in case.program.gathers)
    wrong = case.arrays[label].copy()
    wrong.flat[1] = 1000
    with pytest.raises(DataError, match=rf"{label}.* is 1000, .* runs from 0 to \d+"):
        compiled.run(case.program, {**case.arrays, label: wrong})
    wrong.flat[1] = -1
    with pytest.raises(DataError, match=r"is -1,"):
        compiled.run(case.program, {**case.arrays, label: wrong})


def test_given_arrays_are_not_changed() -> None:
    case = PROGRAMS["running-product"]
    compiled.run(case.program, case.arrays)
    assert case.arrays["s"] == 0.3


def test_names_never_clash_with_python_or_generated_code() -> None:
    scope = Scope()
    i = index("range", BATCH)
    names = ("np", "F", "math", "lambda", "nest_1", "v_0", "range", "print", "i_m", "run", "def")
    for number, name in enumerate(names):
        tensor = scope.tensor(name, (i,), role="input" if not number else "intermediate")
        if number:
            before = scope.freeze().named(names[number - 1])
            scope.define(tensor[i], before[i] + BATCH)
    program = scope.freeze()
    loss = scope.tensor("d_np")
    scope.define(loss[()], tensor[i] ** 2, over=(i,))
    program = scope.freeze()
    compare(
        program + backward(program, loss, (program.named("np"),)), {"np": [1.0, 2.0]}, "float64"
    )


def test_equal_layers_share_their_kernels() -> None:
    def kernels(depth: int) -> int:
        net = Network([Dense(16, activation="tanh")] * depth + [Dense(2)], inputs=16, loss="mse")
        return compiled.source_of(net.step("adam"), np.float32).count("@kernel")

    assert kernels(12) == kernels(6)


def test_names_are_python_names() -> None:
    names = Names([Symbol("W1"), Symbol("W1′1"), Symbol("W1′2"), Symbol("d_W1"), Symbol("if")])
    assert list(names._names.values()) == ["W1", "d_W1", "d2_W1", "d_W1_", "if_"]


def test_no_tensor_takes_a_name_of_generated_code() -> None:
    own = {name for names in numba_source.FUNCTIONS.values() for name in names}
    head = ast.parse(numba_source.PREAMBLE.format(title="", dtype="float64", imports=""))
    assigned = {t.id for n in head.body if isinstance(n, ast.Assign) for t in n.targets}
    imports = [n for n in head.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    own |= assigned | {a.asname or a.name for n in imports for a in n.names}
    own |= {*PRODUCTS, *VECTORIZABLE, "s_2_0", "w_1", "product32x4"}
    assert {"strips32", "np", "OPTIONS", "exp"} <= own
    names = Names(map(Symbol, sorted(own)))
    assert own.isdisjoint(names.labels)
