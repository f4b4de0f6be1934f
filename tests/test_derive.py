"""The derivation: its sections, its formulas, its files, its own check."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sympy
from symprop import (
    SGD,
    Activation,
    Adam,
    BatchNorm,
    CosineDecay,
    Dense,
    Network,
    StepDecay,
    WarmUp,
)
from symprop.derive import Derivation
from symprop.derive.explain import ALGEBRA
from symprop.errors import ArgumentError, DerivationError
from symprop.tensor import label_of

SECTIONS = (
    "What is declared",
    "Forward pass",
    "Loss",
    "The chain rule through all layers",
    "Delta of the output layer",
    "Recursion of the deltas",
    "Gradients of weights and biases",
    "Update by gradient descent",
)


def two_layers(activation: object = "relu") -> Derivation:
    layers = [Dense(4, activation), Dense(3, "softmax")]
    return Network(layers, inputs=5, loss="cross_entropy").derive()


def formulas(derivation: Derivation) -> set[str]:
    """The lines of a printed derivation, without captions and indentation."""
    captions = r"(index|one sample|batch|matrix|activation|fact|common sum) +"
    lines = (re.sub(f"^{captions}", "", line.strip()) for line in str(derivation).splitlines())
    return {re.sub(r" +\(\d+\)$", "", line) for line in lines}


def in_one_line(derivation: Derivation) -> str:
    """The printed derivation with its lines joined."""
    return " ".join(str(derivation).split())


def test_sections_come_in_the_order_of_the_lesson() -> None:
    text = str(two_layers())
    places = [text.index(f"\n{title}\n") if title != SECTIONS[0] else 0 for title in SECTIONS]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("activation", "slope", "index"),
    [
        ("sigmoid", "a⁽¹⁾ ⊙ (1 - a⁽¹⁾)", "a⁽¹⁾[b, j]·(1 - a⁽¹⁾[b, j])"),
        ("tanh", "(1 - a⁽¹⁾ ⊙ a⁽¹⁾)", "(1 - a⁽¹⁾[b, j]²)"),
        ("relu", "[z⁽¹⁾ > 0]", "[z⁽¹⁾[b, j] > 0]"),
    ],
)
def test_recursion_in_three_notations(activation: str, slope: str, index: str) -> None:
    found = formulas(two_layers(activation))
    assert "δ⁽¹⁾ = (W⁽²⁾ᵀ δ⁽²⁾) ⊙ σ′(z⁽¹⁾)" in found
    assert f"δ⁽¹⁾ = (W⁽²⁾ᵀ δ⁽²⁾) ⊙ {slope}" in found
    assert f"δ⁽¹⁾ = (δ⁽²⁾ W⁽²⁾) ⊙ {slope}" in found
    joined = in_one_line(two_layers(activation)).replace("· ", "·")
    assert f"δ⁽¹⁾[b, j] = {index}·Σ_k W⁽²⁾[k, j]·δ⁽²⁾[b, k]" in joined


def test_textbook_lines() -> None:
    found = formulas(two_layers())
    for line in (
        "δ⁽²⁾[b, j] = (ŷ[b, j] - y[b, j])/m",
        "δ⁽²⁾ = ŷ - y",
        "∂L/∂W⁽¹⁾[j, k] = Σ_b δ⁽¹⁾[b, j]·x[b, k]",
        "∂L/∂W⁽²⁾ = δ⁽²⁾ a⁽¹⁾ᵀ",
        "∂L/∂W⁽²⁾ = δ⁽²⁾ᵀ a⁽¹⁾",
        "∂L/∂b⁽²⁾ = δ⁽²⁾ᵀ 1",
        "W⁽¹⁾ ← W⁽¹⁾ - α·∂L/∂W⁽¹⁾",
        "σ′(z) = [z > 0]",
        "Σ_j y[b, j] = 1",
    ):
        assert line in found, line


def test_fact_is_mentioned_only_where_it_is_used() -> None:
    assert "Used here: the target" in str(two_layers())
    net = Network([Dense(3, "sigmoid")], inputs=5, loss="cross_entropy")
    assert "Used here: the target" not in str(net.derive())


def test_wide_formulas_aside_no_line_is_over_80_columns() -> None:
    assert max(map(len, str(two_layers()).splitlines())) <= 80


z = sympy.Symbol("z")
KINKS = {
    "relu": "has a kink; its derivative is taken as 0 at z = 0.",
    "selu": "has a kink; its derivative is taken as 1.7581 at z = 0.",
    "hard_tanh": "has kinks; its derivative is taken as 0 at z = -1 and z = 1.",
    sympy.Max(sympy.Abs(z), sympy.Rational(1, 2)): "taken as 0 at z = -1/2 and z = 1/2.",
    sympy.Max(-1, sympy.Min(1, z)): "taken as 0 at z = -1 and z = 1.",
    sympy.Max(sympy.Abs(z), sympy.sqrt(2)): "taken as 0 at z = -√2 and z = √2.",
    sympy.Max(z, sympy.pi / 3 * z + sympy.E): "taken as π/3 at z = e/(1 - π/3).",
    sympy.Abs(z**2 - 2): "taken as 0 at z ≈ -1.414 and z ≈ 1.414.",
    sympy.Max(z, z**3): "taken as 3 at z = -1 and z = 1 and as 0 at z = 0.",
    sympy.Max(z, sympy.pi): "taken as 0 at z = π.",
    sympy.Abs(sympy.sin(z)): "z = -2·π, z = -π, z = 0, z = π, z = 2·π and 8 more places",
    sympy.sqrt(sympy.Abs(z)): "The derivative of the activation has no finite value at z = 0.",
    sympy.sign(z) + z: "The activation jumps; its derivative is taken as 1 at z = 0.",
}


@pytest.mark.parametrize("activation", KINKS)
def test_every_kink_is_named(activation: object) -> None:
    text = " ".join(str(two_layers(activation)).split())
    assert KINKS[activation] in text


@pytest.mark.parametrize(
    "activation", ["tanh", "softsign", "elu", sympy.Max(z, 0) ** 2, z * sympy.Abs(z)]
)
def test_no_kink_is_named_where_the_slope_does_not_jump(activation: object) -> None:
    text = str(two_layers(activation))
    assert "kink" not in text
    assert "jumps" not in text


@pytest.mark.parametrize(
    ("loss", "taken"), [("hinge", "[0 > 0] = 0."), ("mae", "sign(0) = 0."), ("huber", "")]
)
def test_convention_at_the_kink_of_a_loss(loss: str, taken: str) -> None:
    text = str(Network([Dense(2)], inputs=3, loss=loss).derive())
    assert taken in text
    assert ("Where the loss has a kink" in text) == bool(taken)


SOFTMAX_NETS = {
    "output": Network([Dense(3, "softmax")], 4, "mse"),
    "output, mae": Network([Dense(3, "softmax")], 4, "mae"),
    "hidden": Network([Dense(3, "softmax"), Dense(2)], 4, "mse"),
    "both": Network([Dense(3, "softmax"), Dense(3, "softmax")], 4, "mae"),
}


@pytest.mark.parametrize("net", SOFTMAX_NETS.values(), ids=SOFTMAX_NETS)
def test_every_symbol_is_defined_before_it_is_read(net: Network) -> None:
    derivation = net.derive()
    given = {t.label for t in (*derivation.raw.tensors, *derivation.update.tensors)}
    defined = {label for label in given if label not in derivation.raw.defined}
    helpers = (inner for step in derivation.steps for inner in (*step.steps, step))
    for step in (step for step in helpers if step.number):
        for equation in step.equations:
            read = {label_of(access) for access in equation.reads} - set(derivation.raw.sizes)
            assert read <= defined | {equation.label}, equation
            defined.add(equation.label)
    names = {t.name for t in derivation.short.tensors if not t.order} - {str(x) for x in given}
    assert names
    assert str(derivation).count("computed on the way back") == len(names)
    derivation.verify()


def test_derivative_that_is_zero_is_said_to_be_zero() -> None:
    layers = [Dense(2, "relu"), Dense(2, sympy.Heaviside(z)), Dense(1)]
    text = str(Network(layers, 3, "mse").derive())
    for line in ("δ⁽²⁾ = 0", "δ⁽¹⁾ = 0", "∂L/∂W⁽²⁾ = 0", "∂L/∂W⁽¹⁾ = 0"):
        assert line in text, line
    assert "because the derivative of the activation is 0 everywhere" in text
    assert "because δ is 0 at the layer above" in text
    assert text.index("Gradients of weights") < text.index("∂L/∂W⁽¹⁾ = 0")


def test_slope_is_printed_in_its_shorter_form() -> None:
    assert "σ′(z) = 1/(1 + |z|)²" in formulas(two_layers("softsign"))


def test_title_names_the_network_and_symbols_are_introduced() -> None:
    derivation = two_layers()
    title = "Backpropagation: 5 inputs, Dense 4 (relu), Dense 3 (softmax), loss cross\\_entropy"
    assert title in derivation.latex()
    assert str(derivation).startswith(title.replace("\\", ""))
    assert "m is the number of samples" in str(derivation)
    assert "δ⁽ˡ⁾ = ∂L/∂z⁽ˡ⁾" in str(derivation)


def test_equal_layers_are_counted_in_the_title() -> None:
    text = str(Network([Dense(3, "tanh")] * 7, 2, "mse").derive())
    assert text.startswith("Backpropagation: 2 inputs, 7 times Dense 3 (tanh), loss mse")
    assert "2 times" not in str(Network([Dense(3, z**3), Dense(3, z**2)], 2, "mse").derive())


@pytest.mark.parametrize(
    "activation", ["relu", "gelu", "mish", "selu", "softmax", z * sympy.tanh(z), sympy.Abs(z)]
)
def test_derivation_holds_in_numbers(activation: object) -> None:
    record = two_layers(activation).verify()
    assert {"matrix product", "chain rule", "numba backend"} <= {c.rule for c in record.checks}


def test_print_time_is_linear_in_depth() -> None:
    def seconds(depth: int) -> float:
        net = Network([Dense(3, "tanh")] * depth + [Dense(1)], inputs=2, loss="mse")
        derivation = net.derive()
        start = time.perf_counter()
        str(derivation)
        return time.perf_counter() - start

    seconds(10)
    assert seconds(80) < 16 * seconds(20)


def test_save_by_suffix(tmp_path: Path) -> None:
    derivation = two_layers()
    for suffix, mark in ((".tex", r"\end{document}"), (".txt", "δ⁽¹⁾"), (".md", "$")):
        derivation.save(tmp_path / f"backprop{suffix}")
        assert mark in (tmp_path / f"backprop{suffix}").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".docx", ""])
def test_save_refuses_other_suffixes(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ArgumentError, match=r"\.txt, \.md, \.tex, \.pdf, \.html"):
        two_layers().save(tmp_path / f"backprop{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize(
    "activation", ["relu", "gelu", "selu", "softmax", sympy.Max(z, sympy.pi), sympy.Abs(z**2 - 2)]
)
def test_document_compiles(tmp_path: Path, activation: object) -> None:
    two_layers(activation).save(tmp_path / "backprop.tex")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "backprop.tex"],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "backprop.pdf").stat().st_size > 10_000


def test_latex_is_plain_ascii() -> None:
    assert two_layers().latex().isascii()


def running_form(activation: sympy.Expr) -> str:
    """What is said of an activation's running form, in one line."""
    net = Network([Dense(2, activation), Dense(1)], inputs=1, loss="mse")
    text = " ".join(net.derive("summary", notation="index").text().split())
    return text[text.index("In floating point") :]


