"""A bundle that follows a stream: what its networks are given, when, and what is made of what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundles import MODEL
from tests.detect.networks import banded, weighted

from sirend.audio.stream import Block, Gap, GapReason, Samples
from sirend.audio.windows import Windows
from sirend.detect.bundle import Calibration, Evidence, Head, Patches, Streaming, Wake
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor, FeatureSpec, mel_frames
from sirend.detect.golden import golden_outputs
from sirend.detect.site_gain import SiteGainSpec
from sirend.detect.wake import ASLEEP

if TYPE_CHECKING:
    import numpy.typing as npt

    from sirend.detect.bundle import Bundle

SPEC = FeatureSpec()
PLACES, INPUTS = 15, 2
SITE_GAIN = SiteGainSpec(target_rms=1.4, prior_s=30.0, memory_s=120.0, low_db=-20.0, high_db=40.0, tolerance_db=0.0)
LATE = np.arange(1.0, PLACES + 1.0)
"""Weight of each place of the head: all different, so that a patch in the wrong place shows."""


EVIDENCE = Evidence(first=2, count=2, weight=0.35, memory_s=1.5)
NEWEST = replace(EVIDENCE, memory_s=0.0)
CALIBRATION = Calibration(scale=2.0, offset=6.0)


def _bands(*outputs: slice) -> npt.NDArray[np.float64]:
    weights = np.zeros((len(outputs), SPEC.bands))
    for row, bands in zip(weights, outputs, strict=True):
        row[bands] = 1.0 / len(range(*bands.indices(SPEC.bands)))
    return weights


BACKBONE = banded(96, _bands(slice(0, 20), slice(20, 40), slice(40, 50), slice(50, 64)))
"""Two numbers for the head and the log-odds of two classes: mean log-mel of four ranges of bands."""
WAKE = Wake(banded(96, _bands(slice(0, 64))), over=-2.5, over_sparing=-2.0, hold_s=1.0, back=2)
"""Wakes at a mean log-mel of -2.5: about half of what ``sound`` brings."""
HEAD = weighted(np.stack((LATE, -0.5 * LATE, np.full(PLACES, 0.25)), axis=1) / 40.0)


def bundle(  # noqa: PLR0913  each test needs another part
    *,
    suspect: float | None = None,
    site_gain: SiteGainSpec | None = None,
    evidence: Evidence | None = EVIDENCE,
    step_s: float = 0.25,
    calibration: Calibration = CALIBRATION,
    wake: Wake | None = None,
) -> Bundle:
    return replace(
        MODEL,
        model_bytes=HEAD,
        calibration=calibration,
        streaming=Streaming(
            patches=Patches(BACKBONE, patch_frames=96, outputs=4, step_s=step_s),
            head=Head(places=PLACES, spacing_s=0.5, inputs=INPUTS),
            evidence=evidence,
            suspect=suspect,
            site_gain=site_gain,
            wake=wake,
        ),
    )


def sound(seconds: float, seed: int = 0, channels: int = 1) -> npt.NDArray[np.float32]:
    """Return noise whose level and colour change every half second, float32[n, channels]."""
    rng = np.random.default_rng(seed)
    parts = round(2 * seconds)
    pcm = rng.standard_normal((parts, 8_000, channels))
    pcm[1::2] = np.diff(pcm[1::2], axis=1, prepend=0.0)
    pcm *= 10.0 ** rng.uniform(-3.5, -0.7, (parts, 1, channels))
    return np.clip(pcm.reshape(-1, channels), -1.0, 1.0).astype(np.float32)


Heard = dict[int, list[float]]


def hear(
    model: Bundle,
    pcm: npt.NDArray[np.float32],
    *,
    hop: int = 4_000,
    cuts: tuple[int, ...] = (),
    gap_at: int | None = None,
) -> Heard:
    """Return the scores of all channels by the window's end; a gap is a lost device."""
    channels = pcm.shape[1]
    windows = Windows(window=SPEC.window_samples, hop=hop, channels=range(channels))
    extractor, classifier = Extractor(SPEC), Classifier(model, channels)
    out: Heard = {}
    for start, end in zip((0, *sorted(cuts)), (*sorted(cuts), len(pcm)), strict=True):
        pieces = [(start, end)]
        if gap_at is not None and start <= gap_at < end:
            pieces = [(start, gap_at), (gap_at, end)]
        for number, (begin, over) in enumerate(pieces):
            if number:
                list(windows.push(Gap(Samples(begin), GapReason.DEVICE_LOST)))
                extractor.forget()
            for window in windows.push(Block(Samples(begin), pcm[begin:over])):
                out[window.end] = [float(each) for each in classifier.score(extractor.spectrogram(window))]
    return out


