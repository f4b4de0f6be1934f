"""The printed forms: what a reader sees, to the character."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import sympy
from symprop import Dense, Network
from symprop.activations import ACTIVATIONS, scalar_function
from symprop.adjoint import backward
from symprop.equation import Equation, Recurrence
from symprop.losses import LOSSES
from symprop.primitives import Greater, GreaterEqual, Maximum, Select
from symprop.printers.arrange import Arrange
from symprop.printers.index import Line, lines, names_of
from symprop.printers.latex import LatexPrinter, latex, line_latex
from symprop.printers.matrix import in_matrices
from symprop.printers.structure import Names
from symprop.printers.unicode import UnicodePrinter
from symprop.program import Program
from symprop.scope import BATCH, Scope, index
from symprop.tensor import Tensor
from sympy import Idx, Rational, Symbol

FORBIDDEN = (
    "Sum(",
    "Piecewise",
    "KroneckerDelta",
    "Heaviside",
    "Greater",
    "Indexed",
    "Dummy",
    "Select",
    "Maximum",
    "Absolute",
    "′1",
    "′2",
    "**",
    " over (",
)
b, j, k = index("b", BATCH), index("j", 3), index("k", 4)


def printed(program: Program) -> dict[str, str]:
    """The right-hand sides of a program's lines, by their left-hand sides."""
    rows = (line.partition(" = ") for line in str(program).splitlines())
    return {left.split("[")[0]: right for left, _, right in rows}


def scalar(value: sympy.Expr) -> str:
    return UnicodePrinter().doprint(Arrange(Names())(value))


def latex_of(value: sympy.Expr) -> str:
    return LatexPrinter().doprint(Arrange(Names())(value))


def test_equations_of_one_tensor_are_one_line() -> None:
    net = Network([Dense(1)], inputs=2, loss="mse")
    assert str(net.forward).splitlines()[0] == "z1[b, j] = Σ_k W1[j, k]·x[b, k] + b1[j]"


def test_axis_letters_of_the_target_are_used_and_none_is_captured() -> None:
    net = Network([Dense(3), Dense(3)], inputs=3, loss="mse")
    assert printed(net.raw_gradients)["∂L/∂a1"] == "Σ_k W2[k, j]·∂L/∂z2[b, k]"


def test_no_two_indices_of_a_line_share_a_name() -> None:
    x, y = Tensor("x", (index("k", 3), index("k", 4))), Tensor("y", (index("k", 3),))
    first, second = index("k", 3), index("k", 4)
    equation = Equation(y[first], x[first, second], (second,))
    assert str(equation) == "y[k] = Σ_i x[k, i]"


def test_dummy_index_gets_a_readable_name() -> None:
    x, total = Tensor("x", (j,)), Tensor("total")
    hidden = Idx(sympy.Dummy("u", integer=True), 3)
    assert str(Equation(total[()], x[hidden], (hidden,))) == "total = Σ_u x[u]"


def test_factors_free_of_the_summed_index_stand_in_front() -> None:
    net = Network([Dense(3, "tanh"), Dense(2)], inputs=4, loss="mse")
    expected = "(1 - a1[b, j]²)·Σ_k W2[k, j]·∂L/∂z2[b, k]"
    assert printed(net.gradients)["∂L/∂z1"] == expected


@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        ("sigmoid", "a1[b, j]·(1 - a1[b, j])·"),
        ("tanh", "(1 - a1[b, j]²)·"),
        ("relu", "[z1[b, j] > 0]·"),
        ("linear", ""),
    ],
)
def test_textbook_slopes(activation: str, slope: str) -> None:
    net = Network([Dense(3, activation), Dense(2)], inputs=4, loss="mse")
    assert printed(net.gradients)["∂L/∂z1"] == f"{slope}Σ_k W2[k, j]·∂L/∂z2[b, k]"


