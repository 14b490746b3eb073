"""Several devices beside each other, on a PortAudio whose callbacks the test calls."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.audio.test_microphone import FakeSounddevice, FakeStream, Trial, noise

from sirend.audio import devices, microphone, portaudio
from sirend.audio.devices import Devices
from sirend.audio.routing import pickups
from sirend.audio.stream import Block, Gap
from sirend.config.settings import Approach, AudioConfig, Config
from sirend.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Junction(FakeSounddevice):
    """PortAudio with two microphones."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ["north-mic", "south-mic"]
        self.listed = list(self.names)
        self.of: dict[str, list[FakeStream]] = {name: [] for name in self.names}
        self.tried: list[str] = []
        self.trials: list[Trial] = []

    def query_devices(self) -> list[dict[str, object]]:
        return [
            {"index": i, "name": name, "max_input_channels": self.channels, "default_samplerate": 16_000.0}
            for i, name in enumerate(self.names)
            if name in self.listed
        ]

    def InputStream(self, *, callback: Any, samplerate: int, **settings: object) -> Any:  # noqa: N802, ANN401
        name = self.names[int(str(settings["device"]))]
        if name == self.unplugged:
            raise self.PortAudioError("Device unavailable", -9985)
        if callback is None:
            self.tried.append(name)
            self.trials.append(Trial(0 if name == self.unstartable else 320))
            return self.trials[-1]
        if name == self.unopenable:
            raise self.PortAudioError("Device unavailable", -9985)
        self.streams.append(FakeStream(callback, samplerate))
        self.of[name].append(self.streams[-1])
        return self.streams[-1]

    channels: int = 1
    unplugged: str | None = None
    unstartable: str | None = None
    """It opens, but delivers nothing."""
    unopenable: str | None = None
    """It delivers when it is tried out, and is gone when it is opened."""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Junction:
    fake = Junction()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    monkeypatch.setattr(devices, "POLL_S", 0.01)
    monkeypatch.setattr(microphone, "RULES", replace(microphone.RULES, first_pause_s=0.01, trial_s=0.02))
    monkeypatch.setattr(portaudio, "cards", lambda: frozenset({"card0", "card1"}))
    return fake


def junction(stop: threading.Event | None = None, **north: Any) -> Devices:  # noqa: ANN401
    approaches = (Approach("north", **north), Approach("south", device="south-mic"))
    return Devices(
        pickups(Config(audio=AudioConfig(device="north-mic"), approaches=approaches)), stop or threading.Event()
    )


def take(items: Iterator[tuple[int, Block | Gap]], what: str) -> tuple[int, int]:
    """Return device and place of the next block that holds samples, or of the next gap."""
    for number, item in items:
        if what == "gap" and isinstance(item, Gap):
            return number, item.at
        if what == "block" and isinstance(item, Block) and len(item.pcm):
            return number, item.start
    raise AssertionError("the stream ended")


def test_each_device_has_a_stream_and_a_count_of_its_own(library: Junction) -> None:
    with junction() as both:
        items = iter(both)
        library.of["south-mic"][0].deliver(noise(320))
        assert take(items, "block") == (1, 0)
        library.of["north-mic"][0].deliver(noise(160))
        assert take(items, "block") == (0, 0)
        library.of["south-mic"][0].deliver(noise(320))
        assert take(items, "block") == (1, 320)
        assert [each.arrived() for each in both.microphones] == [160, 640]
    assert all(stream.closed for stream in library.streams)


def test_samples_wake_the_worker_that_has_nothing_to_do(library: Junction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "POLL_S", 60.0)
    with junction() as both:
        timer = threading.Timer(0.05, lambda: library.of["south-mic"][0].deliver(noise(320)))
        timer.start()
        began = time.monotonic()
        assert next(iter(both))[0] == 1
        assert time.monotonic() - began < 30.0
        timer.join()


def test_a_lost_device_is_opened_again_without_disturbing_the_other(library: Junction) -> None:
    with junction() as both:
        items = iter(both)
        library.unplugged = "south-mic"
        library.of["south-mic"][0].active = False
        assert take(items, "gap") == (1, 0)
        assert [each.is_seeking for each in both.microphones] == [False, True]
        for _ in range(5):
            library.of["north-mic"][0].deliver(noise(320))
            assert take(items, "block")[0] == 0
        library.unplugged = None
        while len(library.of["south-mic"]) < 2:
            next(items)
        library.of["south-mic"][1].deliver(noise(100))
        assert take(items, "block") == (1, 0)
        assert (library.restarts, len(library.of["north-mic"])) == (0, 1)


def test_a_card_that_was_plugged_in_interrupts_the_others_once(
    library: Junction, monkeypatch: pytest.MonkeyPatch
) -> None:
    with junction() as both:
        items = iter(both)
        library.of["north-mic"][0].deliver(noise(320))
        assert take(items, "block") == (0, 0)
        library.listed.remove("south-mic")
        library.of["south-mic"][0].active = False
        assert take(items, "gap") == (1, 0)
        monkeypatch.setattr(portaudio, "cards", lambda: frozenset({"card0"}))
        for _ in range(20):
            next(items)
        assert library.restarts == 0  # a card less is nothing to look for
        monkeypatch.setattr(portaudio, "cards", lambda: frozenset({"card0", "card2"}))
        library.listed.append("south-mic")
        assert take(items, "gap") == (0, 320)
        assert library.restarts == 1
        library.of["north-mic"][1].deliver(noise(320))
        assert take(items, "block") == (0, 320)
        assert not both.microphones[0].is_seeking
        while len(library.of["south-mic"]) < 2:
            next(items)
        for _ in range(20):
            next(items)
        assert library.restarts == 1


