"""``sirend run``: the supervisor of the live daemon.

It opens what the pipeline needs in order and closes it in reverse: whatever ends the daemon, standing calls are cleared
before the broker is told ``offline``, and where nothing can be told any more, the broker's will speaks.
"""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sirend.audio.devices import Devices
from sirend.audio.microphone import POLL_S
from sirend.audio.routing import pickups
from sirend.audio.stream import Gap
from sirend.call.clock import LiveClock
from sirend.call.rules import Rules
from sirend.call.schedule import schedule
from sirend.call.scribe import Scribe
from sirend.config.reload import merge
from sirend.config.secrets import sign_key
from sirend.errors import ConfigError, DeviceError
from sirend.host import verdict
from sirend.host.systemd import Notifier
from sirend.host.threads import ThreadWatcher
from sirend.observe.merge import MomentMerger
from sirend.observe.snapshot import Setup, View
from sirend.pipeline import detect_all
from sirend.publish.journal import Journal
from sirend.publish.mqtt.home_assistant import discovery
from sirend.publish.mqtt.publisher import Mqtt
from sirend.service.extras import onlookers
from sirend.service.health import Health
from sirend.service.inputs import stages_of
from sirend.service.limits_file import LimitsFile, limits_path

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from sirend.audio.stream import Block, Score
    from sirend.call.event import Event
    from sirend.config.settings import Config
    from sirend.detect.bundle import Bundle
    from sirend.detect.tracker import Track
    from sirend.service.extras import Onlooker
    from sirend.service.rereading import Rereading

SHOWN_S = 1.0
"""How often those who look on get new numbers."""
HEALTH_S = 30.0
"""How often health is published when nothing changes."""
BYTES_A_MB = 1_000_000

_log = logging.getLogger(__name__)


def nobody(_view: View) -> Sequence[Onlooker]:
    """Return no further onlooker."""
    return ()


