"""Figures of what networks and their peer call in passages that they have not heard, and the table of them.

Detectors are compared at thresholds at which each calls as often in the streets left out, and over such streets drawn
again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.training import decision, passages
from sirend.training.redrawn import expected_recall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.call.rules import Recommended, Rules
    from sirend.training.decision import Series
    from sirend.training.passages import RenderedPassage

FALSE_CALLS = (1, 3, 6)
"""Numbers of calls in the streets left out at which detectors are compared."""
SUREST = 40
"""Of the sounds that are called falsely, so many are listed, the surest first."""
_LATE_DB = 0.0
_RATIOS = (("siren", passages.SNRS_DB), ("tone", passages.TONE_SNRS_DB))


def lines(
    rendered: Sequence[RenderedPassage],
    series: Sequence[Series],
    point: Recommended,
    false_calls: Sequence[int] = FALSE_CALLS,
) -> dict[str, Any]:
    """Return a row of figures for each number of ``false_calls`` in the streets."""
    planned = [each.passage for each in rendered]
    streets = [one for one, passage in zip(series, planned, strict=True) if passage.kind == "street"]
    hours = sum(each.seconds for each in rendered if each.passage.kind == "street") / 3600
    out: dict[str, Any] = {}
    redrawn = expected_recall(planned, series, point, false_calls)
    for most in false_calls:
        enter = decision.matched(streets, point, most)
        out[str(most)] = {"enter": round(enter, 4), **row(rendered, series, decision.rules(point, enter))}
        if most in redrawn:
            out[str(most)]["expected"] = asdict(redrawn[most])
    return {"street_hours": round(hours, 2), "at_false_calls": out}


def at_points(
    rendered: Sequence[RenderedPassage],
    series: Sequence[Series],
    points: Mapping[str, Recommended],
) -> dict[str, Any]:
    """Return a row of figures for each of a detector's own operating points, by its name."""
    return {
        name: {"enter": point.enter, **row(rendered, series, decision.rules(point, point.enter))}
        for name, point in points.items()
    }


def row(rendered: Sequence[RenderedPassage], series: Sequence[Series], by: Rules) -> dict[str, Any]:
    """Return what is called at one threshold, by kind.

    ``latency_s`` counts from where a siren's recording begins, ``audible_latency_s`` from where it is audible: p50 and
    p95 each.
    """
    called: dict[str, list[bool]] = {}
    latency: dict[str, list[float]] = {}
    of_audible: dict[str, list[float]] = {}
    false: dict[str, int] = {}
    length: dict[str, float] = {}
    surest: list[tuple[float, str]] = []
    for each, one in zip(rendered, series, strict=True):
        passage = each.passage
        call_s = decision.calls(one, by)
        if passage.kind in ("siren", "recorded", "tone", "drive"):
            key = passage.kind + ("" if np.isnan(passage.snr_db) else f" {passage.snr_db:+.0f}")
            in_time = call_s[call_s > passage.begin_s]
            called.setdefault(key, []).append(len(in_time) > 0)
            if len(in_time):
                latency.setdefault(key, []).append(float(in_time[0]) - passage.begin_s)
                # A cut's faint beginning may be enough.
                of_audible.setdefault(key, []).append(max(0.0, float(in_time[0]) - each.audible_s))
            if passage.kind == "tone":
                called.setdefault(f"tone {passage.label}", []).append(len(in_time) > 0)
            continue
        keys = [passage.kind] if passage.kind != "other" else [f"other {passage.label.partition('/')[0]}"]
        if passage.kind == "confuser":
            keys.append(f"confuser {passage.label}")
        for key in keys:
            false[key] = false.get(key, 0) + len(call_s)
            length[key] = length.get(key, 0.0) + each.seconds
            called.setdefault(key, []).append(len(call_s) > 0)
        if len(call_s):
            surest.append((float(one[1].max()), f"{passage.kind}: {passage.label}"))
    return {
        "called": {key: [sum(each), len(each)] for key, each in called.items()},
        "false_calls": {key: [each, round(length[key] / 3600, 3)] for key, each in false.items()},
        "latency_s": {key: _quantiles(waits) for key, waits in latency.items()},
        "audible_latency_s": {key: _quantiles(waits) for key, waits in of_audible.items()},
        "surest": [f"{score:.3f} {label}" for score, label in sorted(surest, reverse=True)[:SUREST]],
    }


def _quantiles(waits: Sequence[float]) -> list[float]:
    return [round(float(q), 2) for q in np.quantile(waits, [0.5, 0.95])]


def unheard_page(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown table."""
    sirens, tones = ([f"{kind} {snr:+.0f}" for snr in of] for kind, of in _RATIOS)
    at_db = [" ".join(f"{snr:+.0f}" for snr in of) for _, of in _RATIOS]
    head = [
        "", "false calls", "enter", f"recall at {at_db[0]} dB", "as recorded", f"latency p50, p95 at {_LATE_DB:g} dB",
        "from audible",
        f"tones at {at_db[1]} dB", "drives", "civil", "confusers", "us8k false", "esc50 false",
        "recall over streets drawn again",
    ]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for name, figures in report.items():
        for most, line in figures["at_false_calls"].items():
            late_s = (_late(line[since]) for since in ("latency_s", "audible_latency_s"))
            cells = [name, most, f"{line['enter']:.3f}", " ".join(_share(line, key) for key in sirens)]
            cells += [
                _share(line, "recorded"),
                *late_s,
                " ".join(_share(line, key) for key in tones),
            ]
            cells += ["{} of {}".format(*line["called"].get(key, (0, 0))) for key in ("drive", "civil", "confuser")]
            cells += [
                "{} in {} h".format(*line["false_calls"].get(f"other {key}", (0, 0))) for key in ("us8k", "esc50")
            ]
            rows.append([*cells, _expected(line, sirens)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _late(latency_s: Mapping[str, Sequence[float]]) -> str:
    """Return p50 and p95 of the sirens at one ratio; nothing where none was called."""
    quantiles = latency_s.get(f"siren {_LATE_DB:+.0f}")
    return f"{', '.join(f'{each:g}' for each in quantiles)} s" if quantiles else ""


def _expected(line: Mapping[str, Any], sirens: Sequence[str]) -> str:
    """Return what to expect of sirens at each ratio, and how far it varies."""
    known = line.get("expected")
    if known is None:
        return "-"
    means = (known["recall"].get(key) for key in sirens)
    return f"{' '.join('-' if mean is None else f'{mean:.2f}' for mean in means)} (+-{known['deviation']:.2f})"


def _share(line: Mapping[str, Any], key: str) -> str:
    """Return the share that is called of one kind, in two places; a dash where there was none."""
    called, of = line["called"].get(key, (0, 0))
    return f"{called / of:.2f}" if of else "-"