def expected(pcm: npt.NDArray[np.float32]) -> dict[int, float]:
    """Return what ``bundle()`` scores one channel at each quarter second, from the whole at once by the formulas."""
    mel = mel_frames(SPEC, pcm[:, 0])
    weights = _bands(slice(0, 20), slice(20, 40), slice(40, 50), slice(50, 64))
    said = {
        number: np.log(mel[25 * number - 98 : 25 * number - 2] + 0.001).mean(axis=0) @ weights.T
        for number in range(4, len(pcm) // 4_000 + 1)
    }
    out = {}
    for number in range(8, len(pcm) // 4_000 + 1):
        even = [said[each] for each in range(4, number, 2)]  # one between takes the newest place for once
        history = [*even, said[number]][-PLACES:]
        place = LATE[PLACES - len(history) :] / 40.0
        head = sum(weight * (one[0] - 0.5 * one[1]) for weight, one in zip(place, history, strict=True))
        head += 0.25 / 40.0 * len(history)
        odds = [np.exp(max(said[each][2:])) for each in range(max(4, number - 5), number + 1)]
        logit = 0.65 * head + 0.35 * np.log(np.mean(odds))
        out[4_000 * number] = 1.0 / (1.0 + np.exp(-(2.0 * logit + 6.0)))
    return out


def test_head_and_evidence_are_fused_as_the_manifest_says() -> None:
    pcm = sound(20.0)
    heard, wanted = hear(bundle(), pcm), expected(pcm)
    assert list(heard) == list(wanted)
    assert min(wanted.values()) < 0.2
    assert max(wanted.values()) > 0.8
    np.testing.assert_allclose([each[0] for each in heard.values()], list(wanted.values()), atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 15 * 16_000 - 1), unique=True, max_size=12),
    suspect=st.sampled_from([None, -2.0, 0.0, 1.0]),
    gap_at=st.one_of(st.none(), st.integers(1, 15 * 16_000 - 1)),
    with_gain=st.booleans(),
    wake=st.sampled_from([None, WAKE]),
)
def test_any_chunking_gives_the_same_scores(
    cuts: list[int], suspect: float | None, gap_at: int | None, with_gain: bool, wake: Wake | None
) -> None:
    model = bundle(suspect=suspect, site_gain=SITE_GAIN if with_gain else None, wake=wake)
    pcm = sound(15.0, 1, 2)
    pieces = tuple(cut for cut in cuts if cut != gap_at)
    whole = hear(model, pcm, gap_at=gap_at)
    assert hear(model, pcm, cuts=pieces, gap_at=gap_at) == whole


@pytest.mark.parametrize("hop", [800, 1_600, 4_800, 8_000, 16_000, 20_000, 32_000])
@pytest.mark.parametrize("suspect", [None, 0.0])
@pytest.mark.parametrize("wake", [None, WAKE])
def test_whatever_the_hop_a_window_has_the_score_of_the_newest_patch(
    hop: int, suspect: float | None, wake: Wake | None
) -> None:
    pcm, model = sound(16.0, 2), bundle(suspect=suspect, wake=wake)
    fine = hear(model, pcm)
    for end, score in hear(model, pcm, hop=hop).items():
        # A stream whose first window ends later has not heard its first patches.
        if end >= 12 * 16_000:
            assert score == pytest.approx(fine[end - end % 4_000], abs=1e-5)


