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
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tests.bench import figures, legs

from sirend.audio.capture import CALLBACK_S
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Pcm, Samples
from sirend.audio.windows import Windows
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.config.settings import Approach, AudioConfig, Config
from sirend.detect import bundle as bundles
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor, Spectrogram
from sirend.pipeline import Scorer, Stages, detect
from sirend.simulate import array_scene
from sirend.simulate.scene import Scene, render_scene

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
    ours: dict[str, list[float]] = {model.name: [] for model in models}
    wide: dict[str, list[float]] = {model.name: [] for model in models}
    calm: dict[str, list[float]] = {model.name: [] for model in models}
    bare: dict[tuple[float, int], list[float]] = {(score, channels): [] for score in BARE for channels in (1, CHANNELS)}
    theirs: list[float] = []
    for _ in range(ROUNDS):
        for model in models:
            ours[model.name].append(pipeline_s(pcm, model) / seconds)
            wide[model.name].append(pipeline_s(pcm, model, CHANNELS) / seconds)
            calm[model.name].append(pipeline_s(quiet, model) / seconds)
        for (score, channels), costs in bare.items():
            costs.append(pipeline_s(pcm, models[0], channels, Constant(score, channels)) / seconds)
        if peer.is_file():
            theirs.append(peer_s(pcm, peer) / seconds)
    peer_ms = 1e3 * statistics.median(theirs) if theirs else None
    speeds = {}
    for model in models:
        cost, calm_cost = statistics.median(ours[model.name]), statistics.median(calm[model.name])
        features_ms, inference_ms = stages_ms(pcm[: 60 * SAMPLE_RATE_HZ], model)
        against_one = statistics.median(wide[model.name]) / cost
        speeds[model.name.partition("@")[0]] = {
            "cpu_ms": round(1e3 * cost, 2),
            "times_real_time": round(1 / cost),
            "inference_ms": round(inference_ms, 2),
            "four_channels": round(against_one, 2),
            "of_peer": None if peer_ms is None else round(1e3 * cost / peer_ms, 2),
            "quiet_cpu_ms": round(1e3 * calm_cost, 2),
            "quiet_of_peer": None if peer_ms is None else round(1e3 * calm_cost / peer_ms, 2),
        }
        print(f"{model.name}")
        print(f"  throughput               {1 / cost:8.0f} times real time")
        print(f"  CPU per second of audio  {1e3 * cost:8.2f} ms, one siren after the other")
        print(f"  the same                 {1e3 * calm_cost:8.2f} ms, a street without a siren")
        print(f"  a window                 {features_ms:8.2f} ms features, {inference_ms:.2f} ms inference")
        print(f"  {CHANNELS} channels against one  {against_one:8.2f} times the CPU")
        if peer_ms is not None:
            print(f"  against YAMNet           {1e3 * cost / peer_ms:8.2f} of its CPU; {1e3 * calm_cost / peer_ms:.2f}")
    rest_ms = {key: 1e3 * statistics.median(costs) for key, costs in bare.items()}
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
