"""Certificates that end, are renewed or are broken while daemon and consumer run, at a real broker."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.publish.mqtt.test_session import BOTH, is_up, made, wait

from sirend.cli import pki
from sirend.cli.doctor import broker as doctor
from sirend.cli.pki import Wish
from sirend.config.settings import Config, MqttConfig, TlsConfig
from sirend.errors import ConfigError
from sirend.publish.mqtt.access import client_id_of
from sirend.publish.mqtt.certificates import Certificates, validity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Broker

LONG_S = 1e7


@dataclass(frozen=True)
class Files:
    """The certificates of a broker and of one site."""

    folder: Path

    @property
    def tls(self) -> TlsConfig:
        folder = self.folder
        return TlsConfig(folder / "broker-ca.pem", folder / "site" / "s.pem", folder / "site" / "s.key")

    def issue(self, role: str, left_s: float) -> None:
        name = "s" if role == "site" else "127.0.0.1"
        at = datetime.now(UTC) - timedelta(days=pki.LEAF_DAYS) + timedelta(seconds=left_s)
        pki.issue(self.folder, Wish(role, name, renew=True), at)

    def broker(self, make: Callable[..., Broker]) -> Broker:
        return make(
            "allow_anonymous true",
            f"cafile {self.folder}/site-ca.pem",
            f"certfile {self.folder}/broker/127.0.0.1.pem",
            f"keyfile {self.folder}/broker/127.0.0.1.key",
            "require_certificate true",
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    pki.init(tmp_path, datetime.now(UTC) - timedelta(days=1000))
    found = Files(tmp_path)
    found.issue("broker", LONG_S)
    found.issue("site", LONG_S)
    return found


@pytest.mark.system
@pytest.mark.parametrize("kind", BOTH)
def test_a_certificate_that_has_ended_is_named_and_its_successor_taken_up(
    kind: str, files: Files, make_broker: Callable[..., Broker], caplog: pytest.LogCaptureFixture
) -> None:
    files.issue("site", -5.0)
    broker = files.broker(make_broker)
    broker.start()
    with made(kind, broker.port, tls=files.tls) as party:
        wait(lambda: broker.log.count("New connection from") > 5)
        assert party.problem == "refuses the encryption: certificate expired; see mqtt.tls"
        files.issue("site", LONG_S)
        wait(lambda: is_up(party))
        assert party.problem is None
    assert "3.1.1" not in caplog.text
    assert "lost the connection" not in caplog.text


@pytest.mark.system
@pytest.mark.parametrize("kind", BOTH)
def test_a_broker_whose_certificate_has_ended_is_named(
    kind: str, files: Files, make_broker: Callable[..., Broker]
) -> None:
    files.issue("broker", -5.0)
    broker = files.broker(make_broker)
    broker.start()
    with made(kind, broker.port, tls=files.tls) as party:
        wait(lambda: party.problem == "cannot be reached: its certificate is refused: certificate has expired")
        files.issue("broker", LONG_S)
        broker.restart()
        wait(lambda: is_up(party))


@pytest.mark.system
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("broken", ["another key", "half", "gone"])
def test_files_that_are_just_being_renewed_keep_nobody_from_the_broker(
    kind: str, broken: str, files: Files, make_broker: Callable[..., Broker], caplog: pytest.LogCaptureFixture
) -> None:
    broker = files.broker(make_broker)
    broker.start()
    cert = files.folder / "site" / "s.pem"
    with made(kind, broker.port, tls=files.tls) as party:
        wait(lambda: is_up(party))
        content = cert.read_bytes()
        if broken == "another key":
            files.issue("site", LONG_S)
            cert.write_bytes(content)
        elif broken == "half":
            cert.write_bytes(content[: len(content) // 2])
        else:
            cert.unlink()
        broker.kill()
        wait(lambda: not is_up(party))
        broker.start()
        wait(lambda: is_up(party))
    assert caplog.text.count("going on with those of before") == 1


@pytest.mark.system
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("role", ["site", "broker"])
def test_a_certificate_that_ends_soon_is_told_of_while_somebody_can_hear_it(
    kind: str, role: str, files: Files, make_broker: Callable[..., Broker]
) -> None:
    files.issue(role, 86_400.0)
    broker = files.broker(make_broker)
    broker.start()
    name = "s.pem" if role == "site" else "its own certificate"
    with made(kind, broker.port, tls=files.tls) as party:
        wait(lambda: is_up(party))
        assert party.problem is not None
        assert party.problem.startswith(f"{name} is good until {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d} ")
        assert party.problem.endswith(" UTC: renew it, and restart what uses it")


@pytest.mark.system
@pytest.mark.parametrize(("left_s", "word"), [(LONG_S, "ok"), (86_400.0, "warning")])
def test_the_doctor_tells_when_they_end(
    left_s: float, word: str, files: Files, make_broker: Callable[..., Broker]
) -> None:
    files.issue("broker", left_s)
    broker = files.broker(make_broker)
    broker.start()
    config = Config(site="s", mqtt=MqttConfig(port=broker.port, tls=files.tls))
    (found,) = [each for each in doctor.broker(config, is_stopped=False) if each.what == "TLS"]
    assert found.grade.value == word
    assert ("its own certificate is good until" in found.text) is (word == "warning")


def test_it_is_told_two_weeks_before_or_a_sixth_of_its_time(files: Files) -> None:
    now = datetime.now(UTC)
    pki.issue(files.folder, Wish("site", "s", days=6, renew=True), now)
    certificates = Certificates(files.tls)
    certificates.context()
    assert certificates.problem(now + timedelta(days=4)) is None
    assert "s.pem is good until" in str(certificates.problem(now + timedelta(days=5, minutes=1)))
    files.issue("site", 15 * 86_400.0)
    certificates.context()
    assert certificates.problem(now) is None
    assert "s.pem is good until" in str(certificates.problem(now + timedelta(days=2)))


def test_an_authority_that_ends_is_told_of_but_not_one_whose_successor_is_in_the_file(files: Files) -> None:
    now, place = datetime.now(UTC), files.folder / "broker-ca.pem"
    old = place.read_bytes()
    pki.init(files.folder / "new", now)
    certificates = Certificates(files.tls)
    end = now + timedelta(days=pki.AUTHORITY_DAYS - 1000 - 7)
    certificates.context()
    assert certificates.problem(end) is not None
    own_only = Certificates(TlsConfig(place))
    own_only.context()
    assert "broker-ca.pem is good until" in str(own_only.problem(end))
    place.write_bytes(old + (files.folder / "new" / "broker-ca.pem").read_bytes())
    own_only.context()
    assert own_only.problem(end) is None


def test_files_that_are_those_of_before_are_not_made_a_context_again(files: Files) -> None:
    """It has up to a megabyte, which Python's collector does not see: 250 attempts to connect kept 35 MB."""
    for tls in (files.tls, TlsConfig(None, files.tls.cert_file, files.tls.key_file)):
        certificates = Certificates(tls)
        first = certificates.context()
        assert certificates.context() is first
        files.issue("site", LONG_S)
        assert certificates.context() is not first


