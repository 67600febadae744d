"""A page in a browser: videos show every panel at the same frame, nothing is wider than a phone, nothing is loaded."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import FRAMES, HOSTILE, generated_grey, real_grey, write_drift, write_evaluation, write_run
from vs_eval.app import main

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
LEVELS = 6
"""Levels of 255 by which H.264 may change a grey; frames are 15 apart."""

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a run, one with hostile names, and one that compares both."""
    place = tmp_path_factory.mktemp("pages")
    for name, clips in (("mine", ("one", "two")), (f"evil<b>{HOSTILE[:30].replace('/', '')}", ("one", HOSTILE))):
        run = write_run(place / name, lines={4: {"skipped_generator": 1}}, seed=len(name) % 7)
        write_evaluation(run.path / "eval" / "step-00000005", clips, notices=[HOSTILE], weights=HOSTILE)
        write_drift(run.path / "eval" / "drift-step-00000005")
    runs = sorted(path for path in place.iterdir() if path.is_dir())
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, runs), "--out", str(place / "comparison.html")])
    assert ended.value.code == 0
    return {"mine": place / "mine/report.html", "evil": runs[0] / "report.html", "both": place / "comparison.html"}


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Open a page, and see at the end that it said nothing and loaded nothing."""
    said: list[str] = []
    with contextlib.ExitStack() as stack:

        def opened(name: str, *, width: int = 1100, scheme: str = "light") -> Any:
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            stack.callback(context.close)
            page = context.new_page()
            page.on("console", lambda message: said.append(f"console: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
            page.on("request", lambda request: said.append(f"request: {request.url[:99]}"))
            page.goto(pages[name].as_uri())
            wait_for(page, "[...document.querySelectorAll('.player')].every((p) => p.dataset.frame === '0')")
            return page

        yield opened
        own = [f"request: {start}" for start in (*(path.as_uri()[:99] for path in pages.values()), "blob:", "data:")]
        asked_for = ("console: Canvas2D: Multiple readback", *own)  # the first by `grey` below
        assert [line for line in said if not line.startswith(asked_for)] == []


def grey(page: Any, place: float = 0.5, canvas: str = "canvas.large") -> int:
    """The red value of the pixel in the middle of a canvas, so far from its left edge."""
    script = """([name, place]) => {
        const canvas = document.querySelector(name);
        const at = Math.min(canvas.width - 1, Math.floor(place * canvas.width));
        return canvas.getContext("2d").getImageData(at, canvas.height / 2, 1, 1).data[0];
    }"""
    found: int = page.evaluate(script, [canvas, place])
    return found


def wait_for(page: Any, condition: str) -> None:
    """Wait until an expression is true; the driver's own way to wait is one that the page's policy forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(f"() => {condition}"):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(10)


def at_frame(page: Any, frame: int) -> None:
    wait_for(page, f"document.querySelector('.player').dataset.frame === '{frame}'")


def is_near(found: int, wanted: int) -> bool:
    return abs(found - wanted) <= LEVELS


def set_range(page: Any, name: str, value: int) -> None:
    script = """([name, value]) => {
        const range = document.querySelector(name);
        range.value = value;
        range.dispatchEvent(new Event("input"));
    }"""
    page.evaluate(script, [name, value])


def test_every_frame_is_found_exactly_and_all_panels_show_the_same_one(show: Callable[..., Any]) -> None:
    page = show("mine")
    page.focus(".player")
    for frame in range(FRAMES):
        at_frame(page, frame)
        assert is_near(grey(page, 0.25), real_grey(frame))
        assert is_near(grey(page, 0.75), generated_grey(frame))
        assert is_near(grey(page, canvas=".panels figure:nth-child(2) canvas"), real_grey(frame))
        assert is_near(grey(page, canvas=".panels figure:nth-child(3) canvas"), generated_grey(frame))
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    at_frame(page, 0)
    page.keyboard.press("Shift+ArrowRight")
    at_frame(page, 10)
    set_range(page, ".scrub", 4)
    at_frame(page, 4)
    assert is_near(grey(page, 0.25), real_grey(4))
    assert page.inner_text(".at") == f"5 / {FRAMES}"


def test_the_wipe_goes_from_all_of_one_to_all_of_the_other(show: Callable[..., Any]) -> None:
    page = show("mine")
    for share, places in ((0, {0.02: 225, 0.98: 225}), (100, {0.02: 30, 0.98: 30}), (25, {0.2: 30, 0.3: 225})):
        set_range(page, ".wipe", share)
        for place, wanted in places.items():
            assert is_near(grey(page, place), wanted), (share, place)
    box = page.locator("canvas.large").bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.up()
    assert is_near(grey(page, 0.85), 30)
    assert is_near(grey(page, 0.95), 225)


