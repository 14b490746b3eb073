"""The figures of the report as tables for README."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.bench.figures import Figures

Rows: TypeAlias = tuple[str, list[tuple[str, str]]]
"""What a table is of, and its rows."""


def speed(known: Figures) -> Rows:
    """Return what a second of audio costs, by model, beside YAMNet."""
    rows = []
    for name, model in known["models"].items():
        beside = "" if model["of_peer"] is None else f" ({model['of_peer']} times YAMNet's)"
        said = [
            f"{model['cpu_ms']} ms of CPU a second of audio{beside}",
            f"{model['times_real_time']} times real time",
            f"four channels {model['four_channels']} times one",
            f"a replay peaks at {known['peaks_mb'][f'replay with {name}']} MB",
        ]
        rows.append((name, "; ".join(said)))
    if known["peer_cpu_ms"] is not None:
        rows.append(("YAMNet, 0.48 s hop", f"{known['peer_cpu_ms']} ms; peaks at {known['peaks_mb']['YAMNet']} MB"))
    return f"`make bench`, {known['audio_s']} s of audio, one core", rows


def motion(known: Figures) -> Rows:
    """Return how often motion and the called leg are right."""
    # What never happened was not counted.
    said: Counter[str] = Counter(known["motion"])
    legs: Counter[str] = Counter(known["legs"])
    shares = [f"{word} {100 * count / sum(said.values()):.1f} %" for word, count in sorted(said.items())]
    wrong = f"{100 * said['wrong'] / (said['right'] + said['wrong']):.1f} % of the claims have the wrong sign"
    called = f"the right one in {legs['right']} of {known['junction_drives']}"
    return f"`make drives`, {known['drives']} simulated drive-bys", [
        ("motion of a siren at least 5 dB over the street", "; ".join((", ".join(shares), wrong))),
        ("first leg called, at 0 to 30 dB", f"{called}; another one later in {legs['another later']}"),
    ]


def soak(known: Figures) -> Rows:
    """Return what grows in hours of audio."""
    grown = f"{known['descriptors']:+d} file descriptors, {known['threads']:+d} threads"
    return f"`make soak HOURS={known['hours']:g}`, hours of audio at full speed through the daemon", [
        ("after the first hour", f"{known['mb_an_hour']:+.3f} MB an hour of audio, {grown}"),
        ("samples dropped", f"{known['dropped_samples']}"),
    ]


def fleet(known: Figures) -> Rows:
    """Return what a city asks of its broker."""
    back, beat, event = (
        ", ".join(f"{name} {value:g} {unit}" for name, value in known[key].items())
        for key, unit in (("back_s", "s"), ("beat_ms", "ms"), ("event_ms", "ms"))
    )
    lost = f"{known['events_missing']} lost; {known['events_cpu_ms']} ms of broker CPU"
    return f"`make bench-fleet`, {known['sites']:,} sites on {known['broker']}, on loopback, without TLS", [
        (f"{known['back']:,} sites back after a broker restart", f"{back}; {known['back_cpu_s']} s of broker CPU"),
        (
            f"heartbeats, {known['beats_a_second']} a second, through a shared subscription",
            f"{beat}; {known['broker_percent']} % of a core, {known['broker_mb']} MB",
        ),
        (f"{known['events']} simultaneous events", f"{event}; {lost}"),
    ]


OF = {"speed": speed, "motion": motion, "soak": soak, "fleet": fleet}
"""By the report's names of its parts."""
