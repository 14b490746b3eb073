"""``make legs``: an array of 64 mm beside four directional microphones, over the same simulated drives.

    python -m tests.bench.legs [--drives 200] [--out build/legs]

Every third drive is between houses. The bearing is measured in all windows, whether a siren is believed in or not, and
the leg through the whole pipeline with the network that ships. Two sirens from different legs, at once and one after
the other, come in a fifth as many drives each. What was measured at the same commit with the same model is not measured
again: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.bench import figures, report
from tests.simulate.crossings import AFTER_S, AT_ONCE_S, array_crossing, two_at_array

from sirend.audio.routing import columns
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Samples
from sirend.audio.windows import Windows
from sirend.call.clock import ReplayClock
from sirend.call.scribe import Scribe
from sirend.config.geometry import KNOWN
from sirend.config.settings import Approach, ArrayConfig, AudioConfig, Config
from sirend.detect import bundle
from sirend.detect.bearing import Compass
from sirend.detect.bearing_course import apart
from sirend.detect.classifier import Classifier
from sirend.detect.motion import MEMORY_S
from sirend.detect.pitch import PitchTracker
from sirend.pipeline import Stages, detect
from sirend.simulate import array_scene, junction
from sirend.simulate.junction import LEGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sirend.audio.stream import Pcm
    from sirend.detect.bundle import Bundle
    from sirend.simulate.scene import Rendered

ARRAY = KNOWN["respeaker-4"]
FOUR = Config(
    audio=AudioConfig(channels=4),
    approaches=tuple(Approach(leg, number, deg) for number, (leg, deg) in enumerate(LEGS.items())),
)
ONE = Config(
    audio=AudioConfig(channels=5),
    approaches=(*(Approach(leg, bearing_deg=deg, width_deg=90.0) for leg, deg in LEGS.items()), Approach("main")),
    array=ArrayConfig(),
)
BINS = ((-10.0, 0.0), (0.0, 10.0), (10.0, 20.0), (20.0, 60.0))
"""Signal to noise at the moment, dB, from until."""
LOUD_DB = 10.0
LEADS_S = (0.0, 1.0, 2.0)
"""From a call until the vehicle passes, at least."""
HALF_TURN_DEG = 180.0
NICE = 10


@dataclass(frozen=True, slots=True)
class Called:
    """What one site made of a drive."""

    first: str | None
    """The approach that was called first."""
    later: tuple[tuple[str, float], ...]
    """Those that were called after it, and when, seconds."""
    known_s: float | None
    """From the siren's onset to that call."""
    to_pass_s: float | None
    """From that call until the vehicle passes; negative after it."""


@dataclass(frozen=True, slots=True)
class Drive:
    """What was measured of a drive."""

    seed: int
    leg: str
    siren: str
    snr_db: float
    """When it passes."""
    is_canyon: bool
    array: Called
    four: Called
    looks: tuple[tuple[float, float | None, float], ...]
    """Of each window with a tone: signal to noise, dB; error of the bearing, degrees, None where none was told; its
    sigma."""
    bearing_ms: float
    """CPU that the bearing took for a second of siren."""
    beams_ms: float
    """CPU that it took to pick what the network hears of a second of audio: the beams, for the most part."""
    network_ms: float
    """CPU that features and network took for a second of audio."""


@dataclass(frozen=True, slots=True)
class Two:
    """What an array made of two sirens."""

    seed: int
    legs: tuple[str, str]
    """By which they come, in that order."""
    closest_s: tuple[float, float]
    """When they pass."""
    array: Called


