"""How many seconds before the stop line each detector called: figures of what `lead` heard, and the page of them.

The ideal calls at the moment from which the siren is 5 dB under the street for a second. What else was heard, without a
siren, says how often each detector calls falsely, and gives the peer its threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.evidence import drive as drives
from sirend.training import decision, lead, measures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sirend.call.rules import Recommended
    from sirend.training.lead import HeardLead, LeadJob

LATE_S = 8.0
"""A siren that leads by less on the drive by which each is judged is named."""
GOOD_S = 10.0
"""Yellow, red and the pedestrians' clearance take about so long."""


def lead_figures(tasks: Sequence[LeadJob], heard: Sequence[HeardLead], point: Recommended) -> dict[str, Any]:
    """Return the figures of all detectors, JSON values; the peer's at the threshold with as many false calls as ours.

    A drive that is not called before the stop line leads by 0 s.
    """
    by = decision.rules(point, point.enter)

    def ours(each: HeardLead) -> list[drives.Span]:
        return decision.spans(each.ours, by)

    other = [each for each in heard if each.drive is None]
    hours = sum(each.seconds for each in other) / 3600.0
    false = sum(len(ours(each)) for each in other)
    leads = {"ideal": _leads(heard, _ideal), "sirend": _leads(heard, ours)}
    card: dict[str, Any] = {
        "good_s": GOOD_S,
        "false": {"sirend": measures.rate(false, hours)},
        "minutes_of_drives": round(sum(each.seconds for each in heard if each.drive is not None) / 60.0, 1),
    }
    if any(len(each.peers[0]) for each in heard):
        threshold = decision.matched([each.peers for each in other], point, false)
        peer = decision.rules(point, threshold)
        leads["yamnet"] = _leads(heard, lambda each: decision.spans(each.peers, peer))
        card["peer_threshold"] = round(threshold, 4)
        card["false"]["yamnet"] = measures.rate(sum(len(decision.calls(each.peers, peer)) for each in other), hours)
    driven = [task for task in tasks if task.is_drive]
    grid = np.array([(task.speed_kmh, task.sight_m) != (lead.CARD_KMH, lead.CARD_M) for task in driven])
    names = np.array([task.name for task in driven])
    is_recorded = np.array([task.siren == lead.RECORDED for task in driven])
    speed_kmh, sight_m = (np.array([getattr(task, key) for task in driven]) for key in ("speed_kmh", "sight_m"))
    groups: dict[str, dict[str, np.ndarray]] = {
        "all": {"all": grid},
        "by_sight": {f"{sight:g} m": grid & (sight_m == sight) for sight in lead.SIGHTS_M},
        "by_speed": {f"{speed:g} km/h": grid & (speed_kmh == speed) for speed in lead.SPEEDS_KMH},
        "by_speed_and_sight": {
            f"{speed:g} km/h, {sight:g} m": (speed_kmh == speed) & (sight_m == sight)
            for speed in lead.SPEEDS_KMH
            for sight in lead.SIGHTS_M
        },
        "by_origin": {"sirens of the table": grid & ~is_recorded, "recorded sirens": grid & is_recorded},
        "by_siren": {str(name): grid & (names == name) for name in np.unique(names)},
        "card": {str(name): ~grid & (names == name) for name in np.unique(names)},
    }
    for group, members in groups.items():
        card[group] = {
            title: {one: _line(each[chosen]) for one, each in leads.items()}
            for title, chosen in members.items()
            if chosen.any()
        }
    card["card_drive"] = f"{lead.CARD_KMH:g} km/h, {lead.CARD_M:g} m"
    card["late"] = {
        name: line["sirend"]["p50_s"] for name, line in card["card"].items() if line["sirend"]["p50_s"] < LATE_S
    }
    card["all"] = card["all"]["all"]
    return card


def _ideal(each: HeardLead) -> list[drives.Span]:
    first_s = None if each.drive is None else each.drive.first_audible_s
    return [] if first_s is None else [drives.Span(first_s, None)]


def _leads(heard: Sequence[HeardLead], spans: Callable[[HeardLead], list[drives.Span]]) -> np.ndarray:
    """Return the lead of each drive, s, float64[drives]; nan for one that is not called before its stop line."""
    found = [drives.lead(each.drive, spans(each)) for each in heard if each.drive is not None]
    return np.array([np.nan if one is None or one.lead_s <= 0.0 or one.cleared_s else one.lead_s for one in found])


def _line(leads: np.ndarray) -> dict[str, Any]:
    counted = np.nan_to_num(leads)
    p10, p50 = np.percentile(counted, [10.0, 50.0])
    return {
        "drives": len(leads),
        "p10_s": round(float(p10), 1),
        "p50_s": round(float(p50), 1),
        "good": round(float(np.mean(counted >= GOOD_S)), 3),
        "missed": int(np.isnan(leads).sum()),
    }


def lead_page(card: Mapping[str, Any]) -> str:
    """Return the figures as a page of Markdown."""
    about = (
        "Siren 115 dB at 3 m, street 68 dB, 20 dB less behind buildings until in sight. A missed drive counts as 0 s. "
        "The ideal calls from the moment that the siren is 5 dB under the street."
    )
    lines = ["# Seconds before the stop line", "", about, "", *_section(card)]
    if lead.RECORDED in card:
        about = (
            "The same in streets that training keeps back, and with sirens that it keeps back. What else their "
            "recordings hold counts as siren, so their true level is lower than stated."
        )
        lines += ["## Recordings kept back", "", about, "", *_section(card[lead.RECORDED])]
    return "\n".join(lines)


def _section(card: Mapping[str, Any]) -> list[str]:
    """Return the lines on one world."""
    names = list(card["all"])
    head = " | ".join(f"{name}: p10, p50 | {card['good_s']:g} s or more | missed" for name in names)
    false = "; ".join(
        f"{name} {each['count']} in {each['hours']} h (at most {each['per_hour_upper_95']} an hour, 95 %)"
        for name, each in card["false"].items()
    )
    rows = [("all", card["all"])]
    groups = ["by_sight", "by_speed", "by_speed_and_sight", "by_siren"]
    for group in ["by_origin", *groups] if len(card["by_origin"]) > 1 else groups:
        rows += card[group].items()
    rows += [(f"{name}, {card['card_drive']}", line) for name, line in card["card"].items()]
    late = ", ".join(f"{name} ({lead_s:g} s)" for name, lead_s in card["late"].items()) or "none"
    return [
        f"{card['minutes_of_drives']} minutes of drives. False calls: {false}.",
        "",
        f"Lead by less than {LATE_S:g} s at {card['card_drive']} of sight: {late}.",
        "",
        f"| | drives | {head} |",
        "|---|---|" + "---|---|---|" * len(names),
        *[
            f"| {title} | {line['ideal']['drives']} | "
            + " | ".join(
                f"{each['p10_s']}, {each['p50_s']} s | {100.0 * each['good']:.0f} % | {each['missed']}"
                for each in line.values()
            )
            + " |"
            for title, line in rows
        ],
        "",
    ]