def test_the_difference_is_that_of_the_pixels_times_the_gain(show: Callable[..., Any]) -> None:
    page = show("mine")
    page.focus(".player")
    page.keyboard.press("End")
    at_frame(page, FRAMES - 1)
    page.keyboard.press("Home")
    set_range(page, ".scrub", 6)
    at_frame(page, 6)
    wanted = abs(real_grey(6) - generated_grey(6))
    page.keyboard.press("d")
    for gain in (1, 4):
        set_range(page, ".gain", gain)
        assert abs(grey(page) - gain * wanted) <= 2 * gain * LEVELS
    page.select_option("select.left", label="generated")
    assert grey(page) <= 1
    page.keyboard.press("s")
    page.select_option("select.left", label="real")
    assert is_near(grey(page, 0.25), real_grey(6))
    assert page.evaluate("document.querySelector('canvas.large').width") == 2 * 288


def test_it_plays_with_all_panels_in_step_and_stops(show: Callable[..., Any]) -> None:
    page = show("mine")
    page.focus(".player")
    page.keyboard.press(" ")
    at_frame(page, 3)
    frames = set()
    for _ in range(12):
        page.wait_for_timeout(60)
        frame, left, right = page.evaluate("""() => {
            const c = document.querySelector("canvas.large"), of = c.getContext("2d");
            const grey = (x) => of.getImageData(x * c.width, c.height / 2, 1, 1).data[0];
            return [Number(document.querySelector(".player").dataset.frame), grey(0.25), grey(0.75)];
        }""")
        frames.add(frame)
        assert is_near(left, real_grey(frame))
        assert is_near(right, generated_grey(frame))
    assert len(frames) > 2
    page.keyboard.press(" ")
    page.wait_for_timeout(200)
    stopped = page.evaluate("document.querySelector('.player').dataset.frame")
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('.player').dataset.frame") == stopped
    assert page.evaluate("document.querySelector('.player').dataset.playing") == "false"


def test_tables_lead_to_clips_and_a_key_to_help(show: Callable[..., Any]) -> None:
    page = show("mine")
    page.click("button.jump >> text=two")
    wait_for(page, "document.querySelector('.player').dataset.clip === '1'")
    at_frame(page, 0)
    page.wait_for_timeout(100)
    assert is_near(grey(page, 0.75), generated_grey(0, 1))
    assert page.evaluate("document.activeElement.className") == "player"
    page.keyboard.press("?")
    assert page.is_visible("dialog")
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog")
    page.keyboard.press("ArrowUp")
    wait_for(page, "document.querySelector('.player').dataset.clip === '0'")


def test_whatever_the_player_does_keys_do_too(show: Callable[..., Any]) -> None:
    page = show("mine")
    page.focus(".player")
    assert page.input_value(".wipe") == "50"
    for key, share in ((",", "45"), (".", "50"), (".", "55")):
        page.keyboard.press(key)
        assert page.input_value(".wipe") == share
    for key, mode in (("d", "difference"), ("s", "beside"), ("w", "wipe")):
        page.keyboard.press(key)
        assert page.input_value("select.mode") == mode
    page.keyboard.press("End")
    at_frame(page, FRAMES - 1)
    page.keyboard.press("ArrowLeft")
    at_frame(page, FRAMES - 2)
    page.keyboard.press("Shift+ArrowLeft")
    at_frame(page, 0)
    page.keyboard.press("ArrowDown")
    wait_for(page, "document.querySelector('.player').dataset.clip === '1'")
    page.focus("button.jump")
    page.keyboard.press("Enter")
    wait_for(page, "document.activeElement.className === 'player'")
    page.keyboard.press("?")
    told = page.locator("dialog dt").all_inner_texts()
    assert told == ["space", "← →", "home, end", "↑ ↓", ", .", "w, d, s", "?"]


def test_runs_are_seen_beside_each_other(show: Callable[..., Any]) -> None:
    page = show("both")
    titles = page.locator(".panels figcaption").all_inner_texts()
    assert titles == ["label", "real", "generated, A", "generated, B"]
    assert is_near(grey(page, canvas=".panels figure:nth-child(4) canvas"), generated_grey(0))
    assert page.locator("#configuration td").count() >= 2


