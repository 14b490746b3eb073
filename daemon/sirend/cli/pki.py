"""``sirend pki``: the certificates and keys of a fleet, in a folder that stays with whoever runs the broker.

Three authorities, one for each role, so that no certificate is good for anything else: the broker trusts ``site-ca`` on
the port of the sites and ``controller-ca`` on the port of the controllers, everybody else trusts ``broker-ca``. What a
certificate may say is its common name, which the ACLs of ``conf/broker`` turn into topics.

    sirend pki init DIR                                  the three authorities
    sirend pki issue DIR broker mqtt.example.org         for the broker; --host adds names and addresses
    sirend pki issue DIR site main-5th                   for the daemon at a junction
    sirend pki issue DIR controller main-5th             for its signal controller: `sirend listen`
    sirend pki issue DIR monitor dashboard               for a reader of every site
    sirend pki key main-5th.sign-key                     a key that signs events
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirend.config.settings import NAME, NAME_ALLOWED
from sirend.errors import ConfigError, DeviceError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

AUTHORITIES = ("broker", "site", "controller")
ROLES = {"broker": "broker", "site": "site", "controller": "controller", "monitor": "controller"}
"""The authority that speaks for each role."""
AUTHORITY_DAYS = 3650
LEAF_DAYS = 398
"""As long as browsers let a certificate live; renew it in time, or the junction falls silent on the day."""
EARLY = timedelta(hours=1)
"""Certificates are good from a while ago: clocks differ."""
KEY_BYTES = 32
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of ``sirend pki``."""
    known = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    init = known.add_parser("init", help="make the three authorities")
    issue = known.add_parser("issue", help=f"make a certificate and its key, for {LEAF_DAYS} days")
    for each in (init, issue):
        each.add_argument("folder", type=Path, metavar="DIR", help="folder of the authorities; keep it offline")
    issue.add_argument("role", choices=tuple(ROLES), help="whose; a monitor reads every site")
    issue.add_argument(
        "name", metavar="NAME", help="the site, for site and controller; the broker's host name; any for a monitor"
    )
    issue.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="HOST",
        help="further name or address of the broker (default: none)",
    )
    issue.add_argument(
        "--days", type=int, default=LEAF_DAYS, help="how long it is good for, days (default: %(default)d)"
    )
    issue.add_argument("--renew", action="store_true", help="replace the certificate that is there")
    key = known.add_parser("key", help="make a key that signs events")
    key.add_argument("file", type=Path, metavar="FILE", help="mqtt.sign_key_file of a daemon and its controller")


def main(args: argparse.Namespace) -> int:
    """Do what the command line says."""
    if args.what == "key":
        made = [_write(args.file, secrets.token_hex(KEY_BYTES).encode() + b"\n", secret=True)]
    elif args.what == "init":
        made = init(args.folder)
    else:
        made = issue(args.folder, Wish(args.role, args.name, tuple(args.host), args.days, renew=args.renew))
    for path in made:
        print(path)  # noqa: T201
    return 0


@dataclass(frozen=True, slots=True)
class Wish:
    """A certificate to be made."""

    role: str
    name: str
    hosts: Sequence[str] = ()
    """Names and addresses of a broker besides ``name``."""
    days: int = LEAF_DAYS
    renew: bool = False


def init(folder: Path, now: datetime | None = None) -> list[Path]:
    """Make the authorities in ``folder``; return the files.

    Raises ``UsageError`` when they are there, ``DeviceError`` when they cannot be written.
    """
    moment = now or datetime.now(UTC)
    made = []
    for role in AUTHORITIES:
        if (folder / f"{role}-ca.key").exists():
            raise UsageError(f"{folder} has authorities already; all certificates of the fleet hang on them")
    for role in AUTHORITIES:
        key = _new_key()
        cert = _signed(f"sirend {role} authority", key, None, moment + timedelta(days=AUTHORITY_DAYS), moment)
        made += _pair(folder / f"{role}-ca", cert, key, renew=False)
    return made


