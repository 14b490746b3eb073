"""The picture of a replay or of a call: what was heard, what was made of it, and when the controller was called.

Only ``require_picture`` and ``png`` import matplotlib.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

import sirend
from sirend.audio.stream import SAMPLE_RATE_HZ
from sirend.call.state import in_words
from sirend.detect.pitch import HIGH_HZ
from sirend.errors import UsageError
from sirend.evidence.chart_data import COLUMNS, FRAME
from sirend.evidence.decision_lanes import CALL_COLOUR, draw_decisions
from sirend.evidence.drive import Span, lead, lead_text
from sirend.host.files import is_other

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sirend.evidence.chart_data import CallSpan, ChartData
    from sirend.evidence.drive import Drive

TOP_HZ = 5_000
"""Sirens and their strong harmonics lie below."""
MOST_STRIPS = 8
"""Recordings that fit in one picture."""
MINUTES_S, HOURS_S = 120.0, 7200.0
"""Lengths from which times are shown in minutes and in hours."""
MOST_TICKS = 12
LABEL_ROOM = 0.015
"""Share of the width that a label along a line needs; one that has less is left out, its line stays."""
SECTOR_COLOUR = "#e6eaee"
TRUTH_COLOUR = "#1f6f8b"
"""Of what is known of a simulated drive."""
PANELS = (("spectrum", 3.0), ("pitch", 1.5), ("bearing", 1.5), ("scores", 1.9), ("levels", 1.0), ("decisions", 0.9))
"""The panels of a recording from top to bottom, and their heights, parts; that of the bearing is an array's alone."""
SHADED = ("pitch", "bearing", "scores", "levels")
"""Panels that are shaded while the controller is called."""
INCHES = 7.4 / 8.1
"""Of a part."""
LANE = 0.28
"""What each approach after the first adds to it, inches."""


def require_picture(path: Path) -> None:
    """Raise ``UsageError``, before an hour is spent, where no picture can be drawn, or none that ``path`` names."""
    if path.suffix.lower() != ".png" and not is_other(path):
        raise UsageError(f"--plot {path}: the picture is a PNG; name it {path.with_suffix('.png')}")
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415  an extra
    except ImportError as error:
        raise UsageError("--plot needs matplotlib: sudo make install EXTRAS=plot, or make venv EXTRAS=plot") from error


