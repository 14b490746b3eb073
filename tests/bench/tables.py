"""The figures of the report as tables for README and model card."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.bench.figures import Figures

    Cell = Callable[[Figures, str], str]
    """From an evaluation's figures and a detector's name to what the table says."""

COLUMNS = 120
"""Of a line of text."""
Rows: TypeAlias = tuple[str, list[tuple[str, str]]]
"""What a table is of, and its rows."""


def speed(known: Figures) -> Rows:
    """Return what a second of audio costs, by model, beside YAMNet."""
    rows = []
    for name, model in known["models"].items():
        said = [
            f"{model['quiet_cpu_ms']} ms of CPU a second of a street without a siren{_beside(model['quiet_of_peer'])}",
            *_sparing(model),
            f"{model['cpu_ms']} ms with one siren after the other{_beside(model['of_peer'])}",
            f"{model['times_real_time']} times real time",
            f"four channels {model['four_channels']} times one",
            f"a replay peaks at {known['peaks_mb'][f'replay with {name}']} MB",
        ]
        rows.append((name, "; ".join(said)))
    if known["peer_cpu_ms"] is not None:
        rows.append(("YAMNet, 0.48 s hop", f"{known['peer_cpu_ms']} ms; peaks at {known['peaks_mb']['YAMNet']} MB"))
    return f"`make bench`, {known['audio_s']} s of audio, one core", rows


def _sparing(model: Figures) -> list[str]:
    """Return what the same costs a site that is sparing, where the model can be."""
    if "sparing_cpu_ms" not in model:
        return []
    return [f"{model['sparing_cpu_ms']} ms of it with `detect.sparing`{_beside(model['sparing_of_peer'])}"]


def _beside(of_peer: float | None) -> str:
    return "" if of_peer is None else f" ({of_peer} times YAMNet's)"


def motion(known: Figures) -> Rows:
    """Return how often motion and the called leg are right."""
    # What never happened was not counted.
    said: Counter[str] = Counter(known["motion"])
    legs: Counter[str] = Counter(known["legs"])
    shares = [f"{word} {100 * count / sum(said.values()):.1f} %" for word, count in sorted(said.items())]
    wrong = f"{_wrong(said)} of the claims have the wrong sign"
    if "motion_near" in known:
        wrong += f", {_wrong(said - Counter(known['motion_near']))} more than 1 s before or after the pass"
    coming: dict[str, Counter[str]] = {
        "the same": Counter(known.get("motion_coming", {})),
        "motion at the levels of a street": Counter(known.get("street_motion", {})),
    }
    comes = [
        (
            f"{title}, above 0 dB while it comes",
            f"`approaching` {100 * heard['approaching'] / sum(heard.values()):.1f} %",
        )
        for title, heard in coming.items()
        if heard
    ]
    called = f"the right one in {legs['right']} of {known['junction_drives']}"
    return f"`make drives`, {known['drives']} simulated drive-bys", [
        ("motion of a siren at least 5 dB over the street", "; ".join((", ".join(shares), wrong))),
        *comes,
        *_arrivals(known),
        ("first leg called, at 0 to 30 dB", f"{called}; another one later in {legs['another later']}"),
    ]


def _arrivals(known: Figures) -> list[tuple[str, str]]:
    """Return how far off the times were that were told, where they were measured."""
    told = {"its street": known.get("eta_plain"), "streets drawn otherwise": known.get("eta")}
    rows = []
    for title, each in told.items():
        if each is not None:
            off = f"{100 * each['within_25']:.0f} % of these within 25 %, {100 * each['within_60']:.0f} % within 60 %"
            holds = f"the interval holds {100 * each['interval']:.0f} %"
            often = f"told {each['times']} times in {each['told_in']} of {each['of']} drives"
            rows.append((f"time until the siren is nearest, in {title}", f"{often}; {off}; {holds}"))
    return rows


def _wrong(said: Counter[str]) -> str:
    """Return the share of the claims that are wrong."""
    return f"{100 * said['wrong'] / max(1, said['right'] + said['wrong']):.1f} %"


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


def cluster(known: Figures) -> Rows:
    """Return what a city asks of a broker of three nodes, and what is felt when one of them is lost."""
    back, beat, event, kill, part = (
        ", ".join(f"{name} {value:g} {unit}" for name, value in known[key].items())
        for key, unit in (("back_s", "s"), ("beat_ms", "ms"), ("event_ms", "ms"), ("kill_s", "s"), ("part_s", "s"))
    )
    lapsed = "{} of {} calls lapsed"
    return (
        f"`make bench-fleet BROKER=cluster`, {known['sites']:,} sites on {known['broker']}, on loopback, without TLS",
        [
            (f"{known['back']:,} sites connect at once", f"{back}; {known['back_cpu_s']} s of broker CPU"),
            (
                f"heartbeats, {known['beats_a_second']} a second, to one reader",
                f"{beat}; {known['broker_percent']} % of a core, {known['broker_mb']} MB",
            ),
            (f"{known['events']} simultaneous events", f"{event}; {known['events_missing']} lost"),
            (
                f"a node is killed in {known['calls']} calls: longest time that a controller hears nothing",
                f"{kill}; {lapsed.format(known['kill_lapsed'], known['calls'])}",
            ),
            ("a node is cut off from the other two", f"{part}; {lapsed.format(known['part_lapsed'], known['calls'])}"),
            (
                "new controllers on another node that get the retained state",
                f"{known['retained_elsewhere']} of {known['events']}",
            ),
        ],
    )


OF = {"speed": speed, "motion": motion, "soak": soak, "fleet": fleet, "cluster": cluster}
"""By the report's names of its parts."""

