"""The certificates of an encrypted connection: read anew for each, and told of before they end.

Files are renewed while the daemon runs, and not all of them in one moment: a certificate may be there before its key,
or half of it. What was in use before is then used on.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirend.errors import ConfigError
from sirend.host.files import read_regular

if TYPE_CHECKING:
    from sirend.config.settings import TlsConfig

EARLY = timedelta(days=14)
EARLY_PART = 6
"""A certificate is told of so long before its end, or a sixth of its time: one of a week lasts less than two."""
_VERSION, _UTC_TIME = 0xA0, 0x17
_LONG_FORM = 0x80
"""Tags of DER, X.690, and what marks a length of several bytes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Term:
    """How long a certificate is good for."""

    name: str
    begins: datetime
    ends: datetime

    def problem(self, now: datetime) -> str | None:
        """Return that it ends soon, or has ended; None while there is time."""
        if self.ends - now > min(EARLY, (self.ends - self.begins) / EARLY_PART):
            return None
        return f"{self.name} is good until {self.ends:%Y-%m-%d %H:%M} UTC: renew it, and restart what uses it"


class Certificates:
    """Those of one side of a connection, and what is known of the other's. Lives on one thread."""

    def __init__(self, tls: TlsConfig) -> None:
        """Prepare to read the files of ``tls``."""
        self._tls = tls
        self._known: ssl.SSLContext | None = None
        self._digest = b""
        self._own: tuple[Term, ...] = ()
        self._peer: Term | None = None
        self._is_told = False

    def context(self) -> ssl.SSLContext:
        """Return what a client is to use; raise ``ConfigError`` when the files cannot be used, and never could."""
        try:
            digest = self._digest_now()
            if self._known is None or digest != self._digest:  # one has up to a megabyte, and is not freed at once
                self._known, self._own = self._read()
                self._digest = digest
        except (OSError, ValueError) as error:
            if self._known is None:
                raise ConfigError("mqtt.tls", [f"the certificates cannot be used: {error}"]) from None
            if not self._is_told:
                _log.warning("mqtt.tls: the certificates cannot be used: %s; going on with those of before", error)
            self._is_told = True
        else:
            self._is_told = False
        return self._known

    def _digest_now(self) -> bytes:
        """Return what tells whether the files are those of before; of the system's authorities, how old they are."""
        default = ssl.get_default_verify_paths()
        files = [each for each in astuple(self._tls) if each is not None]
        parts = [hashlib.sha256(read_regular(each)).digest() for each in files]
        if self._tls.ca_file is None:
            ages = (Path(each).stat().st_mtime_ns for each in (default.cafile, default.capath) if each is not None)
            parts += [str(tuple(ages)).encode()]
        return b"".join(parts)

    def _read(self) -> tuple[ssl.SSLContext, tuple[Term, ...]]:
        tls, terms = self._tls, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if tls.cert_file is not None:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
            terms += [_term_of(tls.cert_file)]
        if tls.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(tls.ca_file)
            authorities = [_term(tls.ca_file.name, each) for each in context.get_ca_certs()]
            terms += [max(authorities, key=lambda term: term.ends)] if authorities else []
        return context, tuple(terms)

    def met(self, peer: dict[str, Any] | None) -> None:
        """Hear what the other side has shown, as ``ssl`` reads it."""
        self._peer = _term("its own certificate", peer) if peer else None

    def problem(self, now: datetime) -> str | None:
        """Return that one of them ends soon, as a predicate of the broker; None while there is time."""
        terms = sorted((*self._own, *([self._peer] if self._peer else [])), key=lambda term: term.ends)
        return terms[0].problem(now) if terms else None


def _term(name: str, shown: dict[str, Any]) -> Term:
    begins, ends = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(shown[key]), UTC) for key in ("notBefore", "notAfter")
    )
    return Term(name, begins, ends)


def _term_of(file: Path) -> Term:
    """Return the term of the first certificate of a PEM file; raise ``ValueError`` where there is none."""
    text = read_regular(file).decode("ascii", "replace")
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    begins, ends = validity(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)]))
    return Term(file.name, begins, ends)


def validity(der: bytes) -> tuple[datetime, datetime]:
    """Return from when until when a certificate is good (RFC 5280, 4.1); raise ``ValueError`` where it is none.

    The library of Python reads only those of others.
    """
    try:
        at = _content(der, _content(der, 0)[1])[1]
        if der[at] == _VERSION:
            at = _content(der, at)[2]
        for _ in ("serial number", "signature", "issuer"):
            at = _content(der, at)[2]
        at = _content(der, at)[1]
        times = []
        for _ in ("notBefore", "notAfter"):
            tag, begin, at = _content(der, at)
            text = der[begin:at].decode("ascii")
            century = ("20" if int(text[:2]) < 50 else "19") if tag == _UTC_TIME else ""  # noqa: PLR2004  RFC 5280
            times.append(datetime.strptime(century + text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC))
    except (IndexError, ValueError):
        raise ValueError("it is no certificate") from None
    return times[0], times[1]


def _content(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of what begins at ``at``, where its content begins, and where it ends."""
    tag, length, begin = der[at], der[at + 1], at + 2
    if length >= _LONG_FORM:
        begin += length - _LONG_FORM
        length = int.from_bytes(der[at + 2 : begin], "big")
    if begin + length > len(der):
        raise ValueError
    return tag, begin, begin + length