def png(charts: Sequence[ChartData], model: str) -> bytes:
    """Return the picture of ``charts``, judged by ``model``, as a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    heights = [_heights(data) for data in charts]
    ratios = [inches for each in heights for inches in each.values()]
    figure = Figure(figsize=(13.0, 0.8 + sum(ratios)), dpi=110, layout="constrained")
    axes = iter(figure.subplots(len(ratios), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0])
    for data, each in zip(charts, heights, strict=True):
        _draw(data, {name: next(axes) for name in each})
    figure.suptitle(
        f"sirend {sirend.__version__} with {model}\n"
        "red: an emergency vehicle is approaching, the signal controller is called",
        fontsize=11,
    )
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the font lacks a sign of a file's name
        figure.savefig(file, format="png")
    return file.getvalue()


def _heights(data: ChartData) -> dict[str, float]:
    """Return the panels of a recording with their heights, inches."""
    heights = {name: parts * INCHES for name, parts in PANELS}
    heights["decisions"] += LANE * max(0, len(data.traces) - 1)
    if not (data.sectors or data.bearing.end_s):
        del heights["bearing"]
    return heights


def _draw(data: ChartData, axes: dict[str, Any]) -> None:
    """Draw one recording: its panels above each other, with one time below all."""
    calls = [call for call in data.calls() if call.end_s >= data.start_s and call.start_s <= data.end_s]
    name = data.name.encode(errors="replace").decode()  # file names need not be text
    title = f"{name}: {len(calls)} {'call' if len(calls) == 1 else 'calls'}"
    axes["spectrum"].set_title(title, loc="left", fontsize=10, parse_math=False)
    _draw_spectrum(data, axes["spectrum"])
    _draw_pitch(data, axes["pitch"])
    if "bearing" in axes:
        _draw_bearing(data, axes["bearing"])
    _draw_traces(data, axes["scores"], axes["levels"])
    draw_decisions(data, calls, axes["decisions"])
    if data.drive is not None:
        _draw_drive(data.drive, axes, data.end_s)
        title = f"{title}; {lead_text(lead(data.drive, map(Span.of, calls)))}"
        axes["spectrum"].set_title(title, loc="left", fontsize=10, parse_math=False)
    unit = "h:min" if data.end_s > HOURS_S else "min:s" if data.end_s > MINUTES_S else "s"
    axes["decisions"].set_xlabel(f"time since the recording began ({unit})")
    for place in axes.values():
        place.set_xlim(data.start_s, max(data.end_s, data.start_s + 1.0))
        if data.end_s > MINUTES_S:
            place.set_xticks(ticks_between(data.start_s, data.end_s))
            place.xaxis.set_major_formatter(lambda at_s, _: time_text(at_s, data.end_s))
        place.tick_params(labelbottom=place is axes["decisions"])
    room_s = LABEL_ROOM * (data.end_s - data.start_s)
    labelled_s = -math.inf
    for panel, place in axes.items():
        _draw_calls(calls, place, is_shaded=panel in SHADED)
    for call in sorted(calls, key=lambda call: call.start_s):
        where = f" on {call.start.approach}" if len(data.traces) > 1 else ""
        if call.start_s - labelled_s >= room_s:
            labelled_s = call.start_s
            _label(axes["spectrum"], call.start_s, "left", f"approaching{where}, {time_text(call.start_s, data.end_s)}")
        if call.end is not None and call.end_s - labelled_s >= 2.0 * room_s:
            labelled_s = call.end_s
            _label(
                axes["spectrum"],
                call.end_s,
                "right",
                f"cleared: {in_words(call.end.reason, call.end.mode)}, {time_text(call.end_s, data.end_s)}",
            )


def _draw_calls(calls: Sequence[CallSpan], axis: Any, *, is_shaded: bool) -> None:  # noqa: ANN401
    """Draw over the whole height when calls began and ended: all in one piece each, for a night has hundreds."""
    from matplotlib.collections import LineCollection, PolyCollection  # noqa: PLC0415  an extra

    across = {"transform": axis.get_xaxis_transform(), "color": CALL_COLOUR}
    for times_s, style in (([call.start_s for call in calls], "-"), ([call.end_s for call in calls], "--")):
        lines = [[(at_s, 0.0), (at_s, 1.0)] for at_s in times_s]
        axis.add_collection(LineCollection(lines, linewidth=1.2, linestyle=style, **across), autolim=False)
    if is_shaded:
        spans = [[(call.start_s, 0.0), (call.start_s, 1.0), (call.end_s, 1.0), (call.end_s, 0.0)] for call in calls]
        axis.add_collection(PolyCollection(spans, alpha=0.18, linewidth=0.0, **across), autolim=False)


def _draw_spectrum(data: ChartData, axis: Any) -> None:  # noqa: ANN401  matplotlib's own types need it installed
    """Draw the spectrogram, in dB between its background and its loudest tones."""
    axis.set_ylabel("frequency (kHz)")
    if not data.columns:
        return
    power_db = 10.0 * np.log10(np.stack(data.columns, axis=1) + 1e-12)
    shown = power_db[: FRAME * TOP_HZ // SAMPLE_RATE_HZ]
    many = max(1, shown.shape[1] // COLUMNS)
    column_s = many * data.column_samples / SAMPLE_RATE_HZ
    shown = shown[:, : shown.shape[1] // many * many].reshape(len(shown), -1, many).max(axis=2)
    low, high = np.percentile(shown, [20.0, 99.8])
    axis.imshow(
        shown,
        origin="lower",
        aspect="auto",
        extent=(data.start_s, data.start_s + shown.shape[1] * column_s, 0.0, TOP_HZ / 1000.0),
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 10.0),
        interpolation="nearest",
    )


def _draw_pitch(data: ChartData, axis: Any) -> None:  # noqa: ANN401
    """Draw the strongest tone; a faint point is one that hardly stands out of the noise."""
    track = data.pitch
    axis.scatter(
        track.at_s, np.asarray(track.hz) / 1000.0, s=5.0, c=track.strength, cmap="Greys", vmin=0.0, vmax=0.8, zorder=2
    )
    axis.text(1.012, 0.5, "strongest tone;\npale: hardly one", transform=axis.transAxes, va="center", fontsize=8)
    axis.set_ylim(0.0, HIGH_HZ / 1000.0)
    axis.set_ylabel("pitch (kHz)")
    axis.grid(linewidth=0.3)


def _draw_bearing(data: ChartData, axis: Any) -> None:  # noqa: ANN401
    """Draw where the siren was, with its uncertainty, over the sectors of the legs."""
    for leg in data.sectors:
        for turn in (-360.0, 0.0, 360.0):
            low, high = leg.bearing_deg - leg.half_deg + turn, leg.bearing_deg + leg.half_deg + turn
            axis.axhspan(low, high, facecolor=SECTOR_COLOUR, edgecolor="white", linewidth=2.0, zorder=0)
        axis.text(
            0.004, leg.bearing_deg % 360.0, leg.approach, transform=axis.get_yaxis_transform(), va="center", fontsize=8
        )
    track = data.bearing
    if data.drive is not None and data.drive.bearing_deg:
        dots = {"marker": ".", "markersize": 2.0, "linestyle": "none", "color": TRUTH_COLOUR}
        axis.plot(data.drive.time_s, data.drive.bearing_deg, label="true", **dots)
    axis.errorbar(
        track.end_s, track.deg, yerr=track.sd_deg, fmt=".", markersize=4.0, color="black", ecolor="#777777",
        elinewidth=1.0, label="bearing of the siren,\nand one sigma",
    )  # fmt: skip
    axis.set_ylim(0.0, 360.0)
    axis.set_yticks([0, 90, 180, 270, 360], ["N", "E", "S", "W", "N"])
    axis.set_ylabel("bearing")
    axis.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8, frameon=False)


def _draw_traces(data: ChartData, scores: Any, levels: Any) -> None:  # noqa: ANN401
    """Draw what changes from window to window."""
    traces = dict(list(data.traces.items())[-1:]) if data.sectors else data.traces  # an array hears one for all
    for name, trace in traces.items():
        where = f", {name}" if len(traces) > 1 else ""
        scores.plot(trace.end_s, trace.evidence, linewidth=1.8, label=f"evidence of a siren{where}")
        colour = scores.lines[-1].get_color()
        if trace.score != trace.evidence:  # of a network over several seconds one is the other
            label = f"score of a window{where}"
            scores.plot(trace.end_s, trace.score, linewidth=0.8, alpha=0.6, color=colour, label=label)
        levels.plot(trace.end_s, trace.level_dbfs, linewidth=1.2, color=colour)
    for threshold, label, style in ((data.rules.enter, "enter", "--"), (data.rules.exit, "exit", ":")):
        scores.axhline(threshold, color="black", linewidth=0.9, linestyle=style, label=f"{label} at {threshold:g}")
    scores.set_ylim(-0.03, 1.03)
    scores.set_ylabel("siren, 0 to 1")
    scores.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8, frameon=False)
    levels.set_ylabel("level (dBFS)")
    for axis in (scores, levels):
        axis.grid(linewidth=0.3)


def _draw_drive(drive: Drive, axes: dict[str, Any], end_s: float) -> None:
    """Draw what is known of a simulated drive: its distance, when it was first audible, in sight, at the stop line."""
    distance = axes["levels"].twinx()
    distance.plot(drive.time_s, drive.distance_m, color=TRUTH_COLOUR, linewidth=1.2, linestyle="--")
    distance.set_ylim(bottom=0.0)
    distance.set_ylabel("distance (m)", color=TRUTH_COLOUR)
    if drive.in_sight_s is not None:
        distance.axvline(drive.in_sight_s, color=TRUTH_COLOUR, linewidth=0.9)
        distance.text(
            drive.in_sight_s,
            0.95,
            " in sight ",
            transform=distance.get_xaxis_transform(),
            ha=side_of(drive.in_sight_s, end_s),
            va="top",
            color=TRUTH_COLOUR,
            fontsize=7,
            clip_on=True,
        )
    for at_s, what, style in ((drive.first_audible_s, "first audible", ":"), (drive.stop_line_s, "stop line", "-.")):
        if at_s is not None:
            for place in axes.values():
                place.axvline(at_s, color=TRUTH_COLOUR, linewidth=1.2, linestyle=style)
            box = {"facecolor": TRUTH_COLOUR, "edgecolor": "none", "pad": 1.5}
            axes["pitch"].text(
                at_s,
                0.97 * HIGH_HZ / 1000.0,
                f"{what}, {time_text(at_s, end_s)}",
                ha=side_of(at_s, end_s),
                va="top",
                rotation=90,
                color="white",
                fontsize=7,
                bbox=box,
                clip_on=True,
            )


def side_of(at_s: float, end_s: float) -> str:
    """Return how a label stands to its line, ``right``-aligned unless the picture's edge would cut it off."""
    return "right" if at_s >= LABEL_ROOM * end_s else "left"


def _label(axis: Any, at_s: float, side: str, text: str) -> None:  # noqa: ANN401
    """Write on the spectrogram, along a line at a time."""
    box = {"facecolor": CALL_COLOUR, "edgecolor": "none", "pad": 1.5}
    top = 0.97 * TOP_HZ / 1000.0
    axis.text(at_s, top, text, ha=side, va="top", rotation=90, color="white", fontsize=8, bbox=box, clip_on=True)


def ticks_between(start_s: float, end_s: float) -> list[float]:
    """Return at most ``MOST_TICKS`` times between, at whole minutes or hours."""
    steps = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
    step = next((each for each in steps if (end_s - start_s) / each <= MOST_TICKS), 86_400)
    return [float(at_s) for at_s in range(math.ceil(start_s / step) * step, math.floor(end_s) + 1, step)]


def time_text(at_s: float, end_s: float) -> str:
    """Return a time for people, as a recording of ``end_s`` needs it."""
    whole = int(at_s)
    if end_s > HOURS_S:
        return f"{whole // 3600}:{whole // 60 % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}" if end_s > MINUTES_S else f"{at_s:.1f} s"
