"""The regression gate: a small part of ``sirend evaluate`` that a shipped model must not do worse in.

``python -m sirend.training.gate --model DIR [--data DIR]`` prints what a model reaches, in the form of ``floors.json``
beside it; whoever ships a model writes that file, and the tests hold the model to it from then on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ, to_samples, to_seconds
from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.evidence.street_set import TABLE
from sirend.simulate import sirens, synthesis
from sirend.simulate.background import synthetic_street
from sirend.simulate.levels import mix_at_snr
from sirend.simulate.scene import Scene, render_scene
from sirend.training import channel, confusers, lookalikes, stress
from sirend.training import corpus as corpora
from sirend.training.hearing import score_stream
from sirend.training.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sirend.audio.stream import Pcm
    from sirend.detect.bundle import Bundle
    from sirend.training.corpus import Clip, Corpus

FLOORS_FILE = "floors.json"
PASSES = (("us", "wail"), ("us", "yelp"), ("de", "hilo"), ("fr", "hilo"))
SNRS_DB = (0.0, 10.0)
CONFUSER_SAMPLES = 12 * 16_000
SIRENS, OTHERS = 24, 48
_LONGEST_S = 10.0
LOOKALIKES = ("beeper", "reversing", "white_beeper", "glide", "horn", "honking", "lorry_horn", "train_horn")
"""What real streets have that was called most."""
LOOKALIKE_SAMPLES, LOOKALIKE_ROUNDS = to_samples(15.0), 5
TONE_SNR_DB, TONE_LEAD, TONE_SAMPLES = 10.0, to_samples(4.0), to_samples(8.0)
"""A siren of the table, and the street before it."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What a model calls."""

    called: int
    """Drive-bys, or clips with a siren, that are called."""
    of: int
    false_calls: int
    """Calls for confusers and, among recordings, for other sounds."""
    seconds: float
    """Length of what must not be called."""


def synthetic(bundle: Bundle) -> Reached:
    """Return what becomes of drive-bys and of one confuser of each kind in a street; needs no recordings."""
    classifier = Classifier(bundle)
    called = 0
    for number, (profile, siren) in enumerate(PASSES):
        for snr_db in SNRS_DB:
            rendered = render_scene(Scene(siren=siren, profile=profile, start_m=120.0, snr_db=snr_db, seed=number))
            _, _, call_s = score_stream(bundle, classifier, [rendered.pcm])
            called += stress.outcome_of(call_s, len(rendered.pcm) / 16_000, rendered.truth).called
    false = 0
    for number, kind in enumerate(sorted(confusers.confuser_kinds())):
        rng = np.random.default_rng((3, number))
        street = np.asarray(0.02 * synthetic_street(CONFUSER_SAMPLES, rng), dtype=np.float32)
        mixed, _ = mix_at_snr(confusers.draw_confuser(rng, CONFUSER_SAMPLES, kind), street, 10.0)
        false += len(score_stream(bundle, classifier, [np.clip(mixed, -1.0, 1.0)])[2])
    seconds = len(confusers.confuser_kinds()) * CONFUSER_SAMPLES / 16_000
    return Reached(called, len(PASSES) * len(SNRS_DB), false, seconds)


def ten_minutes(bundle: Bundle) -> Reached:
    """Return what becomes of ten minutes of beepers, glides and horns in streets, -10 to 20 dB over them."""
    classifier, false = Classifier(bundle), 0
    for number, kind in enumerate(LOOKALIKES * LOOKALIKE_ROUNDS):
        rng = np.random.default_rng((4, number))
        sound, _ = lookalikes.draw_lookalike(rng, LOOKALIKE_SAMPLES, kind)
        pcm = _in_street(rng, sound, float(rng.uniform(-10.0, 20.0)))
        false += len(score_stream(bundle, classifier, [pcm])[2])
    seconds = len(LOOKALIKES) * LOOKALIKE_ROUNDS * to_seconds(LOOKALIKE_SAMPLES)
    return Reached(0, 0, false, seconds)


def tone_table(bundle: Bundle) -> Reached:
    """Return what becomes of every siren of the table of tones, 10 dB over a street."""
    classifier, called = Classifier(bundle), 0
    wanted = [(profile, siren) for profile, siren in sirens.TONES if siren != sirens.HORN]
    for number, (profile, siren) in enumerate(wanted):
        rng, tone = np.random.default_rng((5, number)), sirens.find_siren(profile, siren)
        sound = synthesis.synthesise_cut(tone, TONE_SAMPLES, SAMPLE_RATE_HZ, rng)
        _, _, call_s = score_stream(bundle, classifier, [_in_street(rng, sound, TONE_SNR_DB, TONE_LEAD)])
        called += bool((call_s > to_seconds(TONE_LEAD)).any())
    return Reached(called, len(wanted), 0, 0.0)


