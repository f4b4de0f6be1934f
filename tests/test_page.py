"""The training page in a browser: what it shows, and that it can be used by everyone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from symprop import Adam, Dense, Network
from symprop.report import Recorder, training_page

from browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
LAST = 8
BALL = "mountain.seen.join()"
SHOWN = "state.shown"
EXACT = "document.getElementById('error').firstChild.data"
PLACE = "state.place"


def trained(layers, inputs, loss, x, y, validation=None):
    model = Network(layers, inputs, loss).compile(Adam(0.02), dtype="float64", backend="numpy")
    recorder = Recorder(x, y, validation)
    recorder.record(model)
    for _ in range(LAST):
        model.fit(x, y)
        recorder.record(model)
    return model, recorder


def images():
    """Bars at one of four heights, with noise: images of 4 × 4 pixels."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 4
    x = (np.eye(4)[y][:, :, None] * np.ones(4)).reshape(60, 16) + rng.normal(size=(60, 16)) * 0.2
    layers = [Dense(6, "relu"), Dense(4, "softmax")]
    return trained(layers, 16, "cross_entropy", x, y, (x[:20], y[:20]))


def plane():
    x = np.random.default_rng(0).normal(size=(60, 2))
    layers = [Dense(4, "tanh"), Dense(1, "sigmoid")]
    return trained(layers, 2, "binary_cross_entropy", x, (x[:, 0] > 0) * 1.0)


def curve():
    x = np.linspace(-1, 1, 40)[:, None]
    return trained([Dense(4, "tanh"), Dense(1)], 1, "mse", x, x**2)


def numbers():
    x = np.random.default_rng(0).normal(size=(40, 5))
    return trained([Dense(3, bias=False)], 5, "mse", x, x[:, :3] * 1e6)


NETWORKS = {"images": images, "plane": plane, "curve": curve, "numbers": numbers}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("symprop.report.measure.POINTS", 11)
        for name, make in NETWORKS.items():
            model, recorder = make()
            path = folder / f"{name}.html"
            training_page(model, model.history, path, recorder, title=f"{name} <b>&'\"")
    return {name: folder / f"{name}.html" for name in NETWORKS}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(started: Browser) -> Iterator[Browser]:
    """A browser whose pages must neither log nor ask for anything but themselves."""
    started.console.clear()
    started.requests.clear()
    started.media(prefers_color_scheme="light")
    yield started
    assert started.console == []
    assert [r for r in started.requests if not r.startswith(("file:", "data:"))] == []


@pytest.fixture
def page(browser: Browser, pages: dict[str, Path]) -> Browser:
    browser.open(pages["images"])
    return browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1000, 1600])