def test_a_form_that_only_rounds_otherwise_is_printed_once() -> None:
    form = "a⁽¹⁾[b, j] = exp(-z⁽¹⁾[b, j]²)"
    assert f"{form} (exponential of a product)" in running_form(sympy.exp(-(z**2)))


def test_of_a_long_polynomial_near_0_the_first_terms_are_printed() -> None:
    shown = running_form(z / sympy.sinh(z))
    assert "{1 - z⁽¹⁾[b, j]²/6 + 7/360·z⁽¹⁾[b, j]⁴ + … if |z⁽¹⁾[b, j]| < 1, 0 if" in shown


GOLDEN = {
    "softmax": Network([Dense(4, "tanh"), Dense(3, "softmax")], 5, "cross_entropy"),
    "repeated": Network([Dense(4, "relu")] * 5 + [Dense(1)], 4, "mse"),
    "custom": Network(
        [Dense(3, z * sympy.tanh(z)), Dense(1, "sigmoid")], 2, "binary_cross_entropy"
    ),
    "helpers": Network([Dense(4, "softplus"), Dense(3, "softmax")], 5, "mae"),
}


@pytest.mark.parametrize("detail", ["summary", "standard", "full"])
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_derivation(name: str, detail: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}_{detail}.txt", f"{GOLDEN[name].derive(detail)}\n")


