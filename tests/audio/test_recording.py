from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from sirend.audio.recording import WavFile
from sirend.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

Pcm = npt.NDArray[np.float32]


def noise(frames: int, channels: int = 1, seed: int = 1) -> Pcm:
    return (0.1 * np.random.default_rng(seed).standard_normal((frames, channels))).astype(np.float32)


def write(path: Path, pcm: Pcm, rate_hz: int = 16_000, subtype: str | None = "FLOAT") -> Path:
    soundfile.write(path, pcm, rate_hz, subtype=subtype)
    return path


def read(path: Path, *, mono: bool = False, block_s: float = 1.0) -> Pcm:
    with WavFile(path, mono=mono, block_s=block_s) as source:
        blocks = list(source)
    assert [block.start for block in blocks] == [sum(len(b.pcm) for b in blocks[:i]) for i in range(len(blocks))]
    return np.concatenate([block.pcm for block in blocks])


def damage(path: Path, offset: int, layout: str, value: int) -> Path:
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, offset, value)
    path.write_bytes(data)
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value)


def test_a_16_khz_float_file_arrives_bit_for_bit(tmp_path: Path) -> None:
    pcm = noise(40_000, channels=3)
    assert read(write(tmp_path / "a.wav", pcm)).tobytes() == pcm.tobytes()


@pytest.mark.parametrize(
    ("name", "subtype", "rate_hz"),
    [
        ("a.wav", "PCM_U8", 8_000),
        ("a.wav", "PCM_24", 44_100),
        ("a.wav", "FLOAT", 96_000),
        ("a.wav", "ULAW", 8_000),
        ("a.w64", "PCM_32", 48_000),
        ("a.flac", "PCM_16", 22_050),
        ("a.ogg", "VORBIS", 48_000),
        ("a.aiff", "PCM_16", 32_000),
    ],
)
def test_formats_rates_and_channels(tmp_path: Path, name: str, subtype: str, rate_hz: int) -> None:
    at_s = np.arange(3 * rate_hz) / rate_hz
    tone = 0.5 * np.sin(2.0 * np.pi * 700.0 * at_s)
    pcm = np.stack([tone, -tone], axis=1).astype(np.float32)
    out = read(write(tmp_path / name, pcm, rate_hz, subtype))
    expected = 0.5 * np.sin(2.0 * np.pi * 700.0 * np.arange(48_000) / 16_000)
    assert out.shape == (48_000, 2)
    inner = slice(2_000, -2_000)
    assert np.abs(out[inner, 0] - expected[inner]).max() < 0.05
    assert np.abs(out[inner, 1] + expected[inner]).max() < 0.05


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_the_block_size_changes_no_sample(tmp_path: Path, rate_hz: int) -> None:
    path = write(tmp_path / "a.wav", noise(3 * rate_hz, channels=2), rate_hz)
    whole = read(path, block_s=10.0)
    assert [read(path, block_s=block_s).tobytes() == whole.tobytes() for block_s in (0.01, 0.3, 1.0)] == [True] * 3


def test_mono_is_the_average_of_all_channels(tmp_path: Path) -> None:
    pcm = noise(33_000, channels=4)
    out = read(write(tmp_path / "a.wav", pcm), mono=True)
    assert out.shape == (33_000, 1)
    assert np.abs(out[:, 0] - pcm.mean(axis=1)).max() < 1e-7


def test_a_short_file_gets_leading_silence_up_to_one_window(tmp_path: Path) -> None:
    pcm = noise(160)
    out = read(write(tmp_path / "a.wav", pcm))
    assert out.shape == (32_000, 1)
    assert not out[:-160].any()
    assert out[-160:].tobytes() == pcm.tobytes()


def test_duration_is_that_of_the_header(tmp_path: Path) -> None:
    with WavFile(write(tmp_path / "a.wav", noise(11_025), 22_050)) as source:
        assert source.duration_s == 0.5


def test_files_that_are_no_recording(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is not audio\n" * 20)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "head.wav").write_bytes(write(tmp_path / "a.wav", noise(99), subtype="PCM_16").read_bytes()[:30])
    write(tmp_path / "none.wav", noise(0))
    os.mkfifo(tmp_path / "pipe.wav")  # nobody writes to it: it was waited for without end
    for name, expected in {
        "missing.wav": "cannot be read: No such file or directory",
        "folder.wav": "cannot be read: Is a directory",
        "empty.wav": "is empty (0 bytes)",
        "pipe.wav": "is not a regular file",
        "text.wav": "is not a playable recording: Format not recognised",
        "head.wav": "is not a playable recording: Error in WAV file. No 'data' chunk marker",
        "none.wav": "holds no audio (0 frames)",
    }.items():
        assert message(tmp_path / name) == f"{tmp_path / name}: {expected}"


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [
        (0, "is not a playable recording: its header gives an impossible sample rate, channel count or size"),
        (3, "its header gives a sample rate of 3 Hz; recordings have 1000 to 1000000 Hz"),
    ],
)
def test_a_header_with_an_impossible_rate(tmp_path: Path, rate_hz: int, expected: str) -> None:
    path = damage(write(tmp_path / "a.wav", noise(40_000), subtype="PCM_16"), 24, "<I", rate_hz)
    assert message(path) == f"{path}: {expected}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("block_s", [0.05, 5.0])
