"""Faults of all kinds at random, and what must hold all the same: ``make chaos [MINUTES=30] [SEED=7]``.

A real mosquitto, a real daemon with a scripted siren, and a real consumer. Outages: the broker is killed or frozen, the
daemon is killed, frozen, without memory or thrown out by another client of its name, its clock is set by up to a day
in either direction for a while, or it boots in 1970 (libfaketime, where it is installed). Attacks, which may change
nothing: forged, empty, recorded and flooding messages on the site's topics, and a spare daemon that comes and goes.
From outside it is checked that

- no call is in force whose last word is older than ``valid_for_s``;
- after ``CALM_S`` without an outage, a call that the daemon says is in force, and one that it does not say is not.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import Broker

from sirend.client import Consumer, Keyring, Subscription, Topics
from sirend.config.settings import MqttConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Subscriber

TOPICS = Topics("sirend", "main-5th")
VALID_S = 5.0
CALM_S = 12.0
"""ANSWER_S, the consumer's longest back-off, a refresh, and something for a busy machine."""
SLACK_S = 0.5
STARVED_S = 1.0
"""A machine on which the campaign itself waits for so long to look on judges nothing then."""
BOOT_S = 120.0
"""How long a daemon may take to be there on a busy machine."""
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
WRONG_BY_S = (0.5, 4.0, 59.0, 3_600.0, 86_400.0)
"""By how much a clock is set, both ways: within what still counts, at the edge of what is believed, and beyond it."""
KEY = b"0123456789abcdef"


