"""Saved models: what comes back is the same, and what is no model is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import threading
import time
import tracemalloc

import numpy as np
import pytest
import symprop.archive
import sympy
from symprop import SGD, Adam, Dense, Network, load, prediction, target
from symprop.activations import ACTIVATIONS
from symprop.archive import MAGIC, VERSION, packed, unpacked
from symprop.cut import Cut, Progress
from symprop.errors import ArgumentError, ArgumentTypeError, ModelFileError
from symprop.history import History
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

    def fails(number):
        raise OSError("disk full")

    monkeypatch.setattr(symprop.archive.os, "fsync", fails)
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


def tampered(tmp_path, change, saved=None):
    """A saved model with its header and its arrays changed, and a right digest."""
    path = tmp_path / "m"
    (saved or model()).save(path)
    header, arrays = unpacked(path.read_bytes())
    change(header, arrays)
    path.write_bytes(b"".join(packed(header, arrays)))
    return path


def set_in(*way, to):
    """A change of one entry of the header."""

    def change(header, arrays):
        for name in way[:-1]:
            header = header[name]
        header[way[-1]] = to

    return change


NETWORK, LOSS = ("declaration", "network"), ("declaration", "network", "fields", "loss")
OPTIMIZER = ("declaration", "optimizer")
EXPRESSION = (*LOSS, "fields", "expression")
LAYER = (*NETWORK, "fields", "layers", 0, "fields")
ACTIVATION = (*LAYER, "activation", "fields")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_in(*OPTIMIZER, "class", to="Popen"), "Popen"),
        (set_in(*EXPRESSION, to={"function": "sympify", "arguments": []}), "sympify"),
        (set_in(*OPTIMIZER, "fields", "learning_rate", to=-1), "learning_rate: expected more than"),
        (set_in(*NETWORK, to=encode(Adam())), "expected a Network, found Adam"),
        (set_in(*OPTIMIZER, to={"eval": "1"}), "unknown entry ['eval'] in the declaration"),
        (set_in("generator", "bit_generator", to="MT19937"), "PCG64"),
        (set_in(*ACTIVATION, "latex", to=r"\input{x}"), "'custom' is not as symprop declares it"),
        (set_in(*LOSS, "fields", "name", to="<b>"), "'<b>' is not as symprop declares it"),
        (set_in(*LOSS, "fields", "name", to="x" * 201), "a name of 201 letters"),
        (set_in("dtype", to="O"), "dtype"),
        (set_in("seed", to=-1), "seed: expected at least 0"),
        (set_in("backend", to="os"), "backend"),
        (set_in("progress", "epoch", to=-1), "the numbers of epochs and batches are no numbers"),
        (set_in("history", to=[{"loss": "<script>"}]), "the history is no list of numbers"),
        (lambda header, arrays: header.pop("seed"), "seed"),
        (lambda header, arrays: arrays.pop("values/W1"), "missing or not declared: values/W1"),
        (lambda header, arrays: arrays.update(x=np.zeros(1)), "missing or not declared: x"),
        (
            lambda header, arrays: arrays.update({"values/b1": np.zeros(5, np.float32)}),
            "b1: expected float32 of shape (4,), found float32 of shape (5,)",
        ),
        (
            lambda header, arrays: arrays.update({"values/b1": np.zeros(4)}),
            "b1: expected float32 of shape (4,), found float64 of shape (4,)",
        ),
    ],
)
def test_file_that_does_not_fit_together_is_refused(tmp_path, change, words):
    path = tampered(tmp_path, change)
    expected = "is not a model that symprop saved: .*" + re.escape(words)
    with pytest.raises(ModelFileError, match=expected):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"rows": "30"},
        {"batch_size": 0},
        {"batch": 6},
        {"batch": -1},
        {"shuffle": 1},
        {"seed": None},
        {"seed": 2**64},
        {"loss": "0"},
        {"more": 0},
        {"batch": 0},
    ],
    ids=str,
)
def test_unfinished_epoch_that_cannot_be_is_refused(tmp_path, change):
    saved = model()
    cut = Cut(rows=30, batch_size=7, shuffle=True, seed=3, batch=2, loss=1.0)
    saved.go_on(Progress(1, 7, cut), History())
    path = tampered(tmp_path, lambda header, arrays: None, saved)
    assert load(path).progress == saved.progress
    path = tampered(
        tmp_path, lambda header, arrays: header["progress"]["cut"].update(change), saved
    )
    with pytest.raises(ModelFileError):
        load(path)


def power(base, exponent):
    return {"function": "Pow", "arguments": [base, exponent]}


def number(p, q=1):
    return {"rational": [str(p), str(q)]}


def call(name, *arguments):
    return {"function": name, "arguments": list(arguments)}


ARG = {"symbol": "prediction"}
NINE, MANY = number(9), number(10**9)


def nested(levels):
    """As text: json's own writer is not deep enough."""
    return '{"function": "sin", "arguments": [' * levels + json.dumps(ARG) + "]}" * levels


