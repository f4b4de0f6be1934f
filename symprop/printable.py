"""What a person can read in several forms: a derivation, a program, a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from symprop.errors import ArgumentError

if TYPE_CHECKING:
    from symprop.printers.document import Item

SUFFIXES = (".txt", ".md", ".tex", ".pdf", ".html")


class Printable:
    """A document in its forms: text, LaTeX, Markdown, HTML, a file, a notebook's cell."""

    def _document(self) -> tuple[Item, ...]:
        """The items of the document."""
        raise NotImplementedError

    def text(self) -> str:
        """Unicode text, 80 columns wide."""
        from symprop.printers.text import as_text

        return as_text(self._document())

    def latex(self) -> str:
        r"""A fragment to \input, which needs amsmath and amssymb."""
        from symprop.printers.tex import as_latex

        return as_latex(self._document())

    def markdown(self) -> str:
        """Markdown with formulas in dollar signs, as GitHub renders it."""
        from symprop.printers.markdown import as_markdown

        return as_markdown(self._document())

    def html(self) -> str:
        """A complete page with its formulas in MathML; it needs no network."""
        from symprop.printers.html import as_html

        return as_html(self._document())

    def save(self, path: str | Path) -> None:
        """Write a complete document; the suffix says which: .txt, .md, .tex, .pdf or .html.

        Raises ArgumentError for any other suffix, MissingPackageError for a .pdf where there is no
        pdflatex or tectonic.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            given = repr(path.suffix) if path.suffix else "a path without suffix"
            raise ArgumentError(
                f"{type(self).__name__}.save: cannot write {given} ({path.name}); "
                f"the suffixes that work are {', '.join(SUFFIXES)}"
            )
        path.write_bytes(self._file(path.suffix))

    def _file(self, suffix: str) -> bytes:
        from symprop.printers.pdf import as_pdf
        from symprop.printers.tex import as_latex_document

        if suffix == ".pdf":
            return as_pdf(self._document())
        if suffix == ".tex":
            return as_latex_document(self._document()).encode()
        form = {".txt": self.text, ".md": self.markdown, ".html": self.html}[suffix]
        return f"{form().rstrip()}\n".encode()

    def _repr_html_(self) -> str:
        from symprop.printers.html import as_fragment

        return as_fragment(self._document())

    def _repr_latex_(self) -> str:
        from symprop.printers.mathjax import as_math

        return as_math(self._document())
