"""``sirend run``: the supervisor of the live daemon.

It opens what the pipeline needs in order and closes it in reverse: whatever ends the daemon, standing calls are cleared
before the broker is told ``offline``, and where nothing can be told any more, the broker's will speaks.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sirend.classifier import Classifier
from sirend.config import secret
from sirend.debounce import Rules
from sirend.ear import Ear
from sirend.errors import ConfigError
from sirend.events import LiveClock, Scribe
from sirend.health import Health
from sirend.home_assistant import discovery
from sirend.journal import Journal
from sirend.live import Post, View
from sirend.microphone import Microphone
from sirend.mqtt import Mqtt
from sirend.notify import Notifier
from sirend.onlookers import onlookers
from sirend.pipeline import Stages, detect, schedule
from sirend.reload import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sirend.audio import Block, Gap, Score
    from sirend.bundle import Bundle
    from sirend.events import Event
    from sirend.settings import Config
    from sirend.tracker import Track

HEALTH_S = 30.0
"""How often health is published when nothing changes."""
BYTES_A_MB = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rereading:
    """How a running daemon gets a new configuration."""

    read: Callable[[], Config]
    """Reads the file; raises ``ConfigError`` when it is wrong."""
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when the file is to be read."""


class Service:
    """One run of the daemon."""

    def __init__(
        self, config: Config, bundle: Bundle, stop: threading.Event, rereading: Rereading | None = None
    ) -> None:
        """Prepare to run until ``stop`` is set; nothing is opened yet. ``rereading`` is how the file is read again.

        Raises ``ConfigError`` when the parts of ``config`` and ``bundle`` do not fit, or a secret cannot be read.
        """
        self._config = config
        self._bundle = bundle
        self._rereading = rereading
        self._notifier = Notifier()
        approaches = [approach.name for approach in config.approaches]
        journal = config.journal
        self._journal = None if journal.path is None else Journal(journal.path, journal.max_mb * BYTES_A_MB)
        self._mqtt = Mqtt(config.mqtt, config.site, approaches, announcements=discovery(config))
        self._ear = Ear({approach.name: approach.channel for approach in config.approaches})
        self._microphone = Microphone(config.audio, stop, self._ear)
        clock = self._clock = LiveClock(self._microphone.arrived)
        key_file = config.mqtt.sign_key_file
        boot_id = str(uuid.uuid4())
        scribe = Scribe(
            site=config.site,
            boot_id=boot_id,
            mode="live",
            model=bundle.name,
            clock=clock,
            valid_for_s=config.call.valid_for_s,
            advisory=config.call.advisory,
            sign_key=None if key_file is None else secret(key_file),
        )
        self._stages = Stages.of(
            config,
            bundle,
            Classifier(bundle, len(approaches)),
            scribe,
            channels=[approach.channel for approach in config.approaches],
            is_inhibited=schedule(config.call.inhibit, clock),
        )
        self._view = View(Post.of(config, bundle))
        self._onlookers = onlookers(config, self._view)
        self._health = Health(site=config.site, boot_id=boot_id, model=bundle.name, watches=self._stages.watches)
        self._said: tuple[str, list[str]] = ("", [])
        self._proof: dict[str, Any] | None = None
        self._due_at = 0.0
        self._has_scored = False

    def run(self) -> None:
        """Work until ``stop`` is set.

        Raises ``DeviceError`` when there is no input at the start. An input that is lost later is waited for.
        """
        with ExitStack() as opened:
            if self._journal is not None:
                opened.enter_context(self._journal)
            for onlooker in self._onlookers:
                opened.enter_context(onlooker)
            opened.enter_context(self._mqtt)  # closed before the onlookers: the broker must not wait for them
            try:
                opened.enter_context(self._microphone)
                self._notifier.send("READY=1", "STATUS=listening")
                for event in detect(self._attended(), self._stages, self._on_score, self._view.see):
                    self._publish(event)
                self._health.failure = "stopped"
            except Exception as error:
                self._health.failure = str(error) or type(error).__name__
                raise
            finally:
                self._notifier.send("STOPPING=1")
                self._report()

    def _attended(self) -> Iterator[Block | Gap]:
        """Yield what the microphone does; between two items, see to health."""
        for item in self._microphone:
            self._health.learn(item)
            yield item
            self._show_life()
            if self._rereading is not None and self._rereading.asked.is_set():
                self._rereading.asked.clear()
                self._reload(self._rereading.read)
            if (proof := self._view.selftest) is not self._proof and proof is not None:
                self._proof = proof
                self._mqtt.selftest(proof)
            self._health.check_clock()
            if time.monotonic() >= self._due_at or self._summary() != self._said:
                self._report()

    def _on_score(self, score: Score, track: Track) -> None:
        """Attend to a window: the only sign of life that counts."""
        if not self._health.windows_scored:
            for name in self._stages.watches:
                self._mqtt.publish(self._stages.scribe.initial(name))
            _log.info("listening: the first window is scored")
        self._health.observe(score, track)
        self._view.hear(score, track, self._stages.watches[score.approach].state.call)
        self._has_scored = True

    def _show_life(self) -> None:
        """Feed the watchdog after true progress only: a window scored, or another turn of getting a lost input back.

        It goes hungry when a stage hangs, for then no item is done with; when the device hangs while it is opened; and
        when an input counts as well but no window comes of it. A microphone that stays away is none of these, and
        restarting for it would mend nothing.
        """
        if self._has_scored or self._microphone.is_seeking:
            self._notifier.send("WATCHDOG=1")
        self._has_scored = False

    def _publish(self, event: Event) -> None:
        """Send ``event`` everywhere: first to those who wait, then to the disk."""
        self._mqtt.publish(event)
        if self._journal is not None:
            self._journal.publish(event)
        self._view.tell(event)
        if not event.refresh:
            _log.info("%s %s: %s, confidence %.3f", event.approach, event.state, event.reason, event.confidence)

    def _reload(self, read: Callable[[], Config]) -> None:
        """Take up what can be of a new configuration; one that is wrong changes nothing."""
        try:
            merged, taken, left = merge(self._config, read())
            rules = Rules.of(merged.detect, merged.call, self._bundle.operating)
        except ConfigError as error:
            _log.error("the configuration was not reloaded, the old one stays in force: %s", error)
            self._health.complaint = "the configuration file is wrong; the one before it is in force"
            return
        self._config = merged
        self._view.post = Post.of(merged, self._bundle)
        self._health.complaint = None
        for watch in self._stages.watches.values():
            watch.rules = rules
            watch.is_inhibited = schedule(merged.call.inhibit, self._clock)
        _log.info("configuration reloaded: %s", ", ".join(taken) or "nothing that can be taken up now has changed")
        if left:
            _log.warning("these need a restart to take effect: %s", ", ".join(left))

    def _summary(self) -> tuple[str, list[str]]:
        journal = None if self._journal is None else self._journal.problem
        ear = self._ear.diagnosis(time.monotonic())
        others = [onlooker.problem for onlooker in self._onlookers if onlooker.problem is not None]
        return self._health.summary(broker=self._mqtt.problem, journal=journal, ear=ear, others=others)

    def _report(self) -> None:
        """Publish health."""
        state, reasons = self._said = self._summary()
        self._due_at = time.monotonic() + HEALTH_S
        self._notifier.send(f"STATUS={'; '.join([state, *reasons])}")
        payload = self._health.payload(
            state=state,
            reasons=reasons,
            dropped=self._microphone.dropped,
            outbox=self._mqtt.counts,
            journal_failures=0 if self._journal is None else self._journal.failures,
            journal_torn=0 if self._journal is None else self._journal.torn,
        )
        self._mqtt.health(payload)
        self._view.health = payload


@contextmanager
def hanging_up(asked: threading.Event) -> Iterator[None]:
    """Set ``asked`` at a SIGHUP: ``systemctl reload``."""
    before = signal.signal(signal.SIGHUP, lambda *_: asked.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` when the process is told to end, by systemd or from the terminal."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
