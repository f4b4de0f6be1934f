"""One sample in numbers: what is printed adds up, and is what training computes."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest
import sympy
from symprop import SGD, Dense, Network, prediction, target
from symprop.derive.worked import Worked
from symprop.derive.worked_story import STABLE, UNROUNDED, numeral, numerals
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    SymPropError,
    UnknownNameError,
)
from symprop.printers.document import Formulas
from symprop.printers.index import Line
from symprop.printers.structure import Compare
from symprop.printers.unicode import UnicodePrinter
from sympy import Expr

z = sympy.Symbol("z")
SIGMOIDS = Network(
    [Dense(2, "sigmoid"), Dense(2, "sigmoid")], inputs=2, loss=(prediction - target) ** 2 / 2
)
MAZUR = {
    "W1": [[0.15, 0.20], [0.25, 0.30]],
    "b1": [0.35, 0.35],
    "W2": [[0.40, 0.45], [0.50, 0.55]],
    "b2": [0.60, 0.60],
}
CASES: dict[str, tuple[Network, Any, Any]] = {
    "classes": (
        Network([Dense(3, "relu"), Dense(3, "softmax")], inputs=2, loss="cross_entropy"),
        [1, -2.5],
        1,
    ),
    "one number": (Network([Dense(1)], inputs=1, loss="mse"), 0.5, 2),
    "own": (
        Network([Dense(2, z * sympy.erf(z)), Dense(1, "elu")], inputs=2, loss="huber"),
        [[1e-7, -25.0]],
        [[0.3]],
    ),
    "alike": (
        Network(
            [*(Dense(2, "gelu") for _ in range(4)), Dense(1, "sigmoid")],
            inputs=1,
            loss="binary_cross_entropy",
        ),
        0.7,
        1,
    ),
    "constant": (
        Network([Dense(2, sympy.Heaviside(z)), Dense(1, "tanh")], inputs=2, loss="mse"),
        [0.2, 0.4],
        0.3,
    ),
    "shared softmax": (
        Network([Dense(3, "softmax"), Dense(2, "hard_tanh")], inputs=2, loss="mse"),
        [1.0, 2.0],
        [1.0, -1.0],
    ),
    "wide": (
        Network([Dense(9, "tanh"), Dense(7, "softmax")], inputs=8, loss="cross_entropy"),
        np.linspace(-1, 1, 8),
        6,
    ),
}
case = pytest.mark.parametrize("name", CASES)


def worked(name: str, **options: Any) -> Worked:
    net, x, y = CASES[name]
    return net.derive().worked(x, y, **options)


def mazur(**options: Any) -> Worked:
    settings = {"parameters": MAZUR, "learning_rate": 0.5, **options}
    return SIGMOIDS.derive().worked([0.05, 0.10], [0.01, 0.99], **settings)


def test_mazurs_example():
    """Matt Mazur 2015, "A Step by Step Backpropagation Example"."""
    found = mazur()
    assert found.values["z1"][0] == pytest.approx(0.3775, abs=1e-12)
    assert found.values["a1"][0] == pytest.approx(0.593269992, abs=1e-9)
    assert found.values["yhat"] == pytest.approx([0.75136507, 0.772928465], abs=1e-8)
    assert found.values["L"] == pytest.approx(0.298371109, abs=1e-9)
    assert found.values["delta2"][0] == pytest.approx(0.138498562, abs=1e-9)
    assert found.values["dW2"][0, 0] == pytest.approx(0.082167041, abs=1e-9)
    assert found.values["dW1"][0, 0] == pytest.approx(0.000438568, abs=1e-9)
    weights = [0.149780716, 0.19956143, 0.24975114, 0.29950229]
    assert found.updated["W1"].ravel() == pytest.approx(weights, abs=1e-8)
    weights = [0.35891648, 0.408666186, 0.511301270, 0.561370121]
    assert found.updated["W2"].ravel() == pytest.approx(weights, abs=1e-9)


@case
def test_values_and_update_are_those_of_training(name):
    net, x, y = CASES[name]
    found = worked(name, learning_rate=0.25, seed=4)
    rows = np.reshape(x, (1, -1)), np.reshape(y, (1,) if np.ndim(y) == 0 else (1, -1))
    model = net.compile(SGD(0.25), dtype="float64", seed=4, backend="numpy")
    assert set(found.drawn) == set(model.parameters)
    for parameter, array in model.parameters.items():
        np.testing.assert_array_equal(found.values[parameter], array)
    loss, gradients = model.loss_and_gradients(*rows)
    assert found.values["L"] == pytest.approx(loss, rel=1e-14)
    for parameter, gradient in gradients.items():
        values = found.values.get(f"d{parameter}", np.zeros_like(gradient))
        np.testing.assert_allclose(values, gradient, rtol=1e-12, atol=1e-15)
    model.fit(*rows, epochs=1)
    for parameter, array in model.parameters.items():
        np.testing.assert_allclose(found.updated[parameter], array, rtol=1e-13, atol=1e-15)
    assert found.updated["L"] == pytest.approx(model.evaluate(*rows)["loss"], rel=1e-12)


def lines(found: Worked) -> list[Line]:
    items = [item for item in found._document() if isinstance(item, Formulas)]
    return [row.line for item in items for row in item.rows if isinstance(row.line, Line)]


def chain(node: Expr) -> list[Expr]:
    """u, v, w of u = v = w."""
    if isinstance(node, Compare) and node.args[0].name == "=":
        return [*chain(node.args[1]), node.args[2]]
    return [node]


FUNCTIONS = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "erf": math.erf}
FUNCTIONS |= {"max": max, "min": min, "sign": lambda u: (u > 0) - (u < 0)}
RELATIONS: dict[str, Any] = {"<": operator.lt, "≤": operator.le, "=": operator.eq}
RELATIONS |= {">": operator.gt, "≥": operator.ge, "≠": operator.ne}


def number(node: Any) -> Any:
    """What a formula of numbers comes to, read as a person reads it."""
    if not node.args:
        return float(node)
    kind = type(node).__name__
    if kind == "Numeral":
        return float(node.args[0].name)
    if kind in ("Call", "Compare"):
        parts = [number(part) for part in node.args[1:]]
        named = node.args[0].name
        if kind == "Call":
            return FUNCTIONS[named](*parts)
        return RELATIONS[named](*parts)
    if kind == "Case":
        *branches, last = node.args
        pairs = zip(branches[::2], branches[1::2], strict=True)
        return number(next((value for value, holds in pairs if number(holds)), last))
    parts = [number(part) for part in node.args]
    return {
        "Plus": lambda: sum(parts),
        "Minus": lambda: -parts[0],
        "Times": lambda: math.prod(parts),
        "Fraction": lambda: parts[0] / parts[1],
        "Power": lambda: parts[0] ** parts[1],
        "Root": lambda: math.sqrt(parts[0]),
        "Magnitude": lambda: abs(parts[0]),
        "Bracket": lambda: float(parts[0]),
        "AllOf": lambda: all(parts),
        "AnyOf": lambda: any(parts),
    }[kind]()


@case
def test_every_line_of_numbers_comes_to_its_result(name):
    found = [chain(line.value)[-2:] for line in lines(worked(name, digits=17))]
    sums = [pair for pair in found if len(pair) == 2 and not pair[0].has(sympy.Idx)]
    checked = [(f, r) for f, r in sums if "Access" not in {type(n).__name__ for n in walk(f)}]
    assert len(checked) >= (0 if name == "wide" else 6)
    for figures, result in checked:
        assert number(figures) == pytest.approx(number(result), rel=1e-12, abs=1e-14)


def walk(node: Expr) -> Any:
    return sympy.preorder_traversal(node)


def test_text_of_an_element():
    text = mazur().text()
    assert "z⁽¹⁾[j] = Σ_k W⁽¹⁾[j, k]·x[k] + b⁽¹⁾[j]" in text
    assert "z⁽¹⁾[1] = W⁽¹⁾[1, 1]·x[1] + W⁽¹⁾[1, 2]·x[2] + b⁽¹⁾[1]" in text
    assert "= 0.15·0.05 + 0.2·0.1 + 0.35 = 0.3775\n" in text
    assert "∂L/∂W⁽¹⁾[1, 2] = δ⁽¹⁾[1]·x[2] = 0.00877135·0.1 = 0.000877135" in text
    assert "the loss of this sample is 0.280471; it was 0.298371." in text.replace("\n", " ")
    assert "Not given" not in text


def test_results_are_computed_from_unrounded_numbers():
    assert "= 0.15 - 0.5·0.0004 = 0.1\n" not in mazur(digits=1).text()
    assert "= 0.1·0.05 + 0.2·0.1 + 0.3 = 0.4\n" in mazur(digits=1).text().replace("0.35", "0.3")
    assert mazur(digits=1).values["z1"][0] == mazur(digits=12).values["z1"][0]


SATURATED = Network([Dense(1, "sigmoid")], inputs=1, loss="binary_cross_entropy")


@pytest.mark.parametrize(
    ("weight", "loss", "note"),
    [
        (0.5, "log(1 - 0.880797) = 2.12693\n", ""),
        (5.0, "log(1 - 1) = 20\n", UNROUNDED),
        (200.0, "log(1 - 1) = 800\n", STABLE),
    ],
)
def test_result_that_printed_numbers_do_not_give_has_a_note(weight, loss, note):
    text = SATURATED.derive().worked([4.0], [0.0], parameters={"W1": [[weight]]}).text()
    found = text.split(loss)[1].strip().splitlines()[0]
    assert found == (f"({note})" if note else "Delta of the output layer")
    assert text.count("(from ") + text.count("(in a ") == bool(note)


@case
def test_note_stands_exactly_where_printed_numbers_do_not_come_to_the_result(name):
    found = worked(name, digits=2)
    items = [item for item in found._document() if isinstance(item, Formulas)]
    for row in (row for item in items for row in item.rows if isinstance(row.line, Line)):
        pair = chain(row.line.value)[-2:]
        if "Access" in {type(node).__name__ for part in pair for node in walk(part)}:
            continue
        if len(pair) == 2:
            figures, result = map(number, pair)
            assert row.note == UNROUNDED or figures == pytest.approx(result, rel=0.2), row


@pytest.mark.parametrize("size", [3, 9, 40])
@pytest.mark.parametrize("digits", [1, 6, 12])
def test_text_is_eighty_columns_wide(size, digits):
    layers = [Dense(size, "relu"), Dense(size + 1, "tanh"), Dense(4, "softmax")]
    net = Network(layers, size, "cross_entropy")
    text = net.derive().worked(np.linspace(-1, 1, size), 1, digits=digits).text()
    assert max(map(len, text.splitlines())) <= 80


def test_layers_that_are_alike_are_all_worked():
    text = worked("alike").text()
    assert all(f"z⁽{layer}⁾[2] = W⁽{layer}⁾[2, 1]" in text for layer in "¹²³⁴")
    assert "for l =" not in text


def test_large_layers_are_worked_as_matrices_and_cut():
    text = worked("wide").text()
    assert "z⁽¹⁾ = W⁽¹⁾ x + b⁽¹⁾" in text
    assert "y = [0; 0; 0; 0; …; 1]" in text
    assert "z⁽¹⁾[1]" not in text


@pytest.mark.parametrize(
    ("notation", "has", "lacks"),
    [("index", "Σ_k W⁽¹⁾[j, k]·x[k]", "W⁽¹⁾ x"), ("matrix", "W⁽¹⁾ x", "W⁽¹⁾[")],
)
def test_notation_is_the_derivations(notation, has, lacks):
    for name in ("classes", "wide"):
        net, x, y = CASES[name]
        text = net.derive(notation=notation).worked(x, y).text()
        assert has in text
        assert lacks not in text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.15, 6, "0.15"),
        (0.1 + 0.2, 6, "0.3"),
        (-2.0, 6, "-2"),
        (0.0, 6, "0"),
        (-0.0, 6, "0"),
        (1.5e-8, 6, "1.5·10⁻⁸"),
        (-1e-7, 6, "-10⁻⁷"),
        (1234567.0, 3, "1.23·10⁶"),
        (2 / 3, 4, "0.6667"),
    ],
)
def test_numbers_print_by_significant_digits(value, digits, text):
    assert UnicodePrinter().doprint(numeral(value, digits)) == text


def test_matrices_are_cut_in_the_middle():
    spelled = UnicodePrinter().doprint(numerals(np.arange(8.0), 3))
    assert spelled == "[0; 1; 2; 3; …; 7]"
    assert UnicodePrinter().doprint(numerals(np.arange(6.0), 3)) == "[0; 1; 2; 3; 4; 5]"


@case
def test_all_forms_are_written(name, tmp_path):
    found = worked(name)
    for suffix in (".txt", ".md", ".tex", ".html"):
        found.save(tmp_path / f"worked{suffix}")
    assert found._repr_latex_().startswith("$$")
    assert str(found) == repr(found) == found.text()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"x": [[1, 2], [3, 4]]}, ShapeError, "x: expected one sample, of shape (2,) or (1, 2)"),
        ({"x": 0.5}, ShapeError, "x: expected one sample"),
        ({"x": [np.nan, 1]}, DataError, "x: expected finite numbers"),
        ({"x": ["a", "b"]}, ArgumentTypeError, "x: expected an array of numbers"),
        ({"y": [1, 0, 0, 0]}, ShapeError, "y: expected"),
        ({"y": 3}, DataError, "class 3"),
        ({"y": np.eye(3)}, ShapeError, "y: expected the target of one sample, got 3 rows"),
        ({"parameters": {"W3": 1}}, UnknownNameError, "W3"),
        ({"parameters": {"W1": np.ones((2, 3))}}, ShapeError, "W1: expected shape (3, 2)"),
        ({"parameters": [1]}, ArgumentTypeError, "parameters: expected a dict"),
        ({"digits": 0}, ArgumentError, "digits: expected at least 1"),
        ({"learning_rate": -1}, ArgumentError, "learning_rate"),
        ({"seed": "x"}, ArgumentTypeError, "seed"),
    ],
)
def test_bad_input_is_named(given, error, words):
    net, x, y = CASES["classes"]
    with pytest.raises(error) as raised:
        net.derive().worked(**{"x": x, "y": y, **given})
    assert isinstance(raised.value, SymPropError)
    assert words in str(raised.value)


def test_numbers_that_are_not_finite_are_refused():
    net = Network([Dense(1, sympy.exp(sympy.exp(z)))], inputs=1, loss="mse")
    with pytest.raises(DataError, match="yhat is not finite for this sample"):
        net.derive().worked(1e3, 1, {"W1": [[1.0]]})
