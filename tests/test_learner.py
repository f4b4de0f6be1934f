"""Derivations by hand: right ones pass in every style, and each slip is named where it is made."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy
from scipy.special import erf
from symprop import Dense, Network
from symprop.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from symprop.learner.slips import SCALES
from sympy import Eq, Sum

from models import raises

Z = sympy.Symbol("z")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def gelu_slope(z):
    return (1 + erf(z / np.sqrt(2))) / 2 + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


SLOPES = {
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: sigmoid(z) * (1 - sigmoid(z)),
    "relu": lambda z: (z > 0) * 1.0,
    "gelu": gelu_slope,
    "own": lambda z: np.tanh(z) + z * (1 - np.tanh(z) ** 2),
}
OUTPUTS = {"mse": None, "cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
SHAPES = {"square": (4, 4, 4, 4), "narrow": (2, 4, 6, 3)}
HIDDEN = (("tanh", "sigmoid"), ("relu", "gelu"), ("own", "tanh"))
NETS = [("square", *pair) for pair in zip(HIDDEN, OUTPUTS, strict=True)]
NETS += [("narrow", *pair) for pair in zip(HIDDEN[::-1], OUTPUTS, strict=True)]


@cache
def network(shape, hidden, loss):
    inputs, *units = SHAPES[shape]
    declared = [Z * sympy.tanh(Z) if name == "own" else name for name in hidden]
    pairs = zip(units, [*declared, OUTPUTS[loss]], strict=True)
    return Network([Dense(n, activation=f) for n, f in pairs], inputs=inputs, loss=loss)


def derivation(shape, hidden, loss):
    """A right derivation by hand of a network of three layers, as functions of all values."""
    factor = 2 / SHAPES[shape][-1] if loss == "mse" else 1
    first, second = (SLOPES[name] for name in hidden)
    return {
        "W1": lambda **v: v["delta1"].T @ v["x"],
        "b1": lambda **v: v["delta1"].sum(axis=0),
        "delta1": lambda **v: (v["delta2"] @ v["W2"]) * first(v["z1"]),
        "W2": lambda **v: v["delta2"].T @ v["a1"],
        "b2": lambda **v: v["delta2"].sum(axis=0),
        "delta2": lambda **v: (v["delta3"] @ v["W3"]) * second(v["z2"]),
        "W3": lambda **v: v["delta3"].T @ v["a2"],
        "b3": lambda **v: v["delta3"].sum(axis=0),
        "delta3": lambda **v: factor * (v["yhat"] - v["y"]) / v["m"],
    }


def checked(case, **changed):
    return network(*case).check_hand_derivation({**derivation(*case), **changed})


def slope_of(case, number):
    return SLOPES[case[1][number - 1]]


every = pytest.mark.parametrize(
    "case", NETS, ids=lambda case: "-".join([case[0], *case[1], case[2]])
)
square = pytest.mark.parametrize(
    "case", [case for case in NETS if case[0] == "square"], ids=lambda case: "-".join(case[1])
)


@every
def test_a_right_derivation_passes(case):
    check = checked(case)
    assert check.ok, check
    assert set(check.right) == set(derivation(*case))
    assert check.right.index("delta3") == 0
    assert check.right.index("delta2") < check.right.index("W2") < check.right.index("delta1")


@every
def test_a_missing_slope_is_named(case):
    check = checked(case, delta1=lambda delta2, W2: delta2 @ W2)
    assert check.wrong == "delta1"
    assert "σ′(z⁽¹⁾), the derivative of the activation, is missing" in check.slip
    assert "delta2" in check.right
    assert "W1" in check.unchecked


@every
def test_a_missing_mean_is_named(case):
    right = derivation(*case)["delta3"]
    check = checked(case, delta3=lambda **v: v["m"] * right(**v))
    assert (check.wrong, check.right) == ("delta3", ())
    assert "1/m is missing" in check.slip


@every
def test_a_mean_too_many_is_named(case):
    check = checked(case, W2=lambda delta2, a1, m: delta2.T @ a1 / m)
    assert check.wrong == "W2"
    assert "1/m is there once too often" in check.slip


@every
def test_a_wrong_sign_is_named(case):
    right = derivation(*case)["delta3"]
    assert "sign is wrong" in checked(case, delta3=lambda **v: -right(**v)).slip
    both = checked(case, delta3=lambda **v: -v["m"] * right(**v)).slip
    assert "sign is wrong" in both
    assert "1/m is missing" in both


@every
def test_a_missing_transpose_of_a_weight_is_named(case):
    slope = slope_of(case, 1)
    check = checked(case, delta1=lambda delta2, W2, z1: (delta2 @ W2.T) * slope(z1))
    assert check.wrong == "delta1"
    words = "a transpose of W⁽²⁾ is missing" if case[0] == "square" else "right with W2 transposed"
    assert words in check.slip


@every
def test_a_transposed_gradient_is_named(case):
    check = checked(case, W2=lambda delta2, a1: a1.T @ delta2)
    assert check.wrong == "W2"
    assert "it is the transpose of the right one" in check.slip


@every
def test_a_wrong_sum_axis_is_named(case):
    check = checked(case, b2=lambda delta2: delta2.sum(axis=1))
    assert check.wrong == "b2"
    assert "it is summed over the second index of δ⁽²⁾, not over the samples" in check.slip


@every
def test_a_missing_sum_is_named(case):
    assert "not summed over the samples" in checked(case, b1=lambda delta1: delta1).slip


@square
def test_a_weight_of_another_layer_is_named(case):
    slope = slope_of(case, 1)
    check = checked(case, delta1=lambda delta2, W3, z1: (delta2 @ W3) * slope(z1))
    assert "W⁽³⁾ stands where W⁽²⁾ belongs" in check.slip


@every
def test_a_slope_taken_at_the_output_is_named(case):
    if case[1][0] == "relu":
        pytest.skip("a > 0 where z > 0: that is no slip")
    slope = slope_of(case, 1)
    check = checked(case, delta1=lambda delta2, W2, a1: (delta2 @ W2) * slope(a1))
    assert "is taken at a⁽¹⁾ instead of z⁽¹⁾: σ′(a⁽¹⁾) for σ′(z⁽¹⁾)" in check.slip


@every
def test_an_activation_in_place_of_its_slope_is_named(case):
    check = checked(case, delta1=lambda delta2, W2, a1: (delta2 @ W2) * a1)
    assert "the activation σ(z⁽¹⁾) stands where its derivative σ′(z⁽¹⁾) belongs" in check.slip


@every
def test_activations_of_another_layer_are_named(case):
    check = checked(case, W2=lambda delta2, z1: delta2.T @ z1)
    assert "z⁽¹⁾ stands where a⁽¹⁾ belongs" in check.slip
    check = checked(case, W2=lambda delta2, x: delta2.T @ x)
    assert "x stands where a⁽¹⁾ belongs" in check.slip


@square
def test_two_slips_at_once_are_named(case):
    check = checked(case, delta1=lambda delta2, W2: -delta2 @ W2)
    assert "is missing" in check.slip
    assert "sign is wrong" in check.slip
    check = checked(case, delta1=lambda delta2, W2: delta2 @ W2.T)
    assert "σ′(z⁽¹⁾), the derivative of the activation, is missing" in check.slip
    assert "a transpose of W⁽²⁾ is missing" in check.slip


SOFTMAX = ("narrow", ("tanh", "sigmoid"), "cross_entropy")
LOGISTIC = ("narrow", ("tanh", "sigmoid"), "binary_cross_entropy")
SQUARES = ("narrow", ("tanh", "sigmoid"), "mse")


@pytest.mark.parametrize("case", [SOFTMAX, LOGISTIC], ids=["softmax", "sigmoid"])
def test_a_slope_that_cancelled_is_named(case):
    check = checked(case, delta3=lambda yhat, y, m: (yhat - y) * yhat * (1 - yhat) / m)
    assert "σ′(z⁽³⁾), the derivative of the activation, is a factor too many" in check.slip


def test_softmax_taken_for_an_elementwise_function_is_named():
    check = checked(SOFTMAX, delta3=lambda yhat, y, m: -y * (1 - yhat) / m)
    assert "only the diagonal" in check.slip


@pytest.mark.parametrize(
    ("delta3", "words"),
    [
        (lambda yhat, y, m: (yhat - y) / m / 3, SCALES["2", -1]),
        (lambda yhat, y, m: 4 * (yhat - y) / m / 3, SCALES["2", 1]),
        (lambda yhat, y, m: 2 * (yhat - y) / m, "a factor 1/3 is missing, for 3 outputs"),
        (
            lambda yhat, y, m: 2 * (yhat + y) / m / 3,
            "the sign of 2/3·y[b, j] in 2/3·(ŷ[b, j] - y[b, j]) is wrong",
        ),
        (lambda yhat, y: 0 * y, "it is 0 everywhere"),
        (lambda yhat, m: 2 * yhat / m / 3, "2/3·y[b, j] in 2/3·(ŷ[b, j] - y[b, j]) is missing"),
    ],
)
def test_slips_in_the_derivative_of_the_square_are_named(delta3, words):
    assert words in checked(SQUARES, delta3=delta3).slip


def test_a_lost_square_is_named():
    check = checked(SOFTMAX, delta1=lambda delta2, W2, a1: (delta2 @ W2) * (1 - a1))
    assert "a⁽¹⁾[b, j] stands where a⁽¹⁾[b, j]² belongs" in check.slip


def test_what_fits_no_slip_is_said_with_both_numbers():
    check = checked(SOFTMAX, delta1=lambda a1: a1**3 + 7)
    assert "no common slip explains it. At [0, 0] it gives" in check.slip
    assert "its ratio to the right one is not the same everywhere" in check.slip
    odd = checked(SOFTMAX, b1=lambda delta1: 1.7 * delta1.sum(axis=0))
    assert "it is 1.7 times as large as it should be" in odd.slip
    assert odd.error == pytest.approx(0.7)


def test_a_formula_that_is_far_too_large_is_told_without_powers_of_ten():
    check = checked(SOFTMAX, b1=lambda delta1: 1000 * delta1.sum(axis=0))
    assert "it is 1000 times as large as it should be" in check.slip
    assert "It is off by more than the size of the largest element." in str(check)
    assert "e+03" not in str(check)
    check = checked(SOFTMAX, b1=lambda delta1: 1.25 * delta1.sum(axis=0))
    assert "It is off by up to 25 % of the largest element." in str(check)


@every
def test_a_sum_over_all_elements_is_named(case):
    words = "it is summed over all elements instead of over the samples only"
    check = checked(case, b1=lambda delta1: delta1.sum())
    assert check.slip.endswith(f"{words} (axis=0)")
    check = checked(case, W2=lambda delta2, a1: (delta2.T @ a1).sum())
    assert check.slip.endswith(words)


def test_only_what_sums_a_delta_is_told_that_the_delta_holds_the_mean():
    hint = "δ holds it already"
    right = derivation(*SOFTMAX)["delta3"]
    slip = checked(SOFTMAX, delta3=lambda **v: right(**v) / v["m"]).slip
    assert slip == "it looks as if 1/m is there once too often"
    assert hint in checked(SOFTMAX, b3=lambda delta3, m: delta3.sum(axis=0) / m).slip


OF_OTHERS = [
    ("tanh", "sigmoid", lambda z, a: a * (1 - a)),
    ("tanh", "sigmoid", lambda z, a: sigmoid(z) * (1 - sigmoid(z))),
    ("sigmoid", "tanh", lambda z, a: 1 - a**2),
    ("sigmoid", "gelu", lambda z, a: gelu_slope(z)),
    ("leaky_relu", "relu", lambda z, a: (z > 0) * 1.0),
    ("leaky_relu", "tanh", lambda z, a: 1 - a**2),
    ("gelu", "softplus", lambda z, a: 1 - np.exp(-a)),
    ("linear", "sigmoid", lambda z, a: a * (1 - a)),
]


@pytest.mark.parametrize(("own", "other", "slope"), OF_OTHERS)
def test_the_slope_of_another_activation_is_named(own, other, slope):
    net = Network([Dense(4, own), Dense(3)], inputs=2, loss="mse")
    words = f"the derivative of {other} were used where the layer has {own}"
    check = net.check_hand_derivation(
        {"delta1": lambda delta2, W2, z1, a1: (delta2 @ W2) * slope(z1, a1)}
    )
    assert check.slip == f"it looks as if {words}"
    check = net.check_hand_derivation(
        {"delta1": lambda delta2, W2, z1, a1: -(delta2 @ W2) * slope(z1, a1)}
    )
    assert check.slip == f"it looks as if {words}, and the sign is wrong"


def test_the_slope_of_another_activation_is_named_in_sympy(symbols):
    s = symbols
    sums = Sum(s.W2[s.k, s.j] * s.delta2[s.b, s.k], s.k)
    delta1 = sums * s.a1[s.b, s.j] * (1 - s.a1[s.b, s.j])
    check = network(*SOFTMAX).check_hand_derivation({"delta1": delta1})
    assert "the derivative of sigmoid were used where the layer has tanh" in check.slip
    own = network("narrow", ("own", "tanh"), "mse")
    delta1 = sums * sympy.Heaviside(s.z1[s.b, s.j])
    assert (
        "of relu were used where the layer has another"
        in own.check_hand_derivation({"delta1": delta1}).slip
    )


@pytest.mark.parametrize(
    ("delta1", "words"),
    [
        (lambda delta2, W1, a1: (delta2 @ W1) * (1 - a1**2), "it is right with W2 in place of W1"),
        (lambda delta2, W2, a2: (delta2 @ W2) * (1 - a2**2), "it is right with a1 in place of a2"),
        (lambda delta2, W1: delta2 @ W1, "it has the right shape with W2 in place of W1"),
        (lambda delta2, W2: delta2 @ W2.T, "it has the right shape with W2 transposed"),
        (lambda delta2, W2, a1: (delta2 * W2) * (1 - a1**2), "right with a matrix product (@"),
        (lambda delta2, W2, a1: (delta2 @ W2) @ (1 - a1**2), "right with an elementwise product"),
        (lambda delta2, W2, a1: (W2 @ delta2) * (1 - a1**2), "the factors of @ exchanged"),
        (lambda delta2, W2, a1: (W2.T @ delta2) * (1 - a1**2), "the factors of @ exchanged"),
    ],
)
def test_shapes_that_do_not_fit_are_told_by_name_with_the_likely_slip(delta1, words):
    slip = checked(SOFTMAX, delta1=delta1).slip
    assert "with these shapes, for 5 samples: delta2 (5, 6), W" in slip
    assert words in slip
    assert "ValueError" not in slip


def test_an_elementwise_product_in_place_of_a_matrix_product_is_named():
    slip = checked(SOFTMAX, W2=lambda delta2, a1: delta2 * a1).slip
    assert slip == (
        "it cannot be computed with these shapes, for 5 samples: delta2 (5, 6), a1 (5, 4); it is "
        "right with a matrix product (@, transposed where that is needed) in place of *"
    )


def test_shapes_that_nothing_mends_come_with_the_words_of_numpy():
    slip = checked(SOFTMAX, b1=lambda delta1: delta1.sum(axis=2)).slip
    assert "with these shapes, for 5 samples: delta1 (5, 4) (AxisError: axis 2 is out of" in slip
    slip = checked(SOFTMAX, b1=lambda **v: v["delta1"].sum(axis=2)).slip
    assert slip.startswith("it cannot be computed (AxisError")


def test_the_subscripts_of_a_matrix_that_look_exchanged_are_named(symbols):
    s, net = symbols, network(*SOFTMAX)
    sums = Sum(s.W2[s.j, s.k] * s.delta2[s.b, s.k], s.k)
    exchanged = "with the subscripts of W2 exchanged (a transpose is missing"
    slip = net.check_hand_derivation({"delta1": sums * (1 - s.a1[s.b, s.j] ** 2)}).slip
    assert f"it is right {exchanged}" in slip
    slip = net.check_hand_derivation({"delta1": sums}).slip
    assert f"it has the right shape {exchanged}" in slip


@pytest.mark.parametrize(
    ("b1", "words"),
    [
        (lambda delta1: None, "is `return` missing?"),
        (lambda delta1: "delta1", "it returns str, not an array of real numbers"),
        (lambda delta1: delta1.sum(0) * 1j, "not an array of real numbers"),
        (lambda delta1: delta1.sum(0) / 0, "not finite"),
        (lambda delta1: [[1], [1, 2]], "rows of different lengths"),
        (
            lambda delta1: delta1.sum(0, keepdims=True),
            "the numbers are right, but the shape is not",
        ),
        (lambda delta1: {}["b"], "it raises KeyError: 'b' (the shapes are: delta1 (5, 4))"),
        (lambda delta1: delta1[:, :3].sum(0), "its shape is (3,) for 5 samples, expected (4,)"),
    ],
)
def test_a_function_that_gives_no_such_array_is_wrong(b1, words):
    check = checked(SOFTMAX, b1=b1)
    assert check.wrong == "b1"
    assert words in check.slip


def test_a_function_cannot_spoil_the_values_of_another():
    def spoiling(delta3):
        delta3 *= 0
        return delta3.sum(axis=0)

    check = checked(SOFTMAX, b3=spoiling)
    assert check.wrong == "b3"
    assert check.right == ("delta3",)


def test_functions_in_several_styles_pass():
    def keywords(*, delta1, factor=1.0):
        return factor * np.einsum("bj->j", delta1)

    def positions(delta1, x, /, *rest):
        return np.einsum("bj,bk->jk", delta1, x)

    def loops(delta3):
        return [sum(row[j] for row in delta3) for j in range(delta3.shape[1])]

    check = network(*SOFTMAX).check_hand_derivation(
        {
            "db1": keywords,
            "dW1": positions,
            "b3": loops,
            "dz1": lambda da1, a1: da1 * (1 - a1**2),
            "da1": lambda dz2, W2: dz2 @ W2,
            "dyhat": lambda yhat, y, m: -y / yhat / m,
        }
    )
    assert check.right == ("dyhat", "b3", "da1", "dz1", "db1", "dW1")
    assert str(check) == "All right: dyhat, b3, da1, dz1, db1, dW1."


@pytest.fixture
def symbols():
    return network(*SOFTMAX).symbols


def test_formulas_in_sympy_pass(symbols):
    s, b, i = symbols, *sympy.symbols("b i")
    formulas = {
        "delta3": (s.yhat[s.b, s.j] - s.y[s.b, s.j]) / s.m,
        "W3": Sum(s.delta3[s.b, s.j] * s.a2[s.b, s.k], s.b),
        "b3": Eq(s.db3[i], Sum(s.delta3[b, i], (b, 0, sympy.Symbol("m") - 1))),
        "delta2": Eq(
            s.delta2[b, i],
            Sum(s.W3[s.k, i] * s.delta3[b, s.k], (s.k, 0, 2)) * s.a2[b, i] * (1 - s.a2[b, i]),
        ),
        "delta1": Sum(s.W2[s.k, s.j] * s.delta2[s.b, s.k], s.k) * sympy.sech(s.z1[s.b, s.j]) ** 2,
        "dyhat": -Sum(sympy.KroneckerDelta(s.k, s.j) * s.y[s.b, s.k], s.k) / s.yhat[s.b, s.j] / s.m,
    }
    check = network(*SOFTMAX).check_hand_derivation(formulas)
    assert check.ok, check


def test_slips_in_sympy_are_named(symbols):
    s, net = symbols, network("square", ("tanh", "relu"), "mse")
    delta1 = (1 - s.a1[s.b, s.j] ** 2) * Sum(s.W2[s.j, s.k] * s.delta2[s.b, s.k], s.k)
    slip = net.check_hand_derivation({"delta1": delta1}).slip
    assert "a transpose of W⁽²⁾ is missing" in slip
    slip = net.check_hand_derivation({"delta1": Sum(s.W2[s.k, s.j] * s.delta2[s.b, s.k], s.k)}).slip
    assert "σ′(z⁽¹⁾)" in slip


@pytest.mark.parametrize(
    ("delta1", "words"),
    [
        (lambda s: s.W2[s.k, s.j] * s.delta2[s.b, s.k], "the index k is not summed"),
        (lambda s: Sum(s.W2[s.k, s.j], (s.k, 1, 6)), "runs from 1 to 6; its indices count from 0"),
        (lambda s: Sum(s.W2[s.j, s.k], s.k), "the index j takes 6 values in W2[j, k], but 4"),
        (lambda s: s.W2[s.j], "W2[j] has 1 indices, expected 2"),
        (lambda s: s.W2[9, s.j], "W2[9, j] is outside of its tensor"),
        (lambda s: Sum(s.a1[s.b, s.j], s.i), "no tensor with i as a subscript"),
        (
            lambda s: s.yhat - s.y,
            "y and yhat have no subscripts; write y[b, j] and yhat[b, j], with s.b, s.j of s = net",
        ),
        (lambda s: Sum(s.W2 * s.z1[s.b, s.j], s.k), "W2 has no subscripts; write W2[j, k], with"),
        (lambda s: s.y[s.b], "y[b] has 1 indices, expected 2; write y[b, j], with s.b, s.j of s"),
        (
            lambda s: Sum(s.a1[s.i, s.j] * s.a1[s.b, s.j], (s.i, 1, s.m)),
            "its indices count from 0 to m − 1 (leave the limits out: Sum(…, s.i))",
        ),
        (lambda s: s.delta2[s.j, s.b], "the index j takes m values in delta2[j, b], but 4 in"),
    ],
)
def test_a_formula_that_means_no_array_is_wrong(symbols, delta1, words):
    check = network(*SOFTMAX).check_hand_derivation({"delta1": delta1(symbols)})
    assert check.wrong == "delta1"
    assert words in check.slip


@pytest.mark.parametrize(
    ("formulas", "error", "words"),
    [
        ({"delta9": lambda m: m}, UnknownNameError, "unknown name 'delta9'; did you mean 'delta"),
        ({7: lambda m: m}, ArgumentTypeError, "expected a name, got int 7"),
        ({"b1": lambda detla1: detla1}, UnknownNameError, "b1: argument: unknown name 'detla1'"),
        ({"b1": "delta1.sum(0)"}, ArgumentTypeError, "b1: expected a function of stored values"),
        ({"b1": np.zeros(4)}, ArgumentTypeError, "got ndarray"),
        ({"b1": max}, ArgumentTypeError, "wrap it in a lambda"),
        ([1], ArgumentTypeError, "expected a dict of formulas by name"),
        ({"b1": sympy.IndexedBase("d1")[Z]}, UnknownNameError, "b1: symbol: unknown name 'd1'"),
        ({"b1": Eq(sympy.IndexedBase("db2")[Z], Z)}, ArgumentError, "such as sympy.Eq(db1[j], …)"),
    ],
)
def test_what_cannot_be_understood_is_refused(formulas, error, words):
    with raises(error, words):
        network(*SOFTMAX).check_hand_derivation(formulas)


def test_a_loss_without_derivative_is_refused():
    log = Network([Dense(2, activation=sympy.log(-9 - Z))], inputs=2, loss="mse")
    with raises(DataError, "is the loss defined for every output?"):
        log.check_hand_derivation({"b1": lambda delta1: delta1.sum(0)})


def test_a_report_reads_like_a_teacher():
    net = Network([Dense(4, "tanh"), Dense(3, "softmax")], inputs=2, loss="cross_entropy")
    check = net.check_hand_derivation(
        {
            "W1": lambda delta1, x: delta1.T @ x,
            "delta1": lambda delta2, W2: delta2 @ W2,
            "delta2": lambda yhat, y, m: (yhat - y) / m,
        }
    )
    first, off, *rest = str(check).splitlines()
    assert first == (
        "delta1 is wrong: it looks as if σ′(z⁽¹⁾), the derivative of the activation, is missing."
    )
    assert off.endswith("the largest element.")
    assert rest == [
        "Right is",
        "    δ⁽¹⁾[b, j] = (1 - a⁽¹⁾[b, j]²)·Σ_k W⁽²⁾[k, j]·δ⁽²⁾[b, k]",
        "    δ⁽¹⁾ = (δ⁽²⁾ W⁽²⁾) ⊙ (1 - a⁽¹⁾ ⊙ a⁽¹⁾)",
        "Before it, all is right: delta2.",
        "Not looked at, as they come after it: W1.",
    ]


def test_a_delta_that_is_zero_is_checked_too():
    flat = Network([Dense(3, activation=sympy.sign(Z)), Dense(2)], inputs=2, loss="mse")
    assert flat.check_hand_derivation({"delta1": lambda z1: 0 * z1, "W1": lambda W1: 0 * W1}).ok
    check = flat.check_hand_derivation({"delta1": lambda delta2, W2: delta2 @ W2})
    assert check.wrong == "delta1"
    assert "right is 0" in check.slip
    assert "δ⁽¹⁾ = 0" in str(check)


def test_formula_that_reads_itself_is_refused() -> None:
    net = Network([Dense(2, "tanh"), Dense(1, "sigmoid")], 3, "binary_cross_entropy")
    with pytest.raises(ArgumentError, match="the formula reads delta2, which it is to give"):
        net.check_hand_derivation({"delta2": lambda delta2: delta2})


def test_variant_that_divides_by_nothing_is_no_slip() -> None:
    net = Network([Dense(2, "tanh"), Dense(1, "sigmoid")], 3, "binary_cross_entropy")
    check = net.check_hand_derivation({"dyhat": lambda yhat, y, m: (yhat - y) / m})
    assert check.wrong == "dyhat"