@pytest.mark.parametrize(
    "optimizer",
    [
        *("momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"),
        SGD(CosineDecay(0.1, steps=100), clip_norm=1.0),
        Adam(WarmUp(10, then=StepDecay(0.1, steps=3)), clip_value=0.1),
    ],
    ids=str,
)
def test_the_update_of_every_optimizer_is_shown_and_holds(optimizer):
    net = Network([Dense(3, "tanh"), Dense(2)], inputs=2, loss="mse")
    derivation = net.derive(optimizer=optimizer)
    told = {str(e.label) for step in derivation.steps for e in step.equations}
    assert {str(e.label) for e in net.update(optimizer).flat} <= told
    assert "←" in str(derivation)
    assert r"\gets" in derivation.latex() or r"\leftarrow" in derivation.latex()
    derivation.verify(points=1)


def test_an_update_with_a_wrong_sign_does_not_hold():
    net = Network([Dense(2)], inputs=2, loss="mse")
    derivation = net.derive(optimizer="adam")
    (place,) = (n for n, s in enumerate(derivation.steps) if str(s.before) == "m_W1[j, k]")
    step = derivation.steps[place]
    wrong = (*derivation.steps[:place], replace(step, after=-step.after))
    with pytest.raises(DerivationError, match="update does not hold"):
        replace(derivation, steps=(*wrong, *derivation.steps[place + 1 :])).verify(points=1)


