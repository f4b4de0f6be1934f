"""A document as PDF, by the TeX program that is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from symprop.errors import DerivationError, MissingPackageError
from symprop.printers.document import Item
from symprop.printers.tex import as_latex_document

COMMANDS = {
    "pdflatex": ("-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"),
    "tectonic": ("--untrusted", "--keep-logs"),
}
"""The programs that typeset, first to be tried first, with what forbids them to run others."""
LIMIT = 300
"""The seconds that a document may take."""


def as_pdf(items: Iterable[Item]) -> bytes:
    """The LaTeX document, typeset by pdflatex or tectonic.

    Raises MissingPackageError where neither is installed, DerivationError with the lines of the
    log where TeX finds an error.
    """
    program = next(filter(None, map(shutil.which, COMMANDS)), None)
    if program is None:
        raise MissingPackageError(
            "a .pdf is typeset by pdflatex or tectonic, and neither is installed; install one "
            "(on Debian and Ubuntu: apt install texlive-latex-recommended; elsewhere: "
            "https://tectonic-typesetting.github.io), or save a .tex, .html or .md"
        )
    with tempfile.TemporaryDirectory(prefix="symprop-") as folder:
        return _typeset(program, Path(folder), as_latex_document(items))


def _typeset(program: str, folder: Path, source: str) -> bytes:
    (folder / "document.tex").write_text(source, encoding="utf-8")
    options = COMMANDS[Path(program).stem]
    try:
        done = subprocess.run(  # noqa: S603 (a program found on the path, no argument from outside)
            [program, *options, "document.tex"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired as expired:
        raise DerivationError(f"{program} did not end within {LIMIT} seconds") from expired
    made = folder / "document.pdf"
    if done.returncode or not made.exists():
        log = (done.stdout + done.stderr).decode(errors="replace")
        raise DerivationError(f"{program} could not typeset the document:\n{_complaint(log)}")
    return made.read_bytes()


def _complaint(log: str) -> str:
    """The lines of a log from the first error on."""
    lines = log.splitlines()
    starts = (n for n, line in enumerate(lines) if line.startswith(("!", "error:")))
    start = next(starts, max(0, len(lines) - 12))
    return "\n".join(lines[start : start + 12])
