from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from sirend.audio import microphone
from sirend.audio.microphone import Microphone
from sirend.audio.stream import Block, Gap, GapReason
from sirend.config.settings import AudioConfig
from sirend.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Pcm = npt.NDArray[np.float32]
FINE = SimpleNamespace(input_overflow=False)
OVERFLOWED = SimpleNamespace(input_overflow=True)


class FakePortAudioError(Exception):
    pass


@dataclass
class FakeStream:
    callback: Callable[[Pcm, int, object, object], None]
    rate_hz: int
    active: bool = False
    closed: bool = False

    def start(self) -> None:
        self.active = True

    def close(self, *, ignore_errors: bool) -> None:
        assert ignore_errors
        self.active = False
        self.closed = True

    def deliver(self, pcm: Pcm, status: object = FINE) -> None:
        self.callback(pcm, len(pcm), None, status)


@dataclass
class Trial:
    """A stream without a callback. One that cannot record seems to start all the same, as PortAudio's do at times."""

    read_available: int
    error: Exception | None = None
    closed: bool = False

    def start(self) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeSounddevice:
    """PortAudio with one microphone, whose callback the test calls."""

    rates_hz: tuple[int, ...] = (16_000, 48_000)
    present: bool = True
    restarts: int = 0
    trials: list[Trial] = field(default_factory=list)
    trial_error: Exception | None = None
    trial_samples: int = 320
    _initialized: int = 1
    broken_starts: int = 0
    streams: list[FakeStream] = field(default_factory=list)
    default: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(device=[0, -1]))
    PortAudioError: type[Exception] = FakePortAudioError

    def query_devices(self) -> list[dict[str, object]]:
        device = {"index": 0, "name": "mic", "max_input_channels": 2, "default_samplerate": 48_000.0}
        return [device] if self.present else []

    def check_input_settings(self, *, samplerate: int, **_: object) -> None:
        if samplerate not in self.rates_hz:
            raise FakePortAudioError("Invalid sample rate", -9997)

    def InputStream(self, *, callback: Any, samplerate: int, **_: object) -> Any:  # noqa: N802, ANN401
        self.check_input_settings(samplerate=samplerate)
        if callback is None:
            self.trials.append(Trial(self.trial_samples, self.trial_error))
            return self.trials[-1]
        self.streams.append(FakeStream(callback, samplerate))
        return self.streams[-1]

    def _terminate(self) -> None:
        assert all(stream.closed for stream in self.streams)
        self.restarts += 1
        self._initialized -= 1

    def _initialize(self) -> None:
        if self.broken_starts:
            self.broken_starts -= 1
            raise FakePortAudioError("Unanticipated host error", -9999)
        self._initialized += 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    fake = FakeSounddevice()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    monkeypatch.setattr(microphone, "POLL_S", 0.01)
    monkeypatch.setattr(microphone, "RULES", replace(microphone.RULES, first_pause_s=0.01))
    return fake


def noise(frames: int, channels: int = 1) -> Pcm:
    return (0.1 * np.random.default_rng(7).standard_normal((frames, channels))).astype(np.float32)


def next_told(items: Iterator[Block | Gap]) -> Block | Gap:
    """Return the next item that is not an empty block."""
    return next(item for item in items if isinstance(item, Gap) or len(item.pcm))


def test_what_the_device_delivers_arrives_bit_for_bit(library: FakeSounddevice) -> None:
    pcm = noise(900, channels=2)
    with Microphone(AudioConfig(channels=2), threading.Event()) as source:
        library.streams[0].deliver(pcm[:320])
        items = iter(source)
        first = next_told(items)
        library.streams[0].deliver(pcm[320:])
        second = next_told(items)
    assert isinstance(first, Block)
    assert isinstance(second, Block)
    assert (first.start, second.start) == (0, 320)
    assert np.concatenate((first.pcm, second.pcm)).tobytes() == pcm.tobytes()
    assert library.streams[0].closed


