"""Prose as LaTeX: its mathematics in dollar signs, its special characters escaped."""

from __future__ import annotations

import re
import unicodedata

LONG = 20
"""The characters of a word that may have to be broken."""
RUN = 8
"""How many of them may follow each other without a place to break."""


def escaped(text: str) -> str:
    r"""Words as LaTeX's text, with places where a long word may break.

    >>> escaped("δ⁽²⁾ is 50% of ∂L/∂z")
    '$\\delta^{(2)}$ is 50\\% of $\\partial L$/$\\partial z$'
    """
    composed = unicodedata.normalize("NFC", text)
    return "".join(map(_word, WORD.findall(composed)))


def _word(word: str) -> str:
    found, since = "", 0
    for token in TOKEN.findall(word):
        found += _token(token)
        since += len(token)
        if len(word) > LONG and (token[-1] in "_*+(,[=/.)-:;" or since >= RUN):
            found, since = found + r"\allowbreak{}", 0
    return found


def _token(token: str) -> str:
    if len(token) > 1 or token in MATH or token in SCRIPTS:
        return f"${_mathematics(token)}$"
    return SPECIAL.get(token) or (token if " " <= token <= "~" else _foreign(token))


def _mathematics(token: str) -> str:
    """Superscripts and subscripts that follow each other in one pair of braces."""
    found, marks = "", ""
    for place, part in enumerate(PART.findall(token), 1):
        mark = SCRIPTS[part[0]][0] if part[0] in SCRIPTS else ""
        again = mark and mark in marks
        spelled = "{}" * bool(again) + _part(part)
        apart = spelled[0].isalpha() and re.search(r"\\[A-Za-z]+$", found)
        found += f" {spelled}" if apart else spelled
        found += r"\allowbreak " if place % RUN == 0 else ""
        marks = mark if again or not mark else marks + mark
    return found


def _part(part: str) -> str:
    if part.startswith("Σ_"):
        return rf"\sum_{{{part[2:].strip('{}')}}}"
    if part.endswith(HAT):
        return rf"\hat{{{MATH.get(part[0], part[0])}}}"
    if part[0] in SCRIPTS:
        raised = "".join(SCRIPTS[c][1] for c in part).rstrip()
        return f"{SCRIPTS[part[0]][0]}{{{raised}}}"
    return MATH.get(part, part)


def _foreign(character: str) -> str:
    """A letter with its accent; else the ASCII it stands for; else its code."""
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and base.isascii() and marks[0] in ACCENTS:
        base = {"i": r"\i", "j": r"\j"}.get(base, base)
        return rf"\{ACCENTS[marks[0]]}{{{base}}}"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if plain.strip() and plain.isprintable():
        return "".join(SPECIAL.get(c, c) for c in plain)
    if character.isspace():
        return " "
    return "" if unicodedata.combining(character) else f"[U+{ord(character):04X}]"


SPECIAL = {c: "\\" + c for c in "&%$#_{}"}
SPECIAL |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
SPECIAL |= {"<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "\N{NO-BREAK SPACE}": "~"}
SPECIAL |= {"\N{EN DASH}": "--", "\N{EM DASH}": "---", "…": r"\dots{}", "\N{HYPHEN}": "-"}
SPECIAL |= {"\N{LEFT SINGLE QUOTATION MARK}": "`", "\N{RIGHT SINGLE QUOTATION MARK}": "'"}
SPECIAL |= {"\N{LEFT DOUBLE QUOTATION MARK}": "``", "\N{RIGHT DOUBLE QUOTATION MARK}": "''"}
SPECIAL |= {"ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}"}
SPECIAL |= {"œ": r"\oe{}", "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}"}

ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c",
        "`'^~=u.\"rHv",
        strict=True,
    )
)
ACCENTS["\u0327"] = "c"

