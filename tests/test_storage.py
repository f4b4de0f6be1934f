"""Saved models: what comes back is the same, and what is no model is refused."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import symprop.storage
import sympy
from symprop import SGD, Adam, Dense, Network, load, prediction, target
from symprop.activations import ACTIVATIONS
from symprop.errors import ArgumentTypeError, ModelFileError
from symprop.losses import LOSSES, Loss
from symprop.storage import decode, encode

RNG = np.random.default_rng(5)
X = RNG.normal(size=(30, 3))
Y = RNG.normal(size=(30, 2))
Z = sympy.Symbol("q")
CUSTOM = sympy.Piecewise((sympy.tanh(Z) * sympy.pi / 3, Z > 1), (sympy.Max(Z, -1) ** 3, True))


def model(**settings):
    layers = [Dense(4, activation=CUSTOM), Dense(2, activation="gelu", bias=False)]
    loss = sympy.log(sympy.cosh(prediction - target)) + sympy.Rational(1, 3)
    net = Network(layers, inputs=3, loss=loss)
    return net.compile(**{"optimizer": "adam", "backend": "numpy", "seed": 2, **settings})


def values(given):
    return {label: array.tobytes() for label, array in given.values.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["adam", SGD(0.05, momentum=0.9, nesterov=True)])
def test_loaded_model_predicts_and_goes_on_training_the_same(tmp_path, dtype, optimizer):
    saved = model(dtype=dtype, optimizer=optimizer)
    saved.fit(X, Y, epochs=2, batch_size=7)
    path = tmp_path / "line.model"
    saved.save(path)
    loaded = load(path)
    assert (loaded.predict(X) == saved.predict(X)).all()
    assert loaded.network == saved.network
    assert repr(loaded) == repr(saved)
    assert saved.fit(X, Y, 3, 7, validation=0.2) == loaded.fit(X, Y, 3, 7, validation=0.2)
    assert values(saved) == values(loaded)


def test_model_that_diverged_is_saved_as_it_is(tmp_path):
    saved = model()
    saved.values["W1"][0, 0] = np.nan
    saved.save(tmp_path / "m")
    assert values(load(tmp_path / "m")) == values(saved)


@pytest.mark.parametrize(
    "declared", [*ACTIVATIONS.values(), *LOSSES.values()], ids=lambda d: d.name
)
def test_every_built_in_definition_comes_back(declared):
    assert decode(json.loads(json.dumps(encode(declared)))) == declared


@pytest.mark.parametrize(
    "declared",
    [
        Dense(3, activation=sympy.exp(-(Z**2)) * sympy.erf(Z)),
        Dense(3, activation=sympy.atan(Z) + sympy.E * sympy.sign(Z)),
        Dense(3, initializer="he_normal"),
        Adam(np.float32(0.5)),
        SGD(sympy.Rational(1, 3)),
        SGD(1),
    ],
    ids=str,
)
def test_other_declarations_come_back(declared):
    assert decode(json.loads(json.dumps(encode(declared)))) == declared


class Strange(Dense):
    """A layer of somebody else's."""