def test_after_a_gap_nothing_before_it_counts() -> None:
    pcm = sound(16.0, 3)
    at = 6 * 16_000 - 123  # the next window begins on the half second, as that of a fresh stream does
    heard = hear(bundle(site_gain=SITE_GAIN), pcm, gap_at=at)
    first = min(end for end in heard if end > at)
    assert first - 32_000 >= at
    since = -(-at // 4_000) * 4_000
    fresh = hear(bundle(site_gain=SITE_GAIN), pcm[since:])
    assert [heard[end + since][0] for end in fresh] == pytest.approx([each[0] for each in fresh.values()], abs=1e-6)


def test_an_overflow_leaves_what_is_known_of_the_site_s_level() -> None:
    extractor = Extractor(SPEC)
    windows = Windows(window=SPEC.window_samples, hop=4_000, channels=[0])
    classifier, quiet = Classifier(bundle(site_gain=SITE_GAIN)), 0.01 * sound(30.0, 4)
    for window in windows.push(Block(Samples(0), quiet)):
        spectrogram = extractor.spectrogram(window)
        classifier.score(spectrogram)
    known = spectrogram.memory.gain
    extractor.forget(is_fault=False)
    (window,) = windows.push(Block(Samples(30 * 16_000), quiet[:4_000]))
    after = extractor.spectrogram(window).memory
    assert after.gain is known
    assert after.history is None
    extractor.forget()
    assert extractor.spectrogram(window).memory.gain.mean_db.tolist() == [0.0]


def _patches(model: Bundle, pcm: npt.NDArray[np.float32]) -> int:
    voice, extractor = Classifier(model, pcm.shape[1]), Extractor(SPEC)
    windows = Windows(window=SPEC.window_samples, hop=4_000, channels=range(pcm.shape[1]))
    for window in windows.push(Block(Samples(0), pcm)):
        voice.log_odds(extractor.spectrogram(window))
    return voice.judged


def test_while_nothing_is_suspected_every_second_patch_is_heard() -> None:
    pcm = sound(30.0, 5, 2)
    assert _patches(bundle(), pcm) == 117
    assert _patches(bundle(suspect=1e3), pcm) == 59
    assert _patches(bundle(suspect=-1e3), pcm) == 117
    assert 60 < _patches(bundle(suspect=0.5), pcm) < 115


def test_a_suspicion_lasts_a_second() -> None:
    # What is remembered depends on what was heard before.
    model = bundle(suspect=2.0, evidence=NEWEST, calibration=Calibration(scale=2.0, offset=15.0))
    pcm = np.zeros((12 * 16_000, 1), np.float32)
    pcm[4 * 16_000 : 5 * 16_000] = 0.5 * np.random.default_rng(0).standard_normal((16_000, 1))
    scores = hear(model, pcm)
    always = hear(replace(model, streaming=replace(model.streaming, suspect=None)), pcm)
    suspicious = [end for end in scores if scores[end][0] > 1 / (1 + np.exp(-2.0))]
    assert 3 < len(suspicious) < len(scores) - 3
    for end in scores:
        if end % 8_000:
            recent = any(end - 16_000 < at < end for at in suspicious)
            assert scores[end] == (always[end] if recent else scores[end - 4_000])


@pytest.mark.parametrize("wake", [None, WAKE])
def test_one_approach_scores_alike_whatever_the_others_hear(wake: Wake | None) -> None:
    model = bundle(suspect=0.5, site_gain=SITE_GAIN, wake=wake)
    pcm = np.concatenate([sound(20.0, 6), sound(20.0, 7), 0.001 * sound(20.0, 8)], axis=1)
    together = hear(model, pcm)
    for channel in range(3):
        alone = hear(model, pcm[:, [channel]])
        assert [each[channel] for each in together.values()] == pytest.approx(
            [each[0] for each in alone.values()], abs=1e-5
        )


def _quiet_but(begin_s: float, end_s: float, seconds: float) -> npt.NDArray[np.float32]:
    """Return silence with noise in it, float32[n, 1]."""
    pcm = np.zeros((round(16_000 * seconds), 1), np.float32)
    loud = slice(round(16_000 * begin_s), round(16_000 * end_s))
    pcm[loud] = 0.5 * np.random.default_rng(0).standard_normal((loud.stop - loud.start, 1))
    return pcm


def test_an_approach_that_sleeps_costs_no_patch_and_has_the_score_of_what_would_wake_it() -> None:
    model, pcm = bundle(wake=WAKE), _quiet_but(0.0, 0.0, 12.0)
    assert _patches(model, pcm) == 0
    asleep = 1.0 / (1.0 + np.exp(-(np.log(0.001) - WAKE.over + ASLEEP)))
    assert [each[0] for each in hear(model, pcm).values()] == pytest.approx([asleep] * 41, abs=1e-7)
    assert _patches(bundle(wake=replace(WAKE, over=-8.0)), pcm) == _patches(bundle(), pcm)


def test_what_sleeps_is_never_nearly_called() -> None:
    wake = replace(WAKE, over=1e3, over_sparing=1e3)
    loud = hear(bundle(wake=wake), sound(15.0, 2))
    assert max(score for (score,) in loud.values()) < 0.05
    nearly = replace(WAKE, over=-1.0)  # far over what the loudest parts bring
    assert max(score for (score,) in hear(bundle(wake=nearly), 0.05 * sound(15.0, 2)).values()) < 0.05


@pytest.mark.parametrize("back", [0, 1, 2])
def test_an_approach_that_wakes_hears_what_it_would_of_a_stream_that_began_shortly_before(back: int) -> None:
    pcm = _quiet_but(6.0, 9.0, 20.0)
    heard = hear(bundle(wake=replace(WAKE, back=back), evidence=None), pcm)
    woken = next(end for end, (score,) in heard.items() if score > 0.0475)
    assert 6.0 * 16_000 < woken <= 7.0 * 16_000
    begin = woken - 16_000 - back * 8_000  # the first patch that is listened to begins 0.96 s before its end
    fresh = hear(bundle(evidence=None), pcm[begin:])
    asleep = [end for end in heard if end > woken and heard[end][0] < 0.0475]
    for end in range(woken, min(asleep), 8_000):
        if end - begin >= 32_000:
            assert heard[end] == pytest.approx(fresh[end - begin], abs=1e-5)


def test_an_approach_stays_awake_while_it_is_loud_or_believed_and_for_a_second_after() -> None:
    pcm = _quiet_but(6.0, 9.0, 20.0)
    mel = np.log(mel_frames(SPEC, pcm[:, 0]) + 0.001)
    loud = [each for each in range(4, 81, 2) if mel[25 * each - 98 : 25 * each - 2].mean() > WAKE.over]
    awake = {each + late for each in loud for late in (0, 2, 4)}  # quarters of a second; a patch of the head each half
    # So little is believed that it keeps no one awake, and no patch between those of the head is suspected.
    doubted = bundle(wake=WAKE, suspect=1e3, calibration=Calibration(scale=1.0, offset=-100.0))
    assert _patches(doubted, pcm) == WAKE.back + len(awake)
    believed = bundle(wake=WAKE, calibration=Calibration(scale=1.0, offset=100.0))
    assert hear(believed, _quiet_but(6.0, 9.0, 30.0))[30 * 16_000][0] > 0.999


def test_devices_that_share_networks_do_not_hear_each_other() -> None:
    shared = Classifier(bundle())
    first, second = sound(12.0, 9), sound(12.0, 10)
    streams = [(Windows(window=32_000, hop=4_000, channels=[0]), Extractor(SPEC), pcm) for pcm in (first, second)]
    heard: list[Heard] = [{}, {}]
    for start in range(0, len(first), 4_000):
        for out, (windows, extractor, pcm) in zip(heard, streams, strict=True):
            for window in windows.push(Block(Samples(start), pcm[start : start + 4_000])):
                out[window.end] = shared.score(extractor.spectrogram(window)).tolist()
    assert heard == [hear(bundle(), first), hear(bundle(), second)]


def test_without_evidence_the_head_speaks_alone_and_patches_may_be_sparse() -> None:
    pcm = sound(10.0, 11)
    alone = hear(bundle(evidence=None, step_s=0.5), pcm)
    assert [alone[end] for end in alone if end % 8_000] == [alone[end - 4_000] for end in alone if end % 8_000]
    fused = hear(bundle(evidence=Evidence(2, 2, weight=0.0)), pcm)
    halves = [end for end in alone if end % 8_000 == 0]
    assert [alone[end] for end in halves] == [fused[end] for end in halves]


def test_a_quiet_microphone_is_brought_to_the_level_of_a_street_in_minutes() -> None:
    model = bundle(site_gain=SITE_GAIN, evidence=NEWEST)
    street = sound(2.0, 12)
    loud = np.tile(street, (90, 1))
    natural, quiet = hear(model, loud), hear(model, np.float32(0.05) * loud)
    ends = list(natural)
    apart = [abs(natural[end][0] - quiet[end][0]) for end in ends]
    assert apart[0] > 0.5
    assert apart[-1] < 0.25 * apart[0]


@pytest.mark.parametrize("offset", [-1e6, 1e6])
def test_log_odds_beyond_measure_stay_probabilities(offset: float) -> None:
    heard = hear(bundle(calibration=Calibration(scale=1.0, offset=offset)), sound(3.0))
    assert [scores[0] for scores in heard.values()] == pytest.approx([float(offset > 0.0)] * 5, abs=1e-30)


def test_golden_vectors_are_the_scores_at_the_bundle_s_own_hop() -> None:
    pcm = np.round(32_767 * sound(5.0, 13)[:, 0]).astype(np.int16)
    features, scores = golden_outputs(bundle(), pcm)
    assert features.shape == (198, 64)
    heard = pcm.astype(np.float32) / np.float32(32_768)
    np.testing.assert_allclose(np.exp(features) - 0.001, mel_frames(SPEC, heard[:32_000]), atol=1e-4)
    assert scores.tolist() == pytest.approx(
        [each[0] for each in hear(bundle(), heard[:, np.newaxis]).values()], abs=1e-7
    )


def test_scores_of_a_stream_hours_long_cost_no_more() -> None:
    """After a gap the count of samples goes on from where it was: nothing may walk there from zero."""
    voice, extractor = Classifier(bundle()), Extractor(SPEC)
    windows = Windows(window=SPEC.window_samples, hop=4_000, channels=[0])
    start = 3 * 365 * 24 * 3_600 * 16_000
    (window,) = windows.push(Block(Samples(start), sound(2.0, 14)))
    assert voice.log_odds(extractor.spectrogram(window)).shape == (1,)
    assert voice.judged == 5
