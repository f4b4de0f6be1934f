"""The derivation: its sections, its formulas, its files, its own check."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sympy
from symprop import Dense, Network
from symprop.derive import Derivation
from symprop.errors import ArgumentError, DerivationError

SECTIONS = (
    "What is declared",
    "Forward pass",
    "Loss",
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
    captions = r"(index|one sample|batch|matrix|activation|adjoint|fact) +"
    return {re.sub(f"^{captions}", "", line.strip()) for line in str(derivation).splitlines()}


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
    assert f"δ⁽¹⁾[b, j] = {index}·Σ_k W⁽²⁾[k, j]·δ⁽²⁾[b, k]" in found


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


def test_kink_convention_is_stated_where_there_is_a_kink() -> None:
    assert "kink; its derivative is taken as 0 at z = 0." in str(two_layers("relu"))
    assert "kink" not in str(two_layers("tanh"))


def test_fact_is_mentioned_only_where_it_is_used() -> None:
    assert "(used here: the target" in str(two_layers())
    net = Network([Dense(3, "sigmoid")], inputs=5, loss="cross_entropy")
    assert "(used here: the target" not in str(net.derive())


def test_wide_formulas_aside_no_line_is_over_80_columns() -> None:
    assert max(map(len, str(two_layers()).splitlines())) <= 80


z = sympy.Symbol("z")


@pytest.mark.parametrize(
    "activation", ["relu", "gelu", "mish", "selu", "softmax", z * sympy.tanh(z), sympy.Abs(z)]
)
def test_derivation_holds_in_numbers(activation: object) -> None:
    two_layers(activation).verify()


def test_verify_names_the_first_step_that_fails() -> None:
    derivation = two_layers("tanh")
    wrong = [
        replace(e, value=-e.value) if str(e.label) == "z1′1" else e
        for e in derivation.short.equations
    ]
    broken = replace(derivation, short=replace(derivation.short, equations=tuple(wrong)))
    with pytest.raises(DerivationError, match="δ at Dense 1"):
        broken.verify()


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
    for suffix, mark in ((".tex", r"\end{document}"), (".txt", "δ⁽¹⁾"), (".md", "$$")):
        derivation.save(tmp_path / f"backprop{suffix}")
        assert mark in (tmp_path / f"backprop{suffix}").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".pdf", ".html", ".docx", ""])
def test_save_refuses_other_suffixes(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ArgumentError, match=r"\.tex, \.txt, \.md"):
        two_layers().save(tmp_path / f"backprop{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("activation", ["relu", "gelu", "selu", "softmax"])
def test_document_compiles(tmp_path: Path, activation: str) -> None:
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


def test_golden_derivation(golden: Callable[[str, str], None]) -> None:
    golden("two_layers.txt", f"{two_layers()}\n")
