"""LaTeX: every document compiles, nothing is wider than its line, and nothing gets lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from symprop import BatchNorm, Dense, Network
from symprop.errors import DerivationError, MissingPackageError
from symprop.printers import pdf
from symprop.printers.breaking import Breaker, broken
from symprop.printers.document import Fold, Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.index import Block, Line
from symprop.printers.latex import LatexPrinter
from symprop.printers.mathjax import as_math
from symprop.printers.prose import MATH, SCRIPTS, SPECIAL, escaped
from symprop.printers.structure import (
    Access,
    AllOf,
    AnyOf,
    Bracket,
    Call,
    Case,
    Compare,
    Differential,
    Entries,
    Fraction,
    Hadamard,
    Magnitude,
    Minus,
    Numeral,
    Ones,
    Plus,
    Power,
    Product,
    Quotient,
    Reduction,
    Root,
    Shape,
    Slope,
    Times,
    Transposed,
)
from symprop.printers.tex import FRAGMENT, STRUT, as_latex, as_latex_document
from symprop.printers.width import width
from sympy import Expr, Integer, Rational, Symbol

SPELL = LatexPrinter(euler=False)
NAME = "learning_rate_of_the_first_hidden_layer_1"
LONG_NAMES = (NAME, "W" * 40, "averyveryverylongnamewithoutanyunderscore")
needs_pdflatex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed"
)


def access(name: str, *subscripts: str) -> Expr:
    return Access(Symbol(name), *map(Symbol, subscripts))


def decimal(digits: str) -> Expr:
    return Numeral(Symbol(digits))


x, m = access("x"), access("m")
WIDE = Plus(*(Times(access("W(l)", "j", str(n)), access("a(l-1)", "b", "k")) for n in "pqrstuvw"))
LONG = Times(*(access(name, "b", "j") for name in LONG_NAMES))
SMALLER = Compare(Symbol("≤"), WIDE, x)
FORMULAS: dict[str, Expr] = {
    "slope": Slope(access(NAME), access(NAME + "_2", "b", "j")),
    "differential": Differential(WIDE, access("z1", "b", "j")),
    "minus": Minus(WIDE),
    "power": Power(WIDE, Integer(3)),
    "tower": Power(x, WIDE),
    "root": Root(WIDE),
    "sum": Reduction(Symbol("sum"), WIDE, Symbol("k"), Symbol("j")),
    "maximum": Reduction(Symbol("max"), WIDE, Symbol("k")),
    "call": Call(Symbol("sigma_prime"), WIDE),
    "arguments": Call(Symbol("erf"), WIDE, WIDE),
    "deep": Call(Symbol("tanh"), Call(Symbol("exp"), Call(Symbol("some_function"), WIDE))),
    "magnitude": Magnitude(WIDE),
    "bracket": Bracket(AllOf(SMALLER, AnyOf(SMALLER, Compare(Symbol("="), x, WIDE)))),
    "case": Case(WIDE, SMALLER, x, AnyOf(SMALLER, SMALLER), WIDE),
    "cases": Case(*[c for n in range(12) for c in (x, Compare(Symbol("<"), x, Integer(n)))], m),
    "product": Product(WIDE, x, Transposed(WIDE), WIDE, Ones()),
    "hadamard": Hadamard(*[Power(access("a1"), Integer(2))] * 12, WIDE),
    "quotient": Quotient(WIDE, WIDE),
    "shape": Shape(*[m] * 40),
    "number": decimal("1" * 200),
    "rational": Rational(10**80 + 1, 3),
    "matrix": Entries(Integer(2), Integer(3), *[decimal("0.25")] * 6),
    "wide matrix": Entries(Integer(2), Integer(12), *[Minus(decimal("0.1234567"))] * 24),
    "tall matrix": Entries(Integer(6), Integer(5), *[Minus(decimal("0.1234567"))] * 30),
    "numerator": Fraction(WIDE, m),
    "denominator": Fraction(m, WIDE),
    "fraction": Fraction(Times(x, WIDE), Times(WIDE, WIDE)),
    "names": LONG,
    "name": access("a" * 90),
    "subscripts": Access(Symbol("W1"), *[Symbol("a_long_index_name")] * 12),
}
ROOMS = (14.0, 24.0, 40.0)


def leaves(node: Expr) -> list[Expr]:
    return [part for part in sympy.preorder_traversal(node) if isinstance(part, Access)]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("room", ROOMS)
def test_rows_fit_and_are_complete_in_themselves(formula: str, room: float) -> None:
    for row in broken(FORMULAS[formula], SPELL, room):
        assert width(row) <= room, row
        assert row.count(r"\left") - row.count(r"\leftarrow") == row.count(r"\right")
        unescaped = re.sub(r"\\[{}]", "", row)
        assert unescaped.count("{") == unescaped.count("}")


@pytest.mark.parametrize("formula", FORMULAS)
def test_breaking_loses_nothing(formula: str) -> None:
    node = FORMULAS[formula]
    letters = re.compile(r"[A-Za-z0-9]")
    rows = "".join(broken(node, SPELL, 20.0))
    for leaf in set(leaves(node)):
        name = SPELL.name(leaf.args[0].name)
        if width(name) < 16:
            assert rows.count(name) >= leaves(node).count(leaf)
    if formula in ("names", "name", "number"):
        plain = re.sub(r"\\(mathrm|big[lr]|quad|cdot|,)", "", rows)
        expected = re.sub(r"\\(mathrm|,)", "", SPELL.doprint(node))
        assert letters.findall(plain) == letters.findall(expected)


def test_rows_break_at_sums_before_products_and_outside_parentheses_first() -> None:
    product = Times(access("a"), access("b"), access("c"))
    inner = Call(Symbol("tanh"), Plus(product, product))
    rows = broken(Plus(*[inner] * 6), SPELL, 24.0)
    call = r"\tanh\left(a \, b \, c + a \, b \, c\right)"
    assert rows == [f"{call} + {call}", f"{{}} + {call} + {call}", f"{{}} + {call} + {call}"]


def test_sums_cost_less_than_products_and_both_more_inside_parentheses() -> None:
    product = Times(*[access("W1", "j", "k")] * 6)
    pieces = Breaker(SPELL, 8.0).pieces(Plus(product, Call(Symbol("tanh"), Plus(product, product))))
    sums, products = ([p.cost for p in pieces if p.glue == sign] for sign in (" + ", r" \, "))
    assert min(sums) < min(products) < max(sums) < max(products)


def test_broken_fraction_has_its_denominator_in_front_or_behind_a_slash() -> None:
    assert broken(FORMULAS["numerator"], SPELL, 24.0)[0].startswith(r"\frac{1}{m} \, \bigl(")
    assert r"\big/ \bigl(" in "".join(broken(FORMULAS["denominator"], SPELL, 24.0))


def test_fraction_with_a_slash_is_in_parentheses_among_factors() -> None:
    rows = broken(Times(FORMULAS["fraction"], x), SPELL, 24.0)
    assert rows[0].startswith(r"\bigl(\bigl(")
    assert rows[-1].endswith(r"\bigr) \, x")


def test_matrix_too_wide_for_its_row_is_small_in_parentheses_as_tall_as_it_is() -> None:
    matrix = FORMULAS["tall matrix"]
    assert broken(matrix, SPELL, 40.0)[0].startswith(r"\begin{pmatrix} -0.1234567 & ")
    (small,) = broken(matrix, SPELL, 28.0)
    assert small.startswith(r"\left(\begin{smallmatrix}")
    assert small.count(r"\\[0.8ex]") == 5


PROSE = {
    "δ⁽²⁾": r"$\delta^{(2)}$",
    "z⁽ˡ⁻¹⁾": "$z^{(l-1)}$",
    "W⁽ᴸ⁾ᵀ": r"$W^{(L)\top}$",
    "σ′(z)": r"$\sigma^{\prime}$(z)",
    "σ′⁽¹⁾": r"$\sigma^{\prime (1)}$",
    "ŷ": r"$\hat{y}$",
    "δ̂": r"$\hat{\delta}$",
    "Σ_k Σ_{b, j} y": r"$\sum_{k}$ $\sum_{b, j}$ y",
    "∂L/∂z": r"$\partial L$/$\partial z$",
    "½·√π": r"$\tfrac{1}{2}\cdot\surd\pi$",
    "x₁² ≤ ∞": r"$x_{1}^{2}$ $\le$ $\infty$",
    "a – b — “c” ‘d’ …": r"a -- b --- ``c'' `d' \dots{}",
    "50% of $3 & #4_{x}": r"50\% of \$3 \& \#4\_\{x\}",
    "a\\b^c~d": r"a\textbackslash{}b\textasciicircum{}c\textasciitilde{}d",
    "1 < 2 | 3 > 2": "1 $<$ 2 $|$ 3 $>$ 2",
    "café naïve Žižek": r"caf\'{e} na\"{\i}ve \v{Z}i\v{z}ek",
    "中": "[U+4E2D]",
    "z[b, j]": "z[b, j]",
}


@pytest.mark.parametrize("words", PROSE)
def test_prose_becomes_latex(words: str) -> None:
    assert escaped(words) == PROSE[words]


@given(st.text())
def test_prose_is_ascii_with_balanced_braces_and_dollars(words: str) -> None:
    text = re.sub(r"\\[\\{}$]", "", escaped(words))
    assert text.isascii()
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0


def test_long_words_may_break() -> None:
    assert escaped("a" * 40).count(r"\allowbreak") >= 3
    assert r"\allowbreak" not in escaped("a word of usual length")


def row(node: Expr, caption: str = "", number: str = "", note: str = "") -> Row:
    return Row(Line(access("z(l)", "b", "j"), "=", node), caption, number, note)


def handout() -> list[Item]:
    """Every kind of item, with every node, with names and words that are too long."""
    z = Symbol("z")
    nasty = z * sympy.erf(z) + sum(sympy.sin(k * z) * sympy.exp(-k * z) / k for k in range(1, 9))
    pieces = sympy.Piecewise((nasty, z > 1), (z**2 * sympy.cos(z), z > 0), (z, True))
    nets = [
        Network([Dense(3, "gelu"), Dense(2, "softmax")], inputs=4, loss="cross_entropy"),
        Network([Dense(3, nasty), Dense(2, pieces)], inputs=4, loss="huber"),
    ]
    words = "".join(c for c in (*MATH, *SCRIPTS, *SPECIAL) if len(c) == 1)
    rows = [row(node, name, name, f"{name}: " + NAME * 2) for name, node in FORMULAS.items()]
    block = Block(sympy.Idx("t", 4), Integer(3), False, (rows[2].line, rows[3].line))
    named = tuple(
        Row(Line(access(name, "b", "j"), "=", Plus(LONG, LONG)), "chain rule")
        for name in LONG_NAMES
    )
    symbols = tuple((access(name), Shape(m, Integer(3)), NAME * 2) for name in LONG_NAMES)
    cells = tuple((node, name) for name, node in FORMULAS.items())
    return [
        *(item for net in nets for item in net.derive()._document()),
        Title("Nasty: " + NAME * 3),
        Section(NAME * 3),
        Section(words, 2),
        Sentence(" ".join(words) + NAME * 3 + "W" * 99 + "\x00\x7f中文😀"),
        Formulas(tuple(rows)),
        Formulas((Row(block, "recurrence"),)),
        Formulas(named, important=True),
        *(Formulas((r,), important=True) for r in rows),
        Table(("symbol", "shape", "what it is"), symbols * 30),
        Table(("formula", "name"), cells),
        Fold(NAME * 2, (*map(Sentence, LONG_NAMES), Fold("in it", (Formulas((*named, *rows)),)))),
    ]


def compiled(folder: Path, source: str) -> str:
    """The log of pdflatex."""
    (folder / "test.tex").write_text(source, encoding="utf-8")
    subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "test.tex"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return (folder / "test.log").read_text(encoding="utf-8", errors="replace")


BARE = r"""\documentclass[%s]{article}
\usepackage{amsmath}
\usepackage{amssymb}
\begin{document}
%s
\end{document}
"""


@needs_pdflatex
def test_nothing_is_wider_than_its_line_and_nothing_is_an_error(tmp_path: Path) -> None:
    items = handout()
    fragment = as_latex(items)
    assert fragment.isascii()
    whole = as_latex_document(items)
    for source in (whole, *(BARE % (size, fragment) for size in ("10pt", "12pt"))):
        log = compiled(tmp_path, source)
        assert "Output written" in log
        assert not re.findall(r"^! .*", log, re.MULTILINE)
        over = re.findall(r"Overfull \\hbox \(([\d.]+)pt.*\n.*", log)
        assert not [found for found in over if float(found) > 2]


@needs_pdflatex
def test_estimated_width_is_at_least_tex_s(tmp_path: Path) -> None:
    simple = [*FORMULAS.values(), access("z1", "b", "j"), access("yhat"), access("Psi3", "k")]
    formulas = [SPELL.doprint(node) for node in simple]
    formulas += [r for node in FORMULAS.values() for r in broken(node, SPELL, 24.0)]
    boxes = (rf"\setbox0\hbox{{$\displaystyle {f}$}}\typeout{{W=\the\wd0}}" for f in formulas)
    log = compiled(tmp_path, BARE % ("10pt", "\n".join(boxes)))
    found = [float(w) / 10 for w in re.findall(r"W=([\d.]+)pt", log)]
    for formula, real in zip(formulas, found, strict=True):
        assert real - 0.05 <= width(formula) <= 1.5 * real + 1, formula


def test_document_needs_no_package_that_a_plain_installation_lacks() -> None:
    found = re.findall(r"\\usepackage(?:\[.*?\])?\{(\w+)\}", as_latex_document([Title("t")]))
    assert found == ["geometry", "amsmath", "amssymb", "hyperref"]
    assert r"\IfFileExists{hyperref.sty}" in as_latex_document([])


def test_captions_numbers_and_notes_stand_beside_formulas() -> None:
    text = as_latex([Formulas((row(x, "chain rule", "7", "by δ"), row(m)))])
    assert r"{\small\itshape chain rule}" in text
    assert r"\tag{7}" in text
    assert r"\text{\small (by $\delta$)}" in text


def test_formulas_that_follow_each_other_share_a_display() -> None:
    formulas = Formulas((row(x), row(m)))
    text = as_latex([formulas, formulas, Sentence("words"), formulas])
    assert text.count(r"\begin{align*}") == 2
    assert text.count("&=") == 6


def test_results_are_framed_with_one_number_outside() -> None:
    text = as_latex([Formulas((row(x, number="3"), row(m)), important=True)])
    assert r"\boxed{\begin{aligned}" in text
    assert r"\end{aligned}} \tag{3}" in text
    two = as_latex([Formulas((row(x, number="3"), row(m, number="4")), important=True)])
    assert r"\text{(3)}" in two
    assert r"\tag" not in two


def test_long_tables_are_cut_under_the_same_header() -> None:
    text = as_latex([Table(("symbol", "what"), ((x, "input"),) * (2 * FRAGMENT + 1))])
    assert text.count(r"\begin{tabular}") == 3
    assert text.count(r"symbol & what \tabularnewline \hline") == 3


def test_tables_have_room_between_their_lines_and_fractions_more() -> None:
    text = as_latex([Table(("unit", "value"), ((Slope(x, m), "1"), (x, "2")))])
    assert text.count(r"\renewcommand{\arraystretch}{1.4}") == text.count(r"\begin{tabular}") == 1
    assert text.index(r"\end{tabular}") < text.index("\n\\endgroup\n")
    assert text.count(f"{STRUT}$") == 1


def test_wide_target_stands_on_its_own_row() -> None:
    line = Line(access(NAME, "j"), "=", x)
    assert "_{j} \\\\\n &= x\n" in as_latex([Formulas((Row(line),))])


def test_names_are_one_word_or_a_letter_with_a_layer() -> None:
    assert SPELL.doprint(access("W(l)", "j", "k")) == "W^{(l)}_{jk}"
    assert SPELL.doprint(access("a(l-1)")) == "a^{(l-1)}"
    assert SPELL.doprint(access("learning_rate_2")) == r"\mathrm{learning\_rate\_2}"
    assert SPELL.doprint(access("x_")) == r"\mathrm{x\_}"


def test_math_is_one_block_that_mathjax_reads() -> None:
    items = [
        Title("δ & more"),
        Sentence("long " * 40),
        Formulas((row(x, "index", "3", "why_{1}"),)),
    ]
    text = as_math([*items, Fold("more", (Formulas((row(WIDE),)),)), Table(("a",), ((x,),))])
    assert text.startswith("$$\\begin{aligned}\n")
    assert text.endswith("\n\\end{aligned}$$")
    assert r"\text{δ & more}" in text
    assert r"\text{(why_\{1\})} \quad \text{(3)}" in text
    assert not re.search(r"section|tabular|\\tag|makebox|long|\\small", text)
    assert as_math([]) == ""


@needs_pdflatex
def test_pdf_is_a_pdf() -> None:
    assert pdf.as_pdf([Title("t"), Formulas((row(x),))]).startswith(b"%PDF")


@needs_pdflatex
def test_an_accented_name_with_a_layer_is_transposed(tmp_path: Path) -> None:
    net = Network([Dense(2), BatchNorm(), Dense(1)], inputs=2, loss="mse")
    net.derive("summary").save(tmp_path / "normalized.pdf")
    assert (tmp_path / "normalized.pdf").read_bytes().startswith(b"%PDF")


@needs_pdflatex
def test_error_of_tex_shows_its_lines_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = BARE % ("10pt", r"\undefinedcommand")
    monkeypatch.setattr(pdf, "as_latex_document", lambda _: bad)
    with pytest.raises(DerivationError, match="Undefined control sequence"):
        pdf.as_pdf([])


def test_missing_tex_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingPackageError, match="apt install texlive-latex-recommended"):
        pdf.as_pdf([])
