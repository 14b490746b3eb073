"""The networks of the tutorial that this project began with, as its code makes them, and what a random split hides.

``python -m sirend.training.tutorial --data DIR --work DIR models/tutorial/*.yaml`` trains each recipe with the
tutorial's random 80/20 split of overlapping chunks, then with one data set left out at a time, and prints the table.

In the tutorial's code every layer takes ``inputs``, so of several layers of a kind only the last counts: the CNN is one
Conv1D of 16 filters of 11, the LSTM one of 64 units, whatever the text says. The validation chunks that choose the best
epoch are those that are reported. Both are kept as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import signal

from sirend.config import yamlfile
from sirend.errors import ConfigError
from sirend.evidence.street_set import TABLE
from sirend.training import corpus as corpora
from sirend.training import measures
from sirend.training.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.training.corpus import Clip, Corpus

RATE_HZ = 16_000
CHUNK = 2 * RATE_HZ
"""Samples of a chunk; the next one begins a second later."""
SETS = ("kaggle_sirens", "us8k", "esc50")
US8K_SHARE = 1 / 3
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Plan:
    """A recipe of the tutorial."""

    name: str
    network: Literal["cnn", "lstm"]
    input: Literal["waveform", "spectrogram"]
    epochs: int = 10
    batch: int = 32
    seed: int = 12
    """The tutorial's own, for its split."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """Overlapping chunks of clips."""

    pcm: np.ndarray
    """int16[chunks, 32000]."""
    siren: np.ndarray
    """bool[chunks]."""
    set: np.ndarray
    """str[chunks]."""


def load_plan(path: Path) -> Plan:
    """Read a recipe; raise ``ConfigError`` when it is none of the tutorial."""
    said = yamlfile.read(path)
    try:
        plan = Plan(**said if isinstance(said, dict) else {})
    except TypeError as error:
        raise ConfigError(str(path), [f"this is no recipe of the tutorial: {error}"]) from error
    if plan.network not in ("cnn", "lstm") or plan.input not in ("waveform", "spectrogram"):
        raise ConfigError(str(path), ["network is cnn or lstm, input is waveform or spectrogram"])
    return plan


def is_used(clip: Clip) -> bool:
    """Whether a clip is used: of us8k a third of its recordings, told by their names."""
    if clip.set not in SETS or clip.kind is corpora.Kind.IMPULSE_RESPONSE:
        return False
    number = int.from_bytes(hashlib.sha256(f"tutorial {clip.group}".encode()).digest()[:4], "big")
    return clip.set != "us8k" or number < US8K_SHARE * 2**32


def chunks(recordings: Corpus) -> Chunks:
    """Return all chunks of two seconds, a second apart; shorter rests are dropped, as in the tutorial."""
    pcm, siren, names = [], [], []
    for clip, sound in zip(recordings.clips, recordings.pcm, strict=True):
        for start in range(0, len(sound) - CHUNK + 1, RATE_HZ):
            pcm.append(sound[start : start + CHUNK])
            siren.append(clip.kind is corpora.Kind.EMERGENCY)
            names.append(clip.set)
    return Chunks(np.stack(pcm), np.array(siren), np.array(names))


def features(plan: Plan, pcm: np.ndarray) -> np.ndarray:
    """Return what a network takes for int16[n, 32000]: float32[n, steps, channels]."""
    sound = pcm.astype(np.float32) / np.float32(32768.0)
    if plan.input == "waveform":
        return sound.reshape(len(sound), -1, 1 if plan.network == "cnn" else 160)
    out = np.empty((len(sound), 199, 161), dtype=np.float32)
    for number, each in enumerate(sound):
        power = signal.spectrogram(each, fs=RATE_HZ, nperseg=320, noverlap=160)[2]
        logged = np.log(power.T.astype(np.float32) + np.float32(1e-10))
        # The tutorial divides by the deviation as it is, and gets NaN where a clip is digital silence.
        out[number] = (logged - logged.mean(axis=0)) / np.maximum(logged.std(axis=0), 1e-6)
    return out


