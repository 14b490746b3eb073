"""The lanes below a picture."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from tests.evidence.test_chart import RULES

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, Score
from sirend.detect.motion import Motion
from sirend.detect.tracker import Track
from sirend.evidence.chart_data import ChartData
from sirend.evidence.decision_lanes import WAYS, draw_decisions


def test_each_way_that_a_siren_goes_is_seen_however_short_it_is_believed() -> None:
    """Where its word had no room nothing was drawn: a drive looked as if it had only departed."""
    data = ChartData("street.wav", 60.0, RULES)
    for hop in range(240):
        end = Samples(hop * SAMPLE_RATE_HZ // 4)
        motion = {20: Motion.APPROACHING, 21: Motion.APPROACHING}.get(hop, Motion.UNKNOWN)
        motion = Motion.DEPARTING if hop >= 120 else motion
        data.observe(Score(end, "main", 0.9, -20.0), Track(end, "main", 0.9, Samples(0), -20.0, motion))
    data.end_s = 60.0
    axis = Figure().subplots()
    draw_decisions(data, [], axis)
    drawn = {
        to_hex(np.asarray(bars.get_facecolor())[0]): [
            (float(path.get_extents().x0), float(path.get_extents().x1)) for path in bars.get_paths()
        ]
        for bars in axis.collections
        if len(bars.get_paths())
    }
    assert drawn[WAYS[Motion.APPROACHING]] == [(5.0, 5.5)]
    assert drawn[WAYS[Motion.DEPARTING]] == [(30.0, 60.0)]
    assert [text.get_text() for text in axis.texts] == ["departing"]
    legend = axis.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["siren heard", "heard, approaching", "heard, departing", "controller called"]