def test_a_device_without_16_khz_is_opened_at_its_own_rate_and_resampled(library: FakeSounddevice) -> None:
    library.rates_hz = (48_000,)
    at_s = np.arange(48_000) / 48_000
    stop = threading.Event()
    with Microphone(AudioConfig(), stop) as source:
        library.streams[0].deliver(np.sin(2.0 * np.pi * 600.0 * at_s).astype(np.float32)[:, np.newaxis])
        block = next_told(iter(source))
        assert source.arrived() == 16_000
    assert library.streams[0].rate_hz == 48_000
    assert isinstance(block, Block)
    assert 15_600 < len(block.pcm) <= 16_000
    expected = np.sin(2.0 * np.pi * 600.0 * np.arange(len(block.pcm)) / 16_000)
    assert np.abs(block.pcm[500:-500, 0] - expected[500:-500]).max() < 1e-3


def test_arrived_counts_what_was_not_taken_yet(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(), threading.Event()) as source:
        library.streams[0].deliver(noise(500))
        assert source.arrived() == 500
        next_told(iter(source))
        assert source.arrived() == 500


def test_a_late_host_makes_a_gap_where_samples_are_missing(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(), threading.Event()) as source:
        library.streams[0].deliver(noise(320))
        library.streams[0].deliver(noise(160), OVERFLOWED)
        items = iter(source)
        told = [next_told(items) for _ in range(3)]
    assert [(item.start, len(item.pcm)) if isinstance(item, Block) else item for item in told] == [
        (0, 320),
        Gap(320, GapReason.OVERFLOW),  # type: ignore[arg-type]
        (320, 160),
    ]


def test_a_late_worker_makes_one_gap_and_a_count(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(), threading.Event()) as source:
        for _ in range(3):
            library.streams[0].deliver(noise(40_000))
        items = iter(source)
        first, gap = next_told(items), next_told(items)
        library.streams[0].deliver(noise(200))
        last = next_told(items)
        assert source.dropped == 56_000
    assert isinstance(first, Block)
    assert len(first.pcm) == 64_000
    assert gap == Gap(64_000, GapReason.OVERFLOW)  # type: ignore[arg-type]
    assert isinstance(last, Block)
    assert (last.start, len(last.pcm)) == (64_000, 200)


def test_a_stalled_device_is_opened_again_and_time_goes_on(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(stall_s=0.5), threading.Event()) as source:  # a busy machine is no second stall
        library.streams[0].deliver(noise(700))
        items = iter(source)
        next_told(items)
        assert next_told(items) == Gap(700, GapReason.STALLED)  # type: ignore[arg-type]
        while len(library.streams) < 2:
            next(items)
        library.streams[1].deliver(noise(100))
        block = next_told(items)
        assert source.arrived() == 800
    assert isinstance(block, Block)
    assert (block.start, len(block.pcm)) == (700, 100)
    assert library.streams[0].closed
    assert library.restarts == 1


def test_a_device_that_stops_is_lost_at_once_and_sought_until_it_is_back(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(stall_s=60.0), threading.Event()) as source:
        items = iter(source)
        next(items)
        library.streams[0].active = False
        library.present = False
        assert next_told(items) == Gap(0, GapReason.DEVICE_LOST)  # type: ignore[arg-type]
        while library.restarts < 3:
            next(items)
        assert len(library.streams) == 1
        library.present = True
        while len(library.streams) < 2:
            next(items)
    assert library.streams[1].closed


def lose(library: FakeSounddevice, items: Iterator[Block | Gap]) -> None:
    """Let the device go, and wait until that is told."""
    next(items)
    library.streams[0].active = False
    assert next_told(items) == Gap(0, GapReason.DEVICE_LOST)  # type: ignore[arg-type]


