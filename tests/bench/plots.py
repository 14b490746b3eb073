"""The report's pictures of what its parts measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.figures import Figures


def draw(key: str, figures: Figures, out: Path) -> Path | None:
    """Draw the figures of the part ``key`` into the folder ``out``; return the file, None where there is no picture."""
    if key not in ("speed", "motion", "fleet", "soak") or not figures:
        return None
    figure = Figure(figsize=(9.0, 3.0), dpi=110, layout="constrained")
    axis = figure.subplots()
    if key == "speed":
        costs = {name: model["cpu_ms"] for name, model in figures["models"].items()}
        costs |= {} if figures["peer_cpu_ms"] is None else {"YAMNet": figures["peer_cpu_ms"]}
        axis.bar_label(axis.barh(list(costs), list(costs.values())), fmt="%.1f ms")
        axis.set_xlabel("CPU for a second of audio (ms)")
    elif key == "motion":
        for row in ("motion", "legs"):
            left, total = 0.0, sum(count for name, count in figures[row].items() if name != "another later")
            for name, count in figures[row].items():
                if name != "another later":
                    axis.barh([row], [100.0 * count / total], left=left, label=f"{row}: {name}")
                    left += 100.0 * count / total
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        axis.set_xlabel("share (%)")
    elif key == "fleet":
        for number, row in enumerate(("beat_ms", "event_ms")):
            values = [figures[row][name] for name in ("p50", "p95", "p99")]
            axis.bar([place + 0.4 * number for place in range(3)], values, width=0.4, label=row.removesuffix("_ms"))
        axis.set_xticks([0.2, 1.2, 2.2], ["p50", "p95", "p99"])
        axis.set_ylabel("latency (ms)")
        axis.legend()
    else:
        hours, megabytes = zip(*figures["memory"], strict=True)
        axis.plot(hours, megabytes)
        axis.set_xlabel("audio (h)")
        axis.set_ylabel("memory (MB)")
        axis.set_ylim(bottom=0.0)
    path = out / f"{key}.png"
    figure.savefig(path)
    return path