HOSTILE = {
    "tower": power(NINE, power(NINE, NINE)),
    "product in a power": power(call("Mul", number(2), ARG), MANY),
    "exponential of a logarithm": call("exp", call("Mul", MANY, call("log", number(2)))),
    "the same with symbols": call("exp", call("Mul", MANY, call("log", call("Mul", NINE, ARG)))),
    "exponentials of numbers": call("exp", call("exp", call("exp", call("exp", number(5))))),
    "power of powers": power(power(call("Mul", number(2), ARG), number(10**6)), number(10**6)),
    "long number": number("9" * 5000),
    "deep": nested(5000),
    "less deep": nested(200),
    "wide": call("Add", *(call("Mul", number(n), ARG) for n in range(1, 3000))),
    "no number": number(1, 0),
    "text as a number": number("1e9"),
    "complex": call("tan", power(call("log", call("asin", number(10**6))), ARG)),
    "functions of numbers": call("log", call("atanh", call("sin", call("tan", number(2))))),
    "no object": ["Add"],
    "two in one": {"symbol": "prediction", "function": "Add", "arguments": []},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_expression_that_would_be_computed_for_ever_is_refused_at_once(tmp_path, name):
    path = tmp_path / "m"
    model().save(path)
    header, arrays = unpacked(path.read_bytes())
    header["declaration"]["network"]["fields"]["loss"]["fields"]["expression"] = "HERE"
    text = HOSTILE[name] if isinstance(HOSTILE[name], str) else json.dumps(HOSTILE[name])
    whole = b"".join(packed(header, arrays))
    path.write_bytes(sealed(whole.replace(b'"HERE"', text.encode())))
    start = time.perf_counter()
    with pytest.raises(ModelFileError):
        load(path)
    assert time.perf_counter() - start < 2


def sealed(content):
    """A file with the length of its header and its digest made right."""
    text = content[20:-32]
    end = text.index(b"]]", text.index(b'"arrays": ')) + 3
    whole = content[:12] + end.to_bytes(8, "little") + text
    return whole + hashlib.sha256(whole).digest()


def test_layers_larger_than_the_file_are_refused_before_any_memory_is_taken(tmp_path):
    def change(header, arrays):
        header["declaration"]["network"]["fields"]["layers"][0]["fields"]["units"] = 10**9

    path = tampered(tmp_path, change)
    load(tampered(tmp_path, lambda header, arrays: None))  # what is imported once
    path = tampered(tmp_path, change)
    tracemalloc.start()
    try:
        with pytest.raises(
            ModelFileError, match=r"W1: expected float32 of shape \(1000000000, 3\)"
        ):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([["a", "<f8", [10**12]]], "is longer than the file"),
        ([["a", "<f8", [2**62, 2**62, 8]]], "is longer than the file"),
        ([["a", "<f8", [-1]]], "has no shape"),
        ([["a", "<f8", [True]]], "has no shape"),
        ([["a", "<f8", 1]], "has no shape"),
        ([["a", "<f8", [1] * 40]], "has no shape"),
        ([["a", "|O", [1]]], "its type is unknown"),
        ([["a", "<f8", [1]], ["a", "<f8", [1]]], "occurs twice"),
        ([[["a"], "<f8", [1]]], "occurs twice, or"),
        ([["a", "<f8", [1]]], "not as long as the file"),
        (None, "not as long as the file"),
        ([["a", "<f8", [3]]], ""),
    ],
)
def test_arrays_fill_the_file_exactly(listed, words):
    text = json.dumps({"arrays": listed}).encode()
    head = MAGIC + VERSION.to_bytes(4, "little") + len(text).to_bytes(8, "little")
    content = head + text + bytes(24)
    content += hashlib.sha256(content).digest()
    if not words:
        assert unpacked(content)[1]["a"].tolist() == [0, 0, 0]
        return
    with pytest.raises(ModelFileError, match=words):
        unpacked(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": 1, "a": 2}', "a name occurs twice"),
        (b"[]", "its header is no object"),
        (b"[" * 10**6, "recursion"),
        (b"9" * 10**6, "digits"),
        (b"\xff", "decode"),
        (b"{}", "declaration"),
    ],
    ids=["twice", "list", "deep", "long", "bytes", "empty"],
)
def test_header_that_is_none_is_refused(tmp_path, text, words):
    content = MAGIC + VERSION.to_bytes(4, "little") + len(text).to_bytes(8, "little") + text
    (tmp_path / "m").write_bytes(content + hashlib.sha256(content).digest())
    with pytest.raises(ModelFileError, match=words):
        load(tmp_path / "m")