@pytest.mark.parametrize(
    ("activation", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")]
)
def test_output_delta_is_prediction_minus_target(activation: str, loss: str) -> None:
    net = Network([Dense(3, activation)], inputs=4, loss=loss)
    found = printed(net.gradients)
    assert found["∂L/∂z1"] == "(ŷ[b, j] - y[b, j])/m"
    assert found["∂L/∂W1"] == "Σ_b ∂L/∂z1[b, j]·x[b, k]"
    assert found["∂L/∂b1"] == "Σ_b ∂L/∂z1[b, j]"


z = Symbol("z", real=True)
CONDITIONS = {
    "[z > 0]": Greater(z, 0),
    "[z ≤ 0]": 1 - Greater(z, 0),
    "[z < 2]": Greater(2, z),
    "[z > 0 and z < 2]": Greater(z, 0) * Greater(2, z),
    "[z < 0 or z > 2]": 1 - (1 - Greater(0, z)) * (1 - Greater(z, 2)),
    "[z ≤ 0 or z ≥ 2]": 1 - Greater(z, 0) * Greater(2, z),
    "{z if z ≥ 1, else z²}": Select(GreaterEqual(z, 1), z, z**2),
    "{0 if z < -1 or z > 1, else 1}": Select(
        Greater(-1, z), sympy.Integer(0), Select(Greater(z, 1), sympy.Integer(0), sympy.Integer(1))
    ),
    "|z|": scalar_function(sympy.Abs(z), {}, "test"),
    "max(z, 0)": Maximum(z, 0),
}


@pytest.mark.parametrize("expected", CONDITIONS)
def test_conditions_read_well(expected: str) -> None:
    assert scalar(CONDITIONS[expected]) == expected


NUMBERS = {
    "z²": z**2,
    "z¹²": z**12,
    "1/z²": z**-2,
    "√(1 + z)": sympy.sqrt(1 + z),
    "1/√(1 + z)": 1 / sympy.sqrt(1 + z),
    "z^(3/2)": z ** Rational(3, 2),
    "z/3": z / 3,
    "2/3·z": 2 * z / 3,
    "1e-8": Rational(1, 10**8),
    "1.0507009873554805·z": Rational("1.0507009873554804934193349852946") * z,
    "log1p(z)": sympy.codegen.cfunctions.log1p(z),
    "expm1(z)": sympy.codegen.cfunctions.expm1(z),
    "2·(1 - z)": 2 - 2 * z,
    "-z/(1 + z)": -z / (1 + z),
    "√2·z": sympy.sqrt(2) * z,
}


@pytest.mark.parametrize("expected", NUMBERS)
def test_numbers_and_powers(expected: str) -> None:
    assert scalar(NUMBERS[expected]) == expected


def test_latex_of_names_fractions_cases() -> None:
    assert latex_of(Symbol("W1")) == "W^{(1)}"
    assert latex_of(Symbol("gamma3")) == r"\gamma^{(3)}"
    assert latex_of(Symbol("yhat")) == r"\hat{y}"
    assert latex_of(Symbol("my_total")) == r"\mathrm{my}_{\mathrm{total}}"
    assert latex_of(Symbol("a1") ** 2) == r"\left(a^{(1)}\right)^{2}"
    assert latex_of(Greater(z, 0)) == r"\left[z > 0\right]"
    assert latex_of(Select(Greater(z, 0), z, -z)) == (
        r"\begin{cases} z & \text{if } z > 0 \\ -z & \text{otherwise} \end{cases}"
    )
    assert latex_of(1 / (1 + sympy.exp(-z))) == r"\frac{1}{1 + e^{-z}}"


def test_latex_of_a_gradient() -> None:
    net = Network([Dense(3)], inputs=4, loss="mse")
    program = net.gradients
    found = lines(program.equations, names_of(program), program.by_label)
    rows = list(latex(found))
    assert rows[0] == r"z^{(1)}_{bj} &= \sum_{k} W^{(1)}_{jk} \, x_{bk} + b^{(1)}_{j}"
    expected = (
        r"\frac{\partial L}{\partial W^{(1)}_{jk}} &= "
        r"\sum_{b} \frac{\partial L}{\partial z^{(1)}_{bj}} \, x_{bk}"
    )
    assert expected in rows


def matrices(program: Program, form: str) -> dict[str, str | None]:
    deltas = {"z1′1": "delta1", "z2′1": "delta2"}
    spell, names = UnicodePrinter(layers=True), names_of(program, deltas)
    found = {}
    for line in lines(program.equations, names, program.by_label):
        assert isinstance(line, Line)
        shown = in_matrices(line, names, form)  # type: ignore[arg-type]  # a literal in the table
        found[str(line.equations[0].label)] = shown and spell.doprint(shown.value)
    return found


SAMPLE = {
    "z1": "W⁽¹⁾ x + b⁽¹⁾",
    "z1′1": "(W⁽²⁾ᵀ δ⁽²⁾) ⊙ (1 - a⁽¹⁾ ⊙ a⁽¹⁾)",
    "W1′1": "δ⁽¹⁾ xᵀ",
    "b1′1": "δ⁽¹⁾",
    "z2′1": "ŷ - y",
    "L": "-yᵀ log(ŷ)",
}
SAMPLES_IN_ROWS = {
    "z1": "x W⁽¹⁾ᵀ + 1 b⁽¹⁾ᵀ",
    "z1′1": "(δ⁽²⁾ W⁽²⁾) ⊙ (1 - a⁽¹⁾ ⊙ a⁽¹⁾)",
    "W1′1": "δ⁽¹⁾ᵀ x",
    "b1′1": "δ⁽¹⁾ᵀ 1",
    "z2′1": "(ŷ - y)/m",
}


@pytest.mark.parametrize(("form", "expected"), [("sample", SAMPLE), ("batch", SAMPLES_IN_ROWS)])
@pytest.mark.parametrize("widths", [(3, 2, 4), (3, 3, 3)], ids=["different", "equal"])
def test_matrix_forms(form: str, expected: dict[str, str], widths: tuple[int, int, int]) -> None:
    hidden, out, inputs = widths
    layers = [Dense(hidden, "tanh"), Dense(out, "softmax")]
    found = matrices(Network(layers, inputs=inputs, loss="cross_entropy").gradients, form)
    assert {label: found[label] for label in expected} == expected


def convolution() -> tuple[Program, Tensor, tuple[Tensor, ...]]:
    scope = Scope()
    o, p, r, i = index("o", 2), index("p", 3), index("r", 3), index("i", 7)
    x = scope.tensor("x", (b, i), role="input")
    w = scope.tensor("w", (o, r), role="parameter")
    y, loss = scope.tensor("y", (b, o, p)), scope.tensor("L")
    scope.define(y[b, o, p], w[o, r] * x[b, 2 * p + r], over=(r,))
    scope.define(loss[()], y[b, o, p] ** 2 / 2, over=(b, o, p))
    return scope.freeze((loss,)), loss, (x, w)


def max_pool() -> tuple[Program, Tensor, tuple[Tensor, ...]]:
    scope = Scope()
    p, r, i = index("p", 3), index("r", 2), index("i", 6)
    x = scope.tensor("x", (b, i), role="input")
    y, loss = scope.tensor("y", (b, p)), scope.tensor("L")
    scope.define(y[b, p], x[b, 2 * p + r], over=(r,), reduce="max")
    scope.define(loss[()], y[b, p] ** 2 / 2, over=(b, p))
    return scope.freeze((loss,)), loss, (x,)


def embedding() -> tuple[Program, Tensor, tuple[Tensor, ...]]:
    scope = Scope()
    t = scope.tensor("t", (b,), role="input")
    table = scope.tensor("E", (index("n", 9), j), role="parameter")
    v, loss = scope.tensor("v", (b, j)), scope.tensor("L")
    scope.define(v[b, j], table[t[b], j])
    scope.define(loss[()], sympy.sin(v[b, j]), over=(b, j))
    return scope.freeze((loss,)), loss, (table,)


CONVOLUTION = """\
y[b, o, p] = Σ_r w[o, r]·x[b, 2·p + r]
L = 1/2·Σ_{b, o, p} y[b, o, p]²
∂L/∂L = 1
∂L/∂y[b, o, p] = ∂L/∂L·y[b, o, p]
∂L/∂w[o, r] = Σ_{b, p} ∂L/∂y[b, o, p]·x[b, 2·p + r]
∂L/∂x[b, 2·p + r] += Σ_o ∂L/∂y[b, o, p]·w[o, r]  for each p, r"""
MAX_POOL = """\
y[b, p] = max_r x[b, 2·p + r]
L = 1/2·Σ_{b, p} y[b, p]²
∂L/∂L = 1
ties_y[b, p] = Σ_r [x[b, 2·p + r] = y[b, p]]
∂L/∂y[b, p] = ∂L/∂L·y[b, p]
∂L/∂x[b, 2·p + r] += [x[b, 2·p + r] = y[b, p]]/ties_y[b, p]·∂L/∂y[b, p]  for each p, r"""
EMBEDDING = """\
v[b, j] = E[t[b], j]
L = Σ_{b, j} sin(v[b, j])
∂L/∂L = 1
∂L/∂v[b, j] = cos(v[b, j])·∂L/∂L
∂L/∂E[t[b], j] += ∂L/∂v[b, j]  for each b"""


@pytest.mark.parametrize(
    ("build", "expected"),
    [(convolution, CONVOLUTION), (max_pool, MAX_POOL), (embedding, EMBEDDING)],
    ids=["convolution", "max-pool", "embedding"],
)
def test_gathers_and_scatters_read_well(build, expected) -> None:  # type: ignore[no-untyped-def]
    program, loss, wrt = build()
    assert str(program + backward(program, loss, wrt)) == expected


def test_users_tensor_called_ties_has_a_cotangent_that_prints_as_one() -> None:
    scope = Scope()
    given = scope.tensor("ties_x", (j,), role="parameter")
    loss = scope.tensor("L")
    scope.define(loss[()], given[j] ** 2, over=(j,))
    program = scope.freeze((loss,))
    assert "∂L/∂ties_x" in printed(program + backward(program, loss, (given,)))


def test_recurrence_is_a_block() -> None:
    t = index("t", 4)
    h, x = Tensor("h", (index("u", 5), b, j)), Tensor("x", (t, b, j))
    equation = Equation(h[t + 1, b, j], sympy.tanh(x[t, b, j]))
    assert str(Recurrence(t, (equation,))) == (
        "for t = 0, …, 3:\n    h[t + 1, b, j] = tanh(x[t, b, j])"
    )
    assert str(Recurrence(t, (equation,), reverse=True)).startswith("for t = 3, …, 0:\n    ")


def test_sum_that_grows_from_step_to_step_shows_no_sum_over_the_step() -> None:
    t = index("t", 4)
    w, x = Tensor("w", (j,)), Tensor("x", (t, b, j))
    grown = Recurrence(t, (Equation(w[j], x[t, b, j], (b, t)),))
    assert str(grown) == "for t = 0, …, 3:\n    w[j] += Σ_b x[t, b, j]"


def test_second_order_names_both_scalars() -> None:
    program, loss, wrt = embedding()
    first = program + backward(program, loss, wrt)
    scope = Scope()
    scope.adopt(*first.tensors)
    gradient = wrt[0].cotangent(1)
    square = scope.tensor("S")
    scope.define(square[()], gradient[gradient.axes] ** 2, over=gradient.axes)
    whole = first + scope.freeze((square,))
    found = printed(backward(whole, square, wrt))
    assert found["∂S/∂(∂L/∂E"] == "2·∂L/∂E[n, j]·∂S/∂S"


def test_partial_sum_that_is_read_is_not_moved() -> None:
    x, y, u = Tensor("x", (j,), "input"), Tensor("y", (j,)), Tensor("u", (j,))
    equations = (Equation(y[j], x[j]), Equation(u[j], y[j]), Equation(y[j], x[j] ** 2))
    text = str(Program((x, y, u), equations))
    assert text == "y[j] += x[j]\nu[j] = y[j]\ny[j] += x[j]²"


def test_set_prints_as_an_arrow_with_its_target_first() -> None:
    net = Network([Dense(1)], inputs=2, loss="mse")
    assert str(net.update()).splitlines()[0] == "W1[j, k] ← W1[j, k] - α·∂L/∂W1[j, k]"


def everything() -> list[Program]:
    nets = [Network([Dense(3, a), Dense(3)], 2, "mse") for a in ACTIVATIONS]
    nets += [Network([Dense(3, "sigmoid")], 2, loss) for loss in LOSSES]
    custom = sympy.Piecewise((z**3, (z > 1) | (z < -1)), (sympy.Abs(sympy.sin(z)), True))
    nets.append(Network([Dense(2, custom), Dense(1)], 2, "huber"))
    whole = [
        program + backward(program, loss, wrt)
        for program, loss, wrt in (convolution(), max_pool(), embedding())
    ]
    return whole + [
        p for net in nets for p in (net.raw_gradients, net.gradients, net.update("adam"))
    ]


def test_nothing_raw_is_ever_shown() -> None:
    for program in everything():
        found = lines(program.equations, names_of(program), program.by_label)
        spelled = [str(program), *latex(found)]
        for line in found:
            assert isinstance(line, Line)
            for form in ("sample", "batch"):
                shown = in_matrices(line, names_of(program), form)  # type: ignore[arg-type]
                spelled += [line_latex(shown, LatexPrinter())] if shown else []
        for word in FORBIDDEN:
            assert not [text for text in spelled if word in text], word


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from symprop import Dense, Network
import test_printers
net = Network([Dense(3, "mish"), Dense(4, "softmax")], inputs=2, loss="cross_entropy")
derivation = net.derive()
out = "\\n".join([str(net.raw_gradients), str(net.gradients), str(derivation), derivation.latex()])
program, loss, wrt = test_printers.max_pool()
out += str(test_printers.backward(program, loss, wrt))
sys.stdout.buffer.write(out.encode())
"""


def test_print_does_not_depend_on_the_hash_seed() -> None:
    script = SCRIPT.format(tests=os.path.dirname(__file__))
    outputs = {
        subprocess.run(  # noqa: S603 (our own script)
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(outputs) == 1
