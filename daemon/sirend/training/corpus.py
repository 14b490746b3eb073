"""The labelled recordings: ``clips.csv`` and the audio it names. Training and evaluation read nothing else."""

from __future__ import annotations

import csv
import hashlib
import logging
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.recording import WavFile
from sirend.audio.stream import SAMPLE_RATE_HZ, Samples
from sirend.detect.tone import Tone
from sirend.errors import InputError
from sirend.evidence.street_set import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sirend.audio.stream import Pcm

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What a clip is to the detector."""

    EMERGENCY = "emergency"
    """A vehicle's siren: positive."""
    CIVIL_SIREN = "civil_siren"
    """Air-raid, tornado, tsunami: negative; it must not stop traffic."""
    OTHER = "other"
    IMPULSE_RESPONSE = "impulse_response"


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of ``clips.csv``."""

    path: str
    """Relative to the folder of ``clips.csv``."""
    set: str
    """The data set it came with; the unit that evaluation leaves out."""
    kind: Kind
    label: str
    group: str
    """The recording that it was cut from; never split between training and testing."""
    licence: str
    seconds: float
    tone: str = ""
    """Of an emergency siren: `wail`, `yelp`, `hilo` and so on, as events have it; empty where nobody said."""
    country: str = ""
    """Where it is from, as `sirend simulate --profile` names it; empty where nobody said."""


@dataclass(frozen=True)
class Corpus:
    """Clips and their decoded audio at 16 kHz, in the order of ``clips.csv``."""

    clips: tuple[Clip, ...]
    pcm: tuple[np.ndarray, ...]
    """int16[n] each: half the memory of float32, and the recordings hold no more."""

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def audio(self, index: int) -> Pcm:
        """Return the samples of one clip, float32[n] in [-1, 1]."""
        return self.pcm[index].astype(np.float32) / np.float32(32768.0)

    def digest(self, keep: Callable[[Clip], bool]) -> str:
        """Name the clips that ``keep`` accepts by all that is said of them and by what they sound like, hex."""
        whole = hashlib.sha256()
        for index in self.where(keep):
            whole.update(repr(self.clips[index]).encode())
            whole.update(np.ascontiguousarray(self.pcm[index]).data)
        return whole.hexdigest()

    def where(self, keep: Callable[[Clip], bool]) -> list[int]:
        """Return the indices of the clips that ``keep`` accepts."""
        return [index for index, clip in enumerate(self.clips) if keep(clip)]


KEPT_BACK = 0.1
"""Share of the recordings that is kept back, unless a recipe says otherwise."""
COLUMNS = ("path", "set", "class", "label", "group", "licence", "seconds")


def table_of(data: Path) -> Path:
    """Return the table of the recordings ``data``, which is one or a folder that holds one."""
    return data if data.is_file() else data / TABLE


def read_clips(table: Path) -> tuple[Clip, ...]:
    """Read ``clips.csv``.

    Raises ``InputError`` when the file or a column is missing or unreadable, or a row names an unknown class.
    """
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise InputError(f"{table}: no column {', '.join(missing)}; the header must name {', '.join(COLUMNS)}")
            # What `sirend record` kept and nobody has listened to yet is of the class `review`, and teaches nothing.
            rows = [(number, row) for number, row in enumerate(reader, start=2) if row["class"] != "review"]
            return tuple(_clip(table, number, row) for number, row in rows)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: is not a CSV file in UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"{table}: {error.strerror}; --data must name a folder that holds clips.csv") from error


def read_tones(table: Path, clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Return ``clips`` with the tones that ``table``, a CSV file of ``path,tone``, says of those of which nobody did.

    Raises ``InputError`` when it cannot be read, or names an unknown tone.
    """
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            said = {row["path"]: _tone(row["tone"] or "") for row in csv.DictReader(stream)}
    except OSError as error:
        raise InputError(f"{table}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise InputError(f"{table}: is not a CSV file of path,tone: {error}") from error
    return tuple(replace(clip, tone=clip.tone or said.get(clip.path, "")) for clip in clips)


def _clip(table: Path, line: int, row: dict[str, str]) -> Clip:
    try:
        return Clip(
            path=row["path"],
            set=row["set"],
            kind=Kind(row["class"]),
            label=row["label"],
            group=f"{row['set']}/{row['group'] or row['path']}",
            licence=row["licence"],
            seconds=float(row["seconds"]),
            tone=_tone(row.get("tone") or ""),
            country=row.get("country") or "",
        )
    except (ValueError, TypeError) as error:
        kinds = ", ".join(Kind)
        raise InputError(f"{table}, line {line}: {error}; class is one of {kinds}, seconds a number") from error


def _tone(text: str) -> str:
    """Return a tone of the optional column; raise ``ValueError`` when there is no such one."""
    if text and text not in tuple(Tone):
        raise ValueError(f"tone {text!r} is neither empty nor one of {', '.join(Tone)}")
    return text


def load_clips(clips: Iterable[Clip], folder: Path) -> Corpus:
    """Decode ``clips`` from ``folder``; one that cannot be read is left out and named in the log.

    Raises ``InputError`` when there is none, or none can be read.
    """
    wanted = list(clips)
    if not wanted:
        review = f"sirend record --review --out {folder}"
        raise InputError(f"{folder}: no clip is left to hear; those of the class review count once labelled: {review}")
    kept: list[Clip] = []
    pcm: list[np.ndarray] = []
    for clip in wanted:
        try:
            with WavFile(folder / clip.path, mono=True, at_least=Samples(0)) as source:
                samples = np.concatenate([block.pcm[:, 0] for block in source])
        except InputError as error:
            log.warning("left out: %s", error)
            continue
        kept.append(clip)
        pcm.append(np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16))
    if not kept:
        raise InputError(f"{folder}: none of the clips in clips.csv could be read")
    hours = sum(map(len, pcm)) / SAMPLE_RATE_HZ / 3600
    log.info("%d clips, %.2f hours", len(kept), hours)
    return Corpus(tuple(kept), tuple(pcm))


def kept_back(clip: Clip, share: float = KEPT_BACK) -> bool:
    """Whether a clip's whole recording is kept back from training; decided by its name, so always alike."""
    number = int.from_bytes(hashlib.sha256(clip.group.encode()).digest()[:4], "big")
    return number < share * 2**32