def test_newer_format_is_told(tmp_path):
    path = tmp_path / "m"
    model().save(path)
    content = bytearray(path.read_bytes())
    content[8] = 9
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="its format is 9, this version of symprop reads 2"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"PK\x03\x04", pickle.dumps([1]), b"\x93NUMPY\x01\x00v\x00", MAGIC],
    ids=["empty", "text", "zip", "pickle", "npy", "magic"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="other: is not a model that symprop saved"):
        load(path)


def test_what_is_no_regular_file_is_refused_without_reading_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ModelFileError, match="it is no regular file"):
            load(path)
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_damaged_files_are_refused(tmp_path):
    """Cut off anywhere, longer, or with a flipped bit in any byte."""
    path = tmp_path / "m"
    model().save(path)
    content = path.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        with pytest.raises(ModelFileError):
            unpacked(bytes(flipped))
        with pytest.raises(ModelFileError):
            unpacked(content[:position])
    with pytest.raises(ModelFileError, match="its digest is wrong"):
        unpacked(content + b"0")
    path.write_bytes(content[:-1])
    with pytest.raises(ModelFileError, match="m: is not a model that symprop saved: it is damaged"):
        load(path)


def test_two_that_save_to_one_file_take_turns(tmp_path):
    """Whichever is last, the file is whole, and nothing else is left."""
    path, saved = tmp_path / "m", [model(seed=seed) for seed in range(4)]

    def often(given):
        for _ in range(10):
            given.save(path)

    threads = [threading.Thread(target=often, args=(given,)) for given in saved]
    for thread in threads:
        thread.start()
    found = [load(path) for _ in range(20) if path.exists()]
    for thread in threads:
        thread.join()
    known = [values(given) for given in saved]
    assert all(values(given) in known for given in [*found, load(path)])
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_has_left_is_used_again(tmp_path):
    path = tmp_path / "m"
    (tmp_path / ".m.tmp").write_bytes(b"half" * 10**6)
    model().save(path)
    load(path)
    assert list(tmp_path.iterdir()) == [path]


def test_expression_too_large_for_a_file_is_refused_when_saving(tmp_path):
    deep = Z
    for _ in range(70):
        deep = sympy.sin(deep)
    with pytest.raises(ArgumentError, match="save: cannot store an expression of more than 64"):
        Network([Dense(1, deep)], inputs=1, loss="mse").compile().save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "missing" / "m"
    with pytest.raises(FileNotFoundError, match="its folder does not exist") as caught:
        model().save(path)
    assert caught.value.filename == str(path)
