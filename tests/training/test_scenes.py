from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.training.corpus import Clip, Corpus, Kind
from sirend.training.scenes import AUDIBLE_S, Scenes, SceneSpec, TrainingScene, add_while_sounding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RATE_HZ = 16_000
WINDOW = 2 * RATE_HZ


def _corpus(*clips: tuple[str, Kind, str], seconds: float = 3.0) -> Corpus:
    """Return a corpus of noise, a clip for each (set, kind, group)."""
    rng = np.random.default_rng(0)
    pcm = tuple(rng.integers(-9_000, 9_000, int(seconds * RATE_HZ)).astype(np.int16) for _ in clips)
    rows = tuple(
        Clip(f"{number}.wav", name, kind, f"{name} sound", f"{name}/{group}", "CC0", seconds)
        for number, (name, kind, group) in enumerate(clips)
    )
    return Corpus(rows, pcm)


def _everything() -> Corpus:
    kinds = (Kind.EMERGENCY, Kind.OTHER, Kind.CIVIL_SIREN, Kind.IMPULSE_RESPONSE)
    return _corpus(*((f"set{n % 3}", kind, f"g{n}") for n in range(3) for kind in kinds))


def _draw(
    corpus: Corpus, spec: SceneSpec, count: int, seed: int = 0, keep: Callable[[Clip], bool] = lambda _: True
) -> list[TrainingScene]:
    scenes, rng = Scenes(corpus, spec, WINDOW, keep), np.random.default_rng(seed)
    return [scenes.draw(rng) for _ in range(count)]


def _sets(scenes: Iterable[TrainingScene]) -> set[str]:
    return {name for scene in scenes for name in scene.sets}


def _rms(pcm: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))


@pytest.fixture(scope="module")
def drawn() -> list[TrainingScene]:
    return _draw(_everything(), SceneSpec(), 400)


