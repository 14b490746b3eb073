"""``sirend listen``, the reference consumer: prints the calls in force, acts on them, tells what became of them."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sirend.call.clock import utc_text
from sirend.call.eta import KEYS, eta_of
from sirend.call.event import ACK_SCHEMA
from sirend.client import Consumer, Keyring, Subscription, Topics
from sirend.errors import ConfigError, DeviceError
from sirend.host.systemd import Notifier
from sirend.host.threads import ThreadWatcher
from sirend.signing import canonical

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping

    from sirend.client import Call
    from sirend.config.settings import Config
    from sirend.controller.outputs import Output

POLL_S = 0.2
LEAVE_S = 5.0
"""How long the end may take besides the outputs."""
ACK_S = 5.0
"""How often an acknowledgement is repeated while a call stands, and how long one is of any use."""
_log = logging.getLogger(__name__)


class Acknowledgements:
    """What was last told of each approach, and what has to be told now."""

    def __init__(self, outputs: dict[str, Output]) -> None:
        """Tell of ``outputs``, by name."""
        self._outputs = outputs
        self._said: dict[str, tuple[dict[str, Any], float]] = {}

    def due(self, call: Call, problem: str | None = None) -> bytes | None:
        """Return the acknowledgement of ``call`` where it differs from the last, or has to be repeated.

        ``problem`` is why the listener may hear nothing of the site.
        """
        about = self._about(call) | ({} if problem is None else {"problem": problem})
        before, said_at = self._said.get(call.approach, ({}, 0.0))
        is_due = call.is_active and time.monotonic() - said_at >= ACK_S
        if about == before and not is_due:
            return None
        self._said[call.approach] = (about, time.monotonic())
        return canonical({**about, "at": utc_text(datetime.now(UTC))}).encode()

    def _about(self, call: Call) -> dict[str, Any]:
        statement = call.statement
        reports = {name: output.report(call.approach) for name, output in self._outputs.items()}
        known = {name: report for name, report in reports.items() if report is not None}
        verdicts = [report.confirmed for report in known.values()]
        confirmed = False if False in verdicts else None if None in verdicts or not verdicts else True
        return {
            "schema": ACK_SCHEMA,
            "site": call.site,
            "approach": call.approach,
            "state": call.state,
            "reason": call.reason,
            "event_id": None if statement is None else statement.event_id,
            "confirmed": confirmed,
            "outputs": {
                name: {"confirmed": report.confirmed, "detail": report.detail, "problem": report.problem}
                for name, report in known.items()
            },
        }


class TimesToGo:
    """Finds the calls that say for the first time when their siren will be nearest: few know it when they begin."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._said: dict[str, str] = {}

    def due(self, calls: Iterable[Call], changed: Iterable[Call]) -> list[Call]:
        """Return those of ``calls`` that have to be told once more; those of ``changed`` were told just now."""
        for call in changed:
            self._take(call)
        return [call for call in calls if self._take(call)]

    def _take(self, call: Call) -> bool:
        """Remember a call that says it; return whether none of the same event was remembered."""
        statement = call.statement
        if statement is None or not _times(call) or self._said.get(call.approach) == statement.event_id:
            return False
        self._said[call.approach] = statement.event_id
        return True


def consumer_of(config: Config, *, verify: bool) -> Consumer:
    """Return the consumer of a site.

    It asks for signatures when ``verify`` says so, and whenever there is a key and something acts on the calls. Raises
    ``ConfigError`` when there is no key, or it cannot be read.
    """
    key_file = config.mqtt.sign_key_file
    if verify and key_file is None:
        raise ConfigError("mqtt.sign_key_file", ["--verify needs a key: name its file"])
    keys = Keyring.read(key_file) if key_file is not None and (verify or config.listen.acts) else None
    approaches = [approach.name for approach in config.approaches]
    return Consumer(Topics(config.mqtt.prefix, config.site), approaches, keys, config.listen.rehearsal)


def outputs_of(config: Config) -> dict[str, Output]:
    """Return the configured outputs by name; raise ``ConfigError`` when one lacks its library or a secret.

    The libraries of relays and controllers are extras: they are imported only where they are configured.
    """
    listen = config.listen
    outputs: dict[str, Output] = {}
    if listen.ntcip is not None:
        from sirend.controller.outputs.ntcip import Ntcip  # noqa: PLC0415

        outputs["ntcip"] = Ntcip(listen.ntcip)
    if listen.relays:
        from sirend.controller.outputs.relay import Relays  # noqa: PLC0415

        outputs["relay"] = Relays(listen.relays)
    if listen.command is not None:
        from sirend.controller.outputs.command import Command  # noqa: PLC0415

        outputs["command"] = Command(
            listen.command, listen.command_timeout_s, [approach.name for approach in config.approaches]
        )
    return outputs


def follow_calls(config: Config, consumer: Consumer, say: Callable[[str], None], stop: threading.Event) -> None:
    """Say, act on and acknowledge every change of the effective calls until ``stop`` is set; ``say`` gets JSON lines.

    Raises ``DeviceError`` when an output cannot be opened, and when a thread ends by a bug or hangs: what it served
    would stay as it is, and nobody would notice. A missing broker or controller is waited for.
    """
    outputs = outputs_of(config)
    acks, times = Acknowledgements(outputs), TimesToGo()
    with ExitStack() as opened:
        watcher = opened.enter_context(ThreadWatcher())
        subscription = opened.enter_context(Subscription(config.mqtt, consumer))
        for output in outputs.values():
            opened.enter_context(output)
        notifier = Notifier()
        notifier.send("READY=1", "STATUS=listening")
        opened.callback(_leave, outputs, notifier)
        while not stop.is_set():
            for fault in (*watcher.problems, subscription.fault):
                if fault is not None:
                    raise DeviceError(f"{fault}; everything is left clear, start it anew")
            notifier.send("WATCHDOG=1")
            changed = subscription.changes(POLL_S)
            for call in changed:
                for output in outputs.values():
                    output.act(call)
                say(line_of(call))
            for call in times.due(subscription.effective(), changed):
                say(line_of(call))
            for output in outputs.values():
                output.beat()
            if config.listen.ack and subscription.is_open:
                _acknowledge(subscription, acks, consumer.topics)


def _acknowledge(subscription: Subscription, acks: Acknowledgements, topics: Topics) -> None:
    """Publish the acknowledgements that are due."""
    for call in subscription.effective():
        ack = acks.due(call, subscription.problem)
        if ack is not None:
            subscription.publish(topics.ack(call.approach), ack, ACK_S)


def _leave(outputs: Mapping[str, Output], notifier: Notifier) -> None:
    """Let all outputs clear at once; each is waited for when it is left."""
    longest_s = max((output.leave_s for output in outputs.values()), default=0.0)
    notifier.send("STOPPING=1")
    notifier.send(f"EXTEND_TIMEOUT_USEC={round((longest_s + LEAVE_S) * 1e6)}")
    for output in outputs.values():
        output.clear()


def line_of(call: Call) -> str:
    """Return a change as one line of JSON, of a call with the time until its siren is nearest, where it said one."""
    about = {"site": call.site, "approach": call.approach, "state": call.state, "reason": call.reason}
    return canonical({**about, **_times(call), "at": utc_text(call.at)})


def _times(call: Call) -> dict[str, float]:
    """Return when the siren of a call will be nearest, by the fields of an event; none where that is not said."""
    told = eta_of(call.statement.payload) if call.is_active and call.statement is not None else None
    return {} if told is None else dict(zip(KEYS, (told.eta_s, told.low_s, told.high_s), strict=True))
