"""Arguments that there are not: the error says which of ours is meant."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from symprop import SGD, Adam, AdamW, BatchNorm, Dense, Dropout, EarlyStopping, Network
from symprop.arguments import by_name
from symprop.errors import ArgumentTypeError
from symprop.model import Model

from models import raises

NET = Network([Dense(1)], inputs=1, loss="mse")
DATA = np.zeros((4, 1)), np.zeros((4, 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: Dense(10, input_shape=(3,)),
            "Dense: there is no argument input_shape=; use inputs=",
        ),
        (lambda: Dropout(p=0.5), "Dropout: there is no argument p=; use rate="),
        (lambda: BatchNorm(eps=1e-3), "BatchNorm: there is no argument eps=; use epsilon="),
        (lambda: SGD(lr=0.1), "SGD: there is no argument lr=; use learning_rate="),
        (lambda: SGD(weight_decay=0.1), "use AdamW(weight_decay=…), or l2= of the Network"),
        (lambda: Adam(betas=(0.9, 0.99)), "Adam: there is no argument betas=; use beta_1="),
        (lambda: EarlyStopping(patence=3), "there is no argument patence=; use patience="),
        (lambda: NET.compile(loss="mse"), "compile: there is no argument loss=; use loss= of the"),
        (lambda: NET.compile(metrics=["mae"]), "use metrics= of fit and evaluate"),
        (lambda: NET.compile("adam", lr=0.1), "use learning_rate= of an optimizer such as Adam("),
        (lambda: NET.compile().fit(*DATA, validation_data=DATA), "use validation=(x, y)"),
        (lambda: NET.compile().fit(*DATA, validation_split=0.5), "use validation=0.2"),
        (
            lambda: NET.compile().fit(*DATA, verbose=1),
            "fit: there is no argument verbose=; use p",
        ),
        (
            lambda: NET.compile().fit(*DATA, qq=1),
            "there is no argument qq=; use one of x, y, ep",
        ),
    ],
)
def test_an_argument_of_another_library_is_told_its_name_here(call, words):
    with raises(ArgumentTypeError, words):
        call()


def test_signatures_are_shown_as_written():
    assert list(inspect.signature(Dense).parameters)[:2] == ["units", "activation"]
    assert "validation" in inspect.signature(Model.fit).parameters
    assert AdamW.__init__.__qualname__ == "AdamW.__init__"


def test_given_by_name_or_place_the_function_gets_the_same():
    assert by_name(lambda a, b=2: (a, b))(1, b=3) == (1, 3)
    with pytest.raises(TypeError, match="missing 1 required"):
        Dense()