@given(st.floats(-15, 20), st.integers(1, 8_000), st.floats(1e-3, 0.3), st.integers(0, 1_000))
def test_a_mixture_has_the_ratio_asked_for_while_the_siren_sounds(
    snr_db: float, sounding: int, street_rms: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wanted, street = np.zeros(8_000, dtype=np.float32), rng.standard_normal(8_000).astype(np.float32)
    wanted[:sounding] = np.where(rng.random(sounding) < 0.5, -0.25, 0.25)
    street *= np.float32(street_rms / _rms(street))
    added = add_while_sounding(wanted, street, snr_db).astype(np.float64) - street
    assert 20 * np.log10(_rms(added[:sounding]) / _rms(street)) == pytest.approx(snr_db, abs=0.05)
    assert np.abs(added[sounding:]).max(initial=0.0) == 0.0


def test_mixing_with_silence_on_either_side_stays_finite() -> None:
    silence, tone = np.zeros(800, dtype=np.float32), np.ones(800, dtype=np.float32)
    assert np.array_equal(add_while_sounding(silence, tone, 10.0), tone)
    assert np.isfinite(add_while_sounding(tone, silence, 10.0)).all()
    assert _rms(add_while_sounding(tone, silence, 10.0)) < 1e-3, (
        "nothing is louder than a street because there is no street"
    )


def test_windows_are_finite_and_within_full_scale(drawn: list[TrainingScene]) -> None:
    for scene in drawn:
        assert scene.pcm.shape == (WINDOW,)
        assert scene.pcm.dtype == np.float32
        assert np.isfinite(scene.pcm).all()
        assert np.abs(scene.pcm).max() <= 1.0
        assert _rms(scene.pcm) > 1e-6


def test_sirens_have_the_share_asked_for(drawn: list[TrainingScene]) -> None:
    deviation = np.sqrt(len(drawn) * 0.45 * 0.55)
    assert sum(scene.siren for scene in drawn) == pytest.approx(0.45 * len(drawn), abs=4 * deviation)


def test_a_window_tells_its_ratio_and_what_it_is_made_from(drawn: list[TrainingScene]) -> None:
    for scene in drawn:
        if scene.siren:
            assert scene.snr_db == np.inf or -15.0 <= scene.snr_db <= 20.0
            assert scene.kind.startswith(("synthetic ", "set"))
        else:
            assert np.isnan(scene.snr_db)
            assert scene.kind in {"recording", "confuser"}
    kinds = {scene.kind for scene in drawn}
    assert {"recording", "confuser", "set0 sound", "synthetic hilo", "synthetic yelp"} <= kinds
    assert "synthetic airhorn" not in kinds, "every lorry has one"


def test_the_same_seed_draws_the_same_windows() -> None:
    one, two = (_draw(_everything(), SceneSpec(), 20, seed=4) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.pcm, b.pcm)
        assert (a.siren, a.kind, a.sets) == (b.siren, b.kind, b.sets)
    other = _draw(_everything(), SceneSpec(), 20, seed=5)
    assert not any(np.array_equal(a.pcm, b.pcm) for a, b in zip(one, other, strict=True))


def test_a_recording_that_is_not_kept_is_never_touched() -> None:
    corpus = _everything()
    held_out = {"set0/g0", "set1/g1"}
    text = np.array(["held out"])  # whoever uses this as samples fails
    pcm = tuple(text if clip.group in held_out else pcm for clip, pcm in zip(corpus.clips, corpus.pcm, strict=True))
    trapped = Corpus(corpus.clips, pcm)
    drawn = _draw(trapped, SceneSpec(), 300, keep=lambda clip: clip.group not in held_out)
    assert _sets(drawn) == {"set2"}
    with pytest.raises(ValueError, match="held out"):
        _draw(trapped, SceneSpec(), 300)


def test_a_set_that_is_not_kept_is_never_in_a_window(drawn: list[TrainingScene]) -> None:
    assert _sets(drawn) == {"set0", "set1", "set2"}
    assert _sets(_draw(_everything(), SceneSpec(), 300, keep=lambda clip: clip.set != "set1")) == {"set0", "set2"}


def test_a_siren_sounds_long_enough_to_be_heard() -> None:
    corpus = _corpus(("a", Kind.EMERGENCY, "g"))
    for scene in _draw(corpus, SceneSpec(positive=1.0, synthetic=0.0, clean=1.0), 150):
        level = np.sqrt(np.mean(np.square(scene.pcm.reshape(-1, 160)), axis=1))
        assert np.sum(level > 0.25 * np.quantile(level, 0.98)) * 0.01 >= AUDIBLE_S - 0.01


def test_a_recording_in_many_cuts_is_drawn_no_more_often_than_one_in_few() -> None:
    corpus = _corpus(*[("many", Kind.OTHER, "g")] * 9, ("few", Kind.OTHER, "g"))
    drawn = _draw(corpus, SceneSpec(positive=0.0, confuser=1.0), 200)
    assert sum(scene.sets == {"few"} for scene in drawn) == pytest.approx(100, abs=30)


def test_a_weight_says_how_often_a_set_is_a_negative() -> None:
    corpus = _corpus(("a", Kind.OTHER, "1"), ("b", Kind.OTHER, "2"), ("c", Kind.OTHER, "3"))
    spec = SceneSpec(positive=0.0, confuser=1.0, set_weights={"a": 3.0, "b": 0.0})
    drawn = _draw(corpus, spec, 200)
    assert _sets(drawn) == {"a", "c"}
    assert sum(scene.sets == {"a"} for scene in drawn) == pytest.approx(150, abs=30)


def test_without_recordings_of_sirens_all_are_synthetic() -> None:
    drawn = _draw(_corpus(("a", Kind.OTHER, "1")), SceneSpec(positive=1.0, synthetic=0.0), 30)
    assert all(scene.kind.startswith("synthetic ") for scene in drawn)


def test_without_a_street_there_is_noise() -> None:
    drawn = _draw(_corpus(("a", Kind.EMERGENCY, "1")), SceneSpec(positive=0.0), 30)
    assert _sets(drawn) == set()
    assert all(_rms(scene.pcm) > 1e-6 for scene in drawn)


def test_a_clip_shorter_than_a_window_stands_in_silence() -> None:
    corpus = _corpus(("a", Kind.EMERGENCY, "1"), ("a", Kind.OTHER, "2"), seconds=0.7)
    drawn = _draw(corpus, SceneSpec(), 60)
    assert all(np.isfinite(scene.pcm).all() and _rms(scene.pcm) > 1e-6 for scene in drawn)


def _spectrum_share(pcm: np.ndarray, below_hz: float) -> float:
    power = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    return float(power[hz < below_hz].sum() / power.sum())


def test_wind_blows_below_the_siren() -> None:
    corpus = _corpus(("a", Kind.OTHER, "1"))
    still, windy = (
        np.median([_spectrum_share(each.pcm, 400) for each in _draw(corpus, SceneSpec(positive=0.0, wind=share), 60)])
        for share in (0.0, 1.0)
    )
    assert windy > still + 0.3


def test_a_codec_leaves_a_window_much_as_it_was() -> None:
    corpus = _corpus(("a", Kind.EMERGENCY, "1"), ("a", Kind.OTHER, "2"))
    plain, coded = (_draw(corpus, SceneSpec(codec=share), 1, seed=8)[0] for share in (0.0, 1.0))
    assert coded.pcm.shape == plain.pcm.shape
    assert not np.array_equal(coded.pcm, plain.pcm)
    assert _rms(coded.pcm) == pytest.approx(_rms(plain.pcm), rel=0.3)
