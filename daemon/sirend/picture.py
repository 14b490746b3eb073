"""The picture of a replay: what was heard, what the model made of it, and when the controller would have been called.

Collecting needs no matplotlib and bounded memory; only ``check`` and ``png`` import it.
"""

from __future__ import annotations

import io
import warnings
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import sirend
from sirend.audio import SAMPLE_RATE_HZ, Block
from sirend.debounce import CallState
from sirend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sirend.audio import Gap, Pcm, Score
    from sirend.debounce import Rules
    from sirend.events import Event
    from sirend.tracker import Track

COLUMNS = 1_600
"""Most columns of a spectrogram: as many as the picture has pixels across. A longer recording has wider ones."""
FRAME = 512
"""Length of a Fourier transform in samples: 32 ms, 31 Hz a bin."""
TOP_HZ = 5_000
"""Sirens and their strong harmonics lie below."""
MOST_STRIPS = 8
"""Recordings that fit in one picture."""
MINUTES_S = 120.0
"""Length from which times are shown in minutes."""
CALL_COLOUR = "#d62728"


class Strip:
    """Everything that the picture shows of one recording."""

    def __init__(self, name: str, duration_s: float, rules: Rules) -> None:
        """Collect for a recording ``name`` of about ``duration_s``, judged by ``rules``."""
        self.name = name
        self.rules = rules
        self.events: list[Event] = []
        self.columns: list[npt.NDArray[np.float32]] = []
        """Power spectra, float32[FRAME // 2 + 1] each, of the average of all channels."""
        self.column_samples = FRAME * max(1, -(-round(duration_s * SAMPLE_RATE_HZ) // (FRAME * COLUMNS)))
        self.traces: dict[str, Trace] = {}
        """Scores by approach."""
        self.end_s = 0.0
        self._hann = np.hanning(FRAME).astype(np.float32)
        self._held: Pcm = np.zeros(0, dtype=np.float32)

    def listen(self, source: Iterable[Block | Gap]) -> Iterator[Block | Gap]:
        """Yield what ``source`` yields, and note its spectrum."""
        for item in source:
            if isinstance(item, Block):
                self._note(item.pcm.mean(axis=1))
                self.end_s = item.end / SAMPLE_RATE_HZ
            yield item

    def _note(self, pcm: Pcm) -> None:
        self._held = np.concatenate((self._held, pcm))
        while len(self._held) >= self.column_samples:
            frames = self._held[: self.column_samples].reshape(-1, FRAME) * self._hann
            self.columns.append(np.square(np.abs(np.fft.rfft(frames, axis=1))).mean(axis=0).astype(np.float32))
            self._held = self._held[self.column_samples :]

    def observe(self, score: Score, track: Track) -> None:
        """Note a window's score."""
        trace = self.traces.setdefault(score.approach, Trace())
        trace.end_s.append(score.end / SAMPLE_RATE_HZ)
        trace.score.append(score.siren)
        trace.evidence.append(track.evidence)
        trace.level_dbfs.append(score.level_dbfs)

    def calls(self) -> Iterator[tuple[float, float, Event, Event | None]]:
        """Yield start and end in seconds of each call, the event that started it and the one that ended it."""
        standing: dict[str, Event] = {}
        for event in self.events:
            if event.refresh:
                continue
            if event.state is CallState.APPROACHING:
                standing[event.approach] = event
            elif (start := standing.pop(event.approach, None)) is not None:
                yield start.sample / SAMPLE_RATE_HZ, event.sample / SAMPLE_RATE_HZ, start, event
        for start in standing.values():
            yield start.sample / SAMPLE_RATE_HZ, self.end_s, start, None


class Trace:
    """One approach's windows, one value a window in each array."""

    def __init__(self) -> None:
        """Start with none."""
        self.end_s = array("d")
        self.score = array("f")
        self.evidence = array("f")
        self.level_dbfs = array("f")


def check() -> None:
    """Raise ``UsageError`` when matplotlib is not installed, before an hour is spent on a replay."""
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415  an extra
    except ImportError as error:
        raise UsageError("--plot needs matplotlib: sudo make install EXTRAS=plot, or make venv EXTRAS=plot") from error


def png(strips: Sequence[Strip], model: str) -> bytes:
    """Return the picture of ``strips``, judged by ``model``, as a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra

    figure = Figure(figsize=(13.0, 0.8 + 6.4 * len(strips)), dpi=110, layout="constrained")
    ratios = [3.0, 2.0, 1.4] * len(strips)
    axes = figure.subplots(3 * len(strips), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for index, strip in enumerate(strips):
        _draw(strip, axes[3 * index : 3 * index + 3])
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


def _draw(strip: Strip, axes: Any) -> None:  # noqa: ANN401  matplotlib's own types need it installed
    """Draw one recording: spectrogram, scores and level above each other."""
    spectrum, scores, levels = axes
    calls = list(strip.calls())
    name = strip.name.encode(errors="replace").decode()  # file names need not be text
    title = f"{name}: {len(calls)} {'call' if len(calls) == 1 else 'calls'}"
    spectrum.set_title(title, loc="left", fontsize=10, parse_math=False)
    _draw_spectrum(strip, spectrum)
    _draw_traces(strip, scores, levels)
    is_long = strip.end_s > MINUTES_S
    levels.set_xlabel(f"time since the recording began ({'min:s' if is_long else 's'})")
    for place in axes:
        place.set_xlim(0.0, max(strip.end_s, 1.0))
        if is_long:
            place.xaxis.set_major_formatter(lambda at_s, _: _time(at_s, in_minutes=True))
    for start_s, end_s, start, end in calls:
        for place in axes:
            place.axvline(start_s, color=CALL_COLOUR, linewidth=1.2)
            place.axvline(end_s, color=CALL_COLOUR, linewidth=1.2, linestyle="--")
        for place in (scores, levels):
            place.axvspan(start_s, end_s, color=CALL_COLOUR, alpha=0.18, linewidth=0.0)
        where = f" on {start.approach}" if len(strip.traces) > 1 else ""
        _label(spectrum, start_s, "left", f"approaching{where}, {_time(start_s, in_minutes=is_long)}")
        if end is not None:
            _label(spectrum, end_s, "right", f"cleared: {end.reason}, {_time(end_s, in_minutes=is_long)}")


def _draw_spectrum(strip: Strip, axis: Any) -> None:  # noqa: ANN401
    """Draw the spectrogram, in dB between its background and its loudest tones."""
    axis.set_ylabel("frequency (kHz)")
    if not strip.columns:
        return
    power_db = 10.0 * np.log10(np.stack(strip.columns, axis=1) + 1e-12)
    shown = power_db[: FRAME * TOP_HZ // SAMPLE_RATE_HZ]
    low, high = np.percentile(shown, [20.0, 99.8])
    axis.imshow(
        shown,
        origin="lower",
        aspect="auto",
        extent=(0.0, shown.shape[1] * strip.column_samples / SAMPLE_RATE_HZ, 0.0, TOP_HZ / 1000.0),
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 10.0),
        interpolation="nearest",
    )


def _draw_traces(strip: Strip, scores: Any, levels: Any) -> None:  # noqa: ANN401
    """Draw what changes from window to window."""
    for name, trace in strip.traces.items():
        where = f", {name}" if len(strip.traces) > 1 else ""
        scores.plot(trace.end_s, trace.score, linewidth=0.8, alpha=0.6, label=f"score of a window{where}")
        colour = scores.lines[-1].get_color()
        scores.plot(trace.end_s, trace.evidence, linewidth=1.8, color=colour, label=f"evidence of a siren{where}")
        levels.plot(trace.end_s, trace.level_dbfs, linewidth=1.2, color=colour)
    for threshold, label, style in ((strip.rules.enter, "enter", "--"), (strip.rules.exit, "exit", ":")):
        scores.axhline(threshold, color="black", linewidth=0.9, linestyle=style, label=f"{label} at {threshold:g}")
    scores.set_ylim(-0.03, 1.03)
    scores.set_ylabel("siren, 0 to 1")
    scores.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8, frameon=False)
    levels.set_ylabel("level (dBFS)")
    for axis in (scores, levels):
        axis.grid(linewidth=0.3)


def _label(axis: Any, at_s: float, side: str, text: str) -> None:  # noqa: ANN401
    """Write on the spectrogram, along a line at a time."""
    box = {"facecolor": CALL_COLOUR, "edgecolor": "none", "pad": 1.5}
    top = 0.97 * TOP_HZ / 1000.0
    axis.text(at_s, top, text, ha=side, va="top", rotation=90, color="white", fontsize=8, bbox=box, clip_on=True)


def _time(at_s: float, *, in_minutes: bool) -> str:
    """Return a time for people."""
    return f"{int(at_s) // 60}:{int(at_s) % 60:02d}" if in_minutes else f"{at_s:.1f} s"
