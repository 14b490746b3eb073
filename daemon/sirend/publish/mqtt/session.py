"""The one connection loop, for the daemon, its guests and the consumer: connect, speak, listen, and begin again.

What is sent and received is a ``Party``'s business; how a connection comes about, is judged and lost is decided here.
Each connection gets a new paho client, so that nothing of the one before is ever sent again behind our back.
"""

from __future__ import annotations

import logging
import math
import select
import ssl
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sirend.errors import SirendError
from sirend.host.pulse import Pulse
from sirend.publish.mqtt.access import Access
from sirend.publish.mqtt.backoff import Backoff, urgent_delay_s
from sirend.publish.mqtt.granting import Granting
from sirend.publish.mqtt.introduction import Introduction, Rejection
from sirend.publish.mqtt.network_thread import NetworkThread
from sirend.publish.mqtt.unrest import Unrest

if TYPE_CHECKING:
    import socket

    from sirend.config.settings import MqttConfig
    from sirend.publish.mqtt.connection import Connection
    from sirend.publish.mqtt.party import Party

ANSWER_S = 5.0
"""A broker that says nothing for so long, to CONNECT, SUBSCRIBE or a message, is tried anew: the line may be dead."""
STABLE_S = 10.0
"""A connection that held so long was a good one: the next failure starts the back-off anew."""
GREETING_S = 60.0
"""Connections that follow each other and hold for less than ``STABLE_S`` are logged once in so long."""
HANGS_S = 90.0
"""A thread that goes round less often hangs: no wait of it is longer than the 30 s of the longest back-off."""
OFFLINE_S = 0.4
_SERVING_S = 0.25
_LEAVING_S = 0.05
"""How long one turn waits: while a connection stands, and when it is to end."""


