from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sirend.cli import pki
from sirend.cli.main import main
from sirend.cli.pki import Wish
from sirend.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 21, 3, 4, tzinfo=UTC)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki") / "fleet"
    pki.init(made, NOW)
    return made


def test_a_client_is_trusted_by_the_authority_of_its_role_alone(folder: Path) -> None:
    pki.issue(folder, Wish("site", "main-5th"), NOW)
    site = folder / "site" / "main-5th.pem"
    assert read(site).subject.rfc4514_string() == "CN=main-5th,OU=site"

    def trusts(role: str, purpose: str, days: int) -> bool:
        at = str(int((NOW + timedelta(days=days)).timestamp()))
        words = ["openssl", "verify", "-x509_strict", "-attime", at, "-purpose", purpose]
        words += ["-CAfile", str(folder / f"{role}-ca.pem"), str(site)]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    assert trusts("site", "sslclient", 397)
    assert not trusts("site", "sslclient", 399)
    assert not trusts("site", "sslserver", 1)
    assert not trusts("controller", "sslclient", 1)
    assert not trusts("broker", "sslclient", 1)


def test_a_broker_is_known_by_each_of_its_names_for_398_days(folder: Path) -> None:
    pki.issue(folder, Wish("broker", "mqtt.example.org", ("127.0.0.1", "::1")), NOW)
    broker = read(folder / "broker" / "mqtt.example.org.pem")
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mqtt.example.org"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    policy = PolicyBuilder().store(Store([read(folder / "broker-ca.pem")]))
    host = x509.DNSName("mqtt.example.org")
    policy.time(NOW + timedelta(days=397)).build_server_verifier(host).verify(broker, [])
    for when in (NOW - timedelta(hours=2), NOW + timedelta(days=399)):
        with pytest.raises(VerificationError, match="cert is not valid at validation time"):
            policy.time(when).build_server_verifier(host).verify(broker, [])


def test_a_monitor_has_a_name_that_no_site_can_have(folder: Path) -> None:
    pki.issue(folder, Wish("monitor", "dashboard"), NOW)
    monitor = read(folder / "monitor" / "dashboard.pem")
    assert monitor.subject.rfc4514_string() == "CN=monitor.dashboard,OU=monitor"
    assert monitor.issuer == read(folder / "controller-ca.pem").subject


def test_keys_are_readable_for_their_owner_alone(folder: Path) -> None:
    keys = [*folder.rglob("*.key")]
    assert len(keys) >= 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


@pytest.mark.parametrize("name", ["Main", "a/b", "a+b", "#", "a.b", "", "a" * 65])
def test_a_name_that_would_reach_beyond_its_topics_is_refused(folder: Path, name: str) -> None:
    for role in ("site", "controller", "monitor"):
        with pytest.raises(UsageError, match=f"is no name of a {role}: allowed is 1 to 64"):
            pki.issue(folder, Wish(role, name), NOW)


def test_nothing_is_replaced_but_to_renew_it(folder: Path) -> None:
    pki.issue(folder, Wish("site", "again"), NOW)
    first = read(folder / "site" / "again.pem")
    with pytest.raises(UsageError, match=r"again\.pem is there already; --renew replaces it"):
        pki.issue(folder, Wish("site", "again"), NOW)
    pki.issue(folder, Wish("site", "again", renew=True), NOW + timedelta(days=300))
    assert read(folder / "site" / "again.pem").not_valid_after_utc == first.not_valid_after_utc + timedelta(days=300)
    with pytest.raises(UsageError, match="has authorities already"):
        pki.init(folder, NOW)


def test_a_missing_or_damaged_authority_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no site-ca \(No such file or directory\): sirend pki init"):
        pki.issue(tmp_path, Wish("site", "s"), NOW)
    pki.init(tmp_path, NOW)
    (tmp_path / "site-ca.key").write_text("a secret that is no key")
    with pytest.raises(ConfigError) as raised:
        pki.issue(tmp_path, Wish("site", "s"), NOW)
    assert raised.value.problems == ("site-ca.pem and site-ca.key are no certificate and key",)


def test_the_command_makes_a_fleet_and_prints_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = str(tmp_path / "fleet")
    assert main(["pki", "init", fleet]) == 0
    assert main(["pki", "issue", fleet, "broker", "mqtt", "--host", "127.0.0.1"]) == 0
    assert main(["pki", "issue", fleet, "controller", "main-5th", "--days", "30"]) == 0
    assert main(["pki", "key", str(tmp_path / "sign.key")]) == 0
    made = capsys.readouterr().out.splitlines()
    assert made[-3:] == [f"{fleet}/controller/main-5th.key", f"{fleet}/controller/main-5th.pem", f"{tmp_path}/sign.key"]
    key = (tmp_path / "sign.key").read_text()
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE((tmp_path / "sign.key").stat().st_mode) == 0o600
    assert main(["pki", "key", str(tmp_path / "sign.key")]) == 64
    assert main(["pki", "issue", fleet, "site", "s", "--days", "0"]) == 64
    assert main(["pki", "issue", fleet, "broker", "mqtt", "--renew", "--host", "a b"]) == 64
    told = capsys.readouterr().err
    assert f"sirend: error: {tmp_path}/sign.key is there already; it is not replaced\n" in told
    assert "sirend: error: --days is 0: allowed is 1 to 3650\n" in told
    assert "sirend: error: 'a b' is no host name or address\n" in told
    assert (tmp_path / "sign.key").read_text() == key