class Service:
    """One run of the daemon."""

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        stop: threading.Event,
        rereading: Rereading | None = None,
        also: Callable[[View], Sequence[Onlooker]] = nobody,
    ) -> None:
        """Prepare to run until ``stop`` is set; nothing is opened yet. ``rereading`` is how the file is read again.

        ``also`` makes those that look on beside the ones that ``config`` enables.

        Raises ``ConfigError`` when the parts of ``config`` and ``bundle`` do not fit, or a secret cannot be read.
        """
        self._config = config
        self._bundle = bundle
        self._rereading = rereading
        self._notifier = Notifier()
        self._watcher = ThreadWatcher()
        approaches = [approach.name for approach in config.approaches]
        journal = config.journal
        self._journal = None if journal.path is None else Journal(journal.path, journal.max_mb * BYTES_A_MB)
        self._inputs = Devices(pickups(config), stop)
        self._clocks = [LiveClock(microphone.arrived) for microphone in self._inputs.microphones]
        key_file = config.mqtt.sign_key_file
        key = None if key_file is None else sign_key(key_file)
        boot_id = str(uuid.uuid4())
        self._mqtt = Mqtt(
            config.mqtt, config.site, approaches, announcements=discovery(config), boot_id=boot_id, sign_key=key
        )
        scribe = Scribe(
            site=config.site,
            boot_id=boot_id,
            mode="live",
            model=bundle.name,
            clock=self._clocks[0],
            valid_for_s=config.call.valid_for_s,
            advisory=config.call.advisory,
            sign_key=key,
        )
        self._scribe = scribe
        self._devices = stages_of(config, bundle, scribe, self._clocks)
        self._watches = self._devices[0].arbitration.watches
        self._limits = LimitsFile(limits_path(config), self._watches)
        self._view = View(Setup.of(config, bundle))
        self._merger = MomentMerger(self._view, self._watches, [list(stages.watches) for stages in self._devices])
        self._onlookers = [*onlookers(config, self._view), *also(self._view)]
        inputs = {each.name: pickup.audio.device for pickup in pickups(config) for each in pickup.approaches}
        self._health = Health(
            site=config.site, boot_id=boot_id, model=bundle.name, watches=self._watches, inputs=inputs
        )
        self._published: tuple[str, list[str]] = ("", [])
        self._proof: dict[str, Any] | None = None
        self._attend_at = self._due_at = self._shown_at = 0.0
        self._number = 0
        self._scored: set[int] = set()

    def run(self) -> None:
        """Work until ``stop`` is set.

        Raises ``DeviceError`` when there is no input at the start. An input that is lost later is waited for.
        """
        with ExitStack() as opened:
            opened.enter_context(self._watcher)
            if self._rereading is not None:
                opened.enter_context(self._rereading)
            if self._journal is not None:
                opened.enter_context(self._journal)
            opened.enter_context(self._limits)
            for onlooker in self._onlookers:
                opened.enter_context(onlooker)
            opened.enter_context(self._mqtt)  # closed before the onlookers: the broker must not wait for them
            try:
                opened.enter_context(self._inputs)
                self._notifier.send("READY=1", "STATUS=listening")
                if self._rereading is not None:
                    self._rereading.taken_up(self._config)
                for event in detect_all(self._attended(), self._devices, self._on_score, self._merger.add_window):
                    self._publish(event)
                self._health.failure = "stopped"
            except Exception as error:
                self._health.failure = str(error) or type(error).__name__
                raise
            finally:
                self._notifier.send("STOPPING=1")
                self._report()

    def _attended(self) -> Iterator[tuple[int, Block | Gap]]:
        """Yield what the microphones do; between two items, see to health: after a gap, else every ``POLL_S``.

        Blocks come 50 times a second, and to see to it after each costs twice what it costs to hear.
        """
        for number, item in self._inputs:
            self._number = number
            self._health.observe_input(item, self._inputs.names[number])
            yield number, item
            if isinstance(item, Gap) or time.monotonic() >= self._attend_at:
                self._attend()
                self._attend_at = time.monotonic() + POLL_S

    def _attend(self) -> None:
        """See to what is not heard: the broker's thread, the watchdog, wishes of others, health."""
        if (fault := self._mqtt.fault) is not None:  # detection would go on, and nobody would hear of it
            raise DeviceError(fault)
        self._limits.keep()
        self._feed_watchdog()
        if self._rereading is not None and (new := self._rereading.take()) is not None:
            self._reload(new)
        if (proof := self._view.selftest) is not self._proof and proof is not None:
            self._proof = proof
            self._mqtt.selftest(proof)
        self._health.check_clock()
        if time.monotonic() >= self._due_at or self._summary() != self._published:
            self._report()
        elif time.monotonic() >= self._shown_at + SHOWN_S:
            self._show()

    def _on_score(self, score: Score, track: Track) -> None:
        """Attend to a window: the only sign of life that counts."""
        if not self._health.windows_scored:
            for name in self._watches:
                self._mqtt.publish(self._scribe.initial(name))
            _log.info("listening: the first window is scored")
        self._health.observe(score, track)
        self._merger.add_score(score, track)
        self._scored.add(self._number)

    def _feed_watchdog(self) -> None:
        """Feed the watchdog after true progress only: a window scored, or another turn of getting a lost input back.

        It goes hungry when a stage hangs, for then no item is done with; when the device hangs while it is opened; and
        when an input counts as well but no window comes of it. A microphone that stays away is none of these, and
        restarting for it would mend nothing. Of several, each must make progress before it is fed again.
        """
        seeking = {number for number, microphone in enumerate(self._inputs.microphones) if microphone.is_seeking}
        if len(self._scored | seeking) == len(self._devices):
            self._notifier.send("WATCHDOG=1")
            self._scored.clear()

    def _publish(self, event: Event) -> None:
        """Send ``event`` everywhere: first to those who wait, then to the disk."""
        self._mqtt.publish(event)
        if self._journal is not None:
            self._journal.publish(event)
        self._view.add_event(event)
        if not event.refresh:
            _log.info("%s %s: %s, confidence %.3f", event.approach, event.state, event.reason, event.confidence)

    def _reload(self, new: Config | ConfigError) -> None:
        """Take up what can be of a new configuration, and tell those who wait for it."""
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        problem = self._take_up(new)
        self._notifier.send("READY=1")
        verdict.write_verdict(problem)

    def _take_up(self, new: Config | ConfigError) -> str | None:
        """Take up what can be of ``new``; one that is wrong or weaker changes nothing. Return why it was refused."""
        try:
            if isinstance(new, ConfigError):
                raise new
            merged, taken, left = merge(self._config, new)
            rules = Rules.of(merged.detect, merged.call, self._bundle.point(merged.detect.profile))
        except ConfigError as error:
            _log.error("the configuration was not reloaded, the old one stays in force: %s", error)
            self._health.complaint = "the configuration file is wrong; the one before it is in force"
            return str(error)
        if self._rereading is not None:
            self._rereading.taken_up(new)
        self._config = merged
        self._view.setup = Setup.of(merged, self._bundle)
        self._health.complaint = None
        for stages, clock in zip(self._devices, self._clocks, strict=True):
            for watch in stages.watches.values():
                watch.rules = rules
                watch.is_inhibited = schedule(merged.call.inhibit, clock)
        _log.info("configuration reloaded: %s", ", ".join(taken) or "nothing that can be taken up now has changed")
        if left:
            _log.warning("these need a restart to take effect: %s", ", ".join(left))
        return None

    def _summary(self) -> tuple[str, list[str]]:
        journal = None if self._journal is None else self._journal.problem
        diagnosis = self._inputs.diagnosis(time.monotonic())
        others = [onlooker.problem for onlooker in self._onlookers if onlooker.problem is not None]
        if self._limits.problem is not None:
            others.append(self._limits.problem)
        others += self._watcher.problems
        others += [each.ear.problem for each in self._devices if each.ear is not None and each.ear.problem is not None]
        return self._health.summary(broker=self._mqtt.problem, journal=journal, diagnosis=diagnosis, others=others)

    def _report(self) -> None:
        """Publish health."""
        self._published = self._summary()
        self._due_at = time.monotonic() + HEALTH_S
        state, reasons = self._published
        self._notifier.send(f"STATUS={'; '.join([state, *reasons])}")
        self._show()
        self._mqtt.health(self._view.health)

    def _show(self) -> None:
        """Give those who look on the numbers of now."""
        state, reasons = self._published
        self._shown_at = time.monotonic()
        self._view.health = self._health.payload(
            state=state,
            reasons=reasons,
            dropped=self._inputs.dropped,
            outbox=self._mqtt.counts,
            journal_failures=0 if self._journal is None else self._journal.failures,
            journal_torn=0 if self._journal is None else self._journal.torn,
        )
