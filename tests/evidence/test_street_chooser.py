from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from tests.observe.test_snapshot import setup

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples
from sirend.call.state import CallState
from sirend.detect.motion import Motion
from sirend.errors import InputError
from sirend.evidence.blur import blurred
from sirend.evidence.clip import Hop
from sirend.evidence.street_chooser import Chooser, Piece, Worth
from sirend.evidence.street_recorder import StreetRecorder
from sirend.evidence.street_set import COLUMNS, StreetSet
from sirend.observe.snapshot import HeardThere, View
from sirend.training.corpus import Kind, load_clips, read_clips

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOP = 4_000
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def hop(at_s: float, score: float) -> Hop:
    end = Samples(round(at_s * SAMPLE_RATE_HZ))
    heard = HeardThere("main", score, score, -40.0, Motion.UNKNOWN, CallState.CLEAR, end)
    return Hop(end, np.full(HOP, at_s, dtype=np.float32), heard)


def pieces(seconds: int, score: Callable[[float], float]) -> list[Piece]:
    chooser = Chooser("main", np.random.default_rng(1))
    times = np.arange(0.25, seconds, 0.25)
    return [piece for at_s in times for piece in chooser.add_hop(hop(float(at_s), score(float(at_s))))]


def test_what_was_nearly_called_is_kept_with_what_was_around_it() -> None:
    (piece,) = pieces(200, lambda at_s: 0.6 if 100.0 <= at_s < 103.0 else 0.1)
    assert (piece.worth, piece.score) == (Worth.NEAR, 0.6)
    assert piece.pcm[0] == pytest.approx(92.0)
    assert piece.pcm[-1] == pytest.approx(106.75)


def test_what_never_ends_is_cut_and_not_kept_again_at_once() -> None:
    made = [piece for piece in pieces(300, lambda at_s: 0.9 * (at_s > 10.0)) if piece.worth is Worth.NEAR]
    assert all(len(piece.pcm) <= 31 * SAMPLE_RATE_HZ for piece in made)
    assert len(made) == 6, "half the time"


def test_a_quiet_minute_is_drawn_from_each_hour() -> None:
    made = pieces(5 * 3600, lambda _: 0.1)
    assert [piece.worth for piece in made] == [Worth.QUIET] * 5
    hours = [piece.pcm[0] / 3600.0 for piece in made]
    assert [int(hour) for hour in hours] == [0, 1, 2, 3, 4]
    assert len({round(hour % 1.0, 2) for hour in hours}) > 3, "at times that nobody could guess"
    assert all(60.0 <= len(piece.pcm) / SAMPLE_RATE_HZ < 60.5 for piece in made)


def test_a_minute_with_a_siren_is_not_quiet_and_a_hole_ends_a_piece() -> None:
    made = pieces(3600, lambda at_s: 0.6 * (at_s % 40.0 < 1.0))
    assert {piece.worth for piece in made} == {Worth.NEAR}
    chooser = Chooser("main", np.random.default_rng(1))
    for at_s in (1.0, 1.25, 900.0, 900.25):
        assert chooser.add_hop(hop(at_s, 0.7)) == []


def test_speech_is_blurred_and_a_siren_stays_in_its_band() -> None:
    at_s = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    syllables = 0.5 * (1.0 + np.sign(np.sin(2.0 * np.pi * 5.0 * at_s)))  # five a second
    speech = (0.2 * syllables * np.random.default_rng(2).standard_normal(len(at_s))).astype(np.float32)
    tone = (0.3 * np.sin(2.0 * np.pi * 960.0 * at_s)).astype(np.float32)

    def depth(pcm: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
        levels = np.square(pcm[8_000:56_000]).reshape(-1, 320).mean(axis=1)
        at_5_hz = np.abs(np.mean(levels * np.exp(-2j * np.pi * 5.0 * np.arange(len(levels)) * 0.02)))
        return float(2.0 * at_5_hz / levels.mean())

    assert depth(speech) > 1.0
    assert depth(blurred(speech, 1)) < 0.25
    spectrum = np.abs(np.fft.rfft(blurred(tone, 1)))
    assert np.argmax(spectrum) / 4.0 == pytest.approx(960.0, abs=40.0)
    assert np.sqrt(np.mean(np.square(blurred(tone, 1)[8_000:-8_000]))) == pytest.approx(0.21, rel=0.25)
    assert np.array_equal(blurred(tone, 1), blurred(tone, 1))
    assert len(blurred(tone[:100], 1)) == 100


def keep(folder: Path, worth: Worth, *, speech: bool = False, max_bytes: int = 10**9, minute: int = 0) -> StreetSet:
    street = StreetSet(folder, max_bytes)
    recorder = StreetRecorder(View(setup()), street, keeps_speech=speech, seed=1)
    pcm = (0.1 * np.random.default_rng(3).standard_normal(5 * SAMPLE_RATE_HZ)).astype(np.float32)
    recorder.keep(Piece("main", worth, 0.61, pcm), NOON.replace(minute=minute))
    assert recorder.kept[worth] == 1
    return street


def test_training_reads_the_quiet_and_what_somebody_labelled(tmp_path: Path) -> None:
    folder = tmp_path / "street"
    keep(folder, Worth.QUIET)
    street = keep(folder, Worth.NEAR)
    assert [clip.kind for clip in read_clips(folder / "clips.csv")] == [Kind.OTHER]
    assert street.label(street.rows[1]["path"], "emergency")
    clips = read_clips(folder / "clips.csv")
    assert [(clip.kind, clip.label, clip.set, clip.group) for clip in clips] == [
        (Kind.OTHER, "street", "street-main-5th", "street-main-5th/20261128T12-main"),
        (Kind.EMERGENCY, "siren", "street-main-5th", "street-main-5th/20261128T12-main"),
    ]
    assert [len(pcm) for pcm in load_clips(clips, folder).pcm] == [5 * SAMPLE_RATE_HZ] * 2
    assert not street.label("audio/none.flac", "other")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.rglob("*.*"))


def test_the_oldest_go_when_it_is_full(tmp_path: Path) -> None:
    one = keep(tmp_path, Worth.QUIET)
    size = (tmp_path / one.rows[0]["path"]).stat().st_size
    for minute in range(1, 5):
        street = keep(tmp_path, Worth.NEAR, max_bytes=int(2.5 * size), minute=minute)
    assert len(street.rows) == len(list((tmp_path / "audio").iterdir())) == 2
    assert street.rows == StreetSet(tmp_path, 10**9).rows


def test_sound_as_it_was_heard_is_kept_only_where_asked_for(tmp_path: Path) -> None:
    clear, smeared = keep(tmp_path / "a", Worth.NEAR, speech=True), keep(tmp_path / "b", Worth.NEAR)
    assert clear.rows[0]["licence"] == "own recording"
    assert smeared.rows[0]["licence"] == "own recording, blurred"
    a, b = (soundfile.read(tmp_path / name / each.rows[0]["path"])[0] for name, each in (("a", clear), ("b", smeared)))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_a_table_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("path,set\n")
    with pytest.raises(InputError, match="is not of a street that was recorded here"):
        StreetSet(tmp_path, 1)
    assert COLUMNS[2] == "class"
    assert io.StringIO((tmp_path / "clips.csv").read_text()).read() == "path,set\n"