def tutorial_network(plan: Plan, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  Keras has no types
    """Return the compiled network as the tutorial's code makes it, for features of ``shape`` (steps, channels)."""
    import keras  # noqa: PLC0415  only where a network is trained

    layers = keras.layers
    inputs = keras.Input(shape=shape)
    if plan.network == "cnn":
        hidden = layers.Conv1D(16, 11, padding="same", activation="relu")(inputs)
        hidden = layers.MaxPooling1D(2)(layers.Dropout(0.3)(hidden))
        hidden = layers.Dense(16, activation="relu")(layers.GlobalMaxPool1D()(hidden))
    else:
        hidden = layers.Dropout(0.3)(layers.LSTM(64)(inputs))
        hidden = layers.Dense(64, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["acc"])
    return model


def split(known: np.ndarray, siren: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part the chunks ``known``, int[n], at random, a fifth of each class for validation: what overlaps is in both."""
    rng = np.random.default_rng(seed)
    fit, check = [], []
    for wanted in (False, True):
        members = rng.permutation(known[siren[known] == wanted])
        cut = round(TEST_SHARE * len(members))
        check.append(members[:cut])
        fit.append(members[cut:])
    return rng.permutation(np.concatenate(fit)), np.concatenate(check)


def train_fold(plan: Plan, data: Chunks, left_out: str) -> dict[str, Any]:
    """Train on all sets but ``left_out`` (empty for none); return the figures there and on the set left out."""
    import keras  # noqa: PLC0415

    keras.utils.set_random_seed(plan.seed)
    fit, check = split(np.flatnonzero(data.set != left_out), data.siren, plan.seed)
    model = tutorial_network(plan, features(plan, data.pcm[:1]).shape[1:])
    best, kept = np.inf, model.get_weights()
    for _ in range(plan.epochs):
        for batch in _batches(fit, plan.batch):
            model.train_on_batch(features(plan, data.pcm[batch]), data.siren[batch].astype(np.float32))
        score = _predict(plan, model, data.pcm[check])
        clipped = np.clip(score, 1e-7, 1.0 - 1e-7)
        loss = -float(np.mean(np.log(np.where(data.siren[check], clipped, 1.0 - clipped))))
        if loss < best:
            best, kept = loss, model.get_weights()
    model.set_weights(kept)
    out = {"own": figures(_predict(plan, model, data.pcm[check]), data.siren[check])}
    if left_out:
        unseen = data.set == left_out
        out["unseen"] = figures(_predict(plan, model, data.pcm[unseen]), data.siren[unseen])
    return out


def figures(score: np.ndarray, siren: np.ndarray) -> dict[str, Any]:
    """Return the figures of scores 0..1 at the tutorial's threshold, 0.5; false ones an hour, a chunk a second."""
    decided = score >= 0.5  # noqa: PLR2004
    return {
        "accuracy": round(float(np.mean(decided == siren)), 4),
        "auc": round(measures.area_under_roc(score, siren), 4),
        "f1": round(measures.f1(decided, siren), 4),
        "false_windows_per_hour": round(3600.0 * float(np.mean(decided[~siren])), 1) if (~siren).any() else None,
    }


def _batches(chunk: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return iter([chunk[start : start + size] for start in range(0, len(chunk), size)])


def _predict(plan: Plan, model: Any, pcm: np.ndarray) -> np.ndarray:  # noqa: ANN401
    parts = [model.predict_on_batch(features(plan, each))[:, 0] for each in _batches(pcm, 64)]
    return np.concatenate(parts).astype(np.float64)


def yamnet(peer: Peer, data: Chunks, left_out: str) -> dict[str, Any]:
    """Return YAMNet's figures over the same chunks, the largest of its frames' scores each."""
    used = data.set == left_out if left_out else np.ones(len(data.set), dtype=bool)
    sound = (each.astype(np.float32) / np.float32(32768.0) for each in data.pcm[used])
    score = np.array([peer.scores([each])[1].max() for each in sound])
    return {"unseen" if left_out else "own": figures(score, data.siren[used])}


def results_table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return results, by network and left-out set, as Markdown."""
    lines = [
        (
            "| network | left out | own accuracy | own AUC | own F1 "
            "| unseen AUC | unseen F1 | unseen false windows an hour |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, by_set in results.items():
        for left_out, result in by_set.items():
            own, unseen = result.get("own", {}), result.get("unseen", {})
            cells = [own.get(key) for key in ("accuracy", "auc", "f1")]
            cells += [unseen.get(key) for key in ("auc", "f1", "false_windows_per_hour")]
            said = " | ".join("" if cell is None else str(cell) for cell in cells)
            lines.append(f"| {name} | {left_out or 'none (random split)'} | {said} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is not yet trained, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m sirend.training.tutorial", description=__doc__)
    parser.add_argument("recipes", nargs="+", type=Path, metavar="RECIPE", help="models/tutorial/*.yaml")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with clips.csv and the audio")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where finished results are kept")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="yamnet.tflite, on the same chunks")
    args = parser.parse_args()
    clips = [clip for clip in corpora.read_clips(args.data / TABLE) if is_used(clip)]
    data = chunks(corpora.load_clips(clips, args.data))
    present = ["", *(name for name in SETS if (data.set == name).any())]
    args.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for plan in [load_plan(path) for path in args.recipes]:
        results[plan.name] = {}
        for left_out in present if len(present) > 2 else [""]:  # noqa: PLR2004  one set alone cannot be left out
            identity = hashlib.sha256(json.dumps([asdict(plan), [clip.path for clip in clips]]).encode()).hexdigest()[
                :12
            ]
            kept = args.work / f"{plan.name}-{left_out or 'random'}-{identity}.json"
            if not kept.exists():
                kept.write_text(json.dumps(train_fold(plan, data, left_out)))
            results[plan.name][left_out] = json.loads(kept.read_text())
    if args.peer:
        peer = Peer(args.peer)
        results["YAMNet"] = {left_out: yamnet(peer, data, left_out) for left_out in results[plan.name]}
    print(results_table(results))  # noqa: T201  the command's result


if __name__ == "__main__":
    main()
