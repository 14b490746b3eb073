"""WAV files whose header is wrong: what a recorder that was killed leaves behind.

A recorder writes the length of the sound when it ends. One that does not end well leaves 0 there, or what it wrote the
last time that it looked; and some leave out the byte that fills a chunk of odd length. libsndfile plays what the header
says, which may be nothing; here the sound behind the header is found, and given a header anew.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

UNKNOWN_BYTES = 0x7FFF0000
"""Programs that write to a pipe promise this many bytes or more because they cannot know; nothing is missing then."""
ALL_BYTES = 0xFFFFFFFF
"""What a header promises so that libsndfile plays up to the end of the file."""
SHORTEST_FORM = 16
LONGEST_FORM = 64
"""Bytes that say what the samples are."""
LEAST_LEFT_S = 0.01
"""Less than this behind what the header promises is no sound worth a word."""
TAGS = (b"TAG", b"APETAGEX", b"ID3")
"""What programs for music append without a chunk around it."""
LONG = (b"RF64", b"BW64")
LONGEST_BYTES = 1 << 48
"""More than that no disk holds."""
KINDS = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}


class File(Protocol):
    """What is read."""

    def seek(self, offset: int, /) -> int:
        """Go to a place."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the file."""

    name: bytes
    start: int
    """Where its content begins."""
    size: int
    """Bytes of content that it promises."""

    @property
    def is_known(self) -> bool:
        """Whether it can be a chunk at all: four printable characters."""
        return all(0x20 <= byte < 0x7F for byte in self.name)  # noqa: PLR2004  the printable part of ASCII


class Reheaded(io.RawIOBase):
    """``file`` from ``start`` on behind another header."""

    def __init__(self, header: bytes, file: File, start: int, end: int) -> None:
        """Show ``header`` and then ``file[start:end]``."""
        super().__init__()
        self._header, self._file, self._start = header, file, start
        self._end = len(header) + end - start
        self._at = 0

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read up to the border of header and file, or as much as is wanted."""
        view = memoryview(buffer).cast("B")
        if self._at < len(self._header):
            piece = self._header[self._at : self._at + len(view)]
        else:
            self._file.seek(self._start + self._at - len(self._header))
            piece = self._file.read(max(0, min(len(view), self._end - self._at)))
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def repaired(file: File, size: int) -> tuple[io.BufferedReader, str | None] | None:
    """Return the WAV ``file`` of ``size`` bytes with a header that fits, and what is worth a word of it, if anything.

    None where its own does.
    """
    file.seek(0)
    head = file.read(12)
    order = KINDS.get(head[:4])
    if order is None or head[8:12] != b"WAVE":
        return None
    sound = _sound(file, size, order)
    if sound is None:
        return None
    form, promised, start, is_odd, is_clear = sound
    there = size - start
    bytes_a_s = struct.unpack(order + "I", form[8:12])[0]
    what = None
    if (behind := _next_file(file, start + promised, size, order)) is not None:  # on which libsndfile gives up
        what, there = f"another recording begins behind its sound; {size - behind} bytes are not played", promised
    elif there - promised > LEAST_LEFT_S * bytes_a_s and not _is_described(file, start + promised, size, order):
        what = f"its header promises {promised} bytes of sound and {there} are there; they are played"
    elif is_odd:
        what, there = "a chunk of odd length lacks its last byte; the sound behind it is played", min(there, promised)
    elif not is_clear:
        what = f"its header gives no length of the sound, or two; {min(there, promised)} bytes are played"
    if what is None:
        if head[:4] != b"BW64":  # which libsndfile does not know by this name
            return None
        there = min(there, promised)
    fmt = b"fmt " + struct.pack(order + "I", len(form)) + form + b"\0" * (len(form) % 2)
    data = b"data" + struct.pack(order + "I", ALL_BYTES)
    header = (b"RIFX" if order == ">" else b"RIFF") + struct.pack(order + "I", ALL_BYTES) + b"WAVE" + fmt + data
    return io.BufferedReader(Reheaded(header, file, start, start + there)), what


def _sound(file: File, size: int, order: str) -> tuple[bytes, int, int, bool, bool] | None:
    """Return the format, the bytes of sound promised, their start, and whether a bare odd chunk came, and all is clear.

    A chunk of odd length is bare where its filling byte is missing. All is clear where libsndfile finds the same
    length: of a long file it reads ``ds64`` alone, and fails where that is absurd. None where there is no sound, or
    nobody knows what it is.
    """
    form, promised_64, is_long = b"", None, _head(file) in LONG
    for chunk, is_odd in _chunks(file, 12, size, order):
        file.seek(chunk.start)
        if chunk.name == b"fmt ":
            form = file.read(min(chunk.size, LONGEST_FORM))
        elif chunk.name == b"ds64":
            promised_64 = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        elif chunk.name == b"data":
            if len(form) < SHORTEST_FORM:
                return None
            promised = chunk.size if chunk.size != ALL_BYTES or promised_64 is None else promised_64
            is_clear = not is_long or (promised == promised_64 and promised <= LONGEST_BYTES)
            return form, promised, chunk.start, is_odd, is_clear
    return None


def _head(file: File) -> bytes:
    file.seek(0)
    return file.read(4)


def _chunks(file: File, start: int, size: int, order: str) -> Iterator[tuple[Chunk, bool]]:
    """Yield the chunks from ``start`` on, and whether one of odd length came before that lacks its byte."""
    is_odd = False
    while (chunk := _chunk(file, start, order)) is not None and chunk.is_known:
        yield chunk, is_odd
        start = chunk.start + chunk.size
        if chunk.size % 2:
            padded, bare = _chunk(file, start + 1, order), _chunk(file, start, order)
            if bare is not None and bare.is_known and (padded is None or not padded.is_known):
                is_odd = True
            else:
                start += 1
        if start >= size:
            return


def _chunk(file: File, start: int, order: str) -> Chunk | None:
    file.seek(start)
    head = file.read(8)
    return Chunk(head[:4], start + 8, struct.unpack(order + "I", head[4:])[0]) if len(head) == 8 else None  # noqa: PLR2004  whole


def _next_file(file: File, start: int, size: int, order: str) -> int | None:
    """Return where another WAV file begins among the chunks from ``start`` on; None where none does."""
    for begin in (start + start % 2, start) if start < size else ():
        for chunk, _ in _chunks(file, begin, size, order):
            if chunk.name in KINDS:
                return chunk.start - 8
    return None


def _is_described(file: File, start: int, size: int, order: str) -> bool:
    """Return whether what lies from ``start`` on is no sound: chunks up to the end, a tag, or padding."""
    for begin in (start + start % 2, start):
        file.seek(begin)
        if file.read(8).startswith(TAGS):
            return True
        end = begin
        for chunk, _ in _chunks(file, begin, size, order):
            end = chunk.start + chunk.size
        if end > begin and end >= size - 1:
            return True
    file.seek(start)
    return size - start <= 65_536 and not any(file.read(size - start))  # noqa: PLR2004  a block of any disk
