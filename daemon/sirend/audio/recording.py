"""Recorded files as a source of samples: an iterable of blocks at 16 kHz, as a microphone is one."""

from __future__ import annotations

import itertools
import logging
import os
import re
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

import numpy as np
import soundfile

from sirend.audio import ogg
from sirend.audio.mix import Mix, mix_of
from sirend.audio.resample import HIGHEST_HZ, LOWEST_HZ, Resampler
from sirend.audio.riff import UNKNOWN_BYTES, repaired
from sirend.audio.stream import Block, Samples, to_samples
from sirend.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sirend.audio.stream import Pcm

READ_FRAMES = 4_096
"""Frames decoded at a time. Fixed, so that what can be read of a damaged file does not depend on the block size."""
UNKNOWN_FRAMES = 1 << 62
"""libsndfile gives as many or more for a file whose header says no length."""
LEFT_BYTES = 65_536
"""Fewer bytes behind the sound are a tag."""
OVERSHOOT = 2.0
"""Times full scale up to which samples are clipped without a word: lossy codecs overshoot by some tenths."""

WINDOW = to_samples(2.0)
"""What the models of the day look at."""


class Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end.

    The package seeks after each piece where a file can be sought in, which fails at the end of one whose length is
    unknown, and the last piece is lost.
    """

    def seekable(self) -> bool:
        """Return that nobody seeks."""
        return False


class WavFile:
    """A recording in any format, rate and channel count that libsndfile reads. Used in a ``with`` statement.

    Decoded, checked and resampled piece by piece: memory does not grow with length.
    """

    def __init__(self, path: Path, *, mono: bool = False, block_s: float = 1.0, at_least: Samples = WINDOW) -> None:
        """Open ``path`` and check its header; raise ``InputError`` when it cannot be played.

        ``mono`` makes one of all channels: their mean, but without dead ones, and with those of opposite polarity
        turned round. A file shorter than ``at_least`` gets leading silence up to that length. Blocks are ``block_s``
        long, which changes no sample.
        """
        self._path = path
        self._block = max(1, to_samples(block_s))
        self._at_least = at_least
        with ExitStack() as opened:
            self._sound, self._descriptor, self._repair = _open(path, opened)
            self._closing = opened.pop_all()
        self._mono = mono
        self._frames: int | None = None

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._closing.close()

    @property
    def channels(self) -> int:
        """Columns of every block: 1 for ``mono``, else those of the file."""
        return 1 if self._mono else int(self._sound.channels)

    @property
    def duration_s(self) -> float:
        """Length that the header gives, without any leading silence; where it gives none, what can be decoded."""
        if self._frames is None:
            self._frames = self._sound.frames
            if self._frames >= UNKNOWN_FRAMES:
                self._frames = sum(map(len, self._again()))
        return float(self._frames / self._sound.samplerate)

    def __iter__(self) -> Iterator[Block]:
        """Yield the file as blocks.

        Raises ``InputError`` at the first sample that is not a finite number, after everything before it was yielded. A
        file that is cut short or damaged is played as far as it goes, with a warning in the log.
        """
        start = 0
        need = max(self._block, self._at_least)
        held: Pcm = np.zeros((0, self.channels), dtype=np.float32)
        try:
            for piece in self._pieces():
                held = np.concatenate((held, piece))
                while len(held) >= need:
                    yield Block(Samples(start), held[:need])
                    start, held, need = start + need, held[need:], self._block
        except InputError:
            yield Block(Samples(start), held)
            raise
        if not start:
            silence = np.zeros((max(0, self._at_least - len(held)), self.channels), dtype=np.float32)
            held = np.concatenate((silence, held))
        yield Block(Samples(start), held)

    def _pieces(self) -> Iterator[Pcm]:
        """Yield float32[n, channels] in [-1, 1] at 16 kHz, as the file is decoded."""
        rate_hz = self._sound.samplerate
        resampler = Resampler(rate_hz, self.channels)
        mix = self._mix() if self._mono and self._sound.channels > 1 else Mix(None)
        loudest = 1.0
        done = 0
        for pcm in self._decoded():
            finite = np.isfinite(pcm).all(axis=1)
            good = pcm if finite.all() else pcm[: int(np.argmin(finite))]
            done += len(good)
            loudest = max(loudest, float(np.abs(good).max(initial=0.0)))
            mixed = mix.of(good) if self._mono else good
            yield np.clip(resampler.push(mixed), -1.0, 1.0)
            if len(good) < len(pcm):
                at_s = done / rate_hz
                raise InputError(f"{self._path}: sample values are not finite at {at_s:.3f} s; repair or cut the file")
        yield np.clip(resampler.finish(), -1.0, 1.0)
        if loudest > OVERSHOOT:
            self._warn(f"samples reach {loudest:.3g} times full scale and were clipped; is its scale right?")

    def _decoded(self) -> Iterator[Pcm]:
        """Yield float32[n, channels of the file] at the file's rate, to the end of what can be decoded."""
        if self._repair is not None:
            self._warn(self._repair)
        elif shortfall := _shortfall(self._sound, self._descriptor):
            self._warn(f"it is cut short: {shortfall}; what is there is played")
        done = 0
        try:
            while len(pcm := self._sound.read(READ_FRAMES, dtype="float32", always_2d=True)):
                done += len(pcm)
                yield pcm
        except soundfile.LibsndfileError as error:
            self._end_early(done, error.error_string)
        else:
            if done < self._sound.frames < UNKNOWN_FRAMES:
                self._end_early(done, "the data ends there")
            elif (left := self._left()) > LEFT_BYTES:
                self._warn(f"{left} bytes lie behind the sound that its header promises; they are not played")

    def _left(self) -> int:
        """Return how many bytes lie behind what was decoded. Of a WAV file it is known what they are."""
        if self._sound.format in ("WAV", "WAVEX", "RF64"):
            return 0
        return os.fstat(self._descriptor).st_size - os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def _again(self) -> Iterator[Pcm]:
        """Yield what can be decoded, float32[n, channels of the file], from the file opened once more."""
        with ExitStack() as opened:
            sound, _, _ = _open(self._path, opened)
            with suppress(soundfile.LibsndfileError):
                while len(pcm := sound.read(READ_FRAMES, dtype="float32", always_2d=True)):
                    yield pcm

    def _mix(self) -> Mix:
        """Return how the channels become one; each reason to do other than to average them is worth a word."""
        mix = mix_of(itertools.takewhile(lambda pcm: np.isfinite(pcm).all(), self._again()))
        for warning in mix.warnings:
            self._warn(warning)
        return mix

    def _end_early(self, done: int, why: str) -> None:
        """Warn that only ``done`` frames could be decoded, or raise when that is none."""
        if not done:
            raise InputError(f"{self._path}: cannot be decoded: {why}")
        rate_hz = self._sound.samplerate
        self._warn(f"only {done / rate_hz:.3f} of {self.duration_s:.3f} s can be decoded ({why}); they are played")

    def _warn(self, what: str) -> None:
        logging.getLogger(__name__).warning("%s: %s", self._path, what)


