"""How wide LaTeX's mathematics will be, in em: at least as wide as Computer Modern sets it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters

from sympy.core.alphabets import greeks

DISPLAY, TEXT, SCRIPT, SMALLEST = range(4)
SIZES = (1.0, 1.0, 0.78, 0.62)
"""The size of each style: \\displaystyle, \\textstyle, \\scriptstyle, \\scriptscriptstyle."""


def _widths(hundredths: str) -> dict[str, float]:
    numbers = map(int, hundredths.split())
    return {letter: n / 100 for letter, n in zip(ascii_letters, numbers, strict=True)}


# The character widths of cmmi10 (italic correction included) and of cmr10.
ITALIC = _widths(
    "53 43 44 53 47 60 52 58 35 47 56 32 88 61 49 51 49 48 47 37 58 53 75 58 53 51 "
    "76 81 79 86 80 79 79 92 52 66 93 69 108 92 80 79 80 77 68 73 80 81 109 91 81 76"
)
ROMAN = _widths(
    "51 56 45 56 45 39 52 56 28 31 53 28 84 56 51 56 53 40 40 39 56 55 74 53 55 45 "
    "76 71 73 77 69 66 79 76 37 52 78 63 92 76 78 69 78 74 56 73 76 77 105 76 78 62"
)
ROMAN |= {" ": 0.34, "_": 0.37} | dict.fromkeys("#%&@+=<>~^", 0.84)
MARKS = dict.fromkeys(".!:;'`|/", 0.3) | {",": 0.45, "-": 1.23, "(": 0.39, ")": 0.39}
MARKS |= dict.fromkeys("+", 1.23) | dict.fromkeys("=<>", 1.34)
COMMANDS = {r"\,": 0.17, r"\;": 0.28, r"\ ": 0.34, r"\quad": 1.0, r"\qquad": 2.0, r"\_": 0.37}
COMMANDS |= dict.fromkeys((r"\allowbreak", r"\nolimits", r"\displaystyle", r"\small", r"\!"), 0.0)
COMMANDS |= dict.fromkeys((r"\odot", r"\oslash", r"\times"), 1.23) | {r"\cdot": 0.73}
COMMANDS |= dict.fromkeys((r"\le", r"\ge", r"\ne", r"\mathrel"), 1.34) | {r"\leftarrow": 1.56}
COMMANDS |= {r"\partial": 0.59, r"\top": 0.78, r"\dots": 1.6, r"\sum": 1.78, r"\mid": 0.9}
WORDS = (r"\mathrm", r"\text", r"\textit", r"\operatorname", r"\mathbf", r"\textbf", r"\mbox")
FRACTIONS = (r"\frac", r"\tfrac", r"\dfrac")
LIMITED = (r"\sum", r"\max", r"\min")
VARIANTS = ("varepsilon", "varphi", "varsigma", "vartheta")
SIGN = 0.78
"""The minus of a negative number."""
GREEK = 0.92
"""The widest Greek letter, Ψ."""
DELIMITER = re.compile(r"\\[bB]igg?[lr]?$")
TALL = re.compile(r"\\(d?frac|sum|begin)")
SCRIPTED = re.compile(r"[\^_]|\\(frac|sum|begin|sqrt|left|max|min|hat)")
"""What makes the delimiters around it larger, and larger still."""

ROW_END = re.compile(r"\\\\(?:\[[^]]*\])?")
"""The end of a row, with the space below it."""
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[^\s]|\s", re.DOTALL)


def width(latex: str, style: int = DISPLAY) -> float:
    r"""The width of a formula in em.

    >>> width("x") == ITALIC["x"]
    True
    >>> width(r"\frac{x}{x + y}") > width("x + y")
    True
    """
    return _Reader(latex).total(style)


def text_width(words: str) -> float:
    """The width of words of prose in em."""
    return sum(ROMAN.get(character, 0.52 if character.isascii() else 1.0) for character in words)


class _Reader:
    """Reads LaTeX token by token, and adds up."""

    def __init__(self, latex: str):
        self.tokens: Iterator[str] = iter(TOKEN.findall(latex))
        self.ahead = next(self.tokens, "")

    def next(self) -> str:
        token, self.ahead = self.ahead, next(self.tokens, "")
        return token

    def argument(self) -> str:
        """The text of the next group, without its braces, or the next sign."""
        while self.ahead.isspace():
            self.next()
        sign = self.next()
        if sign != "{":
            return sign
        found, depth = "", 1
        while depth and self.ahead:
            sign = self.next()
            depth += {"{": 1, "}": -1}.get(sign, 0)
            found += sign if depth else ""
        return found

    def total(self, style: int) -> float:
        total = 0.0
        while self.ahead:
            while self.ahead.isspace():
                self.next()
            sign = self.ahead
            nucleus = self.nucleus(style)
            scripts = max(self.scripts(style), default=0.0)
            beside = style != DISPLAY or sign not in LIMITED
            total += nucleus + scripts if beside else max(nucleus, scripts + 0.2)
        return total

    def scripts(self, style: int) -> Iterator[float]:
        """The widths of what stands above and below the last nucleus."""
        while self.ahead in ("^", "_", "'"):
            mark = self.next()
            text = r"\mid" if mark == "'" else self.argument()
            yield 0.3 if mark == "'" else width(text, min(max(style, TEXT) + 1, SMALLEST)) + 0.05

    def nucleus(self, style: int) -> float:
        sign, size = self.ahead, SIZES[style]
        if sign in ("^", "_", "'", ""):
            return 0.0
        if sign == "{":
            return width(self.argument(), style)
        self.next()
        if sign in FRACTIONS:
            inner = min(style + 1, SMALLEST)
            return max(width(self.argument(), inner), width(self.argument(), inner)) + 0.25
        if sign == r"\sqrt":
            return width(self.argument(), style) + 1.05 * size
        if sign in WORDS:
            bold = 1.17 if sign in (r"\mathbf", r"\textbf", r"\textit") else 1.0
            space = 0.34 if sign == r"\operatorname" else 0.0
            return size * (bold * _words(self.argument()) + space)
        if sign == r"\hat":
            return width(self.argument(), style)
        if sign == r"\left":
            return self.delimited(style)
        if DELIMITER.match(sign):
            self.argument()
            return 0.85 if "igg" in sign else 0.65
        if sign == r"\begin":
            return self.environment(style)
        return size * _symbol(sign)

    def delimited(self, style: int) -> float:
        """What stands between delimiters that grow with it."""
        self.argument()
        inside, depth = "", 1
        while depth and self.ahead:
            sign = self.next()
            depth += {r"\left": 1, r"\right": -1}.get(sign, 0)
            inside += sign if depth else ""
        self.argument()
        high = TALL.search(inside)
        side = (0.85 if high else 0.65) * SIZES[style] if SCRIPTED.search(inside) else 0.42
        return width(inside, style) + 2 * side + 0.2

    def environment(self, style: int) -> float:
        r"""Rows, columns and delimiters; all in one row where another environment is inside."""
        name = self.argument()
        body, depth = "", 1
        while depth and self.ahead:
            mark = self.next()
            depth += {r"\begin": 1, r"\end": -1}.get(mark, 0)
            body += mark if depth else ""
        self.argument()
        small = name == "smallmatrix"
        inner = SCRIPT if small else max(style, TEXT)
        lines = [body] if r"\begin" in body else ROW_END.split(body)
        rows = [line.split("&") for line in lines]
        columns = max(map(len, rows))
        cells = ([_cell(row[n], inner) for row in rows if n < len(row)] for n in range(columns))
        return sum(map(max, cells)) + (0.3 * columns + 0.4 if small else columns + 0.9)


def _cell(text: str, style: int) -> float:
    """The width of an entry; a sign in front of it has no space around it."""
    text = text.strip()
    sign = SIGN * SIZES[style] if text.startswith("-") else 0.0
    return sign + width(text[1:] if sign else text, style)


def _words(text: str) -> float:
    return text_width(text.replace("\\", ""))


def _symbol(token: str) -> float:
    if token in ITALIC:
        return ITALIC[token]
    if token.startswith("\\"):
        name = token[1:]
        if token in COMMANDS:
            return COMMANDS[token]
        return GREEK if name.lower() in greeks or name in VARIANTS else text_width(name) + 0.34
    return MARKS.get(token, 0.51 if token.isascii() else 1.0)
