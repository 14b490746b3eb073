"""The time until a called siren is nearest, on the page in a real Chromium: there while it is told, and not after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conftest import free_port
from tests.e2e.webdriver import Browser
from tests.observe.test_snapshot import feed_call, setup
from tests.selftest.test_runner import serve
from tests.web.test_page import AXE, CUT, DESKTOP, FIRST_SCREEN, PHONE, RULES, wear

from sirend.call.state import CallState
from sirend.config.settings import WebConfig
from sirend.detect.arrival import Arrival
from sirend.detect.motion import Motion
from sirend.observe.snapshot import View

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
COMING = Arrival(6.04, 4.21, 9.21)
WORDS = "nearest in 6 s (4 to 9)"
SHOWN = r"""
const line = document.querySelector('[data-approach=south] .eta');
return line.checkVisibility() ? line.innerText.trim().replace(/\s+/g, ' ') : '';
"""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[View, int]]:
    """Return what a junction of four legs shows, and the port of its page."""
    view, port = View(setup("north", "east", "south", "west")), free_port()
    call(view, None, stands=False)
    with serve(WebConfig(enabled=True, port=port), view):
        yield view, port


@pytest.fixture(scope="module")
def browser(served: tuple[View, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a window with the page in it."""
    with Browser(tmp_path_factory.mktemp("browser"), *DESKTOP) as made:
        made.open(f"http://127.0.0.1:{served[1]}/")
        made.until("[data-approach=south] .state", "siren heard, not called")
        yield made


def call(view: View, arrival: Arrival | None, motion: Motion = Motion.APPROACHING, *, stands: bool = True) -> None:
    """Let south have what a call said last."""
    feed_call(view, arrival, motion, CallState.APPROACHING if stands else CallState.CLEAR, only="south")


def test_the_calling_card_alone_says_it_and_a_screen_reader_hears_it_once(
    served: tuple[View, int], browser: Browser
) -> None:
    call(served[0], None)
    browser.until("[data-approach=south] .state", "EMERGENCY APPROACHING")
    assert browser.run(SHOWN) == ""
    call(served[0], COMING)
    browser.holds(f"return (() => {{ {SHOWN} }})() === '{WORDS}'")
    others = "return [...document.querySelectorAll('.eta')].filter((each) => each.innerText.trim()).length"
    assert browser.run(others) == 1
    said = "return document.querySelector('#said').textContent"
    assert browser.run(said) == f"south: EMERGENCY APPROACHING, {WORDS}"
    call(served[0], Arrival(5.04, 3.21, 7.96))
    browser.until("[data-approach=south] .eta", "nearest in 5 s")
    assert browser.run(said) == f"south: EMERGENCY APPROACHING, {WORDS}", "not with every second"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_line_fits_moves_nothing_and_breaks_no_rule_of_access(
    served: tuple[View, int], browser: Browser, size: tuple[int, int], theme: str, tmp_path: Path
) -> None:
    browser.size(*size)
    wear(browser, theme)
    height = "return document.querySelector('[data-approach=south]').getBoundingClientRect().height"
    call(served[0], None, stands=False)
    browser.until("[data-approach=south] .state", "siren heard, not called")
    call(served[0], None)
    browser.until("[data-approach=south] .state", "EMERGENCY APPROACHING")
    assert not browser.run("return document.querySelector('[data-approach=south] .eta').checkVisibility()")
    call(served[0], COMING)
    browser.holds(f"return (() => {{ {SHOWN} }})() === '{WORDS}'")
    call(served[0], None)
    browser.holds(f"return (() => {{ {SHOWN} }})() === ''")
    without = browser.run(height)
    call(served[0], Arrival(11.96, 9.6, 17.8))
    browser.until("[data-approach=south] .eta", "nearest in 12 s")
    assert browser.run(height) == without
    browser.picture(tmp_path / f"eta-{theme}-{size[0]}.png")
    assert browser.run(CUT) == []
    if size == PHONE:
        assert browser.run(FIRST_SCREEN), "what happened is on the first screen"
    browser.run(AXE.read_text(encoding="utf-8"))
    assert browser.run(RULES) == []


@pytest.mark.parametrize("ending", ["none", "unknown", "departing", "over", "silence"])
def test_a_time_that_is_not_told_now_is_not_shown(served: tuple[View, int], browser: Browser, ending: str) -> None:
    call(served[0], COMING)
    browser.holds(f"return (() => {{ {SHOWN} }})() === '{WORDS}'")
    if ending == "none":
        call(served[0], None)
    elif ending == "over":
        call(served[0], COMING, stands=False)
    elif ending != "silence":
        call(served[0], COMING, Motion(ending))
    browser.holds(f"return (() => {{ {SHOWN} }})() === ''")
    assert (ending == "silence") == browser.run("return document.body.classList.contains('is-stale')")