def test_a_value_that_is_no_number_ends_the_stream_at_its_place(tmp_path: Path, value: float, block_s: float) -> None:
    pcm = noise(96_000, channels=2)
    pcm[51_200, 1] = value
    path = write(tmp_path / "a.wav", pcm)
    got: list[Pcm] = []
    with pytest.raises(InputError) as caught, WavFile(path, block_s=block_s) as source:
        got.extend(block.pcm for block in source)
    assert str(caught.value) == f"{path}: sample values are not finite at 3.200 s; repair or cut the file"
    assert np.concatenate(got).tobytes() == pcm[:51_200].tobytes()


def test_a_truncated_wav_is_played_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.wav", noise(64_000), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: 44 + 2 * 40_000])
    assert len(read(path)) == 40_000
    assert caplog.messages == [
        f"{path}: it is cut short: its header promises 128000 bytes and 80000 are there; what is there is played"
    ]


@pytest.mark.parametrize(
    ("name", "form", "promise"),
    [
        ("a.au", "AU", "128000 bytes and 80000 are there"),
        ("a.wav", "RF64", "64000 frames and 40000 are there"),
    ],
)
def test_what_else_is_truncated_is_played_with_a_warning_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, form: str, promise: str
) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(64_000), 16_000, subtype="PCM_16", format=form)
    path.write_bytes(path.read_bytes()[: -2 * 24_000])
    assert len(read(path)) == 40_000
    assert caplog.messages == [f"{path}: it is cut short: its header promises {promise}; what is there is played"]


@pytest.mark.parametrize("block_s", [0.05, 5.0])
def test_a_damaged_flac_is_played_up_to_the_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, block_s: float
) -> None:
    path = write(tmp_path / "a.flac", noise(96_000), subtype="PCM_16")
    whole = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    out = read(path, block_s=block_s)
    assert 32_000 < len(out) < 48_000
    assert out.tobytes() == whole[: len(out)].tobytes()
    assert caplog.messages[0].startswith(f"{path}: only {len(out) / 16_000:.3f} of 6.000 s can be decoded (")


def test_a_truncated_ogg_is_played_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.ogg", noise(192_000), subtype="VORBIS")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 32_000 < len(read(path)) < 128_000
    assert caplog.messages == [f"{path}: it is cut short: its last page is missing; what is there is played"]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_was_cut_off_anywhere_in_its_last_page_is_played_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, subtype: str
) -> None:
    """The last page was left out without a word: up to a second of sound."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(160_000), 16_000, format="OGG", subtype=subtype)
    read(path)
    assert caplog.messages == []
    whole = path.read_bytes()
    last = whole.rfind(b"OggS")
    for kept in (len(whole) - 1, (last + len(whole)) // 2, last + 28, last + 20, last + 6):
        path.write_bytes(whole[:kept])
        caplog.clear()
        read(path)
        assert any("it is cut short: its last page is" in text for text in caplog.messages), kept


def test_a_header_written_for_a_pipe_is_no_truncation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.wav", noise(40_000), subtype="PCM_16")
    damage(damage(path, 4, "<I", 0xFFFFFFFF), 40, "<I", 0xFFFFFFFF)
    assert len(read(path)) == 40_000
    assert caplog.messages == []


def test_the_overshoot_of_a_lossy_codec_is_clipped_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert float(read(write(tmp_path / "a.wav", np.full((40_000, 1), 1.3, dtype=np.float32))).max()) == 1.0
    assert caplog.messages == []


def test_samples_beyond_full_scale_are_clipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.wav", np.full((40_000, 1), 3.0, dtype=np.float32))
    assert float(read(path).max()) == 1.0
    assert caplog.messages == [f"{path}: samples reach 3 times full scale and were clipped; is its scale right?"]


def test_a_flac_of_unknown_length_is_played_to_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.flac", noise(95_123), subtype="PCM_16")
    whole = read(path)
    damage(damage(path, 21, "<B", path.read_bytes()[21] & 0xF0), 22, "<I", 0)
    with WavFile(path) as source:
        assert source.duration_s == 95_123 / 16_000
    assert read(path).tobytes() == whole.tobytes()
    assert read(path, mono=True).tobytes() == whole.tobytes()
    assert caplog.messages == []


def test_what_lies_behind_the_promise_of_another_format_is_worth_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.au", noise(96_000), subtype="PCM_16")
    damage(path, 8, ">I", 32_000)
    assert len(read(path)) == 32_000  # one second and a leading one of silence
    (told,) = caplog.messages
    wanted = r".*a\.au: 1(59|60)\d\d\d bytes lie behind the sound that its header promises; they are not played"
    assert re.fullmatch(wanted, told)
    empty = write(tmp_path / "b.aiff", noise(96_000), subtype="PCM_16")
    data = bytearray(empty.read_bytes())
    data[22:26] = bytes(4)
    place = data.index(b"SSND") + 4
    data[place : place + 4] = (8).to_bytes(4, "big")
    empty.write_bytes(data)
    assert message(empty).startswith(f"{empty}: holds no audio (0 frames, though it has 19")