MATH = {c: rf"\{unicodedata.name(c).split()[-1].lower()}" for c in "αβγδζηθικμνξπρστυφχψω"}
MATH |= {c: rf"\{unicodedata.name(c).split()[-1].capitalize()}" for c in "ΓΔΘΞΠΦΨΩ"}
MATH |= {"ε": r"\varepsilon", "ϵ": r"\epsilon", "λ": r"\lambda", "Λ": r"\Lambda", "ϕ": r"\phi"}
MATH |= {"φ": r"\varphi", "ς": r"\varsigma", "ϑ": r"\vartheta", "Υ": r"\Upsilon", "Σ": r"\sum"}
MATH |= {
    c: rf"\mathrm{{{latin}}}" for c, latin in zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)
}
MATH |= {"ο": "o", "µ": r"\mu", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∂": r"\partial"}
MATH |= {"∇": r"\nabla", "√": r"\surd", "∞": r"\infty", "ℓ": r"\ell", "½": r"\tfrac{1}{2}"}
MATH |= {"¼": r"\tfrac{1}{4}", "¾": r"\tfrac{3}{4}", "⅓": r"\tfrac{1}{3}", "⅔": r"\tfrac{2}{3}"}
MATH |= {"·": r"\cdot", "⋅": r"\cdot", "×": r"\times", "÷": r"\div", "±": r"\pm", "∓": r"\mp"}
MATH |= {"⊙": r"\odot", "⊘": r"\oslash", "⊗": r"\otimes", "⊕": r"\oplus", "∘": r"\circ"}
MATH |= {"−": "-", "∗": "*", "∕": "/", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx"}
MATH |= {"≡": r"\equiv", "∼": r"\sim", "∝": r"\propto", "≪": r"\ll", "≫": r"\gg", "∈": r"\in"}
MATH |= {"∉": r"\notin", "⊂": r"\subset", "⊆": r"\subseteq", "∪": r"\cup", "∩": r"\cap"}
MATH |= {"∅": r"\emptyset", "∀": r"\forall", "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge"}
MATH |= {"∨": r"\vee", "→": r"\to", "←": r"\leftarrow", "↔": r"\leftrightarrow", "↦": r"\mapsto"}
MATH |= {"⇒": r"\Rightarrow", "⇐": r"\Leftarrow", "⇔": r"\Leftrightarrow", "↑": r"\uparrow"}
MATH |= {"↓": r"\downarrow", "‖": r"\Vert", "⟨": r"\langle", "⟩": r"\rangle", "⌊": r"\lfloor"}
MATH |= {"⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "ℝ": r"\mathbb{R}", "ℕ": r"\mathbb{N}"}
MATH |= {"ŷ": r"\hat{y}", "⋯": r"\cdots", "⋮": r"\vdots", "✓": r"\checkmark"}
"""A character of mathematics and its command in amsmath and amssymb."""

RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˡᴸʲᵏᵐᵇᵗˢ", "0123456789+-=()nilLjkmbts", strict=True))
RAISED |= {"ᵀ": r"\top ", "′": r"\prime ", "″": r"\prime\prime ", "ᴴ": "H", "°": r"\circ "}
LOWERED = dict(
    zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-=()aehijklmnoprstuvx", strict=True)
)
SCRIPTS = {c: ("^", raised) for c, raised in RAISED.items()}
SCRIPTS |= {c: ("_", lowered) for c, lowered in LOWERED.items()}
"""A raised or lowered character: the mark of a script, and what stands in it."""


HAT = "\N{COMBINING CIRCUMFLEX ACCENT}"
_SIGNS = re.escape("".join(MATH) + "".join(SCRIPTS))
_RAISED, _LOWERED = re.escape("".join(RAISED)), re.escape("".join(LOWERED))
_SUM = r"Σ_(?:\{[A-Za-z, ]+\}|[A-Za-z](?![A-Za-z]))"
_HATTED = rf"[A-Za-zα-ω]{HAT}"
_LETTER = r"(?:(?<![A-Za-z0-9_\\])[A-Za-z](?![A-Za-z0-9_]))"
WORD = re.compile(rf"(?:{_SUM}|\S)+|\s+")
TOKEN = re.compile(rf"{_LETTER}?(?:(?:{_SUM}|{_HATTED}|[{_SIGNS}]){_LETTER}?)+|.", re.DOTALL)
"""Signs of mathematics with the single letters that stand among them; or any one character."""
PART = re.compile(rf"{_SUM}|{_HATTED}|[{_RAISED}]+|[{_LOWERED}]+|.")
