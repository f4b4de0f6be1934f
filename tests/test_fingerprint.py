"""Programs as files: whatever decides the code decides which file, and a file spares the work."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from symprop import SGD, Adam, BatchNorm, Dense, Dropout, Network, Residual
from symprop.activations import ARGUMENT
from symprop.backends import numba_cache, numba_compile, numba_programs
from symprop.backends.numba import NumbaExecutable
from symprop.fingerprint import fingerprint
from symprop.lowering import EVERYTHING, Lowering
from symprop.network import Network as Declared
from symprop.optimizers.base import Descent
from symprop.scope import Scope
from symprop.tensor import Tensor
from sympy import Dummy, Float, Function, Rational, Symbol, exp, sin


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, of this test alone."""
    path = tmp_path / "cache"
    monkeypatch.setenv("SYMPROP_CACHE", str(path))
    return path


LAYERS = [Dense(3, "tanh"), Dense(2)]
X, Y = np.linspace(-1, 1, 40).reshape(10, 4), np.linspace(0, 1, 20).reshape(10, 2)


def net(layers: Any = LAYERS, inputs: int = 4, loss: Any = "mse", **given: Any) -> Network:
    return Network(layers, inputs, loss, **given)


@dataclass(frozen=True)
class Own(Descent):
    """One that a user may write, and then change without another name."""

    factor: float = 2.0

    def _step(self, scope: Scope, parameter: Tensor, g: Any, rate: Any, shared: Any) -> None:
        target = parameter[parameter.axes]
        scope.define(target, target - self.factor * rate * g, reduce="set")


PLAIN = SGD()
z = ARGUMENT


def programs(
    network: Network, optimizer: Any = PLAIN, dtype: str = "float64", lowering: Any = EVERYTHING
) -> numba_programs.Programs:
    return numba_programs.Programs(network, optimizer, np.dtype(dtype), lowering)


DIFFERENT: list[tuple[Any, ...]] = [
    (net(),),
    (net([Dense(3, "relu"), Dense(2)]),),
    (net([Dense(3, z / (1 + exp(-z))), Dense(2)]),),
    (net([Dense(3, z / (1 + exp(-2 * z))), Dense(2)]),),
    (net([Dense(3, sin(z)), Dense(2)]),),
    (net([Dense(4, "tanh"), Dense(2)]),),
    (net([Dense(3, "tanh"), Dense(2, bias=False)]),),
    (net([Dense(3, "tanh"), Dense(3), Dense(2)]),),
    (net([Dense(3, "tanh"), Dropout(0.1), Dense(2)]),),
    (net([Dense(3, "tanh"), Dropout(0.2), Dense(2)]),),
    (net([Dense(3, "tanh"), BatchNorm(), Dense(2)]),),
    (net([Dense(3, "tanh"), BatchNorm(epsilon=0.1), Dense(2)]),),
    (net([Dense(3, "tanh"), BatchNorm(momentum=0.5), Dense(2)]),),
    (net([Dense(4, "tanh"), Residual([Dense(4)]), Dense(2)]),),
    (net(inputs=5),),
    (net(loss="mae"),),
    (net(l1=0.1),),
    (net(l2=0.1),),
    (net().weighted,),
    (net(), Adam()),
    (net(), SGD(momentum=0.5)),
    (net(), SGD(clip_norm=1.0)),
    (net(), Own(factor=3.0)),
    (net(), Own(factor=2.0)),
    (net(), SGD(), "float32"),
    (net(), SGD(), "float64", Lowering(fusion=False)),
    (net(), SGD(), "float64", Lowering(threads=2)),
    (net(), SGD(), "float64", Lowering(exact_slopes=True)),
]


def test_whatever_decides_the_code_decides_the_key() -> None:
    keys = [programs(*given)._key for given in DIFFERENT]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert keys == [programs(*given)._key for given in DIFFERENT]


