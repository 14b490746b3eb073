"""Speed and memory of sirend and of YAMNet on the same audio, in one run on one core: ``make bench``.

Rounds alternate between the two and medians are printed, for machines are noisy. YAMNet is the file that SIREND_PEER
names, or ../shared/peers/yamnet.tflite beside the checkout; without it sirend is measured alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from tests.bench import figures, legs

from sirend.audio.capture import CALLBACK_S
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Pcm, Samples
from sirend.audio.windows import Windows
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.config.settings import Approach, AudioConfig, Config, DetectConfig
from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor, Spectrogram
from sirend.pipeline import Scorer, Stages, detect
from sirend.simulate import array_scene
from sirend.simulate.scene import Scene, render_scene

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
ROUNDS = 5
CHANNELS = 4
BUSY_DB, QUIET_DB = 10.0, -60.0
"""One siren after the other, which has no street, and a street without one."""
BARE = {0.0: "street", 1.0: "siren"}
"""What a network is taken to hear where all but the network is measured."""


def street(minutes: float, snr_db: float) -> Pcm:
    """Return drive-bys one after the other, float32[n], with so much siren in them; the same in every run."""
    parts: list[Pcm] = []
    samples = round(minutes * 60 * SAMPLE_RATE_HZ)
    while sum(map(len, parts)) < samples:
        parts.append(render_scene(Scene(siren="hilo", profile="de", start_m=300.0, snr_db=snr_db, seed=len(parts))).pcm)
    return np.concatenate(parts)[:samples]


class Constant:
    """A network that costs nothing and hears the same in every window: a siren gives the rest the most to do."""

    def __init__(self, score: float, approaches: int) -> None:
        self._scores = np.full(approaches, score, dtype=np.float32)

    def score(self, _spectrogram: Spectrogram) -> npt.NDArray[np.float32]:
        """Return the scores of all approaches."""
        return self._scores


def blocks(pcm: Pcm, channels: int) -> list[Block]:
    """Cut float32[n] into blocks of 20 ms, as a microphone of so many channels delivers them.

    Every channel hears another part of the street.
    """
    size = round(CALLBACK_S * SAMPLE_RATE_HZ)
    wide = np.stack([np.roll(pcm, i * len(pcm) // channels) for i in range(channels)], axis=1)
    return [Block(Samples(start), wide[start : start + size]) for start in range(0, len(pcm), size)]


def pipeline_s(pcm: Pcm, bundle: bundles.Bundle, channels: int = 1, network: Scorer | None = None) -> float:
    """Return the processor time of the whole pipeline over ``pcm``, heard on so many channels.

    ``network`` takes the place of the bundle's.
    """
    config = Config(
        audio=AudioConfig(channels=channels), approaches=tuple(Approach(f"leg-{i}", i) for i in range(channels))
    )
    classifier = network or Classifier(bundle, channels)
    heard = blocks(pcm, channels)
    clock = ReplayClock(datetime(1970, 1, 1, tzinfo=UTC))
    scribe = Scribe(site="bench", boot_id="replay", mode="replay", model=bundle.name, clock=clock, valid_for_s=5.0)
    stages = Stages.of(config, bundle, classifier, scribe, channels=range(channels))
    began = time.process_time()
    for _ in detect(heard, stages):
        pass
    return time.process_time() - began


def stages_ms(pcm: Pcm, bundle: bundles.Bundle) -> tuple[float, float]:
    """Return milliseconds a window of features and of inference."""
    sliding, extractor = Windows(window=32_000, hop=4_000, channels=[0]), Extractor(bundle.feature_spec)
    classifier = Classifier(bundle)
    windows = [window for block in blocks(pcm, 1) for window in sliding.push(block)]
    began = time.process_time()
    heard = [extractor.spectrogram(window) for window in windows]
    between = time.process_time()
    for each in heard:
        classifier.score(each)
    ended = time.process_time()
    return 1e3 * (between - began) / len(windows), 1e3 * (ended - between) / len(windows)


def array_ms(bundle: bundles.Bundle) -> tuple[float, float, float]:
    """Return the CPU that bearing, beams, features and network of an array take for a second of siren, ms.

    The last two are one figure.
    """
    scene = Scene(siren="hilo", profile="de", start_m=150.0, snr_db=20.0)
    rendered = array_scene.render_at_array(scene, legs.ARRAY, bearing_deg=60.0)
    costs = [legs.called(legs.ONE, bundle, rendered.pcm, rendered.truth["closest_s"])[1] for _ in range(ROUNDS)]
    return (
        statistics.median(cost.bearing_ms for cost in costs),
        statistics.median(cost.beams_ms for cost in costs),
        statistics.median(cost.network_ms for cost in costs),
    )


def peer_s(pcm: Pcm, path: Path) -> float:
    """Return the processor time of YAMNet over ``pcm``, sliding by 0.48 s."""
    from sirend.training.peer import Peer  # noqa: PLC0415  only where there is a peer

    peer = Peer(path)
    began = time.process_time()
    peer.scores([pcm])
    return time.process_time() - began


def peak_mb(*command: str) -> float:
    """Return the peak resident memory of a command, MB; from a small process, since a fork inherits its parent's."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code, *command], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def peaks_mb(pcm: Pcm, models: list[bundles.Bundle], peer: Path) -> dict[str, float]:
    """Return the peak memory of a replay of ``pcm`` with each model, and of YAMNet where it is, MB."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        import soundfile  # noqa: PLC0415  only here

        wav = Path(folder) / "street.wav"
        soundfile.write(wav, pcm, SAMPLE_RATE_HZ, subtype="PCM_16")
        for model in models:
            replay = (sys.executable, "-m", "sirend", "replay", "--model", str(model.path), str(wav))
            peaks[f"replay with {model.name}"] = peak_mb(*replay)
        if peer.is_file():
            code = (
                "import sys, pathlib, soundfile; from sirend.training.peer import Peer; "
                "Peer(pathlib.Path(sys.argv[1])).scores([soundfile.read(sys.argv[2], dtype='float32')[0]])"
            )
            peaks["YAMNet"] = peak_mb(sys.executable, "-c", code, str(peer), str(wav))
    return peaks


@dataclass(frozen=True)
class Costs:
    """Processor time of a model's pipeline for a second of audio, s, one of each round."""

    model: bundles.Bundle
    spared: bundles.Bundle | None
    """The same where a site is sparing; None where it cannot be."""
    siren: list[float] = field(default_factory=list)
    wide: list[float] = field(default_factory=list)
    """The same on ``CHANNELS`` channels."""
    quiet: list[float] = field(default_factory=list)
    sparing: list[float] = field(default_factory=list)
    """The quiet street where a site is sparing."""

    @classmethod
    def of(cls, model: bundles.Bundle) -> Self:
        """Return those of no round yet."""
        sparing = DetectConfig(sparing=True)
        can_spare = model.streaming.wake is not None
        return cls(model, bundles.load_configured(sparing, model.path) if can_spare else None)

    def measure(self, pcm: Pcm, quiet: Pcm) -> None:
        """Add a round."""
        seconds = len(pcm) / SAMPLE_RATE_HZ
        self.siren.append(pipeline_s(pcm, self.model) / seconds)
        self.wide.append(pipeline_s(pcm, self.model, CHANNELS) / seconds)
        self.quiet.append(pipeline_s(quiet, self.model) / seconds)
        if self.spared is not None:
            self.sparing.append(pipeline_s(quiet, self.spared) / seconds)

    def figures(self, window_ms: tuple[float, float], peer_ms: float | None) -> dict[str, float | None]:
        """Return the medians, given the milliseconds a window of features and inference, and what the peer takes."""
        cost = statistics.median(self.siren)
        out: dict[str, float | None] = {
            "times_real_time": round(1 / cost),
            "features_ms": round(window_ms[0], 2),
            "inference_ms": round(window_ms[1], 2),
            "four_channels": round(statistics.median(self.wide) / cost, 2),
        }
        for prefix, costs in (("", self.siren), ("quiet_", self.quiet), ("sparing_", self.sparing)):
            if costs:
                ms = 1e3 * statistics.median(costs)
                out[f"{prefix}cpu_ms"] = round(ms, 2)
                out[f"{prefix}of_peer"] = None if peer_ms is None else round(ms / peer_ms, 2)
        return out


