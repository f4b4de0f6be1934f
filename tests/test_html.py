"""HTML and MathML: well-formed, escaped, self-contained, and rendered by a browser."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sympy
from symprop import Dense, Network
from symprop.printers import structure
from symprop.printers.document import Fold, Formulas, Item, Row, Section, Sentence, Table, Title
from symprop.printers.html import as_fragment, as_html
from symprop.printers.index import Block, Line
from symprop.printers.mathml import MathmlPrinter, block_mathml, line_mathml, node_mathml
from symprop.printers.structure import (
    Access,
    AllOf,
    AnyOf,
    Bracket,
    Call,
    Case,
    Compare,
    Differential,
    Dots,
    Entries,
    Fraction,
    Hadamard,
    Magnitude,
    Minus,
    Node,
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
from sympy import Float, Idx, Integer, Rational, Symbol

from browser import CHROMIUM, measured

EVIL = '<script>alert("&")</script>'
b, j, k, t = map(Idx, "bjkt")
MATH = re.compile(r"<math.*?</math>", re.DOTALL)


def named(name: str, *subscripts: sympy.Expr) -> Access:
    return Access(Symbol(name), *subscripts)


z, W, a = named("z2", b, j), named("W2", k, j), named("a1", b, k)
L, w, v = named("L"), named("W2"), named("delta2")
POSITIVE = Compare(Symbol(">"), z, Integer(0))
SAMPLES: tuple[Node, ...] = (
    z,
    Slope(L, z),
    Differential(Plus(Times(W, a), z), z),
    Plus(Minus(z), Minus(W), z),
    Minus(Plus(z, W)),
    Times(Integer(2), Plus(z, W)),
    Fraction(z, Times(L, W)),
    Power(z, Integer(2)),
    Root(Plus(Integer(1), z)),
    Reduction(Symbol("sum"), Times(W, a), b, k),
    Call(Symbol("tanh"), z),
    Magnitude(z),
    POSITIVE,
    AllOf(POSITIVE, POSITIVE),
    AnyOf(AllOf(POSITIVE, POSITIVE), POSITIVE),
    Bracket(POSITIVE),
    Case(z, POSITIVE, Integer(0)),
    Product(w, v),
    Hadamard(Product(Transposed(w), v), v),
    Quotient(v, Product(v, Ones())),
    Transposed(Plus(w, v)),
    Shape(Symbol("m"), Integer(64)),
    Ones(),
    Numeral(Symbol("0.25")),
    Entries(Integer(1), Integer(2), Numeral(Symbol("0.25")), Dots()),
    Dots(),
)


def mathml(node: sympy.Expr) -> str:
    return MathmlPrinter().doprint(node)


def visible(markup: str) -> str:
    """The characters of a formula, without the invisible operators."""
    text = "".join(ElementTree.fromstring(f"<m>{markup}</m>").itertext())  # noqa: S314 (our own)
    return text.translate({0x2061: None, 0x2062: None, 0xA0: " "})


def test_every_kind_of_node_has_a_sample_and_a_spelling() -> None:
    kinds = {kind for kind in vars(structure).values() if isinstance(kind, type)}
    nodes = {kind for kind in kinds if issubclass(kind, Node) and kind is not Node}
    assert {type(sample) for sample in SAMPLES} == nodes
    assert [n.__name__ for n in nodes if not hasattr(MathmlPrinter, f"_print_{n.__name__}")] == []


CORE = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "munder"}
CORE |= {"mover", "mfrac", "msqrt", "mtable", "mtr", "mtd"}
ARITY = {"msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "mfrac": 2}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_mathml_is_well_formed_and_core(sample: Node) -> None:
    tree = ElementTree.fromstring(node_mathml(sample, MathmlPrinter()))  # noqa: S314 (our own)
    assert {element.tag for element in tree.iter()} <= CORE
    assert [e.tag for e in tree.iter() if len(e) != ARITY.get(e.tag, len(e))] == []
    assert tree.get("alttext")


SPELLED = {
    "Wjk(1)": named("W1", j, k),
    "yˆj": named("yhat", j),
    "γ(3)": named("gamma3"),
    "vW(1),jk": named("v_W1", j, k),
    "aj(l−1)": named("a(l-1)", j),
    "xb,2q+k": named("x", b, Plus(Times(Integer(2), Idx("q")), k)),
    "∑kWkj(2)abk(1)": Reduction(Symbol("sum"), Times(W, a), k),
    "∂L∂zbj(2)": Slope(L, z),
    "−(a+c)": Minus(Plus(named("a"), named("c"))),
    "a−(c−d)": Plus(named("a"), Minus(Plus(named("c"), Minus(named("d"))))),
    "[zbj(2)>0]": Bracket(POSITIVE),
    "W(2)⊤δ(2)": Product(Transposed(w), v),
    "σ′(z)": Call(Symbol("sigma_prime"), named("z")),
    "tanh(z)2": Power(Call(Symbol("tanh"), named("z")), Integer(2)),
    "arcsin(z)": Call(Symbol("asin"), named("z")),
    "scalar": Shape(),
    "10−8": Rational(1, 10**8),
    "1.05·10−7": Float(1.05e-7),
    "−13": Rational(-1, 3),
    "π": sympy.pi,
    "e": sympy.E,
    "∞": sympy.oo,
    "−∞": -sympy.oo,
    "k": k,
    "β": Symbol("beta"),
    "EulerGamma": sympy.EulerGamma,
}


@pytest.mark.parametrize("expected", SPELLED)
def test_formulas_read_well(expected: str) -> None:
    assert visible(mathml(SPELLED[expected])) == expected


def test_layer_stands_above_and_indices_below() -> None:
    expected = (
        "<msubsup><mi>W</mi><mrow><mi>j</mi><mi>k</mi></mrow><mrow>"
        '<mo stretchy="false">(</mo><mn>1</mn><mo stretchy="false">)</mo></mrow></msubsup>'
    )
    assert mathml(named("W1", j, k)) == expected


def test_an_exponent_is_not_taken_for_a_layer() -> None:
    plain = "<msubsup><mi>x</mi><mrow><mi>k</mi></mrow><mrow><mn>2</mn></mrow></msubsup>"
    assert mathml(Power(named("x", k), Integer(2))) == plain
    assert visible(mathml(Power(named("z1"), Integer(2)))) == "(z(1))2"


def test_parentheses_grow_around_fractions_only() -> None:
    assert 'stretchy="false">(' in mathml(Call(Symbol("f"), L))
    assert 'stretchy="false">(' not in mathml(Call(Symbol("f"), Fraction(L, named("m"))))


def test_a_line_is_split_at_its_relation() -> None:
    left, right = line_mathml(Line(L, "=", Minus(z), (k,)), MathmlPrinter())
    assert (visible(left), visible(right)) == ("L", "=−zbj(2)for each k")
    assert 'alttext="= -z⁽²⁾[b, j]  for each k"' in right
    assert line_mathml(Line(None, "=", L), MathmlPrinter())[0] == ""


def test_a_recurrence_says_how_it_runs() -> None:
    last = Plus(named("T"), Minus(Integer(1)))
    spell = MathmlPrinter()
    assert visible(block_mathml(Block(t, last, False, ()), spell)) == "for t=0,…,T−1:"
    assert visible(block_mathml(Block(t, last, True, ()), spell)) == "for t=T−1,…,0:"


RECURRENCE = Block(t, named("T"), False, (Line(named("h1", t), "=", z), Line(L, "+=", z)))
LONG = Plus(*(Times(named(f"W{n}", j, k), a) for n in range(1, 16)))
ITEMS: tuple[Item, ...] = (
    Title(f"Title {EVIL}"),
    Section("What is declared"),
    Sentence(f"By (1), but f(1) is a value: δ⁽²⁾ = ∂L/∂z⁽²⁾ {EVIL}"),
    Table(("symbol", EVIL), ((w, Shape(Integer(3), Integer(4))), (EVIL, "words"))),
    Section("Formulas"),
    Formulas(
        (
            Row(Line(Slope(L, z), "=", SAMPLES[2]), "index", "1", f"a reason {EVIL}"),
            Row(Line(None, "=", LONG), "", "2", "a second"),
            Row(RECURRENCE, "over time", "3"),
        )
    ),
    Formulas(tuple(Row(Line(L, "=", sample), EVIL) for sample in SAMPLES), important=True),
    Section("Steps"),
    Fold(
        f"Why {EVIL}", (Sentence("Inside."), Fold("Deeper", (Formulas((Row(Line(L, "=", z)),)),)))
    ),
    Section("Long", level=1),
    Section("Within", level=2),
    Sentence("word " * 200),
)
VOID = {"meta", "br", "link", "img", "hr", "input"}


class _Reader(HTMLParser):
    """Reads a page; tags that do not close as they opened fail."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for _, attrs in self.elements if attribute in attrs]


