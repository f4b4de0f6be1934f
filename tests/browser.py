"""A headless Chromium, which runs a page's scripts and gives back what they found."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
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


WITH_ENDS = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Runs a browser with the ends of two pipes where it looks for them."""


class Browser:
    """A headless Chromium that is driven over its debugging pipe: real keys, pointers and media.

    ``console`` holds what pages logged or threw, ``requests`` every address that was asked for.
    """

    def __init__(self, folder: Path) -> None:
        (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
        options = [*OPTIONS, *(f"--disable-{name}" for name in QUIET)]
        profile = f"--user-data-dir={folder / 'profile'}"
        self._process = subprocess.Popen(  # noqa: S603 (the browser that was found)
            [
                *(sys.executable, "-c", WITH_ENDS, str(theirs_in), str(theirs_out), str(CHROMIUM)),
                *(*options, profile, "--remote-debugging-pipe"),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._reader = os.fdopen(ours_in, "rb", buffering=0)
        self._writer = os.fdopen(ours_out, "wb", buffering=0)
        self._waiting, self._count = b"", 0
        self.console: list[str] = []
        self.requests: list[str] = []
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._session = ""
        with contextlib.suppress(OSError, TimeoutError):
            self.call("Browser.close")
        self._process.wait(30)
        self._reader.close()
        self._writer.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._count:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return dict(found["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._reader], [], [], 60)
            if not ready or not (received := self._reader.read(1 << 20)):
                raise TimeoutError("the browser does not answer")
            self._waiting += received
        text, _, self._waiting = self._waiting.partition(b"\0")
        found = dict(json.loads(text))
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.console.append(json.dumps(told))

    def media(self, **features: str) -> None:
        """Such as prefers_color_scheme="dark"."""
        found = [{"name": name.replace("_", "-"), "value": v} for name, v in features.items()]
        self.call("Emulation.setEmulatedMedia", features=found)

    def open(self, path: Path, width: int = 1000, height: int = 900) -> None:
        """Show a page in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What JavaScript gives."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 20) -> None:
        """Wait for something to be true."""
        end = time.monotonic() + seconds
        while not self.value(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def press(self, key: str, code: str = "") -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {}
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, " ": 32, "Tab": 9}
        named = {"key": key, "code": code or key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def center(self, selector: str) -> tuple[float, float]:
        """The middle of an element, scrolled into view."""
        x, y = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); "
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        return float(x), float(y)

    def point(self, kind: str, x: float, y: float, held: bool = False) -> None:
        """Move the pointer there, press or release it."""
        button = {"button": "left", "buttons": int(held), "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        x, y = self.center(selector)
        self.point("mousePressed", x, y, held=True)
        self.point("mouseReleased", x, y)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save what is seen, or the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