@pytest.mark.parametrize("name", ["s.pem", "s.key"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(files: Files, name: str) -> None:
    place = files.folder / "site" / name
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ConfigError, match="it is no regular file"):
        Certificates(files.tls).context()
    if name == "s.key":
        with pytest.raises(ConfigError, match="it is no regular file"):
            client_id_of(MqttConfig(tls=files.tls), "s")


def test_files_that_never_could_be_used_are_a_fault_of_the_configuration(files: Files) -> None:
    (files.folder / "site" / "s.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"mqtt\.tls: the certificates cannot be used: "):
        Certificates(files.tls).context()


def test_the_term_of_a_certificate_is_that_which_others_read(files: Files) -> None:
    for days in (1, 398, 3_649):
        pki.issue(files.folder, Wish("site", "s", days=days, renew=True))
        text = (files.folder / "site" / "s.pem").read_text()
        found = x509.load_pem_x509_certificate(text.encode())
        begins, ends = validity(ssl.PEM_cert_to_DER_cert(text))
        assert (begins, ends) == (
            found.not_valid_before_utc,
            found.not_valid_after_utc,
        )


@settings(max_examples=300)
@given(st.data())
def test_what_is_no_certificate_is_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    with suppress(ValueError):
        validity(data.draw(st.binary(max_size=40)))


def test_a_certificate_with_changed_bytes_is_read_or_refused(files: Files) -> None:
    der = ssl.PEM_cert_to_DER_cert((files.folder / "site" / "s.pem").read_text())
    for place in range(len(der)):
        for change in (0x00, 0x7F, 0x80, 0xFF):
            with suppress(ValueError):
                validity(der[:place] + bytes([change]) + der[place + 1 :])
        with suppress(ValueError):
            validity(der[:place])
