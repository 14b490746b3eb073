"""The lowest panel of a picture: where a siren was heard, which way it went, and where the controller was called.

Only ``draw_decisions`` imports matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sirend.detect.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.evidence.chart_data import CallSpan, ChartData

CALL_COLOUR = "#d62728"
HEARD: dict[str, Any] = {"facecolor": "#f2b134", "hatch": "////", "edgecolor": "#8a5a00"}
"""How a siren is drawn whose way is not known."""
WAYS: dict[Motion, str] = {
    Motion.APPROACHING: "#e66101",
    Motion.DEPARTING: "#b2abd2",
    Motion.STATIONARY: "#5e3c99",
}
"""Colours of those whose way is; also people who confuse red and green tell them apart (ColorBrewer, PuOr)."""
ROOM = 0.07
"""Share of the width that a word needs."""


def draw_decisions(data: ChartData, calls: Sequence[CallSpan], axis: Any) -> None:  # noqa: ANN401  matplotlib's own types need it installed
    """Draw a lane for each approach, and below it the legend of what occurs."""
    from matplotlib.patches import Patch  # noqa: PLC0415  an extra

    names = list(data.traces)
    seen: set[Motion] = set()
    for lane, name in enumerate(names):
        heard = [(from_s, until_s - from_s) for from_s, until_s in data.sirens(name)]
        called = [(call.start_s, call.end_s - call.start_s) for call in calls if call.start.approach == name]
        axis.broken_barh(heard, (lane + 0.1, 0.4), zorder=2, **HEARD)
        axis.broken_barh(called, (lane + 0.5, 0.4), facecolor=CALL_COLOUR, zorder=2)
        for from_s, until_s, motion in data.motions(name):
            seen.add(motion)
            axis.broken_barh([(from_s, until_s - from_s)], (lane + 0.1, 0.4), facecolor=WAYS[motion], zorder=2.5)
            if until_s - from_s >= ROOM * (data.end_s - data.start_s):
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
                middle = (from_s + until_s) / 2.0
                axis.text(middle, lane + 0.3, motion.value, ha="center", va="center", fontsize=7, bbox=box, zorder=3)
    axis.set_ylim(max(len(names), 1), 0)
    axis.set_yticks([lane + 0.5 for lane in range(len(names))], names if len(names) > 1 else ["decisions"])
    axis.tick_params(left=False)
    patches = [
        Patch(label="siren heard", **HEARD),
        *(Patch(facecolor=colour, label=f"heard, {motion.value}") for motion, colour in WAYS.items() if motion in seen),
        Patch(facecolor=CALL_COLOUR, label="controller called"),
    ]
    axis.legend(
        handles=patches, loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=7.5, frameon=False,
        borderaxespad=0.0, labelspacing=0.25,
    )  # fmt: skip
