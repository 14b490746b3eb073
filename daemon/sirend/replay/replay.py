"""``sirend replay``: recordings through the very pipeline of the live daemon, faster than real time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from sirend.audio.recording import WavFile
from sirend.audio.routing import columns, pickups
from sirend.audio.stream import SAMPLE_RATE_HZ, Block, Gap, GapReason, Samples, to_seconds
from sirend.call.clock import ReplayClock
from sirend.call.schedule import schedule
from sirend.call.scribe import Scribe
from sirend.call.sector import Sectors
from sirend.errors import InputError, UsageError
from sirend.evidence import chart as picture
from sirend.evidence import drive as drives
from sirend.evidence.chart_data import ChartData
from sirend.host.files import as_text
from sirend.host.outfile import OutFile
from sirend.pipeline import Stages, detect
from sirend.replay.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sirend.audio.stream import Score
    from sirend.call.rules import Rules
    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle
    from sirend.detect.tracker import Track
    from sirend.pipeline import Scorer
    from sirend.publish.mqtt.guest import Delivery

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a replay is to do beyond judging its recordings."""

    events: Path | None = None
    """File for the events as JSON Lines; None is the standard output."""
    scores: Path | None = None
    """File for the scores as CSV, one row a window and approach."""
    plot: Path | None = None
    """File for the picture, a PNG."""
    is_mqtt: bool = False
    """Whether to publish events as well."""
    start: datetime = EPOCH
    """When the recordings began, UTC."""
    is_realtime: bool = False
    """Whether to take as long as the recordings."""
    block_s: float = 1.0
    """Length of the pieces in which files are read; it changes no result."""


