"""Markdown: formulas reach GitHub's MathJax as they are, words never become markup."""

from __future__ import annotations

import re

import pytest
from symprop import Dense, Network
from symprop.printers.document import Fold, Formulas, Row, Section, Sentence, Table, Title
from symprop.printers.index import Line
from symprop.printers.markdown import as_markdown, inline, prose
from symprop.printers.structure import Access, Call, Magnitude, Shape, Times
from sympy import Integer, Symbol

x = Access(Symbol("x"), Symbol("b"), Symbol("k"))
W = Access(Symbol("W1"), Symbol("j"), Symbol("k"))
ROW = Row(Line(Access(Symbol("z1")), "=", Call(Symbol("erf"), x)), "chain rule", "7", "by δ")

PROSE = {
    "a*b_c": r"a\*b\_c",
    "1 < 2 & 3 > 2": "1 &lt; 2 &amp; 3 &gt; 2",
    "`code` $5 a|b ~": r"\`code\` \$5 a\|b \~",
    "[text](address)": r"[text]\(address)",
    "# no heading": r"\# no heading",
    "- no list": r"\- no list",
    "1. no list": r"1\. no list",
    "two\n\nlines": "two lines",
    "δ⁽²⁾ = σ′(z[b, j])": "δ⁽²⁾ = σ′(z[b, j])",
    "<script>": "&lt;script&gt;",
}


@pytest.mark.parametrize("words", PROSE)
def test_words_are_escaped(words: str) -> None:
    assert prose(words) == PROSE[words]


def test_headings_by_level() -> None:
    text = as_markdown([Title("one"), Section("two"), Section("three", 2), Sentence("four")])
    assert text == "# one\n\n## two\n\n### three\n\nfour\n"


def test_displays_are_fenced_and_keep_caption_number_note() -> None:
    text = as_markdown([Sentence("words"), Formulas((ROW,))])
    assert text == (
        "words\n\n```math\n\\begin{alignat*}{2}\n"
        "& \\textit{chain rule} & z^{(1)} &= \\mathrm{erf}\\left(x_{bk}\\right)"
        " \\quad \\text{(by δ)} \\tag{7}\n\\end{alignat*}\n```\n"
    )


def test_formulas_among_words_hold_nothing_that_markdown_reads() -> None:
    for node in (x, Times(W, x), Shape(Integer(16), Integer(64)), Magnitude(x)):
        found = inline(node)
        assert not re.search(r"\\[^A-Za-z]|\||\}_\{", found), found
    assert inline(Access(Symbol("a_long_name"))) == r"$`\mathrm{a\_long\_name}`$"


def test_tables_keep_their_columns() -> None:
    table = Table(("symbol", "what|it"), ((Magnitude(x), "a|b"), (W, "weight")))
    header, rule, *rows = as_markdown([table]).splitlines()
    assert rule == "|---|---|"
    for line in (header, *rows):
        assert len(re.findall(r"(?<!\\)\|", line)) == 3


def test_fold_opens_in_the_browser() -> None:
    text = as_markdown([Fold("Why <b>?", (Sentence("words"), Formulas((ROW,))))])
    assert text.startswith("<details><summary>Why &lt;b&gt;?</summary>\n\nwords\n\n```math\n")
    assert text.endswith("```\n\n</details>\n")


def test_derivation_has_balanced_fences_and_no_command_that_github_refuses() -> None:
    net = Network([Dense(3, "gelu"), Dense(2, "softmax")], inputs=4, loss="cross_entropy")
    text = net.derive().markdown()
    assert text.count("```math\n") * 2 == text.count("```")
    assert r"\operatorname" not in text