def _in_street(rng: np.random.Generator, sound: Pcm, snr_db: float, lead: int = 0) -> Pcm:
    """Return float32[lead + n], a made-up street with the sound float32[n] in it after ``lead`` samples."""
    street = np.asarray(0.02 * synthetic_street(lead + len(sound), rng), dtype=np.float32)
    street[lead:] = channel.add_while_sounding(np.asarray(sound, np.float32), street[lead:], snr_db)
    return np.clip(street, -1.0, 1.0)


def recorded(bundle: Bundle, data: Path) -> Reached:
    """Return what becomes of a few recordings of the folder ``data`` that training keeps back whole."""
    clips = [clip for clip in corpora.read_clips(data / TABLE) if corpora.kept_back(clip)]
    short = [clip for clip in clips if 2.0 <= clip.seconds <= _LONGEST_S]  # noqa: PLR2004  a window
    sirens = _spread([clip for clip in short if clip.kind is corpora.Kind.EMERGENCY], SIRENS)
    others = _spread([clip for clip in short if clip.kind is corpora.Kind.OTHER], OTHERS)
    recordings = corpora.load_clips((*sirens, *others), data)
    classifier = Classifier(bundle)
    wanted = recordings.where(lambda clip: clip.kind is corpora.Kind.EMERGENCY)
    strange = tuple(recordings.where(lambda clip: clip.kind is corpora.Kind.OTHER))
    called = sum(len(score_stream(bundle, classifier, _pieces(recordings, [index]))[2]) > 0 for index in wanted)
    false = len(score_stream(bundle, classifier, _pieces(recordings, strange))[2])
    return Reached(called, len(wanted), false, sum(len(recordings.pcm[index]) for index in strange) / 16_000)


def _pieces(recordings: Corpus, indices: Sequence[int]) -> Iterable[Pcm]:
    return Trial("other", tuple(indices)).pieces(recordings)


def _spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most ``most`` clips, evenly from the whole order of set, label and name: some of everything."""
    ordered = sorted(clips, key=lambda clip: (clip.set, clip.label, clip.path))
    count = min(most, len(ordered))
    return [ordered[index * len(ordered) // count] for index in range(count)]


def floors(path: Path) -> dict[str, Reached]:
    """Read ``floors.json`` of the bundle in ``path``: what it must reach, by the part of the gate."""
    read: dict[str, Any] = json.loads((path / FLOORS_FILE).read_text(encoding="utf-8"))
    return {part: Reached(**read[part]) for part in read}


def shortfalls(part: str, reached: Reached, floor: Reached) -> list[str]:
    """Return what is worse than the floor, in words; nothing if the model holds it."""
    found = []
    if (reached.of, reached.seconds) != (floor.of, floor.seconds):
        found.append(
            f"{part}: {reached.of} sirens and {reached.seconds:g} s without one were heard, but the floor is of "
            f"{floor.of} and {floor.seconds:g} s: measure it again with python -m sirend.training.gate"
        )
    if reached.called < floor.called:
        found.append(f"{part}: {reached.called} of {reached.of} sirens were called, the floor is {floor.called}")
    if reached.false_calls > floor.false_calls:
        found.append(f"{part}: {reached.false_calls} false calls, the floor is {floor.false_calls}")
    return found


MADE_UP: dict[str, Callable[[Bundle], Reached]] = {
    "synthetic": synthetic, "beepers, glides, horns": ten_minutes, "tone table": tone_table,
}  # fmt: skip
"""The parts of the gate that need no recordings."""


def main() -> None:
    """Print what a model reaches, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m sirend.training.gate", description=__doc__)
    parser.add_argument("--model", type=Path, metavar="DIR", help="model bundle (default: the newest that ships)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with clips.csv and the audio")
    args = parser.parse_args()
    bundle = bundles.load(bundles.find(args.model))
    reached = {part: make(bundle) for part, make in MADE_UP.items()}
    if args.data:
        reached["recorded"] = recorded(bundle, args.data)
    print(json.dumps({part: asdict(each) for part, each in reached.items()}, indent=2))  # noqa: T201  the command's result


if __name__ == "__main__":
    main()
