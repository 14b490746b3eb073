from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.detect.networks import mean

from sirend.audio.stream import Block, Samples
from sirend.audio.windows import Windows
from sirend.detect.features import Extractor, FeatureSpec, log_mel, mel_frames
from sirend.training import listening, patches
from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.episodes import EpisodeSpec
from sirend.training.specs import PATCH_FRAMES

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = FeatureSpec()
OUTPUTS = 7
SPEC = EpisodeSpec(count=3)

# Python 3.12 on warns of any thread when a process forks; those of other tests and of BLAS do no harm here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def _corpus() -> Corpus:
    rng = np.random.default_rng(0)
    rows = tuple(
        Clip(
            f"{n}.wav",
            f"set{n % 2}",
            (Kind.EMERGENCY, Kind.OTHER, Kind.OTHER)[n % 3],
            "x",
            f"set{n % 2}/{n}",
            "CC0",
            3.0,
        )
        for n in range(6)
    )
    return Corpus(rows, tuple(rng.integers(-9_000, 9_000, 48_000).astype(np.int16) for _ in rows))


def _listen(
    folder: Path, spec: EpisodeSpec = SPEC, corpus: Corpus | None = None, *, with_mel: bool = True
) -> listening.Heard:
    network = mean(PATCH_FRAMES, FEATURES.bands, OUTPUTS)
    speaking = listening.Speaking(folder, network, OUTPUTS, with_mel=with_mel)
    return listening.hear_episodes(
        corpus or _corpus(), spec, FEATURES, speaking, lambda _: True, folder / "episodes", seed=1, purpose="train"
    )


def test_the_patches_of_training_are_those_of_the_daemon() -> None:
    rng = np.random.default_rng(3)
    pcm = rng.normal(0, 0.1, 64_000).astype(np.float32)
    frames = log_mel(FEATURES, mel_frames(FEATURES, pcm))
    mine = patches.cut(frames, patches.ends(FEATURES, len(frames), 1))
    windows, extractor = Windows(window=FEATURES.window_samples, hop=4_000, channels=[0]), Extractor(FEATURES)
    theirs = {}
    for window in windows.push(Block(Samples(0), pcm[:, np.newaxis])):
        mel = extractor.spectrogram(window).until(window.end, PATCH_FRAMES)
        assert mel is not None
        theirs[window.end] = log_mel(FEATURES, mel)[0]
    assert theirs
    for end, patch in theirs.items():
        assert mine[end // 4_000 - patches.FIRST] == pytest.approx(patch, abs=1e-4)


def test_episodes_are_heard_at_every_half_second(tmp_path: Path) -> None:
    heard = _listen(tmp_path)
    assert heard.said.shape == (3, 23, OUTPUTS)
    assert heard.said.dtype == np.float16
    assert np.isfinite(heard.said).all()
    assert heard.label.shape == (3, 23)
    assert len(heard.groups) == 3
    assert heard.mel is not None
    assert patches.cut(heard.mel, heard.until).shape == (3, 23, PATCH_FRAMES, FEATURES.bands)


def test_what_was_heard_is_not_heard_again_and_more_is_drawn_alike(tmp_path: Path) -> None:
    first = _listen(tmp_path)
    kept = sorted((tmp_path / "episodes").rglob("*.npz"))
    before = [path.stat().st_mtime_ns for path in kept]
    again = _listen(tmp_path)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert np.array_equal(first.said, again.said)
    other = _listen(tmp_path, replace(SPEC, positive=0.0))
    assert not (other.label == 1).any()


def test_a_recording_that_is_labelled_anew_or_recorded_anew_is_drawn_anew(tmp_path: Path) -> None:
    first, known = _listen(tmp_path), _corpus()
    clips = tuple(replace(clip, kind=Kind.OTHER) for clip in known.clips)
    relabelled = _listen(tmp_path, corpus=Corpus(clips, known.pcm))
    quieter = _listen(tmp_path, corpus=Corpus(known.clips, tuple(pcm // 2 for pcm in known.pcm)))
    assert not np.array_equal(first.said, relabelled.said)
    assert not np.array_equal(first.said, quieter.said)


def test_frames_are_kept_for_those_who_learn_from_them(tmp_path: Path) -> None:
    plain = _listen(tmp_path, with_mel=False)
    assert plain.mel is None
    assert np.array_equal(plain.said, _listen(tmp_path).said)


def test_a_data_set_is_left_out_with_every_episode_it_had_a_part_in() -> None:
    groups = (("us8k/1", "esc50/2"), ("us8k2/1",), ())
    heard = listening.Heard(np.zeros((3, 1, 1), np.float16), None, (96,), np.zeros((3, 1), np.float32), groups)
    assert list(heard.without("us8k")) == [1, 2]
    assert list(heard.without("")) == [0, 1, 2]
