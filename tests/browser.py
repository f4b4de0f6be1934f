"""A headless Chromium, which runs a page's scripts and gives back what they found."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync", "extensions")
OPTIONS = ("--headless", "--no-sandbox", "--no-first-run", "--enable-logging=stderr")
FRAME = '<iframe width="{width}" height="900" srcdoc="{page}"></iframe>'
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><title>harness</title>{frames}
<pre id="found"></pre><script>
const measure = {measure};
onload = () => {{ found.textContent = JSON.stringify(Array.from(frames).map((f) => measure(f))); }};
</script>"""


def measured(
    folder: Path, pages: list[tuple[str, int]], measure: str
) -> tuple[list[Any], list[str]]:
    """What ``measure`` finds in each page at its width in pixels, and what the console says.

    ``measure`` is a JavaScript function of a page's window.
    """
    frames = "".join(FRAME.format(width=width, page=html.escape(page)) for page, width in pages)
    path = folder / "harness.html"
    path.write_text(HARNESS.format(frames=frames, measure=measure), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 (the browser that was found)
        [
            str(CHROMIUM),
            *OPTIONS,
            *(f"--disable-{name}" for name in QUIET),
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])) if found else [], console