def test_a_curve_tells_its_values_where_one_points(show: Callable[..., Any]) -> None:
    page = show("mine")
    curve = page.locator("#training figure.curve").first
    curve.scroll_into_view_if_needed()
    before = curve.locator("output").first.inner_text()
    box = curve.locator(".drawing").bounding_box()
    page.mouse.move(box["x"] + 0.13 * box["width"], box["y"] + 20)
    assert curve.locator("figcaption").inner_text() == "Losses of the generator, step 1"
    assert curve.locator("output").first.inner_text() == "1"
    page.mouse.move(0, 0)
    assert curve.locator("output").first.inner_text() == before == "0.2"


@pytest.mark.parametrize("name", ["mine", "evil", "both"])
def test_nothing_is_wider_than_a_phone(show: Callable[..., Any], name: str) -> None:
    page = show(name, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = """[...document.querySelectorAll("body *")].filter((e) => !e.closest("svg, pre, .scroll, .skip")
        && e.getBoundingClientRect().right > 361).map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(wide) == []


CONTRASTS = """() => {
    const parts = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
    const light = (rgb) => rgb.slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const c = parts(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0.5) return c;
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll("body *:not(script, style)")].filter((e) => e.checkVisibility()
        && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
    return texts.map((e) => { const style = getComputedStyle(e);
        const [a, b] = [light(parts(e.closest("svg") ? style.fill : style.color)), light(ground(e))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)]; });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(show: Callable[..., Any], scheme: str) -> None:
    found = show("mine", scheme=scheme).evaluate(CONTRASTS)
    assert len(found) > 50
    assert [text for contrast, text in found if contrast < 4.5] == []


EDGE_CONTRASTS = """(name) => {
    const light = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92
        : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    return [...document.querySelectorAll(name)].map((e) => {
        const style = getComputedStyle(e);
        const paper = light(getComputedStyle(document.body).backgroundColor);
        return Math.max(...[style.borderTopColor, style.backgroundColor].map(light).map((c) =>
            (Math.max(c, paper) + 0.05) / (Math.min(c, paper) + 0.05)));
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_panel_that_is_still_blank_is_seen_on_any_paper(show: Callable[..., Any], scheme: str) -> None:
    page = show("mine", scheme=scheme)
    for name in (".panels canvas", ".stage"):
        found = page.evaluate(EDGE_CONTRASTS, name)
        assert found
        assert min(found) >= 3


def test_a_phone_scrolls_a_wide_picture_and_does_not_shrink_it(show: Callable[..., Any]) -> None:
    page = show("mine", width=360)
    sizes = "[...document.querySelectorAll('.picture img')].map((i) => [i.naturalWidth, i.clientWidth])"
    wide = [(natural, shown) for natural, shown in page.evaluate(sizes) if natural > 360]
    assert wide == [(1000, 960)]


def test_drift_is_drawn_in_the_colours_of_the_page(show: Callable[..., Any]) -> None:
    strokes = []
    for scheme in ("light", "dark"):
        page = show("mine", scheme=scheme)
        figure = page.locator("#drift0-curves0 figure.curve")
        assert figure.locator("figcaption").all_inner_texts() == ["PSNR, dB ↑"]
        strokes.append(figure.locator("svg path").evaluate_all("(all) => all.map((e) => getComputedStyle(e).stroke)"))
        assert "drift.png" not in page.content()
    assert strokes[0] != strokes[1]


def test_names_are_text_wherever_they_stand(show: Callable[..., Any]) -> None:
    page = show("evil")
    page.select_option("select.clip", index=1)
    wait_for(page, "document.querySelector('.player').dataset.clip === '1'")
    assert page.title() != "caught"
    assert page.locator("img[src='x']").count() == 0
    assert "\u202e" not in page.content()
    assert "onerror=alert(1)" in page.inner_text("select.clip")


def test_a_script_that_got_in_would_not_run_and_could_ask_nobody(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["mine"].as_uri())
    refused = """(act) => new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective), { once: true });
        eval(act);
    })"""
    acts = {
        "fetch('https://example.org').catch(() => 0)": "connect-src",
        "new Image().src = 'https://example.org/x.png'": "img-src",
    }
    script = (
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    for act, directive in {**acts, script: "script-src-elem"}.items():
        assert page.evaluate(refused.replace("eval(act)", act)) == directive
    assert page.title() != "1"
    page.close()


def test_labels_languages_and_names_for_who_does_not_see(show: Callable[..., Any]) -> None:
    page = show("mine")
    assert page.get_attribute("html", "lang") == "en"
    assert page.evaluate("[...document.images].every((i) => i.alt)")
    unnamed = """[...document.querySelectorAll("button, input, select, canvas, [role=img]")].filter((e) =>
        e.checkVisibility() && !e.getAttribute("aria-label") && !e.labels?.length && !e.textContent.trim())
        .map((e) => e.outerHTML)"""
    assert page.evaluate(unnamed) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
