from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sirend.errors import InputError
from sirend.training.corpus import COLUMNS, Clip, Kind, kept_back, load_clips, read_clips, read_tones

HEADER = ",".join(COLUMNS)


def _table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    table = folder / "clips.csv"
    table.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return table


def _clip(path: str) -> Clip:
    return Clip(path, "made", Kind.OTHER, "rain", f"made/{path}", "CC0", 1.0)


def _refusal(table: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_clips(table)
    return str(caught.value)


def test_a_row_becomes_a_clip(tmp_path: Path) -> None:
    table = _table(tmp_path, "a/b.wav,us8k,emergency,siren,100032,CC-BY-4.0,2.5")
    assert read_clips(table) == (
        Clip("a/b.wav", "us8k", Kind.EMERGENCY, "siren", "us8k/100032", "CC-BY-4.0", 2.5),
    )  # fmt: skip


def test_a_group_belongs_to_its_set_and_a_clip_without_one_is_its_own(tmp_path: Path) -> None:
    table = _table(tmp_path, "1.wav,a,other,x,7,CC0,1", "2.wav,b,other,x,7,CC0,1", "3.wav,b,other,x,,CC0,1")
    assert [clip.group for clip in read_clips(table)] == ["a/7", "b/7", "b/3.wav"]


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    table = _table(
        tmp_path, "1,g,s,CC0,x,civil_siren,1.wav,note", header="seconds,group,set,licence,label,class,path,more"
    )
    (clip,) = read_clips(table)
    assert (clip.path, clip.kind, clip.group) == ("1.wav", Kind.CIVIL_SIREN, "s/g")


def test_a_folder_without_a_table_is_told_to_have_one(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "clips.csv") == (
        f"{tmp_path / 'clips.csv'}: No such file or directory; --data must name a folder that holds clips.csv"
    )


@pytest.mark.parametrize("missing", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    table = _table(tmp_path, header=",".join(name for name in COLUMNS if name != missing))
    assert _refusal(table) == f"{table}: no column {missing}; the header must name {', '.join(COLUMNS)}"


def test_an_empty_table_has_no_columns(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("")
    assert _refusal(table).startswith(f"{table}: no column path, set, class")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2.wav,a,ambulance,x,7,CC0,1", "'ambulance' is not a valid Kind"),
        ("2.wav,a,other,x,7,CC0,long", "could not convert string to float: 'long'"),
        ("2.wav,a", "None is not a valid Kind"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    table = _table(tmp_path, "1.wav,a,other,x,7,CC0,1", row)
    assert _refusal(table) == (
        f"{table}, line 3: {reason}; class is one of emergency, civil_siren, other, impulse_response, seconds a number"
    )


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_bytes(HEADER.encode() + b"\n\xfc.wav,a,other,x,7,CC0,1\n")
    assert _refusal(table).startswith(f"{table}: is not a CSV file in UTF-8: ")


def test_a_clip_that_cannot_be_read_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "good.wav", np.full(16_000, 0.25), 16_000)
    (tmp_path / "bad.wav").write_bytes(b"this is no audio")
    with caplog.at_level(logging.WARNING, logger="sirend"):
        corpus = load_clips([_clip("bad.wav"), _clip("gone.wav"), _clip("good.wav")], tmp_path)
    assert [clip.path for clip in corpus.clips] == ["good.wav"]
    assert len(corpus) == len(corpus.pcm) == 1
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        str(tmp_path / "bad.wav"),
        str(tmp_path / "gone.wav"),
    ]


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the clips in clips\.csv could be read"):
        load_clips([_clip("gone.wav")], tmp_path)


def test_a_set_that_nobody_has_listened_to_is_told_how_to(tmp_path: Path) -> None:
    """It was told that its clips could not be read."""
    with pytest.raises(InputError, match="count once labelled: sirend record --review --out "):
        load_clips((), tmp_path)


def test_audio_is_mono_at_16_khz_and_exact_to_16_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(-32768, 32768, 16_000).astype(np.int16)
    soundfile.write(tmp_path / "mono.wav", left, 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "stereo.wav", np.stack([left // 2, left // 2], axis=1), 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "slow.wav", np.zeros(8_000, dtype=np.int16), 8_000)
    corpus = load_clips([_clip("mono.wav"), _clip("stereo.wav"), _clip("slow.wav")], tmp_path)
    assert np.array_equal(corpus.pcm[0], left)
    assert np.array_equal(corpus.pcm[1], left // 2)
    assert len(corpus.pcm[2]) == 16_000
    assert corpus.audio(0).dtype == np.float32
    assert np.array_equal(corpus.audio(0), left / 32768)


def test_a_clip_shorter_than_a_window_gets_no_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(800, 0.5), 16_000)
    assert len(load_clips([_clip("short.wav")], tmp_path).pcm[0]) == 800


def test_where_gives_the_indices_of_what_is_wanted(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(tmp_path / name, np.zeros(160), 16_000)
    corpus = load_clips([_clip("a.wav"), _clip("b.wav"), _clip("c.wav")], tmp_path)
    assert corpus.where(lambda clip: clip.path != "b.wav") == [0, 2]


def _named(group: str, path: str = "1.wav") -> Clip:
    return Clip(path, "a", Kind.OTHER, "x", group, "CC0", 1.0)


def test_a_tenth_of_the_recordings_is_kept_back_whole() -> None:
    groups = [f"us8k/{number}" for number in range(3_000)]
    back = [kept_back(_named(group)) for group in groups]
    assert sum(back) == pytest.approx(300, abs=70)
    assert back == [kept_back(_named(group, "2.wav")) for group in groups]


@pytest.mark.parametrize(("held_out", "kept"), [(0.0, False), (1.0, True)])
def test_none_or_all_can_be_kept_back(held_out: float, *, kept: bool) -> None:
    assert {kept_back(_named(f"a/{number}"), held_out) for number in range(100)} == {kept}


def test_what_is_kept_back_for_less_is_kept_back_for_more() -> None:
    clips = [_named(f"a/{number}") for number in range(500)]
    less, more = ({clip.group for clip in clips if kept_back(clip, share)} for share in (0.1, 0.3))
    assert less < more


def test_a_siren_may_say_its_tone_and_country(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    head = "path,set,class,label,group,licence,seconds,tone,country\n"
    table.write_text(f"{head}1.wav,a,emergency,siren,7,CC0,1,hilo,de\n2.wav,a,emergency,siren,8,CC0,1,,\n")
    assert [(clip.tone, clip.country) for clip in read_clips(table)] == [("hilo", "de"), ("", "")]
    table.write_text(f"{head}1.wav,a,emergency,siren,7,CC0,1,hi-lo,de\n")
    assert "line 2: tone 'hi-lo' is neither empty nor one of wail, yelp" in _refusal(table)


def test_tones_may_be_said_beside_the_table_and_do_not_take_the_place_of_what_it_says(tmp_path: Path) -> None:
    said = tmp_path / "tones.csv"
    said.write_text("path,tone\na.wav,wail\nb.wav,yelp\nz.wav,hilo\n", encoding="utf-8")
    clips = _clip("a.wav"), replace(_clip("b.wav"), tone="hilo"), _clip("c.wav")
    assert [clip.tone for clip in read_tones(said, clips)] == ["wail", "hilo", ""]


@pytest.mark.parametrize("text", ["path,tone\na.wav,whoop\n", "file,kind\na.wav,wail\n", None])
def test_tones_that_cannot_be_read_are_refused(tmp_path: Path, text: str | None) -> None:
    said = tmp_path / "tones.csv"
    if text is not None:
        said.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"tones\.csv"):
        read_tones(said, [])


def test_the_recordings_whose_tone_was_seen_are_enough_to_compare() -> None:
    lines = (Path(__file__).parent / "tones.csv").read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == len(lines) == 152
    assert Counter(line.split(",")[1] for line in lines[1:]) == {"wail": 108, "yelp": 35, "hilo": 8}