@cache
def derived() -> tuple[Item, ...]:
    layers = [Dense(3, activation="relu"), Dense(2, activation="softmax")]
    return Network(layers, inputs=4, loss="cross_entropy").derive()._document()


DOCUMENTS = {
    "every item": lambda: ITEMS,
    "a derivation": derived,
    "nothing": lambda: (),
    "words": lambda: (Sentence("a"),),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pages_are_balanced_and_every_link_has_its_goal(name: str) -> None:
    reader = _Reader(as_html(DOCUMENTS[name]()))
    goals = reader.values("id")
    assert len(set(goals)) == len(goals)
    assert {link.removeprefix("#") for link in reader.values("href")} <= set(goals)
    _Reader(as_fragment(DOCUMENTS[name]()))


@pytest.mark.parametrize("form", [as_html, as_fragment])
def test_what_users_write_is_escaped(form: object) -> None:
    page = form(ITEMS)  # type: ignore[operator]
    assert EVIL not in page
    assert page.count("alert") >= 6
    evil = named("<b>", Symbol('"'))
    call = Call(Symbol("<b>"), evil, Numeral(Symbol("<b>")))
    assert "<b>" not in node_mathml(call, MathmlPrinter())


@pytest.mark.parametrize("form", [as_html, as_fragment])
def test_nothing_is_fetched(form: object) -> None:
    page = form(ITEMS)  # type: ignore[operator]
    reader = _Reader(page)
    assert not reader.values("src")
    assert all(link.startswith("#") for link in reader.values("href"))
    assert not re.search(r"https?:|url\(|@import", page)


def test_equations_are_numbered_and_referred_to() -> None:
    page = as_html(ITEMS)
    assert 'id="eq-1"' in page
    assert 'By <a href="#eq-1">(1)</a>, but f(1) is' in page
    assert 'id="eq-1"' not in as_fragment(ITEMS)
    assert "href" not in as_fragment(ITEMS)


def test_contents_are_listed_for_more_than_three_sections() -> None:
    sections = tuple(Section(name) for name in "abcd")
    assert "<nav" not in as_html(sections[:3])
    assert as_html(sections).count('<li><a href="#section-') == 4


def test_a_fragment_brings_no_page_and_its_style_stays_inside() -> None:
    fragment = as_fragment(ITEMS)
    tags = {tag for tag, _ in _Reader(fragment).elements}
    assert not tags & {"html", "head", "body", "script", "title", "main"}
    style = fragment[len("<style>") : fragment.index("</style>")]
    rules = re.sub(r"\{[^{}]*\}|@[^{]*\{|\}", ";", style)
    selectors = [selector.strip() for selector in rules.split(";") if selector.strip()]
    assert len(selectors) > 20
    assert all(selector.startswith(".symprop") for selector in selectors)


def test_every_formula_has_its_plain_text() -> None:
    for formula in MATH.findall(as_html(derived())):
        assert 'alttext="' in formula
        ElementTree.fromstring(formula)  # noqa: S314 (our own)


def test_pages_do_not_depend_on_when_they_are_made() -> None:
    assert as_html(ITEMS) == as_html(ITEMS)
    assert as_fragment(iter(ITEMS)) == as_fragment(ITEMS)


MEASURE = """(page) => {
  const all = (name) => [...page.document.querySelectorAll(name)];
  const box = (element) => element.getBoundingClientRect();
  const root = page.document.documentElement;
  const [open] = all(".folds button");
  if (open) open.click();
  const flat = all("math").filter((m) => !(box(m).width > 1 && box(m).height > 1));
  const uneven = all(".formulas").filter((f) => new Set(
    [...f.querySelectorAll(".value")].map((value) => Math.round(box(value).left))).size > 1);
  const outside = all(".number, .note, .caption").filter((e) => box(e).right > root.clientWidth);
  return {
    overflow: root.scrollWidth - root.clientWidth,
    formulas: all("math").length,
    flat: flat.map((m) => m.outerHTML), uneven: uneven.length, outside: outside.length,
    folds: all("details").length, opened: all("details[open]").length,
    scrolled: all(".scroll").filter((s) => s.scrollWidth > s.clientWidth && s.tabIndex < 0).length,
    host: all(".host").map((e) => { const s = page.getComputedStyle(e);
      return [s.font, s.color, s.margin, s.padding, s.border, s.display].join(); }),
  };
}"""
FAULTS = ("overflow", "uneven", "outside", "scrolled")
HOST = '<h2 class="host">a</h2><p class="host">b</p><table><tr><td class="host">c</table>'


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_renders_every_formula_within_the_page(tmp_path: Path) -> None:
    pages = [(as_html(items), width) for items in (ITEMS, derived()) for width in (360, 1400)]
    found, console = measured(tmp_path, pages, MEASURE)
    assert not console
    assert len(found) == len(pages)
    for page, (source, _) in zip(found, pages, strict=True):
        assert page["formulas"] == source.count("<math") > 0
        assert page["folds"] == page["opened"]
        assert page["flat"] == []
        assert [page[name] for name in ("overflow", "uneven", "outside", "scrolled")] == [
            0,
            0,
            0,
            0,
        ]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_notebook_looks_the_same_around_a_fragment(tmp_path: Path) -> None:
    pages = [(HOST, 800), (HOST + as_fragment(ITEMS), 800)]
    (alone, beside), console = measured(tmp_path, pages, MEASURE)
    assert not console
    assert alone["host"] == beside["host"] != []
    assert beside["overflow"] == 0
