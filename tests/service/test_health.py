from __future__ import annotations

import time
from dataclasses import dataclass, field

import jsonschema
import pytest

from sirend.audio.diagnosis import Diagnosis
from sirend.audio.stream import Block, Gap, GapReason, Samples, Score, to_samples
from sirend.call import schemas
from sirend.call.machine import State
from sirend.call.rules import Rules
from sirend.call.watch import ApproachWatch
from sirend.config.settings import CallConfig, DetectConfig
from sirend.detect.bundle import OperatingPoint
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track, Tracker
from sirend.publish.mqtt.publisher import Counts
from sirend.service import health
from sirend.service.health import Health, Vitals

COUNTS = Counts(connected=True, queued=0, published=3, dropped_expired=0, dropped_full=0, refused=0, reconnects=1)


def watch(name: str) -> ApproachWatch:
    point = OperatingPoint(enter=0.6, exit=0.4, confirm_s=0.5, release_s=2.0)
    return ApproachWatch(Tracker(name, Samples(4_000)), Rules.of(DetectConfig(), CallConfig(), point), lambda _: False)


@dataclass
class Clocks:
    """Wall clock and monotonic clock under the test's control."""

    wall_s: float = 1e9
    monotonic_s: float = 50.0

    def sleep(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    fake = Clocks()
    monkeypatch.setattr("sirend.service.health.time.time", lambda: fake.wall_s)
    monkeypatch.setattr("sirend.service.health.time.monotonic", lambda: fake.monotonic_s)
    return fake


@dataclass
class Site:
    """A site with two approaches whose windows the test invents."""

    watches: dict[str, ApproachWatch] = field(
        default_factory=lambda: {name: watch(name) for name in ("north", "south")}
    )
    end_s: float = 2.0
    inputs: dict[str, str] = field(default_factory=lambda: {"north": "a", "south": "a"})

    def __post_init__(self) -> None:
        self.health = Health(
            site="main-5th", boot_id="b", model="siren-9.9.9@0", watches=self.watches, inputs=self.inputs
        )

    def hear(self, level_dbfs: float = -40.04) -> None:
        self.end_s += 0.25
        end = to_samples(self.end_s)
        for name in self.watches:
            track = Track(end=end, approach=name, evidence=0.1, onset=end, level_dbfs=level_dbfs, motion=Motion.UNKNOWN)
            self.health.observe(Score(end, name, 0.1, level_dbfs), track)

    def summary(self) -> tuple[str, list[str]]:
        return self.health.summary(broker=None, journal=None)


def test_a_site_is_well_once_a_window_is_scored() -> None:
    site = Site()
    assert site.summary() == ("degraded", ["no window scored yet"])
    site.hear()
    assert site.summary() == ("ok", [])
    assert site.health.windows_scored == 1


@pytest.mark.parametrize("reason", [GapReason.STALLED, GapReason.DEVICE_LOST])
def test_a_lost_input_is_a_failure_until_a_window_is_scored_again(reason: GapReason) -> None:
    site = Site()
    site.hear()
    site.health.observe_input(Gap(Samples(9), reason), "a")
    assert site.summary() == ("failed", [f"input lost: {reason.value}"])
    site.hear()
    assert site.summary() == ("ok", [])


def test_one_of_several_inputs_that_is_lost_is_named_and_all_of_them_are_a_failure() -> None:
    site = Site(inputs={"north": "usb:1", "south": "usb:2"})
    site.hear()
    assert site.health.windows_scored == 2  # one of each device
    site.health.observe_input(Gap(Samples(9), GapReason.STALLED), "usb:2")
    assert site.summary() == ("degraded", ["usb:2: input lost: stalled"])
    site.health.observe_input(Gap(Samples(9), GapReason.DEVICE_LOST), "usb:1")
    assert site.summary() == ("failed", ["usb:2: input lost: stalled", "usb:1: input lost: device_lost"])
    site.hear()
    assert site.summary() == ("ok", [])


def test_an_overflow_is_worth_a_word_for_a_minute(clocks: Clocks) -> None:
    site = Site()
    site.hear()
    site.health.observe_input(Gap(Samples(9), GapReason.OVERFLOW), "a")
    clocks.sleep(59.0)
    assert site.summary() == ("degraded", ["samples were dropped within the last minute"])
    clocks.sleep(2.0)
    assert site.summary() == ("ok", [])


def test_what_is_wrong_with_the_input_is_told() -> None:
    site = Site()
    site.hear()
    deaf = Diagnosis(failed=("no samples arrive",), degraded=("south: clipping",))
    assert site.health.summary(broker="gone", journal=None, diagnosis=deaf) == (
        "failed",
        ["no samples arrive", "south: clipping", "broker: gone"],
    )
    some = Diagnosis(degraded=("south: clipping",))
    assert site.health.summary(broker=None, journal=None, diagnosis=some) == ("degraded", ["south: clipping"])


def test_calls_that_are_held_back_are_told() -> None:
    site = Site()
    site.hear()
    site.watches["north"].state = State(limited=True)
    site.watches["south"].state = State(armed=False)
    assert site.summary() == (
        "degraded",
        [
            "north: calls are held back, max_calls_per_hour is reached",
            "south: a siren outlasted max_presence_s; waiting for it to end",
        ],
    )


def test_problems_of_the_sinks_and_the_end_are_reasons() -> None:
    site = Site()
    site.hear()
    assert site.health.summary(broker="gone", journal="full") == ("degraded", ["broker: gone", "full"])
    site.health.failure = "stopped"
    assert site.health.summary(broker=None, journal="full") == ("failed", ["stopped", "full"])


def test_the_message_is_of_the_schema_and_counts(clocks: Clocks) -> None:
    site = Site()
    site.hear()
    site.hear()
    site.health.observe_input(Block(Samples(0), None), "a")  # type: ignore[arg-type]
    site.health.observe_input(Gap(Samples(9), GapReason.OVERFLOW), "a")
    clocks.sleep(12.34)
    payload = site.health.payload(
        state="ok", reasons=[], dropped=320, outbox=COUNTS, journal_failures=2, journal_torn=1
    )
    jsonschema.validate(payload, schemas.health_schema())
    expected = {
        "levels_dbfs": {"north": -40.0, "south": -40.0},
        "windows_scored": 2,
        "gaps": 1,
        "dropped_samples": 320,
        "journal_failures": 2,
        "journal_torn": 1,
        "uptime_s": 12.3,
        "clock_steps": 0,
        "model": "siren-9.9.9@0",
    }
    assert {name: payload[name] for name in expected} == expected


def test_the_message_before_the_first_window_is_of_the_schema() -> None:
    payload = Site().health.payload(state="degraded", reasons=["x"], dropped=0, outbox=COUNTS, journal_failures=0)
    jsonschema.validate(payload, schemas.health_schema())
    assert payload["levels_dbfs"] == {"north": None, "south": None}


def test_jumps_of_the_wall_clock_are_counted(clocks: Clocks) -> None:
    site = Site()

    def steps() -> int:
        site.health.check_clock()
        payload = site.health.payload(state="ok", reasons=[], dropped=0, outbox=COUNTS, journal_failures=0)
        return int(payload["clock_steps"])

    clocks.sleep(3_600.0)
    assert steps() == 0
    clocks.wall_s += 0.4
    assert steps() == 0
    clocks.wall_s += 5.0
    assert steps() == 1
    clocks.wall_s -= 3_600.0
    assert steps() == 2


def test_vitals_are_those_of_this_process() -> None:
    vitals = Vitals()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    read = vitals.read()
    assert read["cpu_percent"] is not None
    assert read["cpu_percent"] > 0.0
    assert read["rss_mb"] is not None
    assert read["rss_mb"] > 10.0


def test_a_host_without_sensors_reports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "THERMAL", health.THERMAL / "no" / "such")
    assert Vitals().read()["temperature_c"] is None


def test_a_minute_of_the_floor_is_one_of_sound_however_fast_it_is_heard(clocks: Clocks) -> None:
    """Where it was one of the host's clock, hours heard at full speed kept every level of theirs."""
    site = Site()
    for _ in range(4 * 3_600):
        site.hear()
    assert clocks.monotonic_s == 50.0
    floor = site.health._floors["north"]  # noqa: SLF001
    assert len(floor._levels) <= 4 * 60  # noqa: SLF001
    assert (floor.dbfs, floor.drift_db) == (-40.0, 0.0)