def _open(path: Path, closing: ExitStack) -> tuple[Forward, int, str | None]:
    """Return ``path`` opened, its header checked, with its descriptor, and what had to be mended of it, if anything.

    ``closing`` gets what is to be closed.
    """
    try:
        # libsndfile reads it by its number; a pipe that nobody writes to must not be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = closing.enter_context(os.fdopen(descriptor, "rb", buffering=0))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"{path}: is not a regular file")
    if state.st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    try:
        mended = repaired(file, state.st_size)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        sound = closing.enter_context(
            Forward(file.fileno(), closefd=False) if mended is None else Forward(closing.enter_context(mended[0]))
        )
    except soundfile.LibsndfileError as error:
        why = error.error_string.rstrip(".")
        if "SF_INFO" in why:
            why = "its header gives an impossible sample rate, channel count or size"
        raise InputError(f"{path}: is not a playable recording: {why}") from error
    if not LOWEST_HZ <= sound.samplerate <= HIGHEST_HZ:
        bounds = f"recordings have {LOWEST_HZ} to {HIGHEST_HZ} Hz"
        raise InputError(f"{path}: its header gives a sample rate of {sound.samplerate} Hz; {bounds}")
    if not sound.frames:
        behind = f", though it has {state.st_size} bytes" if state.st_size > LEFT_BYTES else ""
        raise InputError(f"{path}: holds no audio (0 frames{behind})")
    return sound, file.fileno(), None if mended is None else mended[1]


def _shortfall(sound: soundfile.SoundFile, descriptor: int) -> str:
    """Return what is missing of the file that ``sound`` reads from ``descriptor``; empty if nothing is.

    libsndfile silently corrects the length that a header promises, and says so only in its log of parsing it: ``data :
    576000 (should be 287978)``.
    """
    parser_log = sound.extra_info
    for promised, there in re.findall(
        r"(?m)^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", parser_log
    ):
        if int(there) < int(promised) < UNKNOWN_BYTES:
            return f"its header promises {promised} bytes and {there} are there"
    for there, promised in re.findall(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)", parser_log):
        if int(there) < int(promised) < UNKNOWN_FRAMES:
            return f"its header promises {promised} frames and {there} are there"
    if "lacks an end-of-stream bit" in parser_log:
        return "its last page is missing"
    return "its last page is not whole" if sound.format == "OGG" and ogg.is_cut(descriptor) else ""
