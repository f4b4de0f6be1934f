"""Results as files: a Markdown page that people read, JSON that programs read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import about
from benchmarks.settings import Settings


@dataclass
class Table:
    """A heading, the columns' names, rows of cells."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """Cells on the first column left, all others right."""
        rule = [":--", *["--:"] * (len(self.columns) - 1)]
        lines = [f"### {self.title}", ""] if self.title else []
        lines += [_row(cells) for cells in (self.columns, rule, *self.rows)]
        return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def number(value: float | None) -> str:
    """Three digits, thousands apart; a dash for what is not there."""
    if value is None or math.isnan(value):
        return "–"
    value = float(f"{value:.3g}") if abs(value) < 100 else value  # 9.996 is 10.0
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


@dataclass
class Report:
    """One script's claim, how it was measured, its tables and its data."""

    script: str
    claim: str
    method: str
    tables: Sequence[Table]
    data: Any
    notes: Sequence[str] = ()

    def markdown(self, settings: Settings) -> str:
        """The page."""
        facts = {**about(settings), **settings.plain()}
        lines = [f"- {key}: {_plain(value)}" for key, value in facts.items()]
        parts = [f"# {self.script}", self.claim, self.method]
        parts += [table.markdown() for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        parts += ["### Machine and settings", "\n".join(lines)]
        return "\n\n".join(parts) + "\n"

    def write(self, settings: Settings) -> str:
        """Write both files; the page."""
        settings.results.mkdir(parents=True, exist_ok=True)
        name = f"{self.script}_{settings.coretype.lower()}" if settings.coretype else self.script
        page = self.markdown(settings)
        (settings.results / f"{name}.md").write_text(page, encoding="utf-8")
        content = {
            "script": self.script,
            "machine": about(settings),
            "settings": settings.plain(),
            "data": self.data,
        }
        text = json.dumps(_finite(content), indent=1, ensure_ascii=False)
        (settings.results / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        return page


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return number(value) if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
