"""The figures of a model card as a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sirend.training import eventwise, measures, stress

if TYPE_CHECKING:
    from collections.abc import Mapping


def report_page(described: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Return the report's page."""
    names = [name for name in ("sirend", "yamnet") if name in card]
    lines = [
        f"# {described['model']} on {', '.join(described['sets'])}",
        "",
        (
            f"{card['clips']['siren']} siren clips, {card['clips']['other']} others, "
            f"{card['hours_of_other_sounds']} h of other sounds. Made {described['made']}."
        ),
        "",
        f"| | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    rows = {
        "AUC over clips": "auc", "F1 at the threshold": "f1", "best F1": "f1_best", "recall at the threshold": "recall",
        "threshold": "threshold", "false bursts an hour at the threshold": "bursts_per_hour",
        "clip recall at 1 false burst an hour": "matched_recall",
    }  # fmt: skip
    lines += [
        f"| {title} | " + " | ".join(measures.figure_text(card[name][key]) for name in names) + " |"
        for title, key in rows.items()
    ]
    lines += [
        f"| recall at {snr_db} dB, 1 false burst an hour | "
        + " | ".join(measures.figure_text(card[name]["matched_recall_by_snr"][snr_db]) for name in names)
        + " |"
        for snr_db in card["sirend"]["matched_recall_by_snr"]
    ]
    lines += ["", *_calls_page(card)]
    lines += [
        "",
        "Most often taken for a siren (clips with a window over the threshold): "
        + (", ".join(f"{label} {text}" for label, text in card["false_by_label"].items()) or "none"),
        "",
        "False calls by what sounded: "
        + (", ".join(f"{label} {count}" for label, count in card["false_calls_by_label"].items()) or "none"),
        "",
        "| enter | siren clips called | false calls |",
        "|---|---|---|",
        *(f"| {enter} | {row['siren_clips']} | {row['false']} |" for enter, row in card["operating_curve"].items()),
        "",
        *(["![DET and PR curves](curves.png)", ""] if described.get("curves") else []),
        *([eventwise.eventwise_section(card["soundscape"])] if "soundscape" in card else []),
        *([stress.stress_section(card["stress"])] if "stress" in card else []),
    ]
    return "\n".join(lines)


def _calls_page(card: Mapping[str, Any]) -> list[str]:
    calls = card["calls"]
    first = calls["sirend"]
    peer = (
        f"; YAMNet's behind the same tracker and call machine, at threshold {card['peer_threshold']}, "
        "chosen for no more false calls than ours"
        if "peer_threshold" in card
        else ""
    )
    lines = [
        (
            f"Calls, at the shipped operating point{peer}. In brackets the 95 % interval (Wilson), for false calls the "
            "upper bound (exact, Poisson)."
        ),
        "",
        "| | " + " | ".join(calls) + " |",
        "|---|" + "---|" * len(calls),
        "| false calls | "
        + " | ".join(
            f"{each['false']['count']} in {each['false']['hours']} h: {measures.rate_text(each['false'])}"
            for each in calls.values()
        )
        + " |",
        "| siren clips called | "
        + " | ".join(measures.share_text(each["siren_clips"]) for each in calls.values())
        + " |",
    ]
    lines += [
        f"| {label} | " + " | ".join(measures.share_text(each["by_label"][label]) for each in calls.values()) + " |"
        for label in first["by_label"]
    ]
    for snr in first["by_snr"]:
        rows = [each["by_snr"][snr] for each in calls.values()]
        cells = " | ".join(measures.share_text(row) + measures.latency_text(row) for row in rows)
        lines.append(f"| siren at {snr} dB | {cells} |")
    return lines
