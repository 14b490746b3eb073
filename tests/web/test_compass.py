"""The page of a site with an array, in a real Chromium: the compass follows a siren that comes from the south."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.conftest import PATIENCE_S, free_port
from tests.e2e.webdriver import Browser
from tests.web.site import LEGS, Site
from tests.web.test_page import AXE, CUT, DESKTOP, FIRST_SCREEN, PHONE, RULES, wear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
WORDS = """
return import("/compass.js").then(({ legOf, listens }) => {
  const about = { has_array: true, approaches: [{ name: "north", bearing_deg: 0, width_deg: 90 },
    { name: "east", bearing_deg: 90, width_deg: 60 }, { name: "main", bearing_deg: null }] };
  return [350, 44, 50, 61].map((deg) => legOf(about, { deg }) ?? null).concat(
    listens(about, "east", { deg: 91 }), listens(about, "north", { deg: 91 }), listens(about, "main", { deg: 91 }),
    listens(about, "main", { deg: 180 }), listens(about, "north", undefined), listens(about, "east", { deg: 91 }, {}));
});
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    """Return a junction with an array, at which a siren arrives from the south, and the port of its page."""
    port = free_port()
    with Site(
        tmp_path_factory.mktemp("site"), port, names=(*LEGS, "main"), has_array=True, snr_db=20.0, speed=1.5
    ) as made:
        yield made, port


@pytest.fixture(scope="module")
def browser(site: tuple[Site, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a window with the page in it, that all tests of this module use one after the other."""
    with Browser(tmp_path_factory.mktemp("browser"), *DESKTOP) as made:
        site[0].wait(windows=20)
        made.open(f"http://127.0.0.1:{site[1]}/")
        made.holds("return document.querySelector('.sector') !== null")
        yield made


def label(browser: Browser) -> str:
    return str(browser.run("return document.querySelector('#rose').getAttribute('aria-label')"))


def test_the_compass_shows_the_sectors_and_follows_the_siren(browser: Browser, tmp_path: Path) -> None:
    browser.until("#direction", "no siren")
    assert label(browser) == "Compass: no siren"
    names = browser.run("return [...document.querySelectorAll('.sector')].map((each) => each.dataset.leg)")
    assert names == list(LEGS)
    assert "325° to 35°" in browser.text("[data-approach=north] h3")
    assert "all round" in browser.text("[data-approach=main] h3")
    browser.until("#direction", "in the sector of south", 3 * PATIENCE_S)
    browser.until("[data-approach=south] .state", "EMERGENCY", 3 * PATIENCE_S)
    browser.holds("return document.querySelector('[data-leg=south]').classList.contains('called')")
    browser.until("#direction", "south is called")
    browser.until("[data-approach=south] .state", ": wail", 3 * PATIENCE_S)
    browser.picture(tmp_path / "compass.png")
    said = label(browser)
    assert said.startswith("Compass: siren at 1")
    assert "degrees, in the sector of south; south is called" in said
    assert browser.run("return [...document.querySelectorAll('#approaches .hearing')].length") == 0, "one card says it"
    assert browser.run("return document.querySelector('#way .needle').getBBox().height") > 50.0
    assert browser.run("return document.querySelectorAll('#way .past').length") > 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_nothing_of_it_is_cut_and_no_rule_of_access_is_broken(
    browser: Browser, size: tuple[int, int], theme: str, tmp_path: Path
) -> None:
    browser.size(*size)
    wear(browser, theme)
    time.sleep(0.5)
    browser.picture(tmp_path / f"compass-{theme}-{size[0]}.png")
    assert browser.run(CUT.replace(".uplot", ".uplot, svg")) == []
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    inside = """const all = document.querySelector('#rose').getBoundingClientRect();
      return [...document.querySelectorAll('#rose text, #rose path')].map((each) => each.getBoundingClientRect())
        .every(({ left, right, top, bottom }) => left >= all.left - 1 && right <= all.right + 1 && top >= all.top - 1
          && bottom <= all.bottom + 1);"""
    assert browser.run(inside)
    browser.run(AXE.read_text(encoding="utf-8"))
    assert browser.run(RULES) == []
    if size == PHONE:
        browser.run("window.scrollTo(0, 0)")
        latest = FIRST_SCREEN.replace("#events li", "#events li:first-child")
        assert browser.run(latest), "what happened is on the first screen"


def test_a_siren_belongs_to_the_leg_in_whose_sector_it_is(browser: Browser) -> None:
    assert browser.run(WORDS) == ["north", "north", None, "east", True, False, False, True, False, False]


def test_claps_at_an_array_are_for_the_command(browser: Browser) -> None:
    assert "sirend bearing" in browser.text("#clap-how")
    assert browser.run("return document.querySelectorAll('#claps button').length") == 0


def test_the_call_tells_siren_and_bearing(site: tuple[Site, int], browser: Browser) -> None:
    site[0].wait(called="south")
    browser.open(f"http://127.0.0.1:{site[1]}/")  # the newest call is the first
    browser.until("#events", "south")
    browser.run("document.querySelector('#events button').click()")
    browser.until("#call-facts", "at the call")
    assert "Bearing" in browser.text("#call-facts")
    browser.run("document.querySelector('#close').click()")
