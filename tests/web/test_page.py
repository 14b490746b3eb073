"""The page of a simulated junction in a real Chromium: phone and desktop, light and dark, keyboard, screen reader."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import PATIENCE_S, free_port
from tests.e2e.webdriver import Browser
from tests.observe.test_snapshot import feed, setup
from tests.selftest.test_runner import serve
from tests.web.site import HEALTH, LEGS, Site, remember

from sirend.config.settings import WebConfig
from sirend.observe.monitor import words_of
from sirend.observe.snapshot import View
from sirend.web.feed import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
AXE = Path(__file__).parents[2] / "build/npm/node_modules/axe-core/axe.min.js"
PHONE, DESKTOP = (390, 844), (1280, 900)
RULES = """
const rules = { "color-contrast-enhanced": { enabled: true } };  // 7:1, in sunlight
return axe.run(document, { resultTypes: ["violations"], rules }).then((found) => found.violations.map(
  (each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`));
"""
EVEN = """
const channel = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
return import("/colours.js").then(({ ramp }) => ramp(arguments[0]).map(([red, green, blue]) => {
  const [r, g, b] = [red, green, blue].map(channel);
  return 0.2104542553 * Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    + 0.793617785 * Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    - 0.0040720468 * Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
}));
"""
FAINT = """
return import("/spectrogram.js").then(({ floors, step }) => {
  const bands = 64, loud = (band) => 200 - 2 * band, columns = [];
  for (let at = 0; at < 200; at += 1) {
    columns.push(Uint8Array.from({ length: bands }, (_, band) => loud(band) + (at * 7 + band * 3) % 5
      + (at >= 150 && band === 40 ? 23 : 0)));
  }
  const usual = floors(columns, bands);
  return [step(columns[180][40], usual[40]), step(columns[180][39], usual[39]), step(columns[180][2], usual[2])];
});
"""
CUT = """
const width = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")].filter((each) => {
  const { left, right, width: own } = each.getBoundingClientRect();
  const isShown = own > 1 && each.checkVisibility() && !each.closest(".skip, .unseen, .uplot");
  return isShown && (left < -1 || right > width + 1 || each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0
    && getComputedStyle(each).display !== "inline");
}).map((each) => each.outerHTML.slice(0, 80));
"""
FIRST_SCREEN = """
return [...document.querySelectorAll(".state, #summary, #events li")].map((each) => each.getBoundingClientRect().bottom)
  .every((bottom) => bottom <= window.innerHeight);
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    """Return a junction of four legs at which a siren arrives from the south, and the port of its page."""
    port = free_port()
    with Site(tmp_path_factory.mktemp("site"), port) as made:
        yield made, port


@pytest.fixture(scope="module")
def browser(site: tuple[Site, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a window with the page in it, that all tests of this module use one after the other, in any order."""
    with Browser(tmp_path_factory.mktemp("browser"), *DESKTOP) as made:
        made.open(f"http://127.0.0.1:{site[1]}/")
        made.until("#health", "OK: listening")
        made.holds("return document.querySelector('#events button') !== null")
        yield made


def wear(browser: Browser, theme: str) -> None:
    browser.run(
        "if (document.documentElement.dataset.theme !== arguments[0]) document.querySelector('#theme').click()", theme
    )


def test_it_opens_with_history_and_shows_a_siren_arrive(site: tuple[Site, int], browser: Browser) -> None:
    made, port = site
    made.wait(windows=40)
    browser.open(f"http://127.0.0.1:{port}/")
    browser.until("#health", "OK: listening")
    browser.until("#summary", "calls in 24 hours")
    browser.until(".state", "clear")
    columns = "return document.querySelectorAll('#approaches article h3').length"
    assert browser.run(columns) == 4
    names = browser.run(
        "return [...document.querySelectorAll('#approaches article')].map((each) => each.dataset.approach)"
    )
    assert names == list(LEGS)
    held = json.loads(next(line.removeprefix("data: ") for kind, line in messages(port) if kind == "moments"))
    assert len(held) >= 30, "what was heard before the page was opened"
    browser.until("[data-approach=south] .state", "EMERGENCY APPROACHING")
    assert browser.run("return document.querySelector('#shown').value") == "south", "the calling leg is shown"
    assert browser.run("return document.querySelector('[data-approach=south]').classList.contains('approaching')")
    browser.until("#day-title", "24 hours on south")
    assert browser.run("return document.querySelector('#score-key').hidden"), "where the evidence is the score"
    browser.until("#events li", "called now")
    assert "departing" not in browser.text("#approaches")


def messages(port: int) -> Iterator[tuple[str, str]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/stream", timeout=PATIENCE_S) as answer:
        kind = ""
        for line in map(bytes.decode, answer):
            if line.startswith("event: "):
                kind = line.removeprefix("event: ").strip()
            elif line.startswith("data: "):
                yield kind, line


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_nothing_is_cut_and_no_rule_of_access_is_broken(
    site: tuple[Site, int], browser: Browser, size: tuple[int, int], theme: str
) -> None:
    assert site[0].view.windows
    if not AXE.is_file():
        pytest.fail("this test needs axe-core: make test installs it, or .ci/npm-package axe-core 4.14.1")
    browser.size(*size)
    wear(browser, theme)
    time.sleep(0.5)
    assert browser.run(CUT) == []
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.run(AXE.read_text(encoding="utf-8"))
    assert browser.run(RULES) == []
    columns = browser.run(
        "return getComputedStyle(document.querySelector('main')).gridTemplateColumns.split(' ').length"
    )
    assert columns == (2 if size == DESKTOP else 1)
    if size == PHONE:
        browser.run("window.scrollTo(0, 0)")
        assert browser.run(FIRST_SCREEN), "what happened is on the first screen"


@pytest.mark.parametrize("is_dark", [False, True])
def test_equal_steps_of_level_are_equal_steps_of_lightness(browser: Browser, is_dark: bool) -> None:
    lightness = browser.run(EVEN, is_dark)
    steps = [after - before for before, after in zip(lightness[:-8], lightness[8:], strict=True)]
    assert max(steps) * min(steps) > 0, "it never turns back"
    sizes = [abs(step) for step in steps]
    assert min(sizes) > 0.75 * max(sizes)
    assert abs(lightness[-1] - lightness[0]) > 0.7


def test_a_tone_ten_db_over_its_band_stands_out_of_bands_that_are_louder(browser: Browser) -> None:
    tone, beside, loud = browser.run(FAINT)
    assert tone > 70
    assert beside == loud == 0


def test_a_call_opens_by_keyboard_with_its_times_and_closes_again(browser: Browser) -> None:
    browser.size(*PHONE)
    browser.run("document.querySelector('#more').hidden || document.querySelector('#more').click()")
    browser.run("[...document.querySelectorAll('#events button')].at(-1).focus()")
    browser.type("\ue007")
    title = browser.until("#call-title", "Call on north")
    assert re.search(r", [0-9]{4}, [0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", title), "with its day, by the clock of the page"
    facts = browser.text("#call-facts")
    assert "19 s: it drove away" in facts
    assert "1.3 s later" in facts
    assert "No picture or sound of it is kept" in browser.text("#call-kept")
    browser.run(AXE.read_text(encoding="utf-8"))
    assert browser.run(RULES) == []
    browser.type("\ue00c")
    browser.holds("return !document.querySelector('#call').open")


def test_a_call_with_a_clip_has_picture_sound_and_lead(site: tuple[Site, int], browser: Browser) -> None:
    browser.until("#events", "picture, sound", 3 * PATIENCE_S)
    browser.run("[...document.querySelectorAll('#events button')].find((e) => e.innerText.includes('sound')).click()")
    browser.until("#call-facts", "the siren was loudest")
    browser.holds("return document.querySelector('#call-picture').naturalWidth > 1000")
    assert browser.run("return document.querySelector('#call-large').href").endswith(".png"), "for a telephone"
    browser.run("document.querySelector('#call-sound').load()")
    assert browser.run("return document.querySelector('#call-sound').src").endswith(".flac")
    browser.run("document.querySelector('#close').click()")
    assert site[0].view.calls()["south"] >= 1


def test_events_are_exported_as_csv_and_json(site: tuple[Site, int]) -> None:
    def get(path: str) -> Any:  # noqa: ANN401
        return urllib.request.urlopen(f"http://127.0.0.1:{site[1]}{path}", timeout=PATIENCE_S)

    with get("/events.csv?hours=24") as answer:
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert "attachment" in answer.headers["Content-Disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.read().decode())))
    assert [row["type"] for row in rows[:2]] == ["emergency_approaching", "emergency_cleared"]
    assert len(rows) == 18
    with get("/events.json?hours=3") as answer:
        events = json.loads(answer.read())
    assert [event["approach"] for event in events] == ["north", "north"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        get("/events.json?hours=-1")


def test_numbers_that_stand_still_for_two_seconds_are_called_old(browser: Browser) -> None:
    view, port = View(setup()), free_port()
    view.health = HEALTH
    feed(view, 3)
    with serve(WebConfig(enabled=True, port=port), view):
        browser.open(f"http://127.0.0.1:{port}/")
        browser.until("#stale", "No sound has been scored for")
        assert browser.run("return document.querySelector('#advisory').hidden")
        began = time.monotonic()
        feed(view, 1, first=4)
        browser.until("#stale", "")
        browser.holds("return !document.querySelector('#stale').hidden")
        assert time.monotonic() - began < 5.0
    assert browser.complaints() is not None


def test_a_calibrated_site_is_shown_in_decibels_of_sound_pressure(browser: Browser, tmp_path: Path) -> None:
    """The page was told how loud full scale is, and went on in dBFS."""
    view, port, journal = View(replace(setup(), dbfs_of_94_db=-26.0)), free_port(), tmp_path / "events.jsonl"
    view.health = HEALTH
    remember(journal, ("main",))
    feed(view, 3)
    with serve(WebConfig(enabled=True, port=port), view, Archive(None, journal)):
        browser.open(f"http://127.0.0.1:{port}/")
        browser.until(".figures", " dB SPL, floor 80;")  # -40 dBFS
        meter = "return document.querySelector('.meter').getAttribute(arguments[0])"
        assert browser.run(meter, "aria-label") == "Level of main, dB SPL"
        assert browser.run(meter, "aria-valuetext").endswith(" dB SPL, noise floor 80")
        browser.holds("return /noise floor [4-9][0-9.]+ dB SPL$/.test(document.querySelector('#chart').ariaLabel)")
        browser.run("document.querySelector('#events button').click()")
        browser.until("#call-facts", " dB SPL")
        assert "dBFS" not in browser.text("body")


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        ({"call": "clear", "evidence": 0.1, "motion": "departing"}, "clear"),
        ({"call": "clear", "evidence": 0.9, "motion": "departing"}, "siren heard, not called"),
        ({"call": "approaching", "evidence": 0.9, "motion": "unknown"}, "EMERGENCY APPROACHING"),
        ({"call": "approaching", "evidence": 0.9, "motion": "approaching"}, "EMERGENCY APPROACHING"),
        ({"call": "approaching", "evidence": 0.9, "motion": "departing"}, "EMERGENCY DRIVING AWAY"),
        ({"call": "approaching", "evidence": 0.1, "motion": "stationary"}, "EMERGENCY STANDING STILL"),
    ],
)
def test_a_card_says_one_thing(site: tuple[Site, int], browser: Browser, heard: dict[str, Any], words: str) -> None:
    browser.open(f"http://127.0.0.1:{site[1]}/")
    assert browser.run("return import('/approaches.js').then(({ words }) => words(arguments[0], 0.8))", heard) == words
    assert words_of(heard, {"enter": 0.8}) == words, "the terminal says the same"
