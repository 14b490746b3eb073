from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirend.audio.stream import Block, Gap, GapReason, Samples, Score, to_samples
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.call.state import CallState
from sirend.config.settings import Approach, ArbitrationConfig, AudioConfig, CallConfig, Config, DetectConfig
from sirend.detect.arrival import arrival_of
from sirend.detect.motion import MEMORY_S, Motion, motion_of
from sirend.detect.pitch import PitchTracker
from sirend.detect.tone import Tone, tone_of
from sirend.errors import InputError
from sirend.pipeline import Stages, detect
from sirend.simulate import sirens, synthesis
from sirend.simulate.scene import Scene, render_scene
from tests.bundles import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sirend.call.event import Event
    from sirend.detect.features import Spectrogram
    from sirend.detect.tracker import Track

Pcm = npt.NDArray[np.float32]
TWO = Config(
    detect=DetectConfig(confirm_s=0.75, release_s=3.0),
    audio=AudioConfig(channels=2),
    approaches=(Approach("north", 1), Approach("south", 0)),
    arbitration=ArbitrationConfig(mode="parallel"),
)


class LoudIsSiren:
    """A classifier that takes every loud sound for a siren: the features of digital silence are all the same."""

    def score(self, spectrogram: Spectrogram) -> npt.NDArray[np.float32]:
        heard = spectrogram.mel[:, -spectrogram.spec.frames :]
        return np.where(heard.max(axis=(1, 2)) > 0.01, 0.99, 0.01).astype(np.float32)


@dataclass
class Observer:
    scores: list[Score] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)

    def __call__(self, score: Score, track: Track) -> None:
        self.scores.append(score)
        self.tracks.append(track)


def stages(config: Config | None = None, is_inhibited: Callable[[Samples], bool] = lambda _: False) -> Stages:
    config = config or Config(detect=DetectConfig(confirm_s=None, release_s=None))
    scribe = Scribe(
        site="main-5th", boot_id="replay", mode="replay", model=MODEL.name, clock=ReplayClock(), valid_for_s=5.0
    )
    channels = [approach.channel for approach in config.approaches]
    return Stages.of(config, MODEL, LoudIsSiren(), scribe, channels=channels, is_inhibited=is_inhibited)


def loud_between(seconds: float, *spans: tuple[float, float]) -> Pcm:
    """Return silence of a length in seconds with noise within spans."""
    pcm = np.zeros((to_samples(seconds), 1), dtype=np.float32)
    rng = np.random.default_rng(3)
    for start_s, end_s in spans:
        part = pcm[to_samples(start_s) : to_samples(end_s)]
        part += 0.3 * rng.standard_normal(part.shape).astype(np.float32)
    return pcm


def blocks(pcm: Pcm, *cuts: int, first: int = 0) -> Iterator[Block]:
    start = first
    for piece in np.split(pcm, sorted(cuts)):
        yield Block(Samples(start), piece)
        start += len(piece)