def test_what_another_initializer_or_rate_starts_from_does_not() -> None:
    layers = [Dense(3, "tanh", initializer="glorot_uniform"), Dense(2)]
    assert programs(net(layers))._key == programs(net())._key
    assert programs(net(), SGD(0.5))._key == programs(net())._key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Symbol("x"), Symbol("x", real=True)),
        (Symbol("x"), Dummy("x")),
        (Dummy("x"), Dummy("x")),
        (Float("0.1"), Float("0.1", 30)),
        (Float(0.5), Rational(1, 2)),
        (("ab", "c"), ("a", "bc")),
        ((1, (2,)), ((1, 2),)),
        ((1,), (True,)),
        (("x",), (Symbol("x"),)),
        (Symbol("x") + 2 * Symbol("y"), 2 * Symbol("x") + Symbol("y")),
    ],
)
def test_what_differs_has_another_fingerprint(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one) is not None


def test_a_function_of_a_users_own_has_no_fingerprint() -> None:
    class Mine(Function):  # type: ignore[misc]
        def fdiff(self, argindex: int = 1) -> Any:
            return 2 * self.args[0]

    for function in (Mine, Function("mine")):
        assert fingerprint(Symbol("x"), function(Symbol("x")) + 1) is None
    assert fingerprint(object()) is None


def trained(network: Network, optimizer: str = "adam") -> list[Any]:
    """What a new model predicts, its loss and gradients, and what two epochs make of it."""
    model = network.compile(optimizer, "float64")
    loss, gradients = model.loss_and_gradients(X, Y)
    found = [model.predict(X), model.evaluate(X, Y)["loss"], loss, *gradients.values()]
    model.fit(X, Y, epochs=2, batch_size=4)
    return [np.array(array).tobytes() for array in (*found, *model.parameters.values())]


def refusing(what: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        pytest.fail(f"{what} again")

    return refuse


@pytest.mark.parametrize(
    "layers",
    [
        LAYERS,
        [Dense(3, "relu"), BatchNorm(), Dropout(0.3), Dense(2)],
        [Dense(8, "tanh"), *[Residual([Dense(8, "tanh")])] * 5, Dense(2)],
    ],
)
def test_a_second_start_derives_and_lowers_nothing(
    layers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained(net(layers))
    monkeypatch.setattr(Declared, "raw_gradients", property(refusing("derived")))
    monkeypatch.setattr(numba_programs.Planned, "of", refusing("lowered"))
    assert trained(net(layers)) == first


def test_a_file_keeps_no_function(folder: Path) -> None:
    """An initializer may be any function: no file could hold it."""
    layers = [Dense(3, "tanh", initializer=lambda shape, _: np.ones(shape)), Dense(2)]
    programs(net(layers)).lowered("train")
    assert list(folder.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps(3), pickle.dumps(replace), b"cno_such_module\nthing\n."],
)
def test_what_is_no_program_is_written_anew(content: bytes, folder: Path) -> None:
    expected = programs(net()).lowered("loss")
    (path,) = folder.iterdir()
    numba_cache.write(bytes.fromhex(path.stem), content)
    assert programs(net()).lowered("loss").text == expected.text
    assert numba_programs._read(bytes.fromhex(path.stem)) == expected


def test_without_a_directory_everything_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(net())
    monkeypatch.setenv("SYMPROP_CACHE", "/dev/null/nowhere")
    assert trained(net()) == expected
    assert numba_cache.directory() is None


def test_matrices_lie_as_the_code_expects_whichever_program_comes_first() -> None:
    network = net([Dense(32, "tanh"), Dense(2)])
    values = network.compile("adam", "float32").values
    found = []
    for name in ("train", "predict"):
        executable = NumbaExecutable(network, Adam(), "float32", dict(values))
        executable._entry(name)
        executable._entry("loss")
        found.append(sorted(executable._turned))
    assert found[0] == found[1] != []


def test_a_network_that_derives_in_its_own_way_has_no_key() -> None:
    class Thrice(Declared):
        @property
        def raw_gradients(self) -> Any:
            return super().raw_gradients

    own = Thrice(LAYERS, 4, "mse")
    assert own.forward == net().forward
    assert programs(own)._key is None


def test_a_file_that_was_changed_since_it_was_read_names_no_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What runs is what was read before: another process must not take it for the new."""
    digests = [numba_compile.versions.__wrapped__() for _ in range(2)]
    assert digests[0] == digests[1]
    monkeypatch.setattr(numba_compile, "SINCE", 0.0)
    digests += [numba_compile.versions.__wrapped__() for _ in range(2)]
    assert len(set(digests)) == 3