def print_speed(name: str, speed: Mapping[str, float | None]) -> None:
    """Print what ``Costs.figures`` found of a model."""
    print(f"{name}\n  throughput               {speed['times_real_time']:8.0f} times real time")
    heard = {"": "one siren after the other", "quiet_": "a street without a siren", "sparing_": "the same, sparing"}
    for prefix, what in heard.items():
        if f"{prefix}cpu_ms" in speed:
            of_peer = speed[f"{prefix}of_peer"]
            beside = "" if of_peer is None else f", {of_peer:.2f} of YAMNet's"
            print(f"  CPU per second of audio  {speed[f'{prefix}cpu_ms']:8.2f} ms, {what}{beside}")
    print(
        f"  a window                 {speed['features_ms']:8.2f} ms features, {speed['inference_ms']:.2f} ms inference"
    )
    print(f"  {CHANNELS} channels against one  {speed['four_channels']:8.2f} times the CPU")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="audio in a round")
    parser.add_argument("--model", type=Path, action="append", help="bundle to measure (default: all that ship)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    peer = Path(os.environ.get("SIREND_PEER", ROOT.parent / "shared" / "peers" / "yamnet.tflite"))
    pcm, quiet = street(args.minutes, BUSY_DB), street(args.minutes, QUIET_DB)
    seconds = len(pcm) / SAMPLE_RATE_HZ
    models = [bundles.load(path) for path in args.model or sorted((ROOT / "models").glob("siren-*"))]
    print(f"{seconds:.0f} s of audio, one core, median of {ROUNDS} rounds, hop 0.25 s")
    costs = [Costs.of(model) for model in models]
    bare: dict[tuple[float, int], list[float]] = {(score, channels): [] for score in BARE for channels in (1, CHANNELS)}
    theirs: list[float] = []
    for _ in range(ROUNDS):
        for cost in costs:
            cost.measure(pcm, quiet)
        for (score, channels), each in bare.items():
            each.append(pipeline_s(pcm, models[0], channels, Constant(score, channels)) / seconds)
        if peer.is_file():
            theirs.append(peer_s(pcm, peer) / seconds)
    peer_ms = 1e3 * statistics.median(theirs) if theirs else None
    speeds = {
        cost.model.name.partition("@")[0]: cost.figures(stages_ms(pcm[: 60 * SAMPLE_RATE_HZ], cost.model), peer_ms)
        for cost in costs
    }
    for name, speed in speeds.items():
        print_speed(name, speed)
    rest_ms = {key: 1e3 * statistics.median(each) for key, each in bare.items()}
    print("without a network")
    for score, heard in BARE.items():
        one, several = rest_ms[score, 1], rest_ms[score, CHANNELS]
        print(f"  CPU per second of {heard:<7}{one:8.2f} ms; {CHANNELS} channels {several / one:.2f} times that")
    bearing, beams, network = array_ms(bundles.load(bundles.find(None)))
    print(
        f"bearing, beams of an array {bearing:8.2f}, {beams:.2f} ms for a second of siren, "
        f"{bearing / network:.2f} and {beams / network:.2f} of the network's"
    )
    if peer_ms is None:
        print(f"YAMNet: {peer} is not there; give it with SIREND_PEER")
    else:
        print(f"YAMNet, 0.48 s hop\n  throughput               {1e3 / peer_ms:8.0f} times real time")
        print(f"  CPU per second of audio  {peer_ms:8.2f} ms")
    peaks = peaks_mb(pcm, models, peer)
    for name, peak in peaks.items():
        print(f"peak memory of {name}: {peak:.0f} MB")
    figures.record(
        audio_s=round(seconds),
        models=speeds,
        peaks_mb={name.partition("@")[0]: round(peak) for name, peak in peaks.items()},
        peer_cpu_ms=None if peer_ms is None else round(peer_ms, 2),
        bearing_ms=bearing,
        beams_ms=beams,
        bearing_network_ms=network,
        bare_cpu_ms={heard: round(rest_ms[score, 1], 2) for score, heard in BARE.items()},
        bare_four_channels={
            heard: round(rest_ms[score, CHANNELS] / rest_ms[score, 1], 2) for score, heard in BARE.items()
        },
    )


if __name__ == "__main__":
    main()