def test_a_device_that_does_not_come_back_from_an_interruption_is_lost_too(library: Junction) -> None:
    with junction() as both:
        items = iter(both)
        library.unplugged = "north-mic"
        both.microphones[0].pause()
        both.microphones[0].resume()
        assert take(items, "gap") == (0, 0)
        assert [each.is_seeking for each in both.microphones] == [True, False]


def north_is_sought_and_south_heard(library: Junction, items: Iterator[tuple[int, Block | Gap]]) -> None:
    assert take(items, "gap") == (0, 0)
    library.of["south-mic"][0].deliver(noise(320))
    assert take(items, "block") == (1, 0)


def test_one_that_is_missing_at_the_start_is_sought_and_none_at_all_is_an_error(library: Junction) -> None:
    library.unplugged = "north-mic"
    with junction() as both:
        items = iter(both)
        north_is_sought_and_south_heard(library, items)
    library.names = ["x", "y"]
    with pytest.raises(DeviceError, match="there is no audio input"), junction():
        pass


def test_one_that_opens_but_delivers_nothing_is_not_given_a_callback_that_would_hang(library: Junction) -> None:
    library.unstartable = "south-mic"
    with junction() as both:
        items = iter(both)
        assert take(items, "gap") == (1, 0)
        while library.tried.count("south-mic") < 3:
            next(items)
        assert library.of["south-mic"] == []
        library.of["north-mic"][0].deliver(noise(320))
        assert take(items, "block") == (0, 0)
        library.unstartable = None
        while not library.of["south-mic"]:
            next(items)
        library.of["south-mic"][0].deliver(noise(320))
        assert take(items, "block") == (1, 0)


def test_a_device_that_lacks_channels_now_is_sought_while_the_other_is_heard(library: Junction) -> None:
    approaches = (Approach("north"), Approach("south", 1, device="south-mic"))
    config = Config(audio=AudioConfig(device="north-mic"), approaches=approaches)
    with Devices(pickups(config), threading.Event()) as both:
        items = iter(both)
        assert take(items, "gap") == (1, 0)
        library.of["north-mic"][0].deliver(noise(320))
        assert take(items, "block") == (0, 0)
        until_s = time.monotonic() + 10.0
        while "2 channels are more than" not in (both.microphones[1].problem or ""):
            assert time.monotonic() < until_s
            next(items)
        library.channels = 2
        while not library.of["south-mic"]:
            next(items)
        assert library.tried == ["north-mic", "south-mic"]
        library.of["south-mic"][0].deliver(noise(320, channels=2))
        assert take(items, "block") == (1, 0)


def test_a_name_that_fits_two_is_an_error_of_the_devices_and_sought_beside_another(library: Junction) -> None:
    approaches = (Approach("north"), Approach("south", device="mic"))
    config = Config(audio=AudioConfig(device="north-mic"), approaches=approaches)
    with Devices(pickups(config), threading.Event()) as both:
        assert take(iter(both), "gap") == (1, 0)
    alone = Config(audio=AudioConfig(device="mic"))
    with pytest.raises(DeviceError, match="'mic' fits 2 inputs"), Devices(pickups(alone), threading.Event()):
        pass
    assert len(library.streams) == 1


def test_one_that_vanishes_between_trial_and_opening_is_sought_while_the_other_is_heard(library: Junction) -> None:
    library.unopenable = "north-mic"
    with junction() as both:
        items = iter(both)
        north_is_sought_and_south_heard(library, items)
        library.unopenable = None
        while not library.of["north-mic"]:
            next(items)
    assert all(trial.closed for trial in library.trials)


def test_the_site_has_failed_only_when_every_device_has(library: Junction) -> None:
    with junction() as both:
        now = time.monotonic()
        assert both.diagnosis(now).failed == ()
        items = iter(both)
        library.of["south-mic"][0].deliver(noise(320))
        take(items, "block")
        later = both.diagnosis(now + 1.9)
        assert (later.failed, later.degraded) == ((), ())
        for each in (0, 1):
            library.of[both.names[each]][0].deliver(noise(160))
            take(items, "block")
        silent = both.diagnosis(time.monotonic() + 60.0)
        assert silent.failed == ("north-mic: no samples arrive", "south-mic: no samples arrive")
        library.of["south-mic"][0].active = False
        library.unplugged = "south-mic"
        assert take(items, "gap") == (1, 480)
        next(items)  # now it is closed
        alone = both.diagnosis(time.monotonic() + 60.0)
        # The other is being sought: nobody hears.
        assert alone.failed == ("north-mic: no samples arrive", "south-mic: the device is gone")
        assert both.diagnosis(time.monotonic()).failed == ()


def test_a_stop_ends_them_all(library: Junction) -> None:
    stop = threading.Event()
    with junction(stop) as both:
        items = iter(both)
        next(items)
        stop.set()
        assert list(items) == []
    assert both.dropped == 0
    assert len(library.streams) == 2


def test_drops_of_all_devices_are_counted(library: Junction) -> None:
    with junction() as both:
        for _ in range(3):
            for name in library.names:
                library.of[name][0].deliver(noise(40_000))
        assert both.dropped == 2 * 56_000
        items = iter(both)
        assert {take(items, "gap") for _ in range(2)} == {(0, 64_000), (1, 64_000)}
