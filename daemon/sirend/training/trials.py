"""What a model is tried on: streams of other sounds, clips with sirens, sirens mixed into streets.

A trial is rendered from the recordings and a seed alone, so it is small to name and always the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples
from sirend.training.channel import add_while_sounding
from sirend.training.corpus import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.audio.stream import Pcm
    from sirend.training.corpus import Corpus

SNRS_DB = (-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0)
STREAM_S = 300.0
PIECE = 60 * SAMPLE_RATE_HZ
LEAD_S = 3.0
"""Street before the siren begins in a mixture."""
SIREN_S = 6.0
TAIL_S = 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to listen to."""

    kind: str
    """``other``: clips without a siren one after the other; ``siren``: one clip; ``mixture``: a siren into a street."""
    clips: tuple[int, ...]
    """Indices in the corpus; for a mixture the siren and the street."""
    snr_db: float = 0.0
    """Of a mixture: broadband RMS of the siren over the street's."""

    def pieces(self, corpus: Corpus) -> Iterator[Pcm]:
        """Yield the trial's sound in pieces of at most a minute, float32[n]: an hour stays in memory once, as int16."""
        if self.kind == "mixture":
            yield self._mixed(corpus)
            return
        for clip in self.clips:
            pcm = corpus.pcm[clip]
            for start in range(0, len(pcm), PIECE):
                yield pcm[start : start + PIECE].astype(np.float32) / np.float32(32768.0)

    def _mixed(self, corpus: Corpus) -> Pcm:
        siren, street = (corpus.audio(clip) for clip in self.clips)
        total = to_samples(LEAD_S + SIREN_S + TAIL_S)
        lead = to_samples(LEAD_S)
        background = looped(street, total)
        wanted = looped(siren, to_samples(SIREN_S))
        over = background.copy()
        over[lead : lead + len(wanted)] = add_while_sounding(wanted, background[lead : lead + len(wanted)], self.snr_db)
        return np.clip(over, -1.0, 1.0)


def looped(pcm: Pcm, samples: int) -> Pcm:
    """Repeat ``pcm`` to ``samples``, each repetition faded over 50 ms into the next."""
    fade = min(SAMPLE_RATE_HZ // 20, len(pcm) // 2)
    if len(pcm) >= samples or fade == 0:
        return np.resize(pcm, samples)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    out = pcm
    while len(out) < samples:
        joint = out[-fade:] * (1.0 - ramp) + pcm[:fade] * ramp
        out = np.concatenate((out[:-fade], joint, pcm[fade:]))
    return out[:samples]


def plan_trials(corpus: Corpus, sets: frozenset[str], *, mixtures: int, seed: int) -> list[Trial]:
    """Return the trials of ``sets``: every clip once, and ``mixtures`` a signal-to-noise ratio."""
    rng = np.random.default_rng(seed)
    chosen = corpus.where(lambda clip: clip.set in sets and clip.kind is not Kind.IMPULSE_RESPONSE)
    sirens = [index for index in chosen if corpus.clips[index].kind is Kind.EMERGENCY]
    others = [index for index in chosen if corpus.clips[index].kind is not Kind.EMERGENCY]
    trials = [Trial("siren", (index,)) for index in sirens]
    stream: list[int] = []
    for index in rng.permutation(others):
        stream.append(int(index))
        if sum(corpus.clips[each].seconds for each in stream) >= STREAM_S:
            trials.append(Trial("other", tuple(stream)))
            stream = []
    if stream:
        trials.append(Trial("other", tuple(stream)))
    groups: dict[str, list[int]] = {}
    for index in sirens:
        groups.setdefault(corpus.clips[index].group, []).append(index)
    streets = [index for index in others if corpus.clips[index].seconds >= 2.0 and _sounds(corpus.audio(index))]  # noqa: PLR2004
    if groups and streets:
        for number in range(mixtures):
            members = list(groups.values())[number % len(groups)]
            pair = (int(rng.choice(members)), int(rng.choice(streets)))
            trials += [Trial("mixture", pair, snr_db) for snr_db in SNRS_DB]
    return trials


def _sounds(pcm: Pcm) -> bool:
    """Whether at least four fifths of a clip are not silence: a street, not a click."""
    frames = pcm[: len(pcm) // 800 * 800].reshape(-1, 800)
    return bool(np.mean(np.sqrt(np.mean(frames**2, axis=1)) > 1e-3) > 0.8)  # noqa: PLR2004