class Replay:
    """Recordings, each through a fresh pipeline, with what all of them have in common."""

    def __init__(
        self, config: Config, bundle: Bundle, scorer: Scorer, wishes: Wishes, sign_key: bytes | None = None
    ) -> None:
        """Judge by ``config`` and ``bundle``; events are signed when there is a ``sign_key``."""
        self._config = config
        self._bundle = bundle
        self._scorer = scorer
        self._wishes = wishes
        self._sign_key = sign_key
        self._seq = 0
        self._delivery: Delivery | None = None
        self.leads: dict[str, str] = {}
        """Of the simulated drives that were replayed: how early each was called, in words, by the file's name."""
        self.quiet: dict[str, str] = {}
        """Of the recordings in which nothing was called: how near it came, in words, by the file's name."""

    def run(self, names: Sequence[str]) -> None:
        """Replay the files ``names``.

        Raises ``InputError`` before anything is written when one cannot be opened. One that turns out bad later is left
        out of the files, the others are replayed, and the error is raised at the end.
        """
        self._check(names)
        wishes = self._wishes
        failures: list[str] = []
        with ExitStack() as stack:
            picture_file = None if wishes.plot is None else stack.enter_context(OutFile(wishes.plot))
            if wishes.is_mqtt:
                from sirend.publish.mqtt.guest import Delivery  # noqa: PLC0415  takes time, and most replays tell nobody

                approaches = [approach.name for approach in self._config.approaches]
                self._delivery = stack.enter_context(Delivery(self._config.mqtt, self._config.site, approaches))
            charts: list[ChartData] = []
            with Results(wishes.events, wishes.scores) as results:
                for name in names:
                    try:
                        charts.append(self._play(name, results))
                    except InputError as error:
                        results.discard()
                        failures.append(str(error))
                if len(failures) == len(names):
                    raise InputError("\n".join(failures))
            if picture_file is not None:
                picture_file.write_bytes(picture.png(charts, self._bundle.name))
        if wishes.plot is not None:
            self._draw_hours(wishes.plot, charts)
        if failures:
            raise InputError("\n".join(failures))

    def _draw_hours(self, plot: Path, charts: Sequence[ChartData]) -> None:
        """Draw a picture of each hour of a longer recording beside that of the whole: ``night-h01.png`` and so on."""
        hours = [hour for data in charts for hour in data.hours()]
        for number, hour in enumerate(hours, start=1):
            with OutFile(plot.with_name(f"{plot.stem}-h{number:02d}{plot.suffix}")) as file:
                file.write_bytes(picture.png([hour], self._bundle.name))

    def _check(self, names: Sequence[str]) -> None:
        """Raise what stands in the way, before an hour is spent."""
        if self._wishes.plot is not None:
            picture.require_picture(self._wishes.plot)
            if len(names) > picture.MOST_STRIPS:
                raise UsageError(f"--plot shows at most {picture.MOST_STRIPS} files at once, not {len(names)}")
        problems = []
        for name in names:
            try:
                with self._open(name):
                    pass
            except InputError as error:
                problems.append(str(error))
        if problems:
            raise InputError("\n".join(problems))

    def _open(self, name: str) -> WavFile:
        """Open a recording; raise ``InputError`` when it cannot be played or lacks the channel of an approach.

        A junction with one microphone gets the average of all channels.
        """
        mono = len(pickups(self._config)) == 1 and self._config.audio.channels == 1
        window = Samples(self._bundle.feature_spec.window_samples)
        opened = WavFile(Path(name), mono=mono, block_s=self._wishes.block_s, at_least=window)
        for place, column in enumerate(columns(self._config)):
            if column >= opened.channels:
                with opened:
                    approaches = self._config.approaches
                    who = "the array" if self._config.array else f"approach {approaches[place].name!r}"
                    wants = f"{who} listens to channel {column}, counted from 0"
                    raise InputError(f"{name}: has {opened.channels} channel(s), but {wants}")
        return opened

    def _play(self, name: str, results: Results) -> ChartData:
        """Send one recording through the pipeline; return what there is to be drawn of it."""
        results.begin()
        shown = as_text(name)
        stages = self._stages(shown)
        highest, is_called = 0.0, False
        with self._open(name) as recording:
            data = ChartData(shown, recording.duration_s, next(iter(stages.watches.values())).rules)
            data.drive = drives.read_drive(Path(name))
            data.sectors = () if self._config.array is None else Sectors.of(self._config).legs

            def on_score(score: Score, track: Track) -> None:
                nonlocal highest
                highest = max(highest, score.siren)
                results.observe(shown, score)
                if self._wishes.plot is not None:
                    data.observe(score, track)

            blocks = self._paced(_shown(recording, name, recording.duration_s))
            source = _ended(data.listen(blocks) if self._wishes.plot is not None else blocks)
            for event in detect(source, stages, on_score):
                is_called = True
                results.publish(event)
                if self._delivery is not None:
                    self._delivery.publish(event)
                if self._wishes.plot is not None or data.drive is not None:
                    data.events.append(event)
                if not (results.are_wanted or self._delivery or self._wishes.plot):
                    break
            if not is_called:
                rules = next(iter(stages.watches.values())).rules
                self.quiet[name] = _quiet_text(highest, rules, is_inhibited=bool(self._config.call.inhibit))
            data.end_s = max(data.end_s, recording.duration_s)
            if data.drive is not None:
                self.leads[name] = drives.lead_text(drives.lead(data.drive, map(drives.Span.of, data.calls())))
        self._seq = stages.scribe.seq
        return data

    def _stages(self, name: str) -> Stages:
        """Return a fresh pipeline for the recording ``name``."""
        config, clock = self._config, ReplayClock(self._wishes.start)
        scribe = Scribe(
            site=config.site,
            boot_id="replay",
            mode="replay",
            model=self._bundle.name,
            clock=clock,
            valid_for_s=config.call.valid_for_s,
            advisory=config.call.advisory,
            source=name,
            sign_key=self._sign_key,
            seq=self._seq,
        )
        return Stages.of(
            config,
            self._bundle,
            self._scorer,
            scribe,
            channels=columns(config),
            is_inhibited=schedule(config.call.inhibit, clock),
        )

    def _paced(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield ``blocks``, each at the time at which a microphone would have delivered it, if that is wished."""
        began = time.monotonic()
        for block in blocks:
            if self._wishes.is_realtime:
                time.sleep(max(0.0, began + block.end / SAMPLE_RATE_HZ - time.monotonic()))
            yield block


def _ended(blocks: Iterable[Block | Gap]) -> Iterator[Block | Gap]:
    """Yield ``blocks``, and after them that there is no more: a call that stands then has lost its input."""
    end = Samples(0)
    for item in blocks:
        yield item
        end = item.end if isinstance(item, Block) else end
    yield Gap(end, GapReason.DEVICE_LOST)


def _quiet_text(highest: float, rules: Rules, *, is_inhibited: bool) -> str:
    """Return why nothing was called, as far as that is known, from the highest score and what a call asks for."""
    if highest <= rules.enter:
        return f"no call; the highest score is {highest:.3f}, a siren's are above {rules.enter:.3g}"
    asked = [f"it must stay there for {to_seconds(rules.confirm):g} s"]
    asked += [] if rules.tones is None else [f"be of detect.tones ({', '.join(sorted(rules.tones))})"]
    asked += ["lie outside call.inhibit"] if is_inhibited else []
    return (
        f"no call, although the score reached {highest:.3f} and a siren's are above {rules.enter:.3g}: "
        + " and ".join(asked)
    )


def _shown(blocks: Iterable[Block], name: str, duration_s: float) -> Iterator[Block]:
    """Yield ``blocks`` and show the progress, on a terminal only and when it takes a while."""
    with tqdm(total=round(duration_s), desc=name, unit="s", delay=1.0, leave=False, disable=None) as bar:
        for block in blocks:
            yield block
            bar.update(round(block.end / SAMPLE_RATE_HZ) - bar.n)