WITHOUT = "without-"
"""What the name of a part begins with that tests a network on the set which its training did not hear."""
DETECTORS = ("sirend", "yamnet")


def left_out(known: Mapping[str, Figures], *, in_brief: bool) -> str:
    """Return a column for each set that a network was trained without, beside YAMNet's; "" where there is none."""
    parts = {key.removeprefix(WITHOUT): each for key, each in known.items() if key.startswith(WITHOUT)}
    if not parts:
        return ""
    snrs = sorted(next(iter(parts.values()))["sirend"]["matched_recall_by_snr"], key=float)
    rows: dict[str, Cell] = {"siren clips; hours of other sounds": _of_what}
    rows |= {title: _figure(key) for title, key in (_CLIPS[:2] if in_brief else _CLIPS)}
    rows |= {f"recall at {snr} dB, matched": _matched(snr) for snr in ([] if in_brief else snrs)}
    rows |= {"siren clips called": _called, "**false calls, an hour** (95 % upper bound)": _false}
    rows |= {f"called at {snr} dB; p50, p95": _call_at(snr) for snr in (["+0"] if in_brief else snrs)}
    head = ["", *(f"{name}{'' if one == 'sirend' else ', YAMNet'}" for name in parts for one in DETECTORS)]
    cells = [
        [title, *(cell(each, one) for each in parts.values() for one in DETECTORS)] for title, cell in rows.items()
    ]
    return markdown([head, ["---"] * len(head), *cells])


def scenes(known: Figures) -> str:
    """Return what the shipped network does in soundscape and drive-bys, beside YAMNet where that was measured."""
    scape, passed = known["soundscape"], known["stress"]
    first, drives = scape["sirend"], passed["sirend"]
    hours = f"{drives['hours_of_drive_bys']} h"
    waits = {
        f"called at a peak of {snr} dB; p50, p95": {one: each["by_peak_snr"][snr] for one, each in passed.items()}
        for snr in sorted(drives["by_peak_snr"], key=float)
    }
    rows: list[tuple[str, Mapping[str, Figures], Callable[[Figures], str]]] = [
        ("called; p50, p95", scape, lambda each: _wait(each["called_at_any_time"])),
        ("false calls, an hour (95 % upper bound)", scape, lambda each: _rate(each["false"])),
        (f"F1 of calls within {first['tolerance_s']:g} s; PSDS", scape, lambda each: f"{each['f1']}; {each['psds']}"),
        (f"**{drives['drive_bys']} simulated drive-bys**, {hours}", {}, str),
        *((title, each, _wait) for title, each in waits.items()),
        ("calls while none was audible", passed, lambda each: str(each["stray_calls"])),
        ("confusers called, an hour (95 % upper bound)", passed, _confused),
    ]
    head = [f"soundscape of {first['false']['hours']} h, {first['sirens']} audible sirens", "sirend", "YAMNet"]
    cells = [[title, *(say(of[one]) if one in of else "" for one in DETECTORS)] for title, of, say in rows]
    return markdown([head, ["---"] * len(head), *cells])