class Clocked:
    """A function that adds up the CPU it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Add up what ``function`` takes."""
        self._function = function
        self.seconds = 0.0
        self.count = 0

    def __call__(self, *values: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the function takes
        """Call it."""
        began = time.thread_time()
        try:
            return self._function(*values, **named)
        finally:
            self.seconds += time.thread_time() - began
            self.count += 1

    @property
    def mean_s(self) -> float:
        """CPU a call."""
        return self.seconds / max(1, self.count)


def clocked(owner: object, method: str) -> Clocked:
    """Add up what ``method`` of ``owner`` takes from now on."""
    found = Clocked(getattr(owner, method))
    setattr(owner, method, found)
    return found


class ClockedNetwork:
    """A classifier whose CPU is added up."""

    def __init__(self, model: Bundle, rows: int) -> None:
        """Load ``model`` for ``rows`` a window."""
        self.score = Clocked(Classifier(model, rows).score)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of a site, ms for a second."""

    bearing_ms: float
    beams_ms: float
    network_ms: float


def called(config: Config, model: Bundle, pcm: Pcm, closest_s: float) -> tuple[Called, Cost]:
    """Return what the site ``config`` made of a drive whose vehicle passes at ``closest_s``, and what that took."""
    scribe = Scribe(
        site="main-5th", boot_id="replay", mode="replay", model=model.name, clock=ReplayClock(), valid_for_s=5.0
    )
    network = ClockedNetwork(model, 1 if config.array is not None else len(config.approaches))
    stages = Stages.of(config, model, network, scribe, channels=columns(config))
    bearing = beams = Clocked(lambda *_, **__: None)
    features = clocked(stages.extractor, "spectrogram")
    if stages.ear is not None:
        bearing, beams = clocked(stages.ear, "bearing"), clocked(stages.ear, "pick")
    events = [
        event
        for event in detect([Block(Samples(0), pcm)], stages)
        if not event.refresh and event.type == "emergency_approaching"
    ]
    # Who looks on asks for what was picked before, twice a window: the mean is of the windows.
    windows, hop_s = features.count, config.detect.hop_s
    cost = Cost(
        bearing_ms=round(1e3 * bearing.mean_s / hop_s, 2),
        beams_ms=round(1e3 * beams.seconds / windows / hop_s, 2),
        network_ms=round(1e3 * (features.mean_s + network.score.mean_s) / hop_s, 2),
    )
    if not events:
        return Called(None, (), None, None), cost
    first = events[0]
    known_s = (first.at - first.onset_at).total_seconds()
    to_pass_s = closest_s - first.sample / SAMPLE_RATE_HZ
    later = tuple((each.approach, each.sample / SAMPLE_RATE_HZ) for each in events[1:])
    return Called(first.approach, later, known_s, round(to_pass_s, 2)), cost


def looks(rendered: Rendered, deg_of: Sequence[float]) -> tuple[tuple[float, float | None, float], ...]:
    """Return signal to noise, error and sigma of the bearing in each window with a tone."""
    windows, pitch = Windows(window=32_000, hop=4_000, channels=ARRAY.channels), PitchTracker(MEMORY_S)
    compass = Compass(ARRAY)
    found: list[tuple[float, float | None, float]] = []
    at_s, snr_db = np.array(rendered.truth["time_s"]), np.array(rendered.truth["snr_db"])
    for window in windows.push(Block(Samples(0), rendered.pcm)):
        bearing = compass.update(window, pitch.update(replace(window, pcm=window.pcm[:1])))
        if not compass.has_tone:
            continue
        now = int(np.argmin(np.abs(at_s - window.end / SAMPLE_RATE_HZ)))
        if bearing is None:
            found.append((round(float(snr_db[now]), 1), None, 0.0))
        else:
            error = float(apart(bearing.deg, deg_of[now]))
            found.append((round(float(snr_db[now]), 1), round(error, 1), round(bearing.sd_deg, 1)))
    return tuple(found)


def measure(model: Bundle, seed: int) -> Drive:
    """Drive past both."""
    scene, leg, deg, around = array_crossing(np.random.default_rng(seed), seed)
    rendered = array_scene.render_at_array(scene, ARRAY, bearing_deg=deg, around=around)
    one, cost = called(ONE, model, rendered.pcm, rendered.truth["closest_s"])
    at_junction = junction.render_at_junction(scene, leg=leg)
    four, _ = called(FOUR, model, at_junction.pcm, at_junction.truth["closest_s"])
    return Drive(
        seed=seed,
        leg=leg,
        siren=f"{scene.profile} {scene.siren}",
        snr_db=round(scene.snr_db or 0.0, 1),
        is_canyon=bool(around.houses_m),
        array=one,
        four=four,
        looks=looks(rendered, rendered.truth["bearing_deg"]),
        bearing_ms=cost.bearing_ms,
        beams_ms=cost.beams_ms,
        network_ms=cost.network_ms,
    )


def measure_two(model: Bundle, seed: int, later_s: tuple[float, float]) -> Two:
    """Let two drive past the array, the second so much later."""
    pair = two_at_array(seed, ARRAY, later_s)
    found, _ = called(ONE, model, pair.pcm, pair.closest_s[0])
    return Two(seed, pair.legs, pair.closest_s, found)


def collect(count: int, out: Path, measure: Callable[[Bundle, int], Drive | Two] = measure) -> list[dict[str, Any]]:
    """Return the first ``count`` drives as JSON values; those that ``out`` has are not driven again."""
    model = bundle.load(bundle.find(None))
    known = {} if not out.exists() else {each["seed"]: each for each in map(json.loads, out.open(encoding="utf-8"))}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        for seed in (seed for seed in range(count) if seed not in known):
            known[seed] = json.loads(json.dumps(asdict(measure(model, seed))))
            file.write(json.dumps(known[seed]) + "\n")
            file.flush()
    return [known[seed] for seed in range(count)]


def errors(drives: Sequence[dict[str, Any]], low_db: float, high_db: float) -> figures.Figures:
    """Return how far the bearings are off that were told at ``low_db`` until ``high_db``, and how many were told."""
    seen = [look for drive in drives for look in drive["looks"] if low_db <= look[0] < high_db]
    off = np.abs([error for _, error, _ in seen if error is not None])
    p50, p90 = np.percentile(off, [50, 90]) if len(off) else (float("nan"), float("nan"))
    return {"looks": len(seen), "told": len(off), "p50_deg": round(float(p50), 1), "p90_deg": round(float(p90), 1)}


def legs(drives: Sequence[dict[str, Any]], site: str) -> figures.Figures:
    """Return which leg ``site``, ``array`` or ``four``, called."""
    firsts = [(drive[site]["first"], drive["leg"]) for drive in drives]
    right = [drive for drive in drives if drive[site]["first"] == drive["leg"]]
    known = [drive[site]["known_s"] for drive in right]
    return {
        "drives": len(drives),
        "right": len(right),
        "wrong": sum(first not in (None, "main", leg) for first, leg in firsts),
        "main": sum(first == "main" for first, _ in firsts),
        "not_called": sum(first is None for first, _ in firsts),
        "another_later": sum(
            drive[site]["first"] is not None
            and {each for each, _ in drive[site]["later"]} - {drive["leg"], "main"} != set()
            for drive in drives
        ),
        "known_s": [round(float(each), 2) for each in np.percentile(known, [50, 90])] if known else None,
        "right_before_pass": {
            f"{lead_s:g} s": sum(drive[site]["to_pass_s"] >= lead_s for drive in right) for lead_s in LEADS_S
        },
    }


def two(drives: Sequence[dict[str, Any]]) -> figures.Figures:
    """Return what was called of two sirens."""
    names = [(called_of(each), set(each["legs"])) for each in drives]
    leads_s = [
        each["closest_s"][1] - min(at_s for leg, at_s in each["array"]["later"] if leg == each["legs"][1])
        for each in drives
        if each["legs"][1] in dict(each["array"]["later"])
    ]
    return {
        "drives": len(drives),
        "a_leg_of_theirs": sum(bool(found & legs) for found, legs in names),
        "both": sum(legs <= found for found, legs in names),
        "second_after_first": len(leads_s),
        "second_before_its_pass": {f"{lead_s:g} s": sum(each >= lead_s for each in leads_s) for lead_s in LEADS_S},
        "opposite": sum(is_opposite(each["legs"]) for each in drives),
        "main": sum(found == {"main"} for found, _ in names),
        "not_called": sum(not found for found, _ in names),
        "a_leg_without_one": sum(bool(found - legs - {"main"}) for found, legs in names),
    }


def called_of(drive: dict[str, Any]) -> set[str]:
    """Return the approaches that the array called in a drive."""
    array = drive["array"]
    return {array["first"], *(leg for leg, _ in array["later"])} - {None}


def is_opposite(pair: Sequence[str]) -> bool:
    """Return whether two legs are one street: the second vehicle comes from where the first one drives to."""
    return abs(LEGS[pair[0]] - LEGS[pair[1]]) == HALF_TURN_DEG


def summary(drives: Sequence[dict[str, Any]], pairs: Mapping[str, Sequence[dict[str, Any]]]) -> figures.Figures:
    """Return all figures; ``pairs`` are those of two sirens, by how they follow each other."""
    around = {"in the open": [each for each in drives if not each["is_canyon"]]}
    around["between houses"] = [each for each in drives if each["is_canyon"]]
    return {
        "drives": len(drives),
        "bearing": {
            place: {f"{low:g} to {high:g} dB": errors(some, low, high) for low, high in BINS}
            for place, some in around.items()
        },
        "bearing_from_0_db": {place: errors(some, 0.0, 90.0) for place, some in around.items()},
        "array": {
            "all": legs(drives, "array"),
            "from 10 dB as it passes": legs([each for each in drives if each["snr_db"] >= LOUD_DB], "array"),
            **{place: legs(some, "array") for place, some in around.items()},
        },
        "two_sirens": {how: two(some) for how, some in pairs.items()},
        "four": {"all": legs(drives, "four")},
        "bearing_ms": round(float(np.median([each["bearing_ms"] for each in drives if each["bearing_ms"]])), 2),
        **{name: round(float(np.median([each[name] for each in drives])), 2) for name in ("beams_ms", "network_ms")},
    }


def main() -> int:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--drives", type=int, default=200)
    asked.add_argument("--out", type=Path, default=Path("build/legs"), help="what was measured already lies there")
    args = asked.parse_args()
    os.nice(NICE)
    here = report.machine()
    name = re.sub(r"[^a-z0-9.-]", "-", f"{here['commit']}-{here['model']}")
    drives = collect(args.drives, args.out / f"{name}.jsonl")
    pairs = {
        how: collect(args.drives // 5, args.out / f"{name}-{how}.jsonl", partial(measure_two, later_s=later_s))
        for how, later_s in {"at-once": AT_ONCE_S, "one-after-the-other": AFTER_S}.items()
    }
    found = summary(drives, pairs)
    print(json.dumps(found, indent=1))
    figures.record(**found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