@pytest.mark.parametrize("name", NETWORKS)
def test_pages_fit_their_window(browser, pages, name: str, width: int, scheme: str) -> None:
    browser.media(prefers_color_scheme=scheme)
    browser.open(pages[name], width)
    for place in (0, LAST // 2, LAST):
        browser.value(f"show({place})")
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    cut = """[...document.querySelectorAll("main *")].filter((e) =>
      !e.closest(".formulas, .table, svg, .spoken") && e.getClientRects().length
      && (e.getBoundingClientRect().right > innerWidth || e.getBoundingClientRect().left < 0)
    ).length"""
    assert browser.value(cut) == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_picture_is_drawn_and_every_number_is_there(browser, pages, name: str) -> None:
    browser.open(pages[name])
    empty = """[...document.querySelectorAll("canvas")].filter((c) => {
      const bits = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      return !bits.some((value, k) => k % 4 === 3 && value > 0); }).length"""
    assert browser.value(empty) == 0
    text = browser.value("document.body.innerText")
    assert "NaN" not in text
    assert "undefined" not in text
    assert f"{name} <b>&'\"" in text
    values = browser.value("[...document.querySelectorAll('td.value')].map((e) => e.textContent)")
    assert values
    assert all(values)


def test_colours_follow_the_scheme_at_once(page: Browser) -> None:
    light = page.value("[colours('--paper'), mountain.canvas.toDataURL()]")
    page.media(prefers_color_scheme="dark")
    page.until(f"colours('--paper') !== '{light[0]}'")
    page.until(f"mountain.canvas.toDataURL() !== '{light[1]}'")


def test_play_rolls_the_ball_to_the_end_and_stops(page: Browser) -> None:
    start, error = page.value(BALL), page.value(EXACT)
    page.value("document.getElementById('speed').value = '4'")
    page.click("#play")
    assert page.value("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    page.until(f"{PLACE} % 1 > 0.05")  # between two snapshots
    assert page.value(BALL) != start
    page.until("!state.playing")
    assert page.value(SHOWN) == LAST
    assert page.value(EXACT) != error
    assert page.value("document.getElementById('play').getAttribute('aria-label')") == "Play"
    page.click("#play")  # from the start again
    assert page.value(f"state.playing && {PLACE} < {LAST}")


def test_pause_holds_the_ball(page: Browser) -> None:
    page.click("#play")
    page.until(f"{PLACE} > 0.1")
    page.click("#play")
    held = page.value(BALL)
    time.sleep(0.2)
    assert page.value(BALL) == held
    assert "error" in page.value("document.getElementById('spoken').textContent")


def test_numbers_change_at_snapshots_only_and_are_the_measured_ones(page: Browser) -> None:
    page.value("show(3)")
    shown = page.value(EXACT)
    assert shown == page.value("short(data.loss[3])")
    page.value("show(3.9)")
    assert page.value(EXACT) == shown
    page.value("show(4)")
    assert page.value(EXACT) == page.value("short(data.loss[4])") != shown


def test_the_ball_lies_at_the_measured_loss(page: Browser) -> None:
    for k in range(LAST + 1):
        loss, height = page.value(f"[data.loss[{k}], mountain.surface.loss(mountain.spot({k})[2])]")
        assert height == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize("width", [400, 1600])
def test_the_controls_stay_in_sight(browser, pages, width: int) -> None:
    browser.open(pages["images"], width)
    inside = """(() => { const b = document.getElementById("play").getBoundingClientRect();
      return b.top >= 0 && b.bottom <= innerHeight; })()"""
    for share in (0, 0.5, 1):
        browser.value(f"scrollTo(0, {share} * document.body.scrollHeight)")
        assert browser.value(inside)


def test_speed_sets_the_pace(page: Browser) -> None:
    def rate(speed: str) -> float:
        page.value(f"play(false), show(0), document.getElementById('speed').value = '{speed}'")
        begin = page.value("(play(true), performance.now())")
        page.until(f"{PLACE} > 0.5")
        place, end = page.value(f"[{PLACE}, performance.now()]")
        return place / (end - begin)

    assert rate("4") > 2 * rate("1")


def test_scrubbing_goes_to_the_snapshot(page: Browser) -> None:
    x, y = page.center("#scrub")
    page.click("#scrub")
    assert page.value(SHOWN) == LAST // 2
    page.point("mousePressed", x, y, held=True)
    page.point("mouseMoved", x + 1000, y, held=True)
    page.point("mouseReleased", x + 1000, y)
    assert page.value(SHOWN) == LAST
    text = page.value("document.getElementById('scrub').getAttribute('aria-valuetext')")
    assert text == page.value(f"inWords({LAST})")


def test_a_curve_can_be_scrubbed_too(page: Browser) -> None:
    page.click(".curve svg")
    assert 0 < page.value(SHOWN) < LAST


def test_keys_do_what_the_buttons_do(page: Browser) -> None:
    for key, expected in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", LAST)):
        page.press(key)
        assert page.value(SHOWN) == expected
    page.press("ArrowRight")
    assert page.value(SHOWN) == LAST
    page.press("Home")
    assert page.value(SHOWN) == 0
    page.press(" ", "Space")
    assert page.value("state.playing")
    page.press(" ", "Space")
    assert not page.value("state.playing")
    before = page.value("[document.getElementById('speed').value, mountain.yaw]")
    page.press("+")
    page.press("]")
    after = page.value("[document.getElementById('speed').value, mountain.yaw]")
    assert float(after[0]) > float(before[0])
    assert after[1] > before[1]
    page.value("document.getElementById('scrub').focus()")
    page.press("ArrowRight")
    assert page.value(SHOWN) == page.value("Number(document.getElementById('scrub').value)") == 1


def test_every_control_is_reached_by_tab_and_shows_the_focus(page: Browser) -> None:
    reached = []
    for _ in range(30):
        page.press("Tab")
        found = page.value(
            "(() => { const e = document.activeElement; return [e.id || e.className ||"
            " e.tagName, getComputedStyle(e).outlineStyle]; })()"
        )
        reached.append(found[0])
        assert found[1] != "none" or found[0] == "BODY", found
    assert {"mountain", "left", "right", "play", "back", "on", "scrub", "speed"} <= set(reached)


def test_the_mountain_turns_when_it_is_dragged(page: Browser) -> None:
    yaw, (x, y) = page.value("mountain.yaw"), page.center("#mountain")
    page.point("mousePressed", x, y, held=True)
    page.point("mouseMoved", x + 80, y, held=True)
    page.point("mouseReleased", x + 80, y)
    page.point("mouseMoved", x, y)
    assert page.value("mountain.yaw") == pytest.approx(yaw + 0.5)
    page.click("#left")
    assert page.value("mountain.yaw") < yaw + 0.5


PANEL = "[...document.querySelectorAll('.panel')].findIndex((p) => !p.hidden)"


def test_a_layer_shows_its_formulas_when_it_is_pointed_at_focused_or_tapped(page: Browser) -> None:
    first, second = (f'#network button[aria-controls="layer-{n}"]' for n in (0, 1))
    assert page.value(PANEL) == 1
    page.point("mouseMoved", *page.center(first))
    page.until(f"{PANEL} === 0")
    assert page.value("document.querySelectorAll('.panel:not([hidden]) .delta math').length") == 2
    page.value(f"document.querySelector('{second}').focus()")
    assert page.value(PANEL) == 1
    page.click(first)
    assert page.value(PANEL) == 0
    assert page.value(f"document.querySelector('{first}').ariaPressed") == "true"


def test_the_layer_s_numbers_are_those_of_the_step(page: Browser) -> None:
    value = "document.querySelector('#layer-0 td.value').textContent"
    page.value("show(0)")
    before = page.value(value)
    page.press("End")
    assert page.value(value) == page.value(f"short(data.layers[0].delta[{LAST}])") != before


def test_samples_and_weights_follow_the_step(page: Browser) -> None:
    right = "document.querySelectorAll('.sample.right').length"
    weights = "document.querySelector('#weights canvas').toDataURL()"
    before = page.value(f"[{right}, {weights}]")
    page.press("End")
    after = page.value(f"[{right}, {weights}]")
    assert after[0] > before[0]
    assert after[1] != before[1]
    assert page.value("document.querySelectorAll('.sample').length") == 20


def test_without_motion_the_ball_steps_from_snapshot_to_snapshot(browser, pages) -> None:
    browser.media(prefers_reduced_motion="reduce")
    browser.open(pages["images"])
    assert not browser.value("state.playing")
    browser.value(
        "window.places = []; const draw = mountain.draw.bind(mountain);"
        "mountain.draw = (place) => { places.push(place); draw(place); }; 0"
    )
    browser.value("document.getElementById('speed').value = '4'")
    browser.click("#play")
    browser.until("places.length >= 3")
    browser.click("#play")
    assert all(place == int(place) for place in browser.value("places"))


def test_nothing_moves_before_it_is_asked_to(page: Browser) -> None:
    ball = page.value(BALL)
    time.sleep(0.2)
    assert page.value(f"[{BALL}, state.playing, {PLACE}]") == [ball, False, 0]


def test_words_can_be_read_on_what_is_behind_them(browser, pages) -> None:
    """WCAG 2.2: a contrast of 4.5."""
    contrast = """(() => {
      const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      const light = (name) => [1, 3, 5]
        .map((k) => part(parseInt(colours(name).slice(k, k + 2), 16)))
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
      const between = (a, b) => { const [x, y] = [light(a), light(b)];
        return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
      return Math.min(...["--ink", "--muted", "--right", "--wrong"].flatMap((a) =>
        ["--paper", "--card"].map((b) => between(a, b))), between("--accent", "--paper"),
        between("--on-accent", "--accent")); })()"""
    for scheme in ("light", "dark"):
        browser.media(prefers_color_scheme=scheme)
        browser.open(pages["images"])
        assert browser.value(contrast) >= 4.5