def lead_command(rounds: int, *, with_data: bool) -> str:
    """Return what is typed for the table of leads."""
    data = " --data recordings" if with_data else ""
    return f"sirend evaluate --lead {rounds}{data} --peer yamnet.tflite --report ..."


def lead(known: Figures) -> str:
    """Return in six rows how early sirens are called, beside the ideal and YAMNet, and who is called late.

    Where recordings were heard too, a table of these follows.
    """
    rows = [("all drives", known["all"])]
    rows += [(f"in sight from {title}", line) for title, line in known["by_sight"].items()]
    rows += [(f"at {title}", line) for title, line in known["by_speed"].items() if title != "50 km/h"]
    text = _leads(known, "s before the stop line: p10, p50; 10 s or more; missed", rows)
    if "recorded" in known:
        recorded = known["recorded"]
        rows = [(f"{title}, recorded streets", line) for title, line in recorded["by_origin"].items()]
        rows += [(f"- {title}", line) for title, line in recorded["by_siren"].items() if title.startswith("recorded")]
        text += "\n" + _leads(recorded, "the same with recordings kept back", rows)
    return text


_NAMES = {"ideal": "ideal", "sirend": "sirend", "yamnet": "YAMNet"}


def _leads(known: Figures, title: str, rows: Sequence[tuple[str, Figures]]) -> str:
    """Return a table of leads, with false calls and late ones below."""
    present = [name for name in _NAMES if name in known["all"]]
    head = [title, *(_NAMES[name] for name in present)]
    cells = [[f"{one} ({line['sirend']['drives']})", *(_lead(line[name]) for name in present)] for one, line in rows]
    false = known["false"]["sirend"]
    late = ", ".join(f"{name} ({seconds} s)" for name, seconds in known["late"].items()) or "none"
    said = (
        f"Each made {false['count']} false calls in {false['hours']} h without a siren."
        if "yamnet" in known["false"] and known["false"]["yamnet"]["count"] == false["count"]
        else "False calls in {} h without a siren: {}.".format(
            false["hours"], ", ".join(f"{_NAMES[name]} {each['count']}" for name, each in known["false"].items())
        )
    )
    late = f"Called less than 8 s before the stop line at {known['card_drive']} of sight: {late}."
    said += "\n" + textwrap.fill(late, COLUMNS, break_on_hyphens=False)
    return f"{markdown([head, ['---'] * len(head), *cells])}\n{said}\n"


def _lead(line: Figures) -> str:
    return f"{line['p10_s']}, {line['p50_s']} s; {100.0 * line['good']:.0f} %; {line['missed']}"


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Return lines of a Markdown table; its head must be followed by a row of dashes."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


_CLIPS = (
    ("AUC over clips", "auc"),
    ("F1 at the threshold that ships (YAMNet .5)", "f1"),
    ("best F1 over clips", "f1_best"),
    ("recall at that threshold", "recall"),
    ("clip recall, matched", "matched_recall"),
)


def _of_what(known: Figures, name: str) -> str:
    return f"{known['clips']['siren']}; {known['hours_of_other_sounds']}" if name == "sirend" else ""


def _figure(key: str) -> Cell:
    return lambda known, name: str(known[name][key])


def _matched(snr: str) -> Cell:
    return lambda known, name: f"{known[name]['matched_recall_by_snr'][snr]:.2f}"


def _called(known: Figures, name: str) -> str:
    return str(known["calls"][name]["siren_clips"]["called"])


def _false(known: Figures, name: str) -> str:
    return _rate(known["calls"][name]["false"])


def _call_at(snr: str) -> Cell:
    return lambda known, name: _wait(known["calls"][name]["by_snr"][snr])


def _confused(known: Figures) -> str:
    key = "false_calls_to_confusers_per_hour"
    return f"{known[key]} ({known[f'{key}_upper_95']})"


def _rate(known: Figures) -> str:
    return f"{known['count']}, {known['per_hour']} ({known['per_hour_upper_95']})"


def _wait(known: Figures) -> str:
    waits = "" if known["p50_s"] is None else f"; {known['p50_s']}, {known['p95_s']} s"
    return f"{known['called']} of {known['of']}{waits}"