class Site:
    """A daemon as a process, what it said last, and how to start it again."""

    def __init__(self, port: int, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.script"
        self._log = folder / f"{name}.log"
        self._file.write_text("street")
        self._clock = folder / f"{name}.clock"
        self.set_clock(0.0)
        self._environment = _environment(self._clock, folder / f"{name}-state")
        self._words = [sys.executable, "-m", "tests.chaos.site", str(port), str(self._file), name, str(folder / "key")]
        self._process: subprocess.Popen[str] | None = None
        self.said: deque[tuple[float, str]] = deque([(time.monotonic(), "clear")], maxlen=1)
        self.has_siren = False

    def start(self) -> None:
        """Start it; what it says is read as it comes."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.endswith("\n"):  # one that was killed may leave half a line
                    at, state = line.split()
                    self.said.append((float(at), state))

    @property
    def about(self) -> str:
        """Whether it lives, and the last that it logged."""
        ended = None if self._process is None else self._process.poll()
        lines = self._log.read_text(errors="replace").splitlines()
        return f"exit code {ended}, log: {lines[-3:]}"

    def sound(self, *, siren: bool) -> None:
        """Begin or end the siren."""
        self.has_siren = siren
        self._file.write_text("siren" if siren else "street")

    def set_clock(self, offset_s: float) -> None:
        """Set its wall clock, and that of its next run, by so much against the machine's."""
        part = self._clock.with_suffix(".part")
        part.write_text(f"{offset_s:+.3f}\n")
        part.replace(self._clock)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def limit_memory(self, left_mb: float | None) -> None:
        """Let it have so much more than it has now, and no more; None lets it have what it wants."""
        assert self._process is not None
        most = resource.RLIM_INFINITY
        with suppress(FileNotFoundError, ProcessLookupError):  # it may have ended for want of it
            if left_mb is not None:
                pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[0])
                most = pages * resource.getpagesize() + round(left_mb * 1e6)
            resource.prlimit(self._process.pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    def stop(self, number: signal.Signals) -> None:
        """End it and wait for it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(60.0)
            self._process = None
            self._reader.join()


def _environment(clock: Path, state: Path) -> dict[str, str]:
    root = Path(__file__).parents[2]
    made = {"PYTHONPATH": f"{root}:{root / 'daemon'}", "PATH": "/usr/bin:/bin", "STATE_DIRECTORY": str(state)}
    if FAKETIME is not None:
        made |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock)}
        made |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return made


class Campaign:
    """One campaign: what is done and what was found."""

    def __init__(self, seed: int, folder: Path, opened: ExitStack) -> None:
        self._random = random.Random(seed)  # noqa: S311  nothing secret about it
        (folder / "key").write_bytes(KEY)
        self.broker = Broker(folder)
        self.broker.start()
        opened.callback(self.broker.stop)
        self.site, self.spare = (Site(self.broker.port, folder, name) for name in ("site", "spare"))
        for each in (self.site, self.spare):
            opened.callback(each.stop, signal.SIGKILL)
        self.site.start()
        consumer = Consumer(TOPICS, ["main"], Keyring.of(KEY))
        self.listening = opened.enter_context(Subscription(MqttConfig(port=self.broker.port), consumer))
        self.recorded: deque[tuple[str, str]] = deque(maxlen=200)
        self.done: Counter[str] = Counter()
        self.findings: list[str] = []
        self.called_s = 0.0
        """How long a call was in force, about."""
        self.calm_since = time.monotonic()
        self.agreed_since = time.monotonic()
        self._began_s = time.monotonic()

    @property
    def outages(self) -> list[Callable[[], None]]:
        """What takes something away; each is over when it returns."""
        clocks = [] if FAKETIME is None else [self.clock_is_wrong, self.clock_is_wrong, self.site_boots_in_1970]
        return [
            *(self.broker_dies, self.broker_freezes, self.site_dies, self.site_freezes, self.site_restarts),
            *(self.site_is_thrown_out, self.site_lacks_memory),
            *clocks,
        ]

    @property
    def attacks(self) -> list[Callable[[], None]]:
        """What may change nothing."""
        return [self.mutes, self.forges, self.repeats, self.floods, self.spare_comes_and_goes]

    def broker_dies(self) -> None:
        self.broker.kill()
        self.watch(self._random.uniform(0.0, 8.0))
        self.broker.start()

    def broker_freezes(self) -> None:
        self.broker.signal(signal.SIGSTOP)
        self.watch(self._random.uniform(0.5, 8.0))
        self.broker.signal(signal.SIGCONT)

    def site_dies(self) -> None:
        self.site.stop(signal.SIGKILL)
        self.watch(self._random.uniform(0.0, 4.0))
        self.site.start()

    def site_restarts(self) -> None:
        self.site.stop(signal.SIGKILL)
        self.site.start()

    def site_freezes(self) -> None:
        self.site.send(signal.SIGSTOP)
        self.watch(self._random.uniform(0.5, 6.0))
        self.site.send(signal.SIGCONT)

    def site_is_thrown_out(self) -> None:
        for _ in range(self._random.randint(1, 8)):  # by another client of the same name; the broker speaks its will
            words = ["mosquitto_pub", "-p", str(self.broker.port), "-i", "site", "-t", "nothing", "-m", "x"]
            subprocess.run(words, check=False, timeout=60.0)
            self.watch(self._random.uniform(0.1, 1.5))

    def site_lacks_memory(self) -> None:
        self.site.limit_memory(self._random.uniform(0.0, 2.0))
        if self._random.random() < 0.5:  # it has to connect anew meanwhile
            self.broker.kill()
            self.broker.start()
        self.watch(self._random.uniform(0.5, 6.0))
        self.site.limit_memory(None)
        if not self.site.is_running:  # systemd starts it anew
            self.site.stop(signal.SIGKILL)
            self.site.start()

    def clock_is_wrong(self) -> None:
        self.site.set_clock(self._random.choice(WRONG_BY_S) * self._random.choice((-1.0, 1.0)))
        self.watch(self._random.uniform(0.5, 8.0))
        if self._random.random() < 0.3:  # the run that had it is not there any more to put it right
            self.site.stop(signal.SIGKILL)
            self.site.set_clock(0.0)
            self.site.start()
        self.site.set_clock(0.0)

    def site_boots_in_1970(self) -> None:
        self.site.stop(signal.SIGKILL)
        self.site.set_clock(-round(time.time()))
        self.site.start()
        self.watch(self._random.uniform(2.0, 8.0))
        self.site.set_clock(0.0)

    def _as_attacker(self, act: Callable[[Subscriber], None]) -> None:
        with self.broker.subscribe("sirend/#") as attacker:
            act(attacker)
            while attacker.waiting:
                message = attacker.next()
                self.recorded.append((message.topic, message.payload))

    def mutes(self) -> None:
        topic = self._random.choice([TOPICS.availability, TOPICS.state("main"), TOPICS.health])
        word = self._random.choice(["", "offline", "online", "{}"])
        self._as_attacker(lambda attacker: attacker.publish(topic, word, retain=self._random.random() < 0.5))

    def forges(self) -> None:
        states = [payload for topic, payload in self.recorded if topic == TOPICS.state("main") and payload]
        if not states:
            return
        old = self._random.choice(states)
        new = (
            old.replace("approaching", "departing") if self._random.random() < 0.5 else old.replace('"seq":', '"seq":9')
        )
        self._as_attacker(lambda attacker: attacker.publish(TOPICS.state("main"), new, retain=True))

    def repeats(self) -> None:
        if self.recorded:
            topic, payload = self._random.choice(list(self.recorded))
            self._as_attacker(lambda attacker: attacker.publish(topic, payload, retain=self._random.random() < 0.5))

    def floods(self) -> None:
        topic = self._random.choice([TOPICS.availability, TOPICS.state("main")])
        words = ["mosquitto_pub", "-p", str(self.broker.port), "-t", topic, "-q", str(self._random.randrange(2)), "-l"]
        subprocess.run(words, input=b"offline\n" * 5_000, check=False, timeout=60.0)

    def spare_comes_and_goes(self) -> None:
        self.spare.start()
        self.watch(self._random.uniform(2.0, 8.0))
        self.spare.stop(self._random.choice([signal.SIGTERM, signal.SIGKILL]))

    def watch(self, seconds: float, *, is_calm: bool = False) -> None:
        """Look on for a while; what must not be is a finding."""
        looked_at = time.monotonic()
        until = looked_at + seconds
        while looked_at < until:
            now = time.monotonic()
            is_starved, looked_at = now - looked_at > STARVED_S, now
            said_at, said = self.site.said[-1]
            is_active = any(call.is_active for call in self.listening.effective())
            self.called_s += 0.05 if is_active else 0.0
            if is_active and not is_starved and said == "approaching" and now - said_at > VALID_S + SLACK_S:
                self.find(f"a call is in force whose last word is {now - said_at:.1f} s old")
            # Outages count for themselves; the daemon must have said the same for as long, at its usual pace.
            expected = said == "approaching"
            if not is_calm or is_starved or is_active == expected or (expected and now - said_at > 1.5):
                self.agreed_since = now
            if is_calm and now - max(self.calm_since, self.agreed_since) > CALM_S:
                self.find(f"the daemon says {said}, the consumer {'calls' if is_active else 'does not call'}")
                self.agreed_since = now
            time.sleep(0.05)

    def find(self, text: str) -> None:
        """Note what must not be."""
        self.findings.append(
            f"{time.monotonic() - self._began_s:.1f} s: {text}; after {dict(self.done)}; {self.site.about}"
        )
        print(self.findings[-1], flush=True)

    def run(self, until: float, end_s: float) -> None:
        """Do one thing after another; in the end let a siren sound for ``end_s``."""
        self.watch(4.0)
        while time.monotonic() < until:
            if self._random.random() < 0.3:
                self.site.sound(siren=not self.site.has_siren)
            is_outage = self._random.random() < 0.25
            act = self._random.choice(self.outages if is_outage else self.attacks)
            self.done[act.__name__] += 1
            act()
            if is_outage:
                self.calm_since = time.monotonic()
            self.watch(self._random.uniform(0.5, 5.0), is_calm=True)
        self._end(end_s)

    def _end(self, end_s: float) -> None:
        """Let a siren sound, which the daemon must say, and the consumer must hear then."""
        self.site.sound(siren=False)
        self.watch(4.0)  # a siren that sounded for long begins anew
        self.site.sound(siren=True)
        boot_by = time.monotonic() + BOOT_S
        while self.site.said[-1][1] != "approaching" or time.monotonic() - self.site.said[-1][0] > VALID_S:
            if time.monotonic() > boot_by:
                self.find("in the end a siren sounds that the daemon does not tell")
                return
            self.watch(0.5)
        self.calm_since = time.monotonic()
        self.watch(end_s, is_calm=True)
        if not any(call.is_active for call in self.listening.effective()):
            self.find("in the end a siren calls nobody")


def campaign(minutes: float, seed: int, end_s: float = 2.0 * CALM_S) -> Campaign:
    """Run for so long; return what was done and found."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        made = Campaign(seed, Path(folder), opened)
        made.run(time.monotonic() + 60.0 * minutes, end_s)
        return made


def main() -> int:
    """Run, print what was done and found, and return 1 when there is a finding."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=30.0)
    asked.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311  nothing secret about it
    args = asked.parse_args()
    print(f"seed {args.seed}, {args.minutes:g} minutes", flush=True)
    made = campaign(args.minutes, args.seed)
    faults = f"{sum(made.done.values())} faults: {dict(made.done)}"
    print(f"{faults}; {made.called_s:.0f} s of calls; findings: {len(made.findings)}")
    return int(bool(made.findings))


if __name__ == "__main__":
    sys.exit(main())