class Session:
    """Keeps a connection for a party from ``start`` to ``close``; a missing broker is no error."""

    def __init__(
        self, config: MqttConfig, client_id: str, party: Party, *, name: str, backoff: Backoff | None = None
    ) -> None:
        """Prepare to connect as ``client_id`` on a thread called ``name``.

        Raises ``ConfigError`` when the password or the certificates cannot be used.
        """
        self._config = config
        self._party = party
        self._access = Access.of(config)
        self._backoff = backoff or Backoff()
        self._thread = NetworkThread(name, self._run)
        self._pulse = Pulse(HANGS_S)
        self._closing = threading.Event()
        self._close_by = math.inf
        self._introduction = Introduction(config, client_id, party, self._access)
        self._number = 0
        self._connects = 0
        self._attempted_at = -math.inf
        self._is_open = False
        self._renewal: str | None = None
        self._problem: str | None = "not connected yet"
        self._unrest = Unrest()
        self._logged = ""
        self._greeting: str | None = None
        self._greeted_at = -math.inf
        self._granting = Granting(party, self._backoff)

    @property
    def place(self) -> str:
        """The broker, for messages."""
        return f"MQTT broker {self._config.host}:{self._config.port}"

    @property
    def fault(self) -> str | None:
        """What has become of its thread that nothing can mend but a restart, in words; None while it goes on."""
        if self._thread.has_died:
            return "the thread that speaks to the broker has ended by a bug; the log has it"
        if self._pulse.has_stopped():
            return f"the thread that speaks to the broker hangs: it did nothing for {HANGS_S:g} s"
        return None

    @property
    def is_open(self) -> bool:
        """Whether a connection stands."""
        return self._is_open

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has granted what the party listens to, and not gone since."""
        return self._is_open and self._granting.is_granted

    @property
    def problem(self) -> str | None:
        """Why there is no connection now, or no subscription; None when there is both."""
        return self._problem

    @property
    def unrest(self) -> str | None:
        """Why connections end again and again, as a predicate of the broker; None when they do not."""
        return self._unrest.problem(time.monotonic())

    @property
    def ending(self) -> str | None:
        """That a certificate ends soon, as a predicate of the broker; None while there is time."""
        certificates = self._access.certificates
        return None if certificates is None else certificates.problem(datetime.now(UTC))

    @property
    def connects(self) -> int:
        """Connections so far."""
        return self._connects

    def start(self) -> None:
        """Start the network thread, which keeps trying until the end."""
        self._thread.start()

    def wake(self) -> None:
        """Tell the network thread that there is something to send, or a call that waits."""
        self._thread.wake()

    def renew(self, why: str) -> None:
        """Leave the connection that stands, for ``why``, a predicate of the broker, and try its next address."""
        self._renewal = why

    def close(self, patience_s: float) -> None:
        """Deliver what waits, at most for ``patience_s``, say the will and disconnect."""
        self._close_by = time.monotonic() + patience_s
        self._closing.set()
        self._thread.wake()
        if not self._thread.join(patience_s + 2.0 * OFFLINE_S):
            _log.warning("%s: still waiting for the network; left to itself", self.place)

    def log(self, level: int, text: str) -> None:
        """Log a change of how things are once."""
        if text != self._logged:
            self._logged = text
            _log.log(level, "%s: %s", self.place, text)

    def _run(self, wakened: socket.socket) -> None:
        failures = 0
        with wakened:
            while not self._closing.is_set():
                self._pulse.beat()
                began_at = time.monotonic()
                held_s = self._attempt(wakened)
                failures = 0 if held_s > STABLE_S else failures + 1
                # A frozen broker's kernel still accepts connections: it must not hide the one beside it.
                if failures or self._renewal is not None:
                    self._access.addresses.doubt()
                self._pause(wakened, began_at, self._backoff.delay_s(failures))

    def _pause(self, wakened: socket.socket, began_at: float, delay_s: float) -> None:
        """Wait before the next attempt; a call that waits cuts it short: at once, then about every second."""
        until = time.monotonic() + delay_s
        urgent_at = began_at + urgent_delay_s()
        while not self._closing.is_set():
            left_s = (min(until, urgent_at) if self._party.is_urgent else until) - time.monotonic()
            if left_s <= 0.0:
                return
            if select.select([wakened], [], [], left_s)[0]:
                wakened.recv(4096)

    def _attempt(self, wakened: socket.socket) -> float:
        """Connect and serve the connection to its end; return how long it held, s."""
        self._number += 1
        self._renewal = None
        opened_at = math.inf
        try:
            connection = self._introduction.connect(self._number, wakened, ANSWER_S, lambda: self._close_by)
            opened_at = time.monotonic()
            self._serve(connection)
        except Rejection as rejection:
            self._fail(str(rejection))
        except (OSError, ValueError, SirendError) as error:
            self._fail(f"cannot be reached: {_brief(error)}")
        except Exception:  # noqa: BLE001  a bug must not end the reports; calls expire meanwhile
            self._problem = "the connection failed by a bug"
            _log.exception("%s: the connection failed by a bug; trying again", self.place)
        return time.monotonic() - opened_at

    def _fail(self, problem: str) -> None:
        if not self._closing.is_set():
            self._problem = problem
            self.log(logging.WARNING, f"{problem}; trying again until it works")

    def _serve(self, connection: Connection) -> None:
        """Serve a connection until it ends, or until a clean close is done."""
        self._granting = Granting(self._party, self._backoff)
        opened_at = time.monotonic()
        self._accepted(connection)
        try:
            while connection.is_accepted and not self._is_done(connection):
                self._exchange(connection, _LEAVING_S if self._closing.is_set() else _SERVING_S)
                self._greet(time.monotonic() - opened_at)
            if connection.is_accepted:
                self._say_offline(connection)
        finally:
            self._is_open = False
            self._greeting = None
            self._party.closed(connection.unacknowledged)
        if connection.end is not None:
            self._fail(self._renewal or self._unrest.ended(connection.end, time.monotonic()))
        self._introduction.dialect.ended()

    def _accepted(self, connection: Connection) -> None:
        if self._access.certificates is not None:
            self._access.certificates.met(connection.peer_certificate)
        self._introduction.dialect.accepted()
        about = self._party.opened(self._number, is_5=connection.is_5)
        if connection.is_5:
            self._greeting = f"connected with MQTT 5{about}"
            self._greet(0.0)
        else:
            without = "messages do not expire in it; update the broker"
            self.log(logging.WARNING, f"connected with MQTT 3.1.1, for it refuses MQTT 5: {without}{about}")
        self._connects += 1
        self._problem = None
        self._is_open = True

    def _greet(self, held_s: float) -> None:
        """Log that it connected, if not yet: the first time in a minute, or once it has held long enough."""
        now = time.monotonic()
        if self._greeting is not None and (now >= self._greeted_at + GREETING_S or held_s > STABLE_S):
            self.log(logging.INFO, self._greeting)
            self._greeting, self._greeted_at = None, now

    def _exchange(self, connection: Connection, timeout_s: float) -> None:
        """Send what may be sent, then wait for the broker or the party."""
        self._pulse.beat()
        if self._party.listens_first or self._granting.has_asked:
            self._subscribe(connection)
        while connection.is_accepted and connection.has_room:
            now = time.monotonic()
            message = self._party.take(now)
            if message is None:
                break
            if connection.send(message, now):
                self._party.sent(message, now)
            else:
                self._party.too_large(message)
        if not (self._granting.has_asked or self._party.has_more or connection.unacknowledged):
            self._subscribe(connection)
        connection.turn(timeout_s)
        now = time.monotonic()
        if connection.waits_since < now - ANSWER_S:
            connection.drop("does not acknowledge messages")
        if connection.asked_since < now - ANSWER_S:  # paho would wait as long as it waited before it asked
            connection.drop("does not answer")
        for message, code in connection.acknowledgements:
            self._party.acknowledged(message, code)
        connection.acknowledgements.clear()
        self._party.tick(now)
        if self._renewal is not None:
            connection.drop(self._renewal)

    def _subscribe(self, connection: Connection) -> None:
        """Ask for what the party listens to, where that is due, and tell what became of it."""
        answer = self._granting.step(connection, time.monotonic(), ANSWER_S)
        if answer is None:
            return
        if answer.is_silence:
            self.log(logging.WARNING, f"{answer.problem}; nobody watches over what stands there")
            return
        self._problem = answer.problem
        if answer.problem is not None:
            self.log(logging.ERROR, f"{answer.problem}; asking again until it is allowed")

    def _is_done(self, connection: Connection) -> bool:
        """Return whether a clean close has waited for the last messages, or long enough."""
        if not self._closing.is_set():
            return False
        return time.monotonic() > self._close_by or not (self._party.has_more or connection.unacknowledged)

    def _say_offline(self, connection: Connection) -> None:
        """Say the will and disconnect; where the broker does not acknowledge it, let it publish the will instead."""
        will = self._party.will(self._number)
        if will is None:
            connection.leave()
            return
        now = time.monotonic()
        connection.send(will, now)
        self._party.sent(will, now)
        until = time.monotonic() + OFFLINE_S
        while will in connection.unacknowledged and connection.is_accepted and time.monotonic() < until:
            connection.turn(_LEAVING_S)
        if will in connection.unacknowledged:
            connection.drop("did not acknowledge the farewell")
        else:
            connection.leave()


def _brief(error: Exception) -> str:
    """Return an error's own words, without the number in front of them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


_log = logging.getLogger(__name__)