class Moment(float):
    """A time in seconds, equal to any within half a second: how fast the tracker is, is for its own tests to say."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int) and abs(self - other) <= 0.5

    __hash__ = None  # type: ignore[assignment]


def told(events: Iterable[Event]) -> list[tuple[str, str, Moment]]:
    """Return approach, state with reason, and time of each change."""
    return [
        (event.approach, f"{event.state} {event.reason}", Moment(event.sample / 16_000))
        for event in events
        if not event.refresh
    ]


def test_a_siren_is_called_refreshed_every_second_and_cleared() -> None:
    events = list(detect(blocks(loud_between(30.0, (6.0, 14.0))), stages()))
    assert told(events) == [("main", "approaching siren", 7.0), ("main", "clear quiet", 18.5)]
    start, end = events[0].sample, events[-1].sample
    assert [event.sample for event in events[1:-1]] == list(range(start + 16_000, end, 16_000))
    assert all(event.refresh for event in events[1:-1])
    assert {event.event_id for event in events[:-1]} == {events[0].event_id}
    assert events[-1].event_id != events[0].event_id
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[0].onset_at == datetime.fromisoformat("1970-01-01T00:00:06.250Z")


def test_every_window_is_observed_at_multiples_of_the_hop() -> None:
    observed = Observer()
    assert list(detect(blocks(loud_between(4.1)), stages(), observed)) == []
    assert [score.end / 16_000 for score in observed.scores] == [2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0]
    assert {score.level_dbfs for score in observed.scores} == {-120.0}
    assert [score.siren for score in observed.scores] == pytest.approx([0.01] * 9)
    assert [track.end for track in observed.tracks] == [score.end for score in observed.scores]


@settings(deadline=None, max_examples=10)
@given(cuts=st.lists(st.integers(0, 16 * 16_000), max_size=40))
def test_any_cutting_gives_the_same_events_and_scores(cuts: list[int]) -> None:
    pcm = loud_between(16.0, (3.0, 9.0))
    whole, pieces = Observer(), Observer()
    assert list(detect(blocks(pcm, *cuts), stages(), pieces)) == list(detect(blocks(pcm), stages(), whole))
    assert pieces.scores == whole.scores


def test_each_approach_listens_to_its_own_channel() -> None:
    pcm = np.concatenate((loud_between(20.0, (4.0, 8.0)), loud_between(20.0, (10.0, 12.0))), axis=1)
    events = detect(blocks(pcm), stages(TWO))
    assert told(events) == [
        ("south", "approaching siren", 5.0),
        ("north", "approaching siren", 11.0),
        ("south", "clear quiet", 13.0),
        ("north", "clear quiet", 17.0),
    ]


def _both(first_db: float, second_db: float) -> Pcm:
    """Return two channels that hear the same siren from 3 to 9 s, so loud."""
    siren = loud_between(20.0, (3.0, 9.0))
    return np.concatenate([siren * np.float32(10.0 ** (db / 20.0)) for db in (first_db, second_db)], axis=1)


@pytest.mark.parametrize(
    ("levels_db", "served"), [((0.0, -9.0), "south"), ((-9.0, 0.0), "north"), ((-2.0, 0.0), "north")]
)
def test_one_siren_on_two_approaches_is_called_once_by_the_louder(levels_db: tuple[float, float], served: str) -> None:
    config = dataclasses.replace(TWO, arbitration=ArbitrationConfig())
    events = told(detect(blocks(_both(*levels_db)), stages(config)))
    assert [(approach, change) for approach, change, _ in events] == [
        (served, "approaching siren"),
        (served, "clear quiet"),
    ]


def _held_leg(*missing_s: float) -> list[tuple[str, str, Moment]]:
    """Return what is told where north calls for a siren that south goes on hearing; samples are missing at times."""
    north, south = loud_between(45.0, (3.0, 18.0)), 0.5 * loud_between(45.0, (3.0, 45.0))
    pcm = np.concatenate([south, north], axis=1).astype(np.float32)  # the channels of TWO
    stream: list[Block | Gap] = []
    cuts = [0, *(to_samples(second) for second in missing_s), len(pcm)]
    for start, end in itertools.pairwise(cuts):
        stream += [*([Gap(Samples(start), GapReason.OVERFLOW)] if start else []), Block(Samples(start), pcm[start:end])]
    config = dataclasses.replace(TWO, arbitration=ArbitrationConfig())
    return told(detect(stream, stages(config)))


MISSING_S = [(10.0,), (20.0,), (22.5,), (24.0, 25.5, 27.0), (26.0,), (10.0, 20.0, 23.0, 28.0)]


@pytest.mark.parametrize("missing_s", MISSING_S)
def test_missing_samples_do_not_free_a_leg_that_is_held(missing_s: tuple[float, ...]) -> None:
    held = _held_leg()
    assert [(approach, change) for approach, change, _ in held] == [
        ("north", "approaching siren"),
        ("north", "clear quiet"),
        ("south", "approaching siren"),
        ("south", "clear shutdown"),
    ]
    # Windows are missing for 2 s, so a moment may be told later, never earlier.
    for (approach, change, at), (expected, kind, moment) in zip(_held_leg(*missing_s), held, strict=True):
        assert (approach, change) == (expected, kind)
        assert moment - 0.5 <= at <= moment + 4.5


def test_another_siren_after_missing_samples_is_not_held() -> None:
    north, south = loud_between(45.0, (3.0, 12.0)), 0.5 * loud_between(45.0, (3.0, 12.0), (21.0, 45.0))
    pcm = np.concatenate([south, north], axis=1).astype(np.float32)
    half = to_samples(12.0)
    stream: list[Block | Gap] = [
        Block(Samples(0), pcm[:half]),
        Gap(Samples(half), GapReason.OVERFLOW),
        Block(Samples(half), pcm[half:]),
    ]
    config = dataclasses.replace(TWO, arbitration=ArbitrationConfig(hold_s=60.0))
    changes = told(detect(stream, stages(config)))
    assert [(approach, change) for approach, change, _ in changes[:3]] == [
        ("north", "approaching siren"),
        ("north", "clear quiet"),
        ("south", "approaching siren"),
    ]
    assert changes[2][2] == 22.0


def test_parallel_approaches_call_each_for_itself() -> None:
    starts = [told_of for told_of in told(detect(blocks(_both(0.0, -9.0)), stages(TWO))) if "siren" in told_of[1]]
    assert [approach for approach, _, _ in starts] == ["north", "south"]


def test_a_call_that_stands_when_the_stream_ends_is_cleared_by_shutdown() -> None:
    assert told(detect(blocks(loud_between(8.0, (3.0, 8.0))), stages())) == [
        ("main", "approaching siren", 4.0),
        ("main", "clear shutdown", 8.0),
    ]


@pytest.mark.parametrize("reason", [GapReason.STALLED, GapReason.DEVICE_LOST])
def test_a_lost_input_clears_at_once_and_starts_anew(reason: GapReason) -> None:
    pcm = loud_between(20.0, (3.0, 20.0))
    half = to_samples(10.0)
    stream: list[Block | Gap] = [*blocks(pcm[:half]), Gap(Samples(half), reason), *blocks(pcm[half:], first=half)]
    assert told(detect(stream, stages())) == [
        ("main", "approaching siren", 4.0),
        ("main", "clear input_lost", 10.0),
        ("main", "approaching siren", 13.0),
        ("main", "clear shutdown", 20.0),
    ]


def test_an_overflow_holds_the_call_without_refreshing_it() -> None:
    pcm = loud_between(20.0, (3.0, 20.0))
    half = to_samples(10.0)
    stream: list[Block | Gap] = [
        *blocks(pcm[:half]),
        Gap(Samples(half), GapReason.OVERFLOW),
        *blocks(pcm[half:], first=half),
    ]
    events = list(detect(stream, stages()))
    assert told(events) == [("main", "approaching siren", 4.0), ("main", "clear shutdown", 20.0)]
    assert not [event for event in events if 10.0 < event.sample / 16_000 < 12.0]


def test_a_source_that_fails_clears_before_the_error() -> None:
    def broken() -> Iterator[Block]:
        yield from blocks(loud_between(8.0, (3.0, 8.0)))
        raise InputError("not finite")

    got: list[Event] = []
    with pytest.raises(InputError, match="not finite"):
        got.extend(detect(broken(), stages()))
    assert told(got) == [("main", "approaching siren", 4.0), ("main", "clear input_lost", 8.0)]


def test_the_schedule_inhibits_calls() -> None:
    pcm = loud_between(20.0, (3.0, 20.0))
    events = detect(blocks(pcm), stages(is_inhibited=lambda sample: sample < to_samples(9.0)))
    assert told(events) == [("main", "approaching siren", 9.0), ("main", "clear shutdown", 20.0)]


def test_a_standing_call_ends_when_the_schedule_begins_to_inhibit() -> None:
    pcm = loud_between(20.0, (3.0, 20.0))
    events = detect(blocks(pcm), stages(is_inhibited=lambda sample: sample >= to_samples(12.0)))
    assert told(events) == [("main", "approaching siren", 4.0), ("main", "clear inhibited", 12.0)]


def test_the_operating_point_gives_way_to_the_configuration() -> None:
    config = Config(detect=DetectConfig(enter=0.9, exit=0.5, confirm_s=2.0, release_s=1.0), call=CallConfig())
    assert told(detect(blocks(loud_between(20.0, (3.0, 12.0))), stages(config))) == [
        ("main", "approaching siren", 5.5),
        ("main", "clear quiet", 15.25),
    ]


def test_another_hop_than_the_models_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    config = dataclasses.replace(Config(), detect=DetectConfig(hop_s=0.5))
    stages(config)
    assert caplog.messages == [
        "detect.hop_s is 0.5, but the thresholds of siren-9.9.9@0123456789ab were chosen at 0.25 s"
    ]


def test_motion_is_that_of_a_pitch_followed_all_the_time_though_none_is_before_a_siren() -> None:
    rendered = render_scene(Scene(siren="wail", profile="us", start_m=220.0, snr_db=30.0, seed=2))
    quiet = np.zeros((to_samples(6.0), 1), np.float32)
    pcm = np.concatenate((quiet, rendered.pcm[:, np.newaxis], quiet))
    made, always, followed, expected = stages(Config()), PitchTracker(MEMORY_S), 0, 0
    for window in made.windows.push(Block(Samples(0), pcm)):
        pitch = always.update(window)
        for _, track, transition in made.observe(window):
            since = track.onset - window.pcm.shape[1]
            if track.onset < track.end:
                assert track.motion is motion_of(pitch, 0, since)
                followed += track.motion is not Motion.UNKNOWN
            if transition is not None:
                comes = transition.state is CallState.APPROACHING and track.motion is Motion.APPROACHING
                assert transition.arrival == (arrival_of(pitch, 0, since) if comes else None)
                expected += transition.arrival is not None
        if window.end <= quiet.size or window.end > len(pcm) - to_samples(1.0):
            assert made.pitch.remembered == 0
    assert followed > 5
    assert expected > 2


def test_events_name_the_tone_of_their_own_window_though_it_is_judged_only_for_them() -> None:
    siren = synthesis.synthesise(sirens.find_siren("de", "hilo"), to_samples(16.0), 16_000, np.random.default_rng(2))
    pcm = (0.2 * siren).astype(np.float32)[:, np.newaxis]
    made, always, judged, named = stages(Config()), PitchTracker(MEMORY_S), 0, set()
    for window in made.windows.push(Block(Samples(0), pcm)):
        pitch = always.update(window)
        for _, track, transition in made.observe(window):
            judged += made.watches["main"].named[0] == track.onset < track.end
            if transition is not None and transition.state is CallState.APPROACHING:
                since = track.onset - window.pcm.shape[1]
                assert transition.tone is track.tone is tone_of(pitch, 0, since, window.pcm[0])
                named.add(transition.tone)
    assert judged > 20
    assert Tone.HILO in named