def test_the_update_is_named_and_that_of_descent_is_as_by_default():
    net = Network([Dense(2)], inputs=2, loss="mse")
    assert "Update by Adam\n" in str(net.derive(optimizer="adam"))
    assert str(net.derive(optimizer="sgd")) == str(net.derive())
    assert net.derive(optimizer="adam").worked([1, 2], [1, 2]).updated.keys() == {"W1", "b1", "L"}


def test_an_activation_has_a_letter_that_no_tensor_has() -> None:
    layers = [Dense(2), BatchNorm(), Activation("sigmoid"), Dense(1)]
    derivation = Network(layers, inputs=2, loss="mse").derive()
    text = str(derivation)
    assert "σ⁽²⁾[j] = √(v⁽²⁾[j] + 1e-5)" in text
    assert "φ(z) = 1/(1 + exp(-z))" in text
    assert "δ⁽²⁾ = (δ⁽³⁾ W⁽³⁾) ⊙ φ′(z⁽²⁾)" in text
    assert "σ(" not in text
    assert "σ′" not in text
    assert r"\phi'\left(z^{(2)}\right)" in derivation.latex()
    assert "<mi>φ</mi><mo>′</mo>" in derivation.html()
    assert derivation.verify(points=1).checks
    assert "φ" not in str(two_layers("sigmoid"))


def test_what_layers_share_is_told_once() -> None:
    net = Network([Dense(3, "tanh"), Dense(2)], inputs=4, loss="mse", l1=0.1)
    text = in_one_line(net.derive())
    assert text.count("Where the penalty has a kink") == 1
    assert text.count("∂L/∂R = 1 ") == 1


@pytest.mark.parametrize("activation", ["softmax", "mish", "sigmoid"])
def test_algebra_that_follows_algebra_is_one_line(activation: str) -> None:
    net = Network([Dense(3, activation), Dense(3, "softmax")], inputs=2, loss="cross_entropy")
    for step in net.derive().steps:
        lines = [inner for line in step.steps for inner in (line.steps or (line,))]
        pairs = [(a, b) for a, b in pairwise(lines) if a.after == b.before]
        assert not any({a.rule, b.rule} <= {*ALGEBRA} for a, b in pairs)
        assert all(line.before != line.after for line in lines if line.rule in ALGEBRA)