def test_a_device_that_cannot_be_started_is_closed_after_each_trial(library: FakeSounddevice) -> None:
    library.trial_error = FakePortAudioError("Unanticipated host error", -9999)
    with Microphone(AudioConfig(stall_s=60.0), threading.Event()) as source:
        items = iter(source)
        lose(library, items)
        while len(library.trials) < 3:
            next(items)
        assert len(library.streams) == 1
        library.trial_error = None
        while len(library.streams) < 2:
            next(items)
    assert all(trial.closed for trial in library.trials)


def test_the_worker_rests_while_a_device_is_tried_out_that_delivers_nothing(
    library: FakeSounddevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone, "RULES", replace(microphone.RULES, trial_s=0.1))
    library.trial_samples = 0
    with Microphone(AudioConfig(stall_s=60.0), threading.Event()) as source:
        items = iter(source)
        lose(library, items)
        blocks = 0
        while len(library.trials) < 2:
            next(items)
            blocks += 1
        assert len(library.streams) == 1
    assert blocks < 40  # 10 rests of 0.01 s each in the first trial, and a few before either; thousands without


def test_an_audio_system_that_does_not_start_is_tried_again(
    library: FakeSounddevice, caplog: pytest.LogCaptureFixture
) -> None:
    with Microphone(AudioConfig(stall_s=60.0), threading.Event()) as source:
        items = iter(source)
        next(items)
        library.streams[0].active = False
        library.broken_starts = 2
        assert next_told(items) == Gap(0, GapReason.DEVICE_LOST)  # type: ignore[arg-type]
        while len(library.streams) < 2:
            next(items)
    assert (library.restarts, library.broken_starts) == (1, 0)
    assert sum("still lost: PortAudio does not start (" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_mean_a_broken_device(library: FakeSounddevice, value: float) -> None:
    with Microphone(AudioConfig(), threading.Event()) as source:
        library.streams[0].deliver(np.full((320, 1), value, dtype=np.float32))
        assert next_told(iter(source)) == Gap(0, GapReason.DEVICE_LOST)  # type: ignore[arg-type]


def deliver(library: FakeSounddevice, items: Iterator[Block | Gap], pcm: Pcm) -> list[Block | Gap]:
    """Deliver ``pcm`` in blocks of 0.1 s to the device that is open; return what comes of it up to its end."""
    told: list[Block | Gap] = []
    for start in range(0, len(pcm), 1_600):
        while library.streams[-1].closed:
            told.append(next(items))
        library.streams[-1].deliver(pcm[start : start + 1_600])
        told.append(next(items))
    return told


def test_a_deaf_device_is_opened_anew_once_and_heard_on_between(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(), threading.Event()) as source:
        items = iter(source)
        told = deliver(library, items, np.zeros((6 * 16_000, 1), dtype=np.float32))
        assert [item for item in told if isinstance(item, Gap)] == [Gap(46_400, GapReason.DEVICE_LOST)]  # type: ignore[arg-type]
        assert len(library.streams) == 2
        heard = deliver(library, items, noise(5 * 16_000))
        assert all(isinstance(item, Block) and len(item.pcm) for item in heard)
        assert not source.is_seeking


def test_what_a_stuck_device_repeats_is_not_passed_on(library: FakeSounddevice) -> None:
    stuck = np.tile(noise(3_200), (40, 1))
    with Microphone(AudioConfig(), threading.Event()) as source:
        items = iter(source)
        told = deliver(library, items, stuck[: 8 * 16_000])
        gaps = [item for item in told if isinstance(item, Gap)]
        assert [gap.reason for gap in gaps] == [GapReason.DEVICE_LOST]
        assert gaps[0].at <= 4 * 16_000 + 1_600
        after = told[told.index(gaps[0]) + 1 :]
        assert not any(len(item.pcm) for item in after if isinstance(item, Block))
        assert source.is_seeking
        fresh = (0.1 * np.random.default_rng(3).standard_normal((6 * 16_000, 1))).astype(np.float32)
        heard = [item for item in deliver(library, items, fresh) if isinstance(item, Block) and len(item.pcm)]
        assert heard[0].start == gaps[0].at
        assert sum(len(item.pcm) for item in heard) >= 2 * 16_000
        assert heard[-1].end == source.arrived()
        assert not source.is_seeking


def test_one_stuck_channel_becomes_silence_and_the_others_are_heard_on(library: FakeSounddevice) -> None:
    heard = noise(8 * 16_000)
    both = np.concatenate((heard, np.full((8 * 16_000, 1), 0.25, dtype=np.float32)), axis=1)
    with Microphone(AudioConfig(channels=2), threading.Event()) as source:
        told = [item for item in deliver(library, iter(source), both) if isinstance(item, Block)]
        assert len(library.streams) == 1
        assert not source.is_seeking
    assert len(told) == 80
    pcm = np.concatenate([block.pcm for block in told])
    assert pcm[:, :1].tobytes() == heard.tobytes()
    assert pcm[:16_000, 1].tolist() == [0.25] * 16_000
    assert not pcm[4 * 16_000 :, 1].any()


def test_a_stop_ends_the_stream_while_listening_and_while_the_device_is_lost(library: FakeSounddevice) -> None:
    stop = threading.Event()
    with Microphone(AudioConfig(), stop) as source:
        items = iter(source)
        next(items)
        stop.set()
        assert list(items) == []
    stop.clear()
    with Microphone(AudioConfig(), stop) as source:
        items = iter(source)
        library.present = False
        library.streams[-1].active = False
        next_told(items)
        stop.set()
        assert list(items) == []


def test_channels_that_the_device_lacks_are_an_error_of_the_device(library: FakeSounddevice) -> None:
    with pytest.raises(DeviceError) as caught, Microphone(AudioConfig(channels=3), threading.Event()):
        pass
    assert str(caught.value).startswith(
        "audio.channels: 3 channels are more than 'mic' (2 channels, 48000 Hz) has now: it may have come up with fewer"
    )
    assert library.streams == []


def test_drops_are_counted_once_however_often_the_device_cannot_be_opened(library: FakeSounddevice) -> None:
    with Microphone(AudioConfig(), threading.Event()) as source:
        for _ in range(3):
            library.streams[0].deliver(noise(40_000))
        assert source.dropped == 56_000
        items = iter(source)
        next(items)
        library.present = False
        library.streams[0].active = False
        while library.restarts < 4:
            next(items)
        assert source.dropped == 56_000
        source.pause()
        source.resume()
        assert source.dropped == 56_000


def test_digital_silence_is_logged_by_its_name_and_once(
    library: FakeSounddevice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rules = replace(microphone.RULES, first_repair_s=0.02, longest_repair_s=0.02, longest_pause_s=0.01)
    monkeypatch.setattr(microphone, "RULES", rules)
    with Microphone(AudioConfig(), threading.Event()) as source:
        items = iter(source)
        deliver(library, items, np.zeros((8 * 16_000, 1), dtype=np.float32))
        assert len(library.streams) > 2
        assert caplog.messages == [
            "microphone: digital silence, the microphone is dead or off; opening it again",
        ]
        while source.is_seeking or len(caplog.messages) < 2:
            while library.streams[-1].closed:
                next(items)
            library.streams[-1].deliver(noise(4 * 16_000))  # as much as fits: it is told what it is before a repair
            next(items)
        assert caplog.messages[1:] == ["microphone: opened again"]


@pytest.mark.usefixtures("library")
def test_a_rate_that_the_device_does_not_have_is_an_error() -> None:
    with pytest.raises(DeviceError) as caught, Microphone(AudioConfig(rate=8_000), threading.Event()):
        pass
    assert str(caught.value) == "cannot record from 'mic' (2 channels, 48000 Hz): Invalid sample rate"
