from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.audio.test_recording import noise, read

from sirend.audio.riff import repaired

if TYPE_CHECKING:
    from pathlib import Path

PCM = noise(64_000)
WHOLE = np.round(PCM * 32_768.0).astype("<i2").tobytes()
PROMISED = "its header promises {} bytes of sound and {} are there; they are played"
TWO = "its header gives no length of the sound, or two; 128000 bytes are played"


def chunk(name: bytes, content: bytes, size: int | None = None, *, is_padded: bool = True) -> bytes:
    padding = b"\0" * (len(content) % 2) if is_padded else b""
    return name + struct.pack("<I", len(content) if size is None else size) + content + padding


FORM = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))


def wav(*chunks: bytes, kind: bytes = b"RIFF", size: int | None = None) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(content) if size is None else size) + content


def rf64(promised: int | None, size: int = 0xFFFFFFFF) -> bytes:
    sizes = b""
    if promised is not None:
        sizes = chunk(b"ds64", struct.pack("<QQQI", min(promised + 80, 2**64 - 1), promised, promised // 2, 0))
    return wav(sizes, FORM, chunk(b"data", WHOLE, size), kind=b"RF64", size=0xFFFFFFFF)


MENDED = {
    "killed": (wav(FORM, chunk(b"data", WHOLE, 3_200), size=3_236), PROMISED.format(3_200, 128_000)),
    "killed-at-once": (wav(FORM, chunk(b"data", WHOLE, 0), size=36), PROMISED.format(0, 128_000)),
    "no-length-at-all": (wav(FORM, chunk(b"data", WHOLE, 0), size=0), PROMISED.format(0, 128_000)),
    "odd-promise": (wav(FORM, chunk(b"data", WHOLE, 4_001)), PROMISED.format(4_001, 128_000)),
    "list-before": (
        wav(chunk(b"LIST", b"INFOIART" + struct.pack("<I", 4) + b"here"), FORM, chunk(b"data", WHOLE, 320)),
        PROMISED.format(320, 128_000),
    ),
    "rf64": (rf64(3_200), PROMISED.format(3_200, 128_000)),
    "rf64-empty": (rf64(0), PROMISED.format(0, 128_000)),
    "rf64-two-lengths": (rf64(0, 128_000), TWO),
    "rf64-absurd": (rf64(2**64 - 1), TWO),
    "rf64-no-length": (rf64(None), TWO),
    "odd-chunk": (
        wav(FORM, chunk(b"note", b"three", is_padded=False), chunk(b"data", WHOLE)),
        "a chunk of odd length lacks its last byte; the sound behind it is played",
    ),
}
APPENDED = wav(FORM, chunk(b"data", bytes(3_200)))
NOT_PLAYED = f"another recording begins behind its sound; {len(APPENDED)} bytes are not played"
MENDED |= {
    "appended": (wav(FORM, chunk(b"data", WHOLE)) + APPENDED, NOT_PLAYED),
    "appended-behind-a-list": (wav(FORM, chunk(b"data", WHOLE), chunk(b"LIST", b"INFO")) + APPENDED, NOT_PLAYED),
    "appended-to-rf64": (rf64(128_000) + APPENDED, NOT_PLAYED),
}
WHOLE_FILES = {
    "plain": wav(FORM, chunk(b"data", WHOLE)),
    "list-behind": wav(FORM, chunk(b"data", WHOLE), chunk(b"LIST", b"INFO" + bytes(3_000))),
    "odd-list-behind": wav(FORM, chunk(b"data", WHOLE), chunk(b"bext", bytes(603), is_padded=False)),
    "tag-behind": wav(FORM, chunk(b"data", WHOLE)) + b"TAG" + bytes(125),
    "padded-to-a-block": wav(FORM, chunk(b"data", WHOLE)).ljust(131_072, b"\0"),
    "odd-chunk": wav(FORM, chunk(b"note", b"three"), chunk(b"data", WHOLE)),
    "pipe": wav(FORM, chunk(b"data", WHOLE, 0xFFFFFFFF), size=0xFFFFFFFF),
    "rf64": rf64(128_000),
    "bw64": b"BW64" + rf64(128_000)[4:],
}


@pytest.mark.parametrize("name", MENDED)
def test_all_sound_behind_a_wrong_header_is_played_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    data, warning = MENDED[name]
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert np.round(read(path) * 32_768.0).astype("<i2").tobytes() == WHOLE
    assert caplog.messages == [f"{path}: {warning}"]


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_right_header_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(WHOLE_FILES[name])
    with path.open("rb") as file:
        assert (repaired(file, path.stat().st_size) is None) is (name != "bw64")
    assert np.round(read(path) * 32_768.0).astype("<i2").tobytes() == WHOLE
    assert caplog.messages == []


def test_other_codecs_and_byte_orders_are_mended_too(tmp_path: Path) -> None:
    for name, subtype, endian in (("a.wav", "ULAW", "LITTLE"), ("b.wav", "PCM_24", "BIG"), ("c.wav", "FLOAT", "FILE")):
        path = tmp_path / name
        soundfile.write(path, PCM, 16_000, subtype=subtype, endian=endian, format="WAV")
        whole = read(path)
        data = path.read_bytes()
        place = data.index(b"data") + 4
        path.write_bytes(data[:place] + bytes(4) + data[place + 4 :])
        assert read(path).tobytes() == whole.tobytes()


@given(st.binary(max_size=300))
def test_no_file_breaks_it(content: bytes) -> None:
    import io  # noqa: PLC0415

    for head in (
        b"RIFF\0\0\0\0WAVE",
        b"RF64\0\0\0\0WAVE",
        b"RIFX\0\0\0\0WAVEfmt \0\0\0\x10" + bytes(16) + b"data",
        b"",
    ):
        data = head + content
        mended = repaired(io.BytesIO(data), len(data))
        if mended is not None:
            assert len(mended[0].read()) <= len(data) + 100