def issue(folder: Path, wish: Wish, now: datetime | None = None) -> list[Path]:
    """Make a certificate and its key below ``folder``; return the files.

    Raises ``UsageError`` when the name will not do or the files are there, ``ConfigError`` when the authority is
    missing, ``DeviceError`` when they cannot be written.
    """
    moment = now or datetime.now(UTC)
    if not re.fullmatch(_HOST if wish.role == "broker" else NAME, wish.name):
        raise UsageError(f"{wish.name!r} is no name of a {wish.role}: allowed is {NAME_ALLOWED}")
    if not 1 <= wish.days <= AUTHORITY_DAYS:
        raise UsageError(f"--days is {wish.days}: allowed is 1 to {AUTHORITY_DAYS}")
    authority = _authority(folder, ROLES[wish.role])
    key = _new_key()
    # A site's name has no dot, so that no monitor is ever taken for a controller.
    name = f"monitor.{wish.name}" if wish.role == "monitor" else wish.name
    hosts = (wish.name, *wish.hosts) if wish.role == "broker" else ()
    cert = _signed(name, key, authority, moment + timedelta(days=wish.days), moment, hosts, wish.role)
    return _pair(folder / wish.role / wish.name, cert, key, renew=wish.renew)


def _library() -> Any:  # noqa: ANN401  the module
    try:
        from cryptography import x509  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise UsageError(
            "`sirend pki` needs cryptography: sudo make install EXTRAS=pki, or make venv EXTRAS=pki"
        ) from None
    return x509


def _new_key() -> EllipticCurvePrivateKey:
    _library()
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return ec.generate_private_key(ec.SECP256R1())


def _signed(  # noqa: PLR0913, PLR0917  what a certificate says
    name: str,
    key: EllipticCurvePrivateKey,
    authority: tuple[Certificate, EllipticCurvePrivateKey] | None,
    until: datetime,
    now: datetime,
    hosts: Sequence[str] = (),
    role: str | None = None,
) -> Certificate:
    """Return a certificate for ``name``: that of an authority where none is given, of a server where it has hosts.

    The role is its unit, for a broker that knows but one authority for all.
    """
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    unit = [] if role is None else [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role)]
    subject = x509.Name([*unit, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_authority = authority is None
    issuer, signer = (subject, key) if authority is None else (authority[0].subject, authority[1])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_authority:
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, is_authority: bool) -> Any:  # noqa: ANN401  an extension
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return _library().KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(unused, False),
    )


def _host(text: str) -> GeneralName:
    x509 = _library()
    if not _HOST.fullmatch(text):
        raise UsageError(f"{text!r} is no host name or address")
    try:
        found: GeneralName = x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        found = x509.DNSName(text)
    return found


def _authority(folder: Path, role: str) -> tuple[Certificate, EllipticCurvePrivateKey]:
    x509 = _library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        cert = x509.load_pem_x509_certificate((folder / f"{role}-ca.pem").read_bytes())
        key: Any = load_pem_private_key((folder / f"{role}-ca.key").read_bytes(), None)
    except OSError as error:
        raise ConfigError(str(folder), [f"has no {role}-ca ({error.strerror}): sirend pki init {folder}"]) from None
    except (ValueError, TypeError):  # no word of what is in the file
        raise ConfigError(str(folder), [f"{role}-ca.pem and {role}-ca.key are no certificate and key"]) from None
    return cert, key


def _pair(stem: Path, cert: Certificate, key: EllipticCurvePrivateKey, *, renew: bool) -> list[Path]:
    """Write a certificate and its key; neither replaces anything unless it is to ``renew``."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415

    places = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".key", ".pem")]
    if not renew and any(place.exists() for place in places):
        raise UsageError(f"{places[1]} is there already; --renew replaces it")
    text = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    _write(places[0], text, secret=True, replace=renew)
    _write(places[1], cert.public_bytes(form.Encoding.PEM), secret=False, replace=renew)
    return places


def _write(path: Path, content: bytes, *, secret: bool, replace: bool = False) -> Path:
    """Write a file that is never there in part, and never readable for others if it is ``secret``."""
    fresh = path.with_name(f".{path.name}.new") if replace else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.unlink(missing_ok=True) if replace else None
        number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        if replace:
            fresh.replace(path)
    except FileExistsError:
        raise UsageError(f"{path} is there already; it is not replaced") from None
    except OSError as error:
        raise DeviceError(f"{path}: cannot be written: {error.strerror}; name another folder") from error
    return path