def test_class_that_is_not_known_is_refused_and_nothing_is_written(tmp_path):
    net = Network([Strange(2)], inputs=3, loss="mse")
    with pytest.raises(ArgumentTypeError, match="save: cannot store Strange"):
        net.compile(backend="numpy").save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_function_that_is_not_known_is_refused():
    with pytest.raises(ArgumentTypeError, match="save: cannot store zeta zeta"):
        encode(Loss("mine", sympy.zeta(prediction)))
    with pytest.raises(ArgumentTypeError, match="save: cannot store Symbol q"):
        encode(Z + 1)


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m"
    saved = model()
    saved.save(path)
    before = path.read_bytes()

    def fails(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(symprop.storage.np, "savez", fails)
    with pytest.raises(OSError, match="disk full"):
        saved.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_path_may_be_text_of_any_suffix(tmp_path):
    path = f"{tmp_path}/a model"
    model().save(path)
    assert load(path).network == model().network


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


class Fires:
    fired = False

    def __reduce__(self):
        return (setattr, (Fires, "fired", True))


def tampered(tmp_path, change):
    """A saved model with its declaration and its arrays changed."""
    model().save(tmp_path / "m")
    with np.load(tmp_path / "m") as archive:
        arrays = dict(archive)
    tree = json.loads(arrays.pop("declaration").tobytes())
    change(tree, arrays)
    text = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    with (tmp_path / "m").open("wb") as file:
        np.savez(file, declaration=text, **arrays)
    return tmp_path / "m"


def set_class(tree, arrays):
    tree["optimizer"]["class"] = "Popen"


def set_function(tree, arrays):
    tree["network"]["fields"]["loss"]["fields"]["expression"] = {
        "function": "sympify",
        "arguments": ["1"],
    }


def set_optimizer(tree, arrays):
    tree["optimizer"]["fields"]["learning_rate"] = -1


def set_network(tree, arrays):
    tree["network"] = tree["optimizer"]


def set_entry(tree, arrays):
    tree["optimizer"] = {"eval": "1"}


def set_generator(tree, arrays):
    tree["generator"]["bit_generator"] = "MT19937"


def set_objects(tree, arrays):
    arrays["values/W1"] = np.array([Fires()], object)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_class, "Popen"),
        (set_function, "sympify"),
        (set_optimizer, "learning_rate: expected more than 0, got -1"),
        (set_network, "expected a Network, found Adam"),
        (set_entry, "unknown entry ['eval'] in the declaration"),
        (set_generator, "PCG64"),
        (set_objects, "values/W1 holds Python objects, not numbers"),
        (lambda tree, arrays: tree.pop("seed"), "seed"),
        (
            lambda tree, arrays: tree.update(format="symprop model 9"),
            "expected the format 'symprop model 1', found 'symprop model 9'",
        ),
        (lambda tree, arrays: arrays.pop("values/W1"), "missing or not declared: values/W1"),
        (lambda tree, arrays: arrays.update(more=np.zeros(1)), "missing or not declared: more"),
        (
            lambda tree, arrays: arrays.update({"values/b1": np.zeros(5, np.float32)}),
            "b1: expected float32 of shape (4,), found float32 of shape (5,)",
        ),
        (
            lambda tree, arrays: arrays.update({"values/b1": np.zeros(4)}),
            "b1: expected float32 of shape (4,), found float64 of shape (4,)",
        ),
    ],
)
def test_file_that_does_not_fit_together_is_refused(tmp_path, change, words):
    path = tampered(tmp_path, change)
    expected = "is not a model that symprop saved: .*" + re.escape(words)
    with pytest.raises(ModelFileError, match=expected):
        load(path)
    assert not Fires.fired


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"PK\x03\x04", pickle.dumps(Fires()), b"\x93NUMPY\x01\x00v\x00"],
    ids=["empty", "text", "zip", "pickle", "npy"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="other: is not a model that symprop saved"):
        load(path)
    assert not Fires.fired


def test_damaged_files_are_refused(tmp_path):
    """Cut off or with a flipped byte in any place: an error of ours, or the very same model."""
    path = tmp_path / "m"
    saved = model()
    saved.save(path)
    content = path.read_bytes()
    for position in range(0, len(content), 97):
        for damaged in (
            content[:position],
            content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :],
        ):
            path.write_bytes(damaged)
            try:
                loaded = load(path)
            except ModelFileError:
                continue
            assert values(loaded) == values(saved)


@pytest.mark.parametrize("content", [pickle.dumps([1]), b"", b"\x93NUMPY\x01\x00"])
def test_foreign_file_is_refused_without_advice_to_unpickle_it(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(
        ModelFileError, match="foreign: is not a model that symprop saved"
    ) as caught:
        load(path)
    assert "pickle" not in str(caught.value)


def test_missing_folder_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "missing" / "m"
    with pytest.raises(FileNotFoundError, match="its folder does not exist") as caught:
        model().save(path)
    assert caught.value.filename == str(path)
