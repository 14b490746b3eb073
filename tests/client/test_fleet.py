from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.call.clock import utc_text
from sirend.client.consumer import Moment
from sirend.client.fleet import COLUMNS, TROUBLES, Fleet

NOW = Moment(datetime(2026, 11, 28, 6, 0, tzinfo=UTC), 1000.0)


def health(age_s: float = 10.0, **more: Any) -> bytes:  # noqa: ANN401  JSON values
    said = {
        "schema": "sirend/health/1",
        "at": utc_text(NOW.utc - timedelta(seconds=age_s)),
        "state": "ok",
        "reasons": [],
        "model": "siren-2.0.0@3f2a",
        "version": "0.1.0",
        "temperature_c": 51.0,
        "uptime_s": 3600.0,
        "floors_dbfs": {"north": -60.0, "south": -50.0},
        "floor_drifts_db": {"north": 1.0, "south": -12.0},
    }
    return json.dumps({**said, **more}).encode()


def state(age_s: float, kind: str, reason: str = "siren") -> bytes:
    at = NOW.utc - timedelta(seconds=age_s)
    said = {"schema": "sirend/event/1", "at": utc_text(at), "valid_until": utc_text(at + timedelta(seconds=5))}
    return json.dumps({**said, "state": kind, "reason": reason}).encode()


def later(seconds: float, step_s: float = 0.0) -> Moment:
    """Return a moment after ``NOW``, the wall clock having been set by ``step_s`` meanwhile."""
    return Moment(NOW.utc + timedelta(seconds=seconds + step_s), NOW.mono_s + seconds)


def city() -> Fleet:
    fleet = Fleet("city/sirend")

    def take(topic: str, payload: bytes, *, retained: bool = True) -> None:
        fleet.take(f"city/sirend/{topic}", payload, NOW, retained=retained)

    for name in ("ash", "birch", "cedar", "elm", "fir", "oak"):
        take(f"{name}/availability", b"online")
        take(f"{name}/health", health(floor_drifts_db={"north": 0.5}))
    take("birch/availability", b"offline")
    take("cedar/health", health(state="failed", reasons=["input lost: device_lost"]))
    take("elm/health", health(age_s=200.0))
    take("fir/health", health(age_s=5.0), retained=False)
    take("oak/health", health())
    take("oak/north/emergency", state(3.0, "approaching"))
    take("ash/north/emergency", state(7200.0, "clear", "departed"))
    take("fir/north/emergency", state(60.0, "clear", "shutdown"))
    return fleet


def test_those_in_trouble_come_first() -> None:
    rows = city().rows(NOW)
    assert [(site.name, site.trouble(NOW)) for site in rows] == [
        ("birch", "offline"),
        ("cedar", "failed"),
        ("elm", "silent"),
        ("fir", "clock"),
        ("oak", "drift"),
        ("ash", "ok"),
    ]
    fir = rows[3]
    assert fir.skew_s == -5.0
    assert fir.called_at is None, "the state that a run begins with is no call"


def test_calls_are_those_that_are_valid() -> None:
    fleet = city()
    oak, ash = fleet.sites["oak"], fleet.sites["ash"]
    assert oak.calling(NOW) == ["north"]
    assert not oak.calling(later(3.0))
    assert (ash.called_on, ash.called_at) == ("north", NOW.utc - timedelta(hours=2))
    assert [site.name for site in fleet.rows(NOW, by="call")][:2] == ["oak", "ash"]
    fleet.take("city/sirend/oak/north/emergency", b"", NOW, retained=True)
    assert not oak.calling(NOW)


@pytest.mark.parametrize("step_s", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
def test_a_clock_that_is_set_makes_no_call_last_and_no_silent_site_look_well(step_s: float) -> None:
    """A site a day ahead called for a day; with our own clock set back a dead one was well for as long."""
    fleet = Fleet("sirend")
    fleet.take("sirend/ash/health", health(age_s=0.0), NOW, retained=False)
    fleet.take("sirend/ash/north/emergency", state(-step_s, "approaching"), NOW, retained=False)
    ash = fleet.sites["ash"]
    assert bool(ash.calling(NOW)) is (step_s > 0.0)
    assert not ash.calling(later(5.1, step_s))
    assert ash.trouble(later(60.0, step_s)) == "drift"
    assert ash.trouble(later(91.0, step_s)) == "silent"
    fleet.take("sirend/ash/north/emergency", state(-1.0, "approaching"), NOW, retained=False)
    assert ash.calling(later(4.9, step_s)) == ["north"]
    assert not ash.calling(later(5.1, step_s))
    assert ash.called_at == NOW.utc


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("input LOST", ["cedar"]),
        ("calling", ["oak"]),
        ("siren-2 offline", ["birch"]),
        ("nothing", []),
        ("elm", ["elm"]),
    ],
)
def test_a_filter_finds_words_anywhere(wanted: str, names: list[str]) -> None:
    assert [site.name for site in city().rows(NOW, wanted=wanted)] == names


def test_the_floor_shown_is_that_which_drifted_most() -> None:
    fleet = city()
    oak = fleet.sites["oak"]
    assert (oak.floor_dbfs, oak.drift_db) == (-50.0, -12.0)
    assert [site.drift_db for site in fleet.rows(NOW, by="floor")] == [-12.0, -12.0, -12.0, -12.0, 0.5, 0.5]


def test_what_would_control_a_terminal_is_left_out() -> None:
    fleet = Fleet("sirend")
    fleet.take("sirend/ash/health", health(reasons=["\x1b[2Jgone\n"], model="m" * 5000), NOW, retained=True)
    ash = fleet.sites["ash"]
    assert ash.reasons == ("[2Jgone",)
    assert len(ash.model) == 200


@given(st.text(max_size=60), st.binary(max_size=200), st.booleans())
def test_nonsense_is_counted_and_never_raises(topic: str, payload: bytes, retained: bool) -> None:
    fleet = Fleet("sirend")
    for each in (
        topic,
        f"sirend/{topic}",
        "sirend/ash/health",
        "sirend/ash/north/emergency",
        "sirend/ash/availability",
    ):
        fleet.take(each, payload, NOW, retained=retained)
    assert all(site.trouble(NOW) in TROUBLES for site in fleet.rows(NOW))


@pytest.mark.parametrize("by", COLUMNS)
def test_a_thousand_sites_are_sorted_and_filtered_without_lag(by: str) -> None:
    fleet = Fleet("sirend")
    for number in range(1_000):
        name = f"site-{number:04d}"
        fleet.take(f"sirend/{name}/availability", b"online", NOW, retained=True)
        fleet.take(f"sirend/{name}/health", health(temperature_c=number % 80, uptime_s=number), NOW, retained=False)
        fleet.take(f"sirend/{name}/north/emergency", state(number, "clear", "quiet"), NOW, retained=True)
    began = time.process_time()
    rows = fleet.rows(NOW, wanted="site siren-2", by=by)
    assert time.process_time() - began < 0.25
    assert len(rows) == 1_000
    assert fleet.refused == 0
